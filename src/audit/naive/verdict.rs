//! What the fields say, check by check in the contract's order.

use super::{Field, Judged, NaiveBody, NaiveEvent, NaiveId, NaiveReader};
use crate::event::{Aggregation, Ignored, Reason};

/// The fields of a CloudEvents event or of one of a batch.
pub struct RawEvent {
    pub specversion: Field<String>,
    pub event_type: Field<String>,
    pub source: Field<String>,
    pub id: Field<String>,
    pub time_ms: Field<i64>,
    pub organization: Field<String>,
    pub region: Field<String>,
    /// Whether the region is a part of `data`, so that nobody reads it where nobody reads that.
    pub region_is_data: bool,
    pub data: Data,
    pub service: Field<String>,
    pub name: Field<String>,
    pub published: Field<bool>,
    pub version: Field<i64>,
    pub quantity: Field<u64>,
    /// What each configured meter would take.
    pub values: Vec<Field<u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    Absent,
    Object,
    /// A value without fields.
    Other,
    /// Not what it should be, or there twice.
    Broken,
}

/// The fields of a gateway's log of a request.
pub struct RawRequest {
    pub organization: Field<String>,
    pub region: Field<String>,
    pub id: Field<String>,
    /// Of the event's bytes.
    pub hash: u128,
    pub time_ms: Field<i64>,
    /// Whether the request matched a service.
    pub routed: Field<bool>,
    pub values: Vec<Field<u64>>,
}

const EARLIEST_MS: i64 = 946_684_800_000; // 2000-01-01T00:00:00Z
const LATEST_MS: i64 = 4_102_444_800_000; // 2100-01-01T00:00:00Z
const GREATEST_QUANTITY: u64 = 9_007_199_254_740_991; // 2^53 - 1
const REQUEST_TYPES: [&str; 2] = ["api.request", "kong.api_request"];
const CATALOG_TYPES: [&str; 5] =
    ["service.created", "service.updated", "service.published", "service.unpublished", "service.deleted"];

/// Why an event does not count.
#[derive(Clone, Copy)]
enum End {
    Rejected(Reason),
    Ignored(Ignored),
}

impl From<End> for Judged {
    fn from(end: End) -> Self {
        match end {
            End::Rejected(reason) => Self::Rejected(reason),
            End::Ignored(why) => Self::Ignored(why),
        }
    }
}

type Checked<T> = Result<T, End>;

impl NaiveReader {
    pub(super) fn judge_event(&self, raw: &RawEvent, recorded_ms: Option<i64>) -> Judged {
        self.event(raw, recorded_ms).map_or_else(Judged::from, |event| Judged::Event(Box::new(event)))
    }

    pub(super) fn judge_request(&self, raw: &RawRequest, recorded_ms: Option<i64>) -> Judged {
        self.logged_request(raw, recorded_ms)
            .map_or_else(Judged::from, |event| Judged::Event(Box::new(event)))
    }

    fn event(&self, raw: &RawEvent, recorded_ms: Option<i64>) -> Checked<NaiveEvent> {
        // Malformed.
        let event_type = text(&raw.event_type)?.filter(|text| !text.is_empty()).ok_or(MALFORMED)?;
        let source = text(&raw.source)?.filter(|text| !text.is_empty()).ok_or(MALFORMED)?;
        if text(&raw.specversion)?.as_deref() != Some("1.0") {
            return Err(MALFORMED);
        }
        let is_request = REQUEST_TYPES.contains(&event_type.as_str());
        let is_catalog = CATALOG_TYPES.contains(&event_type.as_str());
        let meters = self.meters_of(&event_type);
        let is_read = is_request || is_catalog || !meters.is_empty();
        let organization = text(&raw.organization)?;
        let id = text(&raw.id)?;
        refuse_twice(&[raw.time_ms.is_twice()])?;
        let region =
            if is_read || !raw.region_is_data { self.region_of(&raw.region)? } else { String::new() };
        if is_read {
            let needs_object = is_request || is_catalog;
            if raw.data == Data::Broken || (raw.data == Data::Other && needs_object) {
                return Err(MALFORMED);
            }
            let says_published = matches!(event_type.as_str(), "service.created" | "service.updated");
            refuse_twice(&[
                needs_object && raw.service.is_twice(),
                is_request && raw.quantity.is_twice(),
                is_catalog && (raw.name.is_twice() || raw.version.is_twice()),
                says_published && raw.published.is_twice(),
            ])?;
            self.refuse_values_twice(&meters, &raw.values)?;
        }

        // Missing, then bad.
        let organization = present(organization, Reason::MissingOrganization)?;
        let id = present(id, Reason::MissingId)?;
        let time_ms = time(&raw.time_ms)?;
        let body = if is_request {
            optional(&raw.service, Reason::BadService)?;
            let quantity = quantity(&raw.quantity, Some(1))?;
            NaiveBody::Usage(self.charges(Some(quantity), &meters, &raw.values)?)
        } else if is_catalog {
            change(raw, event_type, time_ms)?
        } else if is_read {
            NaiveBody::Usage(self.charges(None, &meters, &raw.values)?)
        } else {
            return Err(End::Ignored(Ignored::UnknownType));
        };
        self.check_age(time_ms, recorded_ms)?;
        Ok(NaiveEvent { organization, source, id: NaiveId::Text(id), time_ms, region, body })
    }

    fn logged_request(&self, raw: &RawRequest, recorded_ms: Option<i64>) -> Checked<NaiveEvent> {
        let meters = self.meters_of(REQUEST_TYPES[0]);
        // Malformed.
        let organization = text(&raw.organization)?;
        let id = text(&raw.id)?.filter(|id| !id.is_empty());
        let region = self.region_of(&raw.region)?;
        refuse_twice(&[raw.time_ms.is_twice(), raw.routed.is_twice()])?;
        self.refuse_values_twice(&meters, &raw.values)?;

        // Missing, bad, ignored.
        let organization = present(organization, Reason::MissingOrganization)?;
        let Field::Found(time_ms) = raw.time_ms else { return Err(End::Rejected(Reason::BadTime)) };
        let charges = match raw.routed {
            Field::Found(true) => self.charges(Some(1), &meters, &raw.values)?,
            Field::Found(false) | Field::Absent => return Err(End::Ignored(Ignored::Unrouted)),
            Field::Wrong | Field::Twice => return Err(End::Rejected(Reason::BadService)),
        };
        self.check_age(time_ms, recorded_ms)?;
        Ok(NaiveEvent {
            organization,
            source: String::new(),
            id: id.map_or(NaiveId::Hash(raw.hash), NaiveId::Text),
            time_ms,
            region,
            body: NaiveBody::Usage(charges),
        })
    }

    /// The configured meters that take a type, by position.
    fn meters_of(&self, event_type: &str) -> Vec<usize> {
        let same = |other: &str| {
            other == event_type || (REQUEST_TYPES.contains(&other) && REQUEST_TYPES.contains(&event_type))
        };
        (0..self.rules.meters.len()).filter(|&meter| same(&self.rules.meters[meter].event_type)).collect()
    }

    fn region_of(&self, field: &Field<String>) -> Checked<String> {
        let Some(region) = text(field)? else { return Ok(self.rules.default_region.clone()) };
        let sound = (1..=16).contains(&region.len())
            && region.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if sound { Ok(region) } else { Err(MALFORMED) }
    }

    fn refuse_values_twice(&self, meters: &[usize], values: &[Field<u64>]) -> Checked<()> {
        let reads = |meter: usize| self.rules.meters[meter].aggregation != Aggregation::Count;
        refuse_twice(
            &meters.iter().map(|&meter| reads(meter) && values[meter].is_twice()).collect::<Vec<_>>(),
        )
    }

    fn charges(
        &self,
        api_calls: Option<u64>,
        meters: &[usize],
        values: &[Field<u64>],
    ) -> Checked<Vec<(String, Aggregation, u64)>> {
        let mut charges: Vec<_> = api_calls
            .into_iter()
            .map(|quantity| ("api_calls".to_owned(), Aggregation::Sum, quantity))
            .collect();
        for &meter in meters {
            let rule = &self.rules.meters[meter];
            let value = match rule.aggregation {
                Aggregation::Count => 1,
                Aggregation::Sum | Aggregation::Max => quantity(&values[meter], None)?,
            };
            charges.push((rule.name.clone(), rule.aggregation, value));
        }
        Ok(charges)
    }

    fn check_age(&self, time_ms: i64, recorded_ms: Option<i64>) -> Checked<()> {
        let age = recorded_ms.map_or(0, |recorded_ms| i128::from(recorded_ms) - i128::from(time_ms));
        if time_ms < EARLIEST_MS {
            Err(End::Rejected(Reason::TooOld))
        } else if time_ms >= LATEST_MS {
            Err(End::Rejected(Reason::TooNew))
        } else if age > i128::from(self.rules.accept_past_ms) {
            Err(End::Rejected(Reason::TooOld))
        } else if -age > i128::from(self.rules.accept_future_ms) {
            Err(End::Rejected(Reason::TooNew))
        } else {
            Ok(())
        }
    }
}

fn change(raw: &RawEvent, event_type: String, time_ms: i64) -> Checked<NaiveBody> {
    let bad = Reason::BadService;
    let service = optional(&raw.service, bad)?;
    let service = service.filter(|service| !service.is_empty()).ok_or(End::Rejected(bad))?;
    let name = optional(&raw.name, bad)?;
    let version = optional(&raw.version, bad)?.unwrap_or(time_ms);
    let published = match event_type.as_str() {
        "service.created" => Some(optional(&raw.published, bad)?.unwrap_or(false)),
        "service.updated" => optional(&raw.published, bad)?,
        "service.published" => Some(true),
        "service.unpublished" => Some(false),
        _ => None,
    };
    Ok(NaiveBody::Service { service, event_type, name, published, version })
}

const MALFORMED: End = End::Rejected(Reason::Malformed);

fn text(field: &Field<String>) -> Checked<Option<String>> {
    match field {
        Field::Absent => Ok(None),
        Field::Found(text) => Ok(Some(text.clone())),
        Field::Wrong | Field::Twice => Err(MALFORMED),
    }
}

fn refuse_twice(fields: &[bool]) -> Checked<()> {
    if fields.contains(&true) { Err(MALFORMED) } else { Ok(()) }
}

fn present(text: Option<String>, missing: Reason) -> Checked<String> {
    text.filter(|text| !text.is_empty()).ok_or(End::Rejected(missing))
}

fn time(field: &Field<i64>) -> Checked<i64> {
    match field {
        Field::Found(time_ms) => Ok(*time_ms),
        Field::Absent => Err(End::Rejected(Reason::MissingTime)),
        Field::Wrong | Field::Twice => Err(End::Rejected(Reason::BadTime)),
    }
}

fn optional<T: Clone>(field: &Field<T>, wrong: Reason) -> Checked<Option<T>> {
    match field {
        Field::Absent => Ok(None),
        Field::Found(value) => Ok(Some(value.clone())),
        Field::Wrong | Field::Twice => Err(End::Rejected(wrong)),
    }
}

fn quantity(field: &Field<u64>, default: Option<u64>) -> Checked<u64> {
    optional(field, Reason::BadQuantity)?
        .or(default)
        .filter(|quantity| *quantity <= GREATEST_QUANTITY)
        .ok_or(End::Rejected(Reason::BadQuantity))
}
