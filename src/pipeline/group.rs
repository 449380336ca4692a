use crate::aggregate::OrganizationHash;
use crate::event::{Body, Charge, Content, Event, EventId, EventKey};

/// Decoded events that wait to be judged, so that the memory that their keys lie in is on its way
/// while the others are decoded. They hold what counting needs, in buffers that are used again.
#[derive(Default)]
pub(super) struct Group {
    events: Vec<Waiting>,
    /// Organization and region of each, one behind the other.
    text: String,
    charges: Vec<Charge>,
}

/// Which event of which of the records that are taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub record: usize,
    pub index: u32,
}

struct Waiting {
    key: EventKey,
    content: Content,
    organization: OrganizationHash,
    offset: i64,
    place: Place,
    time_ms: i64,
    /// Where its own end in `text` and `charges`.
    organization_end: usize,
    region_end: usize,
    charges_end: usize,
}

/// Enough that the first one's memory has come when the last one is decoded (each takes 200 ns or
/// more, memory some 100), few enough that the processor's nearest cache (32 KiB) keeps all of them.
const EVENTS: usize = 32;

/// An event with what it is known by.
pub(super) struct Known<'a> {
    pub event: &'a Event<'a>,
    pub key: EventKey,
    pub content: Content,
    pub organization: OrganizationHash,
    pub offset: i64,
    pub place: Place,
}

impl Group {
    /// Takes an event; `false` where it is none of usage, which must be judged right behind the group.
    pub fn take(&mut self, known: &Known<'_>) -> bool {
        let Known { event, key, content, organization, offset, place } = *known;
        let Body::Usage(charges) = event.body else { return false };
        self.text.push_str(event.organization);
        let organization_end = self.text.len();
        self.text.push_str(event.region);
        self.charges.extend_from_slice(charges);
        self.events.push(Waiting {
            key,
            content,
            organization,
            offset,
            place,
            time_ms: event.time_ms,
            organization_end,
            region_end: self.text.len(),
            charges_end: self.charges.len(),
        });
        true
    }

    pub fn is_full(&self) -> bool {
        self.events.len() >= EVENTS
    }

    /// What each is looked for by.
    pub fn each_place(&self) -> impl Iterator<Item = (EventKey, OrganizationHash)> {
        self.events.iter().map(|waiting| (waiting.key, waiting.organization))
    }

    /// Visits the events in the order in which they came, up to the first error, and is empty then.
    pub fn empty<E>(&mut self, mut visit: impl FnMut(Known<'_>) -> Result<(), E>) -> Result<(), E> {
        let (mut text_start, mut charges_start) = (0, 0);
        let visited = self.events.iter().try_for_each(|waiting| {
            let event = Event {
                organization: &self.text[text_start..waiting.organization_end],
                // Usage is counted without them.
                source: "",
                id: EventId::Text(""),
                time_ms: waiting.time_ms,
                region: &self.text[waiting.organization_end..waiting.region_end],
                body: Body::Usage(&self.charges[charges_start..waiting.charges_end]),
            };
            (text_start, charges_start) = (waiting.region_end, waiting.charges_end);
            let Waiting { key, content, organization, offset, place, .. } = *waiting;
            visit(Known { event: &event, key, content, organization, offset, place })
        });
        self.events.clear();
        self.text.clear();
        self.charges.clear();
        visited
    }
}
