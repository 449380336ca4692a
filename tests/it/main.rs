//! Tests that need real servers, in one binary. `scripts/test` starts them and runs it.

mod differential;
mod doctor;
mod export;
mod command_line;
mod count;
mod figures;
mod http;
mod oracle;
mod paused;
mod rebalance;
mod repartition;
mod accounts;
mod audit;
mod dead_letters;
mod servers;
mod simulate;
mod spine;
mod store;
mod support;
mod tidy;
