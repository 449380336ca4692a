//! Usage in published blocks, by the store's own steps: insert, prepare, list.

use std::ops::Range;

use anyhow::Context as _;
use futures::future::try_join_all;
use odometer::aggregate::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow, Tally};
use odometer::config::Config;
use odometer::event::{API_CALLS, HOUR_MS, Lane, RulesHash};
use odometer::month::Month;
use odometer::store::Store;
use xxhash_rust::xxh3::xxh3_128;

use super::{mixed, organization};

/// Lanes of one topic, filled side by side.
const LANES: i32 = 4;
/// Hours that one block counts.
const BLOCK_HOURS: usize = 4;
/// Blocks that count the same hours, as flushes that follow one another do.
const SHARES: u64 = 2;
/// Service events in one block.
const BLOCK_SERVICES: usize = 20_000;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Blocks of one lane, each where the one before ends.
struct Writer<'a> {
    store: &'a Store,
    lane: Lane,
    region: String,
    rules: RulesHash,
    sequence: u64,
    next_offset: i64,
}

impl<'a> Writer<'a> {
    async fn new(config: &Config, store: &'a Store, topic: &str, partition: i32) -> anyhow::Result<Self> {
        let configured = config.kafka.topics.first().context("name a topic in the configuration")?;
        let rules = config.rules_of(configured);
        store.store_rules(&rules).await?;
        let lane = lane(topic, partition);
        Ok(Self {
            store,
            lane,
            region: config.region.clone(),
            rules: rules.hash(),
            sequence: 0,
            next_offset: 0,
        })
    }

    async fn publish(
        &mut self,
        counts: &[CountRow],
        services: &[ServiceRow],
        times: (i64, i64),
    ) -> anyhow::Result<()> {
        let events = counts.len() + services.len();
        let quantity = counts.iter().map(|row| row.value).sum();
        let row = LedgerRow {
            lane: self.lane.clone(),
            group: "seed-organizations".into(),
            token: 1,
            tenure: 1,
            sequence: self.sequence,
            block: block_id(&self.lane, self.sequence),
            kind: BlockKind::Live,
            level: 0,
            first_offset: self.next_offset,
            next_offset: self.next_offset + i64::try_from(events)?,
            tally: Tally { counted: events as u64, ..Tally::default() },
            quantity,
            times: Some(times),
            window_from: 0,
            leader_epoch: 0,
            digest: 0,
            rules: self.rules,
            loss: String::new(),
        };
        self.store.insert_block(&row, counts, services).await?;
        self.store.publish(&row).await?;
        self.sequence += 1;
        self.next_offset = row.next_offset;
        Ok(())
    }
}

fn lane(topic: &str, partition: i32) -> Lane {
    Lane { topic: topic.into(), topic_id: "c2VlZC1vcmdhbml6YXRpbw".into(), partition }
}

fn block_id(lane: &Lane, sequence: u64) -> BlockId {
    BlockId(xxh3_128(format!("{lane} {sequence}").as_bytes()))
}

/// A topic of the month's own, which no configuration names and so holds back no completeness.
fn calls_topic(month: Month) -> String {
    format!("seeded.calls.{month}")
}

pub async fn seed_calls(
    config: &Config,
    store: &Store,
    organizations: usize,
    month: Month,
    active_hours: usize,
) -> anyhow::Result<()> {
    let hours: Vec<u32> = month.hours().collect();
    anyhow::ensure!((1..=hours.len()).contains(&active_hours), "a month has {} hours", hours.len());
    let runs: Vec<&[u32]> = hours.chunks(BLOCK_HOURS).collect();
    let topic = calls_topic(month);
    let lanes = (0..LANES).map(|partition| {
        let (topic, runs) = (topic.as_str(), &runs);
        async move {
            let mut writer = Writer::new(config, store, topic, partition).await?;
            let (mut blocks, mut rows) = (0, 0);
            for hours in runs.iter().skip(partition as usize).step_by(LANES as usize) {
                for share in 0..SHARES {
                    let counts = calls(&writer.region, organizations, hours, share, month, active_hours);
                    let last_ms = i64::from(hours[hours.len() - 1] + 1) * HOUR_MS - 1;
                    writer.publish(&counts, &[], (i64::from(hours[0]) * HOUR_MS, last_ms)).await?;
                    (blocks, rows) = (blocks + 1, rows + counts.len());
                }
            }
            Ok::<_, anyhow::Error>((blocks, rows))
        }
    });
    let written = try_join_all(lanes).await?;
    let sum = written.iter().fold((0, 0), |sum, lane| (sum.0 + lane.0, sum.1 + lane.1));
    println!("{} rows of calls in {} blocks of {month}", sum.1, sum.0);
    Ok(())
}

/// What organizations that are active in the hours use in them. Each is active every so many hours,
/// and not in the same ones as its neighbours.
fn calls(
    region: &str,
    organizations: usize,
    hours: &[u32],
    share: u64,
    month: Month,
    active_hours: usize,
) -> Vec<CountRow> {
    let all: Range<u32> = month.hours();
    let every = all.len() / active_hours;
    let mut rows = Vec::with_capacity((organizations / every + 1) * hours.len());
    for &hour in hours {
        let first = (hour - all.start) as usize % every;
        for number in (first..organizations).step_by(every) {
            let value = 1 + mixed(number * 31 + hour as usize + share as usize) % 5_000;
            rows.push(CountRow {
                organization: organization(number),
                meter: API_CALLS.into(),
                region: region.into(),
                hour,
                fold: Fold::Sum,
                value: value.into(),
            });
        }
    }
    rows
}

pub async fn seed_services(
    config: &Config,
    store: &Store,
    organizations: usize,
    month: Month,
) -> anyhow::Result<()> {
    let mut writer = Writer::new(config, store, &format!("seeded.services.{month}"), 0).await?;
    let time_ms = month.start_ms() - DAY_MS;
    let (mut services, mut written) = (Vec::new(), 0);
    for number in 0..organizations {
        for service in 0..=number % 3 {
            services.push(service_of(number, service, time_ms, &writer.region));
        }
        if services.len() >= BLOCK_SERVICES || number + 1 == organizations {
            writer.publish(&[], &services, (time_ms, time_ms)).await?;
            written += services.len();
            services.clear();
        }
    }
    println!("{written} services");
    Ok(())
}

fn service_of(number: usize, service: usize, time_ms: i64, region: &str) -> ServiceRow {
    ServiceRow {
        organization: organization(number),
        region: region.into(),
        service: format!("svc-{service}"),
        version: time_ms,
        time_ms,
        source: "catalog".into(),
        id: format!("{number}-{service}"),
        exists: Some(true),
        published: Some(service == 0),
        name: Some(format!("Service {service}")),
    }
}

/// One roll of each lane, as its owner would make it.
pub async fn roll(store: &Store, month: Month) -> anyhow::Result<()> {
    for partition in 0..LANES {
        let lane = lane(&calls_topic(month), partition);
        let covered = store.history(&lane).await?.rows;
        let (first, last) = covered.first().zip(covered.last()).context("publish usage first")?;
        let times = covered.iter().filter_map(|row| row.times);
        let times = times.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
        let row = LedgerRow {
            sequence: last.sequence + 1,
            block: block_id(&lane, last.sequence + 1),
            kind: BlockKind::Roll,
            level: last.level + 1,
            first_offset: first.first_offset,
            tally: Tally { counted: covered.iter().map(|row| row.tally.counted).sum(), ..Tally::default() },
            times,
            ..last.clone()
        };
        let quantity = store.insert_roll(&row, &covered).await?;
        store.publish(&LedgerRow { quantity, ..row }).await?;
    }
    println!("{LANES} lanes of {month} rolled up");
    Ok(())
}
