//! The way to sales: for Enterprise, more regions, and whatever else is not self-service.

use maud::{Markup, html};

use super::billing::View;
use super::forms;
use super::visitor::Visitor;
use crate::event::Plan;

pub fn section(visitor: &Visitor, view: &View) -> Markup {
    let is_enterprise = view.account.plan == Plan::Enterprise;
    html! {
        section.card aria-labelledby="sales" {
            h2 #sales { "Contact sales" }
            p.quiet {
                @if is_enterprise {
                    "Changes of your plan, your regions or your prices go through your sales contact."
                } @else {
                    "For Enterprise, for more than one region, or for volumes beyond Plus."
                }
            }
            @if visitor.may_act() {
                details open[is_enterprise] {
                    summary { "Write to sales" }
                    form.stack method="post" action=(format!("{}/sales-requests", visitor.place())) {
                        (forms::token(&visitor.session))
                        label {
                            "What do you need?"
                            textarea name="message" rows="4" maxlength="10000" required {}
                        }
                        button type="submit" { "Send to sales" }
                    }
                }
            } @else {
                p.quiet { "An admin of your organization can write to them here." }
            }
        }
    }
}
