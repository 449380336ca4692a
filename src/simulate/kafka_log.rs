//! Requests as API gateways' kafka-log plugins send them: 2 to 3 KB each, without key or headers,
//! slashes escaped, with all the shapes that versions and plugins leave behind.

use std::io::Write;

use super::draft::{Draft, Fault, Kind};
use super::mapping::Place;
use super::organizations;
use super::random::Random;
use super::run::Run;
use super::traffic::Written;

const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "PUT", "DELETE"];
const RESOURCES: [&str; 6] = ["list", "items", "batch", "status", "export", "lookup"];
const AGENTS: [&str; 5] = [
    "Mozilla\\/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit\\/605.1.15 (KHTML, like Gecko) Version\\/17.4 Safari\\/605.1.15",
    "Mozilla\\/5.0 (X11; Linux x86_64) AppleWebKit\\/537.36 (KHTML, like Gecko) Chrome\\/124.0.0.0 Safari\\/537.36",
    "okhttp\\/4.12.0",
    "python-requests\\/2.31.0",
    "Apache-HttpClient\\/4.5.14 (Java\\/17.0.10)",
];
/// What the gateway answered, and what the upstream did; two tries where there are two.
const STATUSES: [(u16, &str); 10] = [
    (200, "\"200\""),
    (200, "\"200\""),
    (200, "200"),
    (201, "\"201\""),
    (204, "\"204\""),
    (304, "\"304\""),
    (404, "\"404\""),
    (429, "null"),
    (502, "\"502, 502\""),
    (200, "\"503, 200\""),
];

/// Gateways before request ids leave it out; such an event is known by its bytes.
pub(super) fn names_its_id(run: &Run, ordinal: u64) -> bool {
    !run.random_of(ordinal).one_in(50)
}

pub(super) fn record(run: &Run, drafts: &[Draft]) -> Written {
    let headers = run.headers(&drafts[0]);
    let mut value = Vec::with_capacity(3_072 * drafts.len());
    if let [draft] = drafts {
        write(run, draft, &mut value);
        if draft.fault == Some(Fault::Truncated) {
            value.truncate(value.len() * 2 / 3);
        }
    } else {
        for (index, draft) in drafts.iter().enumerate() {
            value.push(if index == 0 { b'[' } else { b',' });
            write(run, draft, &mut value);
        }
        value.push(b']');
    }
    Written { key: None, headers, value }
}

fn write(run: &Run, draft: &Draft, out: &mut Vec<u8>) {
    let from = out.len();
    let names_id = names_its_id(run, draft.ordinal);
    let mut random = run.random_of(draft.ordinal.wrapping_add(1 << 63));
    let log = Log {
        run,
        draft,
        names_id,
        quirks: run.allows_quirks(),
        service: match draft.kind {
            Kind::Request { service, .. } => Some(service),
            _ => None,
        },
        host: organizations::name(draft.organization),
        status: *random.pick(&STATUSES),
    };
    log.write_request(&mut random, out);
    log.write_response(&mut random, out);
    log.write_timing(&mut random, out);
    log.write_route(&mut random, out);
    log.write_konnect(&mut random, out);
    out.push(b'}');
    if !run.allows_quirks() {
        let mut event = out.split_off(from);
        run.put_by_path(draft, &mut event);
        out.append(&mut event);
    }
}

struct Log<'a> {
    run: &'a Run,
    draft: &'a Draft,
    names_id: bool,
    quirks: bool,
    /// `None`: the request matched none.
    service: Option<u16>,
    host: String,
    status: (u16, &'static str),
}

impl Log<'_> {
    fn write_request(&self, random: &mut Random, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"request\":{");
        if self.names_id {
            put(out, format_args!("\"id\":\"{:032x}\",", self.run.event_id(self.draft.ordinal)));
        }
        let (host, kind) = (&self.host, organizations::service_kind(self.service.unwrap_or(0)));
        let (method, resource) = (random.pick(&METHODS), random.pick(&RESOURCES));
        let (item, size) = (random.below(1_000_000), random.between(700, 4_000));
        put(
            out,
            format_args!(
                "\"method\":\"{method}\",\"size\":{size},\"uri\":\"\\/{kind}\\/v2\\/{resource}\\/{item}\","
            ),
        );
        put(
            out,
            format_args!(
                "\"url\":\"https:\\/\\/{host}.api.example:8443\\/{kind}\\/v2\\/{resource}\\/{item}\","
            ),
        );
        let querystring = match random.below(3) {
            0 => "{}",
            1 => "[]",
            _ => {
                "{\"page\":\"2\",\"page_size\":\"100\",\"sort\":[\"-created_at\",\"name\"],\"verbose\":true}"
            }
        };
        put(out, format_args!("\"querystring\":{querystring},\"headers\":{{"));
        put(
            out,
            format_args!("\"host\":\"{host}.api.example:8443\",\"user-agent\":\"{}\",", random.pick(&AGENTS)),
        );
        out.extend_from_slice(
            b"\"accept\":\"application\\/json, text\\/plain, *\\/*\",\"accept-encoding\":\"gzip, deflate, br\",\
              \"accept-language\":\"en-GB,en;q=0.9,de;q=0.8\",\"connection\":\"keep-alive\",\
              \"content-type\":\"application\\/json; charset=utf-8\",\"x-forwarded-proto\":\"https\",\
              \"x-forwarded-port\":\"443\",\"sec-fetch-mode\":\"cors\",\"sec-fetch-site\":\"same-site\",",
        );
        if self.quirks && random.one_in(40) {
            // Sent in Latin-1 by a client, and passed on as it came.
            out.extend_from_slice(b"\"x-user-name\":\"Andr\xe9 M\xfcller\",");
        }
        let [trace, span, token] = [random.next(), random.next(), random.next()];
        put(out, format_args!("\"traceparent\":\"00-{token:016x}{trace:016x}-{span:016x}-01\","));
        put(out, format_args!("\"authorization\":\"Bearer simulated.{token:016x}{span:016x}\","));
        put(
            out,
            format_args!("\"x-forwarded-for\":\"203.0.113.{}, 198.51.100.{}\"}},", trace % 256, span % 256),
        );
        out.extend_from_slice(
            b"\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"TLS_AES_256_GCM_SHA384\",\
              \"supported_client_ciphers\":\"TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256\",\
              \"client_verify\":\"NONE\"}},",
        );
    }

    fn write_response(&self, random: &mut Random, out: &mut Vec<u8>) {
        let (status, upstream) = if self.service.is_some() { self.status } else { (404, "null") };
        let (size, limit) = (random.between(150, 60_000), random.below(5_000));
        put(out, format_args!("\"response\":{{\"status\":{status},\"size\":{size},\"headers\":{{"));
        put(out, format_args!("\"content-length\":\"{size}\",\"x-ratelimit-remaining-minute\":\"{limit}\","));
        put(out, format_args!("\"etag\":\"W\\/\\\"{:x}\\\"\",", random.next()));
        out.extend_from_slice(
            b"\"content-type\":\"application\\/json; charset=utf-8\",\"connection\":\"keep-alive\",\
              \"cache-control\":\"private, max-age=0, no-cache\",\"vary\":\"Accept-Encoding, Origin\",\
              \"strict-transport-security\":\"max-age=31536000; includeSubDomains\",\
              \"access-control-allow-origin\":\"*\",\"via\":\"1.1 kong\\/3.9.1-enterprise-edition\",",
        );
        let (proxy, kong) = (random.below(900), random.below(40));
        put(
            out,
            format_args!("\"x-kong-upstream-latency\":\"{proxy}\",\"x-kong-proxy-latency\":\"{kong}\"}}}},"),
        );
        if self.service.is_some() || random.one_in(2) {
            put(out, format_args!("\"upstream_status\":{upstream},"));
        }
    }

    fn write_timing(&self, random: &mut Random, out: &mut Vec<u8>) {
        let (kong, receive) = (random.below(40), random.below(3));
        let proxy = if self.service.is_some() { random.below(900) as i64 } else { -1 };
        let request = proxy.max(0) as u64 + kong + receive;
        put(out, format_args!("\"latencies\":{{\"kong\":{kong},\"proxy\":{proxy},"));
        put(out, format_args!("\"request\":{request},\"receive\":{receive}}},"));
        let started_at = self.draft.time_ms;
        match self.service {
            Some(_) => put(
                out,
                format_args!(
                    "\"tries\":[{{\"balancer_start\":{},\"balancer_start_ns\":{},\"balancer_latency\":0,\
                     \"balancer_latency_ns\":{},\"ip\":\"10.0.{}.{}\",\"port\":8080,\"keepalive\":true,\"code\":200}}],",
                    started_at + kong as i64,
                    Exponential((started_at + kong as i64) as u64, 18),
                    random.between(10_000, 90_000),
                    random.below(16),
                    random.between(2, 250),
                ),
            ),
            None => out.extend_from_slice(b"\"tries\":[],"),
        }
        put(out, format_args!("\"client_ip\":\"203.0.113.{}\",", random.below(256)));
        out.extend_from_slice(b"\"started_at\":");
        match self.draft.fault {
            Some(Fault::BadTime) => out.extend_from_slice(b"\"just now\","),
            Some(Fault::TooOld) => put(out, format_args!("{},", 40_000 + random.below(600_000))),
            Some(Fault::TooNew) => out.extend_from_slice(b"4294967295000,"),
            _ if random.one_in(64) => put(out, format_args!("{},", Exponential(started_at as u64, 0))),
            _ => put(out, format_args!("{started_at},")),
        }
    }

    fn write_route(&self, random: &mut Random, out: &mut Vec<u8>) {
        out.extend_from_slice(
            b"\"workspace\":\"0dfd0a5c-2b5b-4b6e-9e0d-2f4b8e7c6a11\",\"workspace_name\":\"default\",",
        );
        match random.below(4) {
            0 => out.extend_from_slice(b"\"consumer\":null,"),
            1 => {}
            _ => put(
                out,
                format_args!(
                    "\"consumer\":{{\"id\":\"{}\",\"username\":\"mobile-app\",\"custom_id\":\"{}\",\
                     \"created_at\":1650000000,\"tags\":[]}},\"authenticated_entity\":{{\"id\":\"{}\"}},",
                    uuid(random),
                    random.below(100_000),
                    uuid(random)
                ),
            ),
        }
        let Some(slot) = self.service else {
            let service = random.pick(&["", "\"service\":null,", "\"service\":{},", "\"service\":[],"]);
            return out.extend_from_slice(service.as_bytes());
        };
        let kind = organizations::service_kind(slot);
        put(out, format_args!("\"route\":{{\"id\":\"{}\",\"name\":\"{kind}-route\",", uuid(random)));
        put(
            out,
            format_args!("\"paths\":[\"\\/{kind}\\/v2\"],\"methods\":[\"GET\",\"POST\",\"PUT\",\"DELETE\"],"),
        );
        out.extend_from_slice(
            b"\"hosts\":null,\"protocols\":[\"https\"],\"strip_path\":false,\"preserve_host\":false,\
              \"https_redirect_status_code\":426,\"path_handling\":\"v0\",\"regex_priority\":0,\
              \"request_buffering\":true,\"response_buffering\":true,\"created_at\":1650000000,\"updated_at\":1690000000,",
        );
        let service = self.run.service_id(slot);
        put(out, format_args!("\"service\":{{\"id\":\"{service}\"}}}},"));
        if self.quirks && random.one_in(64) {
            return put(out, format_args!("\"service\":\"{service}\","));
        }
        put(
            out,
            format_args!(
                "\"service\":{{\"id\":\"{service}\",\"name\":\"{kind}\",\"host\":\"{kind}.internal\","
            ),
        );
        out.extend_from_slice(
            b"\"port\":8080,\"protocol\":\"http\",\"path\":null,\"retries\":5,\"connect_timeout\":60000,\
              \"read_timeout\":60000,\"write_timeout\":60000,\"ws_id\":\"0dfd0a5c-2b5b-4b6e-9e0d-2f4b8e7c6a11\",\
              \"enabled\":true,\"created_at\":1650000000,\"updated_at\":1690000000},",
        );
    }

    fn write_konnect(&self, random: &mut Random, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\"konnect\":{");
        if let (Place::Usual, Some(organization)) =
            (&self.run.organization, self.run.organization_text(self.draft))
        {
            put(out, format_args!("\"org_id\":\"{organization}\","));
        }
        let region = self.run.region_text(self.draft);
        let leaves_region_out = region == self.run.settings.default_region && random.one_in(2);
        if self.run.region == Place::Usual && !leaves_region_out {
            put(out, format_args!("\"geo\":\"{region}\","));
        }
        put(out, format_args!("\"control_plane_id\":\"{}\"}}", uuid(random)));
    }
}

/// A whole number with an exponent, as Lua writes large ones: digits × 10^zeros.
struct Exponential(u64, u32);

impl std::fmt::Display for Exponential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = self.0.to_string();
        let exponent = if self.1 == 0 { digits.len() - 1 } else { self.1 as usize };
        let (first, rest) = digits.split_at(1);
        if rest.is_empty() {
            write!(f, "{first}e+{exponent}")
        } else {
            write!(f, "{first}.{rest}e+{exponent}")
        }
    }
}

fn uuid(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    let (group, node) = (low >> 48, low & 0xffff_ffff_ffff);
    format!("{:08x}-{:04x}-4{:03x}-{group:04x}-{node:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xfff)
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("writing to memory does not fail");
}
