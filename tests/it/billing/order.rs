//! Lists and numbers are in the order of the ids' bytes, whatever the database's locale orders them by.

use odometer::accounts::Page;

use super::{bill, start_on_plus};
use crate::accounts::world::{World, calls};
use crate::servers;

/// In the order of their bytes; English orders them otherwise.
const ORGANIZATIONS: [&str; 6] = ["Zulu", "a-c", "a.b", "ab", "acme", "b"];

#[tokio::test]
async fn ids_and_numbers_have_one_order_on_every_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = format!("sqlite://{}", folder.path().join("accounts.db").display());
    for url in [file, servers::new_postgres_database("order").await] {
        let mut world = World::new("bill_order", url).await;
        world.set_clock("2026-10-01T00:00:00Z").await;
        for organization in ["ab", "Zulu", "b", "acme", "a.b", "a-c"] {
            start_on_plus(&world, organization).await;
        }
        world.publish(&[calls("acme", "2026-10-10T00:00:00Z", 1_000_000)], &[]).await;
        world.set_clock("2026-11-01T00:00:00Z").await;
        let billed = bill(&world, "2026-10").await;
        let told: Vec<(&str, &str)> = billed
            .invoices
            .iter()
            .map(|invoice| (invoice.organization.as_str(), invoice.number.as_deref().expect("a number")))
            .collect();
        let numbers: Vec<String> = (1..=6).map(|number| format!("2026-{number:06}")).collect();
        let expected: Vec<(&str, &str)> =
            ORGANIZATIONS.into_iter().zip(numbers.iter().map(String::as_str)).collect();
        assert_eq!(told, expected);
        let mut listed = Vec::new();
        let mut cursor = None;
        loop {
            let page = Page::new(Some(2), cursor);
            let list = world.accounts.organizations(&page).await.expect("a list");
            listed.extend(list.data.into_iter().map(|answer| answer.id));
            cursor = list.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(listed, ORGANIZATIONS);
    }
}
