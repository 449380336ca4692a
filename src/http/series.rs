//! Usage over time, as JSON in pages or as CSV.

use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Query, Readable, invalid_query, quality};
use super::page::{Page, decode_cursor, page_limit};
use super::{App, Problem};
use crate::clock::Time;
use crate::event::{EARLIEST_TIME_MS, HOUR_MS, LATEST_TIME_MS, is_region};
use crate::month::Month;
use crate::snapshot::Snapshots;
use crate::snapshot::series::{Point, Series, windows};
use crate::snapshot::usage::{PUBLISHED_SERVICES, REGIONS, SERVICES};
use crate::store::Window;

#[cfg(test)]
mod tests;

/// Points in a page where none are asked for, and at most.
const DEFAULT_LIMIT: usize = 1000;
const GREATEST_LIMIT: usize = 10_000;
/// Windows in one question: three years of hours.
const MOST_WINDOWS: usize = 3 * 366 * 24;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(series))
}

#[derive(Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SeriesQuery {
    /// The first instant, inclusive: an RFC 3339 time, a day (`2026-11-01`) or a month (`2026-11`).
    /// Usage is counted by the hour in UTC: an hour that the range touches is in it whole. Left out:
    /// the start of the current month.
    from: Option<String>,
    /// The last instant, exclusive, likewise. Left out: the end of the current hour.
    to: Option<String>,
    /// The length of a point: calendar windows in UTC, the first and the last cut to `from` and
    /// `to`. Left out: `day`.
    #[param(inline)]
    window: Option<WindowName>,
    /// One meter. Left out: every meter that events add to. `services` and `published_services`
    /// are the catalog's counts at each window's end.
    meter: Option<String>,
    /// One region. Left out: every region.
    region: Option<String>,
    /// Points in a page, 1 to 10000; 1000 where it is left out (CSV: 10000).
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WindowName {
    Hour,
    Day,
    Month,
}

/// What was used of one meter in one region over one window. Windows without usage are left out.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct SeriesEntry {
    #[schema(value_type = String, format = DateTime, example = "2026-11-01T00:00:00Z")]
    start: Time,
    /// Exclusive.
    #[schema(value_type = String, format = DateTime, example = "2026-11-02T00:00:00Z")]
    end: Time,
    #[schema(value_type = String, example = "us")]
    region: Arc<str>,
    #[schema(value_type = String, example = "api_calls")]
    meter: Arc<str>,
    #[schema(value_type = u64)]
    value: u128,
}

/// Usage over time, in the order of (start, region, meter).
#[utoipa::path(get, path = "/v1/organizations/{org}/usage/series", tag = "usage",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), SeriesQuery),
    responses(
        (status = OK, description = "A page; as CSV, the header Link names the next one",
            content((Page<SeriesEntry> = "application/json"), (String = "text/csv"))),
        Problem,
    ))]
async fn series(
    State(app): State<App>,
    Readable(organization): Readable,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Query(query): Query<SeriesQuery>,
) -> Result<Response, Problem> {
    let csv = prefers_csv(&headers);
    let default = if csv { GREATEST_LIMIT } else { DEFAULT_LIMIT };
    let limit = page_limit(query.limit, default, GREATEST_LIMIT)?;
    let after: Option<Key> = decode_cursor(query.cursor.as_deref())?;
    let series = query.series(app.clock.now_ms(), &app.snapshots)?;
    let points = app.snapshots.series(&organization, &series).await?;
    if points.is_empty() && !app.snapshots.knows(&organization).await? {
        return Err(Problem::organization_not_found(&organization));
    }
    let rest = points.into_iter().filter(|point| after.as_ref().is_none_or(|after| Key::of(point) > *after));
    let page = Page::cut(rest.take(limit + 1).collect(), limit, Key::of);
    Ok(if csv { csv_page(&page, &uri) } else { axum::Json(page.map(SeriesEntry::from)).into_response() })
}

/// Where a point stands in the order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key(i64, String, String);

impl Key {
    fn of(point: &Point) -> Self {
        Self(point.start.0, point.region.to_string(), point.meter.to_string())
    }
}

impl From<Point> for SeriesEntry {
    fn from(point: Point) -> Self {
        let Point { start, end, region, meter, value } = point;
        Self { start, end, region, meter, value }
    }
}

impl SeriesQuery {
    fn series(self, now_ms: i64, snapshots: &Snapshots) -> Result<Series, Problem> {
        let from = match self.from.as_deref() {
            Some(text) if !text.is_empty() => parse_bound("from", text)?,
            _ => Month::containing(now_ms).start_ms(),
        };
        let to = match self.to.as_deref() {
            Some(text) if !text.is_empty() => parse_bound("to", text)?,
            _ => (now_ms.div_euclid(HOUR_MS) + 1) * HOUR_MS,
        };
        let meters = || snapshots.event_meters().chain([SERVICES, PUBLISHED_SERVICES]);
        if let Some(meter) = &self.meter {
            check_meter(meter, meters())?;
        }
        if let Some(region) = self.region.as_deref().filter(|region| !is_region(region)) {
            return Err(invalid_query(format!("region {region:?} is not of the form [a-z0-9-]{{1,16}}")));
        }
        let window = match self.window {
            Some(WindowName::Hour) => Window::Hour,
            None | Some(WindowName::Day) => Window::Day,
            Some(WindowName::Month) => Window::Month,
        };
        let series =
            Series { hours: hours_between(from, to)?, window, meter: self.meter, region: self.region };
        if windows(&series).nth(MOST_WINDOWS).is_some() {
            return Err(invalid_range(format!(
                "From {} to {} are more than {MOST_WINDOWS} windows; ask for less at once or for wider windows.",
                Time(from),
                Time(to)
            )));
        }
        Ok(series)
    }
}

fn check_meter<'a>(meter: &str, known: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let known: Vec<&str> = known.collect();
    if known.contains(&meter) {
        return Ok(());
    }
    let why = if meter == REGIONS { "has no series" } else { "is not known" };
    let detail = format!("Meter {meter:?} {why}; there are {}.", known.join(", "));
    Err(Problem::bad_request("invalid-meter", "The meter can't be read", detail))
}

fn invalid_range(detail: String) -> Problem {
    Problem::bad_request("invalid-range", "The range can't be read", detail)
}

fn parse_bound(name: &str, text: &str) -> Result<i64, Problem> {
    // A plus sign that was not percent-encoded arrives as a space.
    let text = text.replace(' ', "+");
    let time = text
        .parse::<Time>()
        .or_else(|error| format!("{text}T00:00:00Z").parse::<Time>().map_err(|_| error))
        .map(|time| time.0)
        .or_else(|error| text.parse::<Month>().map(Month::start_ms).map_err(|_| error));
    time.map_err(|_| {
        invalid_range(format!(
            "{name} {text:?} is none of an RFC 3339 time (2026-11-01T00:00:00Z), a day (2026-11-01), a month (2026-11)."
        ))
    })
}

/// Usage is counted by the hour: an hour that the range touches is in it whole. Before 2000 and from
/// 2100 on there is none.
fn hours_between(from: i64, to: i64) -> Result<Range<u32>, Problem> {
    if from > to {
        return Err(invalid_range(format!("from {} is after to {}.", Time(from), Time(to))));
    }
    let hour = |bound: i64| {
        let counted = bound.clamp(EARLIEST_TIME_MS, LATEST_TIME_MS);
        u32::try_from(counted / HOUR_MS).expect("between 2000 and 2100")
    };
    let end = if from == to { hour(from) } else { hour(to.saturating_add(HOUR_MS - 1)) };
    Ok(hour(from)..end)
}

/// Whether CSV is what the client likes best.
fn prefers_csv(headers: &HeaderMap) -> bool {
    quality(headers, &["text/csv", "text/*"]) > quality(headers, &["application/json", "*/*"])
}

fn csv_page(page: &Page<Point>, uri: &Uri) -> Response {
    let mut text = String::from("start,end,region,meter,value\r\n");
    for point in &page.data {
        let Point { start, end, region, meter, value } = point;
        let _ = write!(text, "{start},{end},{},{},{value}\r\n", csv_field(region), csv_field(meter));
    }
    let mut response =
        ([(header::CONTENT_TYPE, "text/csv; charset=utf-8; header=present")], text).into_response();
    let next = page.next_cursor.as_ref().and_then(|cursor| next_link(uri, cursor));
    response.headers_mut().extend(next.map(|link| (header::LINK, link)));
    response
}

/// A field of CSV as RFC 4180 has it.
pub fn csv_field(text: &str) -> std::borrow::Cow<'_, str> {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\"")).into()
    } else {
        text.into()
    }
}

/// RFC 8288; relative to this page.
fn next_link(uri: &Uri, cursor: &str) -> Option<HeaderValue> {
    let kept = uri.query().unwrap_or_default().split('&');
    let kept = kept.filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<String> = kept.map(str::to_owned).chain([format!("cursor={cursor}")]).collect();
    HeaderValue::from_str(&format!("<{}?{}>; rel=\"next\"", uri.path(), query.join("&"))).ok()
}
