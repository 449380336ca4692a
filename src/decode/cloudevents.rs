//! CloudEvents 1.0 in JSON: structured mode (one event or an array of them) and binary mode (the
//! attributes in `ce_` headers, `data` as the record's value), as its Kafka protocol binding says.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fields::{Field, FoundFields, Node, Text, Tree, View};
use super::json::{self, Kind, Scanner};
use super::judge::{Data, Envelope, Judge, Ordinary, RawEvent};
use super::place::Place;
use super::record::{Events, Found};
use super::rules::Locators;
use super::shapes::Shapes;
use super::time::Times;
use super::{Decoded, Raw, Visit};
use crate::event::{Charge, Event, Headers, Reason, Record, Rules};

#[cfg(test)]
mod tests;

/// Padding may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug)]
pub(super) struct Reader {
    wanted: Wanted,
    events: Events,
    /// Of events in binary mode.
    fields: FoundFields,
    buffers: Buffers,
}

/// What is used again from event to event.
#[derive(Debug, Default)]
struct Buffers {
    /// What `data_base64` holds.
    data: Vec<u8>,
    times: Times,
    charges: Vec<Charge>,
}

/// The fields that are read, and where they are.
#[derive(Debug)]
struct Wanted {
    tree: Tree,
    specversion: Node,
    id: Node,
    source: Node,
    event_type: Node,
    time: Node,
    data: Node,
    data_base64: Node,
    service: Node,
    name: Node,
    published: Node,
    version: Node,
    quantity: Node,
    organization: Place,
    region: Place,
    /// Of the configured meters, in order.
    values: Vec<Option<Node>>,
}

impl Wanted {
    fn new(rules: &Rules, locators: Locators) -> Self {
        let mut tree = Tree::default();
        Self {
            specversion: tree.want("specversion"),
            id: tree.want("id"),
            source: tree.want("source"),
            event_type: tree.want("type"),
            time: tree.want("time"),
            data: tree.want("data"),
            data_base64: tree.want("data_base64"),
            service: tree.want("data.service"),
            name: tree.want("data.name"),
            published: tree.want("data.published"),
            version: tree.want("data.version"),
            quantity: tree.want("data.quantity"),
            organization: Place::new(locators.organization, &mut tree),
            region: Place::new(locators.region, &mut tree),
            values: rules.meters.iter().map(|meter| Some(tree.want(meter.value.as_deref()?))).collect(),
            tree,
        }
    }
}

impl Reader {
    pub fn new(rules: &Rules, locators: Locators, shapes: Shapes) -> Self {
        Self {
            wanted: Wanted::new(rules, locators),
            events: Events::new(shapes),
            fields: FoundFields::default(),
            buffers: Buffers::default(),
        }
    }

    pub fn shapes(&self) -> &Shapes {
        self.events.shapes()
    }

    pub fn decode(&mut self, judge: &Judge, record: &Record<'_>, visit: Visit<'_>) {
        if is_binary(record.headers) {
            return self.binary(judge, record, &mut |decoded| visit(0, Raw::Whole, decoded));
        }
        let bytes = record.value.unwrap_or_default();
        let text = match json::ascii(bytes).map_or_else(|| std::str::from_utf8(bytes), Ok) {
            Ok(text) => text,
            Err(error) => {
                let detail = format!("not JSON: no UTF-8 from byte {} on", error.valid_up_to());
                return visit(0, Raw::Whole, malformed(detail));
            }
        };
        let Self { wanted, events, buffers, .. } = self;
        let is_quick = events.shapes().are_learned();
        events.each(&wanted.tree, record.value, |index, raw, found| match found {
            Ok(Found { fields, source, .. }) => {
                let text = &text[source];
                let view = View { fields, event: Text::Utf8(text), data: &[] };
                let ordinary = if is_quick { wanted.ordinary(judge, record, view, buffers) } else { None };
                match ordinary {
                    Some(event) => visit(index, raw, Decoded::Event(event)),
                    None => visit(index, raw, wanted.structured(judge, record, fields, text, buffers)),
                }
            }
            Err(decoded) => visit(index, raw, decoded),
        });
    }

    fn binary(&mut self, judge: &Judge, record: &Record<'_>, visit: &mut dyn FnMut(Decoded<'_>)) {
        let Self { wanted, fields, buffers, .. } = self;
        fields.clear(&wanted.tree);
        record.headers.each(&mut |name, value| {
            let node = attribute(name).and_then(|name| wanted.tree.top_ignoring_case(name));
            if let Some(node) = node.filter(|node| ![wanted.data, wanted.data_base64].contains(node)) {
                fields.put_header(&wanted.tree, node, value);
            }
        });
        let value = record.value.unwrap_or_default();
        let data = wanted.detached(fields, value);
        let view = View { fields, event: Text::Bytes(&[]), data: value };
        visit(wanted.judge(judge, record, view, data, &mut buffers.times, &mut buffers.charges));
    }
}

impl Wanted {
    /// An event whose fields lie in `text`.
    fn structured<'a>(
        &'a self,
        judge: &'a Judge,
        record: &Record<'a>,
        fields: &'a mut FoundFields,
        text: &'a str,
        buffers: &'a mut Buffers,
    ) -> Decoded<'a> {
        let Buffers { data, times, charges } = buffers;
        data.clear();
        let view = View { fields, event: Text::Utf8(text), data: &[] };
        let inline = match view.value(self.data) {
            Field::Absent => Data::Absent,
            Field::Found((Kind::Object, _)) => Data::Object,
            Field::Found(_) | Field::Wrong => Data::Other,
            Field::Twice => Data::Broken("data is there twice"),
        };
        let encoded = match view.text(self.data_base64) {
            Field::Absent => inline,
            Field::Found(_) if inline != Data::Absent => Data::Broken("data and data_base64 are both there"),
            Field::Found(text) if BASE64.decode_vec(text, data).is_ok() => self.detached(fields, data),
            Field::Found(_) | Field::Wrong => Data::Broken("data_base64 is no base64 text"),
            Field::Twice => Data::Broken("data_base64 is there twice"),
        };
        let view = View { fields, event: Text::Utf8(text), data };
        self.judge(judge, record, view, encoded, times, charges)
    }

    /// Reads data that came apart from its event.
    fn detached(&self, fields: &mut FoundFields, data: &[u8]) -> Data {
        let mut scanner = Scanner::new(data);
        match scanner.next_byte() {
            None => Data::Absent,
            Some(b'{') => {
                let read = fields.read_data(&self.tree, self.data, data);
                if read.is_ok() && std::str::from_utf8(data).is_ok() {
                    return Data::Object;
                }
                fields.forget_below(&self.tree, self.data);
                Data::Broken("data is not JSON")
            }
            Some(_) => match scanner.value() {
                Ok(value) if value.kind == Kind::Null && scanner.end().is_ok() => Data::Absent,
                _ => Data::Other,
            },
        }
    }

    /// An ordinary request, all of whose fields stand as they are in the event's text; `None` for all else.
    #[inline(always)]
    fn ordinary<'a>(
        &'a self,
        judge: &'a Judge,
        record: &Record<'a>,
        view: View<'a>,
        buffers: &'a mut Buffers,
    ) -> Option<Event<'a>> {
        let optional = |node: Node| if view.is_empty(node) { Some(None) } else { view.plain(node).map(Some) };
        let is_request = view.plain(self.specversion)? == "1.0"
            && view.is_object(self.data)
            && view.is_empty(self.data_base64)
            && optional(self.service).is_some();
        if !is_request {
            return None;
        }
        let quantity = if view.is_empty(self.quantity) { 1 } else { view.plain_number(self.quantity)? };
        let ordinary = Ordinary {
            event_type: view.plain(self.event_type)?,
            organization: view.plain(self.organization.node()?)?,
            source: view.plain(self.source)?,
            id: view.plain(self.id)?,
            region: optional(self.region.node()?)?,
            time_ms: buffers.times.parse(view.plain(self.time)?)?,
            recorded_ms: record.timestamp_ms,
            quantity,
        };
        judge.ordinary(&ordinary, &mut buffers.charges)
    }

    fn judge<'a>(
        &'a self,
        judge: &'a Judge,
        record: &Record<'a>,
        view: View<'a>,
        data: Data,
        times: &mut Times,
        charges: &'a mut Vec<Charge>,
    ) -> Decoded<'a> {
        let raw = RawEvent {
            envelope: Envelope {
                organization: self.organization.read(record, view),
                region: self.region.read(record, view),
                id: view.text(self.id),
                time_ms: view.text(self.time).and_then(|text| times.parse(text)),
                recorded_ms: record.timestamp_ms,
            },
            specversion: view.text(self.specversion),
            source: view.text(self.source),
            event_type: view.text(self.event_type),
            data,
            region_in_data: self.region.is_in_data(),
            service: view.text(self.service),
            name: view.text(self.name),
            published: view.boolean(self.published),
            version: view.integer(self.version),
            quantity: view.integer(self.quantity),
        };
        judge.event(
            &raw,
            &|meter| self.values[meter].map_or(Field::Absent, |node| view.integer(node)),
            charges,
        )
    }
}

/// Whether the attributes are in the headers. A `content-type` of CloudEvents says that the value
/// holds them; else any of the attributes that every event has says that they are headers.
fn is_binary(headers: &dyn Headers) -> bool {
    const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
    const STRUCTURED: &[u8] = b"application/cloudevents";
    let (mut attributes, mut structured) = (false, false);
    headers.each(&mut |name, value| match attribute(name) {
        Some(name) => attributes |= REQUIRED.iter().any(|required| name.eq_ignore_ascii_case(required)),
        None if name.eq_ignore_ascii_case("content-type") => {
            let media_type = value.unwrap_or_default().trim_ascii_start();
            structured =
                media_type.get(..STRUCTURED.len()).is_some_and(|it| it.eq_ignore_ascii_case(STRUCTURED));
        }
        None => {}
    });
    attributes && !structured
}

/// The attribute's name in a header's, such as `id` in `ce_id`. Clients differ in upper and lower
/// case.
fn attribute(header: &str) -> Option<&str> {
    let (prefix, name) = header.split_at_checked(3)?;
    prefix.eq_ignore_ascii_case("ce_").then_some(name)
}

fn malformed(detail: String) -> Decoded<'static> {
    Decoded::Rejected { reason: Reason::Malformed, detail: detail.into() }
}
