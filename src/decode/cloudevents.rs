//! CloudEvents 1.0 in JSON: structured mode (one event or an array of them) and binary mode (the
//! attributes in `ce_` headers, `data` as the record's value), as its Kafka protocol binding says.

use std::ops::Range;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fields::{Field, FoundFields, Node, Text, Tree, View};
use super::json::{Kind, Scanner};
use super::judge::{Data, Envelope, Judge, RawEvent};
use super::place::Place;
use super::rules::Locators;
use super::shapes::Shapes;
use super::time::Times;
use super::{Decoded, Raw, Visit, record};
use crate::event::{Charge, Headers, Reason, Record, Rules};

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
    fields: FoundFields,
    times: Times,
    /// What `data_base64` holds.
    data: Vec<u8>,
    shapes: Shapes,
    elements: Vec<Range<usize>>,
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
            fields: FoundFields::default(),
            times: Times::default(),
            data: Vec::new(),
            shapes,
            elements: Vec::new(),
            charges: Vec::new(),
        }
    }

    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    pub fn decode(&mut self, judge: &Judge, record: &Record<'_>, visit: Visit<'_>) {
        if is_binary(record.headers) {
            return self.binary(judge, record, &mut |decoded| visit(0, Raw::Whole, decoded));
        }
        let text = match std::str::from_utf8(record.value.unwrap_or_default()) {
            Ok(text) => text,
            Err(error) => {
                let detail = format!("not JSON: no UTF-8 from byte {} on", error.valid_up_to());
                return visit(0, Raw::Whole, malformed(detail));
            }
        };
        let mut elements = std::mem::take(&mut self.elements);
        let value = record::open(record.value, &mut self.shapes, &mut elements);
        record::each_object(value, &elements, &mut |index, raw, range| match range {
            Ok(range) => {
                self.structured(judge, record, &text[range], &mut |decoded| visit(index, raw, decoded))
            }
            Err(decoded) => visit(index, raw, decoded),
        });
        self.elements = elements;
    }

    fn structured(
        &mut self,
        judge: &Judge,
        record: &Record<'_>,
        text: &str,
        visit: &mut dyn FnMut(Decoded<'_>),
    ) {
        let Self { wanted, fields, times, shapes, data, charges, .. } = self;
        if let Err(invalid) = shapes.read_event(&wanted.tree, fields, text.as_bytes()) {
            return visit(malformed(format!("not JSON: {invalid}")));
        }
        data.clear();
        let view = View { fields, event: Text::Utf8(text), data: &[] };
        let inline = match view.value(wanted.data) {
            Field::Absent => Data::Absent,
            Field::Found((Kind::Object, _)) => Data::Object,
            Field::Found(_) | Field::Wrong => Data::Other,
            Field::Twice => Data::Broken("data is there twice"),
        };
        let encoded = match view.text(wanted.data_base64) {
            Field::Absent => inline,
            Field::Found(_) if inline != Data::Absent => Data::Broken("data and data_base64 are both there"),
            Field::Found(text) if BASE64.decode_vec(text, data).is_ok() => wanted.detached(fields, data),
            Field::Found(_) | Field::Wrong => Data::Broken("data_base64 is no base64 text"),
            Field::Twice => Data::Broken("data_base64 is there twice"),
        };
        let view = View { fields, event: Text::Utf8(text), data };
        visit(wanted.judge(judge, record, view, encoded, times, charges));
    }

    fn binary(&mut self, judge: &Judge, record: &Record<'_>, visit: &mut dyn FnMut(Decoded<'_>)) {
        let Self { wanted, fields, times, charges, .. } = self;
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
        visit(wanted.judge(judge, record, view, data, times, charges));
    }
}

impl Wanted {
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
    headers.each(&mut |name, value| {
        let is = |required: &&str| attribute(name).is_some_and(|name| name.eq_ignore_ascii_case(required));
        attributes |= REQUIRED.iter().any(is);
        if name.eq_ignore_ascii_case("content-type") {
            let media_type = value.unwrap_or_default().trim_ascii_start();
            structured =
                media_type.get(..STRUCTURED.len()).is_some_and(|it| it.eq_ignore_ascii_case(STRUCTURED));
        }
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
