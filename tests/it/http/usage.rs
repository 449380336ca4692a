use std::time::Duration;

use axum::http::StatusCode;
use odometer::store::{self, Store};
use serde_json::{Value, json};

use super::ledger::{LaneWriter, calls, count, service};
use super::{Service, Wish, authorized, eventually, request};
use crate::servers;

#[tokio::test]
async fn published_blocks_show_in_the_answer() {
    let service = Service::new("usage_shape").await;
    let mut lane = service.lane(0);
    let counts = [
        calls("acme", 1_200_000),
        count("acme", "eu", "api_calls", "2026-11-01T00:00:00Z", 345),
        count("acme", "us", "api_calls", "2026-10-31T23:00:00Z", 77),
        count("acme", "us", "tokens", "2026-11-30T23:00:00Z", 5),
    ];
    let services = [
        super::ledger::service("acme", "billing", "2026-10-05T00:00:00Z", true, true),
        super::ledger::service("acme", "search", "2026-11-05T00:00:00Z", true, false),
    ];
    lane.live(100, &counts, &services).await;
    lane.see(100, "2026-11-23T18:00:00Z").await;
    let answer = service.usage_once("acme", "/complete_through", "2026-11-23T18:00:00Z").await;
    let expected = json!({
        "organization": "acme", "month": "2026-11", "plan": null, "trial": null,
        "usage": {
            "api_calls": 1_200_345, "services": 2, "published_services": 1, "regions": 2, "tokens": 5,
        },
        "by_region": {
            "eu": { "api_calls": 345, "services": 0, "published_services": 0, "tokens": 0 },
            "us": { "api_calls": 1_200_000, "services": 2, "published_services": 1, "tokens": 5 },
        },
        "estimated_cost": null,
        "as_of": "2026-11-23T18:00:01Z", "complete_through": "2026-11-23T18:00:00Z", "complete": true,
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_past_month_is_read_on_demand_with_its_own_catalog() {
    let service = Service::new("usage_past").await;
    let counts = [calls("acme", 9), count("acme", "us", "api_calls", "2026-10-31T23:00:00Z", 77)];
    let services = [
        super::ledger::service("acme", "billing", "2026-10-05T00:00:00Z", true, true),
        super::ledger::service("acme", "old", "2026-09-05T00:00:00Z", true, false),
        super::ledger::service("acme", "old", "2026-11-01T00:00:00Z", false, false),
    ];
    service.lane(0).live(10, &counts, &services).await;
    service.usage_once("acme", "/usage/api_calls", 9).await;
    let month = async |month: &str| {
        let answer = service.get(&format!("/v1/organizations/acme/usage?month={month}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let usage = answer.json()["usage"].take();
        ["api_calls", "services", "published_services", "regions"].map(|meter| usage[meter].as_u64().unwrap())
    };
    assert_eq!(month("2026-11").await, [9, 1, 1, 1]);
    assert_eq!(month("2026-10").await, [77, 2, 1, 1]);
    assert_eq!(month("2026-09").await, [0, 1, 0, 1]);
    assert_eq!(month("2026-08").await, [0, 0, 0, 0]);
    // What is still to come, and what no event can belong to.
    assert_eq!(month("2026-12").await, [0, 1, 1, 1]);
    for edge in ["1970-01", "1999-12"] {
        assert_eq!(month(edge).await, [0, 0, 0, 0], "{edge}");
    }
    for edge in ["2100-01", "2107-01", "9998-12"] {
        assert_eq!(month(edge).await, [0, 1, 1, 1], "{edge}");
    }
}

#[tokio::test]
async fn an_organization_with_older_usage_alone_is_known() {
    let (store, _) = servers::new_store("usage_older").await;
    let old = [count("acme", "us", "api_calls", "2026-03-10T00:00:00Z", 5)];
    LaneWriter::new(&store, "events", "AAAAAAAAAAAAAAAAAAAAAA", 0).live(1, &old, &[]).await;
    let service = Service::over(store, Wish::default()).await;
    let answer = service.get("/v1/organizations/acme/usage").await;
    assert_eq!((answer.status, &answer.json()["usage"]["api_calls"]), (StatusCode::OK, &json!(0)));
    assert_eq!(answer.json()["by_region"], json!({}));
    let answer = service.get("/v1/organizations/nobody/usage").await;
    assert_eq!((answer.status.as_u16(), &*answer.problem()), (404, "organization-not-found"));
    let answer = service.get("/v1/organizations/nobody/usage?month=2026-03").await;
    assert_eq!((answer.status.as_u16(), &*answer.problem()), (404, "organization-not-found"));
}

#[tokio::test]
async fn an_organization_that_was_absent_is_there_with_its_first_block() {
    let service = Service::new("usage_absent").await;
    let mut lane = service.lane(0);
    lane.live(1, &[calls("acme", 4)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 4).await;
    for name in ["fresh", "late"] {
        let answer = service.get(&format!("/v1/organizations/{name}/usage")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{name}");
    }
    lane.live(2, &[calls("fresh", 7), count("late", "us", "api_calls", "2026-03-10T00:00:00Z", 5)], &[])
        .await;
    service.usage_once("fresh", "/usage/api_calls", 7).await;
    service.usage_once("late", "/usage/api_calls", 0).await;
}

#[tokio::test]
async fn any_text_is_an_organization() {
    let service = Service::new("usage_names").await;
    let names = ["Größe & Söhne", "a/b", "100%", "🦀", "a b+c", "..", "x?y#z", "\"q\"'"];
    let counts: Vec<_> = names.iter().map(|name| calls(name, 3)).collect();
    service.lane(0).live(8, &counts, &[]).await;
    for name in names {
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = service.usage_once(&encoded, "/usage/api_calls", 3).await;
        assert_eq!(answer["organization"], name);
        let month = format!("/v1/organizations/{encoded}/usage?month=2026-10");
        assert_eq!(service.get(&month).await.status, StatusCode::OK, "{name}");
    }
}

#[tokio::test]
async fn rolls_change_nothing_and_a_recount_switches_at_once() {
    let service = Service::new("usage_rolls").await;
    let mut lane = service.lane(0);
    let mut blocks = Vec::new();
    for _ in 0..5 {
        blocks.push(lane.live(10, &[calls("acme", 10), calls("other", 1)], &[]).await);
    }
    service.usage_once("acme", "/usage/api_calls", 50).await;
    let read =
        async || service.get("/v1/organizations/acme/usage").await.json()["usage"]["api_calls"].clone();
    let writing = async {
        lane.roll(&blocks[0..3]).await;
        lane.live(10, &[calls("acme", 10)], &[]).await;
        // The first half was worth less than was counted.
        let row = lane.recount(0..30, &[calls("acme", 6)]).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        lane.roll(&[row, blocks[3].clone(), blocks[4].clone()]).await;
    };
    let mut seen: Vec<Value> = Vec::new();
    let watching = async {
        loop {
            let value = read().await;
            if seen.last() != Some(&value) {
                seen.push(value);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = async { writing.await; tokio::time::sleep(Duration::from_secs(3)).await; } => {}
    }
    let allowed: [&[Value]; 2] = [&[json!(50), json!(60), json!(36)], &[json!(50), json!(36)]];
    assert!(allowed.contains(&&*seen), "{seen:?}");
    let other = service.get("/v1/organizations/other/usage").await;
    assert_eq!(other.json()["usage"]["api_calls"], 2, "the recount found nothing of it in its range");
}

/// Reading everything takes a while, here for many organizations: which blocks count is read first, so
/// that what is published or rolled up meanwhile is either in what is read or comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_everything_is_read_is_counted_once() {
    const ORGANIZATIONS: u32 = 200_000;
    /// So that something is published in the middle of one, however busy the machine is.
    const READINGS: usize = 4;
    const LANES: i32 = 4;
    let (store, settings) = servers::new_store("usage_reading").await;
    let mut lane = LaneWriter::new(&store, "crowd", "AAAAAAAAAAAAAAAAAAAAAA", 0);
    lane.live(1, &[calls("crowd", 1)], &[]).await;
    let crowd = format!(
        "INSERT INTO counts SELECT concat('org-', toString(number)), meter, region, hour, fold, block, 1, level, bucket \
         FROM counts ARRAY JOIN range({ORGANIZATIONS}) AS number WHERE organization = 'crowd'"
    );
    crate::store::user(&settings).query_raw(&crowd).execute().await.unwrap();
    let read = tokio_util::sync::CancellationToken::new();
    let mut publishing = tokio::task::JoinSet::new();
    for partition in 0..LANES {
        let mut lane = LaneWriter::new(&store, "events", "AAAAAAAAAAAAAAAAAAAAAA", partition);
        let read = read.clone();
        publishing.spawn(async move {
            let (mut published, mut rolls, mut rows) = (0, 0, Vec::new());
            while !read.is_cancelled() {
                rows.push(lane.live(1, &[calls("acme", 1)], &[]).await);
                published += 1;
                if rows.len() == 5 {
                    rows = vec![lane.roll(&rows).await];
                    rolls += 1;
                }
            }
            (published, rolls)
        });
    }
    let mut services = Vec::new();
    for _ in 0..READINGS {
        services.push(Service::over(store.clone(), Wish::default()).await);
    }
    read.cancel();
    let (published, rolls) =
        publishing.join_all().await.into_iter().fold((0, 0), |all, lane| (all.0 + lane.0, all.1 + lane.1));
    assert!(rolls > 0, "{published} blocks and {rolls} rolls were published while everything was read");
    for service in services {
        service.usage_once("acme", "/usage/api_calls", published).await;
    }
}

#[tokio::test]
async fn the_month_turns() {
    let service = Service::new("usage_turn").await;
    let mut lane = service.lane(0);
    let december = |value| count("acme", "us", "api_calls", "2026-12-01T00:00:00Z", value);
    lane.live(2, &[calls("acme", 5), december(7)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 5).await;
    service.set_now("2026-11-30T23:59:59.999Z");
    assert_eq!(service.get("/v1/organizations/acme/usage").await.json()["month"], "2026-11");
    service.set_now("2026-12-01T00:00:00Z");
    let answer = service.get("/v1/organizations/acme/usage").await.json();
    assert_eq!((&answer["month"], &answer["usage"]["api_calls"]), (&json!("2026-12"), &json!(7)));
    lane.live(1, &[december(1)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 8).await;
    let november = service.get("/v1/organizations/acme/usage?month=2026-11").await.json();
    assert_eq!(november["usage"]["api_calls"], 5);
}

#[tokio::test]
async fn another_region_adds_up_and_one_that_is_silent_is_named() {
    let (eu, eu_settings) = servers::new_store("usage_region_eu").await;
    let mut eu_lane = LaneWriter::new(&eu, "events", "AAAAAAAAAAAAAAAAAAAAAA", 0);
    eu_lane.live(1, &[count("acme", "eu", "api_calls", "2026-11-02T00:00:00Z", 30)], &[]).await;
    eu_lane.see(1, "2026-11-23T17:59:30Z").await;
    let service =
        Service::with("usage_region_us", Wish { other: Some(("eu", eu_settings)), ..Wish::default() }).await;
    let mut lane = service.lane(0);
    lane.live(1, &[calls("acme", 12)], &[]).await;
    lane.see(1, "2026-11-23T18:00:00Z").await;
    // The one behind decides.
    let answer = service.usage_once("acme", "/complete_through", "2026-11-23T17:59:30Z").await;
    assert_eq!(answer["usage"]["api_calls"], 42);
    assert_eq!(answer["usage"]["regions"], 2);
    assert_eq!(answer["by_region"]["eu"]["api_calls"], 30);
    assert_eq!(answer["complete"], true);

    let nowhere = store::Settings { url: "http://127.0.0.1:1".into(), ..servers::store_settings("nowhere") };
    let (local, _) = servers::new_store("usage_region_alone").await;
    let mut lane = LaneWriter::new(&local, "events", "AAAAAAAAAAAAAAAAAAAAAA", 0);
    lane.live(1, &[calls("acme", 12)], &[]).await;
    lane.see(1, "2026-11-23T18:00:00Z").await;
    let service = Service::over(local, Wish { other: Some(("eu", nowhere)), ..Wish::default() }).await;
    let answer = service.usage_once("acme", "/complete_through", "2026-11-23T18:00:00Z").await;
    assert_eq!(answer["complete"], false);
    assert_eq!(answer["usage"]["api_calls"], 12);
    assert_eq!(answer["by_region"]["eu"], json!({ "error": "region eu does not answer" }));
    let series = service.get("/v1/organizations/acme/usage/series").await;
    assert_eq!((series.status.as_u16(), &*series.problem()), (503, "store-unavailable"));
}

#[tokio::test]
async fn a_region_that_went_silent_is_named_also_where_nothing_was_used_in_it() {
    let (_eu, eu_settings) = servers::new_store("usage_region_gone").await;
    let proxy = Proxy::before(&eu_settings.url).await;
    let through = store::Settings { url: proxy.url.clone(), ..eu_settings };
    let service =
        Service::with("usage_region_here", Wish { other: Some(("eu", through)), ..Wish::default() }).await;
    let mut lane = service.lane(0);
    lane.live(1, &[calls("acme", 12)], &[]).await;
    lane.see(1, "2026-11-23T18:05:00Z").await;
    let answer = service.usage_once("acme", "/usage/api_calls", 12).await;
    assert_eq!(answer["by_region"]["eu"], json!(null));
    drop(proxy);
    service.set_now("2026-11-23T18:05:00Z");
    // What was used there since is not known.
    let answer = service.usage_once("acme", "/by_region/eu/error", "region eu does not answer").await;
    assert_eq!((&answer["complete"], &answer["usage"]["api_calls"]), (&json!(false), &json!(12)));
}

#[tokio::test]
async fn a_store_that_is_away_is_said_and_memory_answers_on() {
    let (store, settings) = servers::new_store("usage_away").await;
    let proxy = Proxy::before(&settings.url).await;
    let through = Store::new(&store::Settings { url: proxy.url.clone(), ..settings }).unwrap();
    LaneWriter::new(&store, "events", "AAAAAAAAAAAAAAAAAAAAAA", 0).live(1, &[calls("acme", 4)], &[]).await;
    let service = Service::over(through, Wish::default()).await;
    service.usage_once("acme", "/usage/api_calls", 4).await;
    assert_eq!(service.get("/v1/organizations/nobody/usage").await.status, StatusCode::NOT_FOUND);
    drop(proxy);
    let ready = |expected: u16| {
        let service = &service;
        async move {
            let answer = service.send(request("GET", "/readyz", None)).await;
            if answer.status == expected { Ok(answer.json()) } else { Err(answer.text) }
        }
    };
    // As of the last time that the store answered it was not there, and was not asked for again.
    assert_eq!(service.get("/v1/organizations/nobody/usage").await.status, StatusCode::NOT_FOUND);
    let report = eventually("readyz to fail", || ready(503)).await;
    assert_eq!(report["ready"], false);
    let check = &report["checks"][0];
    assert_eq!((&check["name"], &check["ready"]), (&json!("clickhouse-us"), &json!(false)));
    assert!(check["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    service.set_now("2026-11-23T18:05:00Z");
    let answer = service.get("/v1/organizations/acme/usage").await;
    assert_eq!(answer.json()["usage"]["api_calls"], 4);
    assert_eq!(answer.json()["as_of"], "2026-11-23T18:00:01Z", "as of the last time it answered");
    // Whether either was used since is not known, although one was asked for before.
    for absent in ["nobody", "somebody"] {
        let answer = service.get(&format!("/v1/organizations/{absent}/usage")).await;
        assert_eq!((answer.status.as_u16(), &*answer.problem()), (503, "store-unavailable"), "{absent}");
    }
    let past = service.get("/v1/organizations/acme/usage?month=2026-10").await;
    assert_eq!((past.status.as_u16(), &*past.problem()), (503, "store-unavailable"));
    assert!(past.headers.contains_key("retry-after"));
}

/// Passes connections on until it is dropped.
struct Proxy {
    url: String,
    listening: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn before(url: &str) -> Self {
        let target = url.trim_start_matches("http://").to_owned();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let listening = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let target = target.clone();
                connections.spawn(async move {
                    let mut server = tokio::net::TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        Self { url: format!("http://{address}"), listening }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are its own and end with it.
        self.listening.abort();
    }
}

#[tokio::test]
async fn head_answers_as_get_without_a_body() {
    let service = Service::new("usage_head").await;
    service.lane(0).live(1, &[calls("acme", 4)], &[]).await;
    service.usage_once("acme", "/usage/api_calls", 4).await;
    let get = service.send(authorized("/v1/organizations/acme/usage")).await;
    let head = service.send(request("HEAD", "/v1/organizations/acme/usage", Some(super::TOKEN))).await;
    assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
    for name in ["content-type", "cache-control", "content-length"] {
        assert_eq!(head.headers.get(name), get.headers.get(name), "{name}");
    }
    assert_eq!(get.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_service_event_changes_the_counts_of_now() {
    let api = Service::new("usage_services").await;
    let mut lane = api.lane(0);
    lane.live(1, &[], &[service("acme", "a", "2026-11-10T00:00:00Z", true, false)]).await;
    api.usage_once("acme", "/usage/services", 1).await;
    // Later in the log, earlier in time: stale.
    lane.live(1, &[], &[service("acme", "a", "2026-11-09T00:00:00Z", false, true)]).await;
    lane.live(1, &[], &[service("acme", "b", "2026-11-11T00:00:00Z", true, true)]).await;
    let answer = api.usage_once("acme", "/usage/services", 2).await;
    assert_eq!(answer["usage"]["published_services"], 1);
    lane.live(1, &[], &[service("acme", "b", "2026-11-12T00:00:00Z", false, true)]).await;
    let answer = api.usage_once("acme", "/usage/services", 1).await;
    assert_eq!(answer["usage"]["published_services"], 0);
}
