use super::*;

#[test]
fn a_limit_decides_where_usage_is_known_and_the_policy_where_it_is_not() {
    let block = Some(Limit { limit: 3, overage: Overage::Block });
    let charge = Some(Limit { limit: 3, overage: Overage::Charge });
    use DecidedBy::{FailClosed, FailOpen, Usage};
    use FailPolicy::{Auto, Closed, Open};
    for (limit, used, is_known, fail, expected) in [
        (None, u64::MAX, true, Closed, (true, Usage)),
        (None, 0, false, Closed, (true, Usage)),
        (block, 2, true, Open, (true, Usage)),
        (block, 3, true, Open, (false, Usage)),
        // A cancel left more than the plan allows: it stays, and nothing is added.
        (block, 5, true, Open, (false, Usage)),
        (block, 3, false, Open, (false, Usage)),
        (block, 2, false, Open, (true, FailOpen)),
        (block, 2, false, Closed, (false, FailClosed)),
        (block, 2, false, Auto, (false, FailClosed)),
        (charge, 2, true, Closed, (true, Usage)),
        (charge, 3, true, Closed, (true, Usage)),
        (charge, 3, false, Open, (true, FailOpen)),
        (charge, 3, false, Closed, (false, FailClosed)),
        (charge, 3, false, Auto, (true, FailOpen)),
    ] {
        assert_eq!(decide(limit, used, is_known, fail), expected, "{limit:?} {used} {is_known} {fail:?}");
    }
}
