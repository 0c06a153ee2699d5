//! The library: its folders, its files, publishing them.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Params};
use super::{Ctx, Shared};
use crate::library::{FileQuery, LibraryFiles, LibraryFolder, LibraryStatus};
use crate::view::Transfer;

/// Files that are listed unless a limit is given.
const LIST_DEFAULT: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(library))
        .routes(routes!(add_folder))
        .routes(routes!(remove_folder))
        .routes(routes!(rescan_folder))
        .routes(routes!(files))
        .routes(routes!(publish))
}

#[utoipa::path(get, path = "/api/v1/library", tag = "library",
    responses((status = 200, body = LibraryStatus), (status = 401, body = ErrorBody)))]
async fn library(State(shared): Ctx) -> Result<axum::Json<LibraryStatus>, ApiError> {
    Ok(axum::Json(shared.run(|node| Ok(node.library()?.status())).await?))
}

/// A folder to share.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddFolder {
    /// Where it is; it begins with `/`.
    #[schema(value_type = String)]
    path: PathBuf,
}

#[utoipa::path(post, path = "/api/v1/library/folders", tag = "library", request_body = AddFolder,
    responses((status = 201, body = LibraryFolder), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 415, body = ErrorBody)))]
async fn add_folder(
    State(shared): Ctx,
    Json(add): Json<AddFolder>,
) -> Result<(StatusCode, axum::Json<LibraryFolder>), ApiError> {
    let folder = shared.run(move |node| node.library_add(&add.path)).await?;
    Ok((StatusCode::CREATED, axum::Json(folder)))
}

#[utoipa::path(delete, path = "/api/v1/library/folders/{id}", tag = "library",
    params(("id" = u32, Path)),
    responses((status = 204, description = "it is shared no longer; its files stay"),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn remove_folder(State(shared): Ctx, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    let id = number(&id)?;
    shared.run(move |node| Ok(node.library()?.remove(id)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/library/folders/{id}/rescan", tag = "library",
    params(("id" = u32, Path)),
    responses((status = 202, body = LibraryFolder), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn rescan_folder(
    State(shared): Ctx,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<LibraryFolder>), ApiError> {
    let id = number(&id)?;
    let folder = shared.run(move |node| Ok(node.library()?.rescan(id)?)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(folder)))
}

/// Which files.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct FilesQuery {
    /// Words that their names or folders begin with; `type:video`, `size:>1G` and `-word` narrow it.
    #[serde(default)]
    q: String,
    /// Only those in this folder of the library.
    folder: Option<u32>,
    /// So many are left out at the beginning.
    #[serde(default)]
    offset: usize,
    /// Most to list: 100 if it is left out, at most 1000.
    limit: Option<usize>,
}

#[utoipa::path(get, path = "/api/v1/library/files", tag = "library", params(FilesQuery),
    responses((status = 200, body = LibraryFiles), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn files(
    State(shared): Ctx,
    Params(query): Params<FilesQuery>,
) -> Result<axum::Json<LibraryFiles>, ApiError> {
    let query = FileQuery {
        words: query.q,
        folder: query.folder,
        offset: query.offset,
        limit: Some(query.limit.unwrap_or(LIST_DEFAULT)),
    };
    Ok(axum::Json(shared.run(move |node| Ok(node.library()?.files(&query)?)).await?))
}

#[utoipa::path(post, path = "/api/v1/library/files/{id}/publish", tag = "library",
    params(("id" = u64, Path)),
    responses((status = 201, body = Transfer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn publish(
    State(shared): Ctx,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<Transfer>), ApiError> {
    let id = number(&id)?;
    let transfer = shared.run(move |node| node.library_publish(id)).await?;
    Ok((StatusCode::CREATED, axum::Json(transfer)))
}

/// A number in a path.
fn number<T: std::str::FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::bad("folders and files have numbers"))
}
