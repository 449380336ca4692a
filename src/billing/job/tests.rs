use super::*;

#[test]
fn why_a_month_waits_is_told_once_and_again_when_it_changes() {
    let waits = Waits::default();
    let month: Month = "2026-11".parse().unwrap();
    let behind = |region| Some((month, not_counted(region, month)));
    let told = [None, behind("us"), behind("us"), behind("eu"), behind("eu"), None, None];
    let told = told.map(|now| waits.tell(now));
    assert_eq!(told, [false, true, false, true, false, true, false]);
}
