//! Batches of about 100 events in bincode, for which docs/formats.md gives the layout. The layout
//! is written down here a second time on purpose: a simulation that used the decoder's own types
//! would agree with it whatever they say.

use bincode::Encode;

use crate::event::MAX_QUANTITY;

use super::draft::{Draft, Fault, Kind};
use super::run::Run;
use super::traffic::Written;

#[derive(Encode)]
struct CompactEvent {
    organization: String,
    source: String,
    id: String,
    event_type: &'static str,
    /// Epoch milliseconds.
    time_ms: i64,
    region: Option<String>,
    service: Option<String>,
    name: Option<String>,
    published: Option<bool>,
    version: Option<i64>,
    quantity: Option<u64>,
}

/// 1970-01-01 and 2106-02-07.
const TOO_OLD_MS: i64 = 41_500;
const TOO_NEW_MS: i64 = 4_294_967_295_000;

pub(super) fn record(run: &Run, drafts: &[Draft]) -> Written {
    let events: Vec<CompactEvent> = drafts.iter().map(|draft| compact(run, draft)).collect();
    let mut value = bincode::encode_to_vec(&events, bincode::config::standard())
        .expect("plain data in memory is always encoded");
    if drafts[0].fault == Some(Fault::Truncated) {
        value.truncate(value.len() * 2 / 3);
    }
    Written { value, ..Written::default() }
}

fn compact(run: &Run, draft: &Draft) -> CompactEvent {
    let mut random = run.random_of(draft.ordinal);
    let region = run.region_text(draft);
    let leaves_region_out = region == run.settings.default_region && random.one_in(2);
    let mut event = CompactEvent {
        organization: run.organization_text(draft).unwrap_or_default(),
        source: source(run, draft),
        id: if draft.fault == Some(Fault::NoId) { String::new() } else { run.uuid(draft.ordinal) },
        event_type: "api.request",
        time_ms: match draft.fault {
            Some(Fault::TooOld) => TOO_OLD_MS,
            Some(Fault::TooNew) => TOO_NEW_MS,
            _ => draft.time_ms,
        },
        region: (!leaves_region_out).then(|| region.to_owned()),
        service: None,
        name: None,
        published: None,
        version: None,
        quantity: None,
    };
    match &draft.kind {
        _ if draft.fault == Some(Fault::BadService) => event.event_type = "service.created",
        Kind::Request { service, quantity } => {
            event.service = Some(run.service_id(*service));
            event.quantity = match draft.fault {
                Some(Fault::BadQuantity) => Some(MAX_QUANTITY + 1),
                _ if *quantity == 1 && random.one_in(2) => None,
                _ => Some(*quantity),
            };
        }
        Kind::Unrouted | Kind::Heartbeat => event.event_type = "gateway.heartbeat",
        Kind::Catalog(change) => {
            event.event_type = change.action.event_type();
            event.service = Some(run.service_id(change.slot));
            event.name = change.name.map(|renamed| format!("Service v{}", renamed + 1));
            event.published = change.published;
            event.version = change.version;
        }
    }
    event
}

/// The same for all events of one service, as the register's order wants it.
fn source(run: &Run, draft: &Draft) -> String {
    let region = run.region_name(draft.region);
    match draft.kind {
        Kind::Catalog(_) => format!("catalog.{region}"),
        _ => format!("gateway.{region}.{}", draft.ordinal % 5),
    }
}
