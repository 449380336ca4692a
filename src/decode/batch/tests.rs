use proptest::prelude::*;

use super::super::fixtures::folder;
use super::super::tests::{RECORDED_MS, Sample, decoder, meter, outcome, outcomes, rules};
use super::*;
use crate::event::{Aggregation, Format, MAX_QUANTITY};

const COUNTED: &str = "counted acme /gw 1 2026-11-23T18:30:00Z us api_calls=1";

fn event() -> CompactEvent<'static> {
    CompactEvent {
        organization: "acme",
        source: "/gw",
        id: "1",
        event_type: "api.request",
        time_ms: RECORDED_MS,
        ..CompactEvent::default()
    }
}

fn end(event: &CompactEvent<'_>) -> String {
    outcome(&mut decoder(&rules(Format::Batch)), &Sample::new(encode_alone(event)))
}

/// The bytes of the worked example in docs/formats.md.
fn documented_bytes() -> Vec<u8> {
    let path = folder().parent().expect("the repository").join("docs/formats.md");
    let text = std::fs::read_to_string(path).expect("docs/formats.md");
    let (_, example) = text.split_once("### A batch, byte by byte").expect("the example");
    let block = example.split("```").nth(1).expect("a code block");
    let bytes =
        block.lines().skip(1).flat_map(|line| line.get(..51).unwrap_or_default().split_ascii_whitespace());
    bytes.map(|byte| u8::from_str_radix(byte, 16).expect("two hex digits")).collect()
}

#[test]
fn the_documented_bytes_are_what_is_written_and_read() {
    let example = CompactEvent {
        source: "/gateways/us-1",
        id: "a1",
        time_ms: 1_795_456_800_123,
        service: Some("payments"),
        quantity: Some(300),
        ..event()
    };
    assert_eq!(documented_bytes(), encode_alone(&example));
    assert_eq!(
        documented_bytes(),
        std::fs::read(folder().join("batch/worked-example.bin")).expect("the fixture")
    );
    assert_eq!(events(&documented_bytes()), Ok(vec![example]));
}

#[test]
fn a_crate_of_its_own_reads_the_same_layout() {
    type Options = (Option<String>, Option<String>, Option<String>, Option<bool>, Option<i64>, Option<u64>);
    type Plain = (String, String, String, String, i64, Options);
    let event =
        CompactEvent { version: Some(i64::MIN), published: Some(true), quantity: Some(u64::MAX), ..event() };
    let bytes = encode_batch(&[event.clone(), event]);
    let (plain, length): (Vec<Plain>, usize) =
        bincode::serde::decode_from_slice(&bytes, standard()).expect("serde's view");
    assert_eq!((plain.len(), length), (2, bytes.len()));
    assert_eq!(plain[1].5, (None, None, None, Some(true), Some(i64::MIN), Some(u64::MAX)));
}

#[test]
fn events_by_cases() {
    let at = |rest: &str| format!("counted acme /gw 1 2026-11-23T18:30:00Z {rest}");
    let cases = [
        (event(), COUNTED.to_owned()),
        (
            CompactEvent { quantity: Some(MAX_QUANTITY), region: Some("eu"), ..event() },
            at("eu api_calls=9007199254740991"),
        ),
        (CompactEvent { quantity: Some(MAX_QUANTITY + 1), ..event() }, "rejected bad_quantity".into()),
        (CompactEvent { organization: "", ..event() }, "rejected missing_organization".into()),
        (CompactEvent { id: "", ..event() }, "rejected missing_id".into()),
        (CompactEvent { source: "", ..event() }, "rejected malformed".into()),
        (CompactEvent { event_type: "", ..event() }, "rejected malformed".into()),
        (CompactEvent { region: Some(""), ..event() }, "rejected malformed".into()),
        (CompactEvent { region: Some("EU"), id: "", ..event() }, "rejected malformed".into()),
        (CompactEvent { region: Some("EU"), event_type: "other", ..event() }, "ignored unknown_type".into()),
        (CompactEvent { event_type: "service.created", ..event() }, "rejected bad_service".into()),
        (
            CompactEvent {
                event_type: "service.created",
                service: Some("pay"),
                version: Some(-3),
                ..event()
            },
            at("us service.created pay version=-3 published=Some(false) name=None"),
        ),
        (CompactEvent { time_ms: i64::MIN, ..event() }, "rejected too_old".into()),
        (CompactEvent { time_ms: i64::MAX, ..event() }, "rejected too_new".into()),
    ];
    for (event, expected) in cases {
        assert_eq!(end(&event), expected, "{event:?}");
    }
}

#[test]
fn a_damaged_record_gives_no_event() {
    let good = encode_batch(&[event(), event(), event()]);
    let mut decoder = decoder(&rules(Format::Batch));
    assert_eq!(outcomes(&mut decoder, &Sample::new(good.clone())), [COUNTED; 3]);
    for length in 0..good.len() {
        assert_eq!(outcome(&mut decoder, &Sample::new(&good[..length])), "rejected malformed", "{length}");
    }
    let trailing = [&good[..], b"\0"].concat();
    assert_eq!(outcome(&mut decoder, &Sample::new(trailing)), "rejected malformed");
    assert_eq!(outcome(&mut decoder, &Sample { value: None, ..Sample::new("") }), "rejected malformed");
    assert_eq!(outcome(&mut decoder, &Sample::new([0])), "ignored empty");
}

#[test]
fn a_count_that_the_bytes_can_not_hold_reserves_nothing() {
    let count = |count: u64| bincode::encode_to_vec(count, standard()).expect("a number");
    let mut decoder = decoder(&rules(Format::Batch));
    for huge in [1, 2, 1 << 20, 1 << 40, u64::MAX] {
        assert_eq!(outcome(&mut decoder, &Sample::new(count(huge))), "rejected malformed", "{huge}");
    }
    let smallest = [&count(2)[..], &[0; 2 * SMALLEST_EVENT]].concat();
    assert_eq!(outcomes(&mut decoder, &Sample::new(smallest)), ["rejected malformed"; 2]);
    assert_eq!(encode_batch(&[CompactEvent::default()]).len(), 1 + SMALLEST_EVENT);
}

#[test]
fn the_record_may_name_organization_and_region() {
    let by_record = Rules {
        organization: Some("header:org".into()),
        region: Some("topic:^gateway\\.(.*)$".into()),
        ..rules(Format::Batch)
    };
    let ignored = CompactEvent { organization: "not read", region: Some("NOT READ"), ..event() };
    let sample = Sample::new(encode_alone(&ignored)).header("org", "globex");
    assert_eq!(
        outcome(&mut decoder(&by_record), &sample),
        "counted globex /gw 1 2026-11-23T18:30:00Z events api_calls=1"
    );
}

#[test]
fn quantity_is_the_only_value_of_a_meter() {
    let meters = vec![
        meter("tokens", "llm.completion", Aggregation::Sum, Some("data.quantity")),
        meter("logins", "portal.login", Aggregation::Count, None),
        meter("lost", "elsewhere", Aggregation::Sum, Some("data.tokens")),
    ];
    let mut decoder = decoder(&Rules { meters, ..rules(Format::Batch) });
    let mut end = |event_type, quantity| {
        outcome(&mut decoder, &Sample::new(encode_alone(&CompactEvent { event_type, quantity, ..event() })))
    };
    assert_eq!(end("llm.completion", Some(7)), "counted acme /gw 1 2026-11-23T18:30:00Z us tokens=7");
    assert_eq!(end("llm.completion", None), "rejected bad_quantity");
    assert_eq!(end("llm.completion", Some(u64::MAX)), "rejected bad_quantity");
    assert_eq!(end("portal.login", None), "counted acme /gw 1 2026-11-23T18:30:00Z us logins=1");
    assert_eq!(end("elsewhere", Some(7)), "rejected bad_quantity");
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zé]{0,6}", "[a-z]{249,252}"]
}

prop_compose! {
    fn owned()(
        texts in prop::array::uniform4(texts()),
        options in prop::array::uniform3(prop::option::of(texts())),
        (time_ms, published, version, quantity) in any::<(i64, Option<bool>, Option<i64>, Option<u64>)>(),
        bits in 0..64_u32,
    ) -> Vec<u8> {
        let [organization, source, id, event_type] = texts.each_ref().map(String::as_str);
        let [region, service, name] = options.each_ref().map(Option::as_deref);
        encode_alone(&CompactEvent {
            organization, source, id, event_type, time_ms: time_ms >> bits, region, service, name, published,
            version: version.map(|version| version >> bits),
            quantity: quantity.map(|quantity| quantity >> bits),
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_layout_is_what_bincode_reads(
        batches in prop::collection::vec(owned(), 0..4),
        count in prop_oneof![4 => Just(None), 1 => any::<u8>().prop_map(Some)],
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8)),
    ) {
        // Each alone begins with its number, 1.
        let mut value = vec![count.unwrap_or(batches.len() as u8)];
        value.extend(batches.iter().flat_map(|batch| &batch[1..]));
        if let Some((at, byte, how)) = change {
            let at = at.index(value.len());
            match how {
                0 => value[at] = byte,
                1 => value.truncate(at),
                _ => value.insert(at, byte),
            }
        }
        prop_assert_eq!(events(&value), events_in_full(&value));
    }
}
