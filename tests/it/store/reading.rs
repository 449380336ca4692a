//! What other rooms read: one organization, everyone, series, watermarks, rules.

use odometer::aggregate::{CountRow, Fold, LedgerRow};
use odometer::event::{Format, Lane, Rules};
use odometer::store::{SeriesPoint, SeriesQuery, Store, Watermark, Window};

use super::{NOVEMBER_HOUR, NOVEMBER_MS, Writer, calls, count, greatest, servers, user};

const HOUR_MS: i64 = 3_600_000;
const DECEMBER_HOUR: u32 = NOVEMBER_HOUR + 30 * 24;

/// acme: 12 calls in November over two hours and regions, 100 in December; globex: 5.
async fn usage(store: &Store) -> Writer {
    let mut writer = Writer::new(store, "topic", 0);
    let eu = |row: CountRow| CountRow { region: "eu".to_owned(), ..row };
    let blocks: [&[CountRow]; 3] = [
        &[calls("acme", 1), count("acme", "api_calls", NOVEMBER_HOUR + 25, 2), greatest("acme", 9)],
        &[calls("acme", 4), eu(calls("acme", 5)), greatest("acme", 7), calls("globex", 5)],
        &[count("acme", "api_calls", DECEMBER_HOUR, 100)],
    ];
    for counts in blocks {
        writer.live(counts).await;
    }
    writer
}

#[tokio::test]
async fn one_organization_s_counts_by_hour() {
    let (store, _) = servers::new_store("organization").await;
    usage(&store).await;
    let rows = store.counts_of_organization("acme", NOVEMBER_HOUR..DECEMBER_HOUR).await.unwrap();
    let eu = CountRow { region: "eu".to_owned(), ..calls("acme", 5) };
    let later = count("acme", "api_calls", NOVEMBER_HOUR + 25, 2);
    assert_eq!(rows, [eu, calls("acme", 5), later, greatest("acme", 9)]);
    assert_eq!(store.counts_of_organization("nobody", 0..u32::MAX / 3600).await.unwrap(), []);
}

#[tokio::test]
async fn everyone_s_month_comes_in_order() {
    let (store, _) = servers::new_store("everyone").await;
    usage(&store).await;
    let counting: Vec<LedgerRow> =
        store.counting_rows().await.unwrap().into_iter().map(|row| row.row).collect();
    let mut rows = store.usage_of(&counting, &(NOVEMBER_HOUR..DECEMBER_HOUR)).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next().await.unwrap() {
        found.push((row.organization, row.region, row.meter, row.fold, row.value));
    }
    let row = |organization: &str, region: &str, meter: &str, fold, value| {
        (organization.to_owned(), region.to_owned(), meter.to_owned(), fold, value)
    };
    assert_eq!(
        found,
        [
            row("acme", "eu", "api_calls", Fold::Sum, 5),
            row("acme", "us", "api_calls", Fold::Sum, 7),
            row("acme", "us", "peak_size", Fold::Max, 9),
            row("globex", "us", "api_calls", Fold::Sum, 5),
        ]
    );
}

/// A filter on a view reaches the order of the tables below: one organization costs what it has, not
/// what everyone has.
#[tokio::test]
async fn one_organization_is_read_without_the_others() {
    const ROWS: u32 = 300_000;
    let (store, settings) = servers::new_store("one").await;
    let client = user(&settings);
    let mut writer = Writer::new(&store, "topic", 0);
    let row = writer.live(&[calls("acme", 7)]).await;
    let change = odometer::aggregate::ServiceRow {
        organization: "acme".to_owned(),
        region: "us".to_owned(),
        service: "billing".to_owned(),
        version: 1,
        time_ms: NOVEMBER_MS,
        source: String::new(),
        id: "1".to_owned(),
        exists: Some(true),
        published: Some(true),
        name: None,
    };
    store.insert_block(&row, &[], &[change]).await.unwrap();
    for statement in [
        "INSERT INTO counts SELECT concat('org-', toString(number)), 'api_calls', 'us', hour, fold, block, 1, level, \
            bucket FROM counts ARRAY JOIN range(300000) AS number WHERE organization = 'acme'",
        "INSERT INTO service_changes SELECT concat('org-', toString(number)), region, service, version, time, source, \
            id, existing, published, name, block, level, bucket \
            FROM service_changes ARRAY JOIN range(300000) AS number WHERE organization = 'acme'",
    ] {
        client.query_raw(statement).execute().await.unwrap();
    }
    for (view, rows) in [("usage_monthly", ROWS + 1), ("usage_hourly", ROWS + 1), ("services", ROWS + 1)] {
        let count = async |filter: &str, most: u32| -> clickhouse::error::Result<u64> {
            let sql = format!(
                "SELECT count() FROM (SELECT * FROM {view} {filter}) SETTINGS max_rows_to_read = {most}"
            );
            client.query(&sql).fetch_one().await
        };
        assert_eq!(count("", 2 * ROWS).await.unwrap(), u64::from(rows), "{view}");
        assert!(count("", ROWS / 10).await.is_err(), "{view}: everyone needs everything");
        assert_eq!(count("WHERE organization = 'acme'", ROWS / 10).await.unwrap(), 1, "{view}");
    }
}

/// A day of a lane that nobody could roll up.
#[tokio::test]
async fn many_blocks_may_be_asked_for_at_once() {
    let (store, _) = servers::new_store("many").await;
    let mut writer = usage(&store).await;
    let mut rows: Vec<LedgerRow> = (0..90_000).map(|_| writer.row(1, &[])).collect();
    rows.extend(store.history(&writer.lane).await.unwrap().rows);
    let mut usage = store.usage_of(&rows, &(NOVEMBER_HOUR..DECEMBER_HOUR)).unwrap();
    let mut sum = 0;
    while let Some(row) = usage.next().await.unwrap() {
        sum += row.value;
    }
    assert_eq!(sum, 12 + 9 + 5);
    let mut counts = store.counts_of(&rows).unwrap();
    let mut read = 0;
    while counts.next().await.unwrap().is_some() {
        read += 1;
    }
    assert_eq!(read, 8);
}

#[tokio::test]
async fn a_series_by_hour_day_and_month() {
    let (store, _) = servers::new_store("series").await;
    usage(&store).await;
    let point = |start_ms, region: &str, value| SeriesPoint {
        start_ms,
        region: region.to_owned(),
        meter: "api_calls".to_owned(),
        value,
    };
    let day = NOVEMBER_MS + 24 * HOUR_MS;
    let december = NOVEMBER_MS + 30 * 24 * HOUR_MS;
    let query = SeriesQuery {
        organization: "acme",
        hours: NOVEMBER_HOUR..DECEMBER_HOUR + 1,
        window: Window::Hour,
        meter: Some("api_calls"),
        region: None,
    };
    assert_eq!(
        store.series(&query).await.unwrap(),
        [
            point(NOVEMBER_MS, "eu", 5),
            point(NOVEMBER_MS, "us", 5),
            point(day + HOUR_MS, "us", 2),
            point(december, "us", 100),
        ]
    );
    let by_day = SeriesQuery { window: Window::Day, region: Some("us"), ..query.clone() };
    assert_eq!(
        store.series(&by_day).await.unwrap(),
        [point(NOVEMBER_MS, "us", 5), point(day, "us", 2), point(december, "us", 100)]
    );
    let by_month = SeriesQuery { window: Window::Month, region: Some("us"), ..query.clone() };
    assert_eq!(
        store.series(&by_month).await.unwrap(),
        [point(NOVEMBER_MS, "us", 7), point(december, "us", 100)]
    );
    let every_meter = SeriesQuery { meter: None, hours: NOVEMBER_HOUR..NOVEMBER_HOUR + 1, ..query };
    assert_eq!(store.series(&every_meter).await.unwrap().len(), 3);
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let (store, _) = servers::new_store("names").await;
    let name = "a'b\\c\td\n`e\"{}?? \u{1F600}; DROP TABLE counts --";
    Writer::new(&store, name, 0).live(&[calls(name, 3), count(name, "m'", NOVEMBER_HOUR, 4)]).await;
    let rows = store.counts_of_organization(name, 0..DECEMBER_HOUR).await.unwrap();
    assert_eq!(rows, [calls(name, 3), count(name, "m'", NOVEMBER_HOUR, 4)]);
}

#[tokio::test]
async fn a_topic_s_first_number_of_partitions_stays() {
    let (store, _) = servers::new_store("partitions").await;
    let lane =
        |topic_id: &str, partition| Lane { topic: "topic".into(), topic_id: topic_id.into(), partition };
    assert_eq!(store.first_partitions(&lane("one", 3), 4).await.unwrap(), 4);
    assert_eq!(store.first_partitions(&lane("one", 7), 8).await.unwrap(), 4);
    assert_eq!(store.first_partitions(&lane("another", 7), 8).await.unwrap(), 8);
}

#[tokio::test]
async fn a_lane_is_complete_through_the_last_look_that_the_ledger_reached() {
    let (store, _) = servers::new_store("watermarks").await;
    let (one, two) = (Writer::new(&store, "topic", 0).lane, Writer::new(&store, "topic", 1).lane);
    let mark = |lane: &odometer::event::Lane, high, observed_at_ms| Watermark {
        lane: lane.clone(),
        high,
        observed_at_ms,
    };
    let at = NOVEMBER_MS;
    store
        .write_watermarks(&[mark(&one, 5, at), mark(&one, 9, at + 1000), mark(&two, 3, at + 500)])
        .await
        .unwrap();
    store.write_watermarks(&[mark(&one, 9, at + 2000), mark(&one, 12, at + 3000)]).await.unwrap();
    store.write_watermarks(&[]).await.unwrap();
    let mut progress = store.progress(&[(one.clone(), 10), (two.clone(), 2)]).await.unwrap();
    progress.sort_by(|a, b| a.lane.cmp(&b.lane));
    assert_eq!(progress.len(), 2);
    assert_eq!(progress[0].complete_through_ms, Some(at + 2000));
    assert_eq!(progress[0].newest, mark(&one, 12, at + 3000));
    assert_eq!(progress[1].complete_through_ms, None);
    assert_eq!(store.progress(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn rules_are_kept_under_their_hash() {
    let (store, _) = servers::new_store("rules").await;
    let rules = Rules {
        format: Format::Cloudevents,
        organization: Some("data.o'rg".to_owned()),
        region: None,
        default_region: "us".to_owned(),
        meters: Vec::new(),
        dedup_window: 7,
        accept_past_ms: 1,
        accept_future_ms: 2,
        max_event_bytes: 3,
    };
    assert_eq!(store.rules(rules.hash()).await.unwrap(), None);
    for _ in 0..2 {
        store.store_rules(&rules).await.unwrap();
    }
    assert_eq!(store.rules(rules.hash()).await.unwrap(), Some(rules));
}
