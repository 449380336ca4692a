//! The counting rules made ready for decoding, or what is wrong with them.

use std::collections::HashSet;

use regex::Regex;

use super::fields::Field;
use crate::event::{API_CALLS, Aggregation, Format, MeterRule, Record, Rules, ServiceAction, is_region};

#[cfg(test)]
mod tests;

/// Names that usage answers have for themselves.
const RESERVED_METERS: [&str; 4] = [API_CALLS, "services", "published_services", "regions"];
const MOST_METERS: usize = 1000;
/// Parts of a dotted path.
const DEEPEST_PATH: usize = 32;

/// Why a topic's rules can't be counted by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    #[error("organization {text:?}: {cause}")]
    Organization { text: String, cause: InvalidLocator },
    #[error(
        "organization: a kafka-log topic needs it, because gateways send none by themselves; \
         give a dotted path such as konnect.org_id, header:NAME or topic:PATTERN"
    )]
    NoOrganization,
    #[error("region {text:?}: {cause}")]
    Region { text: String, cause: InvalidLocator },
    #[error("region {0:?}: a region's name is 1 to 16 of a-z, 0-9 and -")]
    DefaultRegion(String),
    #[error("meter {name:?}: {cause}")]
    Meter { name: String, cause: InvalidMeter },
    #[error("meters: there are {0}, and at most {MOST_METERS} are allowed")]
    TooManyMeters(usize),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLocator {
    #[error("a dotted path is names joined by single dots, such as konnect.org_id")]
    Path,
    #[error("a path has at most {DEEPEST_PATH} names")]
    Deep,
    #[error("a header's name must follow header:, such as header:x-organization")]
    Header,
    #[error("the pattern is no regular expression: {0}")]
    Pattern(String),
    #[error("the pattern must have exactly one capture group, such as topic:^logs\\.([a-z]+)$, and has {0}")]
    Groups(usize),
    #[error("the pattern finds nothing in the topic's name {0:?}, so that no event could be counted")]
    Topic(String),
    #[error("the pattern finds {0:?} in the topic's name, and a region's name is 1 to 16 of a-z, 0-9 and -")]
    NoRegion(String),
    #[error("events of a batch have no paths: leave it out, or use header:NAME or topic:PATTERN")]
    Batch,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMeter {
    #[error("a meter's name is 1 to 64 of a-z, 0-9 and _")]
    Name,
    #[error("the name is taken by a built-in meter")]
    Reserved,
    #[error("another meter has the same name")]
    Twice,
    #[error("type must name the event type that the meter takes, such as api.request")]
    NoType,
    #[error("events of type {0} make up the service catalog; no meter can take them")]
    ServiceType(String),
    #[error("sum and max need value, the dotted path of what they take, such as data.tokens")]
    NoValue,
    #[error("value {text:?}: {cause}")]
    Value { text: String, cause: InvalidLocator },
}

/// Where the organization and the region of a topic's events are.
#[derive(Debug)]
pub(super) struct Locators {
    pub organization: Locator,
    pub region: Locator,
}

#[derive(Debug)]
pub(super) enum Locator {
    /// A dotted path within the event.
    Path(Box<str>),
    /// A Kafka header of that name; case matters, as it does to Kafka.
    Header(Box<str>),
    /// What the topic's name says.
    Fixed(Box<str>),
    Nowhere,
}

impl Locator {
    /// The value that all events of the record share; `None` where each event has its own.
    pub fn of_record<'r>(&'r self, record: &Record<'r>) -> Option<Field<&'r str>> {
        match self {
            Self::Path(_) => None,
            Self::Header(name) => Some(match record.headers.get(name).map(std::str::from_utf8) {
                None => Field::Absent,
                Some(Ok(text)) => Field::Found(text),
                Some(Err(_)) => Field::Wrong,
            }),
            Self::Fixed(text) => Some(Field::Found(text)),
            Self::Nowhere => Some(Field::Absent),
        }
    }

    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path(path) => Some(path),
            _ => None,
        }
    }

    /// What error details call it.
    pub fn describe(&self) -> String {
        match self {
            Self::Path(path) => path.to_string(),
            Self::Header(name) => format!("header {name}"),
            Self::Fixed(_) | Self::Nowhere => "the topic's name".to_owned(),
        }
    }

    fn parse(text: &str, topic: &str) -> Result<Self, InvalidLocator> {
        if let Some(name) = text.strip_prefix("header:") {
            return if name.is_empty() { Err(InvalidLocator::Header) } else { Ok(Self::Header(name.into())) };
        }
        if let Some(pattern) = text.strip_prefix("topic:") {
            return Ok(find_in_topic(pattern, topic)?.map_or(Self::Nowhere, Self::Fixed));
        }
        check_path(text)?;
        Ok(Self::Path(text.into()))
    }
}

impl Locators {
    pub fn new(topic: &str, rules: &Rules) -> Result<Self, InvalidRules> {
        Ok(Self { organization: organization(topic, rules)?, region: region(topic, rules)? })
    }
}

fn organization(topic: &str, rules: &Rules) -> Result<Locator, InvalidRules> {
    let Some(text) = &rules.organization else {
        return match rules.format {
            Format::Cloudevents => Ok(Locator::Path("subject".into())),
            Format::KafkaLog => Err(InvalidRules::NoOrganization),
            Format::Batch => Ok(Locator::Path("organization".into())),
        };
    };
    let invalid = |cause| InvalidRules::Organization { text: text.clone(), cause };
    match Locator::parse(text, topic).map_err(invalid)? {
        Locator::Nowhere => Err(invalid(InvalidLocator::Topic(topic.to_owned()))),
        Locator::Path(path) if rules.format == Format::Batch && *path != *"organization" => {
            Err(invalid(InvalidLocator::Batch))
        }
        locator => Ok(locator),
    }
}

fn region(topic: &str, rules: &Rules) -> Result<Locator, InvalidRules> {
    let Some(text) = &rules.region else {
        return Ok(match rules.format {
            Format::Cloudevents => Locator::Path("data.region".into()),
            Format::KafkaLog => Locator::Nowhere,
            Format::Batch => Locator::Path("region".into()),
        });
    };
    let invalid = |cause| InvalidRules::Region { text: text.clone(), cause };
    match Locator::parse(text, topic).map_err(invalid)? {
        Locator::Fixed(region) if !is_region(&region) => {
            Err(invalid(InvalidLocator::NoRegion(region.into_string())))
        }
        Locator::Path(path) if rules.format == Format::Batch && *path != *"region" => {
            Err(invalid(InvalidLocator::Batch))
        }
        locator => Ok(locator),
    }
}

/// What the pattern's group holds; `None` where it finds nothing or nothing but emptiness.
fn find_in_topic(pattern: &str, topic: &str) -> Result<Option<Box<str>>, InvalidLocator> {
    let pattern = Regex::new(pattern).map_err(|error| {
        let text = error.to_string();
        InvalidLocator::Pattern(
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        )
    })?;
    if pattern.captures_len() != 2 {
        return Err(InvalidLocator::Groups(pattern.captures_len() - 1));
    }
    let group = pattern.captures(topic).and_then(|captures| captures.get(1));
    Ok(group.map(|group| group.as_str()).filter(|text| !text.is_empty()).map(Into::into))
}

fn check_path(path: &str) -> Result<(), InvalidLocator> {
    if path.split('.').any(|name| name.is_empty() || name.trim() != name) {
        return Err(InvalidLocator::Path);
    }
    if path.split('.').count() > DEEPEST_PATH {
        return Err(InvalidLocator::Deep);
    }
    Ok(())
}

/// Whether the rules are such that a decoder can count by them.
pub(super) fn check_meters(rules: &Rules) -> Result<(), InvalidRules> {
    if rules.meters.len() > MOST_METERS {
        return Err(InvalidRules::TooManyMeters(rules.meters.len()));
    }
    let mut names = HashSet::new();
    for meter in &rules.meters {
        let taken = !names.insert(&meter.name);
        check_meter(meter)
            .and(if taken { Err(InvalidMeter::Twice) } else { Ok(()) })
            .map_err(|cause| InvalidRules::Meter { name: meter.name.clone(), cause })?;
    }
    Ok(())
}

fn check_meter(meter: &MeterRule) -> Result<(), InvalidMeter> {
    let is_name_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if !(1..=64).contains(&meter.name.len()) || !meter.name.bytes().all(is_name_byte) {
        return Err(InvalidMeter::Name);
    }
    if RESERVED_METERS.contains(&meter.name.as_str()) {
        return Err(InvalidMeter::Reserved);
    }
    if meter.event_type.is_empty() {
        return Err(InvalidMeter::NoType);
    }
    if ServiceAction::from_event_type(&meter.event_type).is_some() {
        return Err(InvalidMeter::ServiceType(meter.event_type.clone()));
    }
    match (&meter.value, meter.aggregation) {
        (None, Aggregation::Sum | Aggregation::Max) => Err(InvalidMeter::NoValue),
        (Some(text), _) => {
            check_path(text).map_err(|cause| InvalidMeter::Value { text: text.clone(), cause })
        }
        (None, Aggregation::Count) => Ok(()),
    }
}
