//! Several regions: metered apart, invoiced together.

use std::ops::Range;
use std::sync::Arc;

use odometer::accounts::Caller;
use odometer::aggregate::{BlockId, BlockKind, CountRow, LedgerRow, ServiceRow, Tally};
use odometer::billing::{Biller, BillingError, Order};
use odometer::event::{HOUR_MS, Lane, RulesHash};
use odometer::rating::PriceBook;
use odometer::snapshot::completeness::Acceptance;
use odometer::snapshot::{Deployment, deployment};
use odometer::store::{Store, Watermark};

use super::{biller, field, invoices, start_on_plus};
use crate::accounts::world::{World, at, calls, services};
use crate::servers;

fn lane() -> Lane {
    Lane { topic: "events".into(), topic_id: "BAAAAAAAAAAAAAAAAAAAAA".into(), partition: 0 }
}

/// One block of one record.
async fn publish(store: &Store, offset: i64, count: CountRow, services: &[ServiceRow]) {
    let times = services.iter().map(|service| service.time_ms).chain([i64::from(count.hour) * HOUR_MS]);
    let row = LedgerRow {
        lane: lane(),
        group: "odometer".to_owned(),
        token: 1,
        tenure: 1,
        sequence: u64::try_from(offset).expect("an offset"),
        block: BlockId(rand::random()),
        kind: BlockKind::Live,
        level: 0,
        first_offset: offset,
        next_offset: offset + 1,
        tally: Tally { counted: 1, ..Tally::default() },
        quantity: count.value,
        times: times.clone().min().zip(times.max()),
        window_from: 0,
        leader_epoch: 0,
        digest: rand::random(),
        rules: RulesHash(0),
        loss: String::new(),
    };
    store.insert_block(&row, &[count], services).await.expect("insert a block");
    store.publish(&row).await.expect("publish a block");
}

/// Services of acme that were made and deleted at these instants.
fn existing(region: &str, ids: Range<usize>, from: &str, to: &str) -> Vec<ServiceRow> {
    let changes = [(from, true), (to, false)].into_iter().flat_map(|(time, exists)| {
        let all = services("acme", time, ids.end).into_iter().skip(ids.start);
        all.map(move |row| ServiceRow { exists: Some(exists), region: region.to_owned(), ..row })
    });
    changes.collect()
}

async fn look(store: &Store, high: i64, now: &str) {
    let mark = Watermark { lane: lane(), high, observed_at_ms: at(now) };
    store.write_watermarks(&[mark]).await.expect("write a watermark");
}

#[tokio::test]
async fn a_month_is_closed_when_every_region_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_regions", url).await;
    let (store, _) = servers::new_store("bill_regions_eu").await;
    let settings = deployment::Settings {
        region: "eu".into(),
        topics: Vec::new(),
        acceptance: Acceptance { past_ms: 35 * 24 * HOUR_MS, future_ms: HOUR_MS },
    };
    let eu = Arc::new(Deployment::new(settings, store.clone(), world.accounts.clock().clone()));
    let regions = vec![world.deployment.clone(), eu];
    let both = Biller::new(world.accounts.clone(), regions, PriceBook::built_in());
    let bill = async |month: &str| {
        let order = Order { month: month.parse().expect("a month"), only: None, dry_run: false };
        both.bill(&Caller::operator(), order).await.expect("bill")
    };

    world.set_clock("2026-10-01T00:00:00Z").await;
    start_on_plus(&world, "acme").await;
    let used = calls("acme", "2026-10-10T00:00:00Z", 1_000_000);
    world.publish(&[used], &services("acme", "2026-10-01T00:00:00Z", 1)).await;
    publish(&store, 0, calls("acme", "2026-10-11T00:00:00Z", 200_345), &[]).await;
    look(&store, 1, "2026-10-31T00:00:00Z").await;
    world.set_clock("2026-11-01T00:00:00Z").await;
    let waiting = bill("2026-10").await.waiting.expect("a reason");
    assert_eq!(waiting.reason, "region eu has not counted every event of 2026-10 yet");
    assert_eq!(waiting.complete_through.map(|time| time.0), Some(at("2026-10-31T00:00:00Z")));

    look(&store, 1, "2026-11-01T00:00:00Z").await;
    assert!(bill("2026-10").await.finalized);
    let made = invoices(&world, "acme").await;
    // 105.00, and 1,200,345 calls of both regions: 41.11.
    assert_eq!(field(&made, "total"), ["146.11"]);
    let ends: Vec<_> = made[0]["ledger"].as_array().unwrap().iter().map(|end| &end["region"]).collect();
    assert_eq!(ends, ["us", "eu"]);

    // What comes late in the other region is adjusted too.
    let used = calls("acme", "2026-10-12T00:00:00Z", 100_000);
    publish(&store, 1, used, &existing("eu", 1..3, "2026-11-16T00:00:00Z", "2026-11-20T00:00:00Z")).await;
    // Services are counted together, at one instant: two here and then one with the two of there.
    let here = existing("us", 1..2, "2026-11-10T00:00:00Z", "2026-11-15T00:00:00Z");
    world.publish(&[], &here).await;
    look(&store, 2, "2026-12-01T00:00:00Z").await;
    world.set_clock("2026-12-01T00:00:00Z").await;
    bill("2026-11").await;
    let made = invoices(&world, "acme").await;
    // Three services, and 1,300,345 calls cost 44.54.
    assert_eq!(field(&made, "total"), ["318.43", "146.11"]);
    for invoice in &made {
        let (verification, _) = both.verify(invoice["number"].as_str().unwrap()).await.expect("verify");
        assert!(verification.verified, "{verification:#?}");
    }

    // Who reads one region alone would take the other's usage for gone.
    let alone = biller(&world).verify(made[0]["number"].as_str().unwrap()).await;
    assert!(matches!(alone, Err(BillingError::RegionMissing { .. })), "{alone:?}");
    world.set_clock("2027-01-01T00:00:00Z").await;
    let closed = biller(&world).close(&Caller::operator(), "2026-12".parse().unwrap()).await.expect("look");
    let reason = "region eu was billed before and is not in `regions` here";
    assert_eq!(closed.expect_err("a reason to wait").reason, reason);
}
