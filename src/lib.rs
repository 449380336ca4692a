//! odometer counts API calls and services per organization and month, exactly.
//!
//! The rooms, in the order that an event walks through them. A room may use the rooms above it in
//! this list where `docs/architecture.md` says so, never one below; `tests/it/tidy.rs` holds that.

/// The words that every room speaks: event, record, lane, outcome, reason, counting rules.
pub mod event;
/// UTC calendar months, half-open, so that every instant belongs to exactly one.
pub mod month;
/// The only place that reads time.
pub mod clock;
/// What only a processor's own instructions do fast.
pub mod processor;
/// How a running process tells what it does: checks, metrics, logs.
pub mod telemetry;
/// Bytes to events: cloudevents, kafka-log, batch.
pub mod decode;
/// De-duplication: keys, fingerprints, the window and its journal.
pub mod dedup;
/// The open block of each lane: single-writer shards, outcomes, digest.
pub mod aggregate;
/// What usage costs: price books, tiers, proration, rounding; exact decimals, no floats.
pub mod rating;
/// Organizations, their plans and trials, regions, licenses, payment methods and keys.
pub mod accounts;
/// Kafka in: batches of borrowed records, the group's fence, dead letters out.
pub mod source;
/// ClickHouse: schema, block rows, the ledger and its gate, rolls, views, reading.
pub mod store;
/// Insert, commit, ledger: the only place where the order of publishing lives.
pub mod flush;
/// One organization's usage at a moment: totals in memory, the service register, completeness.
pub mod snapshot;
/// Invoices: a month's counts, priced, numbered and kept, so that they can be computed again.
pub mod billing;
/// An invoice as a PDF: the same digits, the same bytes.
pub mod pdf;
/// The audit and its own naive counting; dead letters again; topics by event key; what is wrong.
pub mod audit;
/// Realistic traffic into Kafka whose exact counts are known beforehand.
pub mod simulate;
/// Wires source → decode → dedup → aggregate → flush.
pub mod pipeline;
/// The API: routes, roles, problems, limits, the listener.
pub mod http;
/// The pages: Billing & Usage for an organization's people, and the operator's.
pub mod web;
/// The configuration: a YAML file, then the environment, checked as a whole before anything runs.
pub mod config;
/// The command line: one file per command.
pub mod cli;
