//! Whether everything is counted.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::super::figures::scrolling;
use super::super::text::{data, near};
use crate::clock::Time;
use crate::snapshot::{LaneHealth, RegionHealth};

/// An owner looks at the end of its lanes every second or so.
const UNSEEN_MS: i64 = 60_000;

pub fn section(regions: &[RegionHealth], now: Time) -> Markup {
    html! {
        @for region in regions {
            section.card aria-labelledby=(format!("region-{}", region.region)) {
                h2 id=(format!("region-{}", region.region)) { "Region " (region.region) }
                p.standing.told {
                    @match region.complete_through {
                        Some(through) => { "Complete through " (near(through, now)) }
                        None => strong.warning { "Not known to be complete: some lane was never seen read to its end" },
                    }
                }
                @match &region.lanes {
                    Some(lanes) => (of_lanes(&region.region, lanes, now)),
                    None => p.alert role="alert" { "The region's ClickHouse does not answer." },
                }
            }
        }
    }
}

fn of_lanes(region: &str, lanes: &[LaneHealth], now: Time) -> Markup {
    let losses: Vec<_> =
        lanes.iter().flat_map(|lane| lane.losses.iter().map(move |loss| (&lane.lane, loss))).collect();
    html! {
        @if !losses.is_empty() {
            div.alert role="alert" {
                strong { (format!("Lost: {}", losses.len())) }
                ul { @for (lane, loss) in &losses { li { (lane) ", " (loss) } } }
            }
        }
        @if lanes.is_empty() { p.empty { "No lane has a history yet." } }
        @else { (scrolling(&format!("Lanes of region {region}"), &table(lanes, now))) }
    }
}

fn table(lanes: &[LaneHealth], now: Time) -> Markup {
    html! {
        table {
            caption.hidden { "Lanes, how far they are, and what became of their events" }
            thead {
                tr {
                    th scope="col" { "Lane" }
                    th.number scope="col" { "Not counted yet" }
                    th scope="col" { "Log seen" }
                    th.number scope="col" { "Counted" }
                    th.number scope="col" { "Duplicate" }
                    th.number scope="col" { "Rejected" }
                    th.number scope="col" { "Ignored" }
                }
            }
            tbody {
                @for lane in lanes {
                    tr {
                        th scope="row" { (lane.lane) }
                        td.number { @match lane.lag() { Some(lag) => (data(lag.into())), None => "unknown" } }
                        td { (seen(lane, now)) }
                        td.number { (data(lane.tally.counted.into())) }
                        td.number { (data(lane.tally.duplicate.into())) }
                        td.number { (data(lane.tally.rejected.into())) }
                        td.number { (data(lane.tally.ignored.into())) }
                    }
                }
            }
        }
    }
}

fn seen(lane: &LaneHealth, now: Time) -> Markup {
    match lane.seen {
        Some((_, seen)) if now.0 - seen.0 <= UNSEEN_MS => html! { (near(seen, now)) },
        Some((_, seen)) => html! { strong.warning { "nobody since " (near(seen, now)) } },
        None => html! { strong.warning { "never" } },
    }
}

pub fn letters(reasons: Option<&BTreeMap<String, u64>>) -> Markup {
    html! {
        section.card aria-labelledby="letters" {
            h2 #letters { "Dead letters of the last day" }
            @match reasons {
                None => p.empty { "They can't be read right now." },
                Some(reasons) if reasons.is_empty() => p.empty { "None." },
                Some(reasons) => {
                    dl.sums { @for (reason, count) in reasons { div { dt { code { (reason) } } dd { (data((*count).into())) } } } }
                    p.quiet { code { "odometer dead-letters list" } " says which, and " code { "retry" } " sends them again." }
                }
            }
        }
    }
}
