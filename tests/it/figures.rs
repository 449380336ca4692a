//! Whether odometer's figures are those of the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use crate::oracle::{Identity, Totals, UsageKey};
use crate::support::clickhouse;
use crate::support::deployment::Deployment;
use crate::support::kafka::{self, KafkaRecord};
use crate::support::process::Odometer;
use crate::support::wait::wait_until;

/// What was sent, and what has to become of it.
#[derive(Default)]
pub struct Sent {
    pub totals: Totals,
    /// The offset after the last record, by topic and partition.
    pub ends: BTreeMap<(String, i32), i64>,
    /// Records with one event, which was rejected.
    pub rejected: BTreeMap<(String, i32, i64), KafkaRecord>,
}

impl Sent {
    pub fn add(&mut self, other: Self) {
        self.totals.add(other.totals);
        self.ends.extend(other.ends);
        self.rejected.extend(other.rejected);
    }
}

pub fn await_received(deployment: &Deployment, ingest: &mut Odometer, received: u128) {
    let query = format!("SELECT sum(received) FROM {}", deployment.table("ledger"));
    wait_until("the ledger to have received everything", Duration::from_secs(150), || {
        ingest.assert_runs();
        let so_far: u128 =
            clickhouse::ask(&query)?.trim().parse().map_err(|_| "the ledger is not there yet")?;
        if so_far >= received { Ok(()) } else { Err(format!("{so_far} of {received} events")) }
    });
}

pub fn check_ledger(deployment: &Deployment, sent: &Sent) {
    let ledger = deployment.table("ledger");
    let totals = &sent.totals;
    let sums = clickhouse::rows(&format!(
        "SELECT sum(received), sum(counted), sum(duplicate), sum(rejected), sum(ignored), sum(quantity) FROM {ledger}"
    ));
    let quantity: u128 = totals.usage.values().map(|&value| u128::from(value)).sum();
    let ignored: u64 = totals.ignored.values().sum();
    let rejected = totals.rejected.len();
    let expected = format!(
        "{} {} {} {rejected} {ignored} {quantity}",
        totals.received(),
        totals.counted,
        totals.duplicate
    );
    assert_eq!(sums[0].join(" "), expected, "received, counted, duplicate, rejected, ignored, quantity");

    let mut reached: BTreeMap<(String, i32), i64> = sent.ends.keys().map(|lane| (lane.clone(), 0)).collect();
    for row in clickhouse::rows(&format!(
        "SELECT topic, partition, first_offset, next_offset, loss FROM {ledger} ORDER BY topic, partition, first_offset, next_offset"
    )) {
        let [topic, partition, first, next, loss] = &row[..] else { panic!("five columns") };
        let end =
            reached.get_mut(&(topic.clone(), partition.parse().unwrap())).expect("a lane that was sent to");
        assert_eq!(first.parse::<i64>().unwrap(), *end, "{row:?} neither leaves a gap nor overlaps");
        assert_eq!(loss, "", "{row:?}");
        *end = next.parse().unwrap();
    }
    assert_eq!(reached, sent.ends);
}

pub fn check_usage(deployment: &Deployment, totals: &Totals) {
    let rows = clickhouse::rows(&format!(
        "SELECT organization, region, meter, formatDateTime(month, '%Y-%m'), value FROM {} WHERE value > 0",
        deployment.table("usage_monthly")
    ));
    let counted: BTreeMap<UsageKey, u64> = rows
        .into_iter()
        .map(|row| {
            let [organization, region, meter, month, value]: [String; 5] =
                row.try_into().expect("five columns");
            ((organization, region, meter, month), value.parse().unwrap())
        })
        .collect();
    assert_same("usage_monthly", &totals.usage, &counted);
}

pub fn check_register(deployment: &Deployment, totals: &Totals) {
    let rows = clickhouse::rows(&format!(
        "SELECT organization, region, count(), countIf(published) FROM {} WHERE deleted_at IS NULL \
         GROUP BY organization, region",
        deployment.table("services")
    ));
    let counted: BTreeMap<(String, String), (u64, u64)> = rows
        .into_iter()
        .map(|row| {
            let [organization, region, services, published]: [String; 4] =
                row.try_into().expect("four columns");
            ((organization, region), (services.parse().unwrap(), published.parse().unwrap()))
        })
        .collect();
    assert_same("services", &totals.register.counts(i64::MAX), &counted);
}

pub fn check_dead_letters(deployment: &Deployment, sent: &Sent) {
    let mut letters: BTreeMap<Identity, String> = BTreeMap::new();
    for letter in kafka::read_all(&deployment.topic("dead-letters")) {
        let header =
            |name: &str| letter.header(name).unwrap_or_else(|| panic!("no header {name}: {letter:?}"));
        let topic = header("odometer-topic").to_owned();
        let partition: i32 = header("odometer-partition").parse().unwrap();
        let offset: i64 = header("odometer-offset").parse().unwrap();
        let index: u32 = header("odometer-index").parse().unwrap();
        let reason = header("odometer-reason").to_owned();
        assert!(!header("odometer-detail").is_empty());
        if let Some(original) = sent.rejected.get(&(topic.clone(), partition, offset)) {
            assert_eq!(letter.key, original.key, "{topic}[{partition}] {offset}");
            assert_eq!(letter.value, original.value, "{topic}[{partition}] {offset}");
            let kept = original.headers.iter().all(|header| letter.headers.contains(header));
            assert!(kept, "{topic}[{partition}] {offset} lost a header");
        }
        // After a kill a letter may come again, but never with another reason.
        let earlier = letters.insert((topic, partition, offset, index), reason.clone());
        assert!(earlier.is_none_or(|earlier| earlier == reason));
    }
    let expected: BTreeMap<Identity, String> = sent
        .totals
        .rejected
        .iter()
        .map(|(identity, reason)| (identity.clone(), (*reason).to_owned()))
        .collect();
    assert_same("dead letters", &expected, &letters);
}

/// Names the first few differences instead of printing thousands of entries.
pub fn assert_same<K: Ord + Debug, V: PartialEq + Debug>(
    what: &str,
    expected: &BTreeMap<K, V>,
    found: &BTreeMap<K, V>,
) {
    let keys: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| expected.get(key) != found.get(key))
        .map(|key| format!("{key:?}: expected {:?}, found {:?}", expected.get(key), found.get(key)))
        .collect();
    let shown = differences.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(
        differences.is_empty(),
        "{what}: {} differences of {}:\n{shown}",
        differences.len(),
        expected.len()
    );
}
