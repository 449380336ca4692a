//! The schedule and what follows a payment, through the sandbox.

use odometer::accounts::{Caller, Status};
use odometer::billing::InvoiceState;
use odometer::billing::payment::{Collected, Occasion};

use super::books::{DAY_MS, START, on_both, time};

#[tokio::test]
async fn an_invoice_is_paid_once_however_often_it_is_collected() {
    for books in on_both("payments_once").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_ok").await;
        books.issue("acme", "2026-000001", "356.11").await;
        assert_eq!(books.collect("2026-000001").await, Collected::Paid);
        assert_eq!(books.collect("2026-000001").await, Collected::NotOpen(InvoiceState::Paid));
        assert_eq!(books.collect("2026-000002").await, Collected::NotFound);
        assert_eq!(books.charged().await, 1);
        let sql = "SELECT state, settlement, paid_ms FROM invoices";
        let rows = books.rows(sql, &[]).await;
        assert_eq!(rows[0].text(0).unwrap(), "paid");
        assert!(rows[0].text(1).unwrap().starts_with("sandbox_pay_"));
        assert_eq!(rows[0].integer(2).unwrap(), time(START));
        let rows = books.rows("SELECT request FROM sandbox_charges", &[]).await;
        assert_eq!(rows[0].text(0).unwrap(), "356.11 USD for 2026-000001 from tok_ok");
        assert_eq!(books.events("acme").await, ["invoice.paid"]);
        books.accounts.verify_log().await.unwrap().expect("the log is whole");
    }
}

#[tokio::test]
async fn nothing_to_pay_is_paid_without_the_provider() {
    for books in on_both("payments_nothing").await {
        books.sign_up("acme").await;
        books.issue("acme", "2026-000001", "0.00").await;
        assert_eq!(books.collect("2026-000001").await, Collected::Paid);
        assert_eq!(books.number("SELECT COUNT(*) FROM payment_attempts").await, 0);
    }
}

#[tokio::test]
async fn a_declined_payment_is_tried_again_by_the_schedule_then_left_to_people() {
    for books in on_both("payments_dunning").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_declined").await;
        books.issue("acme", "2026-000001", "10.00").await;
        let declined = books.collect("2026-000001").await;
        assert!(
            matches!(&declined, Collected::Declined { code, .. } if code == "card_declined"),
            "{declined:?}"
        );
        assert_eq!(books.status("acme").await, Status::PastDue);
        let mut tries = 1;
        for (hours, is_due) in
            [(23, false), (24, true), (71, false), (72, true), (120, true), (168, true), (720, false)]
        {
            books.set_clock(time(START) + hours * 3_600_000).await;
            let done = books.payments.collect_due(None).await.unwrap();
            assert_eq!(done.total(), u64::from(is_due), "after {hours} hours");
            tries += i64::from(is_due);
            assert_eq!(books.number("SELECT COUNT(*) FROM payment_attempts").await, tries);
        }
        let mut expected = vec!["payment.failed"; 5];
        expected.push("payment.given-up");
        let mut events = books.events("acme").await;
        events.sort();
        assert_eq!(events, expected);
        assert_eq!(books.state("2026-000001").await, "open");
        // Now the customer pays with another card.
        books.set_up("acme", "tok_ok").await;
        let paid = books.payments.collect(&Caller::operator(), "2026-000001", Occasion::Asked).await;
        assert_eq!(paid.unwrap(), Collected::Paid);
        assert_ne!(books.status("acme").await, Status::PastDue);
        assert_eq!(books.number("SELECT COUNT(*) FROM dunning").await, 0);
        assert_eq!(books.charged().await, 1);
    }
}

/// Two processes find the same invoices due; when the second gets to one, the first has tried it.
#[tokio::test]
async fn what_another_process_has_tried_is_not_tried_before_its_time() {
    for books in on_both("payments_tried").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_declined").await;
        books.issue("acme", "2026-000001", "10.00").await;
        for hours in [0, 24] {
            books.set_clock(time(START) + hours * 3_600_000).await;
            assert!(matches!(books.collect("2026-000001").await, Collected::Declined { .. }));
            assert_eq!(books.collect("2026-000001").await, Collected::UnderWay, "after {hours} hours");
        }
        assert_eq!(books.number("SELECT COUNT(*) FROM payment_attempts").await, 2);
        assert_eq!(books.number("SELECT failures FROM dunning").await, 2);
    }
}

#[tokio::test]
async fn who_asks_to_pay_changes_no_schedule() {
    for books in on_both("payments_asked").await {
        books.sign_up("acme").await;
        books.issue("acme", "2026-000001", "10.00").await;
        let caller = Caller::operator();
        let ask = || books.payments.collect(&caller, "2026-000001", Occasion::Asked);
        assert_eq!(ask().await.unwrap(), Collected::NoPaymentMethod);
        assert_eq!(books.number("SELECT COUNT(*) FROM dunning").await, 0);
        assert_eq!(books.collect("2026-000001").await, Collected::NoPaymentMethod);
        assert_eq!(books.status("acme").await, Status::PastDue);
        books.set_up("acme", "tok_declined").await;
        for _ in 0..6 {
            assert!(matches!(ask().await.unwrap(), Collected::Declined { .. }));
        }
        let rows = books.rows("SELECT next_ms FROM dunning", &[]).await;
        assert_eq!(rows[0].integer(0).unwrap(), time(START) + DAY_MS);
    }
}

#[tokio::test]
async fn who_pays_one_of_two_is_still_past_due() {
    for books in on_both("payments_two").await {
        books.sign_up("acme").await;
        books.set_up("acme", "tok_declined").await;
        for number in ["2026-000001", "2026-000002"] {
            books.issue("acme", number, "10.00").await;
            books.collect(number).await;
        }
        books.set_up("acme", "tok_ok").await;
        let asked = books.payments.collect(&Caller::operator(), "2026-000001", Occasion::Asked).await;
        assert_eq!(asked.unwrap(), Collected::Paid);
        assert_eq!(books.status("acme").await, Status::PastDue);
        // A void invoice is nobody's debt.
        books.execute("UPDATE invoices SET state = 'void' WHERE number = '2026-000002'", &[]).await;
        books.issue("acme", "2026-000003", "10.00").await;
        assert_eq!(books.collect("2026-000003").await, Collected::Paid);
        assert_ne!(books.status("acme").await, Status::PastDue);
    }
}

#[tokio::test]
async fn many_are_collected_together() {
    for books in on_both("payments_many").await {
        let mut numbers = Vec::new();
        for index in 0..150 {
            let organization = format!("org-{index}");
            books.sign_up(&organization).await;
            books.set_up(&organization, if index % 7 == 0 { "tok_declined" } else { "tok_ok" }).await;
            numbers.push(format!("2026-{index:06}"));
            books.issue(&organization, &numbers[index], "1.00").await;
        }
        let collected = books.payments.collect_all(&Caller::schedule(), &numbers, Occasion::Scheduled).await;
        for (index, collected) in collected.unwrap().into_iter().enumerate() {
            match index % 7 {
                0 => assert!(matches!(collected, Collected::Declined { .. }), "{index}: {collected:?}"),
                _ => assert_eq!(collected, Collected::Paid, "{index}"),
            }
        }
        assert_eq!(books.charged().await, 128);
    }
}

#[tokio::test]
async fn an_invoice_that_can_not_be_read_keeps_no_other_waiting() {
    for books in on_both("payments_damaged").await {
        for (organization, number) in [("acme", "2026-000001"), ("zulu", "2026-000002")] {
            books.sign_up(organization).await;
            books.set_up(organization, "tok_ok").await;
            books.issue(organization, number, "10.00").await;
        }
        books.execute("UPDATE invoices SET charge = 'much' WHERE organization = 'acme'", &[]).await;
        let collected = books.payments.collect_due(None).await.unwrap();
        assert_eq!((collected.paid, collected.damaged), (1, 1));
        assert_eq!(books.state("2026-000002").await, "paid");
        books.execute("UPDATE invoices SET charge = '10.00' WHERE organization = 'acme'", &[]).await;
        assert_eq!(books.payments.collect_due(None).await.unwrap().paid, 1);
    }
}

/// What is damaged of one is written down of none but the others.
#[tokio::test]
async fn one_whose_dunning_can_not_be_read_stops_no_other_payment() {
    let books = super::books::Books::on_sqlite().await;
    for (organization, number) in [("acme", "2026-000001"), ("mike", "2026-000002"), ("zulu", "2026-000003")]
    {
        books.sign_up(organization).await;
        books.set_up(organization, "tok_declined").await;
        books.issue(organization, number, "10.00").await;
    }
    assert_eq!(books.payments.collect_due(None).await.unwrap().declined, 3);
    books.set_up("zulu", "tok_ok").await;
    books.execute("UPDATE dunning SET failures = 'many' WHERE organization = 'acme'", &[]).await;
    books.set_clock(time(START) + DAY_MS).await;
    let done = books.payments.collect_due(None).await.unwrap();
    assert_eq!((done.declined, done.paid, done.damaged), (1, 1, 1));
    assert_eq!(books.state("2026-000003").await, "paid");
    assert_eq!(books.number("SELECT failures FROM dunning WHERE organization = 'mike'").await, 2);
    // Nothing is half done of the one: its payment is asked for again, not charged again.
    assert_eq!(books.payments.collect_due(None).await.unwrap().total(), 0, "not at once");
    books.look_now().await;
    assert_eq!(books.payments.collect_due(None).await.unwrap().damaged, 1);
    let sql = "SELECT COUNT(*) FROM payment_attempts WHERE organization = 'acme'";
    assert_eq!(books.number(sql).await, 2);
    books.execute("UPDATE dunning SET failures = 1 WHERE organization = 'acme'", &[]).await;
    books.look_now().await;
    assert_eq!(books.payments.collect_due(None).await.unwrap().declined, 1);
    assert_eq!(books.number("SELECT failures FROM dunning WHERE organization = 'acme'").await, 2);
    assert_eq!(books.number(sql).await, 2);
    assert_eq!(books.events("acme").await, ["payment.failed", "payment.failed"]);
    books.accounts.verify_log().await.unwrap().expect("the log is whole");
}
