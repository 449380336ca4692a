use std::fmt::Display;
use std::time::Duration;

use super::note::CommitNote;
use super::ports::Stores;
use crate::aggregate::{BlockKind, LedgerRow};
use crate::event::Lane;
use crate::source::{Committed, Tenure};

/// What a new owner of a lane begins with.
#[derive(Clone, Debug)]
pub struct TakeOver {
    pub tenure: Tenure,
    /// The lane's rows that count, in the order of their offsets; empty where it has no history.
    pub rows: Vec<LedgerRow>,
}

#[derive(Debug, thiserror::Error)]
pub enum TakeOverError<E: Display> {
    #[error("take over {lane}: {cause}")]
    Store { lane: Lane, cause: E },
    #[error("take over {lane}: somebody else has claimed it meanwhile")]
    Overtaken { lane: Lane },
    #[error(
        "take over {lane}: the database holds counts of consumer group {theirs:?}, this is {ours:?}; \
         a lane is counted by one group only: use that group, or another database"
    )]
    OtherGroup { lane: Lane, theirs: String, ours: String },
}

/// How often and how long apart the ledger is read again where the commit names a block beyond it.
const GAP_READS: u32 = 5;
const GAP_PAUSE: Duration = Duration::from_millis(300);

impl TakeOver {
    /// Where counting goes on: the ledger's end. `None` for a lane without history.
    pub fn end(&self) -> Option<i64> {
        self.rows.last().map(|row| row.next_offset)
    }
}

/// Reads what the group and the ledger say of a lane that was just assigned, writes into the ledger
/// what was committed but not listed, and answers where the lane ends. Neither the commit's offset
/// nor its token decides that: commits expire, come late, and are lost with a coordinator.
///
/// `tenure_id` is random and new.
pub async fn take_over<S: Stores>(
    store: &S,
    lane: &Lane,
    group: &str,
    committed: Option<&Committed>,
    tenure_id: u128,
) -> Result<TakeOver, TakeOverError<S::Error>> {
    let failed = |cause| TakeOverError::Store { lane: lane.clone(), cause };
    let note = committed.and_then(|committed| read_note(lane, committed));
    let greatest_token = store.history(lane).await.map_err(failed)?.greatest_token;
    let tenure = Tenure { lane: lane.clone(), token: greatest_token + 1, id: tenure_id };
    // An earlier owner whose commit was accepted, and lost or expired since, may still be about to
    // list its block. What is read from here on is all that it listed.
    store.claim(&tenure).await.map_err(failed)?;
    let mut reads = 0;
    loop {
        let history = store.history(lane).await.map_err(failed)?;
        if let Some(theirs) = history.group.filter(|theirs| theirs != group) {
            return Err(TakeOverError::OtherGroup { lane: lane.clone(), theirs, ours: group.to_owned() });
        }
        let mut rows = history.rows;
        let end = rows.last().map(|row| row.next_offset);
        if let Some(note) = &note {
            let listed = rows.iter().any(|row| row.block == note.block);
            match end {
                Some(end) if note.first > end && reads < GAP_READS => {
                    reads += 1;
                    tokio::time::sleep(GAP_PAUSE).await;
                    continue;
                }
                Some(end) if note.first > end => tracing::error!(
                    %lane,
                    "the group's commit names a block that starts at {}, the ledger ends at {end}; counting \
                     goes on from {end}. The ledger has lost rows: see `odometer doctor`",
                    note.first
                ),
                None if note.first < note.next => tracing::error!(
                    %lane,
                    "the group's commit names a block of offsets [{}, {}), the ledger knows nothing of this \
                     lane: it has lost rows, and the log is counted from where a new lane starts",
                    note.first, note.next
                ),
                _ if !listed && end.is_none_or(|end| note.first == end) => {
                    if let Some(row) = store.prepared(note.block).await.map_err(failed)? {
                        if !follows_its_tenure(&row, &rows) {
                            tracing::error!(
                                %lane,
                                "block {} was committed, but what its owner, or the one before, listed before it is not \
                                 in the ledger, which may have lost rows; the block's offsets are counted again",
                                note.block
                            );
                            return Ok(TakeOver { tenure, rows });
                        }
                        if !store.publish(&row, &tenure).await.map_err(failed)? {
                            return Err(TakeOverError::Overtaken { lane: lane.clone() });
                        }
                        rows.push(row);
                    } else {
                        tracing::error!(
                            %lane,
                            "block {} was committed, but its prepared row is gone; its offsets are counted again",
                            note.block
                        );
                    }
                }
                _ => {}
            }
        }
        return Ok(TakeOver { tenure, rows });
    }
}

/// Whether the ledger has what the block's owner listed before it, if there was anything, and what was
/// listed when it took the lane over. An owner tells of a cut of the log first, in a row without
/// offsets: where a ledger was restored without it, the next block would hide the cut. Owners whose
/// token is between may have listed nothing; but who can't know counts again.
fn follows_its_tenure(block: &LedgerRow, rows: &[LedgerRow]) -> bool {
    if block.sequence > 0 {
        return rows.iter().any(|row| (row.token, row.tenure) == (block.token, block.tenure));
    }
    rows.iter().map(|row| row.token).max().is_none_or(|latest| latest + 1 >= block.token)
}

/// The live block that the commit names, if it is of this lane. A roll or a recount that is not in
/// the ledger is simply done again.
fn read_note(lane: &Lane, committed: &Committed) -> Option<CommitNote> {
    let Some(note) =
        std::str::from_utf8(&committed.metadata).ok().and_then(|text| text.parse::<CommitNote>().ok())
    else {
        tracing::warn!(
            %lane,
            "the group's offset {} names no block (an operator's reset?); counting goes on from the \
             ledger's end",
            committed.offset
        );
        return None;
    };
    (note.kind == BlockKind::Live && note.topic_id == *lane.topic_id).then_some(note)
}
