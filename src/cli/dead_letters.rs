//! `odometer dead-letters`: rejected events, why, and their second way.

use std::collections::HashSet;

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::reached_kafka;
use super::screen::{Tone, cell, grouped, number, table};
use super::{Context, Exit, Failure};
use crate::audit::letters::{self, Chosen, Filter, FullLetter, Letter, LetterId, Letters, Retry};
use crate::clock::Clock;
use crate::event::Reason;
use crate::source;

const EXAMPLES: &str = "\
Examples:
  odometer dead-letters list --reason malformed
  odometer dead-letters show gateway.events/3/1042/0
  odometer dead-letters retry --reason missing_organization   after the configuration is mended";

/// List rejected events with their reasons, show one, send some again
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Show(Show),
    Retry(RetryThem),
}

#[derive(Debug, Args)]
struct Which {
    /// Only those rejected for this reason
    #[arg(long, value_enum)]
    reason: Option<ReasonName>,
    /// Only those of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

/// List dead letters, the newest first, each rejected event once
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// How many to list; all are counted
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

/// Show one dead letter with its headers and its content
#[derive(Debug, Args)]
struct Show {
    /// TOPIC/PARTITION/OFFSET/INDEX, as `list` prints it
    #[arg(value_name = "ID")]
    id: LetterId,
}

/// Send dead letters again to where they came from; each once, however often this runs
#[derive(Debug, Args)]
struct RetryThem {
    /// TOPIC/PARTITION/OFFSET/INDEX, as `list` prints it
    #[arg(value_name = "ID", conflicts_with_all = ["reason", "topic", "all"])]
    ids: Vec<LetterId>,
    #[command(flatten)]
    which: Which,
    /// Every dead letter but those that contradict an earlier event
    #[arg(long)]
    all: bool,
}

/// A reason as it is typed.
#[derive(Clone, Copy, Debug)]
struct ReasonName(Reason);

impl ValueEnum for ReasonName {
    fn value_variants<'a>() -> &'a [Self] {
        const NAMES: [ReasonName; Reason::ALL.len()] = {
            let mut names = [ReasonName(Reason::Malformed); Reason::ALL.len()];
            let mut at = 0;
            while at < names.len() {
                names[at] = ReasonName(Reason::ALL[at]);
                at += 1;
            }
            names
        };
        &NAMES
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.as_str()))
    }
}

impl Which {
    fn filter(&self) -> Filter {
        Filter { reason: self.reason.map(|name| name.0), topic: self.topic.clone() }
    }
}

impl DeadLetters {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        reached_kafka(context).await?;
        let settings = context.config.source_settings()?;
        match self.action {
            Action::List(command) => command.run(context, settings).await,
            Action::Show(command) => command.run(context, settings).await,
            Action::Retry(command) => command.run(context, settings).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context, settings: source::Settings) -> Result<(), Failure> {
        let (filter, limit) = (self.which.filter(), self.limit);
        let letters = beside(move || letters::list(&settings, &filter, limit)).await?;
        context.screen.print(&letters, letters_for_people)
    }
}

impl Show {
    async fn run(self, context: &Context, settings: source::Settings) -> Result<(), Failure> {
        let id = self.id.clone();
        let found = beside(move || letters::find(&settings, &id)).await?;
        let Some(letter) = found else {
            return Err(Failure::failed(format!("show dead letter {}: there is none (any more)", self.id))
                .hint("`odometer dead-letters list` prints the ids"));
        };
        context.screen.print(&Shown::from(&letter), |_| letter_for_people(&letter))
    }
}

impl RetryThem {
    async fn run(self, context: &Context, settings: source::Settings) -> Result<(), Failure> {
        let is_filtered = self.which.reason.is_some() || self.which.topic.is_some();
        if self.ids.is_empty() && !is_filtered && !self.all {
            return Err(Failure::usage("retry dead letters: which? Give ids, --reason, --topic or --all"));
        }
        let chosen = match self.ids.is_empty() {
            true => Chosen::All(self.which.filter()),
            false => Chosen::Ids(self.ids.into_iter().collect::<HashSet<_>>()),
        };
        let retry = beside(move || letters::retry(&settings, &chosen, &Clock::System)).await?;
        context.screen.print(&retry, retry_for_people)?;
        if retry.not_retried.is_empty() { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }
}

/// Reading Kafka blocks; it runs beside the runtime's own threads.
async fn beside<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(tokio::task::spawn_blocking(work).await.context("read dead letters")?.context("read dead letters")?)
}

/// A letter as programs see it: text where it is text, else base64.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    letter: &'a Letter,
    key: Value,
    value: Value,
    headers: Vec<Value>,
}

impl<'a> From<&'a FullLetter> for Shown<'a> {
    fn from(full: &'a FullLetter) -> Self {
        let header = |(name, value): &(String, Option<Vec<u8>>)| json!({ "name": name, "value": content(value.as_deref()) });
        Self {
            letter: &full.letter,
            key: content(full.key.as_deref()),
            value: content(full.value.as_deref()),
            headers: full.headers.iter().map(header).collect(),
        }
    }
}

/// A string, `{ "base64": … }` where the bytes are no text, or null.
fn content(bytes: Option<&[u8]>) -> Value {
    match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
        None => Value::Null,
        Some((_, Ok(text))) => json!(text),
        Some((bytes, Err(_))) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

fn letters_for_people(letters: &Letters) -> String {
    if letters.total == 0 {
        return "no dead letters".to_owned();
    }
    let mut reasons = table(["REASON", "LETTERS"]);
    for (reason, count) in &letters.by_reason {
        reasons.add_row([cell(reason, Tone::Plain), number(*count)]);
    }
    let mut listed = table(["ID", "REASON", "REJECTED AT", "BYTES", "RETRIED", "DETAIL"]);
    for letter in &letters.data {
        let retried = if letter.retried { cell("yes", Tone::Good) } else { cell("no", Tone::Plain) };
        let cut = if letter.truncated { " (value cut)" } else { "" };
        listed.add_row([
            cell(&letter.id, Tone::Plain),
            cell(&letter.reason, Tone::Doubtful),
            cell(letter.rejected_at.map_or_else(|| "-".to_owned(), |time| time.to_string()), Tone::Plain),
            number(letter.bytes as u128),
            retried,
            cell(format!("{}{cut}", letter.detail), Tone::Plain),
        ]);
    }
    let shown = letters.data.len() as u128;
    let total = u128::from(letters.total);
    let more = match total > shown {
        true => format!("\n\nthe newest {} of {}", grouped(shown), grouped(total)),
        false => String::new(),
    };
    format!("{}\n\n{}{more}", reasons.trim_fmt(), listed.trim_fmt())
}

fn letter_for_people(full: &FullLetter) -> String {
    let letter = &full.letter;
    let text = |bytes: Option<&[u8]>| match content(bytes) {
        Value::String(text) => text,
        Value::Null => "(none)".to_owned(),
        other => other.to_string(),
    };
    let time =
        |time: Option<crate::clock::Time>| time.map_or_else(|| "-".to_owned(), |time| time.to_string());
    let mut lines = vec![
        format!("id           {}", letter.id),
        format!("reason       {}", letter.reason),
        format!("detail       {}", letter.detail),
        format!("rejected at  {}", time(letter.rejected_at)),
        format!("recorded at  {}", time(letter.recorded_at)),
        format!("retried      {}", if letter.retried { "yes" } else { "no" }),
        format!("key          {}", text(full.key.as_deref())),
    ];
    for (name, value) in &full.headers {
        lines.push(format!("header       {name}: {}", text(value.as_deref())));
    }
    let cut = if letter.truncated { ", cut" } else { "" };
    lines.push(format!("value        {} bytes{cut}", letter.bytes));
    lines.push(String::new());
    lines.push(text(full.value.as_deref()));
    lines.join("\n")
}

fn retry_for_people(retry: &Retry) -> String {
    let mut text = format!(
        "sent {} again, {} were sent before",
        grouped(retry.sent.into()),
        grouped(retry.already_retried.into())
    );
    if !retry.not_retried.is_empty() {
        let mut refused = table(["NOT SENT", "WHY"]);
        for letter in &retry.not_retried {
            refused.add_row([cell(&letter.id, Tone::Plain), cell(&letter.why, Tone::Bad)]);
        }
        text = format!("{}\n\n{text}", refused.trim_fmt());
    }
    text
}
