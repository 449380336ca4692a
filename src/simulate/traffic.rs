use std::collections::VecDeque;

use crate::event::{Format, HOUR_MS, Ignored, Reason};
use crate::month::Month;

use super::catalog::Catalog;
use super::draft::{Draft, Fault, Kind, RegionIndex};
use super::expected::{self, Calls, Expected, Outcomes};
use super::mapping::Place;
use super::organizations;
use super::random::{Random, Zipf};
use super::run::Run;
use super::settings::{GREATEST_DELAY_MS, InvalidSettings, Settings};
use super::timeline::Timeline;
use super::{batch, cloudevents, kafka_log};

#[cfg(test)]
pub(super) mod tests;

/// How many sound events per lane can still be repeated; about 64 bytes each.
const REMEMBERED: usize = 4_096;
/// The greatest part of the de-duplication window that lies between an event and its duplicate,
/// in records: what others write into the topic meanwhile takes offsets too.
const WINDOW_PART: u64 = 4;
const GREATEST_LATENESS_MS: i64 = 600_000;

/// One record to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedRecord {
    pub partition: u32,
    /// Epoch milliseconds.
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub value: Vec<u8>,
    /// How many events it carries.
    pub events: u64,
}

/// The records of one run, in the order to send them in; each belongs into its own partition.
#[derive(Debug)]
pub struct Traffic {
    run: Run,
    random: Random,
    timeline: Timeline,
    sizes: Zipf,
    lanes: Vec<Lane>,
    /// A record that has to come next because the one before it ended where it begins.
    waiting: Option<(usize, Draft)>,
    drawn: u64,
    duplicates_left: u64,
    malformed_left: u64,
    /// Organizations that had their first sound request.
    seen: u32,
    months: Vec<Month>,
    catalog: Catalog,
    calls: Calls,
    outcomes: Outcomes,
}

/// What a format's writer makes of a record's events.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub value: Vec<u8>,
}

/// What a lane has had lately.
#[derive(Debug, Default)]
struct Lane {
    records: u64,
    /// (number of the record, event), oldest first.
    recent: VecDeque<(u64, Draft)>,
}

impl Traffic {
    /// `partitions` > 0: how many the topic has.
    pub fn new(settings: Settings, partitions: u32) -> Result<Self, InvalidSettings> {
        let run = Run::new(settings, partitions)?;
        let settings = &run.settings;
        let (start, end) = settings.span_ms();
        let mut months = vec![Month::containing(start)];
        while months[months.len() - 1].end_ms() < end {
            months.push(months[months.len() - 1].next());
        }
        Ok(Self {
            random: run.random(),
            timeline: Timeline::new(start, end, settings.events),
            sizes: Zipf::new(settings.organizations),
            lanes: (0..partitions).map(|_| Lane::default()).collect(),
            waiting: None,
            drawn: 0,
            duplicates_left: settings.duplicates.of(settings.events),
            malformed_left: settings.malformed.of(settings.events),
            seen: 0,
            catalog: Catalog::new(months.iter().map(|month| month.end_ms()).collect()),
            months,
            calls: Calls::new(),
            outcomes: Outcomes::default(),
            run,
        })
    }

    /// What the records that were taken so far have to give.
    pub fn expected(&self) -> Expected {
        let mut usage = Vec::new();
        for (number, &month) in self.months.iter().enumerate() {
            let catalog = self.catalog.counts(number);
            let calls = self.calls.keys().filter(|key| key.2 == number).map(|key| (key.0, key.1));
            let mut keys: Vec<_> = calls.chain(catalog.keys().copied()).collect();
            keys.sort_unstable();
            keys.dedup();
            for (organization, region) in keys {
                let calls = self.calls.get(&(organization, region, number)).copied().unwrap_or(0);
                let services = catalog.get(&(organization, region)).copied().unwrap_or((0, 0));
                let (name, region) = (organizations::name(organization), self.run.region_name(region));
                usage.extend(expected::lines(&name, region, month, calls, services));
            }
        }
        usage.sort_unstable();
        Expected { outcomes: self.outcomes.clone(), usage }
    }

    fn draw(&mut self, lane: usize) -> Draft {
        let (step, events) = (self.drawn, self.run.settings.events);
        self.drawn += 1;
        // The span's first and last millisecond have a sound request each.
        let edge = step == 0 || step + 1 == events;
        if !edge {
            // Selection sampling (Knuth, 3.4.2 S): the shares come out exactly, at random places.
            let choice = self.random.below(events - 1 - step);
            if choice < self.malformed_left {
                self.malformed_left -= 1;
                return self.draw_malformed(lane, step);
            }
            if choice < self.malformed_left + self.duplicates_left
                && let Some(draft) = self.draw_duplicate(lane)
            {
                self.duplicates_left -= 1;
                self.outcomes.duplicate += 1;
                return draft;
            }
        }
        self.draw_sound(lane, step, edge)
    }

    fn draw_sound(&mut self, lane: usize, step: u64, edge: bool) -> Draft {
        let mut draft = self.draw_request(step, edge);
        let format = self.run.settings.format;
        if !edge && !self.is_first_of_organization(&draft) {
            match format {
                Format::KafkaLog if self.random.one_in(50) => draft.kind = Kind::Unrouted,
                Format::Cloudevents | Format::Batch if self.random.one_in(200) => {
                    draft.kind = Kind::Heartbeat
                }
                Format::Cloudevents | Format::Batch if self.random.one_in(60) => {
                    let change = self.catalog.next_change(draft.organization, draft.region, &mut self.random);
                    draft.kind = Kind::Catalog(change);
                }
                _ => {}
            }
        }
        self.count(lane, &draft);
        draft
    }

    fn count(&mut self, lane: usize, draft: &Draft) {
        match draft.kind {
            Kind::Unrouted => return *self.outcomes.ignored.entry(Ignored::Unrouted).or_default() += 1,
            Kind::Heartbeat => return *self.outcomes.ignored.entry(Ignored::UnknownType).or_default() += 1,
            Kind::Catalog(_) => self.catalog.apply(&self.run, draft),
            Kind::Request { quantity, .. } => {
                let month = self.months.partition_point(|month| month.end_ms() <= draft.time_ms);
                *self.calls.entry((draft.organization, draft.region, month)).or_default() += quantity;
                self.seen += u32::from(self.is_first_of_organization(draft));
            }
        }
        self.outcomes.counted += 1;
        self.lanes[lane].remember(draft.clone());
    }

    /// Every organization has at least one request where there are twice as many events: each
    /// second request is the first of one until all have had theirs.
    fn next_organization(&mut self, step: u64) -> u32 {
        let all = self.run.settings.organizations;
        if self.seen < all && step.is_multiple_of(2) { self.seen } else { self.sizes.draw(&mut self.random) }
    }

    fn is_first_of_organization(&self, draft: &Draft) -> bool {
        draft.organization == self.seen && self.seen < self.run.settings.organizations
    }

    fn draw_request(&mut self, step: u64, edge: bool) -> Draft {
        let organization = self.next_organization(step);
        let region = organizations::region(organization, self.run.region_count(), &mut self.random);
        let at = self.timeline.at(step);
        let time_ms = if edge { at } else { self.happened_before(at) };
        let service = self.random.below(u64::from(organizations::services(organization))) as u16;
        // Some producers sum up what they saw since they last sent.
        let sums_up = self.run.settings.format != Format::KafkaLog && self.random.one_in(25);
        let quantity = if sums_up { self.random.between(2, 500) } else { 1 };
        Draft {
            ordinal: step,
            organization,
            region: RegionIndex(region as u16),
            time_ms,
            kind: Kind::Request { service, quantity },
            fault: None,
        }
    }

    /// Events reach the gateway's queue a little late, a few of them by minutes.
    fn happened_before(&mut self, at: i64) -> i64 {
        let greatest =
            GREATEST_LATENESS_MS.min(self.run.settings.accept_past_ms / 2 - GREATEST_DELAY_MS).max(0);
        let lateness = if self.random.one_in(100) { greatest } else { greatest.min(1_000) };
        (at - self.random.between(0, lateness as u64) as i64).max(self.timeline.start_ms())
    }

    fn draw_duplicate(&mut self, lane: usize) -> Option<Draft> {
        let at = self.choose_recent(lane)?;
        Some(self.lanes[lane].recent[at].1.clone())
    }

    /// The place of a sound event that can still be repeated; the younger, the likelier. It is
    /// inside the de-duplication window, and not so old that odometer would refuse it for that.
    fn choose_recent(&mut self, lane: usize) -> Option<usize> {
        let reach = (self.run.settings.dedup_window / WINDOW_PART).max(1);
        let oldest_ms = self.timeline.at(self.drawn - 1) - self.run.settings.accept_past_ms / 2;
        let Lane { records, recent } = &self.lanes[lane];
        let last = recent.len().checked_sub(1)?;
        let back = self.random.index(recent.len()).min(self.random.index(recent.len()));
        [last - back, last].into_iter().find(|&at| {
            let (record, draft) = &recent[at];
            records - record <= reach && draft.time_ms >= oldest_ms
        })
    }

    fn draw_malformed(&mut self, lane: usize, step: u64) -> Draft {
        let format = self.run.settings.format;
        let fault = *self.random.weighted(faults(format));
        let (draft, reason) = match fault {
            Fault::Conflict => match self.draw_conflict(lane) {
                Some(draft) => (draft, Reason::ConflictingDuplicate),
                None => (self.draw_faulty(step, Fault::Truncated), Reason::Malformed),
            },
            fault => (self.draw_faulty(step, fault), fault.reason()),
        };
        *self.outcomes.rejected.entry(reason).or_default() += 1;
        draft
    }

    fn draw_faulty(&mut self, step: u64, fault: Fault) -> Draft {
        Draft { fault: Some(fault), ..self.draw_request(step, false) }
    }

    /// An earlier request again with other billed content. It is forgotten: a further repeat would
    /// be compared with the conflicting one.
    fn draw_conflict(&mut self, lane: usize) -> Option<Draft> {
        let at = self.choose_recent(lane)?;
        let mut draft = self.lanes[lane].recent[at].1.clone();
        let Kind::Request { quantity, .. } = &mut draft.kind else { return None };
        match self.run.settings.format {
            Format::Cloudevents | Format::Batch => *quantity += 1,
            Format::KafkaLog if !kafka_log::names_its_id(&self.run, draft.ordinal) => return None,
            Format::KafkaLog if self.run.region != Place::Nowhere => draft.region = self.run.stranger(),
            Format::KafkaLog if self.run.settings.accept_past_ms > 2 * HOUR_MS => draft.time_ms -= HOUR_MS,
            Format::KafkaLog => return None,
        }
        draft.fault = Some(Fault::Conflict);
        self.lanes[lane].recent.remove(at);
        Some(draft)
    }

    /// How many events the next record may hold.
    fn record_size(&mut self) -> u64 {
        let headers =
            [&self.run.organization, &self.run.region].into_iter().any(|p| matches!(p, Place::Header(_)));
        match self.run.settings.format {
            Format::Batch => self.random.between(80, 120),
            _ if headers => 1,
            _ if self.random.one_in(100) => self.random.between(2, 8),
            _ => 1,
        }
    }

    fn next_drafts(&mut self) -> Option<(usize, Vec<Draft>)> {
        if let Some((lane, draft)) = self.waiting.take() {
            return Some((lane, vec![draft]));
        }
        let left = self.run.settings.events - self.drawn;
        if left == 0 {
            return None;
        }
        let lane = self.random.index(self.lanes.len());
        let size = self.record_size().min(left);
        let mut drafts = Vec::with_capacity(size as usize);
        for _ in 0..size {
            let draft = self.draw(lane);
            if draft.fault == Some(Fault::Truncated) && !drafts.is_empty() {
                self.waiting = Some((lane, draft));
                break;
            }
            let alone = draft.fault == Some(Fault::Truncated);
            drafts.push(draft);
            if alone {
                break;
            }
        }
        Some((lane, drafts))
    }
}

impl Iterator for Traffic {
    type Item = SimulatedRecord;

    fn next(&mut self) -> Option<SimulatedRecord> {
        let (lane, drafts) = self.next_drafts()?;
        let partition = lane as u32;
        let sent_ms = self.timeline.at(self.drawn - 1);
        let delay = self.random.between(20, GREATEST_DELAY_MS as u64) as i64;
        self.lanes[lane].records += 1;
        let Written { key, headers, value } = match self.run.settings.format {
            Format::Cloudevents => cloudevents::record(&self.run, &drafts),
            Format::KafkaLog => kafka_log::record(&self.run, &drafts),
            Format::Batch => batch::record(&self.run, &drafts),
        };
        let timestamp_ms = (sent_ms + delay).min(self.run.settings.now_ms);
        Some(SimulatedRecord { partition, timestamp_ms, key, headers, value, events: drafts.len() as u64 })
    }
}

impl Lane {
    fn remember(&mut self, draft: Draft) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back((self.records, draft));
    }
}

impl Fault {
    fn reason(self) -> Reason {
        match self {
            Self::Truncated | Self::WrongVersion | Self::BadRegion => Reason::Malformed,
            Self::NoOrganization => Reason::MissingOrganization,
            Self::NoId => Reason::MissingId,
            Self::NoTime => Reason::MissingTime,
            Self::BadTime => Reason::BadTime,
            Self::BadQuantity => Reason::BadQuantity,
            Self::BadService => Reason::BadService,
            Self::TooOld => Reason::TooOld,
            Self::TooNew => Reason::TooNew,
            Self::Conflict => Reason::ConflictingDuplicate,
        }
    }
}

/// What goes wrong in practice, by weight.
fn faults(format: Format) -> &'static [(Fault, u64)] {
    match format {
        Format::Cloudevents => &[
            (Fault::Truncated, 6),
            (Fault::NoOrganization, 5),
            (Fault::Conflict, 3),
            (Fault::TooOld, 3),
            (Fault::BadTime, 2),
            (Fault::BadQuantity, 2),
            (Fault::WrongVersion, 1),
            (Fault::BadRegion, 1),
            (Fault::NoId, 1),
            (Fault::NoTime, 1),
            (Fault::BadService, 1),
            (Fault::TooNew, 1),
        ],
        Format::KafkaLog => &[
            (Fault::NoOrganization, 6),
            (Fault::Truncated, 5),
            (Fault::TooOld, 3),
            (Fault::Conflict, 2),
            (Fault::BadTime, 2),
            (Fault::TooNew, 1),
        ],
        Format::Batch => &[
            (Fault::NoOrganization, 4),
            (Fault::TooOld, 3),
            (Fault::Conflict, 3),
            (Fault::BadQuantity, 2),
            (Fault::NoId, 2),
            (Fault::Truncated, 1),
            (Fault::BadRegion, 1),
            (Fault::BadService, 1),
            (Fault::TooNew, 1),
        ],
    }
}
