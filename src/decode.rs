//! Bytes to events. Pure: nothing here does I/O, reads time, or knows another room than `event`.
//!
//! A [`Decoder`] reads the records of one topic under one set of rules. Each format finds the few
//! fields that matter (`cloudevents`, `kafka_log`, `batch`) and leaves what they mean to one place
//! (`judge`). docs/formats.md is the same knowledge for people.

use std::borrow::Cow;
use std::sync::Arc;

use crate::event::{Aggregation, Event, Format, Ignored, Reason, Record, Rules};

mod batch;
mod cloudevents;
mod fields;
mod judge;
mod json;
mod kafka_log;
mod place;
mod record;
mod rules;
mod shapes;
mod time;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

pub use batch::{CompactEvent, encode_batch};
pub use rules::{InvalidLocator, InvalidMeter, InvalidRules};

/// Decodes the records of one topic. It owns the buffers that events borrow from, so that an event
/// allocates nothing in the ordinary case.
#[derive(Debug)]
pub struct Decoder {
    judge: judge::Judge,
    reader: Reader,
    /// Bytes of a record's value.
    largest: u64,
}

#[derive(Debug)]
enum Reader {
    Cloudevents(Box<cloudevents::Reader>),
    KafkaLog(Box<kafka_log::Reader>),
    Batch(batch::Reader),
}

/// What charges of one [`MeterIndex`](crate::event::MeterIndex) add up to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meter {
    pub name: Arc<str>,
    pub aggregation: Aggregation,
}

/// What one event of a record turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded<'a> {
    Event(Event<'a>),
    Rejected {
        reason: Reason,
        /// Says what is wrong by field names and positions; never quotes the record.
        detail: Cow<'static, str>,
    },
    Ignored(Ignored),
}

/// One event's own part of its record.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// The record holds nothing else.
    Whole,
    /// The JSON of one element of an array.
    Slice(&'a [u8]),
    /// One element of a batch.
    Compact(&'a CompactEvent<'a>),
}

impl Raw<'_> {
    /// The event alone, as a record's value in the record's format.
    pub fn encode_alone(&self, record: &Record<'_>) -> Vec<u8> {
        match self {
            Self::Whole => record.value.unwrap_or_default().to_vec(),
            // An array within the array would be one of events if it stood alone.
            Self::Slice(json @ [b'[', ..]) => [b"[", *json, b"]"].concat(),
            Self::Slice(json) => json.to_vec(),
            Self::Compact(event) => batch::encode_alone(event),
        }
    }
}

/// Gets each event of a record once, in order, with its position from 0.
pub type Visit<'v> = &'v mut dyn FnMut(u32, Raw<'_>, Decoded<'_>);

impl Decoder {
    /// For a topic's records under its rules; `topic` matters to the locators `topic:PATTERN`.
    pub fn new(topic: &str, rules: &Rules) -> Result<Self, InvalidRules> {
        Self::with_shapes(topic, rules, shapes::Shapes::default())
    }

    /// Reads every event in full, which defines what any decoder says; for comparing.
    pub fn in_full(topic: &str, rules: &Rules) -> Result<Self, InvalidRules> {
        Self::with_shapes(topic, rules, shapes::Shapes::none())
    }

    fn with_shapes(topic: &str, rules: &Rules, shapes: shapes::Shapes) -> Result<Self, InvalidRules> {
        let locators = rules::Locators::new(topic, rules)?;
        let judge = judge::Judge::new(rules, &locators)?;
        let reader = match rules.format {
            Format::Cloudevents => {
                Reader::Cloudevents(Box::new(cloudevents::Reader::new(rules, locators, shapes)))
            }
            Format::KafkaLog => Reader::KafkaLog(Box::new(kafka_log::Reader::new(rules, locators, shapes))),
            Format::Batch => Reader::Batch(batch::Reader::new(rules, locators, !shapes.are_learned())),
        };
        Ok(Self { judge, reader, largest: rules.max_event_bytes })
    }

    /// `api_calls`, then the configured meters in order: the meter of `MeterIndex(n)` is the n-th.
    pub fn meters(&self) -> &[Meter] {
        self.judge.meters()
    }

    /// How many events looked so much like earlier ones that their structure was not read again.
    pub fn events_of_known_shape(&self) -> u64 {
        match &self.reader {
            Reader::Cloudevents(reader) => reader.shapes().hits(),
            Reader::KafkaLog(reader) => reader.shapes().hits(),
            Reader::Batch(_) => 0,
        }
    }

    /// Every record has at least one event: one without any has an ignored one.
    pub fn decode(&mut self, record: &Record<'_>, visit: Visit<'_>) {
        if record.value.is_some_and(|value| value.len() as u64 > self.largest) {
            let detail = format!("the record's value is longer than {} bytes", self.largest);
            return visit(
                0,
                Raw::Whole,
                Decoded::Rejected { reason: Reason::TooLarge, detail: detail.into() },
            );
        }
        match &mut self.reader {
            Reader::Cloudevents(reader) => reader.decode(&self.judge, record, visit),
            Reader::KafkaLog(reader) => reader.decode(&self.judge, record, visit),
            Reader::Batch(reader) => reader.decode(&self.judge, record, visit),
        }
    }
}
