//! `odometer bill` killed while it is half done, surely: it is watched, and dies once some
//! organizations have their invoices and others have not, and once some invoices are paid and others
//! are not. In the end there is what a run leaves that nobody killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use odometer::accounts::organization::SignUp;
use odometer::accounts::payment_method::NewPaymentMethod;
use odometer::accounts::{Accounts, Caller, Settings};
use odometer::clock::Time;
use odometer::event::Plan;
use serde_json::json;

use super::oracle::{Calls, Organization, Service, dollars};
use super::verify;
use crate::accounts::world::{World, at, calls, services};
use crate::servers;
use crate::support::deployment::Deployment;

const ORGANIZATIONS: usize = 60;
const START: &str = "2026-10-01T00:00:00Z";
const END: &str = "2026-11-01T00:00:00Z";
/// Invoices or payments that there are when `bill` is killed.
const KILLED_AT: [i64; 3] = [3, 20, 40];
const PATIENCE: Duration = Duration::from_secs(60);

const ISSUED: &str = "SELECT COUNT(*) FROM invoices WHERE number IS NOT NULL";
const PAID: &str = "SELECT COUNT(*) FROM invoices WHERE state = 'paid'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_changes_no_invoice_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    kill_and_compare("sqlite", [url("killed.db"), url("whole.db")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_changes_no_invoice_on_postgres() {
    let killed = servers::new_postgres_database("killed").await;
    kill_and_compare("postgres", [killed, servers::new_postgres_database("whole").await]).await;
}

/// The same organizations in two databases, over one ledger: of the one `bill` is killed, of the other
/// it is not.
async fn kill_and_compare(test: &str, [killed_url, whole_url]: [String; 2]) {
    let mut world = World::new(&format!("half_{test}"), killed_url.clone()).await;
    let whole = open(&whole_url).await;
    let organizations: Vec<Organization> = (0..ORGANIZATIONS).map(organization).collect();
    world.set_clock(START).await;
    whole.set_test_clock(&Caller::operator(), Time(at(START))).await.expect("move the clock");
    for organization in &organizations {
        for accounts in [&world.accounts, &whole] {
            enrol(accounts, &organization.name).await;
        }
    }
    let used = organizations.iter().enumerate();
    let counts: Vec<_> = used.clone().map(|(index, one)| calls(&one.name, START, quantity(index))).collect();
    let catalog: Vec<_> =
        used.flat_map(|(index, one)| services(&one.name, START, services_of(index))).collect();
    world.publish(&counts, &catalog).await;
    world.set_clock(END).await;
    whole.set_test_clock(&Caller::operator(), Time(at(END))).await.expect("move the clock");

    let killed = deployment(test, &world, &killed_url);
    for at_least in KILLED_AT {
        let issued = kill_once(&killed, &world.accounts, ISSUED, at_least).await;
        assert_eq!(numbers(&world.accounts).await, gapless(issued), "numbers of a half-done month");
        assert_eq!(number(&world.accounts, PAID).await, 0, "nothing is paid before all have invoices");
    }
    for at_least in KILLED_AT {
        kill_once(&killed, &world.accounts, PAID, at_least).await;
        assert_eq!(number(&world.accounts, ISSUED).await, all());
        assert!(number(&world.accounts, "SELECT COUNT(*) FROM sandbox_charges").await <= all());
        // What was asked for when it died is asked about after two minutes.
        look_now(&world.accounts).await;
    }
    let arguments = ["bill", "--month", "2026-10"];
    killed.run(&arguments).expect_code(0);
    deployment(test, &world, &whole_url).run(&arguments).expect_code(0);

    assert_eq!(numbers(&world.accounts).await, gapless(all()));
    assert_eq!(stored(&world.accounts).await, stored(&whole).await);
    let totals: Vec<String> = organizations.iter().map(total).collect();
    assert_eq!(texts(&world.accounts, "SELECT total FROM invoices ORDER BY organization").await, totals);
    for accounts in [&world.accounts, &whole] {
        assert_eq!(number(accounts, PAID).await, all());
        for table in ["SELECT COUNT(*) FROM payment_attempts", "SELECT COUNT(*) FROM sandbox_charges"] {
            assert_eq!(number(accounts, table).await, all(), "{table}: each is charged once");
        }
        let told = "SELECT COUNT(*) FROM outbox WHERE type = 'invoice.paid'";
        assert_eq!(number(accounts, told).await, all(), "each is told of once");
        accounts.verify_log().await.expect("read the log").expect("the log is whole");
    }
    for number in gapless(all()) {
        verify(&world, &number).await;
    }
}

/// Starts `bill`, one organization after the other, and kills it once `count` says so many, and not
/// all. Answers how many there are then.
async fn kill_once(deployment: &Deployment, accounts: &Accounts, count: &'static str, at_least: i64) -> i64 {
    let name = format!("bill-{at_least}-{}", &count[count.len() - 6..].replace([' ', '\''], ""));
    let mut bill = deployment.start(&name, &["bill", "--month", "2026-10", "--batch", "1"]);
    let started = Instant::now();
    while number(accounts, count).await < at_least {
        bill.assert_runs();
        assert!(started.elapsed() < PATIENCE, "{count}: not {at_least}; {}", bill.log_tail());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bill.kill();
    // A server may still finish what it was told last.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let then = number(accounts, count).await;
    assert!((at_least..all()).contains(&then), "{count}: {then}, which is not half done");
    then
}

fn all() -> i64 {
    i64::try_from(ORGANIZATIONS).expect("few organizations")
}

fn gapless(last: i64) -> Vec<String> {
    (1..=last).map(|number| format!("2026-{number:06}")).collect()
}

fn quantity(index: usize) -> u128 {
    1_000 + 77_777 * index as u128
}

fn services_of(index: usize) -> usize {
    index % 4
}

/// As the oracle sees it.
fn organization(index: usize) -> Organization {
    let service = Service { from_ms: at(START), to_ms: i64::MAX, end_known: usize::MAX };
    let quantity = u64::try_from(quantity(index)).expect("few calls");
    Organization {
        name: format!("org-{index:03}"),
        plus: vec![at(START)..i64::MAX],
        calls: vec![Calls { time_ms: at(START), quantity, known: 0 }],
        services: vec![service; services_of(index)],
    }
}

fn total(organization: &Organization) -> String {
    dollars(organization.totals(&[at(START)..at(END)])[&0])
}

async fn open(url: &str) -> Arc<Accounts> {
    let settings = Settings { test_clock: true, ..Settings::new(url) };
    Arc::new(Accounts::open(&settings).await.expect("open accounts"))
}

/// On Plus from this instant on.
async fn enrol(accounts: &Accounts, id: &str) {
    let caller = Caller::operator();
    let text = str::to_owned;
    let sign_up =
        SignUp { id: Some(text(id)), name: text(id), email: text("a@b.example"), region: text("us") };
    accounts.sign_up(&caller, &sign_up).await.expect("sign up");
    let method = NewPaymentMethod {
        token: text("tok_ok"),
        brand: text("visa"),
        last4: text("4242"),
        exp: text("11/2039"),
    };
    accounts.add_payment_method(&caller, id, &method).await.expect("set a payment method up");
    accounts.cancel_plan(&caller, id).await.expect("end the trial");
    accounts.set_plan(&caller, id, Plan::Plus).await.expect("choose Plus");
}

/// The command's configuration over the ledger of a world.
fn deployment(test: &str, world: &World, accounts_url: &str) -> Deployment {
    let changes = json!({
        "clock": "test",
        "accounts": { "url": accounts_url },
        "clickhouse": { "database": world.database },
        "kafka": { "topics": [{ "name": "events", "format": "cloudevents" }] },
    });
    Deployment::new(&format!("half_{test}"), &[], &changes)
}

async fn look_now(accounts: &Accounts) {
    let sql = "UPDATE payment_attempts SET look_again_ms = 0 WHERE look_again_ms IS NOT NULL";
    accounts.database().execute(sql, &[]).await.expect("write");
}

async fn number(accounts: &Accounts, sql: &'static str) -> i64 {
    let rows = accounts.database().fetch_all(sql, &[]).await.expect("read");
    rows[0].integer(0).expect("a number")
}

async fn texts(accounts: &Accounts, sql: &'static str) -> Vec<String> {
    let rows = accounts.database().fetch_all(sql, &[]).await.expect("read");
    rows.iter().map(|row| row.text(0).expect("a text").to_owned()).collect()
}

async fn numbers(accounts: &Accounts) -> Vec<String> {
    texts(accounts, "SELECT number FROM invoices ORDER BY number").await
}

/// Everything of the invoices but the names that payments and log entries have.
async fn stored(accounts: &Accounts) -> Vec<String> {
    let sql = "SELECT organization || ' ' || month || ' ' || number || ' ' || state || ' ' || closing || ' '
            || content || ' ' || currency || ' ' || total || ' ' || charge || ' ' || subtotal || ' '
            || issued_ms || ' ' || due_ms || ' ' || paid_ms || ' ' || collected
        FROM invoices ORDER BY number";
    texts(accounts, sql).await
}
