//! How fast each stage of counting is in memory, in events and bytes per second, with `serde_json`
//! reading the same fields as the baseline.
//!
//! `cargo bench`; what it measured, on which machine, is in docs/benchmarks.md.

use std::borrow::Cow;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use odometer::aggregate::{Fold, OpenBlock};
use odometer::decode::{CompactEvent, Decoded, Decoder, encode_batch};
use odometer::dedup::{Cache, CacheSettings, Occurrence, Window};
use odometer::event::{
    Body, Charge, Content, Event, EventId, EventKey, Format, HOUR_MS, Identifier, Lane, MeterIndex,
    NoHeaders, Outcome, Record, Rules, Trace,
};
use odometer::pipeline::LaneCounter;
use serde::Deserialize;

/// 2026-11-01T00:00:00Z.
const MONTH_START_MS: i64 = 1_793_491_200_000;
const EVENTS: usize = 100_000;
const ORGANIZATIONS: usize = 10_000;
/// Of the whole core: keys that its window has, organizations, and events of a block, so that nearly
/// each of them has one.
const WINDOW: usize = 16_000_000;
const MANY_ORGANIZATIONS: usize = 300_000;
const EVENTS_OF_BLOCK: usize = 1_000_000;
/// Keys that a lane looks for at once.
const AT_ONCE: usize = 32;

fn rules(format: Format) -> Rules {
    Rules {
        format,
        organization: matches!(format, Format::KafkaLog).then(|| "konnect.org_id".to_owned()),
        region: matches!(format, Format::KafkaLog).then(|| "konnect.geo".to_owned()),
        default_region: "us".into(),
        meters: Vec::new(),
        dedup_window: 1 << 22,
        accept_past_ms: 35 * 24 * HOUR_MS,
        accept_future_ms: HOUR_MS,
        max_event_bytes: 1 << 20,
    }
}

/// A well-mixed number for each n, the same in every run.
fn mixed(n: usize) -> u64 {
    let mut x = (n as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Live traffic is of the current hour.
fn time_ms(n: usize) -> i64 {
    MONTH_START_MS + (n as i64) * 36 % HOUR_MS
}

/// Where an event's id begins.
const ID_AT: usize = r#"{"specversion":"1.0","id":""#.len();

fn cloudevent(n: usize) -> Vec<u8> {
    cloudevent_of(n, ORGANIZATIONS)
}

fn cloudevent_of(n: usize, organizations: usize) -> Vec<u8> {
    let time = jiff::Timestamp::from_millisecond(time_ms(n)).expect("a time of 2026");
    format!(
        r#"{{"specversion":"1.0","id":"{:016x}{:016x}","source":"//gateways.example.com/us/dp-{}","type":"api.request","subject":"org-{:08}","time":"{time}","datacontenttype":"application/json","data":{{"service":"svc-{:04}","quantity":1,"region":"us","route":"r-{}"}}}}"#,
        mixed(n),
        mixed(n + 1),
        n % 12,
        mixed(n) as usize % organizations,
        n % 997,
        n % 31,
    )
    .into_bytes()
}

/// The same events with ids that never were, from the number `next` on.
fn renew(values: &mut [Vec<u8>], next: &mut usize) {
    for value in values {
        let mut id = &mut value[ID_AT..];
        write!(id, "{:016x}{:016x}", mixed(*next), *next).expect("room for an id");
        *next += 1;
    }
}

/// A hundred events in one record.
fn array(n: usize) -> Vec<u8> {
    let events: Vec<_> = (n * 100..n * 100 + 100).map(cloudevent).collect();
    [b"[", &events.join(&b","[..])[..], b"]"].concat()
}

fn kafka_log(n: usize) -> Vec<u8> {
    let headers = "x".repeat(1_400);
    format!(
        r#"{{"request":{{"id":"{:032x}","method":"GET","uri":"\/v1\/things\/{n}","url":"http:\/\/api.example.com\/v1\/things","size":"412","querystring":{{}},"headers":{{"host":"api.example.com","user-agent":"{headers}"}}}},"response":{{"status":200,"size":"1310","headers":{{"content-type":"application\/json","via":"kong\/3.4"}}}},"upstream_status":"200","latencies":{{"kong":3,"proxy":21,"request":24,"receive":0}},"tries":[{{"balancer_latency":0,"port":443,"ip":"10.2.3.4"}}],"client_ip":"192.0.2.{}","started_at":{},"workspace":"default","consumer":{{"id":"{:08x}"}},"route":{{"id":"r","paths":["\/v1"],"protocols":["http","https"]}},"service":{{"id":"svc-{}","name":"things","host":"things.internal","port":80}},"konnect":{{"org_id":"org-{:08}","control_plane_id":"cp-1","geo":"us"}}}}"#,
        mixed(n),
        n % 250,
        time_ms(n),
        n,
        n % 997,
        mixed(n) as usize % ORGANIZATIONS,
    )
    .into_bytes()
}

fn batch(n: usize) -> Vec<u8> {
    let names: Vec<_> = (n * 100..n * 100 + 100)
        .map(|n| {
            (format!("org-{:08}", mixed(n) as usize % ORGANIZATIONS), format!("{:016x}{:016x}", mixed(n), n))
        })
        .collect();
    let events: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(k, (organization, id))| CompactEvent {
            organization,
            source: "//gateways.example.com/us",
            id,
            event_type: "api.request",
            time_ms: time_ms(n * 100 + k),
            region: Some("us"),
            service: Some("things"),
            name: None,
            published: None,
            version: None,
            quantity: None,
        })
        .collect();
    encode_batch(&events)
}

fn record(value: &[u8], offset: i64) -> Record<'_> {
    Record {
        topic: "gateway.events",
        partition: 0,
        offset,
        timestamp_ms: Some(MONTH_START_MS + HOUR_MS),
        key: None,
        value: Some(value),
        headers: &NoHeaders,
    }
}

/// The fields that odometer reads of a CloudEvent, as one would have serde decode them.
#[derive(Deserialize)]
struct TypedEvent<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    subject: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    data: TypedData<'a>,
}

#[derive(Deserialize)]
struct TypedData<'a> {
    #[serde(borrow)]
    service: Option<Cow<'a, str>>,
    quantity: Option<u64>,
    #[serde(borrow)]
    region: Option<Cow<'a, str>>,
}

/// The same of a gateway's log.
#[derive(Deserialize)]
struct TypedLog<'a> {
    #[serde(borrow)]
    request: TypedRequest<'a>,
    started_at: i64,
    #[serde(borrow)]
    service: Option<TypedService<'a>>,
    #[serde(borrow)]
    konnect: TypedKonnect<'a>,
}

#[derive(Deserialize)]
struct TypedRequest<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[derive(Deserialize)]
struct TypedService<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct TypedKonnect<'a> {
    #[serde(borrow)]
    org_id: Cow<'a, str>,
    #[serde(borrow)]
    geo: Option<Cow<'a, str>>,
}

/// A typed value, so that nothing of it is left out.
trait Typed<'a>: Deserialize<'a> {
    fn used(&self) -> usize;
}

impl<'a> Typed<'a> for TypedEvent<'a> {
    fn used(&self) -> usize {
        let texts = [&self.specversion, &self.id, &self.source, &self.r#type, &self.subject, &self.time];
        let data = [self.data.service.as_ref(), self.data.region.as_ref()];
        texts.iter().map(|text| text.len()).sum::<usize>()
            + data.iter().flatten().map(|text| text.len()).sum::<usize>()
            + self.data.quantity.unwrap_or(1) as usize
    }
}

impl<'a> Typed<'a> for Vec<TypedEvent<'a>> {
    fn used(&self) -> usize {
        self.iter().map(Typed::used).sum()
    }
}

impl<'a> Typed<'a> for TypedLog<'a> {
    fn used(&self) -> usize {
        let service = self.service.as_ref().and_then(|service| service.id.as_ref());
        let texts = [Some(&self.request.id), service, Some(&self.konnect.org_id), self.konnect.geo.as_ref()];
        texts.iter().flatten().map(|text| text.len()).sum::<usize>() + self.started_at as usize
    }
}

/// The baseline: the same records decoded and nothing else.
fn serde_typed<'a, T: Typed<'a>>(group: &mut BenchmarkGroup<'_, WallTime>, values: &'a [Vec<u8>]) {
    group.bench_function("serde_json typed", |b| {
        b.iter(|| {
            values
                .iter()
                .map(|value| serde_json::from_slice::<T>(value).expect("sound JSON").used())
                .fold(0_usize, usize::wrapping_add)
        });
    });
}

fn decode(c: &mut Criterion) {
    let cases: [(&str, Format, Vec<Vec<u8>>, usize); 4] = [
        ("cloudevents", Format::Cloudevents, (0..EVENTS / 10).map(cloudevent).collect(), 1),
        ("array", Format::Cloudevents, (0..EVENTS / 1_000).map(array).collect(), 100),
        ("kafka-log", Format::KafkaLog, (0..EVENTS / 10).map(kafka_log).collect(), 1),
        ("batch", Format::Batch, (0..EVENTS / 1_000).map(batch).collect(), 100),
    ];
    for (name, format, values, events_each) in &cases {
        let bytes: usize = values.iter().map(Vec::len).sum();
        for (unit, throughput) in [
            ("bytes", Throughput::Bytes(bytes as u64)),
            ("events", Throughput::Elements((values.len() * events_each) as u64)),
        ] {
            let mut group = c.benchmark_group(format!("decode/{name}/{unit}"));
            group.throughput(throughput);
            let mut decoder = Decoder::new("gateway.events", &rules(*format)).expect("sound rules");
            group.bench_function("odometer", |b| {
                b.iter(|| {
                    let mut counted = 0;
                    for (offset, value) in values.iter().enumerate() {
                        decoder.decode(&record(value, offset as i64), &mut |_, _, decoded| {
                            counted += usize::from(matches!(black_box(decoded), Decoded::Event(_)));
                        });
                    }
                    assert_eq!(counted, values.len() * events_each);
                });
            });
            match format {
                Format::Cloudevents if *events_each > 1 => {
                    serde_typed::<Vec<TypedEvent<'_>>>(&mut group, values)
                }
                Format::Cloudevents => serde_typed::<TypedEvent<'_>>(&mut group, values),
                Format::KafkaLog => serde_typed::<TypedLog<'_>>(&mut group, values),
                Format::Batch => {}
            }
            group.finish();
        }
    }
}

/// What an event is known by: its key, the hash of what is billed of it, and its part of the digest.
fn identify(c: &mut Criterion) {
    let values: Vec<_> = (0..EVENTS / 10).map(cloudevent).collect();
    let mut decoder = Decoder::new("gateway.events", &rules(Format::Cloudevents)).expect("sound rules");
    let charges = [Charge { meter: MeterIndex(0), quantity: 1 }];
    let mut owned = Vec::new();
    for (offset, value) in values.iter().enumerate() {
        decoder.decode(&record(value, offset as i64), &mut |_, _, decoded| {
            let Decoded::Event(Event { organization, source, id: EventId::Text(id), time_ms, .. }) = decoded
            else {
                panic!("sound events");
            };
            owned.push((organization.to_owned(), source.to_owned(), id.to_owned(), time_ms));
        });
    }
    let mut identifier = Identifier::default();
    let mut group = c.benchmark_group("identify/events");
    group.throughput(Throughput::Elements(values.len() as u64));
    group.bench_function("cloudevents", |b| {
        b.iter(|| {
            let mut digest = 0_u128;
            for (organization, source, id, time_ms) in &owned {
                let event = Event {
                    organization,
                    source,
                    id: EventId::Text(id),
                    time_ms: *time_ms,
                    region: "us",
                    body: Body::Usage(&charges),
                };
                let key = identifier.key(&event);
                let content = identifier.content(&event, |_| "api_calls");
                digest = digest.wrapping_add(Trace::Keyed(key, content).hash(Outcome::Counted));
            }
            digest
        });
    });
    group.finish();
}

fn dedup(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder for the cache");
    let settings = CacheSettings { dir: dir.path().to_owned(), memory: 4 << 30, budget: 4 << 30 };
    let cache = Cache::open(&settings).expect("a cache");
    let mut group = c.benchmark_group("dedup/events");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, filled) in [("4 M keys", 4_000_000u64), ("16 M keys", 16_000_000)] {
        // Filled when it is wanted: a filter may leave it out.
        let mut full: Option<Window> = None;
        let mut next = 0usize;
        let key = |n: usize| EventKey(u128::from(mixed(n)) << 64 | u128::from(mixed(n ^ 0x5555)));
        group.bench_function(name, |b| {
            let window = full.get_or_insert_with(|| {
                let mut window = Window::new(filled, 0, &cache).expect("room");
                while next < filled as usize {
                    let at = Occurrence { offset: next as i64, key: key(next), content: 1 };
                    window.observe(at).expect("room");
                    next += 1;
                }
                window
            });
            b.iter(|| {
                for _ in 0..EVENTS / AT_ONCE {
                    let group: [_; AT_ONCE] = std::array::from_fn(|ahead| {
                        let n = next + ahead;
                        let at = Occurrence { offset: n as i64, key: key(n), content: 1 };
                        window.prefetch(at.key);
                        at
                    });
                    for at in group {
                        black_box(window.observe(at).expect("room"));
                    }
                    next += AT_ONCE;
                }
            });
        });
    }
    group.finish();
}

fn aggregate(c: &mut Criterion) {
    let names: Vec<_> = (0..300_000).map(|n| format!("org-{n:08}")).collect();
    let charges = [Charge { meter: MeterIndex(0), quantity: 1 }];
    let mut group = c.benchmark_group("aggregate/events");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, organizations, hours) in [
        ("10 k organizations, one hour", 10_000, 1),
        ("300 k organizations, one hour", 300_000, 1),
        ("10 k organizations, 24 hours mixed", 10_000, 24),
    ] {
        let count = |block: &mut OpenBlock| {
            for n in 0..EVENTS {
                let event = Event {
                    organization: &names[mixed(n) as usize % organizations],
                    source: "",
                    id: EventId::Hash(n as u128),
                    time_ms: time_ms(n) + (n % hours) as i64 * HOUR_MS,
                    region: "us",
                    body: Body::Usage(&charges),
                };
                let trace = Trace::Keyed(EventKey(n as u128), Content(1));
                let organization = block.prefetch(event.organization);
                block.count(&event, organization, trace, |_| Fold::Sum);
            }
        };
        group.bench_function(name, |b| {
            let mut before = OpenBlock::default();
            count(&mut before);
            b.iter_batched_ref(|| before.successor(), count, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// What a lane does with an event but for reading it from Kafka and ending a block: decode, identify,
/// judge, count. Each event is new, in a window that is full.
fn whole(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a folder for the cache");
    let settings = CacheSettings { dir: dir.path().to_owned(), memory: 4 << 30, budget: 4 << 30 };
    let cache = Cache::open(&settings).expect("a cache");
    let mut values: Vec<_> = (0..EVENTS_OF_BLOCK).map(|n| cloudevent_of(n, MANY_ORGANIZATIONS)).collect();
    let lane = Lane { topic: "gateway.events".into(), topic_id: "".into(), partition: 0 };
    let rules = Rules { dedup_window: WINDOW as u64, ..rules(Format::Cloudevents) };
    // Filled when it is wanted: a filter may leave it out.
    let mut full: Option<LaneCounter> = None;
    let mut next = 0;
    let mut group = c.benchmark_group("whole/events");
    group.throughput(Throughput::Elements(EVENTS_OF_BLOCK as u64));
    group.bench_function("cloudevents", |b| {
        let mut count = |counter: &mut LaneCounter| {
            let mut offset = next as i64;
            renew(&mut values, &mut next);
            let began = Instant::now();
            for values in values.chunks(256) {
                let records: Vec<_> =
                    values.iter().zip(offset..).map(|(value, offset)| (record(value, offset), 0)).collect();
                offset += records.len() as i64;
                counter.take_all(&records).expect("room");
            }
            let took = began.elapsed();
            let block = counter.close().finish();
            assert_eq!(block.contents.outcomes.counted, EVENTS_OF_BLOCK as u64);
            took
        };
        let counter = full.get_or_insert_with(|| {
            let mut counter = LaneCounter::from_start(&lane, &rules, &cache).expect("sound rules");
            for _ in 0..WINDOW / EVENTS_OF_BLOCK {
                count(&mut counter);
            }
            counter
        });
        b.iter_custom(|turns| (0..turns).map(|_| count(counter)).sum::<Duration>());
    });
    serde_typed::<TypedEvent<'_>>(&mut group, &values);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = decode, identify, dedup, aggregate, whole
}
criterion_main!(benches);
