//! `odometer run`: everything in one process.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::process::run_service;
use super::{Context, Failure, ingest, serve};
use crate::telemetry::Readiness;

/// Count and serve in one process: `ingest` and `serve` together
#[derive(Debug, Args)]
pub struct Run {}

impl Run {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        run_service(context, start).await
    }
}

/// Where one half ends, the other does too.
async fn start(context: &Context, readiness: &Readiness, shutdown: CancellationToken) -> Result<(), Failure> {
    let ending = shutdown.child_token();
    let counting = async {
        let _end = ending.clone().drop_guard();
        ingest::start(context, readiness, ending.clone()).await
    };
    let serving = async {
        let _end = ending.clone().drop_guard();
        serve::start(context, readiness, ending.clone()).await
    };
    let (counted, served) = tokio::join!(counting, serving);
    counted.and(served)
}
