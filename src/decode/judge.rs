//! What the fields of an event mean, for every format: the one place that accepts, rejects or
//! ignores. The order of the checks is the contract's: malformed, missing, bad, ignored, too old or
//! too new.

use std::borrow::Cow;
use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_128;

use super::fields::Field;
use super::rules::{InvalidRules, Locators, check_meters};
use super::{Decoded, Meter};
use crate::event::{
    API_CALLS, Aggregation, Body, Charge, EARLIEST_TIME_MS, Event, EventId, Ignored, LATEST_TIME_MS,
    MAX_QUANTITY, MeterIndex, Reason, Rules, ServiceAction, ServiceChange, is_region,
};

const REQUEST: &str = "api.request";
/// What gateways of one maker call it.
const REQUEST_ALIAS: &str = "kong.api_request";
const API_CALLS_INDEX: MeterIndex = MeterIndex(0);

#[derive(Debug)]
pub(super) struct Judge {
    meters: Vec<Meter>,
    /// The configured meters, in order.
    configured: Vec<Configured>,
    /// Which of them take requests, besides `api_calls`.
    of_requests: Vec<usize>,
    /// Which of them take another type.
    of_types: HashMap<Box<str>, Vec<usize>>,
    default_region: Box<str>,
    accept_past_ms: i64,
    accept_future_ms: i64,
    organization_name: Box<str>,
    region_name: Box<str>,
}

#[derive(Debug)]
struct Configured {
    index: MeterIndex,
    counts_events: bool,
    /// For error details: which value of which meter.
    value_name: Box<str>,
}

/// What every format has of an event.
pub(super) struct Envelope<'a> {
    pub organization: Field<&'a str>,
    pub region: Field<&'a str>,
    pub id: Field<&'a str>,
    /// Epoch milliseconds.
    pub time_ms: Field<i64>,
    /// Epoch milliseconds of the record.
    pub recorded_ms: Option<i64>,
}

/// The fields of a CloudEvents event, judged by [`Judge::event`].
pub(super) struct RawEvent<'a> {
    pub envelope: Envelope<'a>,
    pub specversion: Field<&'a str>,
    pub source: Field<&'a str>,
    pub event_type: Field<&'a str>,
    pub data: Data,
    /// Whether the region is a part of `data`, so that events whose data nobody reads have none.
    pub region_in_data: bool,
    pub service: Field<&'a str>,
    pub name: Field<&'a str>,
    pub published: Field<bool>,
    pub version: Field<i64>,
    pub quantity: Field<u64>,
}

/// The value that the n-th configured meter takes.
pub(super) type Values<'v> = &'v dyn Fn(usize) -> Field<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Data {
    Absent,
    Object,
    /// Something that has no fields.
    Other,
    /// Not what it says that it is; the text says why.
    Broken(&'static str),
}

/// The fields of a gateway's log of one request, judged by [`Judge::request`].
pub(super) struct RawRequest<'a> {
    pub envelope: Envelope<'a>,
    /// Whether the request matched a service.
    pub routed: Field<bool>,
    /// The event's own JSON text, from `{` to `}`.
    pub text: &'a [u8],
}

/// A request all of whose fields are there once and of the right kind, judged by [`Judge::ordinary`].
pub(super) struct Ordinary<'a> {
    pub event_type: &'a str,
    pub organization: &'a str,
    pub source: &'a str,
    pub id: &'a str,
    pub region: Option<&'a str>,
    pub time_ms: i64,
    pub recorded_ms: Option<i64>,
    pub quantity: u64,
}

/// Why an event doesn't count.
struct Fault {
    reason: Reason,
    detail: Cow<'static, str>,
}

enum Refusal {
    Rejected(Fault),
    Ignored(Ignored),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Rejected(fault)
    }
}

/// What takes the events of a type.
#[derive(Clone, Copy)]
enum Taker<'j> {
    /// `api_calls` and these configured meters.
    Requests(&'j [usize]),
    Meters(&'j [usize]),
    Catalog(ServiceAction),
    Nobody,
}

impl Judge {
    pub fn new(rules: &Rules, locators: &Locators) -> Result<Self, InvalidRules> {
        if !is_region(&rules.default_region) {
            return Err(InvalidRules::DefaultRegion(rules.default_region.clone()));
        }
        check_meters(rules)?;
        let mut judge = Self {
            meters: vec![Meter { name: API_CALLS.into(), aggregation: Aggregation::Sum }],
            configured: Vec::new(),
            of_requests: Vec::new(),
            of_types: HashMap::new(),
            default_region: rules.default_region.as_str().into(),
            accept_past_ms: rules.accept_past_ms,
            accept_future_ms: rules.accept_future_ms,
            organization_name: locators.organization.describe().into(),
            region_name: locators.region.describe().into(),
        };
        for (at, rule) in rules.meters.iter().enumerate() {
            let index = u16::try_from(at + 1).map_err(|_| InvalidRules::TooManyMeters(rules.meters.len()))?;
            judge.meters.push(Meter { name: rule.name.as_str().into(), aggregation: rule.aggregation });
            judge.configured.push(Configured {
                index: MeterIndex(index),
                counts_events: rule.aggregation == Aggregation::Count,
                value_name: format!("{} of meter {}", rule.value.as_deref().unwrap_or_default(), rule.name)
                    .into(),
            });
            match rule.event_type.as_str() {
                REQUEST | REQUEST_ALIAS => judge.of_requests.push(at),
                other => judge.of_types.entry(other.into()).or_default().push(at),
            }
        }
        Ok(judge)
    }

    pub fn meters(&self) -> &[Meter] {
        &self.meters
    }

    /// `charges` is a buffer.
    pub fn event<'a>(
        &'a self,
        raw: &RawEvent<'a>,
        values: Values<'_>,
        charges: &'a mut Vec<Charge>,
    ) -> Decoded<'a> {
        decoded(self.accept_event(raw, values, charges))
    }

    /// `charges` is a buffer.
    pub fn request<'a>(
        &'a self,
        raw: &RawRequest<'a>,
        values: Values<'_>,
        charges: &'a mut Vec<Charge>,
    ) -> Decoded<'a> {
        decoded(self.accept_request(raw, values, charges))
    }

    /// A request that counts and that no configured meter takes: what most events are. Of all else,
    /// `None`: [`Self::event`] says what becomes of it, and would say the same of these.
    #[inline(always)]
    pub fn ordinary<'a>(&'a self, raw: &Ordinary<'a>, charges: &'a mut Vec<Charge>) -> Option<Event<'a>> {
        let Ordinary { event_type, organization, source, id, region, time_ms, recorded_ms, quantity } = *raw;
        let counts = matches!(event_type, REQUEST | REQUEST_ALIAS)
            && self.of_requests.is_empty()
            && !(organization.is_empty() || source.is_empty() || id.is_empty())
            && region.is_none_or(is_region)
            && quantity <= MAX_QUANTITY
            && self.check_time(time_ms, recorded_ms).is_ok();
        counts.then(|| {
            charges.clear();
            charges.push(Charge { meter: API_CALLS_INDEX, quantity });
            let region = region.unwrap_or(&self.default_region);
            Event { organization, source, id: EventId::Text(id), time_ms, region, body: Body::Usage(charges) }
        })
    }

    fn accept_event<'a>(
        &'a self,
        raw: &RawEvent<'a>,
        values: Values<'_>,
        charges: &'a mut Vec<Charge>,
    ) -> Result<Event<'a>, Refusal> {
        let event_type = not_empty(text(raw.event_type, "type")?, "type")?;
        let source = not_empty(text(raw.source, "source")?, "source")?;
        if text(raw.specversion, "specversion")? != Some("1.0") {
            return Err(malformed("specversion is not \"1.0\"").into());
        }
        let taker = self.taker(event_type);
        let reads_region = !(raw.region_in_data && matches!(taker, Taker::Nobody));
        let envelope = self.envelope(&raw.envelope, reads_region)?;
        self.check_data(raw, values, taker)?;

        let organization = envelope.organization()?;
        let id = envelope.id.ok_or_else(|| fault(Reason::MissingId, "id is absent or empty"))?;
        let time_ms = time(raw.envelope.time_ms)?;
        let body = match taker {
            Taker::Requests(meters) => {
                service(raw.service)?;
                let quantity = quantity(raw.quantity, "data.quantity", Some(1))?;
                charges.clear();
                charges.push(Charge { meter: API_CALLS_INDEX, quantity });
                self.charge(meters, values, charges)?;
                Body::Usage(charges)
            }
            Taker::Meters(meters) => {
                charges.clear();
                self.charge(meters, values, charges)?;
                Body::Usage(charges)
            }
            Taker::Catalog(action) => Body::Service(change(raw, action, time_ms)?),
            Taker::Nobody => return Err(Refusal::Ignored(Ignored::UnknownType)),
        };
        self.check_time(time_ms, raw.envelope.recorded_ms)?;
        Ok(Event { organization, source, id: EventId::Text(id), time_ms, region: envelope.region, body })
    }

    fn accept_request<'a>(
        &'a self,
        raw: &RawRequest<'a>,
        values: Values<'_>,
        charges: &'a mut Vec<Charge>,
    ) -> Result<Event<'a>, Refusal> {
        let envelope = self.envelope(&raw.envelope, true)?;
        once(raw.routed, "service")?;
        self.check_values(&self.of_requests, values)?;

        let organization = envelope.organization()?;
        let Field::Found(time_ms) = raw.envelope.time_ms else {
            return Err(fault(Reason::BadTime, "started_at is no number").into());
        };
        charges.clear();
        charges.push(Charge { meter: API_CALLS_INDEX, quantity: 1 });
        match raw.routed {
            Field::Found(true) => self.charge(&self.of_requests, values, charges)?,
            Field::Found(false) | Field::Absent => return Err(Refusal::Ignored(Ignored::Unrouted)),
            Field::Wrong | Field::Twice => {
                return Err(fault(Reason::BadService, "service is neither an object nor a string").into());
            }
        }
        self.check_time(time_ms, raw.envelope.recorded_ms)?;
        let id = envelope.id.map_or_else(|| EventId::Hash(xxh3_128(raw.text)), EventId::Text);
        Ok(Event {
            organization,
            source: "",
            id,
            time_ms,
            region: envelope.region,
            body: Body::Usage(charges),
        })
    }

    fn taker(&self, event_type: &str) -> Taker<'_> {
        if matches!(event_type, REQUEST | REQUEST_ALIAS) {
            return Taker::Requests(&self.of_requests);
        }
        if let Some(action) = ServiceAction::from_event_type(event_type) {
            return Taker::Catalog(action);
        }
        self.of_types.get(event_type).map_or(Taker::Nobody, |meters| Taker::Meters(meters))
    }

    /// Whether the fields that every event has are sound; they may still be missing.
    fn envelope<'a>(&'a self, raw: &Envelope<'a>, reads_region: bool) -> Result<Sound<'a>, Fault> {
        let region = if reads_region { text(raw.region, &self.region_name)? } else { None };
        if !region.is_none_or(is_region) {
            let name = &self.region_name;
            return Err(malformed(format!("{name} is no region's name: 1 to 16 of a-z, 0-9 and -")));
        }
        once(raw.time_ms, "time")?;
        Ok(Sound {
            organization: text(raw.organization, &self.organization_name)?.filter(|text| !text.is_empty()),
            organization_name: &self.organization_name,
            region: region.unwrap_or(&self.default_region),
            id: text(raw.id, "id")?.filter(|text| !text.is_empty()),
        })
    }

    /// Whether what is read of the data is there once.
    fn check_data(&self, raw: &RawEvent<'_>, values: Values<'_>, taker: Taker<'_>) -> Result<(), Fault> {
        match (raw.data, taker) {
            (_, Taker::Nobody) => return Ok(()),
            (Data::Broken(why), _) => return Err(malformed(why)),
            (Data::Other, Taker::Requests(_) | Taker::Catalog(_)) => {
                return Err(malformed("data is no JSON object"));
            }
            _ => {}
        }
        match taker {
            Taker::Requests(meters) => {
                once(raw.service, "data.service")?;
                once(raw.quantity, "data.quantity")?;
                self.check_values(meters, values)
            }
            Taker::Meters(meters) => self.check_values(meters, values),
            Taker::Catalog(action) => {
                once(raw.service, "data.service")?;
                once(raw.name, "data.name")?;
                once(raw.version, "data.version")?;
                if says_published(action) { once(raw.published, "data.published") } else { Ok(()) }
            }
            Taker::Nobody => Ok(()),
        }
    }

    fn check_values(&self, meters: &[usize], values: Values<'_>) -> Result<(), Fault> {
        for meter in meters.iter().filter(|meter| !self.configured[**meter].counts_events) {
            once(values(*meter), &self.configured[*meter].value_name)?;
        }
        Ok(())
    }

    fn charge(&self, meters: &[usize], values: Values<'_>, charges: &mut Vec<Charge>) -> Result<(), Fault> {
        for meter in meters {
            let Configured { index, counts_events, value_name } = &self.configured[*meter];
            let quantity = if *counts_events { 1 } else { quantity(values(*meter), value_name, None)? };
            charges.push(Charge { meter: *index, quantity });
        }
        Ok(())
    }

    fn check_time(&self, time_ms: i64, recorded_ms: Option<i64>) -> Result<(), Fault> {
        if time_ms < EARLIEST_TIME_MS {
            return Err(fault(Reason::TooOld, "the event's time is before 2000"));
        }
        if time_ms >= LATEST_TIME_MS {
            return Err(fault(Reason::TooNew, "the event's time is after 2099"));
        }
        let Some(recorded_ms) = recorded_ms else { return Ok(()) };
        if recorded_ms.saturating_sub(time_ms) > self.accept_past_ms {
            let limit = self.accept_past_ms;
            return Err(fault(
                Reason::TooOld,
                format!("the event is more than {limit} ms older than its record"),
            ));
        }
        if time_ms.saturating_sub(recorded_ms) > self.accept_future_ms {
            let limit = self.accept_future_ms;
            return Err(fault(
                Reason::TooNew,
                format!("the event is more than {limit} ms newer than its record"),
            ));
        }
        Ok(())
    }
}

/// An envelope whose fields have the right form.
struct Sound<'a> {
    organization: Option<&'a str>,
    organization_name: &'a str,
    region: &'a str,
    id: Option<&'a str>,
}

impl<'a> Sound<'a> {
    fn organization(&self) -> Result<&'a str, Fault> {
        self.organization.ok_or_else(|| {
            let name = self.organization_name;
            fault(Reason::MissingOrganization, format!("the organization ({name}) is absent or empty"))
        })
    }
}

fn decoded(result: Result<Event<'_>, Refusal>) -> Decoded<'_> {
    match result {
        Ok(event) => Decoded::Event(event),
        Err(Refusal::Rejected(Fault { reason, detail })) => Decoded::Rejected { reason, detail },
        Err(Refusal::Ignored(why)) => Decoded::Ignored(why),
    }
}

fn fault(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Fault {
    Fault { reason, detail: detail.into() }
}

fn malformed(detail: impl Into<Cow<'static, str>>) -> Fault {
    fault(Reason::Malformed, detail)
}

fn once<T>(field: Field<T>, name: &str) -> Result<(), Fault> {
    match field {
        Field::Twice => Err(malformed(format!("{name} is there twice"))),
        _ => Ok(()),
    }
}

/// `None` where the field is absent.
fn text<'a>(field: Field<&'a str>, name: &str) -> Result<Option<&'a str>, Fault> {
    match field {
        Field::Absent => Ok(None),
        Field::Found(text) => Ok(Some(text)),
        Field::Wrong => Err(malformed(format!("{name} is no string of Unicode text"))),
        Field::Twice => Err(malformed(format!("{name} is there twice"))),
    }
}

fn not_empty<'a>(text: Option<&'a str>, name: &str) -> Result<&'a str, Fault> {
    text.filter(|text| !text.is_empty()).ok_or_else(|| malformed(format!("{name} is absent or empty")))
}

fn time(time_ms: Field<i64>) -> Result<i64, Fault> {
    match time_ms {
        Field::Found(time_ms) => Ok(time_ms),
        Field::Absent => Err(fault(Reason::MissingTime, "time is absent")),
        Field::Wrong | Field::Twice => Err(fault(Reason::BadTime, "time is no RFC 3339 time")),
    }
}

fn quantity(field: Field<u64>, name: &str, default: Option<u64>) -> Result<u64, Fault> {
    let found = match field {
        Field::Found(quantity) => Some(quantity).filter(|quantity| *quantity <= MAX_QUANTITY),
        Field::Absent => default,
        Field::Wrong | Field::Twice => None,
    };
    found.ok_or_else(|| fault(Reason::BadQuantity, format!("{name} is no integer from 0 to {MAX_QUANTITY}")))
}

/// An empty name says as much as none.
fn service(field: Field<&str>) -> Result<Option<&str>, Fault> {
    match field {
        Field::Found(service) => Ok(Some(service).filter(|service| !service.is_empty())),
        Field::Absent => Ok(None),
        Field::Wrong | Field::Twice => Err(fault(Reason::BadService, "data.service is no string")),
    }
}

fn says_published(action: ServiceAction) -> bool {
    matches!(action, ServiceAction::Created | ServiceAction::Updated)
}

fn change<'a>(raw: &RawEvent<'a>, action: ServiceAction, time_ms: i64) -> Result<ServiceChange<'a>, Fault> {
    let service =
        service(raw.service)?.ok_or_else(|| fault(Reason::BadService, "data.service is absent or empty"))?;
    let name = optional(raw.name, "data.name is no string")?;
    let version = optional(raw.version, "data.version is no integer of 64 bits")?.unwrap_or(time_ms);
    let published = match action {
        ServiceAction::Created => Some(published(raw)?.unwrap_or(false)),
        ServiceAction::Updated => published(raw)?,
        ServiceAction::Published => Some(true),
        ServiceAction::Unpublished => Some(false),
        ServiceAction::Deleted => None,
    };
    Ok(ServiceChange { service, action, name, published, version })
}

fn published(raw: &RawEvent<'_>) -> Result<Option<bool>, Fault> {
    optional(raw.published, "data.published is neither true nor false")
}

fn optional<T>(field: Field<T>, wrong: &'static str) -> Result<Option<T>, Fault> {
    match field {
        Field::Found(value) => Ok(Some(value)),
        Field::Absent => Ok(None),
        Field::Wrong | Field::Twice => Err(fault(Reason::BadService, wrong)),
    }
}
