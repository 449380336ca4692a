//! `odometer bill`: drafts, finalizes and collects a month's invoices.

mod verify;
mod void;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rust_decimal::Decimal;
use tokio_util::sync::CancellationToken;

use super::process::{START_PATIENCE, reach, until_stopped};
use super::screen::{Tone, cell, grouped, table};
use super::setup::open_store;
use super::usage::Reading;
use super::{Context, Exit, Failure, accounts};
use crate::accounts::Caller;
use crate::billing::payment::{Collection, Payments, Settings};
use crate::billing::{Billed, Biller, InvoiceState, InvoiceSummary, MOST_TOGETHER, Order};
use crate::month::Month;
use crate::snapshot::changes::Changes;
use crate::snapshot::learn_partitions;

const EXAMPLES: &str = "\
Examples:
  odometer bill --month 2026-11              every organization's invoice, once the month is counted
  odometer bill --month 2026-11 --dry-run    what would be invoiced; nothing is written
  odometer bill --month 2026-11 --org acme   one organization alone
  odometer bill --verify 2026-000042         compute an invoice again; --recount: from the log too
  odometer bill --void 2026-000042 --reason \"sent to the wrong address\"
                                             nobody pays it; the next invoice bills the month again, by
                                             the plans and counts that hold then

It may be run again at any moment: an organization gets one invoice of a month. Before every region
has counted the whole month it leaves drafts, which have no number.";

/// Invoices that the table shows; JSON has all of them.
const SHOWN: usize = 50;

/// Draft, finalize and collect a month's invoices; safe to run again at any moment
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Bill {
    /// The UTC month to bill, such as 2026-11
    #[arg(long, value_name = "YYYY-MM", required_unless_present_any = ["verify", "void"])]
    month: Option<Month>,
    /// One organization alone
    #[arg(long, value_name = "ORG")]
    org: Option<String>,
    /// Show what would be invoiced and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Organizations that get their invoices in one transaction, and are charged together: few leave
    /// other processes their turn at the database more often, many are faster
    #[arg(long, value_name = "N", default_value_t = MOST_TOGETHER,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_TOGETHER)))]
    batch: u32,
    /// Compute an invoice again from the ledger as it stood, and compare
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["month", "org", "dry_run"])]
    verify: Option<String>,
    /// With --verify: read the log again too, and compare it with what was counted
    #[arg(long, requires = "verify")]
    recount: bool,
    /// Void an open invoice: nobody pays it, and the next invoice bills again what stood on it
    #[arg(long, value_name = "NUMBER", requires = "reason",
        conflicts_with_all = ["month", "org", "dry_run", "verify"])]
    void: Option<String>,
    /// With --void: why; the customer reads it
    #[arg(long, value_name = "TEXT", requires = "void")]
    reason: Option<String>,
}

impl Bill {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(number) = &self.void {
            return void::run(context, number, self.reason.as_deref().unwrap_or_default()).await;
        }
        let collects = !self.dry_run && self.verify.is_none();
        let payments = collects.then(|| context.config.payment_settings()).transpose()?;
        // SIGTERM ends it between two stretches of organizations: run again, it goes on from there.
        until_stopped(context.config.shutdown_timeout, |stop| self.work(context, payments, stop)).await
    }

    async fn work(
        &self,
        context: &Context,
        payments: Option<Settings>,
        stop: CancellationToken,
    ) -> Result<(), Failure> {
        let Some(biller) = biller(context, &stop).await? else { return Ok(()) };
        if let Some(number) = &self.verify {
            return verify::run(context, &biller, number, self.recount).await;
        }
        let usage = || Failure::usage("bill: name a month: --month 2026-11");
        let month = self.month.ok_or_else(usage)?;
        // The range of the option begins with 1.
        let batch = NonZeroU32::new(self.batch).unwrap_or(NonZeroU32::MIN);
        let biller = biller.in_batches_of(batch);
        let order = Order { month, only: self.org.as_deref(), dry_run: self.dry_run };
        let billed = biller.bill(&Caller::operator(), order).await;
        let mut billed = billed.with_context(|| format!("bill {month}"))?;
        let mut collected = Collection::default();
        if let Some(settings) = payments.filter(|_| !billed.stopped) {
            let payments = Payments::new(biller.accounts().clone(), &settings).context("bill")?;
            let payments = payments.in_batches_of(batch);
            // A payment that is cut off here is looked up by the next run.
            tokio::select! {
                done = payments.collect_due(order.only) => collected = done.context("collect payments")?,
                () = stop.cancelled() => billed.stopped = true,
            }
        }
        if collected.total() > 0 {
            let invoices = biller.invoices(month, order.only, &mut billed.unbilled).await;
            billed.invoices = invoices.context("read invoices")?;
        }
        let is_whole = billed.unbilled.is_empty() && collected.damaged == 0;
        context.screen.print(&Answer { billed, collected }, for_people)?;
        if is_whole { Ok(()) } else { Err(Failure::silent(Exit::Failed)) }
    }
}

/// What was billed, and what came of having it paid.
#[derive(Debug, serde::Serialize)]
struct Answer {
    #[serde(flatten)]
    billed: Billed,
    /// Invoices of earlier months that were due count too.
    collected: Collection,
}

/// Reaches every server that billing needs; `None`: told to stop before they answered.
pub async fn biller(context: &Context, stop: &CancellationToken) -> Result<Option<Biller>, Failure> {
    let Some(store) = open_store(context, stop).await? else { return Ok(None) };
    let Some(accounts) = accounts::open(&context.config, stop).await? else { return Ok(None) };
    let changes = Arc::new(Changes::new(false));
    let clock = accounts.clock().clone();
    let reading = Reading::new(&context.config, store, Some(accounts.clone()), &changes, &clock)?;
    for other in &reading.deployments[1..] {
        let what = format!("ClickHouse of region {}", other.region());
        if reach(&what, START_PATIENCE, stop, || other.store().ping()).await?.is_none() {
            return Ok(None);
        }
    }
    // A partition that nobody ever read is known to the broker alone.
    learn_partitions(reading.deployments[0].clone(), context.config.snapshot_topic()?.properties).await;
    let biller = Biller::new(accounts, reading.deployments, context.config.price_book()?);
    Ok(Some(biller.until(stop.clone())))
}

fn for_people(Answer { billed, collected }: &Answer) -> String {
    let mut text = format!("{}: {}", billed.month, standing(billed));
    for (organization, cause) in billed.unbilled.iter() {
        text += &format!("\nNOT BILLED: {organization}: {cause}");
    }
    if billed.stopped {
        text += "\nstopped before the end: run it again to go on";
    }
    if billed.invoices.is_empty() {
        return text + "\nno organization gets an invoice";
    }
    text += &format!("\n\n{}\n", invoice_table(&billed.invoices));
    for invoice in billed.invoices.iter().take(SHOWN) {
        if let (Some(number), Some(reason)) = (&invoice.number, &invoice.void_reason) {
            text += &format!("{number} is void: {reason}\n");
        }
    }
    if let Some(more) = billed.invoices.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text += &format!("… and {} more; --output json has all of them\n", grouped(more as u128));
    }
    text += &format!("\n{}", totals(&billed.invoices));
    if collected.total() > 0 {
        text += &format!("\n{}", payments(collected));
    }
    text
}

/// Taxes have a column where there are some.
fn invoice_table(invoices: &[InvoiceSummary]) -> String {
    let is_taxed = invoices.iter().any(|invoice| !invoice.tax().is_zero());
    let tax_column = is_taxed.then_some("TAX");
    let titles = ["ORGANIZATION", "INVOICE", "STATE", "CURRENCY"];
    let mut shown = table(titles.into_iter().chain(tax_column).chain(["TOTAL", "DUE"]));
    for invoice in invoices.iter().take(SHOWN) {
        let cells = [
            cell(&invoice.organization, Tone::Plain),
            cell(invoice.number.as_deref().unwrap_or("-"), Tone::Plain),
            cell(invoice.state.as_str(), tone(invoice.state)),
            cell(invoice.currency, Tone::Plain),
        ];
        let tax = is_taxed.then(|| money(invoice.tax()));
        let amounts = [money(invoice.total), money(invoice.amount_due)];
        shown.add_row(cells.into_iter().chain(tax).chain(amounts));
    }
    shown.trim_fmt()
}

/// `collected: 41 paid, 1 declined`.
fn payments(collected: &Collection) -> String {
    let counts = [
        (collected.paid, "paid"),
        (collected.declined, "declined"),
        (collected.without_payment_method, "without a payment method"),
        (collected.unknown, "not known yet"),
        (collected.refused, "refused by the payment provider, see the log"),
        (collected.damaged, "not collected: they can't be read, see the log"),
    ];
    let told = counts.into_iter().filter(|(count, _)| *count > 0);
    let told: Vec<String> = told.map(|(count, what)| format!("{} {what}", grouped(count.into()))).collect();
    format!("collected: {}", told.join(", "))
}

fn standing(billed: &Billed) -> String {
    let dry = if billed.dry_run { "dry run: nothing was written; " } else { "" };
    match (&billed.waiting, billed.finalized) {
        (Some(waiting), _) => {
            let through = match waiting.complete_through {
                Some(through) => format!("complete through {through}"),
                None => "not known to be complete".to_owned(),
            };
            format!("{dry}drafts only: {} ({through})", waiting.reason)
        }
        (None, true) => format!("{dry}finalized, {} issued now", grouped(billed.issued as u128)),
        (None, false) => format!("{dry}wholly counted: `odometer bill` would finalize it"),
    }
}

fn tone(state: InvoiceState) -> Tone {
    match state {
        InvoiceState::Paid => Tone::Good,
        InvoiceState::Open => Tone::Doubtful,
        InvoiceState::Draft | InvoiceState::Void => Tone::Plain,
    }
}

fn money(amount: Decimal) -> comfy_table::Cell {
    cell(amount, Tone::Plain).set_alignment(comfy_table::CellAlignment::Right)
}

/// By currency: how many, what they sum up to, what is still to be paid.
fn totals(invoices: &[InvoiceSummary]) -> String {
    let mut sums: BTreeMap<_, (u128, Decimal, Decimal)> = BTreeMap::new();
    for invoice in invoices {
        let (count, total, due) = sums.entry(invoice.currency).or_default();
        *count += 1;
        *total = total.saturating_add(invoice.total);
        *due = due.saturating_add(invoice.amount_due);
    }
    let line = |(currency, (count, total, due)): (&crate::rating::Currency, &(u128, Decimal, Decimal))| {
        let invoices = if *count == 1 { "invoice" } else { "invoices" };
        format!("{} {invoices}, total {currency} {total}, due {currency} {due}", grouped(*count))
    };
    sums.iter().map(line).collect::<Vec<_>>().join("\n")
}
