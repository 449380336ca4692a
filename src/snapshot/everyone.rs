//! The usage of every organization in one month, from all deployments together, one organization
//! after the other: memory holds one at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::deployment::Deployment;
use super::register::Catalog;
use super::table::{Amount, RegionTotals, Totals};
use super::usage::{Figures, PUBLISHED_SERVICES, SERVICES};
use crate::aggregate::ServiceRow;
use crate::clock::Time;
use crate::month::Month;
use crate::store::{BlockServices, MonthRows, MonthUsage, StoreError};

#[cfg(test)]
mod tests;

/// What could not be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("region {region}: {source}")]
pub struct EveryoneError {
    pub region: Arc<str>,
    pub source: StoreError,
}

/// One organization's month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrganizationUsage {
    pub organization: String,
    pub totals: Totals,
}

/// One value of one organization's month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value<'a> {
    pub region: &'a str,
    pub meter: &'a str,
    pub value: u128,
}

impl OrganizationUsage {
    /// In the order of (region, meter): every event meter that something was counted of, and
    /// services where there are any.
    pub fn values(&self) -> impl Iterator<Item = Value<'_>> {
        self.totals.regions.iter().flat_map(|(region, totals)| {
            values_of(totals).into_iter().map(move |(meter, value)| Value { region, meter, value })
        })
    }
}

fn values_of(totals: &RegionTotals) -> BTreeMap<&str, u128> {
    let services = [(SERVICES, totals.services.services), (PUBLISHED_SERVICES, totals.services.published)];
    let services = services.into_iter().filter(|(_, count)| *count > 0);
    let used = totals.meters.iter().map(|(meter, used)| (&**meter, used.value()));
    used.chain(services.map(|(meter, count)| (meter, count.into()))).collect()
}

/// Everyone's month as it arrives, in the order of the organizations' bytes.
pub struct Everyone {
    parts: Vec<Part>,
    as_of: Time,
    complete_through: Option<Time>,
    complete: bool,
    /// About how many organizations there are; 0 where nobody asked.
    about: u64,
}

impl Everyone {
    /// Starts reading. `estimate`: also find out about how many organizations there will be.
    pub async fn read(
        deployments: &[Arc<Deployment>],
        month: Month,
        estimate: bool,
    ) -> Result<Self, EveryoneError> {
        let mut everyone = Self {
            parts: Vec::new(),
            as_of: Time(i64::MAX),
            complete_through: None,
            complete: true,
            about: 0,
        };
        let mut throughs = Vec::new();
        for deployment in deployments {
            let error = |source| EveryoneError { region: deployment.region().clone(), source };
            let (part, figures, about) = Part::read(deployment, month, estimate).await.map_err(error)?;
            everyone.parts.push(part);
            everyone.as_of = everyone.as_of.min(figures.as_of);
            everyone.complete &= figures.complete;
            everyone.about += about;
            throughs.push(figures.complete_through);
        }
        everyone.complete_through = throughs.into_iter().min().flatten();
        Ok(everyone)
    }

    /// The instant whose figures these are.
    pub fn as_of(&self) -> Time {
        self.as_of
    }

    /// Every event that had reached Kafka by then is in the figures; `None`: that is not known.
    pub fn complete_through(&self) -> Option<Time> {
        self.complete_through
    }

    /// Whether nothing is known to be missing.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn organizations_about(&self) -> u64 {
        self.about
    }

    pub async fn next(&mut self) -> Result<Option<OrganizationUsage>, EveryoneError> {
        let Some(organization) = self.parts.iter().filter_map(Part::head).min().map(str::to_owned) else {
            return Ok(None);
        };
        let mut totals = Totals::default();
        for part in &mut self.parts {
            let region = part.region.clone();
            let error = |source| EveryoneError { region, source };
            if let Some(counted) = part.take(&organization).await.map_err(error)? {
                totals.join(&counted);
            }
        }
        Ok(Some(OrganizationUsage { organization, totals }))
    }
}

/// What one deployment says; both streams are in the order of organizations.
struct Part {
    region: Arc<str>,
    usage: MonthRows,
    next_usage: Option<MonthUsage>,
    services: BlockServices,
    next_service: Option<ServiceRow>,
}

impl Part {
    async fn read(
        deployment: &Deployment,
        month: Month,
        estimate: bool,
    ) -> Result<(Self, Figures, u64), StoreError> {
        let as_of = deployment.clock.now();
        let (ledger, standing) = deployment.read_ledger().await?;
        let (rows, hours) = (ledger.rows(), month.hours());
        let about = if estimate { deployment.store.organizations_about(&rows, &hours).await? } else { 0 };
        let has_ended = month.end_ms() <= as_of.0;
        let mut usage = deployment.store.usage_of(&rows, &hours)?;
        let mut services = deployment.store.services_before(&rows, has_ended.then(|| month.end_ms()))?;
        let (next_usage, next_service) = tokio::try_join!(usage.next(), services.next())?;
        let part = Self {
            region: deployment.region().clone(),
            usage,
            next_usage,
            services,
            next_service: next_service.map(|(_, row)| row),
        };
        Ok((part, super::deployment::figures(Totals::default(), month, as_of, &standing), about))
    }

    /// The organization that comes next.
    fn head(&self) -> Option<&str> {
        let usage = self.next_usage.as_ref().map(|row| row.organization.as_str());
        let service = self.next_service.as_ref().map(|row| row.organization.as_str());
        usage.into_iter().chain(service).min()
    }

    /// What is said of the organization, which must be the head of all parts or come before; `None`:
    /// nothing.
    async fn take(&mut self, organization: &str) -> Result<Option<Totals>, StoreError> {
        if self.head() != Some(organization) {
            return Ok(None);
        }
        let mut totals = Totals::default();
        while let Some(row) = self.next_usage.take_if(|row| row.organization == organization) {
            let amount = Amount::new(row.fold, row.value);
            totals.add(&row.region.as_str().into(), &row.meter.as_str().into(), amount);
            self.next_usage = self.usage.next().await?;
        }
        let mut catalog = Catalog::default();
        while let Some(row) = self.next_service.take_if(|row| row.organization == organization) {
            catalog.apply(&row.region.as_str().into(), &row);
            self.next_service = self.services.next().await?.map(|(_, row)| row);
        }
        totals.add_catalog(&catalog);
        Ok(Some(totals))
    }
}
