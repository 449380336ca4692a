//! What named blocks say of named organizations, as invoices are made from it.

use std::ops::Range;

use super::blocks::{among_blocks, with_blocks};
use super::client::{QUERY_TIMEOUT, within};
use super::read::BlockServices;
use super::rows::{HOUR_S, StoredCount};
use super::schema::literal;
use super::usage::among_hours;
use super::{Store, StoreError};
use crate::aggregate::{CountRow, LedgerRow};

/// How finely counts are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    Hour,
    /// All of the hours that were asked for as one: the first of them.
    Whole,
}

impl Store {
    /// What the named blocks count for the organizations over the hours (since the epoch), all
    /// regions as one (their name is empty), by organization.
    pub async fn billed_counts(
        &self,
        rows: &[LedgerRow],
        organizations: &[&str],
        hours: &Range<u32>,
        grain: Grain,
    ) -> Result<Vec<CountRow>, StoreError> {
        let hour = match grain {
            Grain::Hour => "hour".to_owned(),
            Grain::Whole => format!("toDateTime({}, 'UTC')", hours.start.saturating_mul(HOUR_S)),
        };
        let sql = format!(
            "{}SELECT c.organization AS organization, c.meter AS meter,
                CAST('', 'LowCardinality(String)') AS region, {hour} AS billed_hour, c.fold AS fold,
                if(fold = 'sum', sum(c.value), max(c.value)) AS billed
            FROM counts AS c WHERE {} AND {} AND organization IN ({})
            GROUP BY organization, meter, billed_hour, fold ORDER BY organization, meter, billed_hour, fold",
            with_blocks!(),
            among_blocks!(),
            among_hours(hours),
            quoted(organizations)
        );
        // An alias would hide the column of its name from the conditions.
        let sql = format!(
            "SELECT toUInt128(0) AS block, organization, meter, region, billed_hour AS hour, fold, billed AS value FROM ({sql})"
        );
        let action = || "read what is billed".to_owned();
        let mut cursor = self
            .blocks_of(&sql, rows)
            .fetch::<StoredCount<'_>>()
            .map_err(|error| StoreError::new(action(), &error))?;
        let mut counts = Vec::new();
        while let Some(record) = within(QUERY_TIMEOUT, action, cursor.next()).await? {
            counts.push(record.to_row()?.1);
        }
        Ok(counts)
    }

    /// What the named blocks say of the organizations' services, of events timed before an instant
    /// (epoch milliseconds), by organization and time, streamed. The same event may be there twice.
    pub fn billed_services(
        &self,
        rows: &[LedgerRow],
        organizations: &[&str],
        before_ms: i64,
    ) -> Result<BlockServices, StoreError> {
        let sql = format!(
            "{}SELECT ?fields FROM service_changes
            WHERE {} AND organization IN ({}) AND time < fromUnixTimestamp64Milli({before_ms}, 'UTC')
            ORDER BY organization, time",
            with_blocks!(),
            among_blocks!(),
            quoted(organizations)
        );
        BlockServices::read(self.blocks_of(&sql, rows), "read services that are billed")
    }

    /// The organizations of which the named blocks say something that was timed before the instant
    /// (epoch milliseconds, a full hour), by name.
    pub async fn organizations_before(
        &self,
        rows: &[LedgerRow],
        epoch_ms: i64,
    ) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "{}SELECT DISTINCT organization FROM (
                SELECT organization FROM counts WHERE {blocks} AND hour < toDateTime({seconds}, 'UTC')
                UNION ALL
                SELECT organization FROM service_changes
                WHERE {blocks} AND time < fromUnixTimestamp64Milli({epoch_ms}, 'UTC')
            ) ORDER BY organization",
            with_blocks!(),
            blocks = among_blocks!(),
            seconds = epoch_ms.div_euclid(1000),
        );
        let query = self.blocks_of(&sql, rows).fetch_all::<String>();
        within(QUERY_TIMEOUT, || "read organizations with late events".to_owned(), query).await
    }
}

/// As a list of literals; without any, one that no organization has.
fn quoted(organizations: &[&str]) -> String {
    let literals: Vec<String> = organizations.iter().map(|name| literal(name)).collect();
    if literals.is_empty() { "''".to_owned() } else { literals.join(",") }
}
