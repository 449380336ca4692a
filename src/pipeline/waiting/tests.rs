use super::*;

/// A lane that has waited long enough.
fn add_due(lanes: &WaitingLanes) {
    let waiting = Waiting { until: instant(), why: "memory is full".into() };
    lanes.lanes.borrow_mut().insert(("t".to_owned(), 1), waiting);
}

#[test]
fn a_session_reads_the_lanes_it_began_before_it_ends_for_one_that_waits() {
    let lanes = WaitingLanes::default();
    lanes.begun(3);
    add_due(&lanes);
    assert!(!lanes.end_due(), "nothing was read");
    lanes.read();
    assert!(lanes.end_due());
    assert!(!lanes.end_due() && !lanes.holds(&("t".to_owned(), 1)), "it is tried again");

    add_due(&lanes);
    lanes.begun(0);
    assert!(!lanes.end_due(), "the wait begins when the others are begun");
    add_due(&lanes);
    assert!(lanes.end_due(), "there is nothing to read");
}
