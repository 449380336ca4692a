//! API calls by day and region: as bars, and as a table that says the same.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use maud::{Markup, html};

use super::figures::scrolling;
use super::text::{data, day, number};
use crate::clock::{self, Time};
use crate::event::API_CALLS;
use crate::month::Month;
use crate::snapshot::series::{Point, Series, Window};
use crate::snapshot::{SnapshotError, Snapshots};

#[cfg(test)]
mod tests;

/// Days are read again after this long, where somebody looks.
const KEPT: Duration = Duration::from_secs(5);
/// Of some kilobytes each; beyond that many, old ones are forgotten.
const MOST_KEPT: usize = 1_000;
/// Regions beyond these share the last colour.
const COLOURS: usize = 6;
const DAY_MS: i64 = 86_400_000;
/// The drawing's units: a day's width, and the height of the greatest day.
const DAY_WIDTH: u64 = 10;
const BAR_MARGIN: u64 = 2;
const HEIGHT: u64 = 1_000;

type Days = Arc<BTreeMap<Arc<str>, Vec<u128>>>;

/// The days of the months that are looked at.
#[derive(Debug, Default)]
pub struct Charts {
    known: DashMap<(Arc<str>, Month), (Instant, Days)>,
}

impl Charts {
    /// API calls of each day of the month, by region.
    pub async fn chart(
        &self,
        snapshots: &Snapshots,
        organization: &Arc<str>,
        month: Month,
        now: Time,
    ) -> Result<Chart, SnapshotError> {
        let key = (organization.clone(), month);
        let known = self.known.get(&key).map(|held| held.clone());
        let days = match known.filter(|(read_at, _)| clock::instant() - *read_at < KEPT) {
            Some((_, days)) => days,
            None => {
                let days = Arc::new(read(snapshots, organization, month).await?);
                if self.known.len() >= MOST_KEPT {
                    self.known.retain(|_, (read_at, _)| clock::instant() - *read_at < KEPT);
                }
                self.known.insert(key, (clock::instant(), days.clone()));
                days
            }
        };
        Ok(Chart { month, now, days })
    }
}

async fn read(
    snapshots: &Snapshots,
    organization: &str,
    month: Month,
) -> Result<BTreeMap<Arc<str>, Vec<u128>>, SnapshotError> {
    let meter = Some(API_CALLS.to_owned());
    let series = Series { hours: month.hours(), window: Window::Day, meter, region: None };
    Ok(by_region(month, snapshots.series(organization, &series).await?))
}

fn by_region(month: Month, points: Vec<Point>) -> BTreeMap<Arc<str>, Vec<u128>> {
    let mut days: BTreeMap<Arc<str>, Vec<u128>> = BTreeMap::new();
    for point in points {
        let place = usize::try_from((point.start.0 - month.start_ms()) / DAY_MS).unwrap_or(usize::MAX);
        let values = days.entry(point.region).or_insert_with(|| vec![0; length(month)]);
        if let Some(value) = values.get_mut(place) {
            *value += point.value;
        }
    }
    days
}

fn length(month: Month) -> usize {
    usize::try_from((month.end_ms() - month.start_ms()) / DAY_MS).unwrap_or(31)
}

pub struct Chart {
    month: Month,
    now: Time,
    days: Days,
}

impl Chart {
    /// Days that have begun.
    fn begun(&self) -> usize {
        let since = (self.now.0 - self.month.start_ms()).div_euclid(DAY_MS) + 1;
        usize::try_from(since).unwrap_or(0).min(length(self.month))
    }

    fn total(&self, day: usize) -> u128 {
        self.days.values().map(|values| values.get(day).copied().unwrap_or(0)).sum()
    }

    fn start_of(&self, day: usize) -> Time {
        Time(self.month.start_ms() + i64::try_from(day).unwrap_or(0) * DAY_MS)
    }

    /// The chart itself.
    pub fn bars(&self) -> Markup {
        let greatest = (0..length(self.month)).map(|day| self.total(day)).max().unwrap_or(0);
        if greatest == 0 {
            return html! { p.empty { "No API calls yet this month. They show here seconds after they arrive." } };
        }
        let top = rounded_up(greatest);
        let days = length(self.month);
        let width = days as u64 * DAY_WIDTH;
        html! {
            div.plot {
                div.scale aria-hidden="true" {
                    span { (short(top)) }
                    span { (short(top / 2)) }
                    span { "0" }
                }
                svg.bars viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" role="img"
                    aria-label=(self.summary()) {
                    @for y in [0, HEIGHT / 2, HEIGHT] {
                        line.grid x1="0" x2=(width) y1=(y) y2=(y) {}
                    }
                    @for day in 0..self.begun() { (self.bar(day, top)) }
                }
                div class=(format!("days of-{days}")) aria-hidden="true" {
                    @for day in (1..=days).step_by(7) { span { (day) } }
                }
            }
            @if self.days.len() > 1 {
                ul.legend {
                    @for (place, region) in self.days.keys().enumerate() {
                        li class=(colour(place)) { (region) }
                    }
                }
            }
        }
    }

    /// One day, its regions on one another.
    fn bar(&self, day: usize, top: u128) -> Markup {
        let mut below = 0;
        let x = day as u64 * DAY_WIDTH + BAR_MARGIN / 2;
        let mut rects = Vec::new();
        for (place, values) in self.days.values().enumerate() {
            let value = values.get(day).copied().unwrap_or(0);
            let (low, high) = (scaled(below, top), scaled(below + value, top));
            below += value;
            // What there is is seen, if only as a line.
            let high = if value > 0 { high.max(low + 4) } else { high };
            rects.push((colour(place), HEIGHT - high.min(HEIGHT), high.min(HEIGHT) - low));
        }
        let words =
            format!("{}: {} API calls", super::text::day(self.start_of(day)), number_of(self.total(day)));
        html! {
            g {
                title { (words) }
                rect.reach x=(day as u64 * DAY_WIDTH) y="0" width=(DAY_WIDTH) height=(HEIGHT) {}
                @for (class, y, height) in rects.into_iter().filter(|(_, _, height)| *height > 0) {
                    rect class=(class) x=(x) y=(y) width=(DAY_WIDTH - BAR_MARGIN) height=(height) {}
                }
            }
        }
    }

    fn summary(&self) -> String {
        let total: u128 = (0..length(self.month)).map(|day| self.total(day)).sum();
        let most = (0..self.begun()).max_by_key(|day| self.total(*day)).unwrap_or(0);
        format!(
            "API calls by day: {} this month, most on {} with {}. The table below has every day.",
            number_of(total),
            day(self.start_of(most)),
            number_of(self.total(most))
        )
    }

    /// What the bars say, in numbers; the latest day first.
    pub fn table(&self) -> Markup {
        let several = self.days.len() > 1;
        let table = html! {
            table {
                caption.hidden { "API calls by day and region, in UTC days" }
                thead {
                    tr {
                        th scope="col" { "Day" }
                        @if several { @for region in self.days.keys() { th.number scope="col" { (region) } } }
                        th.number scope="col" { "API calls" }
                    }
                }
                tbody {
                    @for place in (0..self.begun()).rev() {
                        tr {
                            th scope="row" { (day(self.start_of(place))) }
                            @if several {
                                @for values in self.days.values() {
                                    td.number { (data(values.get(place).copied().unwrap_or(0))) }
                                }
                            }
                            td.number { (data(self.total(place))) }
                        }
                    }
                }
            }
        };
        scrolling("API calls by day, as a table", &table)
    }
}

fn colour(place: usize) -> String {
    format!("r{}", place.min(COLOURS - 1))
}

fn number_of(value: u128) -> String {
    i128::try_from(value).map_or_else(|_| value.to_string(), number)
}

fn scaled(value: u128, top: u128) -> u64 {
    let height = value.saturating_mul(u128::from(HEIGHT)) / top.max(1);
    u64::try_from(height).unwrap_or(HEIGHT)
}

/// The next of 1, 2, 4, 5, 6, 8 or 10 times a power of ten: an even number from 2 on.
fn rounded_up(value: u128) -> u128 {
    let mut power = 1;
    while value > 10_u128.saturating_mul(power) {
        power *= 10;
    }
    let steps = [1, 2, 4, 5, 6, 8, 10].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value).max(2)
}

/// `1.2M`, `40k`, `950`: for the scale, where an exact number would be noise.
fn short(value: u128) -> String {
    let units = [(1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")];
    let unit = units.into_iter().find(|(size, _)| value >= *size);
    let Some((size, letter)) = unit else { return value.to_string() };
    let tenths = value * 10 / size;
    match tenths % 10 {
        0 => format!("{}{letter}", tenths / 10),
        tenth => format!("{}.{tenth}{letter}", tenths / 10),
    }
}
