use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::{API_CALLS, Body, Charge, Event, EventId, MeterIndex, Outcome, Reason};

#[cfg(test)]
mod tests;

/// The 128-bit hash of what makes an event one event: (organization, source, id). Time is no part
/// of it. At 10^9 keys in a window, two distinct ones share a hash with probability 10^-21.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey(pub u128);

/// The 64-bit hash of what of an event is billed: for usage (UTC hour, region, each meter with its
/// quantity), for a service event (service, type, region, published).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content(pub u64);

/// Hashes events; owns the buffer that they are laid out in. docs/formats.md gives the layout.
#[derive(Default)]
pub struct Identifier {
    layout: Vec<u8>,
    /// Contents of late, each where its quantity and region say: most events have one of few.
    calls: [Option<Calls>; REMEMBERED],
}

/// Contents that are remembered.
const REMEMBERED: usize = 16;

/// API calls, billed by nothing else.
struct Calls {
    hour: u32,
    quantity: u64,
    region: String,
    content: Content,
}

impl Identifier {
    pub fn key(&mut self, event: &Event<'_>) -> EventKey {
        self.layout.clear();
        self.text(event.organization);
        self.text(event.source);
        match event.id {
            EventId::Text(id) => {
                self.layout.push(0);
                self.layout.extend_from_slice(id.as_bytes());
            }
            EventId::Hash(hash) => {
                self.layout.push(1);
                self.layout.extend_from_slice(&hash.to_le_bytes());
            }
        }
        EventKey(xxh3_128(&self.layout))
    }

    /// `meter_name` gives the name of a charge's meter.
    pub fn content<'m>(&mut self, event: &Event<'_>, meter_name: impl Fn(MeterIndex) -> &'m str) -> Content {
        // This meter has one name under all rules.
        let Body::Usage([Charge { meter: MeterIndex(0), quantity }]) = event.body else {
            return self.hash_content(event, meter_name);
        };
        let (hour, region) = (event.hour(), event.region);
        let place =
            (*quantity as usize ^ usize::from(region.as_bytes().first().copied().unwrap_or(0))) % REMEMBERED;
        match &self.calls[place] {
            Some(calls) if (calls.hour, calls.quantity, &*calls.region) == (hour, *quantity, region) => {
                calls.content
            }
            _ => {
                let content = self.hash_content(event, |_| API_CALLS);
                self.calls[place] =
                    Some(Calls { hour, quantity: *quantity, region: region.to_owned(), content });
                content
            }
        }
    }

    fn hash_content<'m>(&mut self, event: &Event<'_>, meter_name: impl Fn(MeterIndex) -> &'m str) -> Content {
        self.layout.clear();
        match &event.body {
            Body::Usage(charges) => {
                self.layout.push(0);
                self.layout.extend_from_slice(&event.hour().to_le_bytes());
                self.text(event.region);
                for charge in *charges {
                    self.text(meter_name(charge.meter));
                    self.layout.extend_from_slice(&charge.quantity.to_le_bytes());
                }
            }
            Body::Service(change) => {
                self.layout.push(1);
                self.text(change.service);
                self.text(change.action.event_type());
                self.text(event.region);
                self.layout.push(match change.published {
                    None => 0,
                    Some(false) => 1,
                    Some(true) => 2,
                });
            }
        }
        Content(xxh3_64(&self.layout))
    }

    /// Length first, so that no two sequences of texts are laid out alike.
    fn text(&mut self, text: &str) {
        let length = u32::try_from(text.len()).expect("a record's text is shorter than 4 GiB");
        self.layout.extend_from_slice(&length.to_le_bytes());
        self.layout.extend_from_slice(text.as_bytes());
    }
}

/// What the digest adds up for one event. An event that claims a key is known by it, so that the
/// sum tells which events were counted; another by its place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    Keyed(EventKey, Content),
    Placed { offset: i64, index: u32 },
}

impl Trace {
    /// 128 bits for the digest: the sum over a range's events, modulo 2^128, is the same however
    /// the range is cut into blocks.
    pub fn hash(self, outcome: Outcome) -> u128 {
        let mut layout = [0u8; 27];
        match self {
            Self::Keyed(key, content) => {
                layout[0] = 1;
                layout[1..17].copy_from_slice(&key.0.to_le_bytes());
                layout[17..25].copy_from_slice(&content.0.to_le_bytes());
            }
            Self::Placed { offset, index } => {
                layout[0] = 2;
                layout[1..9].copy_from_slice(&offset.to_le_bytes());
                layout[9..13].copy_from_slice(&index.to_le_bytes());
            }
        }
        let (kind, detail) = outcome_code(outcome);
        layout[25] = kind;
        layout[26] = detail;
        xxh3_128(&layout)
    }
}

/// Stable numbers: they are part of every digest ever stored.
fn outcome_code(outcome: Outcome) -> (u8, u8) {
    match outcome {
        Outcome::Counted => (1, 0),
        Outcome::Duplicate => (2, 0),
        Outcome::Rejected(reason) => (
            3,
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
            },
        ),
        Outcome::Ignored(_) => (4, 0),
    }
}
