//! Lists that are read page by page.

use serde::{Deserialize, Serialize};

/// One page of a list. Lists are sorted by a text; a cursor is the last one of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub limit: u32,
    pub cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    pub data: Vec<T>,
    /// `null` where nothing follows.
    pub next_cursor: Option<String>,
}

impl Page {
    pub const DEFAULT_LIMIT: u32 = 100;
    pub const MAX_LIMIT: u32 = 1000;

    /// A limit beyond the greatest is the greatest.
    pub fn new(limit: Option<u32>, cursor: Option<String>) -> Self {
        Self { limit: limit.unwrap_or(Self::DEFAULT_LIMIT).clamp(1, Self::MAX_LIMIT), cursor }
    }

    /// What the page's entries sort after.
    pub fn after(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    /// The rows to fetch: one more than the page has, to know whether something follows.
    pub fn fetch(&self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// The page of what was fetched.
    pub fn list<T>(&self, mut fetched: Vec<T>, key: impl Fn(&T) -> String) -> List<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = fetched.len() > limit;
        fetched.truncate(limit);
        let next_cursor = fetched.last().filter(|_| more).map(key);
        List { data: fetched, next_cursor }
    }
}
