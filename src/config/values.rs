//! How single values are written: durations, sizes, names, URLs. Each reader says what is allowed.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use crate::event::is_region;

#[cfg(test)]
mod tests;

/// What is wrong with a value and what is allowed, to be read after the key and the value.
pub type Read<T> = Result<T, String>;

/// No interval of a configuration is longer: 100 years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
const MS_OF: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 7 * 86_400_000)];
const BYTES_OF: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];
/// Kafka's limit for the name of a topic.
const MAX_TOPIC_NAME: usize = 249;
const MAX_NAME: usize = 64;

pub fn text(text: &str) -> Read<String> {
    if text.trim().is_empty() { Err("is empty".into()) } else { Ok(text.to_owned()) }
}

pub fn path(text: &str) -> Read<PathBuf> {
    if text.is_empty() { Err("is not a path: it is empty".into()) } else { Ok(PathBuf::from(text)) }
}

pub fn boolean(text: &str) -> Read<bool> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false".into()),
    }
}

/// A whole number from `least`; `_` may group digits.
pub fn integer(least: u64) -> impl Fn(&str) -> Read<u64> {
    move |text| {
        let wrong = || format!("is not a whole number from {least} on");
        let number = digits(text).ok_or_else(wrong)?;
        if number < least { Err(wrong()) } else { Ok(number) }
    }
}

/// A whole number from `least` to `most`.
pub fn integer_within(least: u64, most: u64) -> impl Fn(&str) -> Read<u64> {
    move |text| match digits(text) {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("is not a whole number from {least} to {most}")),
    }
}

/// A number with its unit; several may follow each other (`1h30m`).
pub fn duration(text: &str) -> Read<Duration> {
    let wrong = || {
        "is not a duration: write a whole number and a unit (ms, s, m, h, d, w), e.g. 500ms or 35d".to_owned()
    };
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_ms = MS_OF.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?.1;
        let part = digits(number).ok_or_else(wrong)?.checked_mul(unit_ms).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = after;
    }
    let total = Duration::from_millis(total);
    if total > LONGEST { Err("is longer than 100 years".into()) } else { Ok(total) }
}

pub fn positive_duration(text: &str) -> Read<Duration> {
    let duration = duration(text)?;
    if duration.is_zero() { Err("is not positive: write e.g. 1s".into()) } else { Ok(duration) }
}

/// Bytes: a whole number, alone or with a unit of 1000 (KB) or 1024 (KiB).
pub fn size(least: u64) -> impl Fn(&str) -> Read<u64> {
    move |text| {
        let wrong = || {
            "is not a size: write a whole number and a unit (B, KB, MB, GB, TB, KiB, MiB, GiB, TiB), e.g. 1MiB".to_owned()
        };
        let (number, unit) = split_number(text.trim());
        let unit = unit.trim().to_ascii_lowercase();
        let unit_bytes = BYTES_OF.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let bytes = digits(number).ok_or_else(wrong)?.checked_mul(unit_bytes).ok_or_else(wrong)?;
        if i64::try_from(bytes).is_err() {
            return Err("is more than this machine can address".into());
        }
        if bytes < least { Err(format!("is less than {least} bytes")) } else { Ok(bytes) }
    }
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len()))
}

fn digits(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    is_number.then(|| text.replace('_', "").parse().ok()).flatten()
}

pub fn region(text: &str) -> Read<String> {
    if is_region(text) {
        Ok(text.to_owned())
    } else {
        Err("is not a region: 1 to 16 of a-z, 0-9 and -".into())
    }
}

pub fn topic(text: &str) -> Read<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let is_topic = (1..=MAX_TOPIC_NAME).contains(&text.len())
        && text.bytes().all(allowed)
        && text != "."
        && text != "..";
    if is_topic {
        Ok(text.to_owned())
    } else {
        Err("is not a topic's name: 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`".into())
    }
}

/// `host:port` parts separated by commas; librdkafka takes 9092 where the port is absent.
pub fn brokers(text: &str) -> Read<String> {
    let is_broker = |broker: &str| {
        let broker = broker.trim();
        let address = broker.rsplit_once("://").map_or(broker, |(_, address)| address);
        let (host, port) = address.rsplit_once(':').unwrap_or((address, "9092"));
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if text.split(',').all(is_broker) {
        Ok(text.to_owned())
    } else {
        Err("is not a list of brokers: write host:port, separated by commas".into())
    }
}

pub fn http_url(text: &str) -> Read<String> {
    let wrong = "is not a URL: write http://HOST:PORT or https://HOST:PORT";
    let url = Url::parse(text).map_err(|error| format!("{wrong} ({error})"))?;
    let is_http = matches!(url.scheme(), "http" | "https") && url.has_host();
    if is_http { Ok(text.trim_end_matches('/').to_owned()) } else { Err(wrong.into()) }
}

/// Any number of URLs, separated by commas.
pub fn http_urls(text: &str) -> Read<Vec<String>> {
    text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(http_url).collect()
}

pub fn accounts_url(text: &str) -> Read<String> {
    let rest =
        ["sqlite:", "postgres://", "postgresql://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(text.to_owned()),
        _ => Err("is not a database: write sqlite://FILE or postgres://USER:PASSWORD@HOST/DATABASE".into()),
    }
}

/// `HOST:PORT`; the host may be a name, an IPv4 address or an IPv6 address in brackets.
pub fn listen_address(text: &str) -> Read<String> {
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_host = !host.is_empty() && !host.contains(char::is_whitespace);
        let is_bracketed = host.starts_with('[') && host.ends_with(']');
        is_host && (!host.contains(':') || is_bracketed) && port.parse::<u16>().is_ok()
    });
    if is_address {
        Ok(text.to_owned())
    } else {
        Err("is not an address: write HOST:PORT, e.g. 127.0.0.1:8080".into())
    }
}

pub fn database_name(text: &str) -> Read<String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let is_name = (1..=MAX_NAME).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.as_bytes()[0].is_ascii_digit();
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("is not a database's name: 1 to 64 of a-z, A-Z, 0-9 and _, not starting with a digit".into())
    }
}

/// One of several words.
pub fn choice<T: Copy>(words: &'static [(&'static str, T)]) -> impl Fn(&str) -> Read<T> {
    move |text| match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Err(format!("is none of {}", names.join(", ")))
        }
    }
}
