use std::sync::Arc;

use crate::aggregate::{BlockId, BlockKind, Contents, LedgerRow};
use crate::dedup::Occurrence;
use crate::event::RulesHash;
use crate::source::Tenure;

/// A block that is counted and stored nowhere yet.
#[derive(Clone, Debug)]
pub struct FinishedBlock {
    /// The offsets [first, next).
    pub first: i64,
    pub next: i64,
    /// Shared with the insert under way.
    pub contents: Arc<Contents>,
    pub window_from: i64,
    pub leader_epoch: i32,
    pub rules: RulesHash,
    /// The keys that it added to the window, for the journal.
    pub occurrences: Vec<Occurrence>,
    /// What was lost; then the block holds nothing else.
    pub loss: String,
}

/// Its rows and its prepared ledger row are stored; nobody counts them yet.
#[derive(Debug)]
pub struct InsertedBlock {
    pub(super) row: LedgerRow,
}

/// The group's commit names it: it counts from now on, whoever writes it into the ledger.
#[derive(Debug)]
pub struct CommittedBlock {
    pub(super) row: LedgerRow,
}

/// The ledger lists it.
#[derive(Debug)]
pub struct Published {
    pub row: LedgerRow,
}

impl FinishedBlock {
    /// A block without records: where a lane starts, or what was lost.
    pub fn empty(first: i64, next: i64, window_from: i64, rules: RulesHash, loss: String) -> Self {
        Self {
            first,
            next,
            contents: Arc::default(),
            window_from,
            leader_epoch: -1,
            rules,
            occurrences: Vec::new(),
            loss,
        }
    }

    pub(crate) fn ledger_row(
        &self,
        tenure: &Tenure,
        group: &str,
        sequence: u64,
        block: BlockId,
    ) -> LedgerRow {
        LedgerRow {
            lane: tenure.lane.clone(),
            group: group.to_owned(),
            token: tenure.token,
            tenure: tenure.id,
            sequence,
            block,
            kind: BlockKind::Live,
            level: 0,
            first_offset: self.first,
            next_offset: self.next,
            tally: self.contents.outcomes.tally(),
            quantity: self.contents.quantity(),
            times: self.contents.times,
            window_from: self.window_from,
            leader_epoch: self.leader_epoch,
            digest: self.contents.digest,
            rules: self.rules,
            loss: self.loss.clone(),
        }
    }
}

/// An id that no other block or attempt has.
pub(super) fn block_id(tenure: &Tenure, attempt: u64) -> BlockId {
    use xxhash_rust::xxh3::xxh3_128;
    let lane = &tenure.lane;
    let text = format!(
        "{}\n{}\n{}\n{}\n{:032x}\n{attempt}",
        lane.topic, lane.topic_id, lane.partition, tenure.token, tenure.id
    );
    BlockId(xxh3_128(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lane;

    #[test]
    fn no_two_attempts_share_an_id() {
        let lane = Lane { topic: "events".into(), topic_id: "id".into(), partition: 0 };
        let tenure = |token, id| Tenure { lane: lane.clone(), token, id };
        let ids = [
            block_id(&tenure(1, 1), 0),
            block_id(&tenure(1, 1), 1),
            block_id(&tenure(2, 1), 0),
            // Two owners may begin at once and take the same token.
            block_id(&tenure(1, 2), 0),
            block_id(&Tenure { lane: Lane { partition: 1, ..lane.clone() }, token: 1, id: 1 }, 0),
            block_id(&Tenure { lane: Lane { topic_id: "new".into(), ..lane.clone() }, token: 1, id: 1 }, 0),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
