//! The layouts of docs/formats.md, written down a second time.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{NaiveBody, NaiveEvent, NaiveId};
use crate::event::{HOUR_MS, Outcome, Reason};

/// The hash of what makes an event one event.
pub fn event_key(event: &NaiveEvent) -> u128 {
    let mut layout = [sized(&event.organization), sized(&event.source)].concat();
    match &event.id {
        NaiveId::Text(id) => {
            layout.push(0);
            layout.extend(id.as_bytes());
        }
        NaiveId::Hash(hash) => {
            layout.push(1);
            layout.extend(hash.to_le_bytes());
        }
    }
    xxh3_128(&layout)
}

/// The hash of what of an event is billed.
pub fn content_hash(event: &NaiveEvent) -> u64 {
    let mut layout = Vec::new();
    match &event.body {
        NaiveBody::Usage(charges) => {
            layout.push(0);
            layout.extend(hour(event).to_le_bytes());
            layout.extend(sized(&event.region));
            for (meter, _, quantity) in charges {
                layout.extend(sized(meter));
                layout.extend(quantity.to_le_bytes());
            }
        }
        NaiveBody::Service { service, event_type, published, .. } => {
            layout.push(1);
            layout.extend(sized(service));
            layout.extend(sized(event_type));
            layout.extend(sized(&event.region));
            layout.push(published.map_or(0, |published| 1 + u8::from(published)));
        }
    }
    xxh3_64(&layout)
}

/// Hours since the epoch.
pub fn hour(event: &NaiveEvent) -> u32 {
    u32::try_from(event.time_ms.div_euclid(HOUR_MS)).unwrap_or(0)
}

/// What an event that claims a key adds to the digest.
pub fn keyed_trace(key: u128, content: u64, outcome: Outcome) -> u128 {
    let mut layout = vec![1];
    layout.extend(key.to_le_bytes());
    layout.extend(content.to_le_bytes());
    finish(layout, outcome)
}

/// What an event without a key adds to the digest.
pub fn placed_trace(offset: i64, index: u32, outcome: Outcome) -> u128 {
    let mut layout = vec![2];
    layout.extend(offset.to_le_bytes());
    layout.extend(index.to_le_bytes());
    layout.resize(25, 0);
    finish(layout, outcome)
}

fn finish(mut layout: Vec<u8>, outcome: Outcome) -> u128 {
    layout.extend(match outcome {
        Outcome::Counted => [1, 0],
        Outcome::Duplicate => [2, 0],
        Outcome::Rejected(reason) => [3, reason_code(reason)],
        Outcome::Ignored(_) => [4, 0],
    });
    xxh3_128(&layout)
}

fn reason_code(reason: Reason) -> u8 {
    match reason {
        Reason::TooLarge => 1,
        Reason::Malformed => 2,
        Reason::MissingOrganization => 3,
        Reason::MissingId => 4,
        Reason::MissingTime => 5,
        Reason::BadTime => 6,
        Reason::BadQuantity => 7,
        Reason::BadService => 8,
        Reason::TooOld => 9,
        Reason::TooNew => 10,
        Reason::ConflictingDuplicate => 11,
    }
}

/// The length in four bytes, the least first, then the text.
fn sized(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes(), text.as_bytes()].concat()
}
