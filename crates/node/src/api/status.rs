//! How the node is: for people, for monitoring, and its log.

use std::fmt::Write;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use tracing::Level;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::Params;
use super::{Ctx, Shared};
use crate::log::Entry;
use crate::view::Status;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(health))
        .routes(routes!(metrics))
        .routes(routes!(log))
}

#[utoipa::path(get, path = "/api/v1/status", tag = "status",
    responses((status = 200, body = Status), (status = 401, body = ErrorBody)))]
async fn status(State(shared): Ctx) -> Result<axum::Json<Status>, ApiError> {
    Ok(axum::Json(shared.run(|node| Ok(node.status())).await?))
}

/// That the node is there.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok`
    status: &'static str,
}

#[utoipa::path(get, path = "/health", tag = "status", responses((status = 200, body = Health)))]
async fn health() -> axum::Json<Health> {
    axum::Json(Health { status: "ok" })
}

/// Which lines.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Those after this number.
    #[serde(default)]
    after: u64,
    /// Those of this level and more serious: `error`, `warn`, `info`, `debug`, `trace`.
    level: Option<String>,
}

/// Lines of the log.
#[derive(Serialize, ToSchema)]
struct LogLines {
    /// The lines, oldest first.
    entries: Vec<Entry>,
    /// What to ask `after` next.
    next: u64,
}

#[utoipa::path(get, path = "/api/v1/log", tag = "status", params(LogQuery),
    responses((status = 200, body = LogLines), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
async fn log(
    State(shared): Ctx,
    Params(query): Params<LogQuery>,
) -> Result<axum::Json<LogLines>, ApiError> {
    let level = match query.level.as_deref() {
        None => Level::TRACE,
        Some(name @ ("error" | "warn" | "info" | "debug" | "trace")) => {
            name.parse().map_err(|_| ApiError::bad("no such level"))?
        }
        Some(_) => return Err(ApiError::bad("no such level")),
    };
    let entries = shared.node.log().map(|log| log.after(query.after, level)).unwrap_or_default();
    let next = entries.last().map_or(query.after, |last| last.seq);
    let entries = entries.iter().map(|entry| (**entry).clone()).collect();
    Ok(axum::Json(LogLines { entries, next }))
}

#[utoipa::path(get, path = "/metrics", tag = "status",
    responses((status = 200, body = String, content_type = "text/plain"),
        (status = 401, body = ErrorBody)))]
async fn metrics(State(shared): Ctx) -> Result<impl IntoResponse, ApiError> {
    let status = shared.run(|node| Ok(node.status())).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], exposition(&status)))
}

/// The text format of Prometheus.
fn exposition(status: &Status) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP shoal_{name} {help}\n# TYPE shoal_{name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(text, "shoal_{name}{labels} {value}");
        }
    };
    let one = |value: f64| [(String::new(), value)];
    let down = one(status.downloaded as f64);
    let up = one(status.uploaded as f64);
    metric("received_payload_bytes_total", "counter", "Payload bytes received.", &down);
    metric("sent_payload_bytes_total", "counter", "Payload bytes sent.", &up);
    metric("uptime_seconds", "gauge", "Seconds since the node began.", &one(status.uptime));
    let peers = one(status.peers_connected as f64);
    metric("peers_connected", "gauge", "Connected peers.", &peers);
    if let Some(free) = status.free_space {
        let help = "Bytes that are free in the download folder.";
        metric("free_space_bytes", "gauge", help, &one(free as f64));
    }
    let counts = &status.transfers;
    let states = [
        ("metadata", counts.metadata),
        ("checking", counts.checking),
        ("downloading", counts.downloading),
        ("seeding", counts.seeding),
        ("finished", counts.finished),
        ("paused", counts.paused),
        ("failed", counts.failed),
        ("hashing", counts.hashing),
        ("queued", counts.queued),
    ];
    let states = states.map(|(name, count)| (format!("{{state=\"{name}\"}}"), count as f64));
    metric("transfers", "gauge", "Transfers by state.", &states);
    text
}
