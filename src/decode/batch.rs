//! Many events in one record, in bincode 2 with its standard configuration, for producers of our
//! own. docs/formats.md gives the layout byte by byte.

use bincode::config::standard;
use bincode::{BorrowDecode, Encode};

use super::fields::Field;
use super::judge::{Data, Envelope, Judge, Ordinary, RawEvent};
use super::rules::{Locator, Locators};
use super::{Decoded, Raw, Visit};
use crate::event::{Charge, Event, Ignored, Reason, Record, Rules};

mod layout;

#[cfg(test)]
mod tests;

use layout::Bytes;

/// One event of a batch; the fields are those of a CloudEvents event and of its data. Their order
/// is the layout.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, BorrowDecode)]
pub struct CompactEvent<'a> {
    pub organization: &'a str,
    pub source: &'a str,
    pub id: &'a str,
    pub event_type: &'a str,
    /// Epoch milliseconds.
    pub time_ms: i64,
    pub region: Option<&'a str>,
    pub service: Option<&'a str>,
    pub name: Option<&'a str>,
    pub published: Option<bool>,
    pub version: Option<i64>,
    /// 0 to 2^53-1.
    pub quantity: Option<u64>,
}

/// An event of empty strings, without any option: five lengths or numbers and six tags.
const SMALLEST_EVENT: usize = 11;

/// The value of a record that holds these events.
pub fn encode_batch(events: &[CompactEvent<'_>]) -> Vec<u8> {
    bincode::encode_to_vec(events, standard()).expect("plain data in memory is always encoded")
}

pub(super) fn encode_alone(event: &CompactEvent<'_>) -> Vec<u8> {
    encode_batch(std::slice::from_ref(event))
}

#[derive(Debug)]
pub(super) struct Reader {
    organization: Locator,
    region: Locator,
    /// Whether the n-th configured meter takes `quantity`, the only value that a batch has.
    takes_quantity: Vec<bool>,
    /// Whether organization and region are the event's own, and ordinary events are judged as such.
    is_quick: bool,
    read: fn(&[u8]) -> Batch<'_>,
    charges: Vec<Charge>,
}

impl Reader {
    /// `in_full`: read by bincode's own decoder and judged in full, whatever it is.
    pub fn new(rules: &Rules, locators: Locators, in_full: bool) -> Self {
        let are_own = locators.organization.path().is_some() && locators.region.path().is_some();
        Self {
            is_quick: are_own && !in_full,
            read: if in_full { events_in_full } else { events },
            organization: locators.organization,
            region: locators.region,
            takes_quantity: rules
                .meters
                .iter()
                .map(|meter| meter.value.as_deref() == Some("data.quantity"))
                .collect(),
            charges: Vec::new(),
        }
    }

    /// A record that is damaged anywhere gives no event at all: its other events can't be trusted.
    pub fn decode(&mut self, judge: &Judge, record: &Record<'_>, visit: Visit<'_>) {
        let events = match (self.read)(record.value.unwrap_or_default()) {
            Ok(events) => events,
            Err(detail) => {
                let detail = detail.into();
                return visit(0, Raw::Whole, Decoded::Rejected { reason: Reason::Malformed, detail });
            }
        };
        if events.is_empty() {
            return visit(0, Raw::Whole, Decoded::Ignored(Ignored::Empty));
        }
        for (index, event) in (0_u32..).zip(&events) {
            let is_quick = self.is_quick;
            let ordinary = if is_quick { ordinary(judge, record, event, &mut self.charges) } else { None };
            match ordinary {
                Some(counted) => visit(index, Raw::Compact(event), Decoded::Event(counted)),
                None => visit(index, Raw::Compact(event), self.event(judge, record, event)),
            }
        }
    }

    fn event<'a>(
        &'a mut self,
        judge: &'a Judge,
        record: &Record<'a>,
        event: &CompactEvent<'a>,
    ) -> Decoded<'a> {
        let Self { organization, region, takes_quantity, charges, .. } = self;
        let quantity = found(event.quantity);
        let raw = RawEvent {
            envelope: Envelope {
                organization: organization.of_record(record).unwrap_or(Field::Found(event.organization)),
                region: region.of_record(record).unwrap_or(found(event.region)),
                id: Field::Found(event.id),
                time_ms: Field::Found(event.time_ms),
                recorded_ms: record.timestamp_ms,
            },
            specversion: Field::Found("1.0"),
            source: Field::Found(event.source),
            event_type: Field::Found(event.event_type),
            data: Data::Object,
            region_in_data: region.path().is_some(),
            service: found(event.service),
            name: found(event.name),
            published: found(event.published),
            version: found(event.version),
            quantity,
        };
        let value = |meter: usize| if takes_quantity[meter] { quantity } else { Field::Absent };
        judge.event(&raw, &value, charges)
    }
}

fn found<T>(option: Option<T>) -> Field<T> {
    option.map_or(Field::Absent, Field::Found)
}

fn ordinary<'a>(
    judge: &'a Judge,
    record: &Record<'a>,
    event: &CompactEvent<'a>,
    charges: &'a mut Vec<Charge>,
) -> Option<Event<'a>> {
    let ordinary = Ordinary {
        event_type: event.event_type,
        organization: event.organization,
        source: event.source,
        id: event.id,
        region: event.region,
        time_ms: event.time_ms,
        recorded_ms: record.timestamp_ms,
        quantity: event.quantity.unwrap_or(1),
    };
    judge.ordinary(&ordinary, charges)
}

/// All events of a record's value, or why it is none.
type Batch<'a> = Result<Vec<CompactEvent<'a>>, &'static str>;

const NO_NUMBER: &str = "not a batch: no number of events";
const TOO_FEW_BYTES: &str = "not a batch: more events than bytes for them";
const DAMAGED: &str = "not a batch: an event is damaged";
const TOO_MANY_BYTES: &str = "not a batch: bytes follow the last event";

/// Borrows all events of a record's value, which must hold nothing else.
fn events(value: &[u8]) -> Batch<'_> {
    let mut bytes = Bytes(value);
    let count = bytes.number().ok_or(NO_NUMBER)?;
    let mut events = room_for(count, bytes.0)?;
    for _ in 0..count {
        events.push(bytes.event().ok_or(DAMAGED)?);
    }
    if bytes.0.is_empty() { Ok(events) } else { Err(TOO_MANY_BYTES) }
}

/// Likewise, by bincode's own decoder.
fn events_in_full(value: &[u8]) -> Batch<'_> {
    let (count, mut at) = bincode::decode_from_slice::<u64, _>(value, standard()).map_err(|_| NO_NUMBER)?;
    let mut events = room_for(count, &value[at..])?;
    for _ in 0..count {
        let (event, length) =
            bincode::borrow_decode_from_slice(&value[at..], standard()).map_err(|_| DAMAGED)?;
        events.push(event);
        at += length;
    }
    if at == value.len() { Ok(events) } else { Err(TOO_MANY_BYTES) }
}

fn room_for<'a>(count: u64, bytes: &[u8]) -> Batch<'a> {
    let count = usize::try_from(count).ok().filter(|count| *count <= bytes.len() / SMALLEST_EVENT);
    count.map(Vec::with_capacity).ok_or(TOO_FEW_BYTES)
}
