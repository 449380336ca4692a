//! Proves counts, and repairs what was rejected: the audit, the dead letters' second way, and a
//! topic's way to partitions by event key.
//!
//! The audit looks at the database alone, or reads the log a second time by code that shares nothing
//! with the rooms that count ([`naive`]).

mod balance;
pub mod doctor;
mod kafka;
pub mod letters;
pub mod naive;
mod recount;
pub mod repartition;
mod report;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

pub use report::{Finding, Loss, NotVerifiable, Place, Problem, Recounted, Report};

use crate::aggregate::{BlockId, LedgerRow};
use crate::event::{Lane, Rules, RulesHash};
use crate::month::Month;
use crate::source::{self, KafkaError, Watermarks};
use crate::store::closings::{ClosedLane, as_of};
use crate::store::{BlockSum, Store, StoreError, gate};
use balance::Entry;
use recount::{Counted, LaneRecount, LogBounds, Plan, Slice, Totals, compare, compare_totals, plan};

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error(transparent)]
    Rules(#[from] naive::UnreadableRules),
    #[error("count lane again: a thread has panicked")]
    Panicked,
}

/// Told how many records were read, and how many offsets there are to read.
pub type Progress<'p> = &'p (dyn Fn(u64, u64) + Send + Sync);

/// Counts of one row that one pass over the log holds in memory: 150 to 200 bytes each.
const COUNTS_PER_PASS: u64 = 2_000_000;
/// Keys of the window that one pass holds: 33 to 66 bytes each.
const KEYS_PER_PASS: u64 = 8_000_000;
/// A row that was replaced while the audit ran is looked at in its new form, so many times.
const LOOKS: usize = 3;

/// Checks the ledger against itself and against the stored counts; only the rows whose events touch
/// `month`, where one is given.
pub async fn audit(store: &Store, month: Option<Month>) -> Result<Report, AuditError> {
    let mut looks = 0;
    loop {
        let published = store.published_since(0).await?;
        let rows: Vec<Entry> = gate::counting(published.clone()).into_iter().map(Entry::from).collect();
        let prepared = store.prepared_offsets().await?;
        let sums = store.sums_by_block().await?;
        let mut report = balance_report(&rows, month, &sums);
        report.findings.extend(balance::check_offsets(&rows, &prepared));
        report.findings.extend(balance::check_set_aside(&published, &rows));
        report.balanced = report.findings.is_empty();
        looks += 1;
        if report.balanced || looks == LOOKS || !names_replaced_rows(store, &report.findings).await? {
            return Ok(report);
        }
    }
}

async fn counting_rows(store: &Store) -> Result<Vec<Entry>, StoreError> {
    Ok(store.counting_rows().await?.into_iter().map(Entry::from).collect())
}

fn balance_report(rows: &[Entry], month: Option<Month>, sums: &HashMap<BlockId, BlockSum>) -> Report {
    let chosen: Vec<Entry> = rows.iter().filter(|row| touches(&row.row, month)).cloned().collect();
    let mut findings = balance::check_rows(&chosen, sums);
    findings.extend(balance::check_order(rows));
    findings.sort();
    Report {
        balanced: findings.is_empty(),
        lanes: chosen.iter().map(|row| &row.row.lane).collect::<HashSet<_>>().len(),
        rows: chosen.len(),
        received: chosen.iter().map(|row| row.received).sum(),
        recounted: None,
        findings,
        losses: balance::losses(rows),
        not_verifiable: Vec::new(),
    }
}

/// Whether a row's events may be of the month.
fn touches(row: &LedgerRow, month: Option<Month>) -> bool {
    let Some(month) = month else { return true };
    row.times.is_some_and(|(earliest, latest)| earliest < month.end_ms() && month.start_ms() <= latest)
}

async fn names_replaced_rows(store: &Store, findings: &[Finding]) -> Result<bool, StoreError> {
    let counting: HashSet<String> =
        counting_rows(store).await?.iter().map(|entry| entry.row.block.to_string()).collect();
    Ok(findings.iter().filter_map(|finding| finding.block.as_ref()).any(|block| !counting.contains(block)))
}

/// As [`audit`], and reads the log again.
pub async fn audit_with_recount(
    store: &Store,
    kafka: &source::Settings,
    month: Option<Month>,
    progress: Progress<'_>,
) -> Result<Report, AuditError> {
    let report = audit(store, month).await?;
    let rows = counting_rows(store).await?;
    count_again(store, kafka, rows, month, report, progress).await
}

/// Reads the log again for the rows that counted when the lanes were closed, whether they count now
/// or not, each under the configuration that it names.
pub async fn recount_as_of(
    store: &Store,
    kafka: &source::Settings,
    lanes: &[ClosedLane],
    progress: Progress<'_>,
) -> Result<Report, AuditError> {
    let rows: Vec<Entry> =
        as_of(store.published_since(0).await?, lanes).into_iter().map(Entry::from).collect();
    let report = balance_report(&rows, None, &store.sums_by_block().await?);
    count_again(store, kafka, rows, None, report, progress).await
}

/// Adds to a report what the log gives otherwise for the rows.
async fn count_again(
    store: &Store,
    kafka: &source::Settings,
    rows: Vec<Entry>,
    month: Option<Month>,
    mut report: Report,
    progress: Progress<'_>,
) -> Result<Report, AuditError> {
    let recount = Recount::prepare(store, kafka, &rows, month).await?;
    report.findings.extend(recount.missing_rules(&rows, month));
    let (recounted, findings) = recount.run(store, kafka, progress).await?;
    let replaced: HashSet<String> = match findings.is_empty() {
        true => HashSet::new(),
        false => replaced_meanwhile(store, &rows).await?,
    };
    report.findings.extend(
        findings
            .into_iter()
            .filter(|finding| finding.block.as_ref().is_none_or(|block| !replaced.contains(block))),
    );
    let (doubtful, certain) = recount.split_doubtful(std::mem::take(&mut report.findings));
    report.findings = certain;
    report.findings.sort();
    report.findings.dedup();
    report.balanced = report.findings.is_empty();
    report.recounted = Some(recounted);
    report.not_verifiable = NotVerifiable::merged(recount.not_verifiable(doubtful));
    Ok(report)
}

/// Blocks whose rows may have been taken away since they were read: what differs there says nothing.
async fn replaced_meanwhile(store: &Store, rows: &[Entry]) -> Result<HashSet<String>, StoreError> {
    let published = store.published_since(0).await?;
    let mut kept: HashSet<BlockId> =
        gate::counting(published.iter().collect()).iter().map(|row| row.row.block).collect();
    for lanes in store.closings().await? {
        kept.extend(as_of(published.iter().collect(), &lanes).iter().map(|row| row.row.block));
    }
    let gone = rows.iter().filter(|entry| !kept.contains(&entry.row.block));
    Ok(gone.map(|entry| entry.row.block.to_string()).collect())
}

/// The lanes to read again.
struct Recount {
    lanes: Vec<(Lane, Plan, u64)>,
    rules: HashMap<RulesHash, Rules>,
}

impl Recount {
    async fn prepare(
        store: &Store,
        kafka: &source::Settings,
        rows: &[Entry],
        month: Option<Month>,
    ) -> Result<Self, AuditError> {
        let mut by_lane: BTreeMap<Lane, Vec<LedgerRow>> = BTreeMap::new();
        for published in rows {
            by_lane.entry(published.row.lane.clone()).or_default().push(published.row.clone());
        }
        let rules = stored_rules(store, rows).await?;
        let bounds = read_bounds(kafka, by_lane.keys().cloned().collect()).await?;
        let sums = store.sums_by_block().await?;
        let mut lanes = Vec::new();
        for ((lane, rows), bounds) in by_lane.into_iter().zip(bounds) {
            let plan = plan(&rows, |row| touches(row, month), &bounds, &rules);
            let passes = passes(&plan, &sums, &rules);
            lanes.push((lane, plan, passes));
        }
        Ok(Self { lanes, rules })
    }

    fn missing_rules(&self, rows: &[Entry], month: Option<Month>) -> Vec<Finding> {
        rows.iter()
            .filter(|row| touches(&row.row, month) && row.row.loss.is_empty())
            .filter(|row| !self.rules.contains_key(&row.row.rules))
            .map(|row| {
                let detail =
                    format!("configuration {} is not stored, so the row can't be verified", row.row.rules);
                Finding::of(&row.row, Problem::Rules, detail)
            })
            .collect()
    }

    fn not_verifiable(&self, doubtful: Vec<NotVerifiable>) -> Vec<NotVerifiable> {
        let beyond_log = self.lanes.iter().flat_map(|(_, plan, _)| plan.not_verifiable.iter().cloned());
        beyond_log.chain(doubtful).collect()
    }

    /// What the log gives otherwise for rows whose owner may have known keys that it holds no longer
    /// proves nothing. What the ledger says against itself stays.
    fn split_doubtful(&self, findings: Vec<Finding>) -> (Vec<NotVerifiable>, Vec<Finding>) {
        let rows = self.lanes.iter().flat_map(|(_, plan, _)| &plan.rows);
        let doubtful: HashMap<String, i64> = rows
            .filter(|row| !row.window_is_whole)
            .map(|row| (row.row.block.to_string(), row.row.window_from))
            .collect();
        let (mut not_verifiable, mut certain) = (HashMap::new(), Vec::new());
        for finding in findings {
            let window_from = finding.block.as_ref().and_then(|block| doubtful.get(block));
            match (window_from, &finding.block) {
                (Some(from), Some(block)) if finding.problem.needs_the_log() => {
                    let reason =
                        format!("the log holds no keys from before offset {from}, and gives other figures");
                    let part = NotVerifiable { place: finding.place, rows: 1, reason };
                    not_verifiable.insert(block.clone(), part);
                }
                _ => certain.push(finding),
            }
        }
        (not_verifiable.into_values().collect(), certain)
    }

    async fn run(
        &self,
        store: &Store,
        kafka: &source::Settings,
        progress: Progress<'_>,
    ) -> Result<(Recounted, Vec<Finding>), AuditError> {
        let total = self.lanes.iter().map(|(_, plan, passes)| plan.offsets() * passes).sum();
        let (mut done, mut recounted, mut findings) = (0, Recounted::default(), Vec::new());
        progress(done, total);
        for (lane, plan, passes) in self.lanes.iter().filter(|(_, plan, _)| plan.judges_anything()) {
            let mut totals: HashMap<BlockId, Totals> = HashMap::new();
            for index in 0..*passes {
                let slice = Slice { index, of: *passes };
                let mut again = LaneRecount::new(kafka, lane, plan.clone(), &self.rules, slice)?;
                loop {
                    let (returned, next) = next_rows(again).await?;
                    again = returned;
                    let Some((counted, read)) = next else { break };
                    done += read;
                    progress(done, total);
                    for part in &counted {
                        totals.entry(part.row.block).or_default().add(&part.totals);
                    }
                    findings.extend(compare(store, counted, slice).await?);
                }
            }
            for row in plan.rows.iter().filter(|row| row.judged).map(|row| &row.row) {
                let counted = totals.remove(&row.block).unwrap_or_default();
                recounted.rows += 1;
                recounted.received += counted.tally.received();
                findings.extend(compare_totals(row, &counted));
            }
        }
        Ok((recounted, findings))
    }
}

/// Over how many parts of the organizations a lane is read: so many that neither the counts of its
/// largest row nor the keys of its widest window are too many for memory.
fn passes(plan: &Plan, sums: &HashMap<BlockId, BlockSum>, rules: &HashMap<RulesHash, Rules>) -> u64 {
    let judged = || plan.rows.iter().filter(|row| row.judged).map(|row| &row.row);
    let counts = judged().filter_map(|row| Some(sums.get(&row.block)?.rows)).max().unwrap_or(0);
    let widest = judged().filter_map(|row| Some(rules.get(&row.rules)?.dedup_window)).max().unwrap_or(0);
    let rows = || plan.rows.iter().map(|row| &row.row);
    let offsets: u64 = rows().map(|row| u64::try_from(row.next_offset - row.first_offset).unwrap_or(0)).sum();
    let events: u64 = rows().map(|row| row.tally.received()).sum();
    let keys = u128::from(widest.min(plan.offsets())) * u128::from(events.div_ceil(offsets.max(1)).max(1));
    let keys = u64::try_from(keys).unwrap_or(u64::MAX);
    counts.div_ceil(COUNTS_PER_PASS).max(keys.div_ceil(KEYS_PER_PASS)).max(1)
}

/// Reading blocks; it runs beside the runtime's own threads.
async fn next_rows(mut again: LaneRecount) -> Result<(LaneRecount, Option<(Vec<Counted>, u64)>), AuditError> {
    let read = tokio::task::spawn_blocking(move || again.next().map(|next| (again, next)));
    Ok(read.await.map_err(|_| AuditError::Panicked)??)
}

async fn stored_rules(store: &Store, rows: &[Entry]) -> Result<HashMap<RulesHash, Rules>, StoreError> {
    let mut rules = HashMap::new();
    let hashes: HashSet<RulesHash> = rows.iter().map(|row| row.row.rules).collect();
    for hash in hashes {
        if let Some(stored) = store.rules(hash).await? {
            rules.insert(hash, stored);
        }
    }
    Ok(rules)
}

/// Where each lane's log begins and ends, or why it has none.
async fn read_bounds(
    kafka: &source::Settings,
    lanes: Vec<Lane>,
) -> Result<Vec<Result<LogBounds, String>>, AuditError> {
    let kafka = kafka.clone();
    tokio::task::spawn_blocking(move || {
        let watermarks = Watermarks::connect(&kafka)?;
        let topics: HashSet<&str> = lanes.iter().map(|lane| &*lane.topic).collect();
        let mut ids: HashMap<String, Arc<str>> = HashMap::new();
        for topic in topics {
            ids.extend(watermarks.describe_topics(&[topic.to_owned()])?);
        }
        lanes
            .iter()
            .map(|lane| match ids.get(&*lane.topic) {
                None => Ok(Err(format!("topic {} does not exist any more", lane.topic))),
                Some(id) if *id != lane.topic_id => Ok(Err(format!("topic {} was made again", lane.topic))),
                Some(_) => {
                    let (start, end) = watermarks.read(&lane.topic, lane.partition)?;
                    Ok(Ok(LogBounds { start, end }))
                }
            })
            .collect()
    })
    .await
    .map_err(|_| AuditError::Panicked)?
}
