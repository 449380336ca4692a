//! Taxes: by the book of the month, kept with the invoice, also on what comes late.

use odometer::rating::PriceBook;
use serde_json::{Value, json};

use super::{bill_by, biller_by, invoices, start_on_plus};
use crate::accounts::world::{TOKEN, World, calls, request, services};

/// The built-in prices, VAT that rises in November, and one organization that pays none.
fn book() -> PriceBook {
    let prices = include_str!("../../../fixtures/price-books/2023-09.yaml");
    let taxes = "
taxes:
  - { name: VAT, regions: [us], exempt: [charity], rates: [{ from: 2022-01, percent: 19 }, { from: 2026-11, percent: 20.5 }] }
";
    PriceBook::parse(&format!("{prices}{taxes}")).expect("a book")
}

fn tax_lines(invoice: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("null").to_owned();
    let lines = invoice["lines"].as_array().expect("lines").iter().filter(|line| line["kind"] == "tax");
    let lines = lines.inspect(|line| assert_eq!(line.get("corrects"), Some(&Value::Null), "no adjustment"));
    lines
        .map(|line| (text(&line["description"]), text(&line["amount"]), text(&line["taxes_correction_of"])))
        .collect()
}

#[tokio::test]
async fn what_is_taxed_stays_taxed_by_its_own_rate() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_taxes", url).await;
    world.set_clock("2026-09-20T00:00:00Z").await;
    for organization in ["acme", "charity"] {
        start_on_plus(&world, organization).await;
        let created = services(organization, "2026-09-20T00:00:00Z", 3);
        world.publish(&[calls(organization, "2026-10-10T00:00:00Z", 1_200_345)], &created).await;
    }
    world.set_clock("2026-11-01T00:00:00Z").await;
    let taxed = biller_by(&world, book());
    let billed = bill_by(&taxed, "2026-10").await;
    let told = billed.invoices.iter().map(|invoice| (invoice.subtotal, invoice.tax(), invoice.total));
    let told: Vec<String> = told.map(|(subtotal, tax, total)| format!("{subtotal} {tax} {total}")).collect();
    assert_eq!(told, ["356.11 67.66 423.77", "356.11 0.00 356.11"]);
    let october = &invoices(&world, "acme").await[0];
    let line = ("VAT 19 %: on 356.11 USD".to_owned(), "67.66".to_owned(), "null".to_owned());
    assert_eq!(tax_lines(october), [line]);
    assert_eq!(october["taxes"], json!([{ "name": "VAT", "percent": "19" }]));
    assert_eq!((&october["subtotal"], &october["total"]), (&json!("356.11"), &json!("423.77")));
    assert_eq!(october["amount_due"], "423.77");
    assert!(invoices(&world, "charity").await[0].get("taxes").is_none());
    shows_the_tax(&world).await;

    // 500,000 calls of October come late: 17.13 by October's rate, while November has its own.
    world.publish(&[calls("acme", "2026-10-31T00:00:00Z", 500_000)], &[]).await;
    world.set_clock("2026-12-01T00:00:00Z").await;
    bill_by(&taxed, "2026-11").await;
    let november = &invoices(&world, "acme").await[0];
    let late = "VAT 19 %: on 17.13 USD more in 2026-10, correcting invoice 2026-000001";
    let lines = [
        ("VAT 20.5 %: on 315.00 USD".to_owned(), "64.58".to_owned(), "null".to_owned()),
        // 19 % of 373.24 are 70.92, of which 67.66 were invoiced.
        (late.to_owned(), "3.26".to_owned(), "2026-000001".to_owned()),
    ];
    assert_eq!(tax_lines(november), lines);
    assert_eq!((&november["subtotal"], &november["total"]), (&json!("332.13"), &json!("399.97")));

    // Neither another region nor another book changes what was issued.
    world.operator("PUT", "/v1/organizations/acme/plan", json!({ "plan": "enterprise" })).await.good();
    world.operator("PUT", "/v1/organizations/acme/regions", json!({ "regions": ["eu"] })).await.good();
    let untaxed = biller_by(&world, PriceBook::built_in());
    for number in ["2026-000001", "2026-000002", "2026-000003", "2026-000004"] {
        let (verification, _) = untaxed.verify(number).await.expect("verify");
        assert!(verification.verified, "{verification:#?}");
    }
}

/// Whatever regions the operator sets later, and in whatever order.
#[tokio::test]
async fn taxes_are_those_of_the_region_of_the_sign_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("accounts.db").display());
    let mut world = World::new("bill_home", url).await;
    world.set_clock("2026-09-20T00:00:00Z").await;
    world.publish(&[calls("acme", "2026-10-10T00:00:00Z", 1_000_000)], &[]).await;
    let put = |organization: &str, what: &str, body: Value| {
        let path = format!("/v1/organizations/{organization}/{what}");
        let world = &world;
        async move { world.operator("PUT", &path, body).await.good() }
    };
    for organization in ["acme", "lost"] {
        start_on_plus(&world, organization).await;
        put(organization, "plan", json!({ "plan": "enterprise" })).await;
        let moved = put(organization, "regions", json!({ "regions": ["eu", "us"] })).await;
        assert_eq!(moved["home_region"], "us");
        put(organization, "regions", json!({ "regions": ["eu"] })).await;
        put(organization, "plan", json!({ "plan": "plus" })).await;
    }
    let forget = "UPDATE organizations SET home_region = NULL WHERE id = 'lost'";
    world.accounts.database().execute(forget, &[]).await.expect("forget a home");
    world.set_clock("2026-11-01T00:00:00Z").await;
    let taxed = biller_by(&world, book());
    let billed = bill_by(&taxed, "2026-10").await;
    let unbilled: Vec<_> = billed.unbilled.iter().collect();
    assert_eq!(unbilled.len(), 1);
    let (organization, cause) = unbilled[0];
    assert_eq!(organization, "lost");
    for words in ["home region is not known", "VAT", "PUT /v1/organizations/lost/regions"] {
        assert!(cause.contains(words), "{words}: {cause}");
    }
    let invoice = &invoices(&world, "acme").await[0];
    assert_eq!(invoice["tax_region"], "us");
    assert_eq!(invoice["taxes"], json!([{ "name": "VAT", "percent": "19" }]));
    // The operator gives it a home, and it is billed. It is not the right one.
    let found = put("lost", "regions", json!({ "regions": ["eu"] })).await;
    assert_eq!(found["home_region"], "eu");
    let billed = bill_by(&taxed, "2026-10").await;
    assert_eq!(billed.issued, 1, "{billed:?}");
    let invoice = &invoices(&world, "lost").await[0];
    assert_eq!((invoice["tax_region"].as_str(), invoice.get("taxes")), (Some("eu"), None));
    // It is mended from the next invoice on; what was issued stays.
    let mended = put("lost", "regions", json!({ "regions": ["eu"], "home_region": "us" })).await;
    assert_eq!((&mended["regions"], &mended["home_region"]), (&json!(["eu"]), &json!("us")));
    world.set_clock("2026-12-01T00:00:00Z").await;
    bill_by(&taxed, "2026-11").await;
    let told: Vec<_> =
        invoices(&world, "lost").await.iter().map(|invoice| invoice["tax_region"].clone()).collect();
    assert_eq!(told, ["us", "eu"]);
    for number in ["2026-000001", "2026-000002", "2026-000003", "2026-000004"] {
        let (verification, _) = taxed.verify(number).await.expect("verify");
        assert!(verification.verified, "{verification:#?}");
    }
}

async fn shows_the_tax(world: &World) {
    let mut asking = request(TOKEN, "GET", "/v1/organizations/acme/invoices/2026-000001", None);
    asking.headers_mut().insert("accept", "application/pdf".parse().expect("a header"));
    let document = world.fetch(asking).await;
    assert!(document.status == 200 && document.bytes.starts_with(b"%PDF-"));
}
