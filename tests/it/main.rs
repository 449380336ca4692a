//! Tests that need real servers, in one binary. `scripts/test` starts them and runs it.

mod figures;
mod oracle;
mod paused;
mod servers;
mod simulate;
mod spine;
mod store;
mod support;
//! Everything that needs more than one room, or real servers (`scripts/test` starts them).

mod differential;
