use proptest::prelude::*;

use super::*;

/// The meters of two sets of rules, of which only the first is the same.
const NAMES: [[&str; 2]; 2] = [[API_CALLS, "tokens"], [API_CALLS, "bytes"]];

proptest! {
    /// An identifier that has seen others says what a new one says.
    #[test]
    fn what_was_hashed_before_does_not_matter(
        events in prop::collection::vec(
            (0..4_i64, prop::sample::select(vec!["us", "eu", "ug"]), 0..2_u16, 0..40_u64, any::<bool>(), 0..2_usize),
            1..60,
        ),
    ) {
        let mut identifier = Identifier::default();
        for (hour, region, meter, quantity, is_alone, rules) in events {
            let charges = [
                Charge { meter: MeterIndex(meter), quantity },
                Charge { meter: MeterIndex(1), quantity: 7 },
            ];
            let charges = if is_alone { &charges[..1] } else { &charges[..] };
            let event = Event {
                organization: "acme",
                source: "/gw",
                id: EventId::Text("1"),
                time_ms: 1_795_456_800_000 + hour * super::super::HOUR_MS,
                region,
                body: Body::Usage(charges),
            };
            let name = |meter: MeterIndex| NAMES[rules][usize::from(meter.0)];
            let expected = Identifier::default().hash_content(&event, name);
            prop_assert_eq!(identifier.content(&event, name), expected);
        }
    }
}
