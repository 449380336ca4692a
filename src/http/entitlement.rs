//! Whether an organization may use more of a meter.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Askable, Path};
use super::{App, Problem};
use crate::snapshot::Entitlement;
use crate::snapshot::entitlement::EntitlementError;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(entitlement))
}

#[derive(Deserialize)]
struct MeterPath {
    meter: String,
}

/// Whether the organization may use one more of the meter this month. From memory; a key of role
/// `runtime` may ask.
#[utoipa::path(get, path = "/v1/organizations/{org}/entitlements/{meter}", tag = "usage",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"),
           ("meter" = String, Path, description = "E.g. `api_calls` or `services`")),
    responses((status = OK, body = Entitlement), Problem))]
async fn entitlement(
    State(app): State<App>,
    Askable(organization): Askable,
    Path(MeterPath { meter }): Path<MeterPath>,
) -> Result<Json<Entitlement>, Problem> {
    app.snapshots
        .entitlement(&organization, &meter)
        .await
        .map(Json)
        .map_err(|error| refuse(error, &organization))
}

fn refuse(error: EntitlementError, organization: &Arc<str>) -> Problem {
    match error {
        EntitlementError::UnknownOrganization { .. } => Problem::organization_not_found(organization),
        EntitlementError::UnknownMeter { .. } => Problem::new(
            StatusCode::NOT_FOUND,
            "meter-not-found",
            "No such meter",
            format!("{error}: name a built-in meter or one of the configuration's `meters`."),
        ),
        EntitlementError::Snapshot(error) => error.into(),
    }
}
