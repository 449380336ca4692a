//! Where what of an invoice stands on the sheet.

use krilla::metadata::{DateTime, Metadata};

use super::PdfError;
use super::sheet::{BOTTOM, MARGIN, RIGHT, Sheet, Style};
use crate::billing::{Invoice, InvoiceLine, InvoiceState};
use crate::clock::Time;

/// Whom the invoice is for.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    pub name: &'a str,
    pub email: &'a str,
}

const TITLE: Style = Style::bold(24.0);
const LABEL: Style = Style::quiet(8.5);
const BODY: Style = Style::plain(9.5);
const STRONG: Style = Style::bold(9.5);
const DUE: Style = Style::bold(15.0);
const LEADING: f32 = 14.0;

/// Right edges of the columns of figures; the description has what is left of them.
const QUANTITY: f32 = RIGHT - 172.0;
const UNIT_PRICE: f32 = RIGHT - 80.0;
const DESCRIPTION_WIDTH: f32 = QUANTITY - MARGIN - 76.0;

/// The document. The digits are those of the invoice's JSON.
pub fn invoice(invoice: &Invoice, recipient: Recipient<'_>) -> Result<Vec<u8>, PdfError> {
    let mut sheet = Sheet::new();
    head(&mut sheet, invoice, recipient);
    lines_head(&mut sheet);
    for line in &invoice.lines {
        write_line(&mut sheet, line);
    }
    sums(&mut sheet, invoice);
    let foot = match &invoice.digest {
        Some(digest) => format!("Digest {digest}"),
        None => "Draft: it may still change".to_owned(),
    };
    let named = |cause: String| PdfError { invoice: name(invoice), cause };
    sheet.finish(metadata(invoice), &foot).map_err(|error| named(format!("{error:?}")))
}

fn name(invoice: &Invoice) -> String {
    match &invoice.number {
        Some(number) => number.clone(),
        None => format!("draft of {} for {}", invoice.organization, invoice.month),
    }
}

fn metadata(invoice: &Invoice) -> Metadata {
    let metadata = Metadata::new()
        .title(format!("Invoice {}", name(invoice)))
        .language("en".to_owned())
        .producer("odometer".to_owned());
    match invoice.issued_at.and_then(date_time) {
        Some(issued) => metadata.creation_date(issued),
        None => metadata,
    }
}

fn date_time(time: Time) -> Option<DateTime> {
    let text = time.to_string();
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u16>().ok();
    let small = |from: usize, to: usize| u8::try_from(number(from, to)?).ok();
    let date = DateTime::new(number(0, 4)?).month(small(5, 7)?).day(small(8, 10)?);
    let clock = date.hour(small(11, 13)?).minute(small(14, 16)?).second(small(17, 19)?);
    Some(clock.utc_offset_hour(0).utc_offset_minute(0))
}

fn head(sheet: &mut Sheet, invoice: &Invoice, recipient: Recipient<'_>) {
    let top = MARGIN + 18.0;
    sheet.text(MARGIN, top, TITLE, "Invoice");
    sheet.text_to(RIGHT, top, Style::bold(11.0), invoice.number.as_deref().unwrap_or("Draft"));
    let mut y = top + 46.0;
    sheet.text(MARGIN, y, LABEL, "Billed to");
    for (place, line) in recipient_lines(invoice, recipient).iter().enumerate() {
        let style = if place == 0 { STRONG } else { BODY };
        y += LEADING;
        sheet.text(MARGIN, y, style, line);
    }
    let mut right = top + 46.0;
    for (label, value) in facts(invoice) {
        sheet.text(QUANTITY - 84.0, right, LABEL, label);
        sheet.text_to(RIGHT, right, BODY, &value);
        right += LEADING + 1.0;
    }
    sheet.y = y.max(right) + 34.0;
}

fn recipient_lines(invoice: &Invoice, recipient: Recipient<'_>) -> Vec<String> {
    let width = QUANTITY - 84.0 - MARGIN - 16.0;
    let mut lines = STRONG.wrap(recipient.name, width);
    lines.extend(BODY.wrap(recipient.email, width));
    if invoice.organization != recipient.name {
        lines.extend(BODY.wrap(&invoice.organization, width));
    }
    lines
}

fn facts(invoice: &Invoice) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Month (UTC)", invoice.month.to_string())];
    let dates = [
        ("Issued", invoice.issued_at),
        ("Due", invoice.due_at),
        ("Paid", invoice.paid_at),
        ("Void since", invoice.voided_at),
    ];
    for (label, time) in dates {
        facts.extend(time.map(|time| (label, day(time))));
    }
    facts.push(("State", invoice.state.as_str().to_owned()));
    facts.push(("Price list", invoice.price_book.clone()));
    facts
}

/// `2026-12-01`
fn day(time: Time) -> String {
    time.to_string().chars().take(10).collect()
}

fn lines_head(sheet: &mut Sheet) {
    let y = sheet.y;
    sheet.text(MARGIN, y, LABEL, "Description");
    sheet.text_to(QUANTITY, y, LABEL, "Quantity");
    sheet.text_to(UNIT_PRICE, y, LABEL, "Unit price");
    sheet.text_to(RIGHT, y, LABEL, "Amount");
    sheet.rule(y + 7.0, MARGIN, RIGHT);
    sheet.y = y + 24.0;
}

/// A line is never cut by the page's end.
fn write_line(sheet: &mut Sheet, line: &InvoiceLine) {
    let mut words = BODY.wrap(&line.description, DESCRIPTION_WIDTH);
    if let Some(corrected) = &line.corrects {
        words.extend(BODY.wrap(&format!("corrects {corrected}"), DESCRIPTION_WIDTH));
    }
    let unit_price = match line.unit {
        1 => line.unit_price.to_string(),
        unit => format!("{} / {unit}", line.unit_price),
    };
    let height = LEADING * words.len().max(1) as f32;
    if sheet.y + height > BOTTOM {
        sheet.turn();
        lines_head(sheet);
    }
    let y = sheet.y;
    for (place, text) in words.iter().enumerate() {
        sheet.text(MARGIN, y + LEADING * place as f32, BODY, text);
    }
    sheet.text_to(QUANTITY, y, BODY, &line.quantity.to_string());
    sheet.text_to(UNIT_PRICE, y, BODY, &unit_price);
    sheet.text_to(RIGHT, y, BODY, &line.amount.to_string());
    sheet.y = y + height + 7.0;
}

fn sums(sheet: &mut Sheet, invoice: &Invoice) {
    if sheet.y + 96.0 > BOTTOM {
        sheet.turn();
    }
    sheet.rule(sheet.y - 8.0, MARGIN, RIGHT);
    sheet.y += 12.0;
    let currency = invoice.currency;
    let from = UNIT_PRICE - 120.0;
    let mut sum = |label: &str, amount: String, style: Style| {
        sheet.text(from, sheet.y, BODY, label);
        sheet.text_to(RIGHT, sheet.y, style, &amount);
        sheet.y += LEADING + 3.0;
    };
    if invoice.subtotal != invoice.total {
        sum("Subtotal", format!("{} {currency}", invoice.subtotal), BODY);
        sum("Tax", format!("{} {currency}", invoice.tax()), BODY);
    }
    sum("Total", format!("{} {currency}", invoice.total), STRONG);
    let credit = invoice.total - invoice.amount_due;
    if invoice.state == InvoiceState::Open && !credit.is_zero() {
        sum("Credit", format!("{} {currency}", -credit), BODY);
    }
    sheet.y += 10.0;
    sheet.text(from, sheet.y, BODY, "Amount due");
    sheet.text_to(RIGHT, sheet.y, DUE, &format!("{} {currency}", invoice.amount_due));
}
