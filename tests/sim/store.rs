//! The database: rows of blocks, prepared rows, the ledger. What is inserted stays inserted, in part
//! or twice, until somebody collects it as garbage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use odometer::aggregate::{BlockId, BlockKind, CountRow, Fold, LedgerRow, ServiceRow};
use odometer::event::{Lane, Rules, RulesHash};
use odometer::source::Tenure;
use odometer::store::{History, gate};

use super::oracle::{Change, Content};

#[derive(Default)]
pub struct Database {
    pub counts: HashMap<BlockId, Vec<CountRow>>,
    pub services: HashMap<BlockId, Vec<ServiceRow>>,
    pub prepared: BTreeMap<BlockId, LedgerRow>,
    /// In the order in which they came; the same block may be there several times.
    pub ledger: Vec<Listed>,
    /// The greatest claim of each lane: a token and a tenure's id.
    pub claims: HashMap<Lane, (u64, u128)>,
    /// Of each topic's id, when it was counted first.
    pub partitions: HashMap<Arc<str>, i32>,
    pub rules: BTreeMap<RulesHash, Rules>,
    /// How many ledger rows there were when garbage was collected last; no copy is older.
    pub collected: usize,
    /// Counts up with every change.
    pub version: u64,
}

#[derive(Clone, Debug)]
pub struct Listed {
    pub row: LedgerRow,
    pub published_at_ms: u64,
}

impl AsRef<LedgerRow> for Listed {
    fn as_ref(&self) -> &LedgerRow {
        &self.row
    }
}

/// Rolls and recounts count from so long after they were published for readers of one statement.
pub const VIEW_DELAY_MS: u64 = 1_000;
/// What is hidden for longer is dropped; no statement takes so long.
pub const GRACE_MS: u64 = 600_000;

impl Database {
    pub fn insert_counts(&mut self, block: BlockId, rows: &[CountRow]) {
        self.version += 1;
        self.counts.entry(block).or_default().extend_from_slice(rows);
    }

    pub fn insert_services(&mut self, block: BlockId, rows: &[ServiceRow]) {
        self.version += 1;
        self.services.entry(block).or_default().extend_from_slice(rows);
    }

    pub fn prepare(&mut self, row: &LedgerRow) {
        self.version += 1;
        self.prepared.insert(row.block, row.clone());
    }

    /// Folds the covered blocks' rows: (counts, service changes, quantity).
    pub fn fold(&self, covered: &[LedgerRow]) -> Result<(Vec<CountRow>, Vec<ServiceRow>, u128), String> {
        let mut folded: BTreeMap<(String, String, String, u32, Fold), u128> = BTreeMap::new();
        let mut services = Vec::new();
        for row in covered {
            let stored = self.counts.get(&row.block).map_or(&[][..], Vec::as_slice);
            let sum: u128 = stored.iter().map(|count| count.value).sum();
            if sum != row.quantity {
                return Err(format!("block {} sums to {sum}, its row says {}", row.block, row.quantity));
            }
            for count in stored {
                let CountRow { organization, meter, region, hour, fold, value } = count.clone();
                let slot = folded.entry((organization, meter, region, hour, fold)).or_default();
                *slot = if fold == Fold::Sum { *slot + value } else { (*slot).max(value) };
            }
            services.extend_from_slice(self.services.get(&row.block).map_or(&[][..], Vec::as_slice));
        }
        let counts: Vec<CountRow> = folded
            .into_iter()
            .map(|((organization, meter, region, hour, fold), value)| CountRow {
                organization,
                meter,
                region,
                hour,
                fold,
                value,
            })
            .collect();
        let quantity = counts.iter().map(|count| count.value).sum();
        Ok((counts, services, quantity))
    }

    pub fn claim(&mut self, owner: &Tenure) {
        let claim = self.claims.entry(owner.lane.clone()).or_default();
        *claim = (owner.token, owner.id).max(*claim);
    }

    /// Copies the prepared row; fails where there is none. `false`: the lane has a later owner.
    pub fn publish(&mut self, block: BlockId, owner: &Tenure, now_ms: u64) -> Result<bool, String> {
        let row = self.prepared.get(&block).ok_or("it is not prepared, or was given up")?.clone();
        if self.has_later_claim(&row.lane, owner) {
            return Ok(false);
        }
        self.version += 1;
        self.ledger.push(Listed { row, published_at_ms: now_ms });
        Ok(true)
    }

    /// Why none of several rows is listed.
    pub fn refusal(&self, rows: &[(BlockId, Tenure)]) -> Option<String> {
        rows.iter().find_map(|(block, owner)| match self.prepared.get(block) {
            None => Some(format!("{block} is not prepared, or was given up")),
            Some(row) => self.has_later_claim(&row.lane, owner).then(|| "a lane has a later owner".into()),
        })
    }

    fn has_later_claim(&self, lane: &Lane, owner: &Tenure) -> bool {
        self.claims.get(lane).is_some_and(|claim| *claim > (owner.token, owner.id))
    }

    pub fn history(&self, lane: &Lane) -> History {
        let rows: Vec<LedgerRow> = self
            .ledger
            .iter()
            .filter(|listed| listed.row.lane == *lane)
            .map(|listed| listed.row.clone())
            .collect();
        let claimed = self.claims.get(lane).map_or(0, |(token, _)| *token);
        let greatest_token = rows.iter().map(|row| row.token).max().unwrap_or(0).max(claimed);
        let rows = gate::counting(rows);
        let group = rows.first().map(|row| row.group.clone());
        History { rows, greatest_token, group }
    }

    pub fn first_partitions(&mut self, lane: &Lane, partitions: i32) -> i32 {
        *self.partitions.entry(Arc::clone(&lane.topic_id)).or_insert(partitions)
    }

    /// The rows that count now.
    pub fn counting(&self) -> Vec<LedgerRow> {
        gate::counting(self.ledger.iter().map(|listed| listed.row.clone()).collect())
    }

    /// The rows that count for a view.
    pub fn counting_in_view(&self, now_ms: u64) -> Vec<LedgerRow> {
        let is_used = |listed: &&Listed| {
            listed.row.kind == BlockKind::Live || listed.published_at_ms + VIEW_DELAY_MS <= now_ms
        };
        gate::counting(self.ledger.iter().filter(is_used).map(|listed| listed.row.clone()).collect())
    }

    /// What is stored under a block's id.
    pub fn content(&self, row: &LedgerRow) -> Content {
        let mut content = Content {
            counted: row.tally.counted,
            duplicate: row.tally.duplicate,
            rejected: row.tally.rejected,
            ignored: row.tally.ignored,
            ..Content::default()
        };
        for count in self.counts.get(&row.block).map_or(&[][..], Vec::as_slice) {
            let key = (count.organization.clone(), count.meter.clone(), count.region.clone(), count.hour);
            match count.fold {
                Fold::Sum => *content.sums.entry(key).or_default() += count.value,
                Fold::Max => {
                    let greatest = content.maxima.entry(key).or_default();
                    *greatest = (*greatest).max(count.value);
                }
            }
        }
        for service in self.services.get(&row.block).map_or(&[][..], Vec::as_slice) {
            let change = Change {
                organization: service.organization.clone(),
                region: service.region.clone(),
                service: service.service.clone(),
                version: service.version,
                exists: service.exists,
                published: service.published,
            };
            *content.changes.entry(change).or_default() += 1;
        }
        content
    }

    /// Drops what nobody sums any more; answers with how many blocks that were.
    pub fn collect_garbage(&mut self, now_ms: u64) -> usize {
        let blocks = |rows: Vec<LedgerRow>| -> BTreeSet<BlockId> {
            gate::counting(rows).iter().map(|row| row.block).collect()
        };
        let rows = |listed: &[&Listed]| listed.iter().map(|listed| listed.row.clone()).collect();
        let all: Vec<&Listed> = self.ledger.iter().collect();
        let earlier: Vec<&Listed> =
            self.ledger.iter().filter(|listed| listed.published_at_ms + GRACE_MS <= now_ms).collect();
        let (counting, counting_earlier) = (blocks(rows(&all)), blocks(rows(&earlier)));
        let hidden: BTreeSet<BlockId> = earlier
            .iter()
            .map(|listed| listed.row.block)
            .filter(|block| !counting.contains(block) && !counting_earlier.contains(block))
            .collect();
        let mut greatest: HashMap<Lane, (u64, u64, u128)> = HashMap::new();
        for listed in &self.ledger {
            let rank = greatest.entry(listed.row.lane.clone()).or_default();
            *rank = listed.row.rank().max(*rank);
        }
        let published: BTreeSet<BlockId> = self.ledger.iter().map(|listed| listed.row.block).collect();
        let overtaken: BTreeSet<BlockId> = self
            .prepared
            .values()
            .filter(|row| !published.contains(&row.block))
            .filter(|row| greatest.get(&row.lane).is_some_and(|greatest| *greatest > row.rank()))
            .map(|row| row.block)
            .collect();
        let dropped = hidden.len() + overtaken.len();
        for block in hidden.iter().chain(&overtaken) {
            self.prepared.remove(block);
            self.counts.remove(block);
            self.services.remove(block);
        }
        self.ledger.retain(|listed| !hidden.contains(&listed.row.block));
        self.collected = self.ledger.len();
        self.version += 1;
        dropped
    }
}
