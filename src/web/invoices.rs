//! The billing history.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::billing::View;
use super::figures::scrolling;
use super::text::{date, money, month};
use super::visitor::{Refusal, Visitor};
use crate::accounts::Page;
use crate::billing::{Invoice, InvoiceState, Invoices};
use crate::http::App;

/// Months that the page shows: two years.
const SHOWN: u32 = 24;

pub async fn latest(app: &App, organization: &str) -> Result<Vec<Invoice>, Refusal> {
    let list = Invoices::of(app.accounts()).list(organization, &Page::new(Some(SHOWN), None)).await;
    Ok(list.map_err(|error| app.refuse(error))?.data)
}

#[derive(Deserialize)]
pub struct FilePath {
    /// `NUMBER.pdf`
    file: String,
}

/// An invoice to read and to keep.
pub async fn pdf(
    State(app): State<App>,
    visitor: Visitor,
    Path(FilePath { file }): Path<FilePath>,
) -> Result<Response, Refusal> {
    let number = file.strip_suffix(".pdf").ok_or(Refusal::NotFound)?;
    let invoice = app.invoice(&visitor.organization, number).await?;
    Ok(app.pdf(&invoice).await?)
}

pub fn section(visitor: &Visitor, view: &View) -> Markup {
    html! {
        section.card aria-labelledby="invoices" {
            h2 #invoices { "Invoices" }
            @if view.invoices.is_empty() {
                p.empty { "The first invoice comes when a month on Plus is over." }
            } @else {
                (scrolling("Invoices, month by month", &table(visitor, view)))
            }
        }
    }
}

fn table(visitor: &Visitor, view: &View) -> Markup {
    html! {
        table {
            caption.hidden { "Invoices, the latest month first" }
            thead {
                tr {
                    th scope="col" { "Month" }
                    th scope="col" { "Invoice" }
                    th scope="col" { "State" }
                    th.number scope="col" { "Total" }
                    th scope="col" { span.hidden { "What can be done" } }
                }
            }
            tbody { @for invoice in &view.invoices { (row(visitor, invoice)) } }
        }
    }
}

fn row(visitor: &Visitor, invoice: &Invoice) -> Markup {
    html! {
        tr {
            th scope="row" { (month(invoice.month)) }
            td { (number(invoice)) }
            td { (state(invoice)) }
            td.number { data value=(invoice.total) { (money(invoice.total, invoice.currency)) } }
            td {
                div.actions {
                    @if let Some(number) = &invoice.number {
                        a href=(format!("{}/invoices/{number}.pdf", visitor.place()))
                            aria-label=(format!("Invoice {number} as a PDF")) { "PDF" }
                    }
                }
            }
        }
    }
}

fn number(invoice: &Invoice) -> Markup {
    match (&invoice.number, invoice.issued_at) {
        (Some(number), Some(issued)) => html! { (number) span.quiet.block { (date(issued)) } },
        _ => html! { span.quiet { "Not issued yet" } },
    }
}

fn state(invoice: &Invoice) -> Markup {
    let (class, word) = match invoice.state {
        InvoiceState::Draft => ("chip draft", "Draft"),
        InvoiceState::Open => ("chip open", "Open"),
        InvoiceState::Paid => ("chip", "Paid"),
        InvoiceState::Void => ("chip void", "Void"),
    };
    html! {
        span class=(class) { (word) }
        @if let Some(due) = invoice.due_at.filter(|_| invoice.state == InvoiceState::Open) {
            span.quiet.block { "due " (date(due)) }
        }
    }
}
