//! `POST …/invoices/{number}/pay`, and what a month's billing collects.

use std::sync::Arc;
use std::time::Duration;

use odometer::accounts::{Accounts, Caller};
use odometer::billing::payment::{Occasion, Payments, Settings};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::faults::{Fault, Faulty};
use crate::accounts::database::{Database, on_both_databases};
use crate::accounts::world::{Answer, TOKEN, World, calls, services};
use crate::billing::{bill, invoices, start_on_plus};

on_both_databases! {
    an_admin_pays_an_open_invoice_once,
    of_two_who_pay_at_once_one_is_told_to_wait,
    a_declined_payment_is_told_and_made_good,
    a_month_s_invoices_are_collected_by_themselves,
}

struct Shop {
    world: World,
    payments: Payments,
    _folder: TempDir,
}

impl Shop {
    /// Two organizations on Plus that owe for October.
    async fn new(database: Database, test: &str) -> Self {
        let (url, folder) = database.create(test).await;
        let mut made = None;
        let adjust = |app: odometer::http::App, accounts: &Arc<Accounts>| {
            let payments = Payments::new(accounts.clone(), &Settings::Sandbox).expect("payments");
            made = Some(payments.clone());
            app.with_payments(payments)
        };
        let mut world = World::with(test, url, adjust).await;
        world.set_clock("2026-09-30T00:00:00Z").await;
        for organization in ["acme", "zulu"] {
            start_on_plus(&world, organization).await;
            let used = [calls(organization, "2026-10-10T00:00:00Z", 1_200_345)];
            world.publish(&used, &services(organization, "2026-10-01T00:00:00Z", 3)).await;
        }
        world.set_clock("2026-11-01T00:00:00Z").await;
        bill(&world, "2026-10").await;
        Self { world, payments: made.expect("payments"), _folder: folder }
    }

    async fn pay(&self, token: &str, organization: &str, number: &str) -> Answer {
        let path = format!("/v1/organizations/{organization}/invoices/{number}/pay");
        self.world.call(token, "POST", &path, None).await
    }

    async fn set_up(&self, organization: &str, token: &str) {
        let path = format!("/v1/organizations/{organization}/payment-methods");
        let method = json!({ "token": token, "brand": "visa", "last4": "4242", "exp": "11/2039" });
        let added = self.world.operator("POST", &path, method).await.good();
        let path = format!("{path}/{}/default", added["id"].as_str().expect("an id"));
        self.world.operator("PUT", &path, Value::Null).await.good();
    }

    async fn status(&self, organization: &str) -> Value {
        self.world.get(&format!("/v1/organizations/{organization}")).await.good()["status"].clone()
    }
}

async fn an_admin_pays_an_open_invoice_once(database: Database) {
    let shop = Shop::new(database, "pay_once").await;
    let open = &invoices(&shop.world, "acme").await[0];
    let number = open["number"].as_str().unwrap();
    assert_eq!((&open["state"], &open["amount_due"]), (&json!("open"), &json!("356.11")));
    let (viewer, admin, other) = (
        shop.world.new_key("acme", "viewer").await,
        shop.world.new_key("acme", "admin").await,
        shop.world.new_key("zulu", "admin").await,
    );
    assert_eq!(shop.pay(&viewer, "acme", number).await.refusal(), (403, "role"));
    assert_eq!(shop.pay(&other, "acme", number).await.refusal(), (404, "organization-not-found"));
    assert_eq!(shop.pay(&other, "zulu", number).await.refusal(), (404, "not-found"));
    let paid = shop.pay(&admin, "acme", number).await.good();
    assert_eq!((&paid["state"], &paid["amount_due"]), (&json!("paid"), &json!("0.00")));
    assert_eq!(paid["paid_at"], "2026-11-01T00:00:00Z");
    assert_eq!((&paid["total"], &paid["digest"]), (&open["total"], &open["digest"]));
    assert_eq!(shop.pay(&admin, "acme", number).await.good(), paid);
    let rows = shop.world.accounts.database().fetch_all("SELECT request FROM sandbox_charges", &[]).await;
    let rows = rows.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].text(0).unwrap(), format!("356.11 USD for {number} from tok_ok"));
}

/// Whoever asks while another one has the provider asked is told so, and changes nothing.
async fn of_two_who_pay_at_once_one_is_told_to_wait(database: Database) {
    let shop = Shop::new(database, "pay_twice").await;
    let accounts = &shop.world.accounts;
    let number = invoices(&shop.world, "acme").await[0]["number"].as_str().unwrap().to_owned();
    let hanging = Faulty::over(accounts, || Fault::Hang, || Fault::None);
    let hanging = Payments::through(accounts.clone(), Arc::new(hanging));
    let operator = Caller::operator();
    let first = hanging.collect(&operator, &number, Occasion::Asked);
    // An attempt is written down before the provider hears of it.
    let begun = async {
        let attempts = "SELECT 1 FROM payment_attempts";
        while accounts.database().fetch_all(attempts, &[]).await.expect("read").is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        collected = first => panic!("nothing answers, yet {collected:?}"),
        () = begun => {}
    }
    assert_eq!(shop.pay(TOKEN, "acme", &number).await.refusal(), (409, "conflict"));
    assert_eq!(shop.status("acme").await, "active", "nothing failed");
    // Nobody comes back: once the first has had its time, the provider is asked what became of it.
    let sql = "UPDATE payment_attempts SET look_again_ms = 0";
    accounts.database().execute(sql, &[]).await.expect("write");
    assert_eq!(shop.pay(TOKEN, "acme", &number).await.good()["state"], "paid");
    let rows = accounts.database().fetch_all("SELECT 1 FROM sandbox_charges", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
}

async fn a_declined_payment_is_told_and_made_good(database: Database) {
    let shop = Shop::new(database, "pay_declined").await;
    let number = invoices(&shop.world, "acme").await[0]["number"].as_str().unwrap().to_owned();
    shop.set_up("acme", "tok_declined").await;
    let declined = shop.pay(TOKEN, "acme", &number).await;
    assert_eq!(declined.refusal(), (402, "payment-declined"));
    assert_eq!(declined.body["code"], "card_declined");
    assert_eq!(shop.status("acme").await, "past_due");
    // The schedule tries again by itself, when the clock gets there.
    shop.set_up("acme", "tok_ok").await;
    shop.world.set_clock("2026-11-02T00:00:00Z").await;
    assert_eq!(invoices(&shop.world, "acme").await[0]["state"], "paid");
    assert_eq!(shop.status("acme").await, "active");
}

async fn a_month_s_invoices_are_collected_by_themselves(database: Database) {
    let shop = Shop::new(database, "pay_month").await;
    shop.set_up("zulu", "tok_declined").await;
    let one = shop.payments.collect_due(Some("acme")).await.unwrap();
    assert_eq!((one.paid, one.total()), (1, 1));
    let rest = shop.payments.collect_due(None).await.unwrap();
    assert_eq!((rest.declined, rest.total()), (1, 1));
    assert_eq!(shop.payments.collect_due(None).await.unwrap().total(), 0);
    assert_eq!(invoices(&shop.world, "acme").await[0]["state"], "paid");
    assert_eq!(invoices(&shop.world, "zulu").await[0]["state"], "open");
    assert_eq!(shop.status("zulu").await, "past_due");
    // Months go on; the one that failed does not hold up the next.
    shop.world.set_clock("2026-12-01T00:00:00Z").await;
    bill(&shop.world, "2026-11").await;
    let collected = shop.payments.collect_due(None).await.unwrap();
    assert_eq!((collected.paid, collected.declined), (1, 1));
    shop.world.accounts.verify_log().await.unwrap().expect("the log is whole");
}
