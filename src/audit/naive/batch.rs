//! bincode 2 in its standard configuration, read byte by byte: integers of variable length (signed
//! ones in zigzag), a length before each text, a tag before each option.

use super::verdict::{Data, RawEvent};
use super::{Field, Judged, NaiveReader, Part, Place};
use crate::event::{Ignored, Reason, Record};

struct Compact {
    organization: String,
    source: String,
    id: String,
    event_type: String,
    time_ms: i64,
    region: Option<String>,
    service: Option<String>,
    name: Option<String>,
    published: Option<bool>,
    version: Option<i64>,
    quantity: Option<u64>,
}

impl NaiveReader {
    pub(super) fn batch(&self, record: &Record<'_>) -> Vec<Part> {
        let Some(events) = events(record.value.unwrap_or_default()) else {
            return vec![Part::rejected(Reason::Malformed)];
        };
        if events.is_empty() {
            return vec![Part::whole(Judged::Ignored(Ignored::Empty))];
        }
        events
            .into_iter()
            .map(|(event, bytes)| Part {
                judged: self.compact(record, event),
                // A batch of one.
                alone: Some([&[1], bytes].concat()),
            })
            .collect()
    }

    fn compact(&self, record: &Record<'_>, event: Compact) -> Judged {
        let place = |place: &Place, own: Field<String>| place.of_record(record.headers).unwrap_or(own);
        let takes_quantity = |path: &Option<String>| path.as_deref() == Some("data.quantity");
        let raw = RawEvent {
            specversion: Field::Found("1.0".to_owned()),
            event_type: Field::Found(event.event_type),
            source: Field::Found(event.source),
            id: Field::Found(event.id),
            time_ms: Field::Found(event.time_ms),
            organization: place(&self.organization, Field::Found(event.organization)),
            region: place(&self.region, event.region.into()),
            region_is_data: !self.region.path().is_empty(),
            data: Data::Object,
            service: event.service.into(),
            name: event.name.into(),
            published: event.published.into(),
            version: event.version.into(),
            quantity: event.quantity.into(),
            values: self
                .rules
                .meters
                .iter()
                .map(|meter| if takes_quantity(&meter.value) { event.quantity.into() } else { Field::Absent })
                .collect(),
        };
        self.judge_event(&raw, record.timestamp_ms)
    }
}

/// All events with their bytes; `None` where anything is damaged or follows.
fn events(value: &[u8]) -> Option<Vec<(Compact, &[u8])>> {
    let mut bytes = Bytes(value);
    let count = bytes.unsigned()?;
    let mut events = Vec::new();
    for _ in 0..count {
        let before = bytes.0;
        let event = bytes.event()?;
        events.push((event, &before[..before.len() - bytes.0.len()]));
    }
    bytes.0.is_empty().then_some(events)
}

/// What is left to read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn event(&mut self) -> Option<Compact> {
        Some(Compact {
            organization: self.text()?,
            source: self.text()?,
            id: self.text()?,
            event_type: self.text()?,
            time_ms: self.signed()?,
            region: self.option(Self::text)?,
            service: self.option(Self::text)?,
            name: self.option(Self::text)?,
            published: self.option(Self::boolean)?,
            version: self.option(Self::signed)?,
            quantity: self.option(Self::unsigned)?,
        })
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn little_endian(&mut self, length: usize) -> Option<u64> {
        let bytes = self.take(length)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// One byte up to 250; else 251, 252 or 253 before two, four or eight bytes, the least first.
    fn unsigned(&mut self) -> Option<u64> {
        match self.little_endian(1)? {
            small @ 0..=250 => Some(small),
            251 => self.little_endian(2),
            252 => self.little_endian(4),
            253 => self.little_endian(8),
            _ => None,
        }
    }

    /// 0, -1, 1, -2 … as 0, 1, 2, 3 …
    fn signed(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        let magnitude = (zigzag >> 1).cast_signed();
        Some(if zigzag & 1 == 0 { magnitude } else { !magnitude })
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.little_endian(1)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn option<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.boolean()? { read(self).map(Some) } else { Some(None) }
    }
}
