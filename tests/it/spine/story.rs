//! What happens to 2,000 organizations in three months, seeded: sound events, repeats inside and
//! outside the de-duplication window, contradictions, and everything that is wrong with real data.
//! What becomes of it is for the oracle to say, not for this file.

use std::collections::VecDeque;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::formats;
use super::{DEDUP_WINDOW, MAX_EVENT_BYTES};
use crate::oracle::{self, Format};
use crate::support::kafka::KafkaRecord;

/// Of a leap year.
pub const MONTHS: [&str; 3] = ["2024-01", "2024-02", "2024-03"];
pub const ORGANIZATIONS: usize = 2_000;
/// The defaults of the configuration: 35 days and an hour.
pub const ACCEPT_PAST_MS: i64 = 35 * DAY_MS;
pub const ACCEPT_FUTURE_MS: i64 = 3_600_000;

const DAY_MS: i64 = 86_400_000;
const REGIONS: [&str; 3] = ["us", "eu", "ap-southeast-2"];
const EVENTS_OF_BATCH: usize = 100;

pub fn bounds(month: &str) -> (i64, i64) {
    oracle::month_bounds(month)
}

#[derive(Clone, Debug)]
pub struct Event {
    pub organization: String,
    pub source: &'static str,
    pub id: String,
    pub time_ms: i64,
    pub region: Option<&'static str>,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    Request {
        quantity: Option<u64>,
    },
    Tokens {
        value: u64,
    },
    Catalog {
        event_type: &'static str,
        service: String,
        published: Option<bool>,
        version: Option<i64>,
    },
    /// Nothing that anybody bills.
    Other,
}

/// What is wrong with an event's bytes or its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    CutOff,
    NoJson,
    NoObject,
    Tombstone,
    Version,
    RepeatedField,
    NoSource,
    Region,
    NoOrganization,
    EmptyOrganization,
    NoId,
    NoTime,
    Time,
    Quantity,
    Service,
    TooLarge,
    /// By one millisecond.
    TooOld,
    TooNew,
    Before2000,
    From2100,
}

impl Wrong {
    /// The whole record is, so that it holds no other event.
    pub fn is_of_record(self) -> bool {
        matches!(
            self,
            Self::CutOff
                | Self::NoJson
                | Self::NoObject
                | Self::Tombstone
                | Self::TooLarge
                | Self::TooOld
                | Self::TooNew
        )
    }
}

fn wrongs(format: Format) -> &'static [Wrong] {
    use Wrong::*;
    match format {
        Format::CloudEvents => &[
            CutOff,
            NoJson,
            NoObject,
            Tombstone,
            Version,
            RepeatedField,
            NoSource,
            Region,
            NoOrganization,
            EmptyOrganization,
            NoId,
            NoTime,
            Time,
            Quantity,
            Service,
            TooLarge,
            TooOld,
            TooNew,
            Before2000,
            From2100,
        ],
        Format::KafkaLog => &[
            CutOff,
            NoJson,
            NoObject,
            Tombstone,
            RepeatedField,
            Region,
            NoOrganization,
            EmptyOrganization,
            Time,
            TooLarge,
            TooOld,
            TooNew,
            Before2000,
            From2100,
        ],
        Format::Batch => &[
            CutOff,
            Tombstone,
            NoSource,
            Region,
            EmptyOrganization,
            NoId,
            Quantity,
            Service,
            TooLarge,
            TooOld,
            TooNew,
            Before2000,
            From2100,
        ],
    }
}

/// The records of one topic, in order.
pub struct Story {
    format: Format,
    random: ChaCha8Rng,
    events: u64,
    told: u64,
    next_lane: usize,
    /// By lane, for each of the last records the sound event that it held alone.
    lanes: Vec<VecDeque<Option<Event>>>,
}

enum Step {
    Sound(Event),
    Wrong(Event, Wrong),
}

impl Story {
    pub fn new(format: Format, events: u64, partitions: i32) -> Self {
        let lanes = (0..partitions).map(|_| VecDeque::new()).collect();
        let random = ChaCha8Rng::seed_from_u64(events ^ formats::name(format).len() as u64);
        Self { format, random, events, told: 0, next_lane: 0, lanes }
    }

    /// The time that the story has come to.
    fn now_ms(&self) -> i64 {
        let (start, end) = (bounds(MONTHS[0]).0, bounds(MONTHS[2]).1);
        start
            + ((end - 1 - start) as u128 * u128::from(self.told.min(self.events)) / u128::from(self.events))
                as i64
    }

    fn step(&mut self, lane: usize) -> Step {
        self.told += 1;
        match self.random.random_range(0..1_000) {
            0..10 => {
                let wrong = *wrongs(self.format).choose(&mut self.random).expect("some");
                Step::Wrong(self.event(), wrong)
            }
            10..40 => match self.earlier(lane) {
                Some(event) => Step::Sound(event),
                None => Step::Sound(self.event()),
            },
            40..43 => match self.earlier(lane) {
                Some(event) => Step::Sound(self.changed(event)),
                None => Step::Sound(self.event()),
            },
            43..53 => Step::Sound(Event { what: What::Other, ..self.event() }),
            _ => Step::Sound(self.event()),
        }
    }

    /// An earlier event of the lane: mostly of lately, sometimes as old as the window allows, and
    /// sometimes one offset older.
    fn earlier(&mut self, lane: usize) -> Option<Event> {
        let back = match self.random.random_range(0..100) {
            0 => DEDUP_WINDOW as usize,
            1 => DEDUP_WINDOW as usize + 1,
            2..20 => self.random.random_range(1..=DEDUP_WINDOW as usize),
            _ => self.random.random_range(1..=50),
        };
        let lane = &self.lanes[lane];
        lane.get(lane.len().checked_sub(back)?)?.clone()
    }

    /// The same key with something else to bill.
    fn changed(&mut self, mut event: Event) -> Event {
        match (&mut event.what, self.random.random_range(0..3)) {
            (What::Request { quantity }, 0) if self.format != Format::KafkaLog => {
                *quantity = Some(quantity.unwrap_or(1) + 1)
            }
            (_, 1) => event.region = Some(if event.region == Some("eu") { "ap-southeast-2" } else { "eu" }),
            _ => event.time_ms -= 3_600_000,
        }
        event
    }

    fn event(&mut self) -> Event {
        let number = self.told;
        let random = &mut self.random;
        // Each organization has some, and the first ones have most.
        let organization = if random.random_ratio(1, 4) {
            number as usize % ORGANIZATIONS
        } else {
            let (a, b) = (random.random_range(0..ORGANIZATIONS), random.random_range(0..ORGANIZATIONS));
            a.min(b) * random.random_range(0..ORGANIZATIONS) / ORGANIZATIONS
        };
        let time_ms = self.time();
        let random = &mut self.random;
        Event {
            organization: format!("org-{organization:04}"),
            source: ["/gateway/a", "/gateway/b"][random.random_range(0..2)],
            id: format!("{}-{number}", formats::name(self.format)),
            time_ms,
            region: if random.random_ratio(1, 2) {
                None
            } else {
                Some(REGIONS[organization % REGIONS.len()])
            },
            what: self.what(organization),
        }
    }

    fn what(&mut self, organization: usize) -> What {
        let random = &mut self.random;
        match random.random_range(0..200) {
            _ if self.format == Format::KafkaLog => What::Request { quantity: None },
            0..3 => What::Catalog {
                event_type: [
                    "service.created",
                    "service.created",
                    "service.updated",
                    "service.published",
                    "service.unpublished",
                    "service.deleted",
                ]
                .choose(random)
                .expect("some"),
                service: format!("service-{}-{}", organization % 7, random.random_range(0..4)),
                published: *[None, Some(true), Some(false)].choose(random).expect("some"),
                // Few versions, so that time, source and id decide as well.
                version: random.random_ratio(1, 2).then(|| 2_000_000_000_000 + random.random_range(0..3)),
            },
            3..6 if self.format == Format::CloudEvents => {
                What::Tokens { value: random.random_range(0..5_000) }
            }
            6..26 => What::Request { quantity: Some(random.random_range(0..1_000)) },
            _ => What::Request { quantity: None },
        }
    }

    /// Now or a little before; for one in 300 the first or last millisecond of a month.
    fn time(&mut self) -> i64 {
        let now = self.now_ms();
        if self.told >= self.events {
            return bounds(MONTHS[2]).1 - 1;
        }
        if self.random.random_ratio(1, 300) {
            let start = MONTHS
                .map(|month| bounds(month).0)
                .into_iter()
                .rfind(|&start| start <= now)
                .expect("a start");
            let is_first = start == bounds(MONTHS[0]).0;
            return start - i64::from(!is_first && self.random.random_ratio(1, 2));
        }
        let lateness = if self.random.random_ratio(1, 50) { DAY_MS } else { 2_000 };
        (now - self.random.random_range(0..lateness)).max(bounds(MONTHS[0]).0)
    }

    /// When the record was written: mostly soon after; sometimes as late or early as is allowed.
    fn written_ms(&mut self, latest_ms: i64, alone: bool, wrong: Option<Wrong>) -> i64 {
        match wrong {
            Some(Wrong::TooOld) => return latest_ms + ACCEPT_PAST_MS + 1,
            Some(Wrong::TooNew) => return latest_ms - ACCEPT_FUTURE_MS - 1,
            _ => {}
        }
        match self.random.random_range(0..1_000) {
            0 if alone => latest_ms + ACCEPT_PAST_MS,
            1 if alone => latest_ms - ACCEPT_FUTURE_MS,
            _ => latest_ms + self.random.random_range(0..5_000),
        }
    }

    /// How many events the next record holds, if nothing is wrong with the first.
    fn size(&mut self) -> usize {
        match self.format {
            Format::Batch => self.random.random_range(0..=2 * EVENTS_OF_BATCH),
            _ => match self.random.random_range(0..500) {
                0 => 0,
                1..6 => self.random.random_range(2..=6),
                _ => 1,
            },
        }
    }
}

impl Iterator for Story {
    type Item = KafkaRecord;

    fn next(&mut self) -> Option<KafkaRecord> {
        if self.told >= self.events {
            return None;
        }
        let lane = self.next_lane;
        self.next_lane = self.random.random_range(0..self.lanes.len());
        let size = self.size();
        let mut events = Vec::with_capacity(size);
        let mut of_record = None;
        let mut latest_ms = self.now_ms();
        let mut alone = None;
        for index in 0..size {
            let (event, wrong) = match self.step(lane) {
                Step::Sound(event) => (event, None),
                Step::Wrong(event, wrong) => (event, Some(wrong)),
            };
            let wrong = match wrong {
                Some(wrong) if wrong.is_of_record() && index > 0 => None,
                other => other,
            };
            latest_ms = if index == 0 { event.time_ms } else { latest_ms.max(event.time_ms) };
            alone =
                (size == 1 && wrong.is_none() && !matches!(event.what, What::Other)).then(|| event.clone());
            events.push((event, wrong));
            if self.random.random_ratio(1, 300) {
                // A producer that retries inside of one record.
                events.extend(events.first().cloned().filter(|_| size > 1));
            }
            if let Some(wrong) = wrong.filter(|wrong| wrong.is_of_record()) {
                of_record = Some(wrong);
                break;
            }
        }
        if self.format == Format::Batch && of_record.is_none() {
            alone = events
                .iter()
                .find(|(event, wrong)| wrong.is_none() && !matches!(event.what, What::Other))
                .map(|(event, _)| event.clone());
        }
        let timestamp_ms = self.written_ms(latest_ms, size == 1, of_record);
        self.lanes[lane].push_back(alone);
        if self.lanes[lane].len() > DEDUP_WINDOW as usize + 1 {
            self.lanes[lane].pop_front();
        }
        let mut record = formats::record(self.format, &events, &mut self.random);
        match of_record {
            Some(Wrong::CutOff) => cut_off(&mut record),
            Some(Wrong::NoJson) => record.value = Some(b"<event/>".to_vec()),
            Some(Wrong::NoObject) => record.value = Some(b"\"an event\"".to_vec()),
            Some(Wrong::Tombstone) => record.value = None,
            Some(Wrong::TooLarge) => {
                record.value.as_mut().expect("a value").resize(MAX_EVENT_BYTES + 1, b' ')
            }
            _ => {}
        }
        Some(KafkaRecord { partition: lane as i32, timestamp_ms: Some(timestamp_ms), ..record })
    }
}

fn cut_off(record: &mut KafkaRecord) {
    let value = record.value.as_mut().expect("a value");
    value.truncate(value.len() * 3 / 4);
}
