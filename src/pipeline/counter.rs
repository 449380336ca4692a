use std::mem;
use std::sync::Arc;

use super::rebuild::Rebuild;
use crate::aggregate::{Fold, MeterName, OpenBlock};
use crate::decode::{Decoded, Decoder, InvalidRules, Meter, Raw};
use crate::dedup::{Cache, CacheFull, Occurrence, Verdict, Window};
use crate::event::{
    Aggregation, Content, DeadLetter, Event, EventKey, Identifier, Lane, MeterIndex, Outcome, Reason, Record,
    Rules, RulesHash, Trace,
};
use crate::flush::FinishedBlock;

/// Counts one lane for one tenure: decodes, de-duplicates and adds up, in the order of the log.
pub struct LaneCounter {
    lane: Lane,
    rules: RulesHash,
    decoder: Decoder,
    meters: Vec<MeterName>,
    identifier: Identifier,
    window: Window,
    /// Offsets below the ledger's end are only read to rebuild the window.
    rebuild: Option<Rebuild>,
    open: OpenBlock,
    occurrences: Vec<Occurrence>,
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

    /// Takes the next record of the log. After an error the tenure must end: the record was taken
    /// in part.
    pub fn take(&mut self, record: &Record<'_>, leader_epoch: i32) -> Result<(), CacheFull> {
        if record.offset < self.first {
            if record.offset <= self.cut.last {
                self.cut.seen = leader_epoch;
            }
            // A record may come again after a pause of the client's own.
            if record.offset <= self.remembered {
                return Ok(());
            }
            self.remembered = record.offset;
            return self.remember(record);
        }
        self.pass_end();
        if record.offset < self.next {
            return Ok(()); // Read again after a pause; it is counted already.
        }
        self.count(record)?;
        self.next = record.offset + 1;
        self.leader_epoch = leader_epoch;
        Ok(())
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

    fn count(&mut self, record: &Record<'_>) -> Result<(), CacheFull> {
        let Self { decoder, identifier, window, open, occurrences, meters, .. } = self;
        let mut full = None;
        let mut letters = Letters { record, shared: None };
        decoder.decode(record, &mut |index, raw, decoded| {
            if full.is_some() {
                return;
            }
            let placed = Trace::Placed { offset: record.offset, index };
            match decoded {
                Decoded::Event(event) => {
                    let (key, content) = identify(identifier, meters, &event);
                    let at = Occurrence::new(record.offset, key, content);
                    let trace = Trace::Keyed(key, content);
                    match window.observe(at) {
                        Ok(verdict) => {
                            occurrences.push(at);
                            match verdict {
                                Verdict::New => open.count(&event, trace, |meter| fold(meters, meter)),
                                Verdict::Duplicate => open.note(trace, Outcome::Duplicate),
                                Verdict::Conflict => {
                                    let reason = Reason::ConflictingDuplicate;
                                    open.note(trace, Outcome::Rejected(reason));
                                    let detail = "the same id occurred before with other billed content";
                                    open.bury(letters.write(index, raw, reason, detail));
                                }
                            }
                        }
                        Err(error) => full = Some(error),
                    }
                }
                Decoded::Rejected { reason, detail } => {
                    open.note(placed, Outcome::Rejected(reason));
                    open.bury(letters.write(index, raw, reason, &detail));
                }
                Decoded::Ignored(why) => open.note(placed, Outcome::Ignored(why)),
            }
        });
        full.map_or(Ok(()), Err)
    }

    /// Reads a record below the ledger's end for its keys alone, under the rules that it was
    /// counted under.
    fn remember(&mut self, record: &Record<'_>) -> Result<(), CacheFull> {
        let (Some(rebuild), window) = (&mut self.rebuild, &mut self.window) else { return Ok(()) };
        let mut full = None;
        rebuild.each_key(record, |at| {
            if full.is_none() {
                full = window.observe(at).err();
            }
        });
        full.map_or(Ok(()), Err)
    }

    /// Whether the ledger doesn't cover yet all that was read.
    pub fn has_news(&self) -> bool {
        self.next > self.first || self.loss.is_some()
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
    pub fn finish(&mut self) -> FinishedBlock {
        if let Some(loss) = self.loss.take() {
            return loss;
        }
        let next = self.open.successor();
        let open = mem::replace(&mut self.open, next);
        let first = mem::replace(&mut self.first, self.next);
        FinishedBlock {
            first,
            next: self.next,
            contents: open.finish(&self.meters),
            window_from: self.window_from,
            leader_epoch: mem::replace(&mut self.leader_epoch, -1),
            rules: self.rules,
            occurrences: mem::take(&mut self.occurrences),
            loss: String::new(),
        }
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

/// The dead letters of one record: they share its key and headers.
struct Letters<'r> {
    record: &'r Record<'r>,
    shared: Option<(Option<Arc<[u8]>>, OwnedHeaders)>,
}

type OwnedHeaders = Arc<[(String, Option<Vec<u8>>)]>;

impl Letters<'_> {
    fn write(&mut self, index: u32, raw: Raw<'_>, reason: Reason, detail: &str) -> DeadLetter {
        let record = self.record;
        let (key, headers) = self.shared.get_or_insert_with(|| {
            let mut headers = Vec::new();
            record
                .headers
                .each(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
            (record.key.map(Arc::from), headers.into())
        });
        DeadLetter {
            key: key.clone(),
            value: record.value.map(|_| raw.encode_alone(record)),
            headers: Arc::clone(headers),
            reason,
            detail: detail.to_owned(),
            topic: record.topic.into(),
            partition: record.partition,
            offset: record.offset,
            index,
            timestamp_ms: record.timestamp_ms,
        }
    }
}
