//! Tests that need real servers, in one binary. `scripts/test` starts them and runs it.

mod browser;
mod differential;
mod doctor;
mod export;
mod command_line;
mod cache_full;
mod configurations;
mod count;
mod faults;
mod figures;
mod killed;
mod losses;
mod members;
mod http;
mod latest;
mod mutations;
mod operation;
mod oracle;
mod outages;
mod paused;
mod payments;
mod rebalance;
mod repartition;
mod accounts;
mod atomics;
mod audit;
mod billing;
mod dead_letters;
mod servers;
#[path = "../sim/mod.rs"]
mod sim;
mod simulate;
mod spine;
mod store;
mod support;
mod tidy;
