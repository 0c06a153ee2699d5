//! The lab: which claims there are, and runs of them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use lab::{Kind, Settings, Size};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Unique};
use super::sse::{self, StreamEvent, text};
use super::{Ctx, Shared};
use crate::labs::LabRun;

/// Threads that a run may use.
const THREADS_MAX: usize = 8;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(claims))
        .routes(routes!(list, begin))
        .routes(routes!(get, remove))
        .routes(routes!(watch))
}

/// All claims.
#[derive(Serialize, ToSchema)]
struct Claims {
    claims: Vec<Claim>,
}

/// What a lecture or paper says.
#[derive(Serialize, ToSchema)]
struct Claim {
    id: &'static str,
    title: &'static str,
    says: &'static str,
    source: &'static str,
    provenance: &'static str,
    /// Seconds that it takes at paper size, about.
    seconds: u32,
    params: Vec<Param>,
}

/// What can be varied.
#[derive(Serialize, ToSchema)]
struct Param {
    name: &'static str,
    what: &'static str,
    /// `integer`, `real`, `integers` or `reals`
    kind: &'static str,
    /// The least value.
    min: f64,
    /// The greatest value.
    max: f64,
    paper: &'static str,
    small: &'static str,
}

#[utoipa::path(get, path = "/api/v1/lab/claims", tag = "lab",
    responses((status = 200, body = Claims), (status = 401, body = ErrorBody)))]
async fn claims() -> axum::Json<Claims> {
    let param = |param: &'static lab::Param| {
        let (kind, min, max) = match param.kind {
            Kind::Integer(min, max) => ("integer", min as f64, max as f64),
            Kind::Real(min, max) => ("real", min, max),
            Kind::Integers(min, max) => ("integers", min as f64, max as f64),
            Kind::Reals(min, max) => ("reals", min, max),
        };
        let lab::Param { name, what, paper, small, .. } = *param;
        Param { name, what, kind, min, max, paper, small }
    };
    let claim = |claim: &&'static lab::Claim| Claim {
        id: claim.id,
        title: claim.title,
        says: claim.says,
        source: claim.source,
        provenance: claim.provenance.words(),
        seconds: claim.seconds,
        params: claim.params.iter().map(param).collect(),
    };
    axum::Json(Claims { claims: lab::all().iter().map(claim).collect() })
}

/// A run to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Begin {
    /// The claim's id.
    claim: String,
    /// `small` or `paper`.
    size: Option<String>,
    /// Parameters by name, as one would write them on the command line.
    #[serde(default)]
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    params: Unique<String>,
    /// What all randomness follows from.
    seed: Option<u64>,
    /// Threads to use.
    threads: Option<usize>,
}

/// Runs, without their records.
#[derive(Serialize, ToSchema)]
struct Runs {
    runs: Vec<LabRun>,
}

#[utoipa::path(get, path = "/api/v1/lab/runs", tag = "lab",
    responses((status = 200, body = Runs), (status = 401, body = ErrorBody)))]
async fn list(State(shared): Ctx) -> axum::Json<Runs> {
    axum::Json(Runs { runs: shared.node.labs().list() })
}

#[utoipa::path(post, path = "/api/v1/lab/runs", tag = "lab", request_body = Begin,
    responses((status = 202, body = LabRun), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 415, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn begin(
    State(shared): Ctx,
    Json(begin): Json<Begin>,
) -> Result<(StatusCode, axum::Json<LabRun>), ApiError> {
    let size = match begin.size.as_deref() {
        Some("small") | None => Size::Small,
        Some("paper") => Size::Paper,
        Some(_) => return Err(ApiError::bad("size is small or paper")),
    };
    let defaults = Settings::default();
    let settings = Settings {
        size,
        given: begin.params.0.into_iter().collect(),
        seed: begin.seed.unwrap_or(defaults.seed),
        threads: begin.threads.unwrap_or(defaults.threads).clamp(1, THREADS_MAX),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(shared.node.labs().begin(&begin.claim, settings)?)))
}

fn missing(id: u64) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no run {id}"))
}

#[utoipa::path(get, path = "/api/v1/lab/runs/{id}", tag = "lab", params(("id" = u64, Path)),
    responses((status = 200, body = LabRun), (status = 400, description = "no number"),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn get(State(shared): Ctx, Path(id): Path<u64>) -> Result<axum::Json<LabRun>, ApiError> {
    shared.node.labs().get(id).map(axum::Json).ok_or_else(|| missing(id))
}

#[utoipa::path(delete, path = "/api/v1/lab/runs/{id}", tag = "lab", params(("id" = u64, Path)),
    responses((status = 204, description = "cancelled, or forgotten"),
        (status = 400, description = "no number"), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn remove(State(shared): Ctx, Path(id): Path<u64>) -> Result<StatusCode, ApiError> {
    if shared.node.labs().remove(id) { Ok(StatusCode::NO_CONTENT) } else { Err(missing(id)) }
}

#[utoipa::path(get, path = "/api/v1/lab/runs/{id}/watch", tag = "lab", params(("id" = u64, Path)),
    description = "Server-sent events: frame, a moment of the run with samples of who sends to whom; \
                   and done, when no more will come.",
    responses((status = 200, body = StreamEvent<'_>, content_type = "text/event-stream"),
        (status = 400, description = "no number"), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn watch(State(shared): Ctx, Path(id): Path<u64>) -> Result<Response, ApiError> {
    let mut moments = shared.node.labs().moments(id).ok_or_else(|| missing(id))?;
    let place = shared.event_streams.clone().try_acquire_owned().map_err(|_| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, "too many listen already").hint("Close another window of this page")
    })?;
    let (texts, answer) = sse::stream();
    tokio::spawn(async move {
        let _place = place;
        let mut next = 0;
        loop {
            let (frames, ended) = {
                let seen = moments.borrow_and_update();
                let (frames, following) = seen.since(next);
                next = following;
                (frames, seen.ended)
            };
            for frame in frames {
                if texts.send(text("frame", &*frame)).await.is_err() {
                    return;
                }
            }
            if ended {
                // Whoever listened may be gone.
                let _ = texts.send(text("done", &serde_json::Value::Null)).await;
                return;
            }
            tokio::select! {
                changed = moments.changed() => if changed.is_err() { return },
                () = texts.closed() => return,
            }
        }
    });
    Ok(answer)
}
