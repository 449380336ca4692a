//! The decoder that counts and the audit's naive one share no code: on any input whatsoever they
//! must say the same, event by event, hash by hash.

use odometer::event::{Format, Rules};
use proptest::prelude::*;
use proptest::sample::select;

pub mod compare;
mod inputs;

use compare::{agree, all_rules};
use inputs::{
    binary_headers, cloudevent, compact, damaged, data, gateway_log, header_values, scalar, text, timestamps,
};

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
