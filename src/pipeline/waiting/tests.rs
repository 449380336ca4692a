use super::*;

fn lane() -> (String, i32) {
    ("t".to_owned(), 1)
}

/// A lane that has waited long enough, and is held.
fn add_due(lanes: &WaitingLanes) {
    let waiting = Waiting { until: instant(), why: "memory is full".into(), is_held: false };
    lanes.lanes.borrow_mut().insert(lane(), waiting);
    assert!(lanes.hold(&lane()));
}

#[test]
fn a_session_reads_the_lanes_it_began_before_it_ends_for_one_that_waits() {
    let lanes = WaitingLanes::default();
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
fn a_lane_that_waits_and_goes_ends_no_session_until_it_comes_back() {
    for give_up in [|lanes: &WaitingLanes| lanes.give_up(&[lane()]), WaitingLanes::give_up_all] {
        let lanes = WaitingLanes::default();
        add_due(&lanes);
        assert!(lanes.reason().is_some());
        give_up(&lanes);
        assert!(lanes.reason().is_none() && !lanes.end_due());
        assert!(lanes.hold(&lane()), "the process has no room for it still");
        assert!(lanes.reason().is_some() && lanes.end_due());
        assert!(!lanes.hold(&lane()), "it is tried again");
    }
}
