use super::json::{Json, Repeated};
use super::{Rules, Sound, Verdict, What, is_region, time};
use crate::support::kafka::KafkaRecord;

const MAX_QUANTITY: i64 = (1 << 53) - 1;

pub fn read(rules: &Rules, record: &KafkaRecord, value: &[u8]) -> Vec<Verdict> {
    if record.header("ce_specversion").is_some() {
        return vec![one(rules, &from_headers(record, value))];
    }
    match Json::parse(value) {
        Some(Json::List(events)) if events.is_empty() => vec![Verdict::Ignored("empty")],
        Some(Json::List(events)) => events.iter().map(|event| one(rules, event)).collect(),
        Some(event) => vec![one(rules, &event)],
        None => vec![Verdict::Rejected("malformed")],
    }
}

/// Binary mode, written as the structured event that says the same.
fn from_headers(record: &KafkaRecord, value: &[u8]) -> Json {
    let attributes = record.headers.iter().filter_map(|(name, text)| {
        let name = name.strip_prefix("ce_")?;
        Some((name.to_owned(), Json::Text(String::from_utf8(text.clone()).ok()?)))
    });
    let data = Json::parse(value).map(|data| ("data".to_owned(), data));
    Json::Object(attributes.chain(data).collect())
}

fn one(rules: &Rules, event: &Json) -> Verdict {
    match try_one(rules, event) {
        Ok(verdict) => verdict,
        Err(Repeated) => Verdict::Rejected("malformed"),
    }
}

/// What a field that has to be text holds.
enum Text<'a> {
    Absent,
    Is(&'a str),
    IsNone,
}

fn text<'a>(event: &'a Json, name: &str) -> Result<Text<'a>, Repeated> {
    Ok(match event.field(name)? {
        None => Text::Absent,
        Some(Json::Text(text)) => Text::Is(text),
        Some(_) => Text::IsNone,
    })
}

fn try_one(rules: &Rules, event: &Json) -> Result<Verdict, Repeated> {
    const MALFORMED: Verdict = Verdict::Rejected("malformed");
    if !matches!(event, Json::Object(_)) || event.field("specversion")? != Some(&Json::Text("1.0".to_owned()))
    {
        return Ok(MALFORMED);
    }
    let Text::Is(source) = text(event, "source")? else { return Ok(MALFORMED) };
    let Text::Is(event_type) = text(event, "type")? else { return Ok(MALFORMED) };
    let id = text(event, "id")?;
    let organization = text(event, "subject")?;
    if source.is_empty() || matches!(id, Text::IsNone) || matches!(organization, Text::IsNone) {
        return Ok(MALFORMED);
    }
    let data = match (event.field("data")?, event.field("data_base64")?) {
        (Some(data), _) => data.clone(),
        (None, Some(Json::Text(text))) => match base64(text).and_then(|bytes| Json::parse(&bytes)) {
            Some(data) => data,
            None => return Ok(MALFORMED),
        },
        (None, Some(_)) => return Ok(MALFORMED),
        (None, None) => Json::Object(Vec::new()),
    };
    let region = match data.field("region")? {
        // The data of a type that nobody takes is of any shape.
        _ if !is_taken(rules, event_type) => rules.default_region,
        None => rules.default_region,
        Some(Json::Text(region)) if is_region(region) => region,
        Some(_) => return Ok(MALFORMED),
    };
    let Text::Is(organization @ &_) = organization else {
        return Ok(Verdict::Rejected("missing_organization"));
    };
    let Text::Is(id) = id else { return Ok(Verdict::Rejected("missing_id")) };
    if organization.is_empty() {
        return Ok(Verdict::Rejected("missing_organization"));
    }
    if id.is_empty() {
        return Ok(Verdict::Rejected("missing_id"));
    }
    let time_ms = match event.field("time")? {
        None => return Ok(Verdict::Rejected("missing_time")),
        Some(Json::Text(text)) => match time::parse(text) {
            Some(time_ms) => time_ms,
            None => return Ok(Verdict::Rejected("bad_time")),
        },
        Some(_) => return Ok(Verdict::Rejected("bad_time")),
    };
    let what = match what(rules, event_type, &data, time_ms)? {
        Ok(what) => what,
        Err(verdict) => return Ok(verdict),
    };
    Ok(Verdict::Sound(Sound {
        organization: organization.to_owned(),
        source: source.to_owned(),
        id: id.to_owned(),
        time_ms,
        region: region.to_owned(),
        what,
    }))
}

const SERVICE_EVENTS: [&str; 5] =
    ["service.created", "service.updated", "service.published", "service.unpublished", "service.deleted"];

fn is_taken(rules: &Rules, event_type: &str) -> bool {
    matches!(event_type, "api.request" | "kong.api_request")
        || SERVICE_EVENTS.contains(&event_type)
        || rules.sums.iter().any(|(_, takes)| *takes == event_type)
}

fn what(
    rules: &Rules,
    event_type: &str,
    data: &Json,
    time_ms: i64,
) -> Result<Result<What, Verdict>, Repeated> {
    if let Some((meter, _)) = rules.sums.iter().find(|(_, takes)| *takes == event_type) {
        return Ok(usage(meter, quantity(data.field("value")?, None)));
    }
    match event_type {
        "api.request" | "kong.api_request" => {
            Ok(usage("api_calls", quantity(data.field("quantity")?, Some(1))))
        }
        _ if SERVICE_EVENTS.contains(&event_type) => {
            let service = match data.field("service")? {
                Some(Json::Text(service)) if !service.is_empty() => service.clone(),
                _ => return Ok(Err(Verdict::Rejected("bad_service"))),
            };
            let published = match data.field("published")? {
                Some(Json::Bool(published)) => Some(*published),
                _ => None,
            };
            let version = data.field("version")?.and_then(Json::integer).unwrap_or(time_ms);
            Ok(Ok(What::Service { service, event_type: event_type.to_owned(), published, version }))
        }
        _ => Ok(Err(Verdict::Ignored("unknown_type"))),
    }
}

fn usage(meter: &str, quantity: Option<u64>) -> Result<What, Verdict> {
    match quantity {
        Some(quantity) => Ok(What::Usage { meter: meter.to_owned(), quantity }),
        None => Err(Verdict::Rejected("bad_quantity")),
    }
}

/// `None` where it is none.
fn quantity(field: Option<&Json>, default: Option<u64>) -> Option<u64> {
    match field {
        None => default,
        Some(Json::Integer(quantity)) if (0..=MAX_QUANTITY).contains(quantity) => Some(*quantity as u64),
        Some(_) => None,
    }
}

fn base64(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = 0_u32;
    let mut held = 0;
    let mut bytes = Vec::new();
    for letter in text.trim_end_matches('=').bytes() {
        let sextet = ALPHABET.iter().position(|&other| other == letter)? as u32;
        bits = (bits << 6 | sextet) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}
