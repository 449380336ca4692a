//! Lists in pages: `?limit=&cursor=` → `{ "data": [], "next_cursor": null }`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Problem;

#[cfg(test)]
mod tests;

/// Items in a page where none are asked for, and at most.
pub const DEFAULT_LIMIT: usize = 100;
pub const GREATEST_LIMIT: usize = 1000;

/// One page of a list.
#[derive(Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Page<T> {
    pub data: Vec<T>,
    /// Ask with `cursor` set to this for what follows; null at the end.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Cuts `items`, of which up to `limit` + 1 are given, to a page; `key` is what the next page
    /// starts after.
    pub fn cut<K: Serialize>(mut items: Vec<T>, limit: usize, key: impl FnOnce(&T) -> K) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| more).map(|last| encode_cursor(&key(last)));
        Self { data: items, next_cursor }
    }

    pub fn map<U>(self, item: impl FnMut(T) -> U) -> Page<U> {
        Page { data: self.data.into_iter().map(item).collect(), next_cursor: self.next_cursor }
    }
}

/// How many items a page may have: `limit` as asked, 1 to `greatest`.
pub fn page_limit(limit: Option<usize>, default: usize, greatest: usize) -> Result<usize, Problem> {
    match limit {
        None => Ok(default),
        Some(limit) if (1..=greatest).contains(&limit) => Ok(limit),
        Some(limit) => {
            Err(super::extract::invalid_query(format!("limit {limit} is not within 1 and {greatest}")))
        }
    }
}

/// Cursors are opaque to clients.
pub(super) fn encode_cursor<K: Serialize>(key: &K) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).expect("a cursor is plain data"))
}

/// The key that the page starts after.
pub fn decode_cursor<K: DeserializeOwned>(cursor: Option<&str>) -> Result<Option<K>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let key = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    key.map(Some).ok_or_else(invalid_cursor)
}

pub fn invalid_cursor() -> Problem {
    Problem::bad_request(
        "invalid-cursor",
        "The cursor is not one of this list",
        "Take `cursor` from `next_cursor` of the page before, unchanged, or leave it out.",
    )
}
