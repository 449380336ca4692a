//! What an organization used in a month.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::{Query, Readable};
use super::{App, Problem};
use crate::accounts::AccountError;
use crate::month::Month;
use crate::snapshot::{SnapshotError, Usage};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(usage))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UsageQuery {
    /// A UTC calendar month; the current one where it is left out. A month to come has no usage.
    #[param(pattern = "^[0-9]{4}-[0-9]{2}$", example = "2026-11")]
    month: Option<String>,
}

/// The usage of one month, over all regions and by region.
#[utoipa::path(get, path = "/v1/organizations/{org}/usage", tag = "usage",
    params(("org" = String, Path, description = "The organization's id, percent-encoded"), UsageQuery),
    responses((status = OK, body = Usage), Problem))]
async fn usage(
    State(app): State<App>,
    Readable(organization): Readable,
    Query(query): Query<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let month = match query.month {
        Some(text) => parse_month(&text)?,
        None => app.snapshots.current_month(),
    };
    let usage = app.snapshots.usage(&organization, month).await?;
    usage.map(Json).ok_or_else(|| Problem::organization_not_found(&organization))
}

pub fn parse_month(text: &str) -> Result<Month, Problem> {
    text.parse().map_err(|error: crate::month::InvalidMonth| {
        Problem::bad_request("invalid-month", "The month can't be read", error.to_string())
    })
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        match error {
            SnapshotError::Store(cause) => {
                tracing::warn!(%cause, "answer a request");
                if cause.is_unreachable() { Self::store_unavailable() } else { Self::internal() }
            }
            SnapshotError::Accounts(AccountError::OrganizationUnreadable { organization }) => {
                Self::organization_unreadable(&organization)
            }
            SnapshotError::Accounts(cause) => {
                tracing::warn!(%cause, "answer a request");
                Self::accounts_unavailable()
            }
            SnapshotError::Rating(cause) => {
                tracing::error!(%cause, "answer a request");
                Self::internal()
            }
            SnapshotError::Silent { .. } => {
                Self::unavailable("region-unavailable", "A region does not answer", error.to_string())
            }
        }
    }
}
