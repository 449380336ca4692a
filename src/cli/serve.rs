//! `odometer serve`: the HTTP API, usage in memory, the snapshots topic.

use std::sync::Arc;

use clap::Args;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::process::run_service;
use super::setup::{open_store, topics};
use super::usage::Reading;
use super::{Context, Failure, accounts};
use crate::billing::Biller;
use crate::billing::payment::Payments;
use crate::http::{self, App};
use crate::snapshot::changes::Changes;
use crate::snapshot::{Publisher, follow, watch_partitions};
use crate::telemetry::{Readiness, start_metrics};
use crate::web;

/// Serve the HTTP API and publish usage snapshots
#[derive(Debug, Args)]
pub struct Serve {}

impl Serve {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        run_service(context, start).await
    }
}

/// Waits for the servers, makes what is missing there, and serves until told to stop.
pub async fn start(
    context: &Context,
    readiness: &Readiness,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let config = &context.config;
    let (settings, topic) = (config.http_settings()?, config.snapshot_topic()?);
    let listener = http::bind(&config.http.listen).await.map_err(anyhow::Error::from)?;
    if topics(context, &shutdown).await?.is_none() {
        return Ok(());
    }
    let Some(store) = open_store(context, &shutdown).await? else { return Ok(()) };
    let Some(accounts) = accounts::open(config, &shutdown).await? else { return Ok(()) };
    let payments =
        Payments::new(accounts.clone(), &config.payment_settings()?).map_err(anyhow::Error::from)?;
    let publisher = Publisher::new(topic.clone()).map_err(anyhow::Error::from)?;
    let metrics = start_metrics().map_err(anyhow::Error::from)?;
    let clock = accounts.clock().clone();
    let changes = Arc::new(Changes::new(true));
    let reading = Reading::new(config, store, Some(accounts.clone()), &changes, &clock)?;
    let snapshots = reading.snapshots;
    let biller = Arc::new(
        Biller::new(accounts.clone(), reading.deployments.clone(), config.price_book()?)
            .until(shutdown.clone()),
    );
    // Other regions' figures are missing from the answers while they are away; this process does its
    // work all the same.
    let elsewhere = Readiness::default();
    // Tasks of their own: at the start each has long work to do.
    let mut tasks = JoinSet::new();
    for (number, deployment) in reading.deployments.iter().enumerate() {
        let readiness = if number == 0 { readiness } else { &elsewhere };
        let check = readiness.check(&format!("usage-{}", deployment.region()));
        tasks.spawn(follow(deployment.clone(), changes.clone(), check, shutdown.clone()));
    }
    // Usage is read meanwhile.
    accounts.load_directory().await.map_err(anyhow::Error::from)?;
    let app = App::new(
        settings,
        snapshots.clone(),
        accounts.clone(),
        readiness.clone(),
        metrics,
        clock,
        shutdown.clone(),
    )
    .with_biller(biller.clone())
    .with_payments(payments.clone());
    tasks.spawn(publisher.run(snapshots, shutdown.clone()));
    let local = reading.deployments[0].clone();
    // Half of the time to stop is for answers that are under way, the rest for what comes after.
    let drain = config.shutdown_timeout / 2;
    tracing::info!(listen = config.http.listen, "serving");
    tokio::join!(
        http::serve(
            listener,
            http::app_with(app, web::pages(config.web_settings()?)),
            shutdown.clone(),
            drain
        ),
        tasks.join_all(),
        accounts.run(shutdown.clone()),
        biller.run(shutdown.clone()),
        payments.run(shutdown.clone()),
        watch_partitions(local, topic.properties, shutdown.clone()),
    );
    accounts.close().await;
    Ok(())
}
