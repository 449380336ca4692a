//! The billing history.

use axum::extract::{Path, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;

use super::billing::View;
use super::forms;
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
pub struct InvoicePath {
    /// Of the document with `.pdf` after it.
    pub number: String,
}

/// An invoice to read and to keep.
pub async fn pdf(
    State(app): State<App>,
    visitor: Visitor,
    Path(InvoicePath { number }): Path<InvoicePath>,
) -> Result<Response, Refusal> {
    let number = number.strip_suffix(".pdf").ok_or(Refusal::NotFound)?;
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
                ul.invoices { @for invoice in &view.invoices { (row(visitor, invoice)) } }
            }
        }
    }
}

fn row(visitor: &Visitor, invoice: &Invoice) -> Markup {
    html! {
        li {
            div {
                strong.block { (month(invoice.month)) }
                (number(invoice))
            }
            div { (state(invoice)) }
            div.total {
                data value=(invoice.total) { (money(invoice.total, invoice.currency)) }
                @if !invoice.tax().is_zero() {
                    span.quiet.block { "with " (money(invoice.tax(), invoice.currency)) " tax" }
                }
            }
            div.actions {
                @if let Some(number) = &invoice.number {
                    a href=(format!("{}/invoices/{number}.pdf", visitor.place()))
                        aria-label=(format!("Invoice {number} as a PDF")) { "PDF" }
                    @if visitor.may_act() && invoice.state == InvoiceState::Open {
                        form method="post" action=(format!("{}/invoices/{number}/pay", visitor.place())) {
                            (forms::token(&visitor.session))
                            button type="submit" aria-label=(format!("Pay invoice {number}")) { "Pay" }
                        }
                    }
                }
            }
        }
    }
}

fn number(invoice: &Invoice) -> Markup {
    match (&invoice.number, invoice.issued_at) {
        (Some(number), Some(issued)) => {
            html! { span.quiet { span.whole { (number) "," } " " span.whole { (date(issued)) } } }
        }
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
        @if let Some(reason) = &invoice.void_reason {
            span.quiet.block { (reason) }
        }
    }
}
