use super::json::{Json, Repeated};
use super::{Rules, Sound, Verdict, What, is_region};

pub fn read(rules: &Rules, value: &[u8]) -> Vec<Verdict> {
    // Bytes that are no UTF-8 stand in fields that nobody reads.
    let text = String::from_utf8_lossy(value);
    match Json::parse(text.as_bytes()) {
        Some(Json::List(events)) if events.is_empty() => vec![Verdict::Ignored("empty")],
        Some(Json::List(events)) => {
            let texts: Vec<&serde_json::value::RawValue> =
                serde_json::from_str(&text).expect("parsed just now");
            events.iter().zip(texts).map(|(event, text)| one(rules, event, text.get())).collect()
        }
        Some(event) => vec![one(rules, &event, &text)],
        None => vec![Verdict::Rejected("malformed")],
    }
}

fn one(rules: &Rules, event: &Json, bytes: &str) -> Verdict {
    match try_one(rules, event, bytes) {
        Ok(verdict) => verdict,
        Err(Repeated) => Verdict::Rejected("malformed"),
    }
}

fn try_one(rules: &Rules, event: &Json, bytes: &str) -> Result<Verdict, Repeated> {
    const MALFORMED: Verdict = Verdict::Rejected("malformed");
    if !matches!(event, Json::Object(_)) {
        return Ok(MALFORMED);
    }
    let id = match event.path("request.id")? {
        None => format!("bytes {bytes}"),
        Some(Json::Text(id)) => id.clone(),
        Some(_) => return Ok(MALFORMED),
    };
    let region = match event.path(rules.region)? {
        None => rules.default_region,
        Some(Json::Text(region)) if is_region(region) => region,
        Some(_) => return Ok(MALFORMED),
    };
    let organization = match event.path(rules.organization)? {
        None => return Ok(Verdict::Rejected("missing_organization")),
        Some(Json::Text(organization)) if organization.is_empty() => {
            return Ok(Verdict::Rejected("missing_organization"));
        }
        Some(Json::Text(organization)) => organization,
        Some(_) => return Ok(MALFORMED),
    };
    let Some(time_ms) = event.field("started_at")?.and_then(Json::integer) else {
        return Ok(Verdict::Rejected("bad_time"));
    };
    match event.field("service")? {
        Some(service) if !service.is_empty() => {}
        _ => return Ok(Verdict::Ignored("unrouted")),
    }
    Ok(Verdict::Sound(Sound {
        organization: organization.clone(),
        source: String::new(),
        id,
        time_ms,
        region: region.to_owned(),
        what: What::Usage { meter: "api_calls".to_owned(), quantity: 1 },
    }))
}
