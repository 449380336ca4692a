//! What each record must count as, said as plainly as possible: a list of offsets, looked through
//! backwards. Nothing of the product's decoding, de-duplication or adding up is used here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use odometer::event::Format;

use super::facts::{
    BASE_HOUR, Fact, FactKind, HOUR_MS, RECORD_HOUR, organization_name, region_name, service_name,
};
use super::settings::{ExtraMeter, Variant};

/// What a range of a lane counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub counted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub ignored: u64,
    pub sums: BTreeMap<UsageKey, u128>,
    pub maxima: BTreeMap<UsageKey, u128>,
    /// The service changes, each as often as it was counted.
    pub changes: BTreeMap<Change, u64>,
}

/// Organization, meter, region, hour since the epoch.
pub type UsageKey = (String, String, String, u32);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub organization: String,
    pub region: String,
    pub service: String,
    pub version: i64,
    pub exists: Option<bool>,
    pub published: Option<bool>,
}

impl Content {
    pub fn received(&self) -> u64 {
        self.counted + self.duplicate + self.rejected + self.ignored
    }

    pub fn add(&mut self, other: &Self) {
        self.counted += other.counted;
        self.duplicate += other.duplicate;
        self.rejected += other.rejected;
        self.ignored += other.ignored;
        for (key, value) in &other.sums {
            *self.sums.entry(key.clone()).or_default() += value;
        }
        for (key, value) in &other.maxima {
            let greatest = self.maxima.entry(key.clone()).or_default();
            *greatest = (*greatest).max(*value);
        }
        for (change, times) in &other.changes {
            *self.changes.entry(change.clone()).or_default() += times;
        }
    }
}

/// How one event is known and what of it is billed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub key: (String, u8, u16),
    billed: Billed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Billed {
    Usage { hour: u32, region: String, charges: Vec<(&'static str, u64)> },
    Service { service: String, event_type: &'static str, region: String, published: Option<bool> },
}

enum Judged {
    Claims(Claim),
    Rejected,
    Ignored,
}

/// The events of a record, and the configuration under which its offset counts.
#[derive(Clone, Debug)]
pub struct Read {
    pub facts: Arc<Vec<Fact>>,
    pub variant: Variant,
    pub topic: &'static str,
    /// Whether what the log holds here is no longer what was counted, so that a window may hold
    /// either.
    pub is_cut: bool,
    /// What the log held or holds here beside `facts`; only where it was cut.
    pub also: Vec<Fact>,
    /// `false`: there was nothing to read, only `also`.
    pub is_read: bool,
}

/// Offsets that were read, as they count.
pub type Reads = BTreeMap<i64, Read>;

/// What a range must count, or `None` where it hangs on what nobody may know any more: keys below
/// `window_from`, or in a part of the log that was cut off. The second answer is each rejected event.
pub fn judge(
    before: &Reads,
    range: &Reads,
    variant: &Variant,
    window_from: i64,
) -> (Option<Content>, BTreeSet<(i64, u32)>) {
    let mut content = Content::default();
    let mut rejected = BTreeSet::new();
    let mut is_certain = true;
    for (&offset, read) in range.iter().filter(|(_, read)| read.is_read) {
        if read.facts.is_empty() {
            content.ignored += 1; // A record without any event has an ignored one.
        }
        for (index, fact) in read.facts.iter().enumerate() {
            let claim = match judge_fact(fact, variant, read.topic) {
                Judged::Claims(claim) => claim,
                Judged::Rejected => {
                    content.rejected += 1;
                    rejected.insert((offset, index as u32));
                    continue;
                }
                Judged::Ignored => {
                    content.ignored += 1;
                    continue;
                }
            };
            match earlier(before, range, variant, window_from, offset, index, &claim) {
                Earlier::None => count(&mut content, fact, claim, variant),
                Earlier::Same => content.duplicate += 1,
                Earlier::Other => {
                    content.rejected += 1;
                    rejected.insert((offset, index as u32));
                }
                Earlier::Unknown => is_certain = false,
            }
        }
    }
    (is_certain.then_some(content), rejected)
}

enum Earlier {
    None,
    Same,
    Other,
    Unknown,
}

/// The latest occurrence of the claim's key before event `index` of `offset`.
fn earlier(
    before: &Reads,
    range: &Reads,
    variant: &Variant,
    window_from: i64,
    offset: i64,
    index: usize,
    claim: &Claim,
) -> Earlier {
    let oldest = offset - variant.window as i64;
    let own = range.range(oldest..=offset).rev();
    for (&at, read) in own.chain(before.range(oldest..offset).rev()) {
        let events = if at == offset { index } else { read.facts.len() };
        for fact in read.also.iter().chain(&read.facts[..events]).rev() {
            let Judged::Claims(other) = judge_fact(fact, &read.variant, read.topic) else { continue };
            if other.key == claim.key {
                return match () {
                    () if at < window_from || read.is_cut => Earlier::Unknown,
                    () if other.billed == claim.billed => Earlier::Same,
                    () => Earlier::Other,
                };
            }
        }
    }
    Earlier::None
}

fn judge_fact(fact: &Fact, variant: &Variant, topic: &str) -> Judged {
    if fact.kind == FactKind::Malformed {
        return Judged::Rejected;
    }
    let organization = match (variant.format, variant.other_organization) {
        (_, false) => fact.organization.map(organization_name),
        (Format::Batch, true) => Some(topic.to_owned()),
        (_, true) => Some(organization_name(fact.other_organization)),
    };
    let Some(organization) = organization else { return Judged::Rejected };
    if fact.kind == FactKind::BadTime {
        return Judged::Rejected;
    }
    let region = match (variant.format, variant.other_region) {
        (Format::Cloudevents, true) => Some(region_name(fact.other_region)),
        (Format::KafkaLog, false) => None,
        _ => fact.region.map(region_name),
    };
    let region = region.unwrap_or_else(|| variant.default_region().to_owned());
    let Some(billed) = bill(fact, variant, &region) else {
        let missing_peak = variant.meter == ExtraMeter::PeakOfRequests && is_request(fact, variant.format);
        let missing_sum = variant.meter == ExtraMeter::SumOfTokens && !is_request(fact, variant.format);
        let is_rejected = missing_peak || (missing_sum && variant.format != Format::KafkaLog);
        return if is_rejected { Judged::Rejected } else { Judged::Ignored };
    };
    let past_hours = if variant.short_past { 98 } else { 840 };
    if RECORD_HOUR * HOUR_MS - (i64::from(fact.hour) * HOUR_MS + i64::from(fact.id) % HOUR_MS)
        > past_hours * HOUR_MS
    {
        return Judged::Rejected;
    }
    let source = if variant.format == Format::KafkaLog { 0 } else { fact.source };
    Judged::Claims(Claim { key: (organization, source, fact.id), billed })
}

fn is_request(fact: &Fact, format: Format) -> bool {
    match format {
        // A gateway logs nothing but requests; what stands for tokens here matched no service.
        Format::KafkaLog => fact.kind != FactKind::Tokens,
        _ => fact.kind == FactKind::Request,
    }
}

/// `None`: nothing bills it, or the value that a meter takes is missing.
fn bill(fact: &Fact, variant: &Variant, region: &str) -> Option<Billed> {
    let hour = BASE_HOUR + u32::from(fact.hour);
    let usage = |charges| Some(Billed::Usage { hour, region: region.to_owned(), charges });
    if is_request(fact, variant.format) {
        let calls = if variant.format == Format::KafkaLog { 1 } else { fact.quantity.unwrap_or(1) };
        let mut charges = vec![("api_calls", calls)];
        if variant.meter == ExtraMeter::PeakOfRequests {
            charges.push(("peak", fact.quantity?));
        }
        return usage(charges);
    }
    if fact.kind == FactKind::Tokens {
        if variant.format == Format::KafkaLog {
            return None;
        }
        return match variant.meter {
            ExtraMeter::SumOfTokens => usage(vec![("tokens", fact.quantity?)]),
            ExtraMeter::CountOfTokens => usage(vec![("tokens", 1)]),
            ExtraMeter::None | ExtraMeter::PeakOfRequests => None,
        };
    }
    Some(Billed::Service {
        service: service_name(fact.service),
        event_type: fact.event_type(),
        region: region.to_owned(),
        published: published(fact),
    })
}

fn published(fact: &Fact) -> Option<bool> {
    match fact.kind {
        FactKind::Created => Some(fact.published.unwrap_or(false)),
        FactKind::Updated => fact.published,
        FactKind::Published => Some(true),
        FactKind::Unpublished => Some(false),
        _ => None,
    }
}

fn count(content: &mut Content, fact: &Fact, claim: Claim, variant: &Variant) {
    content.counted += 1;
    let organization = claim.key.0;
    match claim.billed {
        Billed::Usage { hour, region, charges } => {
            for (meter, quantity) in charges {
                let key = (organization.clone(), meter.to_owned(), region.clone(), hour);
                if meter == "peak" && variant.meter == ExtraMeter::PeakOfRequests {
                    let greatest = content.maxima.entry(key).or_default();
                    *greatest = (*greatest).max(u128::from(quantity));
                } else {
                    *content.sums.entry(key).or_default() += u128::from(quantity);
                }
            }
        }
        Billed::Service { service, region, published, .. } => {
            let exists = match fact.kind {
                FactKind::Created | FactKind::Updated | FactKind::Published => Some(true),
                FactKind::Deleted => Some(false),
                _ => None,
            };
            let version = fact.version;
            let change = Change { organization, region, service, version, exists, published };
            *content.changes.entry(change).or_default() += 1;
        }
    }
}
