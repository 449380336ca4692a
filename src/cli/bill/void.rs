//! `odometer bill --void`: an invoice that nobody is to pay.

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::accounts::Caller;
use crate::billing::{Invoice, VoidOrder, void};
use crate::cli::{Context, Failure, accounts};

/// Needs the accounts alone.
pub async fn run(context: &Context, number: &str, reason: &str) -> Result<(), Failure> {
    let stopped = || Failure::failed("bill: told to stop");
    let accounts = accounts::open(&context.config, &CancellationToken::new()).await?.ok_or_else(stopped)?;
    let order = VoidOrder { number, organization: None, reason };
    let voided = void(&accounts, &Caller::operator(), order).await;
    let invoice = voided.with_context(|| format!("void invoice {number}"))?;
    context.screen.print(&invoice, for_people)
}

fn for_people(invoice: &Invoice) -> String {
    let Invoice { organization, month, total, currency, .. } = invoice;
    let number = invoice.number.as_deref().unwrap_or("-");
    format!(
        "invoice {number} of {organization} for {month} is void: {total} {currency}, {}\n\
         the next invoice bills the month again, by the plans and counts that hold then",
        invoice.void_reason.as_deref().unwrap_or_default()
    )
}
