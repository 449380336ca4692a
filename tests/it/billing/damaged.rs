//! What is damaged of one organization keeps no other waiting, and is billed once it is mended.

use odometer::accounts::Caller;
use odometer::accounts::database::Value as Stored;
use odometer::billing::{Biller, Order, all_left_out};
use tokio_util::sync::CancellationToken;

use super::{Billed, bill, bill_by, biller, field, invoices, start_on_plus, verify};
use crate::accounts::world::{World, calls, services};
use crate::servers;

async fn execute(world: &World, sql: &'static str, values: &[Stored]) {
    world.accounts.database().execute(sql, values).await.expect("write");
}

fn left_out_of(billed: &Billed) -> Vec<&str> {
    billed.unbilled.iter().map(|(organization, _)| organization).collect()
}

#[tokio::test]
async fn one_that_can_not_be_billed_keeps_no_other_waiting() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_damaged", url).await;
    world.set_clock("2026-10-01T00:00:00Z").await;
    for organization in ["acme", "mike", "zulu"] {
        start_on_plus(&world, organization).await;
        let created = services(organization, "2026-10-01T00:00:00Z", 1);
        world.publish(&[calls(organization, "2026-10-10T00:00:00Z", 1_000_000)], &created).await;
    }
    // A plan that nobody knows, and a credit that is no amount.
    let plan = "UPDATE plan_periods SET plan = 'gold' WHERE organization = 'acme' AND to_ms IS NULL";
    execute(&world, plan, &[]).await;
    let credit = "INSERT INTO invoice_credits (organization, amount) VALUES ('zulu', 'much')";
    execute(&world, credit, &[]).await;
    world.set_clock("2026-11-01T00:00:00Z").await;
    let billed = bill(&world, "2026-10").await;
    assert_eq!((left_out_of(&billed), billed.issued), (vec!["acme", "zulu"], 1));
    let error = loop {
        // What is complete is read from memory, which follows the ledger.
        match biller(&world).bill_due().await {
            Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(25)).await,
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains("2 organizations could not be billed, the first of them acme"), "{error}");
    assert_eq!(field(&invoices(&world, "mike").await, "number"), ["2026-000001"]);

    // While they are damaged no later month of theirs is billed: what came late would be forgotten.
    world.publish(&[calls("zulu", "2026-10-31T00:00:00Z", 1_000_000)], &[]).await;
    execute(&world, "UPDATE invoice_credits SET amount = x'ff'", &[]).await;
    world.set_clock("2026-12-01T00:00:00Z").await;
    let billed = bill(&world, "2026-11").await;
    assert_eq!((left_out_of(&billed), billed.issued), (vec!["acme", "zulu"], 1));
    execute(&world, "UPDATE plan_periods SET plan = 'plus' WHERE plan = 'gold'", &[]).await;
    execute(&world, "DELETE FROM invoice_credits", &[]).await;
    let billed = bill(&world, "2026-11").await;
    assert_eq!((left_out_of(&billed), billed.issued), (Vec::new(), 4));
    let zulu = invoices(&world, "zulu").await;
    assert_eq!(field(&zulu, "month"), ["2026-11", "2026-10"]);
    // One service, and the million calls that came late.
    assert_eq!(field(&zulu, "total"), ["139.25", "139.25"]);
    for organization in ["acme", "mike", "zulu"] {
        for invoice in invoices(&world, organization).await {
            verify(&world, invoice["number"].as_str().expect("a number")).await;
        }
    }
}

/// Whoever could be billed is not computed again because another could not.
#[tokio::test]
async fn only_what_is_unbilled_is_computed_again() {
    for url in [None, Some(servers::new_postgres_database("bill_again").await)] {
        let folder = tempfile::tempdir().expect("a folder");
        let file = format!("sqlite://{}", folder.path().join("accounts.db").display());
        let mut world = World::new("bill_again", url.unwrap_or(file)).await;
        world.set_clock("2026-10-01T00:00:00Z").await;
        for organization in ["acme", "mike", "zulu"] {
            start_on_plus(&world, organization).await;
            world.publish(&[calls(organization, "2026-10-10T00:00:00Z", 1_000_000)], &[]).await;
        }
        execute(
            &world,
            "UPDATE plan_periods SET plan = 'gold' WHERE organization = 'acme' AND to_ms IS NULL",
            &[],
        )
        .await;
        for (now, month) in [("2026-11-01T00:00:00Z", "2026-10"), ("2026-12-01T00:00:00Z", "2026-11")] {
            world.set_clock(now).await;
            assert_eq!(bill(&world, month).await.issued, 2);
        }
        let left_out = async || all_left_out(world.accounts.database()).await.expect("who is left out");
        let told: Vec<String> =
            left_out().await.iter().map(|one| format!("{} {}", one.organization, one.month)).collect();
        assert_eq!(told, ["acme 2026-10", "acme 2026-11"]);
        assert!(left_out().await[0].cause.contains("gold"));
        // One that was taken out of the database by hand since.
        let gone = "INSERT INTO unbilled SELECT sequence, 'gone', 'damaged' FROM closings";
        execute(&world, gone, &[]).await;
        // Were it computed again, it would be there again.
        execute(&world, "DELETE FROM invoices WHERE organization = 'mike' AND month = '2026-11'", &[]).await;
        let billed = bill(&world, "2026-11").await;
        assert_eq!((left_out_of(&billed), billed.issued), (vec!["acme"], 0));
        let order = Order { month: "2026-11".parse().unwrap(), only: Some("mike"), dry_run: false };
        assert_eq!(biller(&world).bill(&Caller::operator(), order).await.unwrap().issued, 0);
        execute(&world, "UPDATE plan_periods SET plan = 'plus' WHERE plan = 'gold'", &[]).await;
        let billed = bill(&world, "2026-11").await;
        assert_eq!((left_out_of(&billed), billed.issued), (Vec::new(), 2));
        assert_eq!(left_out().await, []);
        let unfinished = "SELECT COUNT(*) FROM closings WHERE finished = 0";
        let rows = world.accounts.database().fetch_all(unfinished, &[]).await.expect("closings");
        assert_eq!(rows[0].integer(0).expect("a number"), 0);
    }
}

#[tokio::test]
async fn an_earlier_invoice_that_can_not_be_read_holds_its_own_organization_alone() {
    let url = servers::new_postgres_database("bill_unreadable").await;
    let mut world = World::new("bill_unreadable", url).await;
    world.set_clock("2026-10-01T00:00:00Z").await;
    for organization in ["acme", "zulu"] {
        start_on_plus(&world, organization).await;
        world.publish(&[calls(organization, "2026-10-10T00:00:00Z", 1_000_000)], &[]).await;
    }
    world.set_clock("2026-11-01T00:00:00Z").await;
    bill(&world, "2026-10").await;
    let content = "UPDATE invoices SET content = '{}' WHERE organization = 'acme'";
    execute(&world, content, &[]).await;
    for organization in ["acme", "zulu"] {
        world.publish(&[calls(organization, "2026-10-31T00:00:00Z", 1_000_000)], &[]).await;
    }
    world.set_clock("2026-12-01T00:00:00Z").await;
    let billed = bill(&world, "2026-11").await;
    assert_eq!((left_out_of(&billed), billed.issued), (vec!["acme"], 1));
    assert_eq!(field(&invoices(&world, "zulu").await, "total"), ["34.25", "34.25"]);
}

#[tokio::test]
async fn told_to_stop_it_ends_between_stretches_and_goes_on_when_run_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_stopped", url).await;
    world.set_clock("2026-10-01T00:00:00Z").await;
    start_on_plus(&world, "acme").await;
    world.publish(&[calls("acme", "2026-10-10T00:00:00Z", 1_000_000)], &[]).await;
    world.set_clock("2026-11-01T00:00:00Z").await;
    let stop = CancellationToken::new();
    stop.cancel();
    let stopping: Biller = biller(&world).until(stop);
    let billed = bill_by(&stopping, "2026-10").await;
    assert!(billed.stopped && billed.issued == 1, "{billed:?}");
    let again = bill(&world, "2026-10").await;
    assert!(!again.stopped && again.issued == 0 && again.finalized, "{again:?}");
}
