//! Settings: looking at them, and changing them while the node runs.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Refused;
use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Unique};
use super::{Ctx, Shared};
use crate::config::{Kind, Layers, Origin, SETTINGS};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(show, change)).routes(routes!(password))
}

/// All settings.
#[derive(Serialize, ToSchema)]
struct Settings {
    /// The configuration file, if there is one.
    #[schema(value_type = Option<String>)]
    file: Option<PathBuf>,
    settings: Vec<Setting>,
}

/// One setting.
#[derive(Serialize, ToSchema)]
struct Setting {
    /// `section.key`
    name: &'static str,
    #[schema(value_type = Value)]
    value: serde_json::Value,
    #[schema(value_type = Value)]
    default: serde_json::Value,
    /// `default`, `file`, `runtime` or `environment`
    #[schema(value_type = String)]
    source: Origin,
    /// `text`, `number`, `bool`, `list` or `rate`
    #[schema(value_type = String)]
    kind: Kind,
    what: &'static str,
    /// Whether a change takes effect at once, rather than after a restart.
    live: bool,
}

fn settings(layers: &Layers) -> Settings {
    let defaults = Layers::default();
    let json = |value| serde_json::to_value::<toml::Value>(value).unwrap_or_default();
    let one = |setting: &crate::config::Setting| {
        let (value, source) = layers.value(setting.name)?;
        let (default, _) = defaults.value(setting.name)?;
        Some(Setting {
            name: setting.name,
            value: json(value),
            default: json(default),
            source,
            kind: setting.kind,
            what: setting.what,
            live: setting.live,
        })
    };
    let settings = SETTINGS.iter().filter_map(one).collect();
    Settings { file: layers.file.clone(), settings }
}

#[utoipa::path(get, path = "/api/v1/settings", tag = "settings",
    responses((status = 200, body = Settings), (status = 401, body = ErrorBody)))]
async fn show(State(shared): Ctx) -> axum::Json<Settings> {
    axum::Json(settings(&shared.node.layers()))
}

#[utoipa::path(patch, path = "/api/v1/settings", tag = "settings",
    request_body(content = std::collections::BTreeMap<String, serde_json::Value>,
        description = "Values by name; null takes a change back"),
    responses((status = 200, body = Settings), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn change(
    State(shared): Ctx,
    Json(changes): Json<Unique<Option<serde_json::Value>>>,
) -> Result<axum::Json<Settings>, ApiError> {
    let changes: Vec<_> = changes.0.into_iter().collect();
    let layers = shared.run(move |node| {
        node.change_settings(&changes)?;
        Ok(node.layers())
    });
    Ok(axum::Json(settings(&layers.await?)))
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Password {
    /// The one until now, if there is one.
    old: Option<String>,
    /// The one from now on.
    new: String,
}

#[utoipa::path(post, path = "/api/v1/settings/password", tag = "settings", request_body = Password,
    responses((status = 204, description = "set; every browser must log in again"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 415, body = ErrorBody),
        (status = 429, body = ErrorBody)))]
async fn password(
    State(shared): Ctx,
    client: axum::Extension<super::guard::Client>,
    Json(password): Json<Password>,
) -> Result<StatusCode, ApiError> {
    if shared.auth.has_password() {
        let old = password.old.unwrap_or_default();
        match super::guard::check_password(&shared, client.host(), old).await? {
            Ok(()) => {}
            Err(Refused::Wait(wait)) => return Err(super::guard::too_many(wait)),
            Err(Refused::Wrong) => {
                return Err(ApiError::new(StatusCode::FORBIDDEN, "the old password is not right"));
            }
        }
    }
    let worker = shared.clone();
    let set = tokio::task::spawn_blocking(move || worker.auth.change_password(&password.new));
    match set.await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::InvalidInput => {
            Err(ApiError::bad(error.to_string()))
        }
        Ok(Err(error)) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
        Err(error) => Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}
