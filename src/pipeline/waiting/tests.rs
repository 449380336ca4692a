use super::*;

fn lane() -> (String, i32) {
    ("t".to_owned(), 1)
}

/// A lane that has waited long enough, and is held.
fn add_due(lanes: &WaitingLanes) {
    let waiting = Lane { until: instant(), why: "memory is full".into(), holder: None };
    lanes.lanes().insert(lane(), waiting);
    assert!(lanes.hold(&lane()));
}

#[test]
fn a_session_reads_the_lanes_it_began_before_it_ends_for_one_that_waits() {
    let lanes = WaitingLanes::of(0, &Waiting::default());
    lanes.begun(3);
    add_due(&lanes);
    assert!(!lanes.end_due(), "nothing was read");
    lanes.read();
    assert!(lanes.end_due());
    assert!(!lanes.end_due() && !lanes.hold(&lane()), "it is tried again");

    add_due(&lanes);
    lanes.begun(0);
    assert!(!lanes.end_due(), "the wait begins when the others are begun");
    add_due(&lanes);
    assert!(lanes.end_due(), "there is nothing to read");
}

#[test]
fn a_lane_that_moves_within_a_process_waits_there_and_ends_no_session_that_lacks_it() {
    let shared = Waiting::default();
    let (first, second) = (WaitingLanes::of(0, &shared), WaitingLanes::of(1, &shared));
    add_due(&first);
    assert!(first.reason().is_some() && second.reason().is_none() && !second.end_due());
    first.give_up(&[lane()]);
    assert!(first.reason().is_none() && !first.end_due());
    assert!(second.hold(&lane()), "the process has no room for it, whoever holds it");
    first.give_up_all();
    assert!(second.reason().is_some() && second.end_due());
    assert!(!first.hold(&lane()), "it is tried again");
}
