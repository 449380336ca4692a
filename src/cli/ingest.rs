//! `odometer ingest`: Kafka to ClickHouse, until it is told to stop.

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::process::until_stopped;
use super::setup::{open_store, topics};
use super::{Context, Exit, Failure};
use crate::clock::Clock;
use crate::pipeline::{self, IngestError};
use crate::telemetry::Readiness;

/// Count what Kafka has into ClickHouse; start as many as wanted, they share the group
#[derive(Debug, Args)]
pub struct Ingest {}

impl Ingest {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let readiness = Readiness::default();
        let timeout = context.config.shutdown_timeout;
        until_stopped(timeout, |shutdown| start(context, &readiness, shutdown)).await
    }
}

/// Waits for the servers, makes what is missing there, and counts until told to stop.
pub async fn start(
    context: &Context,
    readiness: &Readiness,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let settings = context.config.pipeline_settings()?;
    if topics(context, &shutdown).await?.is_none() {
        return Ok(());
    }
    let Some(store) = open_store(context, &shutdown).await? else { return Ok(()) };
    pipeline::ingest(settings, store, Clock::System, readiness, shutdown).await.map_err(failure)
}

fn failure(error: IngestError) -> Failure {
    match error {
        IngestError::OtherGroup(message) => Failure::new(Exit::Config, message),
        other => Failure::failed(other.to_string()),
    }
}
