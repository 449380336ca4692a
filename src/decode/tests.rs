//! What the tests of all formats share, and what holds between formats.

use std::fmt::Write;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;
use crate::event::{Body, EventId, Headers, MeterRule};

/// 2026-11-23T18:30:00Z.
pub(super) const RECORDED_MS: i64 = 1_795_458_600_000;
const DAY_MS: i64 = 86_400_000;

/// `us`, 35 days back, an hour ahead, values up to 8 KiB.
pub(super) fn rules(format: Format) -> Rules {
    Rules {
        format,
        organization: (format == Format::KafkaLog).then(|| "konnect.org_id".to_owned()),
        region: (format == Format::KafkaLog).then(|| "konnect.geo".to_owned()),
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: 1,
        accept_past_ms: 35 * DAY_MS,
        accept_future_ms: 3_600_000,
        max_event_bytes: 8192,
    }
}

pub(super) fn meter(
    name: &str,
    event_type: &str,
    aggregation: Aggregation,
    value: Option<&str>,
) -> MeterRule {
    MeterRule {
        name: name.to_owned(),
        event_type: event_type.to_owned(),
        value: value.map(str::to_owned),
        aggregation,
    }
}

pub(super) fn decoder(rules: &Rules) -> Decoder {
    Decoder::new("gateway.events", rules).expect("the rules are good")
}

/// A record of a test's own.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp_ms: Option<i64>,
}

impl Headers for Sample {
    fn get(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().rfind(|(it, _)| it == name)?.1.as_deref()
    }

    fn each(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in &self.headers {
            visit(name, value.as_deref());
        }
    }
}

impl Sample {
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), headers: Vec::new(), timestamp_ms: Some(RECORDED_MS) }
    }

    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), Some(value.into())));
        self
    }

    pub fn record(&self) -> Record<'_> {
        Record {
            topic: "gateway.events",
            partition: 0,
            offset: 0,
            timestamp_ms: self.timestamp_ms,
            key: None,
            value: self.value.as_deref(),
            headers: self,
        }
    }
}

/// One line per event, such as `counted acme /gateways/us-1 id-1 2026-11-23T18:00:00Z us api_calls=1`.
pub(super) fn outcomes(decoder: &mut Decoder, sample: &Sample) -> Vec<String> {
    let meters = decoder.meters().to_vec();
    let mut lines = Vec::new();
    decoder.decode(&sample.record(), &mut |index, _, decoded| {
        assert_eq!(index as usize, lines.len(), "each event once, in order");
        lines.push(line(&meters, &decoded));
    });
    assert!(!lines.is_empty(), "every record has an event");
    lines
}

/// The outcome of a record that holds one event.
pub(super) fn outcome(decoder: &mut Decoder, sample: &Sample) -> String {
    let lines = outcomes(decoder, sample);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().expect("one line")
}

fn line(meters: &[Meter], decoded: &Decoded<'_>) -> String {
    let event = match decoded {
        Decoded::Rejected { reason, detail } => {
            assert!(!detail.is_empty());
            return format!("rejected {reason}");
        }
        Decoded::Ignored(why) => return format!("ignored {}", why.as_str()),
        Decoded::Event(event) => event,
    };
    let time = jiff::Timestamp::from_millisecond(event.time_ms).expect("an accepted time");
    let id = match event.id {
        EventId::Text(id) => format!("{id:?}").trim_matches('"').to_owned(),
        EventId::Hash(hash) => format!("#{hash:032x}"),
    };
    let source = if event.source.is_empty() { "-" } else { event.source };
    let mut line = format!("counted {} {source} {id} {time} {}", event.organization, event.region);
    match &event.body {
        Body::Usage(charges) => {
            assert!(!charges.is_empty() && charges.is_sorted_by_key(|charge| charge.meter));
            for charge in *charges {
                write!(line, " {}={}", meters[usize::from(charge.meter.0)].name, charge.quantity)
                    .expect("a string");
            }
        }
        Body::Service(change) => {
            write!(line, " {} {}", change.action.event_type(), change.service).expect("a string");
            write!(line, " version={} published={:?}", change.version, change.published).expect("a string");
            write!(line, " name={:?}", change.name).expect("a string");
        }
    }
    line
}

/// Each event's part of a record, decoded alone, ends as it did within the record.
fn alone(rules: &Rules, sample: &Sample) -> Vec<String> {
    let mut parts = Vec::new();
    decoder(rules).decode(&sample.record(), &mut |_, raw, _| parts.push(raw.encode_alone(&sample.record())));
    let mut decoder = decoder(rules);
    parts
        .into_iter()
        .map(|part| outcome(&mut decoder, &Sample { value: Some(part), ..sample.clone() }))
        .collect()
}

const FORMATS: [Format; 3] = [Format::Cloudevents, Format::KafkaLog, Format::Batch];

#[test]
fn an_event_alone_ends_as_it_did_in_its_record() {
    for format in FORMATS {
        let rules = fixtures::fixture_rules(format);
        for (file, sample) in fixtures::samples(format) {
            let within = outcomes(&mut decoder(&rules), &sample);
            assert_eq!(within, alone(&rules, &sample), "{file}");
        }
    }
}

/// What was the same for long is passed over as constant: alone, and in arrays, where each event begins
/// elsewhere. Any byte may be another then.
#[test]
fn constants_that_break_are_read_as_if_nothing_was_learned() {
    let rules = rules(Format::Cloudevents);
    let event = |id: usize| {
        format!(
            r#"{{"specversion":"1.0","id":"id-{id}","source":"/s","type":"api.request","subject":"acme","time":"2026-11-23T18:00:00Z","data":{{"region":"us","quantity":12,"other":[1]}}}}"#
        )
    };
    let mut learned = decoder(&rules);
    for id in 0..200 {
        outcomes(&mut learned, &Sample::new(event(id)));
        outcomes(&mut learned, &Sample::new(format!("[{},{}]", event(id), event(id + 1))));
    }
    let good = event(7);
    for at in 0..good.len() {
        for byte in *b"\"\\0x}],: \xff" {
            let mut broken = good.clone().into_bytes();
            broken[at] = byte;
            let array = [b"[", good.as_bytes(), b",", &broken, b",", good.as_bytes(), b"]"].concat();
            for value in [broken, array] {
                let sample = Sample::new(value);
                let expected = outcomes(&mut decoder(&rules), &sample);
                assert_eq!(outcomes(&mut learned, &sample), expected, "{byte:#x} at {at}");
            }
        }
    }
}

/// What a dead letter says is written by us: nothing of the record is in it.
#[test]
fn no_detail_quotes_the_record() {
    let secret = "sEcReT";
    let values = [
        format!(r#"{{"specversion":"{secret}","id":"{secret}","source":"s","type":"t"}}"#),
        format!(
            r#"{{"specversion":"1.0","id":"{secret}","source":"s","type":"api.request","time":"{secret}","subject":"{secret}","data":{{"quantity":"{secret}","region":"us"}}}}"#
        ),
        format!(
            r#"{{"konnect":{{"org_id":"{secret}","geo":"{secret}"}},"started_at":"{secret}","service":1}}"#
        ),
        format!(r#"{{"{secret}":{secret}}}"#),
        format!(r#"[{{"{secret}":"\q{secret}"}}]"#),
        secret.to_owned(),
    ];
    for format in FORMATS {
        let mut decoder = decoder(&fixtures::fixture_rules(format));
        for value in &values {
            decoder.decode(&Sample::new(value.as_bytes()).record(), &mut |_, _, decoded| {
                let Decoded::Rejected { detail, .. } = decoded else { panic!("{value} is not rejected") };
                assert!(!detail.contains(secret), "{detail}");
            });
        }
    }
}

/// One event's fields, for writing it in every form that there is.
#[derive(Clone, Debug)]
struct Form {
    organization: String,
    source: String,
    id: String,
    event_type: String,
    time_ms: i64,
    region: Option<String>,
    service: Option<String>,
    name: Option<String>,
    published: Option<bool>,
    version: Option<i64>,
    quantity: Option<u64>,
}

fn form() -> impl Strategy<Value = Form> {
    let types = [
        "api.request",
        "kong.api_request",
        "service.created",
        "service.updated",
        "service.published",
        "service.unpublished",
        "service.deleted",
        "llm.completion",
        "other",
        "",
    ];
    let attributes = (
        "|acme|[a-z\"\\\\é🚀/ ]{1,8}",
        "|/gw|[a-z\"\\\\é/]{1,8}",
        "|[a-z0-9\"\\\\é/\n-]{1,12}",
        prop::sample::select(types.to_vec()),
        prop_oneof![RECORDED_MS - 40 * DAY_MS..RECORDED_MS + 7_200_000, 0..5_000_000_000_000_i64],
    );
    let texts = || prop::option::of("|[a-z\"é]{1,6}");
    let region = prop::option::of(prop_oneof![Just("eu".to_owned()), Just("us".to_owned()), "[a-zE_-]{0,4}"]);
    let quantity = prop::option::of(prop_oneof![0..1000_u64, any::<u64>()]);
    let data = (region, texts(), texts(), any::<Option<bool>>(), any::<Option<i64>>(), quantity);
    (attributes, data).prop_map(|((organization, source, id, event_type, time_ms), data)| {
        let (region, service, name, published, version, quantity) = data;
        let event_type = event_type.to_owned();
        Form {
            organization,
            source,
            id,
            event_type,
            time_ms,
            region,
            service,
            name,
            published,
            version,
            quantity,
        }
    })
}

impl Form {
    fn data(&self) -> serde_json::Value {
        serde_json::json!({
            "region": self.region, "service": self.service, "name": self.name,
            "published": self.published, "version": self.version, "quantity": self.quantity,
        })
    }

    fn attributes(&self) -> [(&'static str, String); 6] {
        let time = jiff::Timestamp::from_millisecond(self.time_ms).expect("in range").to_string();
        [
            ("specversion", "1.0".to_owned()),
            ("id", self.id.clone()),
            ("source", self.source.clone()),
            ("type", self.event_type.clone()),
            ("time", time),
            ("subject", self.organization.clone()),
        ]
    }

    fn structured(&self, data: (&str, serde_json::Value)) -> String {
        let mut event = serde_json::Map::new();
        event.extend(self.attributes().map(|(name, value)| (name.to_owned(), value.into())));
        event.insert(data.0.to_owned(), data.1);
        serde_json::Value::Object(event).to_string()
    }

    fn binary(&self) -> Sample {
        let value = Sample::new(self.data().to_string());
        self.attributes()
            .into_iter()
            .fold(value, |sample, (name, value)| sample.header(&format!("ce_{name}"), value))
    }

    fn compact(&self) -> Vec<u8> {
        encode_batch(&[CompactEvent {
            organization: &self.organization,
            source: &self.source,
            id: &self.id,
            event_type: &self.event_type,
            time_ms: self.time_ms,
            region: self.region.as_deref(),
            service: self.service.as_deref(),
            name: self.name.as_deref(),
            published: self.published,
            version: self.version,
            quantity: self.quantity,
        }])
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_event_means_the_same_in_every_form(form in form()) {
        let meters = vec![
            meter("completions", "llm.completion", Aggregation::Count, None),
            meter("tokens", "llm.completion", Aggregation::Sum, Some("data.quantity")),
            meter("largest", "api.request", Aggregation::Max, Some("data.quantity")),
        ];
        let of = |format| decoder(&Rules { meters: meters.clone(), ..rules(format) });
        let mut cloudevents = of(Format::Cloudevents);
        let structured = form.structured(("data", form.data()));
        let base64 = form.structured(("data_base64", BASE64_STANDARD.encode(form.data().to_string()).into()));
        let expected = outcome(&mut cloudevents, &Sample::new(structured.as_str()));
        prop_assert_eq!(&outcome(&mut cloudevents, &Sample::new(base64.as_str())), &expected);
        prop_assert_eq!(&outcome(&mut cloudevents, &form.binary()), &expected);
        let array = outcomes(&mut cloudevents, &Sample::new(format!("[{structured} , {base64}]")));
        prop_assert_eq!(&array, &[expected.clone(), expected.clone()]);
        prop_assert_eq!(&outcome(&mut of(Format::Batch), &Sample::new(form.compact())), &expected);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(value in prop::collection::vec(any::<u8>(), 0..300)) {
        for format in FORMATS {
            let sample = Sample::new(value.clone());
            outcomes(&mut decoder(&fixtures::fixture_rules(format)), &sample);
            outcomes(&mut decoder(&fixtures::fixture_rules(format)), &sample.header("ce_id", value.clone()));
        }
    }

    #[test]
    fn no_change_of_a_good_record_makes_a_decoder_panic(
        fixture in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..4), 1..6),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let samples = fixtures::samples(format);
        let mut sample = samples.values().nth(fixture.index(samples.len())).expect("a fixture").clone();
        let value = sample.value.get_or_insert_default();
        for (at, byte, kind) in changes {
            let at = at.index(value.len() + 1);
            match kind {
                0 => value.insert(at, byte),
                1 => value.truncate(at),
                2 => drop(value.drain(at..(at + usize::from(byte)).min(value.len()))),
                _ => value.extend_from_within(at..),
            }
        }
        let rules = fixtures::fixture_rules(format);
        let within = outcomes(&mut decoder(&rules), &sample);
        prop_assert_eq!(&outcomes(&mut decoder(&rules), &sample), &within);
        prop_assert_eq!(alone(&rules, &sample), within);
    }
}
