//! What others are told of: stored with the change that it tells of, listed for operators, sent to
//! webhooks.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::clock::{Clock, Time};

use super::account::Account;
use super::database::{DatabaseError, DatabaseResult, Many, Row, Transaction, Value, values};
use super::error::AccountResult;
use super::{Accounts, List, Page};

/// Which webhook an event goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    Notices,
    Sales,
}

impl Channel {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Notices => "notices",
            Self::Sales => "sales",
        }
    }
}

pub struct Notice<'a> {
    pub channel: Channel,
    /// E.g. `trial.ended`.
    pub event_type: &'static str,
    pub organization: &'a str,
    /// When it happened, in epoch milliseconds.
    pub at_ms: i64,
    pub data: Json,
}

impl<'a> Notice<'a> {
    pub fn new(event_type: &'static str, account: &'a Account, at_ms: i64, data: Json) -> Self {
        Self { channel: Channel::Notices, event_type, organization: &account.id, at_ms, data }
    }
}

/// An event as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OutboxEvent {
    pub id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub organization: String,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Time,
    #[schema(value_type = Object)]
    pub data: Json,
    pub delivery: Delivery,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// `pending` until a webhook took it (also where none is configured), `delivered`, or `failed`
    /// after three days.
    pub state: String,
    pub attempts: i64,
    pub last_error: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    data: Json,
}

static INSERT: LazyLock<Many<10>> = LazyLock::new(|| {
    Many::new(
        "INSERT INTO outbox (id, channel, type, organization, created_ms, body, state, attempts,
                             stored_ms, next_attempt_ms)
         VALUES {rows}",
    )
});

/// A notice as a row.
pub type NoticeRow = [Value; 10];

pub fn row(id: &str, notice: &Notice<'_>) -> NoticeRow {
    let mut data = notice.data.clone();
    data["organization"] = json!(notice.organization);
    let body = json!({ "type": notice.event_type, "timestamp": Time(notice.at_ms), "data": data });
    let stored_ms = Clock::System.now_ms();
    let row: &NoticeRow = values![
        id,
        notice.channel.as_str(),
        notice.event_type,
        notice.organization,
        notice.at_ms,
        body.to_string(),
        "pending",
        0_i64,
        stored_ms,
        stored_ms
    ];
    row.clone()
}

pub async fn insert(transaction: &mut Transaction, rows: Vec<NoticeRow>) -> DatabaseResult<()> {
    INSERT.execute(transaction, rows).await
}

impl Accounts {
    /// The events of a channel, the oldest first.
    pub async fn outbox(&self, channel: Channel, page: &Page) -> AccountResult<List<OutboxEvent>> {
        let sql = "SELECT id, type, organization, created_ms, body, state, attempts, last_error
                   FROM outbox WHERE channel = $1 AND id > $2 ORDER BY id LIMIT $3";
        let rows =
            self.database.fetch_all(sql, values![channel.as_str(), page.after(), page.fetch()]).await?;
        let events = rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?;
        Ok(page.list(events, |event| event.id.clone()))
    }

    /// The latest events of a channel, the latest first.
    pub async fn latest_events(&self, channel: Channel, most: u32) -> AccountResult<Vec<OutboxEvent>> {
        let sql = "SELECT id, type, organization, created_ms, body, state, attempts, last_error
                   FROM outbox WHERE channel = $1 ORDER BY id DESC LIMIT $2";
        let rows = self.database.fetch_all(sql, values![channel.as_str(), i64::from(most)]).await?;
        Ok(rows.iter().map(read).collect::<DatabaseResult<Vec<_>>>()?)
    }
}

fn read(row: &Row) -> DatabaseResult<OutboxEvent> {
    let id = row.text(0)?.to_owned();
    let body: Body = serde_json::from_str(row.text(4)?)
        .map_err(|error| DatabaseError::Content { what: format!("body of event {id}: {error}") })?;
    Ok(OutboxEvent {
        id,
        event_type: row.text(1)?.to_owned(),
        organization: row.text(2)?.to_owned(),
        timestamp: Time(row.integer(3)?),
        data: body.data,
        delivery: Delivery {
            state: row.text(5)?.to_owned(),
            attempts: row.integer(6)?,
            last_error: row.optional_text(7)?.map(str::to_owned),
        },
    })
}
