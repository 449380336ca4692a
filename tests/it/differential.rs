//! The decoder that counts and the audit's naive one share no code: on any input whatsoever they
//! must say the same, event by event, hash by hash.

use odometer::event::{Format, Rules};
use proptest::prelude::*;
use proptest::sample::select;

pub mod compare;
mod inputs;

use compare::{agree, agree_in_full, all_rules};
use inputs::{
    binary_headers, cloudevent, compact, damaged, data, gateway_log, header_values, scalar, text, timestamps,
};
use odometer::decode::Decoder;

/// Records one after the other, each as it is and then with a byte changed, put in or taken out.
fn read_in_a_row(
    rules: &Rules,
    values: &[Vec<u8>],
    changes: &[Change],
    headers: &[(String, Option<Vec<u8>>)],
) {
    let mut decoder = Decoder::new(compare::TOPIC, rules).expect("rules are sound");
    let mut in_full = Decoder::in_full(compare::TOPIC, rules).expect("rules are sound");
    for value in values {
        agree_in_full(&mut decoder, &mut in_full, value, headers);
    }
    for (which, at, byte, how) in changes {
        let mut value = values[which.index(values.len())].clone();
        let at = at.index(value.len() + 1);
        match how {
            0 => value.insert(at, *byte),
            1 if at < value.len() => value[at] = *byte,
            2 if at < value.len() => drop(value.remove(at)),
            3 => value.truncate(at),
            _ => {}
        }
        agree_in_full(&mut decoder, &mut in_full, &value, headers);
    }
    assert_eq!(in_full.events_of_known_shape(), 0);
}

/// What the comparisons with a full reading rest on: else they would compare it with itself.
#[test]
fn events_of_one_kind_have_a_known_shape() {
    for rules in all_rules().into_iter().filter(|rules| rules.format != Format::Batch) {
        let value = match rules.format {
            Format::KafkaLog => KNOWN_LOG,
            _ => KNOWN_EVENT,
        };
        for value in [value.to_owned(), format!("[{value},{value}]")] {
            let mut decoder = Decoder::new(compare::TOPIC, &rules).expect("rules are sound");
            let mut in_full = Decoder::in_full(compare::TOPIC, &rules).expect("rules are sound");
            for _ in 0..3 {
                agree_in_full(&mut decoder, &mut in_full, value.as_bytes(), &[]);
            }
            assert!(decoder.events_of_known_shape() >= 2, "{value}");
        }
    }
}

const KNOWN_EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"s","type":"api.request","subject":"acme","time":"2026-11-23T18:00:00Z","data":{"quantity":1}}"#;
const KNOWN_LOG: &str = r#"{"request":{"id":"1","size":"2"},"started_at":1795456800000,"service":{"id":"s"},"konnect":{"org_id":"acme"}}"#;

/// Which value, where, what byte, and how.
type Change = (prop::sample::Index, prop::sample::Index, u8, u8);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let byte = prop_oneof![select(b"{}[]\",:\\u0e.-+ tn1\x00\x7f\xff".to_vec()), any::<u8>()];
    proptest::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), byte, 0..6_u8),
        0..24,
    )
}

fn rules_of(format: Format) -> impl Strategy<Value = Rules> {
    select(all_rules().into_iter().filter(|rules| rules.format == format).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    #[test]
    fn structured_cloudevents_are_read_alike(
        rules in rules_of(Format::Cloudevents), value in text(cloudevent().boxed()),
        headers in header_values(), time in timestamps(),
    ) {
        agree(&rules, Some(&value), headers, time);
    }

    #[test]
    fn binary_cloudevents_are_read_alike(
        rules in rules_of(Format::Cloudevents), headers in binary_headers(), time in timestamps(),
        value in prop_oneof![4 => text(data().boxed()), 1 => text(scalar().boxed()), 1 => Just(Vec::new())],
    ) {
        agree(&rules, Some(&value), headers, time);
    }

    #[test]
    fn gateway_logs_are_read_alike(
        rules in rules_of(Format::KafkaLog), value in text(gateway_log().boxed()),
        headers in header_values(), time in timestamps(),
    ) {
        agree(&rules, Some(&value), headers, time);
    }

    #[test]
    fn batches_are_read_alike(
        rules in rules_of(Format::Batch), value in damaged(compact()), headers in header_values(), time in timestamps(),
    ) {
        agree(&rules, Some(&value), headers, time);
    }

    #[test]
    fn cloudevents_are_read_alike_whatever_was_read_before(
        rules in rules_of(Format::Cloudevents),
        values in proptest::collection::vec(text(cloudevent().boxed()), 1..6), changes in changes(), headers in header_values(),
    ) {
        read_in_a_row(&rules, &values, &changes, &headers);
        read_in_a_row(&rules, &values, &changes, &[]);
    }

    #[test]
    fn gateway_logs_are_read_alike_whatever_was_read_before(
        rules in rules_of(Format::KafkaLog),
        values in proptest::collection::vec(text(gateway_log().boxed()), 1..6), changes in changes(), headers in header_values(),
    ) {
        read_in_a_row(&rules, &values, &changes, &headers);
    }

    #[test]
    fn any_bytes_are_read_alike(
        rules in select(all_rules()), value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
        headers in header_values(),
    ) {
        agree(&rules, value.as_deref(), headers, None);
    }
}

#[test]
fn what_is_too_large_nested_or_empty_is_read_alike() {
    for rules in all_rules() {
        agree(&rules, None, Vec::new(), None);
        agree(&rules, Some(&[b' '; 4097]), Vec::new(), None);
        agree(&rules, Some(&[b'['; 4096]), Vec::new(), None);
        agree(
            &rules,
            Some(format!("{{\"a\":{}{}}}", "[".repeat(1500), "]".repeat(1500)).as_bytes()),
            Vec::new(),
            None,
        );
        agree(&rules, Some(b"{}\x0c"), Vec::new(), None);
        agree(&rules, Some(b"[]"), Vec::new(), None);
    }
}
