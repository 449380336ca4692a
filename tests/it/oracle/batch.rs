//! bincode 2, standard configuration, read by hand: variable-length integers, little endian.

use super::{Rules, Sound, Verdict, What, is_region};

const MAX_QUANTITY: u64 = (1 << 53) - 1;

pub fn read(rules: &Rules, value: &[u8]) -> Vec<Verdict> {
    match events(&mut Reader { bytes: value }) {
        Some(events) if events.is_empty() => vec![Verdict::Ignored("empty")],
        Some(events) => events.into_iter().map(|event| one(rules, event)).collect(),
        None => vec![Verdict::Rejected("malformed")],
    }
}

struct Event {
    organization: String,
    source: String,
    id: String,
    event_type: String,
    time_ms: i64,
    region: Option<String>,
    service: Option<String>,
    published: Option<bool>,
    version: Option<i64>,
    quantity: Option<u64>,
}

fn events(reader: &mut Reader<'_>) -> Option<Vec<Event>> {
    let count = reader.unsigned()?;
    let events = (0..count).map(|_| event(reader)).collect::<Option<Vec<_>>>()?;
    reader.bytes.is_empty().then_some(events)
}

fn event(reader: &mut Reader<'_>) -> Option<Event> {
    let (organization, source, id, event_type) =
        (reader.text()?, reader.text()?, reader.text()?, reader.text()?);
    let time_ms = reader.signed()?;
    let region = reader.option(Reader::text)?;
    let service = reader.option(Reader::text)?;
    let _name = reader.option(Reader::text)?;
    let published = reader.option(Reader::flag)?;
    let version = reader.option(Reader::signed)?;
    let quantity = reader.option(Reader::unsigned)?;
    Some(Event {
        organization,
        source,
        id,
        event_type,
        time_ms,
        region,
        service,
        published,
        version,
        quantity,
    })
}

fn one(rules: &Rules, event: Event) -> Verdict {
    let region = event.region.unwrap_or_else(|| rules.default_region.to_owned());
    if event.source.is_empty() || !is_region(&region) {
        return Verdict::Rejected("malformed");
    }
    if event.organization.is_empty() {
        return Verdict::Rejected("missing_organization");
    }
    if event.id.is_empty() {
        return Verdict::Rejected("missing_id");
    }
    let what = match event.event_type.as_str() {
        "api.request" | "kong.api_request" => match event.quantity {
            Some(quantity) if quantity > MAX_QUANTITY => return Verdict::Rejected("bad_quantity"),
            quantity => What::Usage { meter: "api_calls".to_owned(), quantity: quantity.unwrap_or(1) },
        },
        "service.created"
        | "service.updated"
        | "service.published"
        | "service.unpublished"
        | "service.deleted" => {
            let Some(service) = event.service.filter(|service| !service.is_empty()) else {
                return Verdict::Rejected("bad_service");
            };
            let version = event.version.unwrap_or(event.time_ms);
            What::Service { service, event_type: event.event_type, published: event.published, version }
        }
        _ => return Verdict::Ignored("unknown_type"),
    };
    Verdict::Sound(Sound {
        organization: event.organization,
        source: event.source,
        id: event.id,
        time_ms: event.time_ms,
        region,
        what,
    })
}

pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let length = match self.take(1)? {
            [small @ 0..=250] => return Some(u64::from(*small)),
            [251] => 2,
            [252] => 4,
            [253] => 8,
            _ => return None,
        };
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(self.take(length)?);
        Some(u64::from_le_bytes(bytes))
    }

    /// Zigzag: 0, -1, 1, -2, …
    pub(super) fn signed(&mut self) -> Option<i64> {
        let zigzag = self.unsigned()?;
        Some((zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }

    fn flag(&mut self) -> Option<bool> {
        match self.take(1)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    pub(super) fn option<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }
}
