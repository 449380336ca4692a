//! Requests to count a past range again. A command stores one; the lane's owner carries it out and
//! answers, so that nothing but the owner ever publishes for a lane.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use super::client::fetch;
use super::{Store, StoreError};
use crate::clock::Clock;
use crate::event::Lane;

/// A range of a lane that is to be counted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecountRequest {
    /// Random.
    pub id: u128,
    pub lane: Lane,
    /// The offsets [from, to); the owner widens them to block bounds.
    pub from: i64,
    pub to: i64,
}

/// How a request stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecountState {
    /// Not counted yet; the text says what it waits for, where that is known.
    Open(String),
    /// Published; the text says the range and what changed.
    Done(String),
    /// Nothing was changed; the text says why.
    Refused(String),
}

#[derive(Row, Serialize, Deserialize)]
struct RequestRecord {
    id: u128,
    topic: String,
    topic_id: String,
    partition: i32,
    from_offset: i64,
    to_offset: i64,
    state: String,
    detail: String,
    /// Once true for a request, for good, whatever the clocks say.
    answered: bool,
    changed_at: i64,
}

#[derive(Row, Deserialize)]
struct OpenRecord {
    id: u128,
    topic: String,
    topic_id: String,
    partition: i32,
    from_offset: i64,
    to_offset: i64,
}

#[derive(Row, Deserialize)]
struct StateRecord {
    state: String,
    detail: String,
}

const OPEN: &str = "SELECT id, topic, topic_id, partition, from_offset, to_offset FROM recounts FINAL
WHERE state = 'open' ORDER BY changed_at, id";
const STATE: &str = "SELECT state, detail FROM recounts FINAL WHERE id = toUInt128({id:String})";

pub(super) fn table(database: &str, engine: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {database}.recounts (
    id UInt128,
    topic String,
    topic_id String,
    partition Int32,
    from_offset Int64,
    to_offset Int64,
    state LowCardinality(String),
    detail String,
    answered Bool,
    changed_at DateTime64(3, 'UTC')
) ENGINE = {engine} ORDER BY id"
    )
}

impl Store {
    pub async fn request_recount(&self, request: &RecountRequest) -> Result<(), StoreError> {
        self.write_recount(request, "open", "").await
    }

    /// Tells whoever asked how it goes or went.
    pub async fn answer_recount(
        &self,
        request: &RecountRequest,
        state: &RecountState,
    ) -> Result<(), StoreError> {
        match state {
            RecountState::Open(detail) => self.write_recount(request, "open", detail).await,
            RecountState::Done(detail) => self.write_recount(request, "done", detail).await,
            RecountState::Refused(detail) => self.write_recount(request, "refused", detail).await,
        }
    }

    /// The requests of all lanes that nobody has answered, oldest first.
    pub async fn open_recounts(&self) -> Result<Vec<RecountRequest>, StoreError> {
        let records: Vec<OpenRecord> =
            fetch(self.client.query(OPEN), || "read recount requests".to_owned()).await?;
        let request = |record: OpenRecord| RecountRequest {
            id: record.id,
            lane: Lane {
                topic: Arc::from(record.topic),
                topic_id: Arc::from(record.topic_id),
                partition: record.partition,
            },
            from: record.from_offset,
            to: record.to_offset,
        };
        Ok(records.into_iter().map(request).collect())
    }

    /// `None`: there is no such request.
    pub async fn recount_state(&self, id: u128) -> Result<Option<RecountState>, StoreError> {
        let query = self.client.query(STATE).param("id", id.to_string());
        let records: Vec<StateRecord> = fetch(query, || "read recount request".to_owned()).await?;
        Ok(records.into_iter().next().map(|record| match record.state.as_str() {
            "done" => RecountState::Done(record.detail),
            "refused" => RecountState::Refused(record.detail),
            _ => RecountState::Open(record.detail),
        }))
    }

    async fn write_recount(
        &self,
        request: &RecountRequest,
        state: &str,
        detail: &str,
    ) -> Result<(), StoreError> {
        let record = RequestRecord {
            id: request.id,
            topic: request.lane.topic.to_string(),
            topic_id: request.lane.topic_id.to_string(),
            partition: request.lane.partition,
            from_offset: request.from,
            to_offset: request.to,
            state: state.to_owned(),
            detail: detail.to_owned(),
            answered: state != "open",
            changed_at: Clock::System.now_ms(),
        };
        let action = || format!("write recount request of {}", request.lane);
        self.insert::<RequestRecord>("recounts", std::iter::once(record), action).await
    }
}
