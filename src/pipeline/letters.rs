use std::sync::Arc;

use super::group::Place;
use crate::aggregate::OpenBlock;
use crate::decode::{Decoder, Raw};
use crate::event::{DeadLetter, Reason, Record};

/// The dead letters of records that are taken together, in the order of the log.
#[derive(Default)]
pub(super) struct Letters {
    letters: Vec<Letter>,
    /// Those of one record share its key and headers.
    shared: Option<Shared>,
}

enum Letter {
    Written(DeadLetter),
    /// Of an event that had been decoded before it was judged: to be written from its record.
    Conflict(Place),
}

struct Shared {
    offset: i64,
    key: Option<Arc<[u8]>>,
    headers: Arc<[(String, Option<Vec<u8>>)]>,
}

const CONFLICT: &str = "the same id occurred before with other billed content";

impl Letters {
    pub fn reject(&mut self, record: &Record<'_>, index: u32, raw: Raw<'_>, reason: Reason, detail: &str) {
        let letter = self.write(record, index, raw, reason, detail);
        self.letters.push(Letter::Written(letter));
    }

    pub fn conflict(&mut self, place: Place) {
        self.letters.push(Letter::Conflict(place));
    }

    /// Hands all of them to the block. Each record with a conflict is decoded once more.
    pub fn bury(mut self, records: &[(Record<'_>, i32)], decoder: &mut Decoder, open: &mut OpenBlock) {
        let mut letters = std::mem::take(&mut self.letters).into_iter().peekable();
        while let Some(letter) = letters.next() {
            let place = match letter {
                Letter::Written(letter) => {
                    open.bury(letter);
                    continue;
                }
                Letter::Conflict(place) => place,
            };
            // All others of the record, in the order of its events.
            let (record, _) = records[place.record];
            let mut of_record = vec![Letter::Conflict(place)];
            let is_of_record = |letter: &Letter| match letter {
                Letter::Written(letter) => letter.offset == record.offset,
                Letter::Conflict(other) => other.record == place.record,
            };
            of_record.extend(std::iter::from_fn(|| letters.next_if(is_of_record)));
            let mut of_record = of_record.into_iter().peekable();
            decoder.decode(&record, &mut |index, raw, _| {
                let is_next = |letter: &Letter| match letter {
                    Letter::Written(letter) => letter.index == index,
                    Letter::Conflict(place) => place.index == index,
                };
                match of_record.next_if(is_next) {
                    Some(Letter::Written(letter)) => open.bury(letter),
                    Some(Letter::Conflict(_)) => {
                        open.bury(self.write(&record, index, raw, Reason::ConflictingDuplicate, CONFLICT));
                    }
                    None => {}
                }
            });
        }
    }

    fn write(
        &mut self,
        record: &Record<'_>,
        index: u32,
        raw: Raw<'_>,
        reason: Reason,
        detail: &str,
    ) -> DeadLetter {
        let shared = match self.shared.take() {
            Some(shared) if shared.offset == record.offset => shared,
            _ => Shared::of(record),
        };
        let letter = DeadLetter {
            key: shared.key.clone(),
            value: record.value.map(|_| raw.encode_alone(record)),
            headers: Arc::clone(&shared.headers),
            reason,
            detail: detail.to_owned(),
            topic: record.topic.into(),
            partition: record.partition,
            offset: record.offset,
            index,
            timestamp_ms: record.timestamp_ms,
        };
        self.shared = Some(shared);
        letter
    }
}

impl Shared {
    fn of(record: &Record<'_>) -> Self {
        let mut headers = Vec::new();
        record.headers.each(&mut |name, value| headers.push((name.to_owned(), value.map(<[u8]>::to_vec))));
        Self { offset: record.offset, key: record.key.map(Arc::from), headers: headers.into() }
    }
}
