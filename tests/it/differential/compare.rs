//! What the decoder that counts and the audit's naive one say of a record, to be compared.

use odometer::audit::naive::{
    Judged, NaiveBody, NaiveEvent, NaiveId, NaiveReader, content_hash, event_key, keyed_trace, placed_trace,
};
use odometer::decode::{Decoded, Decoder};
use odometer::event::{
    Aggregation, Body, Event, EventId, Format, Headers, Identifier, MeterRule, Outcome, Record, Rules, Trace,
};

struct HeaderList(Vec<(String, Option<Vec<u8>>)>);

impl Headers for HeaderList {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(header, _)| header == name)?.1.as_deref()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.iter().for_each(|(name, value)| visit(name, value.as_deref()));
    }
}

pub const TOPIC: &str = "gateway.eu.events";

fn rules(format: Format, organization: Option<&str>, region: Option<&str>) -> Rules {
    let meter = |name: &str, event_type: &str, value: Option<&str>, aggregation| MeterRule {
        name: name.into(),
        event_type: event_type.into(),
        value: value.map(Into::into),
        aggregation,
    };
    Rules {
        format,
        organization: organization.map(Into::into),
        region: region.map(Into::into),
        default_region: "us".into(),
        meters: vec![
            meter("tokens", "llm.completion", Some("data.tokens"), Aggregation::Sum),
            meter("completions", "llm.completion", None, Aggregation::Count),
            meter("peak", "api.request", Some("data.quantity"), Aggregation::Max),
            meter("bytes", "kong.api_request", Some("response.size"), Aggregation::Sum),
            meter("pings", "ping", None, Aggregation::Count),
            meter("attribute", "attributed", Some("amount"), Aggregation::Sum),
        ],
        dedup_window: 100,
        accept_past_ms: 35 * 86_400_000,
        accept_future_ms: 3_600_000,
        max_event_bytes: 4096,
    }
}

pub fn all_rules() -> Vec<Rules> {
    use Format::{Batch, Cloudevents, KafkaLog};
    let mut all = vec![
        rules(Cloudevents, None, None),
        rules(Cloudevents, Some("data.org"), Some("region")),
        rules(Cloudevents, Some("header:tenant"), Some("header:region")),
        rules(Cloudevents, Some("tenant.id"), Some(r"topic:^gateway\.([a-z]+)\.")),
        rules(KafkaLog, Some("konnect.org_id"), Some("konnect.geo")),
        rules(KafkaLog, Some(r"topic:^(\w+)\."), None),
        rules(KafkaLog, Some("header:tenant"), Some("header:region")),
        rules(Batch, None, None),
        rules(Batch, Some("header:tenant"), Some("region")),
    ];
    // Without the meters that every request must have a value for.
    let mut plain = all.clone();
    plain.iter_mut().for_each(|rules| {
        rules
            .meters
            .retain(|meter| !["api.request", "kong.api_request"].contains(&meter.event_type.as_str()));
    });
    all.extend(plain);
    all
}

/// What both say of one event.
#[derive(Debug, PartialEq)]
enum Said {
    Event { event: Box<NaiveEvent>, key: u128, content: u64, trace: u128 },
    Rejected(u128, odometer::event::Reason),
    Ignored(u128),
}

fn naive_says(rules: &Rules, record: &Record<'_>) -> Vec<Said> {
    let reader = NaiveReader::new(TOPIC, rules).expect("rules are sound");
    let placed = |index, outcome| placed_trace(record.offset, index, outcome);
    (0..)
        .zip(reader.read(record))
        .map(|(index, part)| match part.judged {
            Judged::Event(event) => {
                let (key, content) = (event_key(&event), content_hash(&event));
                let trace = keyed_trace(key, content, Outcome::Counted);
                Said::Event { event, key, content, trace }
            }
            Judged::Rejected(reason) => Said::Rejected(placed(index, Outcome::Rejected(reason)), reason),
            Judged::Ignored(why) => Said::Ignored(placed(index, Outcome::Ignored(why))),
        })
        .collect()
}

fn decoder_says(rules: &Rules, record: &Record<'_>) -> Vec<Said> {
    let mut decoder = Decoder::new(TOPIC, rules).expect("rules are sound");
    let meters: Vec<_> = decoder.meters().to_vec();
    let mut identifier = Identifier::default();
    let mut said = Vec::new();
    decoder.decode(record, &mut |index, _, decoded| {
        assert_eq!(index as usize, said.len());
        let placed = |outcome| Trace::Placed { offset: record.offset, index }.hash(outcome);
        said.push(match decoded {
            Decoded::Event(event) => {
                let key = identifier.key(&event);
                let content = identifier.content(&event, |meter| &meters[usize::from(meter.0)].name);
                let trace = Trace::Keyed(key, content).hash(Outcome::Counted);
                Said::Event { event: Box::new(plain(&event, &meters)), key: key.0, content: content.0, trace }
            }
            Decoded::Rejected { reason, .. } => Said::Rejected(placed(Outcome::Rejected(reason)), reason),
            Decoded::Ignored(why) => Said::Ignored(placed(Outcome::Ignored(why))),
        });
    });
    said
}

/// Everything that a decoder says of a record, with what a dead letter would hold.
fn all_said(decoder: &mut Decoder, record: &Record<'_>) -> Vec<(u32, String, Vec<u8>)> {
    let mut said = Vec::new();
    decoder.decode(record, &mut |index, raw, decoded| {
        let letter = match decoded {
            Decoded::Rejected { .. } => raw.encode_alone(record),
            _ => Vec::new(),
        };
        said.push((index, format!("{decoded:?}"), letter));
    });
    said
}

/// A decoder that has read other records says what one that reads everything in full says.
pub fn agree_in_full(
    decoder: &mut Decoder,
    in_full: &mut Decoder,
    value: &[u8],
    headers: &[(String, Option<Vec<u8>>)],
) {
    let headers = HeaderList(headers.to_vec());
    let record = Record {
        topic: TOPIC,
        partition: 0,
        offset: 77,
        timestamp_ms: None,
        key: None,
        value: Some(value),
        headers: &headers,
    };
    let (said, full) = (all_said(decoder, &record), all_said(in_full, &record));
    assert_eq!(said, full, "on {}, headers {:?}", String::from_utf8_lossy(value), headers.0);
}

fn plain(event: &Event<'_>, meters: &[odometer::decode::Meter]) -> NaiveEvent {
    NaiveEvent {
        organization: event.organization.into(),
        source: event.source.into(),
        id: match event.id {
            EventId::Text(id) => NaiveId::Text(id.into()),
            EventId::Hash(hash) => NaiveId::Hash(hash),
        },
        time_ms: event.time_ms,
        region: event.region.into(),
        body: match &event.body {
            Body::Usage(charges) => NaiveBody::Usage(
                charges
                    .iter()
                    .map(|charge| {
                        let meter = &meters[usize::from(charge.meter.0)];
                        (meter.name.to_string(), meter.aggregation, charge.quantity)
                    })
                    .collect(),
            ),
            Body::Service(change) => NaiveBody::Service {
                service: change.service.into(),
                event_type: change.action.event_type().into(),
                name: change.name.map(Into::into),
                published: change.published,
                version: change.version,
            },
        },
    }
}

pub fn agree(
    rules: &Rules,
    value: Option<&[u8]>,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_ms: Option<i64>,
) {
    let headers = HeaderList(headers);
    let record =
        Record { topic: TOPIC, partition: 0, offset: 77, timestamp_ms, key: None, value, headers: &headers };
    let (counted, audited) = (decoder_says(rules, &record), naive_says(rules, &record));
    let shown = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    assert_eq!(
        counted, audited,
        "decoder and audit differ under {rules:?} on {shown}, headers {:?}",
        headers.0
    );
}
