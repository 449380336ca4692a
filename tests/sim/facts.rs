//! What a simulated producer says, and how it is written in each format. The oracle reads the facts,
//! the product the bytes.

use std::fmt::Write;

use odometer::decode::{CompactEvent, encode_batch};
use odometer::event::Format;

use super::chance::Chance;

/// One event, as the producer means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub kind: FactKind,
    /// Under the ordinary mapping; the other one is used where the configuration says so.
    pub organization: Option<u8>,
    pub other_organization: u8,
    pub source: u8,
    pub id: u16,
    /// Hours after [`BASE_MS`].
    pub hour: u8,
    pub region: Option<u8>,
    pub other_region: u8,
    pub quantity: Option<u64>,
    pub service: u8,
    pub published: Option<bool>,
    pub version: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactKind {
    Request,
    Created,
    Updated,
    Published,
    Unpublished,
    Deleted,
    /// A type that only a configured meter takes.
    Tokens,
    Malformed,
    BadTime,
}

/// 2026-11-20T00:00:00Z.
pub const BASE_MS: i64 = 1_795_132_800_000;
pub const BASE_HOUR: u32 = 498_648;
/// Records are written this many hours after [`BASE_MS`].
pub const RECORD_HOUR: i64 = 100;
pub const HOUR_MS: i64 = 3_600_000;

impl Fact {
    pub fn any(chance: &mut Chance) -> Self {
        let kind = match chance.below(20) {
            0 => FactKind::Created,
            1 => FactKind::Published,
            2 => *chance.pick(&[FactKind::Updated, FactKind::Unpublished, FactKind::Deleted]),
            3 | 4 => FactKind::Tokens,
            5 => *chance.pick(&[FactKind::Malformed, FactKind::BadTime]),
            _ => FactKind::Request,
        };
        Self {
            kind,
            organization: if chance.one_in(30) { None } else { Some(chance.below(3) as u8) },
            other_organization: chance.below(3) as u8,
            source: chance.below(2) as u8,
            id: chance.below(60_000) as u16,
            hour: chance.below(4) as u8,
            region: if chance.one_in(2) { Some(chance.below(2) as u8) } else { None },
            other_region: chance.below(2) as u8,
            quantity: if chance.one_in(3) { Some(chance.below(9) as u64) } else { None },
            service: chance.below(4) as u8,
            published: if chance.one_in(2) { Some(chance.one_in(2)) } else { None },
            version: chance.below(50) as i64,
        }
    }

    pub fn event_type(&self) -> &'static str {
        match self.kind {
            FactKind::Request | FactKind::Malformed | FactKind::BadTime => "api.request",
            FactKind::Created => "service.created",
            FactKind::Updated => "service.updated",
            FactKind::Published => "service.published",
            FactKind::Unpublished => "service.unpublished",
            FactKind::Deleted => "service.deleted",
            FactKind::Tokens => "ai.tokens",
        }
    }

    pub fn says_published(&self) -> Option<bool> {
        matches!(self.kind, FactKind::Created | FactKind::Updated).then_some(self.published).flatten()
    }

    pub fn time_ms(&self) -> i64 {
        BASE_MS + i64::from(self.hour) * HOUR_MS + i64::from(self.id) % HOUR_MS
    }

    fn time(&self) -> String {
        if self.kind == FactKind::BadTime {
            return "yesterday".into();
        }
        let ms = self.time_ms() - BASE_MS;
        let (hour, minute, second) = (ms / HOUR_MS, ms / 60_000 % 60, ms / 1000 % 60);
        format!("2026-11-20T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

pub fn organization_name(organization: u8) -> String {
    format!("org-{organization}")
}

pub fn region_name(region: u8) -> String {
    format!("zone-{region}")
}

pub fn service_name(service: u8) -> String {
    format!("service-{service}")
}

/// The value of a record that holds the events.
pub fn render(format: Format, facts: &[Fact]) -> Vec<u8> {
    match format {
        Format::Cloudevents => json(facts, cloudevent),
        Format::KafkaLog => json(facts, request_log),
        Format::Batch => batch(facts),
    }
}

fn json(facts: &[Fact], one: impl Fn(&Fact) -> String) -> Vec<u8> {
    match facts {
        [fact] => one(fact).into_bytes(),
        facts => {
            let events: Vec<String> = facts.iter().map(one).collect();
            format!("[{}]", events.join(",")).into_bytes()
        }
    }
}

fn cloudevent(fact: &Fact) -> String {
    let mut text = format!(r#"{{"specversion":"1.0","type":"{}","id":"e{}""#, fact.event_type(), fact.id);
    let mut put = |part: std::fmt::Arguments<'_>| text.write_fmt(part).expect("a string takes everything");
    if fact.kind != FactKind::Malformed {
        put(format_args!(r#","source":"s{}""#, fact.source));
    }
    if let Some(organization) = fact.organization {
        put(format_args!(r#","subject":"{}""#, organization_name(organization)));
    }
    put(format_args!(r#","time":"{}""#, fact.time()));
    put(format_args!(
        r#","data":{{"customer":"{}","zone":"{}","service":"{}","version":{}"#,
        organization_name(fact.other_organization),
        region_name(fact.other_region),
        service_name(fact.service),
        fact.version
    ));
    if let Some(region) = fact.region {
        put(format_args!(r#","region":"{}""#, region_name(region)));
    }
    if let Some(quantity) = fact.quantity {
        put(format_args!(r#","quantity":{quantity}"#));
    }
    if let Some(published) = fact.says_published() {
        put(format_args!(r#","published":{published}"#));
    }
    put(format_args!("}}}}"));
    text
}

/// Whatever the kind, a gateway logs requests.
fn request_log(fact: &Fact) -> String {
    let mut text = String::from("{");
    let mut put = |part: std::fmt::Arguments<'_>| text.write_fmt(part).expect("a string takes everything");
    if fact.kind == FactKind::Malformed {
        put(format_args!(r#""request":{{"id":{}}}"#, fact.id));
    } else {
        put(format_args!(r#""request":{{"id":"e{}"}}"#, fact.id));
    }
    if fact.kind == FactKind::BadTime {
        put(format_args!(r#","started_at":"yesterday""#));
    } else {
        put(format_args!(r#","started_at":{}"#, fact.time_ms()));
    }
    if fact.kind != FactKind::Tokens {
        put(format_args!(r#","service":{{"name":"{}"}}"#, service_name(fact.service)));
    }
    put(format_args!(r#","konnect":{{"other_org":"{}""#, organization_name(fact.other_organization)));
    if let Some(organization) = fact.organization {
        put(format_args!(r#","org":"{}""#, organization_name(organization)));
    }
    if let Some(region) = fact.region {
        put(format_args!(r#","geo":"{}""#, region_name(region)));
    }
    put(format_args!("}},\"data\":{{"));
    if let Some(quantity) = fact.quantity {
        put(format_args!(r#""quantity":{quantity}"#));
    }
    put(format_args!("}}}}"));
    text
}

fn batch(facts: &[Fact]) -> Vec<u8> {
    let texts: Vec<[String; 5]> = facts
        .iter()
        .map(|fact| {
            [
                fact.organization.map(organization_name).unwrap_or_default(),
                if fact.kind == FactKind::Malformed { String::new() } else { format!("s{}", fact.source) },
                format!("e{}", fact.id),
                fact.region.map(region_name).unwrap_or_default(),
                service_name(fact.service),
            ]
        })
        .collect();
    let events: Vec<CompactEvent<'_>> = facts
        .iter()
        .zip(&texts)
        .map(|(fact, [organization, source, id, region, service])| CompactEvent {
            organization,
            source,
            id,
            event_type: fact.event_type(),
            // A batch has no way to write a time that is none; one before 2000 is refused likewise.
            time_ms: if fact.kind == FactKind::BadTime { 0 } else { fact.time_ms() },
            region: fact.region.map(|_| region.as_str()),
            service: Some(service),
            name: None,
            published: fact.says_published(),
            version: Some(fact.version),
            quantity: fact.quantity,
        })
        .collect();
    encode_batch(&events)
}
