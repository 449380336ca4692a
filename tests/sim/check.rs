//! What must hold after every step, and the bookkeeping that it takes to say so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use odometer::aggregate::{BlockId, BlockKind, LedgerRow};
use odometer::event::Lane;
use odometer::flush::{CommitNote, FinishedBlock};

use super::log::Written;
use super::oracle::{Content, Read, Reads, judge};
use super::settings::Variant;
use super::store::{Database, GRACE_MS};
use super::world::State;

/// What the simulation knows of what the product does, beside what the product says.
#[derive(Default)]
pub struct Watch {
    finished: HashMap<(u128, bool, i64, i64), Finished>,
    /// Every record that was ever at an offset of a lane, the latest last; `None`: a control record.
    pub archive: BTreeMap<Lane, BTreeMap<i64, Vec<Option<Arc<Written>>>>>,
    /// From where a lane's log was cut at least once.
    pub cut_from: BTreeMap<Lane, i64>,
    /// Of each block that counts or counted.
    known: HashMap<BlockId, Known>,
    /// The blocks that counted when the lane was looked at last.
    counted: BTreeMap<Lane, Vec<BlockId>>,
    seen_version: u64,
    marks: [BTreeMap<Lane, Mark>; 2],
    readers: Vec<Reader>,
    /// Blocks whose counts hang on what nobody may know any more.
    pub uncertain_blocks: u64,
    pub checks: u64,
    /// Blocks whose commit the group took.
    accepted: BTreeSet<BlockId>,
    /// Of each lane the live block that the group's commit names, where no fault has taken it back.
    named: BTreeMap<Lane, CommitNote>,
    /// Whether the ledger was ever set back: then a commit may come in that it knows nothing of.
    was_restored: bool,
    /// Lanes whose ledger was set back.
    pub restored: bool,
}

struct Finished {
    records: Vec<(i64, Arc<Written>)>,
    variant: Variant,
}

#[derive(Clone)]
struct Known {
    content: Arc<Content>,
    atoms: Vec<Arc<Atom>>,
}

/// A range that was judged at once.
struct Atom {
    first: i64,
    next: i64,
    records: Vec<(i64, Arc<Written>)>,
    variant: Variant,
    window_from: i64,
    content: Content,
    /// A recount keeps no leader epoch.
    keeps_epoch: bool,
}

/// What a reader saw last of a lane.
#[derive(Clone, Default)]
struct Mark {
    recounts: BTreeSet<BlockId>,
    end: i64,
    received: u64,
    usage: u128,
}

/// Somebody who has read the gate, and reads the rows by their blocks' ids later.
struct Reader {
    since_ms: u64,
    rows: Vec<LedgerRow>,
}

pub type Verdict = Result<(), String>;

impl Watch {
    /// What a worker counted, before anyone else knows of it.
    pub fn finished(
        &mut self,
        tenure: u128,
        kind: BlockKind,
        block: &FinishedBlock,
        records: Vec<(i64, Arc<Written>)>,
        variant: Variant,
    ) {
        let key = (tenure, kind == BlockKind::Recount, block.first, block.next);
        if block.loss.is_empty() {
            self.finished.insert(key, Finished { records, variant });
        }
    }

    /// The group took a commit. Of one lane they never go back.
    pub fn committed(&mut self, lane: Lane, note: &str) -> Verdict {
        let note: CommitNote = note.parse().map_err(|_| format!("{lane}: {note:?} is no commit's note"))?;
        self.accepted.insert(note.block);
        if note.kind != BlockKind::Live || *lane.topic_id != *note.topic_id || self.was_restored {
            return Ok(());
        }
        let earlier = self.named.insert(lane.clone(), note.clone());
        match earlier.filter(|earlier| earlier.first > note.first) {
            Some(earlier) => Err(format!("{lane}: the group's commit goes back from {earlier} to {note}")),
            None => Ok(()),
        }
    }

    /// The ledger refused a block that was committed: its owner had been overtaken, and the next one
    /// goes on without it.
    pub fn overtaken(&mut self, lane: &Lane, block: BlockId) {
        if self.named.get(lane).is_some_and(|note| note.block == block) {
            self.named.remove(lane);
        }
    }

    /// Commits are gone, or others stand in their place.
    pub fn forget_commits(&mut self) {
        self.named.clear();
    }

    pub fn appended(&mut self, lane: Lane, offset: i64, record: Option<Arc<Written>>) {
        self.archive.entry(lane).or_default().entry(offset).or_default().push(record);
    }
}

/// All that must hold now.
pub fn check(state: &mut State) -> Verdict {
    if let Some(wrong) = state.wrong.take() {
        return Err(wrong);
    }
    if state.watch.seen_version == state.database.version {
        return Ok(());
    }
    state.watch.seen_version = state.database.version;
    state.watch.checks += 1;
    let mut watch = std::mem::take(&mut state.watch);
    let verdict = watch.look(state);
    state.watch = watch;
    verdict
}

/// One reader begins, and those that began earlier read their rows.
pub fn read_totals(state: &mut State) -> Verdict {
    let mut watch = std::mem::take(&mut state.watch);
    let verdict = watch.read_later(state);
    state.watch = watch;
    verdict
}

impl Watch {
    fn look(&mut self, state: &State) -> Verdict {
        let rows = state.database.counting();
        for rows in rows.chunk_by(|one, other| one.lane == other.lane) {
            self.look_at_lane(state, rows)?;
        }
        self.look_at_totals(state, &rows, 0)?;
        self.restored = false;
        Ok(())
    }

    fn look_at_lane(&mut self, state: &State, rows: &[LedgerRow]) -> Verdict {
        let lane = &rows[0].lane;
        for pair in rows.windows(2) {
            let (end, first) = (pair[0].next_offset, pair[1].first_offset);
            if end != first {
                let fault = if end < first { "gap" } else { "overlap" };
                return Err(format!("{lane}: {fault} between {} and {}", name(&pair[0]), name(&pair[1])));
            }
        }
        let blocks: Vec<BlockId> = rows.iter().map(|row| row.block).collect();
        if self.counted.get(lane) != Some(&blocks) {
            self.learn(state, rows)?;
            self.counted.insert(lane.clone(), blocks);
        }
        for row in rows {
            let (stored, known) = (state.database.content(row), &self.known[&row.block].content);
            if stored != **known {
                return Err(format!("{lane}: {} counts\n  {stored:?}, must count\n  {known:?}", name(row)));
            }
        }
        Ok(())
    }

    /// Judges the rows that are new, in the order of their offsets.
    fn learn(&mut self, state: &State, rows: &[LedgerRow]) -> Verdict {
        let mut reads = Reads::new();
        let mut atoms: Vec<Arc<Atom>> = Vec::new();
        let mut changed_at = i64::MAX;
        for row in rows {
            if !self.known.contains_key(&row.block) {
                let known = self.judge_row(state, row, &reads)?;
                if row.kind == BlockKind::Recount {
                    changed_at = changed_at.min(row.first_offset);
                }
                self.known.insert(row.block, known);
            }
            for atom in self.known[&row.block].atoms.clone() {
                // What was counted again may have changed what later events are duplicates of.
                if atom.first > changed_at {
                    let range = self.reads(state, &row.lane, &atom);
                    let (content, _) = judge(&reads, &range, &atom.variant, atom.window_from);
                    if let Some(content) = content.filter(|content| *content != atom.content) {
                        return Err(format!(
                            "{}: [{}, {}) was counted before a recount that changes it:\n  {:?}, must \
                             count\n  {content:?}",
                            row.lane, atom.first, atom.next, atom.content
                        ));
                    }
                }
                reads.extend(self.reads(state, &row.lane, &atom));
                atoms.push(atom);
            }
        }
        Ok(())
    }

    fn judge_row(&mut self, state: &State, row: &LedgerRow, reads: &Reads) -> Result<Known, String> {
        if !self.accepted.contains(&row.block) {
            return Err(format!("{}: {} counts without a commit", row.lane, name(row)));
        }
        // What covers no offset takes nothing from the block that the commit names: a new lane's first
        // block may be healed by an owner that read the commit long ago.
        let covers_offsets = row.kind == BlockKind::Live && row.next_offset > row.first_offset;
        let named = self.named.get(&row.lane).filter(|note| note.block != row.block);
        if covers_offsets
            && row.loss.is_empty()
            && named.is_some_and(|note| note.first == row.first_offset && note.next > note.first)
        {
            return Err(format!(
                "{}: {} counts, the group's commit names another block",
                row.lane,
                name(row)
            ));
        }
        match row.kind {
            BlockKind::Roll => self.judge_roll(row),
            _ if !row.loss.is_empty() => judge_loss(state, row),
            _ => self.judge_counted(state, row, reads),
        }
    }

    fn judge_roll(&self, row: &LedgerRow) -> Result<Known, String> {
        // What it replaces counted before it.
        let covered: Vec<&Known> = self.counted[&row.lane]
            .iter()
            .map(|block| &self.known[block])
            .filter(|known| known.atoms.first().is_some_and(|atom| row.first_offset <= atom.first))
            .filter(|known| known.atoms.last().is_some_and(|atom| atom.next <= row.next_offset))
            .collect();
        let mut content = Content::default();
        for known in &covered {
            content.add(&known.content);
        }
        let atoms = covered.iter().flat_map(|known| known.atoms.iter().cloned()).collect();
        Ok(Known { content: Arc::new(content), atoms })
    }

    fn judge_counted(&mut self, state: &State, row: &LedgerRow, reads: &Reads) -> Result<Known, String> {
        let key = (row.tenure, row.kind == BlockKind::Recount, row.first_offset, row.next_offset);
        if row.first_offset == row.next_offset && !self.finished.contains_key(&key) {
            return Ok(Known { content: Arc::default(), atoms: Vec::new() }); // Where a lane starts.
        }
        let finished = self.finished.get(&key);
        let Finished { records, variant } =
            finished.ok_or_else(|| format!("{}: nobody counted {}", row.lane, name(row)))?;
        let mut atom = Atom {
            first: row.first_offset,
            next: row.next_offset,
            records: records.clone(),
            variant: *variant,
            window_from: row.window_from,
            content: Content::default(),
            keeps_epoch: row.kind == BlockKind::Live,
        };
        if row.rules != variant.rules().hash() {
            return Err(format!("{}: {} names other rules than it was counted by", row.lane, name(row)));
        }
        self.check_records(row, &atom)?;
        let range = self.reads(state, &row.lane, &atom);
        let (content, rejected) = judge(reads, &range, variant, row.window_from);
        atom.content = content.unwrap_or_else(|| {
            self.uncertain_blocks += 1;
            state.database.content(row)
        });
        let received: usize = atom.records.iter().map(|(_, record)| record.facts.len().max(1)).sum();
        if atom.content.received() != received as u64 {
            let counted = atom.content.received();
            return Err(format!("{}: {} counts {counted} events of {received}", row.lane, name(row)));
        }
        for (offset, index) in rejected {
            if !state.letters.contains(&(row.lane.clone(), offset, index)) {
                return Err(format!("{}: no dead letter of offset {offset}, event {index}", row.lane));
            }
        }
        let content = Arc::new(atom.content.clone());
        Ok(Known { content, atoms: vec![Arc::new(atom)] })
    }

    /// Nothing between the block's bounds was passed over.
    fn check_records(&self, row: &LedgerRow, atom: &Atom) -> Verdict {
        let cut_from = self.cut_from.get(&row.lane).copied().unwrap_or(i64::MAX);
        let read: BTreeMap<i64, u64> =
            atom.records.iter().map(|(offset, record)| (*offset, record.serial)).collect();
        let archive = self.archive.get(&row.lane);
        let written = archive.into_iter().flat_map(|archive| archive.range(atom.first..atom.next));
        for (offset, versions) in written.filter(|(offset, _)| **offset < cut_from) {
            if read.get(offset).copied() != versions[0].as_ref().map(|record| record.serial) {
                return Err(format!("{}: {} passes offset {offset} over", row.lane, name(row)));
            }
        }
        Ok(())
    }

    /// What the atom read, and what the log holds there now.
    fn reads(&self, state: &State, lane: &Lane, atom: &Atom) -> Reads {
        let topic = &state.topics[state.topic_index(&lane.topic)];
        let name = topic.name;
        let read = |record: &Arc<Written>| Read {
            facts: Arc::clone(&record.facts),
            variant: atom.variant,
            topic: name,
            is_cut: false,
            also: Vec::new(),
            is_read: true,
        };
        let mut reads: Reads = atom.records.iter().map(|(offset, record)| (*offset, read(record))).collect();
        let Some(&cut_from) = self.cut_from.get(lane) else { return reads };
        let serials: BTreeMap<i64, u64> =
            atom.records.iter().map(|(offset, record)| (*offset, record.serial)).collect();
        let log_end = topic.partitions[lane.partition as usize].end;
        let archive = &self.archive[lane];
        for (offset, versions) in archive.range(atom.first.max(cut_from)..atom.next.max(cut_from)) {
            let latest = versions.last().filter(|_| *offset < log_end);
            let now = latest.and_then(|record| Some(record.as_ref()?.serial));
            if now != serials.get(offset).copied() {
                let entry = reads.entry(*offset).or_insert_with(|| Read {
                    facts: Arc::default(),
                    variant: atom.variant,
                    topic: name,
                    is_cut: true,
                    also: Vec::new(),
                    is_read: false,
                });
                entry.is_cut = true;
                entry.also =
                    versions.iter().flatten().flat_map(|record| record.facts.iter().cloned()).collect();
            }
        }
        reads
    }

    /// Totals never go down, whatever a reader sees at once.
    fn look_at_totals(&mut self, state: &State, rows: &[LedgerRow], reader: usize) -> Verdict {
        for rows in rows.chunk_by(|one, other| one.lane == other.lane) {
            let lane = &rows[0].lane;
            let mut mark = Mark { end: rows[rows.len() - 1].next_offset, ..Mark::default() };
            for row in rows {
                let content = state.database.content(row);
                let known =
                    self.known.get(&row.block).ok_or_else(|| format!("{lane}: {} is new", name(row)))?;
                if *known.content != content {
                    return Err(format!("{lane}: a reader sees {content:?} in {}", name(row)));
                }
                if row.kind == BlockKind::Recount {
                    mark.recounts.insert(row.block);
                }
                mark.received += content.received();
                mark.usage += content.sums.values().sum::<u128>();
            }
            let last = self.marks[reader].insert(lane.clone(), mark.clone()).unwrap_or_default();
            let is_comparable = last.recounts == mark.recounts && !self.restored;
            if is_comparable
                && (mark.end < last.end || mark.received < last.received || mark.usage < last.usage)
            {
                return Err(format!(
                    "{lane}: reader {reader} saw {} received and {} used up to {}, and now {}, {} and {}",
                    last.received, last.usage, last.end, mark.received, mark.usage, mark.end
                ));
            }
        }
        Ok(())
    }

    fn read_later(&mut self, state: &mut State) -> Verdict {
        let view = state.database.counting_in_view(state.now_ms);
        self.look_at_totals(state, &view, 1)?;
        let (mut waiting, mut due) = (Vec::new(), Vec::new());
        for reader in std::mem::take(&mut self.readers) {
            if state.now_ms - reader.since_ms >= GRACE_MS {
                continue; // No statement takes so long.
            }
            if state.chance.one_in(3) { due.push(reader) } else { waiting.push(reader) }
        }
        self.readers = waiting;
        for reader in due {
            self.check_reader(&state.database, &reader)?;
        }
        self.readers.push(Reader { since_ms: state.now_ms, rows: state.database.counting() });
        Ok(())
    }

    fn check_reader(&self, database: &Database, reader: &Reader) -> Verdict {
        for row in &reader.rows {
            let (content, known) = (database.content(row), &self.known[&row.block].content);
            if content != **known {
                return Err(format!(
                    "{}: a reader with an older gate sees {content:?} in {}",
                    row.lane,
                    name(row)
                ));
            }
        }
        Ok(())
    }

    /// The ledger was set back: what readers saw before is gone.
    pub fn forget_readers(&mut self) {
        self.forget_commits();
        self.was_restored = true;
        self.restored = true;
        self.readers.clear();
        self.marks = Default::default();
    }

    /// What the lane counts that its log no longer holds.
    pub fn cut(&self, state: &State, lane: &Lane) -> Option<Cut> {
        let blocks = self.counted.get(lane)?;
        let log = &state.topics[state.topic_index(&lane.topic)].partitions[lane.partition as usize];
        let mut cut: Option<Cut> = None;
        let mut has_epoch = false;
        for atom in blocks.iter().flat_map(|block| &self.known[block].atoms) {
            let reads = self.reads(state, lane, atom);
            has_epoch = atom.keeps_epoch && (has_epoch || !atom.records.is_empty());
            let mut gone = reads.iter().filter(|(_, read)| read.is_cut).map(|(offset, _)| *offset).peekable();
            if gone.peek().is_some() {
                let cut = cut.get_or_insert(Cut { first: atom.first, next: atom.next, shows: false });
                cut.next = atom.next;
                cut.shows |=
                    has_epoch && gone.any(|offset| offset >= log.end || log.entries.contains_key(&offset));
            }
        }
        cut
    }
}

/// Blocks that counted what was cut off the log afterwards.
pub struct Cut {
    pub first: i64,
    pub next: i64,
    /// Other records stand in its place, or nothing, and the ledger keeps a leader epoch to compare.
    /// Else no consumer can tell.
    pub shows: bool,
}

fn judge_loss(state: &State, row: &LedgerRow) -> Result<Known, String> {
    let topic = &state.topics[state.topic_index(&row.lane.topic)];
    let is_current = topic.id == row.lane.topic_id;
    let start = topic.partitions.get(row.lane.partition as usize).map_or(0, |partition| partition.start);
    if row.first_offset < row.next_offset && is_current && start < row.next_offset {
        return Err(format!("{}: {} was not lost, the log starts at {start}", row.lane, name(row)));
    }
    Ok(Known { content: Arc::default(), atoms: Vec::new() })
}

pub fn name(row: &LedgerRow) -> String {
    format!(
        "{} [{}, {}) of token {}, sequence {}{}",
        row.kind.as_str(),
        row.first_offset,
        row.next_offset,
        row.token,
        row.sequence,
        if row.loss.is_empty() { "" } else { " (loss)" }
    )
}
