//! Usage as readers ask for it: one organization's, everyone's, over time.

use std::ops::Range;

use clickhouse::Row;
use clickhouse::query::RowCursor;
use serde::Deserialize;

use super::blocks::{among_blocks, with_blocks};
use super::client::{QUERY_TIMEOUT, fetch, within};
use super::read::BlockServices;
use super::rows::{HOUR_S, StoredCount, StoredService, fold_from_number};
use super::schema::VALUE;
use super::{Store, StoreError, gate};
use crate::aggregate::{CountRow, Fold, LedgerRow, ServiceRow};

/// What one organization used of one meter in one region, over all hours that were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonthUsage {
    pub organization: String,
    pub region: String,
    pub meter: String,
    pub fold: Fold,
    pub value: u128,
}

/// The length of a point of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    Hour,
    Day,
    Month,
}

/// Which points of a series.
#[derive(Clone, Debug)]
pub struct SeriesQuery<'a> {
    pub organization: &'a str,
    /// Hours since the epoch.
    pub hours: Range<u32>,
    pub window: Window,
    /// `None`: every meter.
    pub meter: Option<&'a str>,
    /// `None`: every region.
    pub region: Option<&'a str>,
}

/// One organization's usage of a meter in a region over one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesPoint {
    /// Epoch milliseconds of the window's start, also where the hours asked for start later.
    pub start_ms: i64,
    pub region: String,
    pub meter: String,
    pub value: u128,
}

#[derive(Row, Deserialize)]
struct MonthRecord<'a> {
    organization: &'a str,
    region: &'a str,
    meter: &'a str,
    fold: i8,
    value: u128,
}

#[derive(Row, Deserialize)]
struct SeriesRecord {
    start: u32,
    region: String,
    meter: String,
    value: u128,
}

impl Store {
    /// The condition that a block counts.
    fn gate(&self) -> String {
        format!("{} ({})", self.layout.among(), gate::counting_blocks(&self.quoted_database()))
    }

    /// One organization's counts by hour, over all blocks that count. `hours` since the epoch.
    pub async fn counts_of_organization(
        &self,
        organization: &str,
        hours: Range<u32>,
    ) -> Result<Vec<CountRow>, StoreError> {
        let gate = self.gate();
        let among_hours = among_hours(&hours);
        let sql = format!(
            "SELECT toUInt128(0) AS block, organization, meter, region, hour, fold,
                if(fold = 'sum', sum(c.value), max(c.value)) AS value
            FROM counts AS c
            WHERE organization = {{organization:String}} AND {among_hours} AND c.block {gate}
            GROUP BY organization, meter, region, hour, fold ORDER BY meter, region, hour, fold"
        );
        let query = self.client.query(&sql).param("organization", organization);
        let mut rows = Vec::new();
        let action = || format!("read usage of organization {organization}");
        let mut cursor =
            query.fetch::<StoredCount<'_>>().map_err(|error| StoreError::new(action(), &error))?;
        while let Some(record) = within(QUERY_TIMEOUT, action, cursor.next()).await? {
            rows.push(record.to_row()?.1);
        }
        Ok(rows)
    }

    /// One organization's service changes in blocks that count; the same event may be there twice.
    pub async fn services_of_organization(&self, organization: &str) -> Result<Vec<ServiceRow>, StoreError> {
        let gate = self.gate();
        let sql = format!(
            "SELECT ?fields FROM service_changes
            WHERE organization = {{organization:String}} AND block {gate}
            ORDER BY region, service, version, time, source, id"
        );
        let action = || format!("read services of organization {organization}");
        let mut cursor = self
            .client
            .query(&sql)
            .param("organization", organization)
            .fetch::<StoredService<'_>>()
            .map_err(|error| StoreError::new(action(), &error))?;
        let mut rows = Vec::new();
        while let Some(record) = within(QUERY_TIMEOUT, action, cursor.next()).await? {
            rows.push(record.to_row().1);
        }
        Ok(rows)
    }

    /// Whether any block that counts says something of the organization.
    pub async fn has_usage(&self, organization: &str) -> Result<bool, StoreError> {
        let gate = self.gate();
        let among = |table: &str| {
            format!(
                "(SELECT 1 FROM {table} WHERE organization = {{organization:String}} AND block {gate} LIMIT 1)"
            )
        };
        let sql =
            format!("SELECT count() > 0 FROM ({} UNION ALL {})", among("counts"), among("service_changes"));
        let query = self.client.query(&sql).param("organization", organization).fetch_one::<bool>();
        within(QUERY_TIMEOUT, || format!("look for usage of organization {organization}"), query).await
    }

    /// What the named blocks hold over the hours (since the epoch), summed up for every
    /// organization, in the order of (organization, region, meter), streamed.
    pub fn usage_of(&self, rows: &[LedgerRow], hours: &Range<u32>) -> Result<MonthRows, StoreError> {
        let among_hours = among_hours(hours);
        let sql = format!(
            "{}SELECT organization, region, meter, fold, if(fold = 'sum', sum(c.value), max(c.value)) AS value
            FROM counts AS c WHERE {} AND {among_hours}
            GROUP BY organization, region, meter, fold ORDER BY organization, region, meter, fold",
            with_blocks!(),
            among_blocks!()
        );
        let cursor = self
            .blocks_of(&sql, rows)
            .fetch::<MonthRecord<'static>>()
            .map_err(|error| StoreError::new("read usage of all organizations", &error))?;
        Ok(MonthRows(cursor))
    }

    /// What the named blocks say of services, of events timed before an instant (epoch milliseconds;
    /// `None`: of all), in the order of organizations, streamed. The same event may be there twice.
    pub fn services_before(
        &self,
        rows: &[LedgerRow],
        before_ms: Option<i64>,
    ) -> Result<BlockServices, StoreError> {
        let in_time =
            before_ms.map_or_else(String::new, |ms| format!("AND time < fromUnixTimestamp64Milli({ms})"));
        let sql = format!(
            "{}SELECT ?fields FROM service_changes WHERE {} {in_time} ORDER BY organization",
            with_blocks!(),
            among_blocks!()
        );
        BlockServices::read(self.blocks_of(&sql, rows), "read services of all organizations")
    }

    /// About how many organizations the named blocks hold counts of, over the hours.
    pub async fn organizations_about(
        &self,
        rows: &[LedgerRow],
        hours: &Range<u32>,
    ) -> Result<u64, StoreError> {
        let among_hours = among_hours(hours);
        let sql = format!(
            "{}SELECT uniq(organization) FROM counts WHERE {} AND {among_hours}",
            with_blocks!(),
            among_blocks!()
        );
        let query = self.blocks_of(&sql, rows).fetch_one::<u64>();
        within(QUERY_TIMEOUT, || "count organizations".to_owned(), query).await
    }

    /// The points of a series that are not zero, by (start, region, meter).
    pub async fn series(&self, series: &SeriesQuery<'_>) -> Result<Vec<SeriesPoint>, StoreError> {
        let gate = self.gate();
        let start = match series.window {
            Window::Hour => "c.hour",
            Window::Day => "toStartOfDay(c.hour)",
            Window::Month => "toDateTime(toStartOfMonth(c.hour), 'UTC')",
        };
        let among_hours = among_hours(&series.hours);
        let sql = format!(
            "SELECT {start} AS start, c.region AS region, c.meter AS meter, {VALUE} AS value
            FROM counts AS c
            WHERE organization = {{organization:String}} AND {among_hours} AND c.block {gate}
                AND ({{meter:String}} = '' OR meter = {{meter:String}})
                AND ({{region:String}} = '' OR region = {{region:String}})
            GROUP BY start, region, meter HAVING value > 0 ORDER BY start, region, meter"
        );
        let query = self
            .client
            .query(&sql)
            .param("organization", series.organization)
            .param("meter", series.meter.unwrap_or_default())
            .param("region", series.region.unwrap_or_default());
        let action = || format!("read series of organization {}", series.organization);
        let records: Vec<SeriesRecord> = fetch(query, action).await?;
        Ok(records.into_iter().map(SeriesRecord::into_point).collect())
    }
}

/// `hours` since the epoch, as a condition; the greatest that ClickHouse's times know is in 2106.
pub(super) fn among_hours(hours: &Range<u32>) -> String {
    let seconds = |hour: u32| hour.saturating_mul(HOUR_S);
    let (from, to) = (seconds(hours.start), seconds(hours.end));
    format!("hour >= toDateTime({from}, 'UTC') AND hour < toDateTime({to}, 'UTC')")
}

impl SeriesRecord {
    fn into_point(self) -> SeriesPoint {
        SeriesPoint {
            start_ms: i64::from(self.start) * 1000,
            region: self.region,
            meter: self.meter,
            value: self.value,
        }
    }
}

/// Everyone's usage as it arrives.
pub struct MonthRows(RowCursor<MonthRecord<'static>>);

impl MonthRows {
    pub async fn next(&mut self) -> Result<Option<MonthUsage>, StoreError> {
        let action = || "read usage of all organizations".to_owned();
        let Some(record) = within(QUERY_TIMEOUT, action, self.0.next()).await? else { return Ok(None) };
        Ok(Some(MonthUsage {
            organization: record.organization.to_owned(),
            region: record.region.to_owned(),
            meter: record.meter.to_owned(),
            fold: fold_from_number(record.fold)?,
            value: record.value,
        }))
    }
}
