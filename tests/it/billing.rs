//! Invoices on the databases that they are kept in, over a real ledger, under a test clock.

mod command;
mod damaged;
mod estimates;
mod half_done;
mod older;
mod oracle;
mod order;
mod quarter;
mod regions;
mod story;
mod tampered;
mod taxes;
mod voids;

use odometer::accounts::Caller;
use odometer::billing::{Billed, Biller, Order};
use odometer::rating::PriceBook;
use serde_json::{Value, json};

use crate::accounts::world::World;

fn biller(world: &World) -> Biller {
    biller_by(world, PriceBook::built_in())
}

fn biller_by(world: &World, book: PriceBook) -> Biller {
    Biller::new(world.accounts.clone(), vec![world.deployment.clone()], book)
}

pub async fn bill(world: &World, month: &str) -> Billed {
    bill_by(&biller(world), month).await
}

async fn bill_by(biller: &Biller, month: &str) -> Billed {
    let order = Order { month: month.parse().expect("a month"), only: None, dry_run: false };
    biller.bill(&Caller::operator(), order).await.expect("bill")
}

/// Signs up and goes to Plus at once.
pub async fn start_on_plus(world: &World, organization: &str) {
    world.sign_up(organization).await;
    let path = format!("/v1/organizations/{organization}");
    let method = json!({ "token": "tok_ok", "brand": "visa", "last4": "4242", "exp": "11/2039" });
    world.operator("POST", &format!("{path}/payment-methods"), method).await.good();
    world.operator("DELETE", &format!("{path}/plan"), Value::Null).await.good();
    world.operator("PUT", &format!("{path}/plan"), json!({ "plan": "plus" })).await.good();
}

/// The organization's invoices, the latest first.
pub async fn invoices(world: &World, organization: &str) -> Vec<Value> {
    let answer = world.get(&format!("/v1/organizations/{organization}/invoices")).await.good();
    assert_eq!(answer["next_cursor"], Value::Null);
    answer["data"].as_array().expect("a list").clone()
}

fn field<'a>(invoices: &'a [Value], name: &str) -> Vec<&'a str> {
    invoices.iter().map(|invoice| invoice[name].as_str().unwrap_or("null")).collect()
}

/// The invoice comes out again, from the ledger as it stood.
async fn verify(world: &World, number: &str) {
    let (verification, _) = biller(world).verify(number).await.expect("verify");
    assert!(verification.verified, "{verification:#?}");
}
