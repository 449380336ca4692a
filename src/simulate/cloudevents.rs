//! CloudEvents 1.0 as gateways' meters send them: one event of about 300 bytes a record, now and
//! then an array, now and then in binary mode.

use std::io::Write;

use jiff::Timestamp;

use super::draft::{Change, Draft, Fault, Kind};
use super::mapping::Place;
use super::random::Random;
use super::run::Run;
use super::traffic::Written;

const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "PUT", "DELETE"];
const ROUTES: [&str; 6] = ["list", "read", "create", "replace", "remove", "search"];
const STATUSES: [u16; 10] = [200, 200, 200, 200, 200, 201, 204, 304, 404, 429];

pub(super) fn record(run: &Run, drafts: &[Draft]) -> Written {
    let first = &drafts[0];
    let key = Some(run.uuid(first.ordinal).into_bytes());
    let mut headers = run.headers(first);
    let mut value = Vec::with_capacity(512 * drafts.len());
    let [draft] = drafts else {
        value.push(b'[');
        for (index, draft) in drafts.iter().enumerate() {
            if index > 0 {
                value.push(b',');
            }
            Event::new(run, draft).write(&mut value);
        }
        value.push(b']');
        return Written { key, headers, value };
    };
    let event = Event::new(run, draft);
    if event.is_binary() {
        event.write_binary(&mut headers, &mut value);
    } else {
        event.write(&mut value);
        if draft.fault == Some(Fault::Truncated) {
            value.truncate(value.len() * 2 / 3);
        }
        headers.push(("content-type".to_owned(), b"application/cloudevents+json; charset=UTF-8".to_vec()));
    }
    Written { key, headers, value }
}

/// One event with the choices that make its bytes its own.
struct Event<'a> {
    run: &'a Run,
    draft: &'a Draft,
    random: Random,
    binary: bool,
    /// Kong's older name for the same type.
    alias: bool,
    local_time: bool,
    names_region: bool,
}

impl<'a> Event<'a> {
    fn new(run: &'a Run, draft: &'a Draft) -> Self {
        let mut random = run.random_of(draft.ordinal);
        let quirks = run.allows_quirks();
        let default_region = run.region_name(draft.region) == run.settings.default_region;
        Self {
            run,
            draft,
            binary: quirks && run.organization == Place::Usual && random.one_in(64),
            alias: random.one_in(8),
            local_time: random.one_in(32),
            names_region: draft.fault == Some(Fault::BadRegion) || !(default_region && random.one_in(2)),
            random,
        }
    }

    fn is_binary(&self) -> bool {
        self.binary && self.draft.fault.is_none()
    }

    fn event_type(&self) -> &'static str {
        match &self.draft.kind {
            _ if self.draft.fault == Some(Fault::BadService) => "service.created",
            Kind::Request { .. } | Kind::Unrouted if self.alias => "kong.api_request",
            Kind::Request { .. } | Kind::Unrouted => "api.request",
            Kind::Heartbeat => "gateway.heartbeat",
            Kind::Catalog(change) => change.action.event_type(),
        }
    }

    /// The same for all events of one service, as the register's order wants it.
    fn source(&self) -> String {
        let region = self.run.region_name(self.draft.region);
        match self.draft.kind {
            Kind::Catalog(_) => format!("/catalog/{region}"),
            _ => format!("/gateways/{region}/{}", self.draft.ordinal % 5),
        }
    }

    fn time(&self) -> String {
        match self.draft.fault {
            Some(Fault::BadTime) => return "yesterday at noon".to_owned(),
            Some(Fault::TooOld) => return format!("1970-01-01T00:0{}:41.5Z", self.draft.ordinal % 10),
            Some(Fault::TooNew) => return "2106-02-07T06:28:15Z".to_owned(),
            _ => {}
        }
        if self.local_time {
            return format!("{:.3}", instant(self.draft.time_ms + 2 * 3_600_000)).replace('Z', "+02:00");
        }
        format!("{:.3}", instant(self.draft.time_ms))
    }

    fn write(mut self, out: &mut Vec<u8>) {
        let from = out.len();
        let fault = self.draft.fault;
        let version = if fault == Some(Fault::WrongVersion) { "0.3" } else { "1.0" };
        put(out, format_args!("{{\"specversion\":\"{version}\""));
        if fault != Some(Fault::NoId) {
            put(out, format_args!(",\"id\":\"{}\"", self.run.uuid(self.draft.ordinal)));
        }
        put(out, format_args!(",\"source\":\"{}\",\"type\":\"{}\"", self.source(), self.event_type()));
        if let (Place::Usual, Some(organization)) =
            (&self.run.organization, self.run.organization_text(self.draft))
        {
            put(out, format_args!(",\"subject\":\"{organization}\""));
        }
        if fault != Some(Fault::NoTime) {
            put(out, format_args!(",\"time\":\"{}\"", self.time()));
        }
        put(out, format_args!(",\"datacontenttype\":\"application/json\",\"data\":"));
        self.write_data(out);
        out.push(b'}');
        if !self.run.allows_quirks() {
            let mut event = out.split_off(from);
            self.run.put_by_path(self.draft, &mut event);
            out.append(&mut event);
        }
    }

    fn write_binary(mut self, headers: &mut Vec<(String, Vec<u8>)>, value: &mut Vec<u8>) {
        let organization = self.run.organization_text(self.draft).unwrap_or_default();
        for (name, text) in [
            ("ce_specversion", "1.0".to_owned()),
            ("ce_id", self.run.uuid(self.draft.ordinal)),
            ("ce_source", self.source()),
            ("ce_type", self.event_type().to_owned()),
            ("ce_subject", organization),
            ("ce_time", self.time()),
            ("content-type", "application/json".to_owned()),
        ] {
            headers.push((name.to_owned(), text.into_bytes()));
        }
        self.write_data(value);
    }

    fn write_data(&mut self, out: &mut Vec<u8>) {
        out.push(b'{');
        match &self.draft.kind {
            _ if self.draft.fault == Some(Fault::BadService) => {
                put(out, format_args!("\"name\":\"Nameless\""))
            }
            Kind::Request { service, quantity } => self.write_request(*service, *quantity, out),
            Kind::Unrouted | Kind::Heartbeat => {
                put(out, format_args!("\"uptime_s\":{}", self.random.below(1_000_000)));
            }
            Kind::Catalog(change) => write_change(&self.run.service_id(change.slot), change, out),
        }
        if self.names_region && self.run.region == Place::Usual {
            put(out, format_args!(",\"region\":\"{}\"", self.run.region_text(self.draft)));
        }
        out.push(b'}');
    }

    fn write_request(&mut self, service: u16, quantity: u64, out: &mut Vec<u8>) {
        let method = self.random.pick(&METHODS);
        let route = self.random.pick(&ROUTES);
        let status = self.random.pick(&STATUSES);
        let service = self.run.service_id(service);
        put(out, format_args!("\"service\":\"{service}\",\"route\":\"{route}\",\"method\":\"{method}\""));
        put(out, format_args!(",\"status\":{status}"));
        if self.draft.fault == Some(Fault::BadQuantity) {
            let quantity = self.random.pick(&["-1", "1.5", "9007199254740992", "\"many\""]);
            put(out, format_args!(",\"quantity\":{quantity}"));
        } else if quantity != 1 {
            // JSON has one kind of number: some producers write whole ones with a fraction.
            let fraction = if self.random.one_in(8) { ".0" } else { "" };
            put(out, format_args!(",\"quantity\":{quantity}{fraction}"));
        }
    }
}

fn write_change(service: &str, change: &Change, out: &mut Vec<u8>) {
    put(out, format_args!("\"service\":\"{service}\""));
    if let Some(renamed) = change.name {
        put(out, format_args!(",\"name\":\"Service v{}\"", renamed + 1));
    }
    if let Some(published) = change.published {
        put(out, format_args!(",\"published\":{published}"));
    }
    if let Some(version) = change.version {
        put(out, format_args!(",\"version\":{version}"));
    }
}

fn instant(epoch_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(epoch_ms).expect("an event's time is between 2000 and 2100")
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}
