//! Usage over time, in windows of an hour, a UTC day or a UTC month.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::register::Catalog;
use super::usage::PUBLISHED_SERVICES;
use crate::aggregate::ServiceRow;
use crate::clock::Time;
use crate::event::HOUR_MS;
use crate::month::Month;
use crate::store::SeriesPoint;
pub use crate::store::Window;

#[cfg(test)]
mod tests;

const HOURS_A_DAY: u32 = 24;

/// Which points.
#[derive(Clone, Debug)]
pub struct Series {
    /// Hours since the epoch, half-open. The first and the last window are cut to them, so that the
    /// points add up to exactly what was used then.
    pub hours: Range<u32>,
    pub window: Window,
    /// `None`: every meter that events add to.
    pub meter: Option<String>,
    /// `None`: every region.
    pub region: Option<String>,
}

/// The value of one meter in one region over one window: what was used, or, of the catalog, what
/// there is at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    pub start: Time,
    pub end: Time,
    pub region: Arc<str>,
    pub meter: Arc<str>,
    pub value: u128,
}

impl Point {
    pub(super) fn of(point: SeriesPoint, series: &Series) -> Self {
        let start_hour = u32::try_from(point.start_ms / HOUR_MS).unwrap_or(0);
        let window = cut(start_hour..window_end(start_hour, series.window), &series.hours);
        Self {
            start: hour_start(window.start),
            end: hour_start(window.end),
            region: point.region.into(),
            meter: point.meter.into(),
            value: point.value,
        }
    }

    fn key(&self) -> (Time, &str, &str) {
        (self.start, &self.region, &self.meter)
    }

    /// In the order of (start, region, meter); what several deployments say of the same adds up.
    pub(super) fn join(mut points: Vec<Self>) -> Vec<Self> {
        points.sort_by(|a, b| a.key().cmp(&b.key()));
        points.dedup_by(|later, kept| {
            let same = later.key() == kept.key();
            if same {
                kept.value += later.value;
            }
            same
        });
        points
    }
}

fn hour_start(hour: u32) -> Time {
    Time(i64::from(hour) * HOUR_MS)
}

fn cut(window: Range<u32>, hours: &Range<u32>) -> Range<u32> {
    window.start.max(hours.start)..window.end.min(hours.end)
}

/// The hour after the last of the window that starts with, or holds, `hour`.
fn window_end(hour: u32, window: Window) -> u32 {
    match window {
        Window::Hour => hour + 1,
        Window::Day => (hour / HOURS_A_DAY + 1) * HOURS_A_DAY,
        Window::Month => Month::containing(hour_start(hour).0).hours().end,
    }
}

/// The windows of a series, cut to its hours.
pub fn windows(series: &Series) -> impl Iterator<Item = Range<u32>> {
    let (hours, window) = (series.hours.clone(), series.window);
    let next = move |from: u32| (from < hours.end).then(|| from..window_end(from, window).min(hours.end));
    std::iter::successors(next(series.hours.start), move |last| next(last.end))
}

/// How many services (or published ones) there are at the end of each window, where there are any.
pub(super) fn catalog_points(rows: &[ServiceRow], series: &Series) -> Vec<Point> {
    let published = series.meter.as_deref() == Some(PUBLISHED_SERVICES);
    let meter: Arc<str> = series.meter.as_deref().unwrap_or_default().into();
    let mut by_time: Vec<&ServiceRow> = rows.iter().collect();
    by_time.sort_by_key(|row| row.time_ms);
    let mut rest = by_time.into_iter().peekable();
    let mut regions: BTreeMap<&str, Arc<str>> = BTreeMap::new();
    let mut catalog = Catalog::default();
    let mut points = Vec::new();
    for window in windows(series) {
        let (start, end) = (hour_start(window.start), hour_start(window.end));
        while let Some(row) = rest.next_if(|row| row.time_ms < end.0) {
            let region = regions.entry(&row.region).or_insert_with(|| row.region.as_str().into());
            catalog.apply(region, row);
        }
        let asked = |region: &str| series.region.as_deref().is_none_or(|asked| asked == region);
        for (region, counts) in catalog.by_region().filter(|(region, _)| asked(region)) {
            let value = u128::from(if published { counts.published } else { counts.services });
            if value > 0 {
                points.push(Point { start, end, region: region.clone(), meter: meter.clone(), value });
            }
        }
    }
    points
}
