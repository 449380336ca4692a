//! `odometer count`: what files would count for, without any server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::outcomes::OutcomeReport;
use super::screen::{Tone, cell, number, table};
use super::{Context, Failure};
use crate::aggregate::{CountRow, Fold, Outcomes, ServiceRow};
use crate::config::{Config, Topic};
use crate::dedup::{Cache, CacheSettings};
use crate::event::{Format, HOUR_MS, Lane, NoHeaders, Record, Rules};
use crate::month::Month;
use crate::pipeline::LaneCounter;
use crate::snapshot::register::Catalog;

#[cfg(test)]
mod tests;

/// Count files as if they were a topic: try a mapping, or find out why an event doesn't count
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  odometer count requests.ndjson --format kafka-log --organization konnect.org_id
  kcat -C -e -t gateway.events | odometer count - --format cloudevents --output json")]
pub struct Count {
    /// One record a line, all files one after another; `-` is standard input. Batches: each record
    /// after its length, 4 bytes, little-endian
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[arg(long, value_enum)]
    format: FileFormat,
    /// Where the organization is: a dotted path, header:NAME or topic:PATTERN
    #[arg(long, value_name = "PATH")]
    organization: Option<String>,
    /// Where the region is, likewise
    #[arg(long, value_name = "PATH")]
    region: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FileFormat {
    Cloudevents,
    KafkaLog,
    Batch,
}

#[derive(Debug, Serialize)]
struct Report {
    usage: Vec<UsageLine>,
    outcomes: OutcomeReport,
    /// The first rejected events, by line.
    rejected: Vec<Rejected>,
}

#[derive(Debug, Serialize)]
struct UsageLine {
    organization: String,
    region: String,
    month: Month,
    meter: String,
    value: u128,
}

#[derive(Debug, Serialize)]
struct Rejected {
    /// From 1; of a batch file, the record's number.
    line: i64,
    /// Position within the record, from 0.
    index: u32,
    reason: &'static str,
    detail: String,
}

/// What the blocks of the files add up to.
#[derive(Default)]
struct Sums {
    values: BTreeMap<(String, String, Month, String), u128>,
    services: BTreeMap<String, Vec<ServiceRow>>,
    outcomes: OutcomeReport,
    rejected: Vec<Rejected>,
}

/// Rejected events that are shown one by one.
const SHOWN: usize = 100;
/// A block is added up before it holds more, in bytes.
const BLOCK_BYTES: usize = 64 << 20;

impl Count {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let rules = self.rules(&context.config);
        let dir = tempfile::tempdir().context("make a folder for the window")?;
        let cache = Cache::open(&CacheSettings {
            dir: dir.path().to_owned(),
            memory: context.config.memory / 2,
            budget: context.config.cache.budget,
        })
        .context("open the window's folder")?;
        let topic = self.topic(&context.config).map_or("files", |topic| topic.name.as_str());
        let lane = Lane { topic: topic.into(), topic_id: "".into(), partition: 0 };
        let counter = LaneCounter::from_start(&lane, &rules, &cache)
            .map_err(|error| Failure::usage(format!("--organization, --region: {error}")))?;
        let report = count_files(&self.files, self.format, counter)?;
        context.screen.print(&report, for_people)
    }

    /// A configured topic of the format, whose mapping holds where the flags name none.
    fn topic<'a>(&self, config: &'a Config) -> Option<&'a Topic> {
        config.kafka.topics.iter().find(|topic| topic.format == self.format.into())
    }

    fn rules(&self, config: &Config) -> Rules {
        let topic = self.topic(config);
        config.rules_of(&Topic {
            name: "files".into(),
            format: self.format.into(),
            organization: self.organization.clone().or_else(|| topic?.organization.clone()),
            region: self.region.clone().or_else(|| topic?.region.clone()),
        })
    }
}

impl From<FileFormat> for Format {
    fn from(format: FileFormat) -> Self {
        match format {
            FileFormat::Cloudevents => Self::Cloudevents,
            FileFormat::KafkaLog => Self::KafkaLog,
            FileFormat::Batch => Self::Batch,
        }
    }
}

fn count_files(files: &[PathBuf], format: FileFormat, mut counter: LaneCounter) -> anyhow::Result<Report> {
    let mut sums = Sums::default();
    let topic = counter.lane().topic.clone();
    let mut offset = 0;
    for file in files {
        let mut records = Records::open(file, format).with_context(|| format!("open {}", file.display()))?;
        while let Some(value) = records.next().with_context(|| format!("read {}", file.display()))? {
            let record = Record {
                topic: &topic,
                partition: 0,
                offset,
                timestamp_ms: None,
                key: None,
                value: Some(value),
                headers: &NoHeaders,
            };
            counter.take(&record, -1)?;
            offset += 1;
            if counter.bytes() >= BLOCK_BYTES {
                sums.add(&mut counter);
            }
        }
    }
    sums.add(&mut counter);
    Ok(sums.report())
}

/// The records of one file.
struct Records {
    reader: Box<dyn BufRead>,
    format: FileFormat,
    value: Vec<u8>,
}

impl Records {
    fn open(file: &PathBuf, format: FileFormat) -> io::Result<Self> {
        let reader: Box<dyn BufRead> = if file.as_os_str() == "-" {
            Box::new(io::stdin().lock())
        } else {
            Box::new(BufReader::new(File::open(file)?))
        };
        Ok(Self { reader, format, value: Vec::new() })
    }

    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.value.clear();
        let is_there = match self.format {
            FileFormat::Batch => self.read_prefixed()?,
            _ => self.read_line()?,
        };
        Ok(is_there.then_some(&*self.value))
    }

    fn read_line(&mut self) -> io::Result<bool> {
        let length = self.reader.read_until(b'\n', &mut self.value)?;
        if self.value.last() == Some(&b'\n') {
            self.value.pop();
        }
        Ok(length > 0)
    }

    fn read_prefixed(&mut self) -> io::Result<bool> {
        if self.reader.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut length = [0; 4];
        self.reader.read_exact(&mut length)?;
        let length = u64::from(u32::from_le_bytes(length));
        if (&mut self.reader).take(length).read_to_end(&mut self.value)? as u64 != length {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends within a record"));
        }
        Ok(true)
    }
}

impl Sums {
    fn add(&mut self, counter: &mut LaneCounter) {
        let contents = Arc::unwrap_or_clone(counter.close().finish().contents);
        for row in contents.counts {
            self.add_count(row);
        }
        for row in contents.services {
            self.services.entry(row.organization.clone()).or_default().push(row);
        }
        self.outcomes.add(&contents.outcomes);
        let room = SHOWN.saturating_sub(self.rejected.len());
        self.rejected.extend(contents.dead_letters.into_iter().take(room).map(|letter| Rejected {
            line: letter.offset + 1,
            index: letter.index,
            reason: letter.reason.as_str(),
            detail: letter.detail,
        }));
    }

    fn add_count(&mut self, row: CountRow) {
        let month = Month::containing(i64::from(row.hour) * HOUR_MS);
        let value = self.values.entry((row.organization, row.region, month, row.meter)).or_default();
        *value = match row.fold {
            Fold::Sum => *value + row.value,
            Fold::Max => (*value).max(row.value),
        };
    }

    fn report(mut self) -> Report {
        for (organization, rows) in &self.services {
            let months: BTreeSet<_> = rows.iter().map(|row| Month::containing(row.time_ms)).collect();
            for month in months {
                for (region, counts) in Catalog::before(rows, month.end_ms()).by_region() {
                    for (meter, value) in
                        [("services", counts.services), ("published_services", counts.published)]
                    {
                        let key = (organization.clone(), region.to_string(), month, meter.to_owned());
                        self.values.insert(key, value.into());
                    }
                }
            }
        }
        let line = |((organization, region, month, meter), value)| UsageLine {
            organization,
            region,
            month,
            meter,
            value,
        };
        Report {
            usage: self.values.into_iter().map(line).collect(),
            outcomes: self.outcomes,
            rejected: self.rejected,
        }
    }
}

impl OutcomeReport {
    fn add(&mut self, outcomes: &Outcomes) {
        self.received += outcomes.received();
        self.counted += outcomes.counted;
        self.duplicate += outcomes.duplicate;
        for (reason, count) in &outcomes.rejected {
            *self.rejected.entry(reason.as_str()).or_default() += count;
        }
        for (why, count) in &outcomes.ignored {
            *self.ignored.entry(why.as_str()).or_default() += count;
        }
    }
}

fn for_people(report: &Report) -> String {
    let mut usage = table(["ORGANIZATION", "REGION", "MONTH", "METER", "VALUE"]);
    for line in &report.usage {
        usage.add_row([
            cell(&line.organization, Tone::Plain),
            cell(&line.region, Tone::Plain),
            cell(line.month, Tone::Plain),
            cell(&line.meter, Tone::Plain),
            number(line.value),
        ]);
    }
    let ends = report.outcomes.table(true);
    let mut text = format!("{}\n\n{}\n", usage.trim_fmt(), ends.trim_fmt());
    if !report.rejected.is_empty() {
        let mut rejected = table(["LINE", "EVENT", "REASON", "WHY"]);
        for event in &report.rejected {
            rejected.add_row([
                number(event.line.unsigned_abs()),
                number(event.index),
                cell(event.reason, Tone::Bad),
                cell(&event.detail, Tone::Plain),
            ]);
        }
        text.push_str(&format!("\n{}\n", rejected.trim_fmt()));
    }
    text
}
