use xxhash_rust::xxh3::xxh3_128;

use super::json::{Document, Kind, Node};
use super::verdict::RawRequest;
use super::{Field, Judged, NaiveReader, Place, number};
use crate::event::Record;

impl NaiveReader {
    pub(super) fn request(&self, record: &Record<'_>, document: &Document<'_>, object: Node) -> Judged {
        let find = |path: &str| document.find(object, &path.split('.').collect::<Vec<_>>());
        let text_at = |place: &Place| {
            let in_event = || document.find(object, place.path()).then(|node| document.text(node));
            place.of_record(record.headers).unwrap_or_else(in_event)
        };
        let raw = RawRequest {
            organization: text_at(&self.organization),
            region: text_at(&self.region),
            id: find("request.id").then(|node| document.text(node)),
            hash: xxh3_128(document.raw(object)),
            time_ms: find("started_at").then(|node| milliseconds(document, node)),
            routed: find("service").then(|node| is_routed(document, node)),
            values: self
                .rules
                .meters
                .iter()
                .map(|meter| match &meter.value {
                    Some(path) => find(path).then(|node| quantity(document, node)),
                    None => Field::Absent,
                })
                .collect(),
        };
        self.judge_request(&raw, record.timestamp_ms)
    }
}

/// Any number is a time; what is finer than a millisecond is cut off, what is beyond an i64 stays as
/// far away as one can be.
fn milliseconds(document: &Document<'_>, node: Node) -> Option<i64> {
    if document.kind(node) != Kind::Number {
        return None;
    }
    let (floor, _) = number::floor(document.raw(node))?;
    let is_past = floor.sign() == num_bigint::Sign::Minus;
    Some(i64::try_from(floor).unwrap_or(if is_past { i64::MIN } else { i64::MAX }))
}

fn quantity(document: &Document<'_>, node: Node) -> Option<u64> {
    let is_number = document.kind(node) == Kind::Number;
    u64::try_from(is_number.then(|| number::integer(document.raw(node))).flatten()?).ok()
}

/// Whether `service` names one; `None` where it is nothing that could.
fn is_routed(document: &Document<'_>, node: Node) -> Option<bool> {
    let children = document.children(node);
    match document.kind(node) {
        Kind::String => Some(document.raw(node) != b"\"\""),
        Kind::Object => Some(children.iter().any(|&child| document.kind(child) != Kind::Null)),
        Kind::Array if children.is_empty() => Some(false),
        _ => None,
    }
}
