//! `odometer repartition`: a topic by event key.

use anyhow::Context as _;
use clap::Args;

use super::audit::reached_kafka;
use super::process::until_stopped;
use super::screen::grouped;
use super::{Context, Failure};
use crate::audit::repartition::{self, Repartitioned, Request};

const EXAMPLES: &str = "\
Example:
  odometer repartition --from gateway.events --to gateway.events.by-key

Then count the new topic alone: put it into kafka.topics in the old one's place. It may be stopped or
killed at any moment and goes on where it was when it is run again.";

/// Copy a topic so that each event's repeats are in one partition
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Repartition {
    /// The topic to copy
    #[arg(long, value_name = "TOPIC")]
    from: String,
    /// The topic to copy to, by this command alone; made like the first where it is missing
    #[arg(long, value_name = "TOPIC")]
    to: String,
    /// Go on with what comes, until stopped
    #[arg(long)]
    follow: bool,
}

impl Repartition {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let request = self.request(context)?;
        reached_kafka(context).await?;
        let settings = context.config.source_settings()?;
        self.make_target(&settings).await?;
        let bar = context.screen.progress("copying", 0);
        let (shown, sink) = (bar.clone(), context.screen);
        until_stopped(context.config.shutdown_timeout, |stop| async move {
            let copying = tokio::task::spawn_blocking(move || {
                let progress = |copied, total| {
                    shown.set_length(total);
                    shown.set_position(copied);
                };
                repartition::repartition(&settings, &request, &progress, &stop)
            });
            let done = copying.await.context("repartition")?.context("repartition")?;
            bar.finish_and_clear();
            sink.print(&done, for_people)
        })
        .await
    }

    /// The rules of either topic tell where an event's key is; the other need not be configured.
    fn request(&self, context: &Context) -> Result<Request, Failure> {
        let config = &context.config;
        if self.from == self.to {
            return Err(Failure::usage("repartition: --from and --to name the same topic"));
        }
        let rules_of = |topic: &str| config.rules(topic).map(|rules| (rules, topic.to_owned()));
        if rules_of(&self.from).is_some() && rules_of(&self.to).is_some() {
            tracing::warn!(
                from = self.from,
                to = self.to,
                "both topics are in kafka.topics: every event of the first is counted twice; take it out"
            );
        }
        let Some((rules, rules_topic)) = rules_of(&self.to).or_else(|| rules_of(&self.from)) else {
            let message = format!("repartition: neither {} nor {} is in kafka.topics", self.from, self.to);
            return Err(Failure::failed(message)
                .hint("configure one of them, so that its format and its organization are known"));
        };
        Ok(Request { from: self.from.clone(), to: self.to.clone(), rules, rules_topic, follow: self.follow })
    }

    async fn make_target(&self, settings: &crate::source::Settings) -> Result<(), Failure> {
        Ok(repartition::make_target(settings, &self.from, &self.to).await.context("repartition")?)
    }
}

fn for_people(done: &Repartitioned) -> String {
    let mut text = format!(
        "copied {} records as {} events, {} of them without a key",
        grouped(done.records.into()),
        grouped(done.events.into()),
        grouped(done.without_key.into())
    );
    if done.lost > 0 {
        text += &format!("; at most {} records were gone before they were copied", grouped(done.lost.into()));
    }
    if !done.complete {
        text += "; stopped before the end: run it again to go on";
    }
    text
}
