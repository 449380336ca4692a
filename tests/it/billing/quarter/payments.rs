//! The quarter's payments, through Stripe's API over the sandbox with a proxy before it: some are
//! declined, of some the answer is lost each time, and of some the request.

use std::sync::Arc;
use std::time::Duration;

use odometer::accounts::{Accounts, Caller};
use serde_json::{Value, json};

use super::super::oracle::{Organization, dollars};
use super::{ORGANIZATIONS, Quarter, text};
use crate::payments::face::{Face, Proxy};
use crate::support::block_on;
use crate::support::wait::wait_until;

const PATIENCE: Duration = Duration::from_secs(90);

/// What becomes of an organization's payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Luck {
    Good,
    /// Declined for ever.
    Declined,
    /// Declined until the card is replaced, after January.
    DeclinedFirst,
    /// The provider charges, and its answer is lost, however often it is sent.
    AnswerLost,
    /// The provider never hears of it, as long as the fault lasts.
    RequestLost,
}

fn luck(number: usize) -> Luck {
    match number % 20 {
        11 => Luck::Declined,
        2 => Luck::DeclinedFirst,
        6 | 7 => Luck::AnswerLost,
        16 | 17 => Luck::RequestLost,
        _ => Luck::Good,
    }
}

fn of_luck(wanted: Luck) -> impl Iterator<Item = usize> {
    (0..ORGANIZATIONS).filter(move |number| luck(*number) == wanted)
}

/// The provider before which the proxy stands; answers the proxy and its URL.
pub fn provider(accounts: &Arc<Accounts>) -> (Proxy, String) {
    block_on(async {
        let (_, url) = Face::serve(accounts).await;
        Proxy::before(&url).await
    })
}

impl Quarter {
    pub fn lose_payments(&self) {
        let customers = |luck| of_luck(luck).map(|number| format!("cus_org-{number:03}")).collect();
        self.proxy.lose_all_about(customers(Luck::AnswerLost), customers(Luck::RequestLost));
    }

    pub fn add_payment_method(&self, number: usize, organization: &str) {
        let kind = match luck(number) {
            Luck::Declined | Luck::DeclinedFirst => "pm_declined",
            _ => "pm_ok",
        };
        self.set_up(kind, organization);
    }

    fn set_up(&self, kind: &str, organization: &str) -> Value {
        let token = format!("{kind}_of_{organization}");
        let method = json!({ "token": token, "brand": "visa", "last4": "4242", "exp": "11/2039" });
        let path = format!("/v1/organizations/{organization}/payment-methods");
        self.http.change("POST", &path, &method)
    }

    /// The payment provider is asked now about all that it gave no answer to.
    fn look_now(&self) {
        let sql = "UPDATE payment_attempts SET look_again_ms = 0 WHERE state IN ('begun', 'unknown')";
        block_on(async {
            // A change, as the server's are: of two that write the same rows one waits.
            let mut change = self.accounts.begin(&Caller::operator()).await.expect("begin");
            change.execute(sql, &[]).await.expect("write");
            change.commit(200, &()).await.expect("commit");
        });
    }

    /// What failed in January is paid by its schedule, from another card.
    pub fn replace_declined_cards(&self) {
        for number in of_luck(Luck::DeclinedFirst) {
            let path = format!("/v1/organizations/{}", self.organizations[number].name);
            wait_until("a declined payment to be told", PATIENCE, || {
                self.look_now();
                let status = text(&self.http.get_ok(&path)?, "status");
                if status == "past_due" { Ok(()) } else { Err(status) }
            });
            let added = self.set_up("pm_ok", &self.organizations[number].name);
            let id = text(&added, "id");
            self.http.change("PUT", &format!("{path}/payment-methods/{id}/default"), &Value::Null);
        }
    }

    /// What could be collected is paid, once; what was declined stays open; what the provider never
    /// heard of is paid once it does.
    pub fn check_payments(&self) {
        self.await_states(|luck| !matches!(luck, Luck::Declined | Luck::RequestLost));
        assert!(self.proxy.struck() > 0, "no payment was lost");
        self.check_charges(|luck| !matches!(luck, Luck::Declined | Luck::RequestLost));
        self.proxy.lose_all_about(Vec::new(), Vec::new());
        self.await_states(|luck| luck != Luck::Declined);
        self.check_charges(|luck| luck != Luck::Declined);
    }

    fn await_states(&self, is_paid: impl Fn(Luck) -> bool) {
        for (number, organization) in self.organizations.iter().enumerate().filter(|(n, _)| n % 10 != 9) {
            wait_until("the invoices to be collected", PATIENCE, || {
                for (invoice, due) in self.invoices_and_dues(organization) {
                    let open = due > 0 && !is_paid(luck(number));
                    let state = if open { "open" } else { "paid" };
                    let amount_due = if open { dollars(due) } else { dollars(0) };
                    if invoice["state"] != state || invoice["amount_due"] != amount_due {
                        self.look_now();
                        return Err(format!("{invoice}: it should be {state}, due {amount_due}"));
                    }
                }
                Ok(())
            });
            let path = format!("/v1/organizations/{}", organization.name);
            let status = text(&self.http.get_ok(&path).expect("an organization"), "status");
            assert_eq!(status == "past_due", luck(number) == Luck::Declined, "{path}: {status}");
        }
    }

    /// The invoices, the oldest first, each with what the oracle says is to be paid of it, in cents.
    fn invoices_and_dues(&self, organization: &Organization) -> Vec<(Value, i128)> {
        let dues = organization.dues(&self.months);
        let invoices: Vec<Value> = self.invoices(&organization.name).into_iter().rev().collect();
        assert_eq!(invoices.len(), dues.len(), "{organization:?}");
        invoices.into_iter().zip(dues.into_values()).collect()
    }

    /// The provider charged what the oracle says of each invoice, once, and nothing else.
    fn check_charges(&self, is_charged: impl Fn(Luck) -> bool) {
        let mut expected = Vec::new();
        let payers = self.organizations.iter().enumerate().filter(|(n, _)| n % 10 != 9);
        for (_, organization) in payers.filter(|(number, _)| is_charged(luck(*number))) {
            for (invoice, due) in self.invoices_and_dues(organization) {
                if due > 0 {
                    expected.push(format!(
                        "{} USD for {} from tok_ok",
                        dollars(due),
                        text(&invoice, "number")
                    ));
                }
            }
        }
        expected.sort();
        let sql = "SELECT request FROM sandbox_charges WHERE decline_code IS NULL ORDER BY request";
        let rows = block_on(self.accounts.database().fetch_all(sql, &[])).expect("read");
        let mut charged: Vec<String> =
            rows.iter().map(|row| row.text(0).expect("a text").to_owned()).collect();
        charged.sort();
        assert_eq!(charged, expected);
    }
}
