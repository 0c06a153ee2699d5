//! Transfers: listing, adding, looking at, changing and removing them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::IntoResponse;
use bittorrent::metainfo::MAX_METAINFO_LEN;
use net::create::Kind;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Params, TransferId, body, given, media_type, parse};
use super::{Ctx, Shared};
use crate::node::{AddRequest, AddSource, Change, PublishOptions, parse_source};
use crate::record::{Bandwidth, Priority};
use crate::view::{File, Peer, Pieces, State as TransferState, Tracker, Transfer};

/// Bytes of JSON that add a transfer.
const ADD_LEN_MAX: usize = 2 * 1024 * 1024;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(get, change, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(verify))
        .routes(routes!(reannounce))
        .routes(routes!(move_to))
        .routes(routes!(rename))
        .routes(routes!(files))
        .routes(routes!(peers, add_peers))
        .routes(routes!(trackers))
        .routes(routes!(pieces))
        .routes(routes!(torrent))
}

/// Which transfers.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only those in this state.
    #[param(inline)]
    state: Option<TransferState>,
    /// Only those with this label.
    label: Option<String>,
    /// Only those whose name holds this.
    q: Option<String>,
    /// So many are left out at the beginning.
    #[serde(default)]
    offset: usize,
    /// Most to list.
    limit: Option<usize>,
}

/// Transfers in the order of the queue.
#[derive(Serialize, ToSchema)]
struct List {
    transfers: Vec<Transfer>,
    /// How many there are in all.
    total: usize,
}

#[utoipa::path(get, path = "/api/v1/transfers", tag = "transfers", params(ListQuery),
    responses((status = 200, body = List), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody)))]
async fn list(
    State(shared): Ctx,
    Params(query): Params<ListQuery>,
) -> Result<axum::Json<List>, ApiError> {
    let mut transfers = shared.run(|node| Ok(node.transfers())).await?;
    let text = query.q.map(|text| text.to_lowercase());
    transfers.retain(|transfer| {
        let name = || transfer.name.as_deref().unwrap_or_default().to_lowercase();
        query.state.is_none_or(|state| state == transfer.state)
            && query.label.as_ref().is_none_or(|label| transfer.rules.labels.contains(label))
            && text.as_ref().is_none_or(|text| name().contains(text.as_str()))
    });
    let total = transfers.len();
    let limit = query.limit.unwrap_or(usize::MAX);
    let transfers = transfers.into_iter().skip(query.offset).take(limit).collect();
    Ok(axum::Json(List { transfers, total }))
}

/// How to publish files.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Publish {
    /// `hybrid`, `v1` or `v2`
    version: Option<String>,
    /// Bytes of a piece.
    piece_length: Option<u32>,
    #[serde(default)]
    private: bool,
    comment: Option<String>,
}

/// A transfer to add.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Add {
    /// A magnet link, an infohash, the URL of a .torrent file, or the path of files to publish,
    /// which begins with `/`.
    source: String,
    /// The folder for its files; without one, the usual one.
    #[schema(value_type = Option<String>)]
    dir: Option<PathBuf>,
    /// Do nothing until it is resumed.
    #[serde(default)]
    paused: bool,
    /// Fetch from the beginning to the end.
    #[serde(default)]
    sequential: bool,
    /// Indices of the files to fetch; without them, all.
    selection: Option<Vec<usize>>,
    /// Words of the user's.
    #[serde(default)]
    labels: Vec<String>,
    /// Trackers beyond those of the source.
    #[serde(default)]
    trackers: Vec<String>,
    /// Peers to dial.
    #[schema(value_type = Vec<String>)]
    #[serde(default)]
    peers: Vec<SocketAddr>,
    /// How to publish, if `source` is a path.
    publish: Option<Publish>,
}

/// Options of an uploaded metainfo file.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// The folder for its files; without one, the usual one.
    #[param(value_type = Option<String>)]
    dir: Option<PathBuf>,
    /// Do nothing until it is resumed.
    #[serde(default)]
    paused: bool,
    /// Fetch from the beginning to the end.
    #[serde(default)]
    sequential: bool,
}

#[utoipa::path(post, path = "/api/v1/transfers", tag = "transfers", params(UploadQuery),
    request_body(content((Add = "application/json"), (Vec<u8> = "application/x-bittorrent")),
        description = "What to add, or the bytes of a .torrent file"),
    responses((status = 201, body = Transfer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn add(
    State(shared): Ctx,
    Params(query): Params<UploadQuery>,
    request: Request,
) -> Result<(StatusCode, axum::Json<Transfer>), ApiError> {
    let transfer = match media_type(request.headers()).as_deref() {
        Some("application/json") => {
            let add = parse::<Add>(&body(request, ADD_LEN_MAX).await?)?;
            add_json(&shared, add).await?
        }
        Some("application/x-bittorrent" | "application/octet-stream") => {
            let bytes = body(request, MAX_METAINFO_LEN).await?;
            let source = torrent_of(bytes)?;
            let UploadQuery { dir, paused, sequential } = query;
            let request = AddRequest { dir, paused, sequential, ..AddRequest::new(source) };
            shared.run(|node| node.add(request)).await?
        }
        _ => {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let why = "the body must be application/json or application/x-bittorrent";
            return Err(ApiError::new(status, why));
        }
    };
    Ok((StatusCode::CREATED, axum::Json(transfer)))
}

#[expect(clippy::needless_pass_by_value, reason = "what was received ends here")]
fn torrent_of(bytes: Bytes) -> Result<AddSource, ApiError> {
    AddSource::from_bytes(&bytes).map_err(|error| ApiError::bad(error.to_string()))
}

async fn add_json(shared: &Arc<Shared>, add: Add) -> Result<Transfer, ApiError> {
    let source = add.source.trim();
    if source.starts_with('/') {
        let publish = add.publish.unwrap_or_default();
        let kind = match publish.version.as_deref() {
            None | Some("hybrid") => Kind::default(),
            Some("v1") => Kind::V1,
            Some("v2") => Kind::V2,
            Some(_) => return Err(ApiError::bad("version is hybrid, v1 or v2")),
        };
        let options = PublishOptions {
            kind,
            piece_length: publish.piece_length,
            private: publish.private,
            comment: publish.comment,
            trackers: add.trackers,
            labels: add.labels,
        };
        let path = PathBuf::from(source);
        return shared.run(move |node| node.publish_path(&path, options)).await;
    }
    let is_url = |scheme: &str| {
        source.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let source = if is_url("http://") || is_url("https://") {
        let url = source.to_owned();
        let bytes = shared.run(move |node| node.download(&url)).await?;
        torrent_of(bytes.into())?
    } else {
        let hint = "Give a magnet link, an infohash, a URL of a .torrent file, or a path";
        let parsed = parse_source(source);
        parsed.map_err(|error| ApiError::bad(error.to_string()).hint(hint))?
    };
    let request = AddRequest {
        source,
        dir: add.dir,
        paused: add.paused,
        sequential: add.sequential,
        selection: add.selection,
        labels: add.labels,
        trackers: add.trackers,
        peers: add.peers,
    };
    shared.run(|node| node.add(request)).await
}

#[utoipa::path(get, path = "/api/v1/transfers/{id}", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 200, body = Transfer), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn get(
    State(shared): Ctx,
    TransferId(id): TransferId,
) -> Result<axum::Json<Transfer>, ApiError> {
    Ok(axum::Json(shared.run(move |node| node.get(&id)).await?))
}

/// How much a file is wanted from now on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FileChange {
    index: usize,
    priority: Priority,
}

/// What to change; what is left out stays, `null` clears.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Patch {
    /// Pause, or resume.
    paused: Option<bool>,
    /// Fetch from the beginning to the end.
    sequential: Option<bool>,
    /// Stop sharing at this ratio.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>)]
    seed_ratio: Option<Option<f64>>,
    /// Stop sharing after so many seconds.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    seed_time: Option<Option<u64>>,
    /// Stop sharing after so many seconds in which nobody fetched anything.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    seed_idle: Option<Option<u64>>,
    /// Most bytes per second sent.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    upload_limit: Option<Option<u64>>,
    /// Most bytes per second received.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u64>)]
    download_limit: Option<Option<u64>>,
    /// The limits on all transfers together do not hold for it.
    unlimited: Option<bool>,
    /// Whether it comes before others where those limits hold.
    bandwidth: Option<Bandwidth>,
    /// Most connections at once.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<usize>)]
    max_connections: Option<Option<usize>>,
    /// Start now, past all that wait in the queue.
    forced: Option<bool>,
    /// Words of the user's.
    labels: Option<Vec<String>>,
    /// Its place in the queue.
    queue_position: Option<u64>,
    /// How much files are wanted.
    #[serde(default)]
    files: Vec<FileChange>,
    /// More trackers.
    #[serde(default)]
    trackers_add: Vec<String>,
}

#[utoipa::path(patch, path = "/api/v1/transfers/{id}", tag = "transfers", request_body = Patch,
    params(("id" = String, Path)),
    responses((status = 200, body = Transfer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn change(
    State(shared): Ctx,
    TransferId(id): TransferId,
    Json(patch): Json<Patch>,
) -> Result<axum::Json<Transfer>, ApiError> {
    let (paused, forced) = (patch.paused, patch.forced);
    let change = Change {
        sequential: patch.sequential,
        seed_ratio: patch.seed_ratio,
        seed_time: patch.seed_time,
        seed_idle: patch.seed_idle,
        upload_limit: patch.upload_limit,
        download_limit: patch.download_limit,
        unlimited: patch.unlimited,
        bandwidth: patch.bandwidth,
        max_connections: patch.max_connections,
        labels: patch.labels,
        queue_position: patch.queue_position,
        files: patch.files.into_iter().map(|file| (file.index, file.priority)).collect(),
        trackers_add: patch.trackers_add,
        trackers: None,
    };
    let changed = shared.run(move |node| {
        let changed = node.change(&id, change)?;
        match (paused, forced) {
            (Some(true), _) => node.pause(&id),
            (_, Some(true)) => node.resume_now(&id),
            (Some(false), _) => node.resume(&id),
            (None, _) => Ok(changed),
        }
    });
    Ok(axum::Json(changed.await?))
}

/// What to remove.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct RemoveQuery {
    /// Its files too.
    #[serde(default)]
    data: bool,
}

#[utoipa::path(delete, path = "/api/v1/transfers/{id}", tag = "transfers",
    params(("id" = String, Path), RemoveQuery),
    responses((status = 204, description = "removed"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn remove(
    State(shared): Ctx,
    TransferId(id): TransferId,
    Params(query): Params<RemoveQuery>,
) -> Result<StatusCode, ApiError> {
    shared.run(move |node| node.remove(&id, query.data)).await?;
    Ok(StatusCode::NO_CONTENT)
}

type Accepted = Result<(StatusCode, axum::Json<Transfer>), ApiError>;

#[utoipa::path(post, path = "/api/v1/transfers/{id}/pause", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 202, body = Transfer), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn pause(State(shared): Ctx, TransferId(id): TransferId) -> Accepted {
    let done = shared.run(move |node| node.pause(&id)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(done)))
}

#[utoipa::path(post, path = "/api/v1/transfers/{id}/resume", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 202, body = Transfer), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn resume(State(shared): Ctx, TransferId(id): TransferId) -> Accepted {
    let done = shared.run(move |node| node.resume(&id)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(done)))
}

#[utoipa::path(post, path = "/api/v1/transfers/{id}/verify", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 202, body = Transfer), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn verify(State(shared): Ctx, TransferId(id): TransferId) -> Accepted {
    let done = shared.run(move |node| node.verify(&id)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(done)))
}

#[utoipa::path(post, path = "/api/v1/transfers/{id}/reannounce", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 202, body = Transfer), (status = 401, body = ErrorBody),
        (status = 403, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn reannounce(State(shared): Ctx, TransferId(id): TransferId) -> Accepted {
    let done = shared.run(move |node| node.reannounce(&id)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(done)))
}

/// Where to move files.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Move {
    /// A folder in one that is allowed.
    #[schema(value_type = String)]
    dir: PathBuf,
}

#[utoipa::path(post, path = "/api/v1/transfers/{id}/move", tag = "transfers", request_body = Move,
    params(("id" = String, Path)),
    responses((status = 202, body = Transfer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn move_to(State(shared): Ctx, TransferId(id): TransferId, Json(to): Json<Move>) -> Accepted {
    let done = shared.run(move |node| node.move_to(&id, &to.dir)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(done)))
}

/// What to call otherwise.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rename {
    /// A file or folder of the torrent, as the list of files has it.
    path: String,
    /// Its new name; no path.
    name: String,
}

#[utoipa::path(post, path = "/api/v1/transfers/{id}/rename", tag = "transfers",
    request_body = Rename, params(("id" = String, Path)),
    responses((status = 202, body = Transfer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn rename(
    State(shared): Ctx,
    TransferId(id): TransferId,
    Json(Rename { path, name }): Json<Rename>,
) -> Accepted {
    let done = shared.run(move |node| node.rename_path(&id, &path, &name)).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(done)))
}

/// Files of a transfer.
#[derive(Serialize, ToSchema)]
struct Files {
    files: Vec<File>,
}

#[utoipa::path(get, path = "/api/v1/transfers/{id}/files", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 200, body = Files), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn files(
    State(shared): Ctx,
    TransferId(id): TransferId,
) -> Result<axum::Json<Files>, ApiError> {
    let name = id.clone();
    let mut files = shared.run(move |node| node.files(&id)).await?;
    // For players, which send no cookie.
    for file in &mut files {
        if let Some(stream) = &mut file.stream {
            *stream += &format!("?key={}", shared.auth.stream_key(&name, file.index));
        }
    }
    Ok(axum::Json(Files { files }))
}

/// Peers of a transfer.
#[derive(Serialize, ToSchema)]
struct Peers {
    /// Those that are connected.
    peers: Vec<Peer>,
    /// Those that are gone again.
    peers_past: Vec<Peer>,
}

#[utoipa::path(get, path = "/api/v1/transfers/{id}/peers", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 200, body = Peers), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn peers(
    State(shared): Ctx,
    TransferId(id): TransferId,
) -> Result<axum::Json<Peers>, ApiError> {
    let (peers, peers_past) = shared.run(move |node| node.peers(&id)).await?;
    Ok(axum::Json(Peers { peers, peers_past }))
}

/// Peers to dial.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AddPeers {
    #[schema(value_type = Vec<String>)]
    addresses: Vec<SocketAddr>,
}

#[utoipa::path(post, path = "/api/v1/transfers/{id}/peers", tag = "transfers",
    request_body = AddPeers, params(("id" = String, Path)),
    responses((status = 204, description = "they are tried"), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 415, body = ErrorBody)))]
async fn add_peers(
    State(shared): Ctx,
    TransferId(id): TransferId,
    Json(add): Json<AddPeers>,
) -> Result<StatusCode, ApiError> {
    shared.run(move |node| node.add_peers(&id, add.addresses)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Trackers of a transfer.
#[derive(Serialize, ToSchema)]
struct Trackers {
    trackers: Vec<Tracker>,
}

#[utoipa::path(get, path = "/api/v1/transfers/{id}/trackers", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 200, body = Trackers), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody)))]
async fn trackers(
    State(shared): Ctx,
    TransferId(id): TransferId,
) -> Result<axum::Json<Trackers>, ApiError> {
    let trackers = shared.run(move |node| node.trackers(&id)).await?;
    Ok(axum::Json(Trackers { trackers }))
}

#[utoipa::path(get, path = "/api/v1/transfers/{id}/pieces", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 200, body = Pieces), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
async fn pieces(
    State(shared): Ctx,
    TransferId(id): TransferId,
) -> Result<axum::Json<Pieces>, ApiError> {
    Ok(axum::Json(shared.run(move |node| node.pieces(&id)).await?))
}

#[utoipa::path(get, path = "/api/v1/transfers/{id}/torrent", tag = "transfers",
    params(("id" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/x-bittorrent"),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody),
        (status = 409, body = ErrorBody)))]
async fn torrent(
    State(shared): Ctx,
    TransferId(id): TransferId,
) -> Result<impl IntoResponse, ApiError> {
    let metainfo = shared.run(move |node| node.metainfo(&id)).await?;
    let name = metainfo.info.hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
    let headers = [
        (CONTENT_TYPE, "application/x-bittorrent".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}.torrent\"")),
    ];
    Ok((headers, metainfo.to_bytes()))
}
