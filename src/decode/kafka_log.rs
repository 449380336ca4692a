//! One request per JSON object, as API gateways' kafka-log plugins send it. Nothing but the fields
//! named here is looked at, since the rest comes and goes by version and need not be UTF-8.

use super::fields::{Field, Node, Text, Tree, View};
use super::json::{Kind, Scanner};
use super::judge::{Envelope, Judge, RawRequest};
use super::place::Place;
use super::record::{Events, Found};
use super::rules::Locators;
use super::shapes::Shapes;
use super::{Decoded, Visit};
use crate::event::{Charge, Record, Rules};

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub(super) struct Reader {
    tree: Tree,
    fields: Wanted,
    events: Events,
    charges: Vec<Charge>,
}

/// The fields that are read, and where they are.
#[derive(Debug)]
struct Wanted {
    id: Node,
    started_at: Node,
    service: Node,
    organization: Place,
    region: Place,
    /// Of the configured meters, in order.
    values: Vec<Option<Node>>,
}

impl Reader {
    pub fn new(rules: &Rules, locators: Locators, shapes: Shapes) -> Self {
        let mut tree = Tree::default();
        let fields = Wanted {
            id: tree.want("request.id"),
            started_at: tree.want("started_at"),
            service: tree.want("service"),
            organization: Place::new(locators.organization, &mut tree),
            region: Place::new(locators.region, &mut tree),
            values: rules.meters.iter().map(|meter| Some(tree.want(meter.value.as_deref()?))).collect(),
        };
        Self { tree, fields, events: Events::new(shapes), charges: Vec::new() }
    }

    pub fn shapes(&self) -> &Shapes {
        self.events.shapes()
    }

    pub fn decode(&mut self, judge: &Judge, record: &Record<'_>, visit: Visit<'_>) {
        let Self { tree, fields, events, charges } = self;
        let value = record.value.unwrap_or_default();
        events.each(tree, record.value, |index, raw, found| match found {
            Ok(Found { fields: found, source, text }) => {
                let view = View { fields: found, event: Text::Bytes(&value[source]), data: &[] };
                visit(index, raw, fields.judge(judge, record, view, &value[text], charges));
            }
            Err(decoded) => visit(index, raw, decoded),
        });
    }
}

impl Wanted {
    fn judge<'a>(
        &'a self,
        judge: &'a Judge,
        record: &Record<'a>,
        view: View<'a>,
        text: &'a [u8],
        charges: &'a mut Vec<Charge>,
    ) -> Decoded<'a> {
        let raw = RawRequest {
            envelope: Envelope {
                organization: self.organization.read(record, view),
                region: self.region.read(record, view),
                id: view.text(self.id),
                time_ms: view.number(self.started_at).and_then(|number| Some(clamp(number.floor))),
                recorded_ms: record.timestamp_ms,
            },
            routed: view.value(self.service).and_then(|(kind, bytes)| is_routed(kind, bytes)),
            text,
        };
        let values = |meter: usize| self.values[meter].map_or(Field::Absent, |node| view.integer(node));
        judge.request(&raw, &values, charges)
    }
}

/// Times that far away are too old or too new whatever they are exactly.
fn clamp(floor: i128) -> i64 {
    i64::try_from(floor).unwrap_or(if floor < 0 { i64::MIN } else { i64::MAX })
}

/// Whether `service` says that the request matched one; `None` where it says nothing that a gateway
/// sends. Some encoders write an empty object as `[]`, and what is not there as null.
fn is_routed(kind: Kind, bytes: &[u8]) -> Option<bool> {
    match kind {
        Kind::String => Some(!bytes.is_empty()),
        Kind::Object => Some(has_member(bytes)),
        Kind::Array if is_empty_array(bytes) => Some(false),
        Kind::Null | Kind::True | Kind::False | Kind::Number | Kind::Array => None,
    }
}

/// Whether a valid object has a member that is not null. Its name and value are looked at again, but
/// not those behind it.
fn has_member(object: &[u8]) -> bool {
    let mut scanner = Scanner::new(object);
    let mut found = false;
    let _ = scanner.members(|scanner, _| {
        found = scanner.value()?.kind != Kind::Null;
        if found { Err(scanner.stopped()) } else { Ok(()) }
    });
    found
}

fn is_empty_array(array: &[u8]) -> bool {
    Scanner::new(array).elements(|scanner| scanner.value().map(drop)).is_ok()
        && array[1..array.len() - 1].trim_ascii().is_empty()
}
