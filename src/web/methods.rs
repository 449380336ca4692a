//! Payment methods on the page.

use maud::{Markup, html};

use super::billing::View;
use super::visitor::Visitor;
use super::{Settings, forms};
use crate::accounts::payment_method::{NewPaymentMethod, PaymentMethod};
use crate::clock::Time;
use crate::event::Plan;
use crate::month::Month;

/// What the sandbox can set up: a name, the provider's token, brand and last digits.
pub const SANDBOX: [(&str, &str, &str, &str); 3] = [
    ("visa", "tok_ok", "visa", "4242"),
    ("mastercard", "tok_ok", "mastercard", "4444"),
    ("declined", "tok_declined", "visa", "0002"),
];

/// A sandbox's method by its name in the form; it expires in three years.
pub fn sandbox_method(name: &str, now: Time) -> Option<NewPaymentMethod> {
    let (_, token, brand, last4) = SANDBOX.into_iter().find(|(known, ..)| *known == name)?;
    let month = Month::containing(now.0);
    Some(NewPaymentMethod {
        token: token.to_owned(),
        brand: brand.to_owned(),
        last4: last4.to_owned(),
        exp: format!("{:02}/{}", month.month(), month.year() + 3),
    })
}

pub fn section(visitor: &Visitor, view: &View, settings: &Settings) -> Markup {
    html! {
        section.card aria-labelledby="methods" {
            h2 #methods { "Payment methods" }
            @if view.methods.is_empty() {
                p.empty { "None is set up. Plus needs one; nothing is charged for setting it up." }
            } @else {
                ul.rows { @for method in &view.methods { (row(visitor, view, method)) } }
            }
            @if visitor.may_act() {
                details open[view.account.payment_method_required] {
                    summary { "Set up a payment method" }
                    (form(visitor, settings, None))
                }
            }
        }
    }
}

fn row(visitor: &Visitor, view: &View, method: &PaymentMethod) -> Markup {
    let PaymentMethod { id, brand, last4, exp, default, .. } = method;
    let to = |what: &str| format!("{}/payment-methods/{id}/{what}", visitor.place());
    let name = format!("{brand} ending in {last4}");
    let may_go = !default || view.account.plan == Plan::Free;
    html! {
        li {
            span.method { (capitalized(brand)) " ···· " (last4) }
            span.quiet { "expires " (exp) }
            @if *default { span.chip { "Default" } }
            span.grow {}
            @if visitor.may_act() && !default {
                form method="post" action=(to("default")) {
                    (forms::token(&visitor.session))
                    button.plain type="submit" aria-label=(format!("Make default: {name}")) { "Make default" }
                }
            }
            @if visitor.may_act() && may_go {
                form method="post" action=(to("remove")) {
                    (forms::token(&visitor.session))
                    button.plain type="submit" aria-label=(format!("Remove {name}")) { "Remove" }
                }
            }
        }
    }
}

/// Sets a method up; `then` names the plan that is asked for after it.
pub fn form(visitor: &Visitor, settings: &Settings, then: Option<Plan>) -> Markup {
    html! {
        form.stack method="post" action=(format!("{}/payment-methods", visitor.place())) {
            (forms::token(&visitor.session))
            @if let Some(plan) = then { input type="hidden" name="then" value=(plan); }
            @if settings.sandbox_payments { (sandbox_fields()) } @else { (token_fields()) }
            button type="submit" { "Set up payment method" }
        }
    }
}

fn sandbox_fields() -> Markup {
    html! {
        fieldset {
            legend { "Sandbox: choose a card to try things out with. No money moves." }
            @for (place, (name, token, brand, last4)) in SANDBOX.iter().enumerate() {
                label.choice {
                    input type="radio" name="card" value=(name) required checked[place == 0];
                    span { (capitalized(brand)) " ···· " (last4) }
                    @if *token == "tok_declined" { span.quiet { "is declined when charged" } }
                }
            }
        }
    }
}

/// A real provider's own form takes the card and gives a token for it.
fn token_fields() -> Markup {
    html! {
        p.quiet {
            "Cards are entered at the payment provider, which gives a token for them. "
            "A card's number is never taken here."
        }
        div.fields {
            label { "Provider's token" input name="token" required maxlength="255" autocomplete="off"; }
            label { "Brand" input name="brand" required maxlength="32" autocomplete="off"; }
            label { "Last 4 digits" input name="last4" required maxlength="4" inputmode="numeric" autocomplete="off"; }
            label { "Expires, as 11/2028" input name="exp" required maxlength="7" autocomplete="off"; }
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
