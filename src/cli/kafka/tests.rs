use super::*;

#[test]
fn all_configured_topics_are_wanted_inputs_first() {
    let wanted: Vec<_> = wanted(&Config::built_in().kafka).into_iter().map(|w| (w.name, w.purpose)).collect();
    let expected = [
        ("gateway.events", Purpose::Input),
        ("gateway.logs", Purpose::Input),
        ("odometer.dead-letters", Purpose::DeadLetters),
        ("odometer.snapshots", Purpose::Snapshots),
    ];
    assert_eq!(wanted, expected.map(|(name, purpose)| (name.to_owned(), purpose)));
}
