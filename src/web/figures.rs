//! The parts of the page that change while somebody looks at it, by the id of their place.

use maud::{Markup, html};
use rust_decimal::Decimal;

use super::text::{data, money, month, near, number};
use crate::event::{API_CALLS, Plan};
use crate::month::Month;
use crate::rating::{Estimate, Overage};
use crate::snapshot::usage::{Meters, PUBLISHED_SERVICES, REGIONS, RegionUsage, SERVICES};
use crate::snapshot::{Entitlement, Usage};

pub const STANDING: &str = "standing";
pub const COST: &str = "cost";
pub const FIGURES: &str = "figures";
pub const BREAKDOWN: &str = "breakdown";
pub const BY_REGION: &str = "by-region";

/// What the parts are made of.
pub struct Figures<'a> {
    pub usage: &'a Usage,
    pub calls: Option<&'a Entitlement>,
    /// In a trial: what a whole month of Plus would cost at this pace.
    pub whole_month: Option<&'a Estimate>,
}

impl Figures<'_> {
    pub fn parts(&self) -> [(&'static str, Markup); 5] {
        [
            (STANDING, self.standing()),
            (COST, self.cost()),
            (FIGURES, self.tiles()),
            (BREAKDOWN, self.breakdown()),
            (BY_REGION, regions(self.usage)),
        ]
    }

    pub fn standing(&self) -> Markup {
        let Usage { as_of, complete_through, complete, .. } = self.usage;
        html! {
            "As of " (near(*as_of, *as_of))
            @match complete_through {
                Some(through) => { ", complete through " (near(*through, *as_of)) }
                None => { ", completeness not known yet" }
            }
            @if !complete {
                " " strong.warning { "Some usage may still be missing" }
            }
        }
    }

    pub fn cost(&self) -> Markup {
        match (&self.usage.estimated_cost, self.whole_month) {
            (Some(Estimate { lines, .. }), _)
                if lines.is_empty() && self.usage.plan == Some(Plan::Enterprise) =>
            {
                html! {
                    p.big { "By agreement" }
                    p.quiet { "Your sales contact has your prices." }
                }
            }
            (Some(Estimate { lines, currency, amount, .. }), _) if lines.is_empty() => html! {
                p.big { data value=(amount) { (money(*amount, *currency)) } }
                p.quiet { "Nothing is charged on this plan." }
            },
            (Some(Estimate { currency, amount, forecast, .. }), _) => html! {
                p.big { data value=(amount) { (money(*amount, *currency)) } }
                p.quiet {
                    "About " data value=(forecast) { (money(*forecast, *currency)) }
                    " by the end of " (month_word(self.usage.month)) ", at this pace"
                }
            },
            (None, whole_month) => html! {
                p.big { "No charge" }
                p.quiet {
                    "The trial is free."
                    @if let Some(Estimate { currency, forecast, .. }) = whole_month.filter(|whole| !whole.forecast.is_zero()) {
                        " Plus would be about " (money(*forecast, *currency)) " a month at this pace."
                    }
                }
            },
        }
    }

    fn used(&self, meter: &str) -> u128 {
        self.usage.usage.get(meter).unwrap_or(0)
    }

    pub fn tiles(&self) -> Markup {
        html! {
            div.tile.wide {
                dt { "API calls this month" }
                dd {
                    span.value { (data(self.used(API_CALLS))) }
                    (self.limit())
                }
            }
            (tile("Services", self.used(SERVICES)))
            (tile("Published services", self.used(PUBLISHED_SERVICES)))
            (tile("Regions", self.used(REGIONS)))
        }
    }

    fn limit(&self) -> Markup {
        let limited = self.calls.and_then(|calls| Some((calls, calls.limit?)));
        let Some((calls, limit)) = limited else {
            return html! { span.note { "No limit on this plan" } };
        };
        let beyond = match calls.overage {
            Overage::Block => "blocked beyond",
            Overage::Charge => "charged beyond",
        };
        html! {
            progress max=(limit) value=(calls.used.min(limit)) aria-label="API calls against the limit" {}
            span.note { "of " (number(i128::from(limit))) ", " (beyond) }
        }
    }

    pub fn breakdown(&self) -> Markup {
        let Some(Estimate { currency, amount, lines, .. }) = &self.usage.estimated_cost else {
            return html! { p.empty { "Nothing is charged during the trial." } };
        };
        if lines.is_empty() {
            let words = match self.usage.plan {
                Some(Plan::Enterprise) => "Enterprise is priced by agreement, not by this list.",
                _ => "Nothing is charged on this plan.",
            };
            return html! { p.empty { (words) } };
        }
        let cell = |amount: Decimal| html! { data value=(amount) { (money(amount, *currency)) } };
        let table = html! {
            table {
                caption.hidden { "Estimated cost of the month so far" }
                thead {
                    tr {
                        th scope="col" { "For" }
                        th.number scope="col" { "Quantity" }
                        th.number scope="col" { "Amount" }
                    }
                }
                tbody {
                    @for line in lines {
                        tr {
                            th scope="row" { (line.description) }
                            td.number { (data(line.quantity.into())) }
                            td.number { (cell(line.amount)) }
                        }
                    }
                }
                tfoot {
                    tr {
                        th scope="row" colspan="2" { "So far this month" }
                        td.number { (cell(*amount)) }
                    }
                }
            }
        };
        scrolling("Cost, line by line", &table)
    }
}

/// A table that may be wider than a phone; the keyboard scrolls it too.
pub fn scrolling(name: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(name) { (table) } }
}

/// By region, where there is more than one or one is silent.
pub fn regions(usage: &Usage) -> Markup {
    let silent = usage.by_region.values().any(|region| matches!(region, RegionUsage::Unknown { .. }));
    if usage.by_region.len() < 2 && !silent {
        return html! {};
    }
    let value = |meters: &Meters, meter: &str| data(meters.get(meter).unwrap_or(0));
    let table = html! {
        table {
            caption.hidden { "Usage by region" }
            thead {
                tr {
                    th scope="col" { "Region" }
                    th.number scope="col" { "API calls" }
                    th.number scope="col" { "Services" }
                    th.number scope="col" { "Published" }
                }
            }
            tbody {
                @for (region, used) in &usage.by_region {
                    tr {
                        th scope="row" { (region) }
                        @match used {
                            RegionUsage::Known(meters) => {
                                td.number { (value(meters, API_CALLS)) }
                                td.number { (value(meters, SERVICES)) }
                                td.number { (value(meters, PUBLISHED_SERVICES)) }
                            }
                            RegionUsage::Unknown { .. } => {
                                td colspan="3" { strong.warning { "does not answer; its usage is missing here" } }
                            }
                        }
                    }
                }
            }
        }
    };
    scrolling("Usage by region", &table)
}

fn tile(name: &str, value: u128) -> Markup {
    html! {
        div.tile {
            dt { (name) }
            dd { span.value { (data(value)) } }
        }
    }
}

fn month_word(of: Month) -> String {
    let text = month(of);
    text.split(' ').next().unwrap_or_default().to_owned()
}
