use super::*;

const RATE: Rate = Rate { per_second: 10, burst: 3 };

#[test]
fn a_burst_is_allowed_then_the_rate() {
    let rates = Rates::new(RATE);
    let (key, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    let start = clock::instant();
    let at = |ms| start + Duration::from_millis(ms);
    for _ in 0..3 {
        assert_eq!(rates.take_at(&key, at(0)), Ok(()));
    }
    assert_eq!(rates.take_at(&key, at(0)), Err(Duration::from_millis(100)));
    assert_eq!(rates.take_at(&key, at(60)), Err(Duration::from_millis(40)));
    assert_eq!(rates.take_at(&other, at(60)), Ok(()), "each key has its own");
    assert_eq!(rates.take_at(&key, at(100)), Ok(()));
    assert_eq!(rates.take_at(&key, at(100)), Err(Duration::from_millis(100)));
    for _ in 0..3 {
        assert_eq!(rates.take_at(&key, at(10_000)), Ok(()));
    }
    assert!(rates.take_at(&key, at(10_000)).is_err(), "what was not asked for is not saved up");
}

#[test]
fn the_operator_is_never_limited_and_a_key_is_told_when_to_come_back() {
    let rates = Rates::new(Rate { per_second: 1, burst: 1 });
    for _ in 0..100 {
        assert!(rates.take(&Caller::Operator).is_ok());
    }
    let member = Caller::Member {
        organization: "acme".into(),
        role: super::super::Role::Viewer,
        key_id: "key_1".into(),
    };
    assert!(rates.take(&member).is_ok());
    let problem = rates.take(&member).unwrap_err();
    assert_eq!((problem.status().as_u16(), problem.slug()), (429, "rate-limited"));
}
