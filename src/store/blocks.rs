//! Statements about named blocks.
//!
//! They carry the ids in their text: parameters are form fields, of which a server takes no more
//! than 128 KiB each, some 3,000 ids. So such a statement has no parameters at all.

use clickhouse::query::Query;

use super::Store;
use crate::aggregate::{BlockId, LedgerRow};

/// Begins a statement that says [`among_blocks`].
macro_rules! with_blocks {
    () => {
        "WITH {blocks} AS wanted "
    };
}

/// Names the blocks' partitions too, so that the statement opens those alone.
macro_rules! among_blocks {
    () => {
        "(level, bucket) {among} (SELECT level, bucket FROM prepared WHERE block IN wanted) AND block IN wanted"
    };
}

pub(super) use {among_blocks, with_blocks};

/// Room for what the client adds to such a statement, in bytes.
const STATEMENT_BYTES: usize = 64 << 10;

impl Store {
    pub(super) fn blocks_of(&self, sql: &str, rows: &[LedgerRow]) -> Query {
        let blocks = array(rows.iter().map(|row| row.block));
        let limit = blocks.len() + sql.len() + STATEMENT_BYTES;
        let sql = sql.replace("{among}", self.layout.among()).replacen("{blocks}", &blocks, 1);
        self.client.query(&sql).with_setting("max_query_size", limit.to_string())
    }
}

/// As ClickHouse's `Array(UInt128)`; one literal, so that many ids are as quickly parsed as few.
pub(super) fn array(blocks: impl Iterator<Item = BlockId>) -> String {
    let ids: Vec<String> = blocks.map(|block| block.0.to_string()).collect();
    format!("CAST('[{}]', 'Array(UInt128)')", ids.join(","))
}
