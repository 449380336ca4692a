use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::json::{Document, Kind, Node, ROOT};
use super::verdict::{Data, RawEvent};
use super::{Field, Judged, NaiveReader, json, number, time};
use crate::event::{Headers, Record};

/// With padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether the attributes are in headers: one of those that every event has is there, and no
/// `content-type` says that the value holds them.
pub fn is_binary(headers: &dyn Headers) -> bool {
    let mut has_attributes = false;
    let mut is_structured = false;
    headers.each(&mut |name, value| {
        let name = name.to_ascii_lowercase();
        has_attributes |= ["ce_specversion", "ce_id", "ce_source", "ce_type"].contains(&name.as_str());
        if name == "content-type" {
            let value = value.unwrap_or_default().trim_ascii_start().to_ascii_lowercase();
            is_structured = value.starts_with(b"application/cloudevents");
        }
    });
    has_attributes && !is_structured
}

/// `data`, wherever it came from, with the object that its fields are looked for in.
struct Inner<'a> {
    data: Data,
    object: Field<(&'a Document<'a>, Node)>,
}

/// What one event's fields are looked up in.
struct Sources<'a> {
    attribute: &'a dyn Fn(&[String]) -> Found<'a>,
    inner: Inner<'a>,
}

/// A field's place: in a JSON text, or a header's text.
enum Found<'a> {
    Json(&'a Document<'a>, Field<Node>),
    Header(Field<String>),
}

impl Found<'_> {
    fn text(self) -> Field<String> {
        match self {
            Self::Json(document, field) => field.then(|node| document.text(node)),
            Self::Header(field) => field,
        }
    }

    fn integer<T: TryFrom<num_bigint::BigInt>>(self) -> Field<T> {
        match self {
            Self::Json(document, field) => field.then(|node| integer_at(document, node)),
            Self::Header(field) => field.then(|text| {
                let document = json::parse(text.as_bytes())?;
                let is_all = document.raw(ROOT).len() == text.len();
                is_all.then(|| integer_at(&document, ROOT)).flatten()
            }),
        }
    }

    fn boolean(self) -> Field<bool> {
        match self {
            Self::Json(document, field) => field.then(|node| match document.kind(node) {
                Kind::Bool(value) => Some(value),
                _ => None,
            }),
            Self::Header(field) => field.then(|_| None),
        }
    }
}

fn integer_at<T: TryFrom<num_bigint::BigInt>>(document: &Document<'_>, node: Node) -> Option<T> {
    let is_number = document.kind(node) == Kind::Number;
    let integer = is_number.then(|| number::integer(document.raw(node))).flatten()?;
    T::try_from(integer).ok()
}

impl Sources<'_> {
    /// A field by its path; what is under `data` may have come apart from the event.
    fn find(&self, path: &[String]) -> Found<'_> {
        match path {
            [first, rest @ ..] if first == "data" && !rest.is_empty() => match self.inner.object {
                Field::Found((document, object)) => Found::Json(document, document.find(object, rest)),
                Field::Twice => Found::Header(Field::Twice),
                Field::Absent | Field::Wrong => Found::Header(Field::Absent),
            },
            _ => (self.attribute)(path),
        }
    }

    fn at(&self, path: &str) -> Found<'_> {
        self.find(&path.split('.').map(str::to_owned).collect::<Vec<_>>())
    }
}

impl NaiveReader {
    pub(super) fn structured(&self, record: &Record<'_>, document: &Document<'_>, object: Node) -> Judged {
        let data = document.find(object, &["data"]);
        let encoded = document.find(object, &["data_base64"]);
        let bytes = encoded.clone().then(|node| document.text(node)).then(|text| BASE64.decode(text).ok());
        let detached = match &bytes {
            Field::Found(bytes) => json::parse(bytes),
            _ => None,
        };
        let inner = match (&data, &bytes) {
            (Field::Absent, Field::Found(bytes)) => detached_data(bytes, detached.as_ref()),
            (Field::Absent, Field::Absent) => Inner { data: Data::Absent, object: Field::Absent },
            (Field::Found(node), _) => {
                let is_object = document.kind(*node) == Kind::Object;
                let alone = if is_object { Data::Object } else { Data::Other };
                Inner {
                    data: if bytes == Field::Absent { alone } else { Data::Broken },
                    object: if is_object { Field::Found((document, *node)) } else { Field::Absent },
                }
            }
            (Field::Twice, _) => Inner { data: Data::Broken, object: Field::Twice },
            _ => Inner { data: Data::Broken, object: Field::Absent },
        };
        let attribute = |path: &[String]| Found::Json(document, document.find(object, path));
        self.cloudevent(record, &Sources { attribute: &attribute, inner })
    }

    pub(super) fn binary(&self, record: &Record<'_>) -> Judged {
        let value = record.value.unwrap_or_default();
        let document = json::parse(value);
        let inner = detached_data(value, document.as_ref());
        let attribute = |path: &[String]| {
            Found::Header(match path {
                [name, ..] if name == "data" || name == "data_base64" => Field::Absent,
                [name] => header(record.headers, name),
                // Headers have no members.
                [name, ..] if header(record.headers, name).is_twice() => Field::Twice,
                _ => Field::Absent,
            })
        };
        self.cloudevent(record, &Sources { attribute: &attribute, inner })
    }

    fn cloudevent(&self, record: &Record<'_>, sources: &Sources<'_>) -> Judged {
        let place = |place: &super::Place| {
            place.of_record(record.headers).unwrap_or_else(|| sources.find(place.path()).text())
        };
        let raw = RawEvent {
            specversion: sources.at("specversion").text(),
            event_type: sources.at("type").text(),
            source: sources.at("source").text(),
            id: sources.at("id").text(),
            time_ms: sources.at("time").text().then(|text| time::parse(&text)),
            organization: place(&self.organization),
            region: place(&self.region),
            region_is_data: self.region.path().first().is_some_and(|name| name == "data"),
            data: sources.inner.data,
            service: sources.at("data.service").text(),
            name: sources.at("data.name").text(),
            published: sources.at("data.published").boolean(),
            version: sources.at("data.version").integer(),
            quantity: sources.at("data.quantity").integer(),
            values: self
                .rules
                .meters
                .iter()
                .map(|meter| meter.value.as_ref().map_or(Field::Absent, |path| sources.at(path).integer()))
                .collect(),
        };
        self.judge_event(&raw, record.timestamp_ms)
    }
}

/// Data that came apart from its event: nothing, an object, or something without fields.
fn detached_data<'a>(bytes: &[u8], document: Option<&'a Document<'a>>) -> Inner<'a> {
    let first = bytes.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    let data = match document {
        _ if first.is_none() => Data::Absent,
        Some(document) if document.kind(ROOT) == Kind::Null => Data::Absent,
        Some(document) if document.kind(ROOT) == Kind::Object && std::str::from_utf8(bytes).is_ok() => {
            Data::Object
        }
        // What begins as an object and is none is damaged; anything else may be of any media type.
        _ if first == Some(&b'{') => Data::Broken,
        _ => Data::Other,
    };
    Inner { data, object: document.filter(|_| data == Data::Object).map(|document| (document, ROOT)).into() }
}

/// An attribute in a header; upper and lower case are the same.
fn header(headers: &dyn Headers, attribute: &str) -> Field<String> {
    let wanted = format!("ce_{attribute}").to_ascii_lowercase();
    let mut field = None;
    headers.each(&mut |name, value| {
        if name.to_ascii_lowercase() == wanted {
            let read = || match value.map(std::str::from_utf8) {
                None => Field::Absent,
                Some(Ok(text)) => Field::Found(text.to_owned()),
                Some(Err(_)) => Field::Wrong,
            };
            field = Some(if field.is_some() { Field::Twice } else { read() });
        }
    });
    field.unwrap_or(Field::Absent)
}
