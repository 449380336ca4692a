//! `odometer recount`: counts a past range of a lane again, under today's configuration.

use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::ingest;
use super::process::START_PATIENCE;
use super::process::reach;
use super::setup::open_store;
use super::{Context, Failure};
use crate::clock::Clock;
use crate::event::Lane;
use crate::source::Watermarks;
use crate::store::{RecountRequest, RecountState, Store};
use crate::telemetry::Readiness;

/// Count a past range again from the log, under today's configuration; each reader switches in one step
#[derive(Debug, Args)]
pub struct Recount {
    #[arg(long)]
    topic: String,
    #[arg(long, value_parser = clap::value_parser!(i32).range(0..))]
    partition: i32,
    /// The first offset; widened to the bounds of blocks
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    from: i64,
    /// The offset behind the last
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(1..))]
    to: i64,
}

#[derive(Debug, Serialize)]
struct Report {
    topic: String,
    partition: i32,
    detail: String,
}

/// An owner stores what it sees of its lanes' logs every second; one that was silent for longer is
/// taken to be gone.
const OWNER_SILENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(200);

impl Recount {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if self.from >= self.to {
            return Err(Failure::usage(format!("--from {} is not below --to {}", self.from, self.to)));
        }
        if context.config.rules(&self.topic).is_none() {
            return Err(Failure::usage(format!("--topic {}: not one of `kafka.topics`", self.topic)));
        }
        let never = CancellationToken::new();
        let Some(store) = open_store(context, &never).await? else { return Ok(()) };
        let request = RecountRequest {
            id: rand::random(),
            lane: self.lane(context, &never).await?,
            from: self.from,
            to: self.to,
        };
        store.request_recount(&request).await.map_err(anyhow::Error::from)?;
        let detail = match answer_of_owner(&store, &request).await? {
            Some(detail) => detail,
            None => {
                context.screen.note("nobody owns the lane: this command joins the group until it is done");
                answer_as_member(context, &store, request.id).await?
            }
        };
        let report = Report { topic: self.topic, partition: self.partition, detail };
        context.screen.print(&report, |report| report.detail.clone())
    }

    /// The lane, with the id that its topic has now.
    async fn lane(&self, context: &Context, shutdown: &CancellationToken) -> Result<Lane, Failure> {
        let settings = context.config.source_settings()?;
        let what = format!("Kafka at {}", settings.brokers);
        let topics = [self.topic.clone()];
        let described = reach(&what, START_PATIENCE, shutdown, || async {
            let (settings, topics) = (settings.clone(), topics.clone());
            tokio::task::spawn_blocking(move || Watermarks::connect(&settings)?.topics(&topics))
                .await
                .map_err(|error| error.to_string())?
                .map_err(|error| error.to_string())
        })
        .await?;
        let topic = described.into_iter().flatten().find(|topic| topic.name == self.topic);
        let topic = topic.ok_or_else(|| Failure::failed(format!("topic {} does not exist", self.topic)))?;
        if self.partition >= topic.partitions {
            let (name, partitions) = (&topic.name, topic.partitions);
            let message = format!("--partition {}: topic {name} has {partitions}, from 0 on", self.partition);
            return Err(Failure::failed(message));
        }
        Ok(topic.lane(self.partition))
    }
}

/// Whether a process counts the lane just now.
async fn is_owned(store: &Store, lane: &Lane) -> Result<bool, Failure> {
    let since = Clock::System.now_ms() - i64::try_from(OWNER_SILENCE.as_millis()).expect("seconds");
    let marks = store.watermarks_since(since).await.map_err(anyhow::Error::from)?;
    Ok(marks.iter().any(|mark| mark.lane == *lane))
}

/// Waits for the lane's owner; `None` once nobody owns the lane.
async fn answer_of_owner(store: &Store, request: &RecountRequest) -> Result<Option<String>, Failure> {
    while is_owned(store, &request.lane).await? {
        if let Ok(answered) = tokio::time::timeout(OWNER_SILENCE, answer(store, request.id)).await {
            return answered.map(Some);
        }
    }
    Ok(None)
}

/// Waits until the request is answered, by whomever.
async fn answer(store: &Store, id: u128) -> Result<String, Failure> {
    let mut told = String::new();
    loop {
        match store.recount_state(id).await {
            Ok(Some(RecountState::Done(detail))) => return Ok(detail),
            Ok(Some(RecountState::Refused(why))) => {
                return Err(Failure::failed(format!("not counted again: {why}")));
            }
            Ok(Some(RecountState::Open(why))) if why != told => {
                tracing::warn!("not counted again yet: {why}");
                told = why;
            }
            Ok(_) => {}
            Err(error) => tracing::warn!("{error}; trying again"),
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Counts as a member of the group until the request is answered.
async fn answer_as_member(context: &Context, store: &Store, id: u128) -> Result<String, Failure> {
    let shutdown = CancellationToken::new();
    let readiness = Readiness::default();
    let member = ingest::start(context, &readiness, shutdown.clone());
    tokio::pin!(member);
    tokio::select! {
        ended = &mut member => match ended {
            Ok(()) => Err(Failure::failed("the member ended before the range was counted again")),
            Err(failure) => Err(failure),
        },
        answered = answer(store, id) => {
            shutdown.cancel();
            member.await?;
            answered
        }
    }
}
