//! Networks: the state of each, what its picture is drawn from, joining and leaving.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Params};
use super::{Ctx, Shared};
use crate::networks::{Network, Pictured};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(join))
        .routes(routes!(leave))
}

/// All networks.
#[derive(Serialize, ToSchema)]
struct Networks {
    networks: Vec<Network>,
}

#[utoipa::path(get, path = "/api/v1/networks", tag = "networks",
    responses((status = 200, body = Networks), (status = 401, body = ErrorBody)))]
async fn list(State(shared): Ctx) -> Result<axum::Json<Networks>, ApiError> {
    let networks = shared.run(|node| Ok(node.networks())).await?;
    Ok(axum::Json(Networks { networks }))
}

/// Which part.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PictureQuery {
    /// Only the swarm of this transfer.
    transfer: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/networks/{name}", tag = "networks",
    params(("name" = String, Path), PictureQuery),
    responses((status = 200, body = Pictured), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn get(
    State(shared): Ctx,
    Path(name): Path<String>,
    Params(query): Params<PictureQuery>,
) -> Result<axum::Json<Pictured>, ApiError> {
    let pictured = shared.run(move |node| node.network(&name, query.transfer.as_deref()));
    Ok(axum::Json(pictured.await?))
}

/// How to join a network.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Join {
    /// Nodes to begin with, as `HOST:PORT`.
    peers: Vec<String>,
    /// Where this node is to be in a ring of Chord, as `ADDR:PORT`.
    #[schema(value_type = Option<String>)]
    listen: Option<SocketAddr>,
}

#[utoipa::path(post, path = "/api/v1/networks/{name}/join", tag = "networks",
    params(("name" = String, Path)), request_body = Join,
    responses((status = 202, body = Network, description = "It is under way"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn join(
    State(shared): Ctx,
    Path(name): Path<String>,
    Json(join): Json<Join>,
) -> Result<(StatusCode, axum::Json<Network>), ApiError> {
    let joined = shared.run(move |node| node.join_network(&name, join.peers, join.listen));
    Ok((StatusCode::ACCEPTED, axum::Json(joined.await?)))
}

#[utoipa::path(post, path = "/api/v1/networks/{name}/leave", tag = "networks",
    params(("name" = String, Path)),
    responses((status = 202, body = Network), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn leave(
    State(shared): Ctx,
    Path(name): Path<String>,
) -> Result<(StatusCode, axum::Json<Network>), ApiError> {
    let left = shared.run(move |node| node.leave_network(&name)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(left)))
}
