//! What odometer has to make of the traffic.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use serde::Serialize;

use crate::event::{API_CALLS, Ignored, Reason};
use crate::month::Month;

use super::draft::RegionIndex;

/// The exact counts that a run adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    pub outcomes: Outcomes,
    /// Sorted; values above 0 only.
    pub usage: Vec<UsageLine>,
}

/// How many events end how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub counted: u64,
    pub duplicate: u64,
    pub rejected: BTreeMap<Reason, u64>,
    pub ignored: BTreeMap<Ignored, u64>,
}

impl Outcomes {
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    pub fn ignored_total(&self) -> u64 {
        self.ignored.values().sum()
    }

    pub fn received(&self) -> u64 {
        self.counted + self.duplicate + self.rejected_total() + self.ignored_total()
    }
}

/// One line of the file of expected counts. `services` and `published_services` are the counts at
/// the month's end (or now).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UsageLine {
    pub organization: String,
    pub region: String,
    pub month: Month,
    pub meter: &'static str,
    pub value: u64,
}

impl Expected {
    /// Writes the usage as NDJSON.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for line in &self.usage {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// API calls by (organization, region, number of the month).
pub(super) type Calls = HashMap<(u32, RegionIndex, usize), u64>;

/// The meters of one (organization, region, month).
pub(super) fn lines(
    organization: &str,
    region: &str,
    month: Month,
    calls: u64,
    (services, published): (u64, u64),
) -> impl Iterator<Item = UsageLine> {
    [(API_CALLS, calls), ("services", services), ("published_services", published)]
        .into_iter()
        .filter(|&(_, value)| value > 0)
        .map(move |(meter, value)| UsageLine {
            organization: organization.to_owned(),
            region: region.to_owned(),
            month,
            meter,
            value,
        })
}
