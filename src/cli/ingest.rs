//! `odometer ingest`: Kafka to ClickHouse, until it is told to stop.

use std::time::Duration;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::process::run_service;
use super::setup::{open_store, topics};
use super::{Context, Exit, Failure, accounts};
use crate::clock::Clock;
use crate::config::ClockSource;
use crate::http;
use crate::pipeline::{self, IngestError};
use crate::telemetry::{Readiness, start_metrics};

/// How often a test's clock is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Count what Kafka has into ClickHouse; start as many as wanted, they share the group
#[derive(Debug, Args)]
pub struct Ingest {}

impl Ingest {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        run_service(context, start_observed).await
    }
}

/// With its own listener for health and metrics, where one is configured.
async fn start_observed(
    context: &Context,
    readiness: &Readiness,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let Some(address) = &context.config.ingest_listen else {
        return start(context, readiness, shutdown).await;
    };
    let listener = http::bind(address).await.map_err(anyhow::Error::from)?;
    let metrics = start_metrics().map_err(anyhow::Error::from)?;
    let router = http::operation(readiness.clone(), metrics);
    let counted = CancellationToken::new();
    let counting = async {
        let _end = counted.clone().drop_guard();
        start(context, readiness, shutdown).await
    };
    // It answers until the last block is published.
    let drain = context.config.shutdown_timeout / 4;
    tokio::join!(counting, http::serve(listener, router, counted.clone(), drain)).0
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
    let Some(clock) = clock(context, &shutdown).await? else { return Ok(()) };
    pipeline::ingest(settings, store, clock, readiness, shutdown).await.map_err(failure)
}

/// The installation's clock: where it is a test's, it is followed until told to stop.
async fn clock(context: &Context, shutdown: &CancellationToken) -> Result<Option<Clock>, Failure> {
    if context.config.clock == ClockSource::System {
        return Ok(Some(Clock::System));
    }
    let Some(accounts) = accounts::open(&context.config, shutdown).await? else { return Ok(None) };
    let clock = accounts.clock().clone();
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(async move {
        loop {
            if let Err(error) = accounts.follow_test_clock().await {
                tracing::warn!(%error, "follow the test clock; trying again");
            }
            tokio::time::sleep(FOLLOW_INTERVAL).await;
        }
    }));
    Ok(Some(clock))
}

fn failure(error: IngestError) -> Failure {
    match error {
        IngestError::OtherGroup(message) => Failure::new(Exit::Config, message),
        other => Failure::failed(other.to_string()),
    }
}
