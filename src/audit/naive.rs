//! Reads records a second time, by code of its own: slow, plain, and sharing nothing with the rooms
//! that count but the words and the rules. Where the two disagree, one of them is wrong.
//!
//! docs/formats.md is what both are made from.

use regex::Regex;

use crate::event::{Aggregation, Format, Headers, Ignored, Reason, Record, Rules};

mod batch;
mod cloudevents;
mod field;
mod hashing;
mod json;
mod kafka_log;
mod number;
#[cfg(test)]
mod tests;
mod time;
mod verdict;

use field::Field;
pub use hashing::{content_hash, event_key, keyed_trace, placed_trace};

/// Reads the records of one topic under one set of rules.
pub struct NaiveReader {
    rules: Rules,
    organization: Place,
    region: Place,
}

/// Where a text of an event is to be found.
enum Place {
    Path(Vec<String>),
    Header(String),
    /// The same for every record of the topic; `None` where the topic's name says nothing.
    Fixed(Option<String>),
}

/// What one event of a record turned out to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    Event(Box<NaiveEvent>),
    Rejected(Reason),
    Ignored(Ignored),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NaiveEvent {
    pub organization: String,
    pub source: String,
    pub id: NaiveId,
    pub time_ms: i64,
    pub region: String,
    pub body: NaiveBody,
}

#[derive(Clone, Debug, PartialEq)]
pub enum NaiveId {
    Text(String),
    /// The hash of an event's bytes, where it has no id.
    Hash(u128),
}

#[derive(Clone, Debug, PartialEq)]
pub enum NaiveBody {
    /// Meter, how its values fold, quantity: `api_calls` first, then as configured.
    Usage(Vec<(String, Aggregation, u64)>),
    Service {
        service: String,
        event_type: String,
        name: Option<String>,
        published: Option<bool>,
        version: i64,
    },
}

/// One event with the bytes that hold it alone, in its record's format.
pub struct Part {
    pub judged: Judged,
    /// `None`: the whole record.
    pub alone: Option<Vec<u8>>,
}

/// The rules can't be read by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read rules of topic {topic}: {problem}")]
pub struct UnreadableRules {
    pub topic: String,
    pub problem: String,
}

impl NaiveReader {
    pub fn new(topic: &str, rules: &Rules) -> Result<Self, UnreadableRules> {
        let (organization, region) = match rules.format {
            Format::Cloudevents => (Some("subject"), Some("data.region")),
            Format::KafkaLog => (None, None),
            Format::Batch => (Some("organization"), Some("region")),
        };
        let place = |text: Option<&str>| match text {
            Some(text) => Place::parse(text, topic)
                .map_err(|problem| UnreadableRules { topic: topic.to_owned(), problem }),
            None => Ok(Place::Fixed(None)),
        };
        Ok(Self {
            organization: place(rules.organization.as_deref().or(organization))?,
            region: place(rules.region.as_deref().or(region))?,
            rules: rules.clone(),
        })
    }

    /// All events of a record, in order; at least one.
    pub fn read(&self, record: &Record<'_>) -> Vec<Part> {
        let value = record.value.unwrap_or_default();
        if value.len() as u64 > self.rules.max_event_bytes {
            return vec![Part::rejected(Reason::TooLarge)];
        }
        match self.rules.format {
            Format::Cloudevents if cloudevents::is_binary(record.headers) => {
                vec![Part::whole(self.binary(record))]
            }
            Format::Cloudevents if std::str::from_utf8(value).is_err() => {
                vec![Part::rejected(Reason::Malformed)]
            }
            Format::Cloudevents => {
                self.objects(value, &|document, object| self.structured(record, document, object))
            }
            Format::KafkaLog => {
                self.objects(value, &|document, object| self.request(record, document, object))
            }
            Format::Batch => self.batch(record),
        }
    }

    /// A record that holds one JSON object, or an array of them.
    fn objects(&self, value: &[u8], judge: &dyn Fn(&json::Document<'_>, json::Node) -> Judged) -> Vec<Part> {
        let Some(document) = json::parse(value) else { return vec![Part::rejected(Reason::Malformed)] };
        let root = json::ROOT;
        match document.kind(root) {
            json::Kind::Object => vec![Part::whole(judge(&document, root))],
            json::Kind::Array if document.children(root).is_empty() => {
                vec![Part::whole(Judged::Ignored(Ignored::Empty))]
            }
            json::Kind::Array => document
                .children(root)
                .iter()
                .map(|&element| match document.kind(element) {
                    json::Kind::Object => Part {
                        judged: judge(&document, element),
                        alone: Some(document.raw(element).to_vec()),
                    },
                    // An array within the array would be one of events if it stood alone.
                    json::Kind::Array => Part {
                        judged: Judged::Rejected(Reason::Malformed),
                        alone: Some([b"[", document.raw(element), b"]"].concat()),
                    },
                    _ => Part {
                        judged: Judged::Rejected(Reason::Malformed),
                        alone: Some(document.raw(element).to_vec()),
                    },
                })
                .collect(),
            _ => vec![Part::rejected(Reason::Malformed)],
        }
    }
}

impl Part {
    fn whole(judged: Judged) -> Self {
        Self { judged, alone: None }
    }

    fn rejected(reason: Reason) -> Self {
        Self::whole(Judged::Rejected(reason))
    }
}

impl Place {
    fn parse(text: &str, topic: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("header:") {
            return Ok(Self::Header(name.to_owned()));
        }
        let Some(pattern) = text.strip_prefix("topic:") else {
            return Ok(Self::Path(text.split('.').map(str::to_owned).collect()));
        };
        let pattern = Regex::new(pattern).map_err(|error| format!("pattern {pattern:?}: {error}"))?;
        let found = pattern.captures(topic).and_then(|captures| captures.get(1)).map(|group| group.as_str());
        Ok(Self::Fixed(found.filter(|text| !text.is_empty()).map(str::to_owned)))
    }

    /// The text, where it is not within the event.
    fn of_record(&self, headers: &dyn Headers) -> Option<Field<String>> {
        match self {
            Self::Path(_) => None,
            Self::Fixed(text) => Some(Field::from(text.clone())),
            Self::Header(name) => Some(match headers.get(name) {
                None => Field::Absent,
                Some(value) => {
                    std::str::from_utf8(value).map_or(Field::Wrong, |text| Field::Found(text.to_owned()))
                }
            }),
        }
    }

    fn path(&self) -> &[String] {
        match self {
            Self::Path(path) => path,
            _ => &[],
        }
    }
}
