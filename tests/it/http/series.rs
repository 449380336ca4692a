use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};

use super::ledger::{calls, count, service};
use super::{Service, TOKEN};

async fn filled(test: &str) -> Service {
    let api = Service::new(test).await;
    let call = |region: &str, at: &str, value| count("acme", region, "api_calls", at, value);
    let counts = [
        call("us", "2026-10-31T23:00:00Z", 1),
        call("us", "2026-11-01T00:00:00Z", 2),
        call("eu", "2026-11-01T05:00:00Z", 3),
        call("us", "2026-11-01T23:00:00Z", 4),
        call("us", "2026-11-02T00:00:00Z", 5),
        call("us", "2026-12-01T00:00:00Z", 6),
        count("acme", "us", "tokens", "2026-11-01T05:00:00Z", 70),
        calls("other", 1),
    ];
    api.lane(0).live(10, &counts, &[service("acme", "a", "2026-11-01T10:00:00Z", true, true)]).await;
    api.usage_once("acme", "/usage/api_calls", 14).await;
    api
}

async fn points(api: &Service, query: &str) -> Vec<(String, String, String, String, u64)> {
    let answer = api.get(&format!("/v1/organizations/acme/usage/series?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let text = |point: &Value, member: &str| point[member].as_str().unwrap().to_owned();
    let point = |point: &Value| {
        let value = point["value"].as_u64().unwrap();
        (text(point, "start"), text(point, "end"), text(point, "region"), text(point, "meter"), value)
    };
    answer.json()["data"].as_array().unwrap().iter().map(point).collect()
}

fn point(
    start: &str,
    end: &str,
    region: &str,
    meter: &str,
    value: u64,
) -> (String, String, String, String, u64) {
    (start.into(), end.into(), region.into(), meter.into(), value)
}

#[tokio::test]
async fn ranges_are_half_open_and_windows_are_calendar_windows() {
    let api = filled("series_windows").await;
    let november = "from=2026-11-01T00:00:00Z&to=2026-12-01T00:00:00Z&meter=api_calls";
    let months = points(&api, &format!("{november}&window=month")).await;
    let (start, end) = ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    assert_eq!(months, [point(start, end, "eu", "api_calls", 3), point(start, end, "us", "api_calls", 11)]);
    let days = points(&api, &format!("{november}&window=day&region=us")).await;
    let expected = [
        point("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "us", "api_calls", 6),
        point("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", "us", "api_calls", 5),
    ];
    assert_eq!(days, expected);
    let hours = points(&api, "from=2026-11-01T23:00:00Z&to=2026-11-02T00:00:00Z&window=hour").await;
    assert_eq!(hours, [point("2026-11-01T23:00:00Z", "2026-11-02T00:00:00Z", "us", "api_calls", 4)]);
    // Cut windows hold exactly what lies between the bounds.
    let cut = points(&api, "from=2026-11-01T05:00:00Z&to=2026-11-02T01:00:00Z&window=month").await;
    let (start, end) = ("2026-11-01T05:00:00Z", "2026-11-02T01:00:00Z");
    let expected = [
        point(start, end, "eu", "api_calls", 3),
        point(start, end, "us", "api_calls", 9),
        point(start, end, "us", "tokens", 70),
    ];
    assert_eq!(cut, expected);
    assert!(points(&api, "from=2026-11-01&to=2026-11-01").await.is_empty());
    assert!(points(&api, "from=1990-01-01&to=1999-01-01").await.is_empty());
    assert!(points(&api, "from=2101-01-01&to=2105-01-01").await.is_empty());
    let services = points(&api, "from=2026-11-01&to=2026-11-03&meter=published_services").await;
    let expected = [
        point("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "us", "published_services", 1),
        point("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", "us", "published_services", 1),
    ];
    assert_eq!(services, expected);
}

#[tokio::test]
async fn without_bounds_it_is_the_current_month_by_day() {
    let api = filled("series_default").await;
    let days = points(&api, "").await;
    let expected = [
        point("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "eu", "api_calls", 3),
        point("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "us", "api_calls", 6),
        point("2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", "us", "tokens", 70),
        point("2026-11-02T00:00:00Z", "2026-11-03T00:00:00Z", "us", "api_calls", 5),
    ];
    assert_eq!(days, expected);
}

#[tokio::test]
async fn pages_join_to_the_whole() {
    let api = filled("series_pages").await;
    let question = "/v1/organizations/acme/usage/series?from=2026-10-01&to=2027-01-01&window=hour";
    let whole = api.get(question).await.json();
    assert_eq!((whole["data"].as_array().unwrap().len(), &whole["next_cursor"]), (7, &json!(null)));
    let mut joined = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{question}&limit=2{cursor}")).await.json();
        let data = page["data"].as_array().unwrap();
        assert!((1..=2).contains(&data.len()));
        joined.extend(data.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(whole["data"], Value::from(joined));
}

#[tokio::test]
async fn csv_is_given_to_whom_asks_for_it() {
    let api = filled("series_csv").await;
    let get = async |path: &str| {
        let request = Request::get(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .header(header::ACCEPT, "text/csv");
        api.send(request.body(Body::empty()).unwrap()).await
    };
    let question = "/v1/organizations/acme/usage/series?from=2026-11-01&to=2026-11-02&meter=api_calls";
    let answer = get(question).await;
    assert!(answer.header(header::CONTENT_TYPE).starts_with("text/csv"));
    let expected = "start,end,region,meter,value\r\n\
        2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,eu,api_calls,3\r\n\
        2026-11-01T00:00:00Z,2026-11-02T00:00:00Z,us,api_calls,6\r\n";
    assert_eq!(answer.text, expected);
    assert!(!answer.headers.contains_key(header::LINK));
    let first = get(&format!("{question}&limit=1")).await;
    let link = first.header(header::LINK);
    let next =
        link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("a next page");
    let second = get(next).await;
    assert!(second.text.ends_with("us,api_calls,6\r\n"), "{second:?}");
    assert!(!second.headers.contains_key(header::LINK));
}
