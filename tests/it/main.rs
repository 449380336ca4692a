//! Tests that need real servers, in one binary. `scripts/test` starts them and runs it.

mod servers;
mod store;
