use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::aggregate::{CountRow, Fold, ServiceRow};
use crate::snapshot::register::Catalog;

fn count(meter: &str, region: &str, value: u128) -> CountRow {
    CountRow {
        organization: "acme".into(),
        meter: meter.into(),
        region: region.into(),
        hour: "2026-11".parse::<Month>().unwrap().hours().start,
        fold: Fold::Sum,
        value,
    }
}

fn service(region: &str, published: bool) -> ServiceRow {
    ServiceRow {
        organization: "acme".into(),
        region: region.into(),
        service: "billing".into(),
        version: 1,
        time_ms: 0,
        source: "catalog".into(),
        id: "1".into(),
        exists: Some(true),
        published: Some(published),
        name: None,
    }
}

fn figures(counts: &[CountRow], services: &[ServiceRow]) -> Figures {
    Figures {
        totals: Totals::of(counts, &Catalog::of(services), "2026-11".parse().unwrap()),
        as_of: Time(1_795_456_801_250),
        complete_through: Some(Time(1_795_456_800_000)),
        complete: true,
    }
}

/// A month of two regions, and regions that did not answer, each with the reason.
pub fn acme(silent: &[(&str, &str)]) -> Usage {
    let figures = figures(
        &[count("api_calls", "us", 1_200_000), count("api_calls", "eu", 345)],
        &[service("us", true), service("eu", false)],
    );
    let silent = silent.iter().map(|(region, error)| ((*region).into(), (*error).to_owned())).collect();
    lay_out("acme".into(), "2026-11".parse().unwrap(), &figures, &["tokens".into()], silent)
}

fn shown(figures: &Figures, silent: BTreeMap<Arc<str>, String>) -> serde_json::Value {
    let month = "2026-11".parse().unwrap();
    let usage = lay_out("acme".into(), month, figures, &["tokens".into()], silent);
    serde_json::to_value(usage).unwrap()
}

#[test]
fn the_answer_has_the_public_shape() {
    let expected = json!({
        "organization": "acme", "month": "2026-11", "plan": null, "trial": null,
        "usage": {
            "api_calls": 1_200_345, "services": 2, "published_services": 1, "regions": 2, "tokens": 0,
        },
        "by_region": {
            "eu": { "api_calls": 345, "services": 1, "published_services": 0, "tokens": 0 },
            "us": { "api_calls": 1_200_000, "services": 1, "published_services": 1, "tokens": 0 },
        },
        "estimated_cost": null,
        "as_of": "2026-11-23T18:00:01.250Z", "complete_through": "2026-11-23T18:00:00Z", "complete": true,
    });
    assert_eq!(serde_json::to_value(acme(&[])).unwrap(), expected);
}

#[test]
fn a_region_that_is_silent_makes_the_answer_incomplete_and_says_why() {
    let figures = figures(&[count("api_calls", "us", 7)], &[]);
    let answer = shown(&figures, BTreeMap::from([("eu".into(), "connection refused".into())]));
    assert_eq!(answer["by_region"]["eu"], json!({ "error": "connection refused" }));
    assert_eq!(answer["by_region"]["us"]["api_calls"], 7);
    assert_eq!(answer["usage"]["api_calls"], 7);
    assert_eq!(answer["complete"], false);
}

#[test]
fn a_meter_that_is_configured_no_more_keeps_its_usage() {
    let answer = shown(&figures(&[count("storage", "us", 3)], &[]), BTreeMap::new());
    assert_eq!(answer["usage"]["storage"], 3);
    assert_eq!(answer["by_region"]["us"]["storage"], 3);
}

#[test]
fn a_region_without_any_use_is_shown_and_does_not_count() {
    let answer = shown(&figures(&[count("api_calls", "us", 0)], &[]), BTreeMap::new());
    assert_eq!(answer["usage"]["regions"], 0);
    assert_eq!(answer["by_region"]["us"]["api_calls"], 0);
}

#[test]
fn sums_beyond_64_bits_are_written_whole() {
    let usage = lay_out(
        "acme".into(),
        "2026-11".parse().unwrap(),
        &figures(&[count("api_calls", "us", u128::from(u64::MAX) + 1)], &[]),
        &[],
        BTreeMap::new(),
    );
    let text = serde_json::to_string(&usage).unwrap();
    assert!(text.contains(r#""api_calls":18446744073709551616,"#), "{text}");
}

#[test]
fn two_deployments_know_together_what_the_one_behind_knows() {
    let us = figures(&[count("api_calls", "us", 1)], &[]);
    let eu = Figures { as_of: Time(5), complete_through: None, complete: false, ..figures(&[], &[]) };
    let both = us.clone().join(&eu);
    assert_eq!(both, Figures { totals: us.totals, as_of: Time(5), complete_through: None, complete: false });
}
