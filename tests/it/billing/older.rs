//! Invoices that an older version left: from before taxes, voiding and homes were known, and before an
//! invoice named its entry of the account log.

use std::collections::HashSet;

use axum::http::{HeaderValue, header};
use odometer::accounts::{Accounts, Settings};
use serde_json::json;

use super::{bill, invoices, start_on_plus, verify};
use crate::accounts::world::{TOKEN, World, calls, request, services};
use crate::servers;

/// Takes back what the migrations after 0004 made, as if they had never run.
const BACK: [&str; 12] = [
    "DROP INDEX organizations_by_age",
    "ALTER TABLE invoices DROP COLUMN issued_entry",
    "DROP INDEX audit_log_of_invoices",
    "DROP TABLE unbilled",
    "ALTER TABLE closings DROP COLUMN passed",
    "ALTER TABLE organizations DROP COLUMN home_region",
    "DROP INDEX provider_events_by_age",
    "DROP INDEX invoices_by_void",
    "ALTER TABLE invoices DROP COLUMN void_after",
    "ALTER TABLE invoices DROP COLUMN void_reason",
    "ALTER TABLE invoices DROP COLUMN subtotal",
    "DELETE FROM _sqlx_migrations WHERE version > 4",
];

#[tokio::test]
async fn invoices_from_before_taxes_are_read_shown_and_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite://{}", folder.path().join("accounts.db").display());
    for url in [file, servers::new_postgres_database("older").await] {
        let mut world = World::new("bill_older", url.clone()).await;
        world.set_clock("2026-09-20T00:00:00Z").await;
        start_on_plus(&world, "acme").await;
        let used = [calls("acme", "2026-10-10T00:00:00Z", 1_200_345)];
        world.publish(&used, &services("acme", "2026-09-20T00:00:00Z", 3)).await;
        world.set_clock("2026-11-01T00:00:00Z").await;
        bill(&world, "2026-10").await;
        let before = invoices(&world, "acme").await;
        for sql in BACK {
            let done = world.accounts.database().execute(sql, &[]).await;
            done.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let migrated = Accounts::open(&Settings { test_clock: true, ..Settings::new(url) }).await;
        migrated.expect("migrate").close().await;

        assert_eq!(invoices(&world, "acme").await, before);
        assert_eq!((&before[0]["subtotal"], &before[0]["total"]), (&json!("356.11"), &json!("356.11")));
        let number = before[0]["number"].as_str().expect("a number");
        let mut asked = request(TOKEN, "GET", &format!("/v1/organizations/acme/invoices/{number}"), None);
        asked.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/pdf"));
        let pdf = world.fetch(asked).await;
        assert_eq!(pdf.status, 200);
        assert!(pdf.bytes.starts_with(b"%PDF-"));
        verify(&world, number).await;

        // It is listed with its total as the subtotal, and what came late is adjusted as ever.
        world.publish(&[calls("acme", "2026-10-31T00:00:00Z", 500_000)], &[]).await;
        world.set_clock("2026-12-01T00:00:00Z").await;
        let billed = bill(&world, "2026-10").await;
        assert_eq!(billed.invoices[0].subtotal.to_string(), "356.11");
        bill(&world, "2026-11").await;
        let made = invoices(&world, "acme").await;
        assert_eq!((&made[0]["total"], &made[0]["tax_region"]), (&json!("332.13"), &json!(null)));
        let numbers: HashSet<&str> = made.iter().filter_map(|invoice| invoice["number"].as_str()).collect();
        assert_eq!(numbers.len(), 2);
        for number in numbers {
            verify(&world, number).await;
        }
    }
}
