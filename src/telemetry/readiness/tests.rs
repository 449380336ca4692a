use super::{CheckState, Readiness};

#[test]
fn a_check_fails_until_it_holds_and_is_gone_with_its_owner() {
    let readiness = Readiness::default();
    let state =
        |reason: Option<&str>| vec![CheckState { name: "kafka".into(), reason: reason.map(str::to_owned) }];
    let kafka = readiness.check("kafka");
    assert_eq!(readiness.report(), state(Some("starting")));
    kafka.ready();
    assert_eq!(readiness.report(), state(None));
    kafka.not_ready("connect to 127.0.0.1:9092: connection refused");
    assert_eq!(readiness.report(), state(Some("connect to 127.0.0.1:9092: connection refused")));
    drop(kafka);
    assert_eq!(readiness.report(), []);
}
