//! Where the organization and the region go: a topic's mapping, read the other way round.

use serde_json::{Map, Value};

use crate::event::Format;

use super::settings::{InvalidSettings, Settings};

#[cfg(test)]
mod tests;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Where the format's writer puts it anyway.
    Usual,
    /// A dotted path of the operator's.
    Path(Vec<String>),
    Header(String),
    /// The topic's mapping reads none.
    Nowhere,
}

impl Place {
    pub fn organization(settings: &Settings) -> Result<Self, InvalidSettings> {
        let usual = match settings.format {
            Format::Cloudevents => "subject",
            Format::KafkaLog => "konnect.org_id",
            Format::Batch => "organization",
        };
        Self::parse("organization", settings.organization.as_deref().unwrap_or(usual), usual, settings.format)
    }

    pub fn region(settings: &Settings) -> Result<Self, InvalidSettings> {
        let usual = match settings.format {
            Format::Cloudevents => "data.region",
            Format::KafkaLog => "konnect.geo",
            Format::Batch => "region",
        };
        match settings.region.as_deref() {
            None if settings.format == Format::KafkaLog => Ok(Self::Nowhere),
            mapping => Self::parse("region", mapping.unwrap_or(usual), usual, settings.format),
        }
    }

    fn parse(what: &'static str, text: &str, usual: &str, format: Format) -> Result<Self, InvalidSettings> {
        let bad = |reason| InvalidSettings::BadPlace { what, place: text.to_owned(), reason };
        if text == usual {
            return Ok(Self::Usual);
        }
        if format == Format::Batch {
            return Err(bad("a batch has fields of its own for it; leave the topic's mapping out"));
        }
        if let Some(name) = text.strip_prefix("header:") {
            return Ok(Self::Header(name.to_owned()));
        }
        if text.starts_with("topic:") {
            return Err(bad(
                "one topic can't carry several; simulate into a topic that maps a path or a header",
            ));
        }
        let path: Vec<String> = text.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(bad("a path has no empty parts"));
        }
        Ok(Self::Path(path))
    }
}

/// Puts `text` at `path` into an event that a writer of this room made. Slow (the event is parsed
/// and written again), so only for places that no writer knows.
pub(super) fn put(event: &mut Vec<u8>, path: &[String], text: &str) {
    let mut value: Value = serde_json::from_slice(event).expect("an event is written as valid JSON");
    let mut at = &mut value;
    for part in path {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = at.as_object_mut().expect("made an object above").entry(part.as_str()).or_insert(Value::Null);
    }
    *at = Value::String(text.to_owned());
    event.clear();
    serde_json::to_writer(event, &value).expect("writing to memory does not fail");
}
