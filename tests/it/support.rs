//! What tests of whole processes on real servers are made of: servers from the environment, the
//! real binary as child processes, topics and records, questions to ClickHouse and over HTTP.
//!
//! Everything blocks, and everything that can't be had fails with words that say what and where.

pub mod clickhouse;
pub mod deployment;
pub mod http;
pub mod kafka;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod stack;
pub mod wait;

use std::future::Future;
use std::sync::LazyLock;

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("start a runtime")
});

pub fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// A name that no other test and no other run has, good for topics, groups and databases.
pub fn unique(name: &str) -> String {
    format!("it_{name}_{:08x}", rand::random::<u32>())
}
