use std::mem;
use std::sync::Arc;

use super::group::{Group, Known, Place};
use super::letters::Letters;
use super::rebuild::Rebuild;
use crate::aggregate::{Fold, MeterName, OpenBlock};
use crate::decode::{Decoded, Decoder, InvalidRules, Meter, Raw};
use crate::dedup::{Cache, CacheFull, Occurrence, Verdict, Window};
use crate::event::{
    Aggregation, Content, Event, EventKey, Identifier, Lane, MeterIndex, Outcome, Reason, Record, Rules,
    RulesHash, Trace,
};
use crate::flush::FinishedBlock;
use crate::processor;

#[cfg(test)]
mod tests;

/// Counts one lane for one tenure: decodes, de-duplicates and adds up, in the order of the log.
pub struct LaneCounter {
    lane: Lane,
    rules: RulesHash,
    decoder: Decoder,
    meters: Arc<[MeterName]>,
    identifier: Identifier,
    window: Window,
    /// Offsets below the ledger's end are only read to rebuild the window.
    rebuild: Option<Rebuild>,
    open: OpenBlock,
    occurrences: Vec<Occurrence>,
    group: Group,
    /// A record was taken in part, which must never be published.
    is_torn: bool,
    /// The open block covers [first, next).
    first: i64,
    next: i64,
    window_from: i64,
    leader_epoch: i32,
    cut: CutCheck,
    is_cut_short: bool,
    /// The greatest offset that was read for its keys alone.
    remembered: i64,
    /// A loss that was found on the way, to be published before anything else.
    loss: Option<FinishedBlock>,
}

/// Where a lane's counting begins.
pub struct Start {
    /// The ledger's end, or where a lane without history starts.
    pub end: i64,
    pub window: Window,
    pub window_from: i64,
    pub rebuild: Option<Rebuild>,
    /// The greatest offset that the last record below `end` may have, and the leader epoch that the
    /// ledger keeps of it.
    pub last_record: Option<(i64, i32)>,
    /// The log was found to end below `end`, and the ledger tells of it.
    pub is_cut_short: bool,
}

/// The log was cut below what is counted after the lane was taken over: another take-over tells how.
#[derive(Debug, thiserror::Error)]
#[error("the log of {lane} ends at {log_end}, below the ledger's end {end}")]
pub struct LogCutShort {
    lane: Lane,
    log_end: i64,
    end: i64,
}

/// Whether the log below the ledger's end is still the one that was counted: another leader epoch of
/// the last record there says that records were cut off and others took their offsets.
struct CutCheck {
    /// The greatest offset that the record may have.
    last: i64,
    expected: i32,
    seen: i32,
}

impl CutCheck {
    /// Answers once, when the first offset beyond is reached.
    fn finish(&mut self) -> bool {
        let is_cut = self.expected >= 0 && self.seen >= 0 && self.expected != self.seen;
        self.expected = -1;
        is_cut
    }
}

impl LaneCounter {
    pub fn new(lane: &Lane, rules: &Rules, start: Start) -> Result<Self, InvalidRules> {
        let decoder = Decoder::new(&lane.topic, rules)?;
        let meters = decoder.meters().iter().map(meter_name).collect();
        Ok(Self {
            lane: lane.clone(),
            rules: rules.hash(),
            decoder,
            meters,
            identifier: Identifier::default(),
            window: start.window,
            rebuild: start.rebuild,
            open: OpenBlock::default(),
            occurrences: Vec::new(),
            group: Group::default(),
            is_torn: false,
            first: start.end,
            next: start.end,
            window_from: start.window_from,
            leader_epoch: -1,
            cut: match start.last_record {
                Some((last, expected)) => CutCheck { last, expected, seen: -1 },
                None => CutCheck { last: -1, expected: -1, seen: -1 },
            },
            is_cut_short: start.is_cut_short,
            remembered: -1,
            loss: None,
        })
    }

    /// For a log that is read from its first offset, 0, on.
    pub fn from_start(lane: &Lane, rules: &Rules, cache: &Cache) -> Result<Self, super::IngestError> {
        let window = Window::new(rules.dedup_window, 0, cache)?;
        let start =
            Start { end: 0, window, window_from: 0, rebuild: None, last_record: None, is_cut_short: false };
        Ok(Self::new(lane, rules, start)?)
    }

    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    /// Takes the next record of the log.
    pub fn take(&mut self, record: &Record<'_>, leader_epoch: i32) -> Result<(), CacheFull> {
        self.take_all(&[(*record, leader_epoch)])
    }

    /// Takes the next records of the log, each with its leader epoch. After an error the tenure must
    /// end: some were taken, one perhaps in part.
    pub fn take_all(&mut self, records: &[(Record<'_>, i32)]) -> Result<(), CacheFull> {
        let taken = self.take_each(records);
        self.is_torn |= taken.is_err();
        self.window.give_back();
        taken
    }

    fn take_each(&mut self, records: &[(Record<'_>, i32)]) -> Result<(), CacheFull> {
        let is_counted = |(record, _): &(Record<'_>, i32)| record.offset >= self.first;
        let (before, records) =
            records.split_at(records.iter().position(is_counted).unwrap_or(records.len()));
        if !before.is_empty() {
            self.remember_all(before)?;
        }
        if !records.is_empty() {
            self.pass_end();
            self.count_all(records)?;
        }
        Ok(())
    }

    /// A window gives memory back that other lanes need, also where the lane has no records.
    /// `false` where it has none to give.
    pub fn give_back(&mut self) -> bool {
        self.window.give_back()
    }

    /// Everything below `offset` that may be read was read: what is missing are control records.
    pub fn reach(&mut self, offset: i64) -> Result<(), LogCutShort> {
        if offset >= self.first {
            self.pass_end();
            self.next = self.next.max(offset);
        } else if !self.is_cut_short {
            return Err(LogCutShort { lane: self.lane.clone(), log_end: offset, end: self.first });
        }
        Ok(())
    }

    /// The log was read up to the ledger's end: the window is whole, counting begins.
    fn pass_end(&mut self) {
        self.window.end_filling();
        if self.rebuild.take().is_some() {
            tracing::info!(lane = %self.lane, at = self.first, "read window again");
        }
        if self.cut.finish() {
            let loss = format!(
                "the last record below offset {} has another leader epoch than the one that was counted: \
                 records were cut off the log and others took their offsets, which are not counted; \
                 `odometer recount` counts the range again",
                self.first
            );
            tracing::error!(lane = %self.lane, "the log was cut: {loss}");
            self.loss =
                Some(FinishedBlock::empty(self.first, self.first, self.window_from, self.rules, loss));
        }
    }

    /// Counts records in groups of events: all of a group are decoded first, while the memory that
    /// their keys lie in is on its way, and then judged in the order of the log.
    fn count_all(&mut self, records: &[(Record<'_>, i32)]) -> Result<(), CacheFull> {
        let Self { decoder, identifier, window, open, occurrences, meters, group, .. } = self;
        let mut judge = Judge { window, open, occurrences, meters, letters: Letters::default() };
        for (number, (record, leader_epoch)) in records.iter().enumerate() {
            if let Some((ahead, _)) = records.get(number + PREFETCHED_AHEAD) {
                ahead.value.into_iter().for_each(processor::prefetch_bytes);
            }
            if record.offset < self.next {
                continue; // Read again after a pause; it is counted already.
            }
            let mut taken = Ok(());
            decoder.decode(record, &mut |index, raw, decoded| {
                if taken.is_ok() {
                    let place = Place { record: number, index };
                    taken = judge.take(group, identifier, record, place, raw, decoded);
                }
            });
            taken?;
            self.next = record.offset + 1;
            self.leader_epoch = *leader_epoch;
        }
        judge.judge_all(group)?;
        let Judge { letters, open, .. } = judge;
        letters.bury(records, decoder, open);
        Ok(())
    }

    /// Reads records below the ledger's end for their keys alone, under the rules that they were
    /// counted under.
    fn remember_all(&mut self, records: &[(Record<'_>, i32)]) -> Result<(), CacheFull> {
        let mut group = Vec::with_capacity(REMEMBERED_AT_ONCE);
        for (record, leader_epoch) in records {
            if record.offset <= self.cut.last {
                self.cut.seen = *leader_epoch;
            }
            // A record may come again after a pause of the client's own.
            if record.offset <= self.remembered {
                continue;
            }
            self.remembered = record.offset;
            let (Some(rebuild), window) = (&mut self.rebuild, &mut self.window) else { continue };
            let mut remembered = Ok(());
            rebuild.each_key(record, |at| {
                window.prefetch(at.key);
                group.push(at);
                if group.len() >= REMEMBERED_AT_ONCE && remembered.is_ok() {
                    remembered = observe_all(window, &mut group);
                }
            });
            remembered?;
        }
        observe_all(&mut self.window, &mut group)
    }

    /// Whether the ledger doesn't cover yet all that was read. Never after a record was taken in part.
    pub fn has_news(&self) -> bool {
        !self.is_torn && (self.next > self.first || self.loss.is_some())
    }

    /// Whether the window is still being read from the log.
    pub fn is_rebuilding(&self) -> bool {
        self.rebuild.is_some()
    }

    /// Roughly what the open block holds in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.open.bytes() + self.occurrences.len() * size_of::<Occurrence>()
    }

    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The end of what was read.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Ends the open block; counting goes on in a new one.
    pub fn close(&mut self) -> ClosedBlock {
        if let Some(loss) = self.loss.take() {
            return ClosedBlock { block: loss, counted: None };
        }
        let next = self.open.successor();
        let open = mem::replace(&mut self.open, next);
        let first = mem::replace(&mut self.first, self.next);
        let block = FinishedBlock {
            leader_epoch: mem::replace(&mut self.leader_epoch, -1),
            occurrences: mem::take(&mut self.occurrences),
            ..FinishedBlock::empty(first, self.next, self.window_from, self.rules, String::new())
        };
        ClosedBlock { block, counted: Some((open, Arc::clone(&self.meters))) }
    }
}

/// A block that nothing is added to any more, and whose rows are still to be made: work for another
/// thread than the one that counts.
pub struct ClosedBlock {
    /// Without its contents.
    block: FinishedBlock,
    /// `None` where it holds nothing.
    counted: Option<(OpenBlock, Arc<[MeterName]>)>,
}

impl ClosedBlock {
    /// Makes the rows, one for each count, and sorts them.
    pub fn finish(self) -> FinishedBlock {
        let contents = self.counted.map(|(open, meters)| open.finish(&meters)).unwrap_or_default();
        FinishedBlock { contents: Arc::new(contents), ..self.block }
    }
}

/// Records lie where librdkafka's thread unpacked them, in another core's cache: each is asked for so many
/// before it is read.
const PREFETCHED_AHEAD: usize = 4;

/// Keys that are looked for at once where records are read for their keys alone.
const REMEMBERED_AT_ONCE: usize = 32;

fn observe_all(window: &mut Window, group: &mut Vec<Occurrence>) -> Result<(), CacheFull> {
    group.iter().for_each(|at| window.approach(at.key));
    group.drain(..).try_for_each(|at| window.observe(at).map(drop))
}

/// What decides on events and counts them.
struct Judge<'a> {
    window: &'a mut Window,
    open: &'a mut OpenBlock,
    occurrences: &'a mut Vec<Occurrence>,
    meters: &'a [MeterName],
    letters: Letters,
}

impl Judge<'_> {
    /// Takes an event into the group, or decides on it behind the group.
    fn take(
        &mut self,
        group: &mut Group,
        identifier: &mut Identifier,
        record: &Record<'_>,
        place: Place,
        raw: Raw<'_>,
        decoded: Decoded<'_>,
    ) -> Result<(), CacheFull> {
        let placed = Trace::Placed { offset: record.offset, index: place.index };
        match decoded {
            Decoded::Event(event) => {
                let (key, content) = identify(identifier, self.meters, &event);
                self.window.prefetch(key);
                let organization = self.open.prefetch(event.organization);
                let offset = record.offset;
                let known = Known { event: &event, key, content, organization, offset, place };
                if !group.take(&known) {
                    self.judge_all(group)?;
                    self.judge(&known)?;
                } else if group.is_full() {
                    self.judge_all(group)?;
                }
            }
            Decoded::Rejected { reason, detail } => {
                // Letters are in the order of the log.
                self.judge_all(group)?;
                self.open.note(placed, Outcome::Rejected(reason));
                self.letters.reject(record, place.index, raw, reason, &detail);
            }
            Decoded::Ignored(why) => self.open.note(placed, Outcome::Ignored(why)),
        }
        Ok(())
    }

    fn judge_all(&mut self, group: &mut Group) -> Result<(), CacheFull> {
        for (key, organization) in group.each_place() {
            self.window.approach(key);
            self.open.approach(organization);
        }
        group.empty(|known| self.judge(&known))
    }

    fn judge(&mut self, known: &Known<'_>) -> Result<(), CacheFull> {
        let at = Occurrence::new(known.offset, known.key, known.content);
        let trace = Trace::Keyed(known.key, known.content);
        let verdict = self.window.observe(at)?;
        self.occurrences.push(at);
        match verdict {
            Verdict::New => {
                self.open.count(known.event, known.organization, trace, |meter| fold(self.meters, meter));
            }
            Verdict::Duplicate => self.open.note(trace, Outcome::Duplicate),
            Verdict::Conflict => {
                self.open.note(trace, Outcome::Rejected(Reason::ConflictingDuplicate));
                self.letters.conflict(known.place);
            }
        }
        Ok(())
    }
}

pub(super) fn identify(
    identifier: &mut Identifier,
    meters: &[MeterName],
    event: &Event<'_>,
) -> (EventKey, Content) {
    let key = identifier.key(event);
    let content = identifier.content(event, |meter| &meters[usize::from(meter.0)].name);
    (key, content)
}

fn fold(meters: &[MeterName], meter: MeterIndex) -> Fold {
    meters[usize::from(meter.0)].fold
}

pub(super) fn meter_name(meter: &Meter) -> MeterName {
    let fold = match meter.aggregation {
        Aggregation::Count | Aggregation::Sum => Fold::Sum,
        Aggregation::Max => Fold::Max,
    };
    MeterName { name: meter.name.to_string(), fold }
}
