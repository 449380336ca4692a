//! A provider whose answers get lost, processes that die, and several at once: nothing is charged
//! twice, and everything is paid in the end.

use std::future::pending;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use odometer::accounts::{Accounts, Caller};
use odometer::billing::payment::{
    Answer, Charge, Collected, Kept, Method, Occasion, Payments, Provider, ProviderError, Sandbox,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::books::{Books, on_both};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The provider never hears of it.
    LoseRequest,
    /// It is done, and nobody is told.
    LoseAnswer,
    /// It is done, and nobody is told for ever.
    Hang,
    /// It will decide later; it has decided to.
    Later,
}

type Choose = dyn Fn() -> Fault + Send + Sync;

/// The sandbox, behind faults that are chosen for each question.
pub struct Faulty {
    sandbox: Sandbox,
    charging: Box<Choose>,
    looking: Box<Choose>,
    asked: Arc<AtomicU32>,
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty").finish_non_exhaustive()
    }
}

impl Faulty {
    fn new(
        books: &Books,
        charging: impl Fn() -> Fault + Send + Sync + 'static,
        looking: impl Fn() -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self::over(&books.accounts, charging, looking)
    }

    pub fn over(
        accounts: &Arc<Accounts>,
        charging: impl Fn() -> Fault + Send + Sync + 'static,
        looking: impl Fn() -> Fault + Send + Sync + 'static,
    ) -> Self {
        Self {
            sandbox: Sandbox::new(accounts.clone()),
            charging: Box::new(charging),
            looking: Box::new(looking),
            asked: Arc::default(),
        }
    }
}

fn lost<T>(cause: &str) -> Result<T, ProviderError> {
    Err(ProviderError::Unknown { cause: cause.to_owned() })
}

impl Provider for Faulty {
    fn keep<'a>(&'a self, method: &'a Method) -> BoxFuture<'a, Result<Kept, ProviderError>> {
        self.sandbox.keep(method)
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        async move {
            let fault = (self.charging)();
            if fault == Fault::LoseRequest {
                return lost("the request is lost");
            }
            self.asked.fetch_add(1, Ordering::Relaxed);
            let answer = self.sandbox.charge(charge).await?;
            match (fault, answer) {
                (Fault::LoseAnswer, _) => lost("the answer is lost"),
                (Fault::Hang, _) => pending().await,
                (Fault::Later, Answer::Succeeded { reference }) => Ok(Answer::Processing { reference }),
                (_, answer) => Ok(answer),
            }
        }
        .boxed()
    }

    fn look_up<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Option<Answer>, ProviderError>> {
        async move {
            match (self.looking)() {
                Fault::None | Fault::Later => self.sandbox.look_up(charge).await,
                _ => lost("the answer is lost"),
            }
        }
        .boxed()
    }
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_not_charged_again() {
    for fault in [Fault::LoseAnswer, Fault::Later, Fault::LoseRequest] {
        for books in on_both("payments_lost").await {
            books.sign_up("acme").await;
            books.set_up("acme", "tok_ok").await;
            books.issue("acme", "2026-000001", "10.00").await;
            let provider = Faulty::new(&books, move || fault, || Fault::None);
            let asked = provider.asked.clone();
            let payments = books.through(provider);
            assert_eq!(books.collect_through(&payments, "2026-000001").await, Collected::Unknown);
            assert_eq!(books.state("2026-000001").await, "open");
            assert_eq!(payments.collect_due(None).await.unwrap().total(), 0, "the provider is given time");
            books.look_now().await;
            let healthy = &books.payments;
            let through = if fault == Fault::LoseRequest { healthy } else { &payments };
            assert_eq!(through.collect_due(None).await.unwrap().total(), 1);
            assert_eq!(books.state("2026-000001").await, "paid", "{fault:?}");
            assert_eq!(asked.load(Ordering::Relaxed), u32::from(fault != Fault::LoseRequest), "{fault:?}");
            assert_eq!(books.charged().await, 1);
            assert_eq!(books.events("acme").await, ["invoice.paid"]);
        }
    }
}

/// The card may have been replaced meanwhile: what is under way is decided first.
#[tokio::test]
async fn a_new_attempt_waits_for_the_one_before() {
    for books in on_both("payments_waits").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_ok").await;
        books.issue("acme", "2026-000001", "10.00").await;
        let payments = books.through(Faulty::new(&books, || Fault::LoseAnswer, || Fault::LoseAnswer));
        for _ in 0..3 {
            assert_eq!(books.collect_through(&payments, "2026-000001").await, Collected::Unknown);
            books.set_up("acme", "tok_ok").await;
        }
        assert_eq!(books.number("SELECT COUNT(*) FROM payment_attempts").await, 1);
        assert_eq!(books.collect("2026-000001").await, Collected::Paid);
        assert_eq!(books.charged().await, 1);
    }
}

#[tokio::test]
async fn a_process_that_dies_while_it_charges_loses_nothing() {
    for books in on_both("payments_dies").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_ok").await;
        books.issue("acme", "2026-000001", "10.00").await;
        let payments = books.through(Faulty::new(&books, || Fault::Hang, || Fault::None));
        let collecting = books.collect_through(&payments, "2026-000001");
        let cut_off = tokio::time::timeout(Duration::from_millis(500), collecting).await;
        assert!(cut_off.is_err(), "it hangs");
        let rows = books.rows("SELECT state FROM payment_attempts", &[]).await;
        assert_eq!(rows[0].text(0).unwrap(), "begun");
        assert_eq!(books.payments.collect_due(None).await.unwrap().total(), 0, "it may still be at it");
        books.look_now().await;
        assert_eq!(books.payments.collect_due(None).await.unwrap().total(), 1);
        assert_eq!(books.state("2026-000001").await, "paid");
        assert_eq!(books.charged().await, 1);
    }
}

/// Attempts of a group are written down before any of them is asked for, and what came of them is not
/// written down when the process dies: each is looked up, and none is charged again.
#[tokio::test]
async fn a_process_that_dies_amid_a_group_loses_nothing_and_charges_nothing_twice() {
    const INVOICES: i64 = 9;
    for books in on_both("payments_dies_amid").await {
        for index in 0..INVOICES {
            let organization = format!("org-{index}");
            books.sign_up(&organization).await;
            books.set_up(&organization, "tok_ok").await;
            books.issue(&organization, &format!("2026-{index:06}"), "1.00").await;
        }
        let chosen = AtomicU32::new(0);
        // Of each three one is charged, one hangs once it is charged, one never reaches the provider.
        let choose = move || match chosen.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Fault::None,
            1 => Fault::Hang,
            _ => Fault::LoseRequest,
        };
        let payments = books.through(Faulty::new(&books, choose, || Fault::None));
        let cut_off = tokio::time::timeout(Duration::from_secs(2), payments.collect_due(None)).await;
        assert!(cut_off.is_err(), "it hangs");
        let begun = "SELECT COUNT(*) FROM payment_attempts WHERE state = 'begun'";
        assert_eq!(books.number(begun).await, INVOICES, "all are written down, none is decided");
        assert_eq!(books.charged().await, INVOICES / 3 * 2);
        books.look_now().await;
        assert_eq!(books.payments.collect_due(None).await.unwrap().paid, INVOICES.unsigned_abs());
        assert_eq!(books.charged().await, INVOICES);
        assert_eq!(books.number("SELECT COUNT(*) FROM payment_attempts").await, INVOICES);
        for index in 0..INVOICES {
            assert_eq!(books.events(&format!("org-{index}")).await, ["invoice.paid"]);
        }
        books.accounts.verify_log().await.unwrap().expect("the log is whole");
    }
}

#[tokio::test]
async fn several_processes_charge_once() {
    for books in on_both("payments_several").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_ok").await;
        books.issue("acme", "2026-000001", "10.00").await;
        let mut tasks = Vec::new();
        for index in 0..6 {
            let other = Arc::new(Accounts::open(&books.settings).await.expect("open accounts"));
            let payments = Payments::through(other.clone(), Arc::new(Sandbox::new(other)));
            let occasion = if index % 2 == 0 { Occasion::Asked } else { Occasion::Scheduled };
            tasks.push(tokio::spawn(async move {
                payments.collect(&Caller::schedule(), "2026-000001", occasion).await.expect("collect")
            }));
        }
        for task in tasks {
            let collected = task.await.unwrap();
            // Under way: another one is asking just then.
            let is_sound = matches!(collected, Collected::Paid | Collected::NotOpen(_) | Collected::UnderWay);
            assert!(is_sound, "{collected:?}");
        }
        assert_eq!(books.state("2026-000001").await, "paid");
        assert_eq!(books.charged().await, 1);
        assert_eq!(books.events("acme").await, ["invoice.paid"]);
    }
}

/// Anything may be lost, and processes die: in the end every invoice was paid by one payment.
#[tokio::test]
async fn whatever_is_lost_every_invoice_is_paid_once() {
    const INVOICES: usize = 12;
    for seed in 0..4 {
        let books = Books::on_sqlite().await;
        let mut numbers = Vec::new();
        for index in 0..INVOICES {
            let organization = format!("org-{index}");
            books.sign_up(&organization).await;
            books.set_up(&organization, "tok_ok").await;
            numbers.push(format!("2026-{index:06}"));
            books.issue(&organization, &numbers[index], "1.00").await;
        }
        let chance = Arc::new(Mutex::new(StdRng::seed_from_u64(seed)));
        let choose = |chance: &Arc<Mutex<StdRng>>| {
            let chance = chance.clone();
            move || match chance.lock().unwrap().random_range(0..6) {
                0 => Fault::LoseRequest,
                1 => Fault::LoseAnswer,
                2 => Fault::Later,
                3 => Fault::Hang,
                _ => Fault::None,
            }
        };
        let payments = books.through(Faulty::new(&books, choose(&chance), choose(&chance)));
        for number in &numbers {
            let collecting = books.collect_through(&payments, number);
            let _ = tokio::time::timeout(Duration::from_millis(300), collecting).await;
        }
        for _ in 0..60 {
            books.look_now().await;
            let _ = tokio::time::timeout(Duration::from_millis(300), payments.collect_due(None)).await;
        }
        books.look_now().await;
        books.payments.collect_due(None).await.unwrap();
        for number in &numbers {
            // One whose request hung before it was written down is begun anew.
            if books.state(number).await != "paid" {
                books.collect(number).await;
            }
            assert_eq!(books.state(number).await, "paid", "{number}, seed {seed}");
        }
        let invoices = i64::try_from(INVOICES).unwrap();
        assert_eq!(books.charged().await, invoices, "seed {seed}");
        assert_eq!(books.number("SELECT COUNT(*) FROM payment_attempts").await, invoices, "seed {seed}");
        books.accounts.verify_log().await.unwrap().expect("the log is whole");
    }
}

/// Declines, and tells so by an event before it answers.
#[derive(Debug)]
struct Eventful(Arc<Accounts>, Sandbox);

impl Provider for Eventful {
    fn keep<'a>(&'a self, method: &'a Method) -> BoxFuture<'a, Result<Kept, ProviderError>> {
        self.1.keep(method)
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Answer, ProviderError>> {
        async move {
            let sql = "UPDATE payment_attempts SET state = 'declined', code = 'card_declined', detail = 'No.'
                WHERE id = $1";
            let told = self.0.database().execute(sql, &[charge.idempotency_key.as_str().into()]).await;
            assert_eq!(told.expect("decide"), 1);
            self.1.charge(charge).await
        }
        .boxed()
    }

    fn look_up<'a>(&'a self, charge: &'a Charge) -> BoxFuture<'a, Result<Option<Answer>, ProviderError>> {
        self.1.look_up(charge)
    }
}

#[tokio::test]
async fn a_decline_that_an_event_told_of_before_the_answer_is_a_decline() {
    for books in on_both("payments_event_first").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_declined").await;
        books.issue("acme", "2026-000001", "10.00").await;
        let payments = books.through(Eventful(books.accounts.clone(), Sandbox::new(books.accounts.clone())));
        let asked = payments.collect(&Caller::operator(), "2026-000001", Occasion::Asked).await.unwrap();
        let declined = Collected::Declined { code: "card_declined".to_owned(), message: "No.".to_owned() };
        assert_eq!(asked, declined);
    }
}
