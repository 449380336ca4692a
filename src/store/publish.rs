//! Ledger rows: what was inserted, prepared and committed counts from here on.

use std::time::Duration;

use clickhouse::Row;
use clickhouse::query::Query;

use super::blocks::array;
use super::client::execute;
use super::rows::LedgerRecord;
use super::write::{CLAIMS_OF_LANE, Claim, of_lane};
use super::{Store, StoreError};
use crate::aggregate::LedgerRow;

const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);
/// Of all lanes together: others wait for it, and alone each has its own time.
const TOGETHER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a server's profile may say that lets a statement end well with less than it was asked for.
const WHOLE: [(&str, &str); 5] = [
    ("timeout_overflow_mode", "throw"),
    ("read_overflow_mode", "throw"),
    ("group_by_overflow_mode", "throw"),
    ("limit", "0"),
    ("offset", "0"),
];

/// Rows of one statement: their lanes are parameters, which have their bounds.
const MOST_TOGETHER: usize = 256;

/// What the server says where it refuses a ledger row.
const LATER_OWNER: &str = "the lane has a later owner";
const NOT_PREPARED: &str = "it is not prepared, or was given up";

impl Store {
    /// Puts what was prepared under the row's block id into the ledger. May be repeated: readers
    /// take a block once. Fails where nothing is prepared: garbage collection takes that away
    /// before it gives a block up, so that what comes too late can't hide rows that still count.
    pub async fn publish(&self, row: &LedgerRow) -> Result<(), StoreError> {
        self.publish_row(row, Claim { token: row.token, tenure: row.tenure }).await
    }

    /// The same for an owner with this claim. `false`: there is a greater claim of the lane; its owner
    /// has read the ledger and counts on from there.
    pub async fn publish_as(&self, row: &LedgerRow, claim: Claim) -> Result<bool, StoreError> {
        match self.publish_row(row, claim).await {
            Ok(()) => Ok(true),
            Err(error) if error.to_string().contains(LATER_OWNER) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn publish_row(&self, row: &LedgerRow, claim: Claim) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO published ({}) SELECT {} FROM prepared AS p WHERE p.block = {{block:UInt128}}
            HAVING throwIf(count() = 0, '{NOT_PREPARED}') = 0
                AND throwIf((SELECT max((token, tenure)) {CLAIMS_OF_LANE})
                    > ({{token:UInt64}}, {{tenure:UInt128}}), '{LATER_OWNER}') = 0",
            columns(),
            copies()
        );
        let query = self
            .publishing(&sql, PUBLISH_TIMEOUT)
            .param("block", row.block.0.to_string())
            .param("token", claim.token)
            .param("tenure", claim.tenure.to_string());
        let query = of_lane(query, &row.lane);
        execute(query, PUBLISH_TIMEOUT, || format!("publish block {} of {}", row.block, row.lane)).await
    }

    /// The same for blocks of as many lanes, each for an owner with this claim: all of them or, where one
    /// is refused, none. After another error any of them may be there.
    pub async fn publish_all(&self, rows: &[(&LedgerRow, Claim)]) -> Result<(), StoreError> {
        for rows in rows.chunks(MOST_TOGETHER) {
            self.publish_rows(rows).await?;
        }
        Ok(())
    }

    async fn publish_rows(&self, rows: &[(&LedgerRow, Claim)]) -> Result<(), StoreError> {
        // Both are looked at even where nothing is prepared.
        let sql = format!(
            "INSERT INTO published ({columns}) WITH {blocks} AS wanted SELECT {copies} FROM prepared AS p WHERE p.block IN wanted
            GROUP BY p.block
            HAVING (SELECT throwIf(uniqExact(block) != length(wanted), '{NOT_PREPARED}')
                    FROM prepared WHERE block IN wanted) = 0
                AND (SELECT throwIf(countIf(arrayExists({IS_LATER},
                        {{topics:Array(String)}}, {{topic_ids:Array(String)}}, {{partitions:Array(Int32)}},
                        {{tokens:Array(UInt64)}}, {{tenures:Array(UInt128)}})) > 0, '{LATER_OWNER}')
                    FROM (SELECT topic, topic_id, partition, max((token, tenure)) AS greatest FROM claims
                        WHERE (topic, topic_id, partition) IN (SELECT arrayJoin(arrayZip(
                            {{topics:Array(String)}}, {{topic_ids:Array(String)}}, {{partitions:Array(Int32)}})))
                        GROUP BY topic, topic_id, partition)) = 0",
            blocks = array(rows.iter().map(|(row, _)| row.block)),
            columns = columns(),
            copies = copies(),
        );
        let of_each =
            |of: fn(&LedgerRow) -> String| -> Vec<String> { rows.iter().map(|(row, _)| of(row)).collect() };
        let query = self
            .publishing(&sql, TOGETHER_TIMEOUT)
            .param("topics", of_each(|row| row.lane.topic.to_string()))
            .param("topic_ids", of_each(|row| row.lane.topic_id.to_string()))
            .param("partitions", rows.iter().map(|(row, _)| row.lane.partition).collect::<Vec<_>>())
            .param("tokens", rows.iter().map(|(_, claim)| claim.token).collect::<Vec<_>>())
            .param("tenures", rows.iter().map(|(_, claim)| claim.tenure).collect::<Vec<_>>());
        let action = || {
            let names: Vec<_> =
                rows.iter().map(|(row, _)| format!("{} of {}", row.block, row.lane)).collect();
            format!("publish blocks {}", names.join(", "))
        };
        execute(query, TOGETHER_TIMEOUT, action).await
    }

    fn publishing(&self, sql: &str, timeout: Duration) -> Query {
        let query = self.with_insert_settings(self.client.query(sql));
        let query = WHOLE.iter().fold(query, |query, (name, value)| query.with_setting(*name, *value));
        query.with_setting("max_execution_time", timeout.as_secs().to_string())
    }
}

/// Whether a lane's greatest claim is greater than the one that is asked for.
const IS_LATER: &str = "(wanted_topic, wanted_id, wanted_partition, own_token, own_tenure) ->
    topic = wanted_topic AND topic_id = wanted_id AND partition = wanted_partition
        AND greatest > (own_token, own_tenure)";

fn columns() -> String {
    LedgerRecord::COLUMN_NAMES.join(", ")
}

/// What was prepared may be there twice.
fn copies() -> String {
    let copies: Vec<String> =
        LedgerRecord::COLUMN_NAMES.iter().map(|name| format!("anyLast(p.{name}) AS {name}")).collect();
    copies.join(", ")
}
