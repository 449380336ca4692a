//! Accounts with invoices that are to be paid, under a test clock.

use std::sync::Arc;

use odometer::accounts::database::{Row, Value};
use odometer::accounts::organization::SignUp;
use odometer::accounts::outbox::Channel;
use odometer::accounts::payment_method::NewPaymentMethod;
use odometer::accounts::{Accounts, Caller, Page, Settings, Status};
use odometer::billing::payment::{Collected, Occasion, Payments, Provider, Sandbox};
use odometer::clock::Time;
use tempfile::TempDir;

use crate::servers;

pub const START: &str = "2026-12-01T00:00:00Z";
pub const DAY_MS: i64 = 86_400_000;

pub struct Books {
    pub accounts: Arc<Accounts>,
    pub settings: Settings,
    /// Through the sandbox.
    pub payments: Payments,
    _folder: Option<TempDir>,
}

/// The same books on SQLite and on Postgres.
pub async fn on_both(test: &str) -> Vec<Books> {
    vec![Books::on_sqlite().await, Books::on_postgres(test).await]
}

pub fn time(text: &str) -> i64 {
    text.parse::<Time>().expect("a time").0
}

impl Books {
    pub async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().expect("make a folder");
        let url = format!("sqlite://{}", folder.path().join("odometer.db").display());
        Self::open(&url, Some(folder)).await
    }

    pub async fn on_postgres(test: &str) -> Self {
        Self::open(&servers::new_postgres_database(test).await, None).await
    }

    async fn open(url: &str, folder: Option<TempDir>) -> Self {
        let settings = Settings { test_clock: true, ..Settings::new(url) };
        let accounts = Arc::new(Accounts::open(&settings).await.expect("open accounts"));
        let payments = Payments::through(accounts.clone(), Arc::new(Sandbox::new(accounts.clone())));
        let books = Self { accounts, settings, payments, _folder: folder };
        books.set_clock(time(START)).await;
        books
    }

    pub fn through(&self, provider: impl Provider + 'static) -> Payments {
        Payments::through(self.accounts.clone(), Arc::new(provider))
    }

    pub async fn set_clock(&self, now_ms: i64) {
        self.accounts.set_test_clock(&Caller::operator(), Time(now_ms)).await.expect("move the clock");
    }

    pub async fn sign_up(&self, id: &str) {
        let sign_up = SignUp {
            id: Some(id.to_owned()),
            name: format!("{id} Ltd"),
            email: format!("billing@{id}.example"),
            region: "us".to_owned(),
        };
        self.accounts.sign_up(&Caller::operator(), &sign_up).await.expect("sign up");
    }

    /// The one that is charged from then on.
    pub async fn set_up(&self, organization: &str, token: &str) {
        let text = str::to_owned;
        let method = NewPaymentMethod {
            token: text(token),
            brand: text("visa"),
            last4: text("4242"),
            exp: text("11/2028"),
        };
        let caller = Caller::operator();
        let added = self.accounts.add_payment_method(&caller, organization, &method).await.expect("set up");
        let chosen = self.accounts.set_default_payment_method(&caller, organization, &added.id).await;
        chosen.expect("make it the default");
    }

    /// An open invoice over an amount of USD.
    pub async fn issue(&self, organization: &str, number: &str, amount: &str) {
        let sql = "INSERT INTO invoices (organization, month, number, state, content, currency, total, charge, issued_ms, due_ms)
                   VALUES ($1, $2, $3, 'open', '{}', 'USD', $4, $4, $5, $6)";
        let issued = self.accounts.clock().now_ms();
        let values = [
            organization.into(),
            format!("month of {number}").into(),
            number.into(),
            amount.into(),
            issued.into(),
            (issued + 14 * DAY_MS).into(),
        ];
        self.execute(sql, &values).await;
    }

    pub async fn execute(&self, sql: &'static str, values: &[Value]) {
        self.accounts.database().execute(sql, values).await.expect("write");
    }

    pub async fn rows(&self, sql: &'static str, values: &[Value]) -> Vec<Row> {
        self.accounts.database().fetch_all(sql, values).await.expect("read")
    }

    pub async fn number(&self, sql: &'static str) -> i64 {
        self.rows(sql, &[]).await[0].integer(0).expect("a number")
    }

    pub async fn state(&self, invoice: &str) -> String {
        let rows = self.rows("SELECT state FROM invoices WHERE number = $1", &[invoice.into()]).await;
        rows[0].text(0).expect("a state").to_owned()
    }

    pub async fn status(&self, organization: &str) -> Status {
        self.accounts.organization(organization).await.expect("an organization").status
    }

    pub async fn collect(&self, invoice: &str) -> Collected {
        self.collect_through(&self.payments, invoice).await
    }

    pub async fn collect_through(&self, payments: &Payments, invoice: &str) -> Collected {
        payments.collect(&Caller::schedule(), invoice, Occasion::Scheduled).await.expect("collect")
    }

    /// Payments that the sandbox made.
    pub async fn charged(&self) -> i64 {
        self.number("SELECT COUNT(*) FROM sandbox_charges WHERE decline_code IS NULL").await
    }

    /// Makes the provider be asked now about what is not known.
    pub async fn look_now(&self) {
        self.execute("UPDATE payment_attempts SET look_again_ms = 0 WHERE look_again_ms IS NOT NULL", &[])
            .await;
    }

    /// Types of an organization's events about payments, the oldest first.
    pub async fn events(&self, organization: &str) -> Vec<String> {
        let page = Page::new(Some(1000), None);
        let events = self.accounts.outbox(Channel::Notices, &page).await.expect("read the outbox").data;
        let of_payments = |kind: &str| kind.starts_with("payment.") || kind.starts_with("invoice.");
        events
            .into_iter()
            .filter(|event| event.organization == organization && of_payments(&event.event_type))
            .map(|event| event.event_type)
            .collect()
    }
}
