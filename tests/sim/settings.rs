//! The configuration that a simulated process counts by, and how it changes.

use odometer::event::{Aggregation, Format, MeterRule, Rules};

use super::chance::Chance;
use super::facts::HOUR_MS;

/// What of a topic's configuration varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    pub format: Format,
    pub other_organization: bool,
    pub other_region: bool,
    /// The deployment's region: `us` or `eu`.
    pub default_eu: bool,
    pub meter: ExtraMeter,
    /// Offsets.
    pub window: u64,
    /// Events of the first two hours are too old.
    pub short_past: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraMeter {
    None,
    /// `tokens`: the sum of the quantities of `ai.tokens`.
    SumOfTokens,
    /// `tokens`: how many `ai.tokens` there are.
    CountOfTokens,
    /// `peak`: the greatest quantity of a request.
    PeakOfRequests,
}

impl Variant {
    pub fn any(format: Format, chance: &mut Chance) -> Self {
        let mut variant = Self {
            format,
            other_organization: false,
            other_region: false,
            default_eu: false,
            meter: *chance.pick(&[ExtraMeter::None, ExtraMeter::SumOfTokens, ExtraMeter::PeakOfRequests]),
            window: chance.between(5, 30) as u64,
            short_past: false,
        };
        if chance.one_in(4) {
            variant.change(chance);
        }
        variant
    }

    /// One thing becomes another.
    pub fn change(&mut self, chance: &mut Chance) {
        match chance.below(6) {
            0 => self.other_organization ^= true,
            1 => self.other_region ^= true,
            2 => self.default_eu ^= true,
            3 => {
                self.meter = *chance.pick(&[
                    ExtraMeter::None,
                    ExtraMeter::SumOfTokens,
                    ExtraMeter::CountOfTokens,
                    ExtraMeter::PeakOfRequests,
                ]);
            }
            4 => self.window = chance.between(5, 50) as u64,
            _ => self.short_past ^= true,
        }
    }

    /// The default region's name.
    pub fn default_region(&self) -> &'static str {
        if self.default_eu { "eu" } else { "us" }
    }

    pub fn rules(&self) -> Rules {
        let organization = match (self.format, self.other_organization) {
            (Format::Cloudevents, false) | (Format::Batch, false) => None,
            (Format::Cloudevents, true) => Some("data.customer"),
            (Format::KafkaLog, false) => Some("konnect.org"),
            (Format::KafkaLog, true) => Some("konnect.other_org"),
            (Format::Batch, true) => Some("topic:^(.*)$"),
        };
        let region = match (self.format, self.other_region) {
            (Format::Cloudevents, true) => Some("data.zone"),
            (Format::KafkaLog, true) => Some("konnect.geo"),
            _ => None,
        };
        let meter = |name: &str, event_type: &str, aggregation| MeterRule {
            name: name.into(),
            event_type: event_type.into(),
            value: (aggregation != Aggregation::Count).then(|| "data.quantity".into()),
            aggregation,
        };
        Rules {
            format: self.format,
            organization: organization.map(Into::into),
            region: region.map(Into::into),
            default_region: self.default_region().into(),
            meters: match self.meter {
                ExtraMeter::None => Vec::new(),
                ExtraMeter::SumOfTokens => vec![meter("tokens", "ai.tokens", Aggregation::Sum)],
                ExtraMeter::CountOfTokens => vec![meter("tokens", "ai.tokens", Aggregation::Count)],
                ExtraMeter::PeakOfRequests => vec![meter("peak", "api.request", Aggregation::Max)],
            },
            dedup_window: self.window,
            // Records come 100 hours after the first event time.
            accept_past_ms: if self.short_past { 98 * HOUR_MS } else { 840 * HOUR_MS },
            accept_future_ms: HOUR_MS,
            max_event_bytes: 1 << 20,
        }
    }
}
