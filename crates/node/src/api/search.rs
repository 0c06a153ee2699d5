//! Searching, over everything that the node can ask.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::{Json, Params};
use super::sse::{self, StreamEvent, text};
use super::{Ctx, Shared};
use crate::node::{Node, NodeError};
use crate::search::{Asked, SavedSearch, SearchQuery, SearchResult, Told};
use crate::view::Transfer;

/// A listener who reads nothing for so long is given up.
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// Results unless a limit is given.
const LIMIT_DEFAULT: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(search))
        .routes(routes!(fetch))
        .routes(routes!(saved))
        .routes(routes!(save, forget))
}

/// A question.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Question {
    /// Words that names begin with. `type:video` (or `audio`, `image`, `document`, `archive`,
    /// `program`, the end of a name, a MIME type), `size:>1G`, `size:1M..1G`, `-word`,
    /// `network:gnutella` and `sources:3` (at least) narrow it. May be left out if there is `saved`.
    q: Option<String>,
    /// Ask the saved search of this name; what is found counts as seen from then on.
    saved: Option<String>,
    /// With `saved`, leave out what has been seen.
    #[serde(default)]
    unseen: bool,
    /// Results of each network that are enough: 100 if it is left out, at most 1000.
    limit: Option<usize>,
    /// Answer with server-sent events, as results come: `result`, with a `number` by which a later
    /// one takes its place; `same`, when the result `number` turned out to be `of`; `network`, which
    /// has nothing more to say; `done`.
    #[serde(default)]
    stream: bool,
}

/// What was found.
#[derive(Serialize, ToSchema)]
struct Answer {
    results: Vec<SearchResult>,
    total: usize,
    /// Who was asked.
    networks: Vec<Asked>,
}

/// A result that is new, or has more sources than when it was last told of.
#[derive(Serialize)]
struct Numbered<'a> {
    number: usize,
    #[serde(flatten)]
    result: &'a SearchResult,
}

/// Two results are one.
#[derive(Serialize)]
struct Same {
    number: usize,
    of: usize,
}

/// The end of a stream.
#[derive(Serialize)]
struct Done {
    total: usize,
}

#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(Question),
    responses((status = 200, content((Answer), (StreamEvent<'_> = "text/event-stream"))),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 404, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn search(
    State(shared): Ctx,
    Params(question): Params<Question>,
) -> Result<Response, ApiError> {
    let place = shared.searches.clone().try_acquire_owned().map_err(|_| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, "too many searches already").hint("Try again in some seconds")
    })?;
    let Question { q, saved, unseen, limit, stream } = question;
    let limit = limit.unwrap_or(LIMIT_DEFAULT);
    let sought = match (q, saved) {
        (_, Some(name)) => Sought::Saved { name, limit, unseen },
        (Some(words), None) => Sought::Words(SearchQuery { words, limit }),
        (None, None) => {
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "`q` or `saved` is missing"));
        }
    };
    if stream {
        let (texts, answer) = sse::stream();
        let runtime = Handle::current();
        begin(&shared, place, move |node| tell(node, &sought, &texts, &runtime))?;
        return Ok(answer);
    }
    let (sender, found) = oneshot::channel();
    begin(&shared, place, move |node| {
        let found = sought.search(node, &mut |_| {
            if sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // Whoever asked may be gone.
        let _ = sender.send(found);
    })?;
    let (results, networks) = found.await.map_err(|_| NodeError::Ended)??;
    Ok(axum::Json(Answer { total: results.len(), results, networks }).into_response())
}

/// What is looked for.
enum Sought {
    Words(SearchQuery),
    Saved { name: String, limit: usize, unseen: bool },
}

impl Sought {
    fn search(
        &self,
        node: &Node,
        tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<SearchResult>, Vec<Asked>), NodeError> {
        match self {
            Self::Words(query) => node.search(query, tell),
            Self::Saved { name, limit, unseen } => node.search_saved(name, *limit, *unseen, tell),
        }
    }
}

#[utoipa::path(get, path = "/api/v1/searches", tag = "search",
    responses((status = 200, body = Vec<SavedSearch>), (status = 401, body = ErrorBody)))]
async fn saved(State(shared): Ctx) -> Result<axum::Json<Vec<SavedSearch>>, ApiError> {
    Ok(axum::Json(shared.run(|node| node.saved_searches()).await?))
}

/// What to keep watching for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Save {
    /// As `q` of a search.
    words: String,
}

#[utoipa::path(put, path = "/api/v1/searches/{name}", tag = "search", request_body = Save,
    params(("name" = String, Path)),
    responses((status = 200, body = SavedSearch), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 409, body = ErrorBody),
        (status = 413, body = ErrorBody), (status = 415, body = ErrorBody)))]
async fn save(
    State(shared): Ctx,
    Path(name): Path<String>,
    Json(save): Json<Save>,
) -> Result<axum::Json<SavedSearch>, ApiError> {
    let saved = shared.run(move |node| node.save_search(&name, &save.words)).await?;
    Ok(axum::Json(saved))
}

#[utoipa::path(delete, path = "/api/v1/searches/{name}", tag = "search",
    params(("name" = String, Path)),
    responses((status = 204), (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn forget(State(shared): Ctx, Path(name): Path<String>) -> Result<StatusCode, ApiError> {
    shared.run(move |node| node.forget_search(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What to fetch: a result as the search told it, or what names it alone.
#[derive(Deserialize, ToSchema)]
struct Fetch {
    result: Option<SearchResult>,
    /// A URN or a magnet link: whoever has it is looked for first, which may take some seconds.
    link: Option<String>,
    /// The folder for its files; without one, the usual one.
    #[schema(value_type = Option<String>)]
    dir: Option<PathBuf>,
}

#[utoipa::path(post, path = "/api/v1/search/fetch", tag = "search", request_body = Fetch,
    responses((status = 201, body = Transfer), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 403, body = ErrorBody),
        (status = 409, body = ErrorBody), (status = 413, body = ErrorBody),
        (status = 415, body = ErrorBody)))]
async fn fetch(
    State(shared): Ctx,
    Json(fetch): Json<Fetch>,
) -> Result<(StatusCode, axum::Json<Transfer>), ApiError> {
    let begun = shared.run(move |node| match (fetch.result, fetch.link) {
        (Some(result), _) => node.fetch_found(&result, fetch.dir),
        (None, Some(link)) => node.fetch_link(&link, fetch.dir),
        (None, None) => Err(NodeError::Invalid("`result` or `link` is missing".to_owned())),
    });
    let begun = begun.await?;
    Ok((StatusCode::CREATED, axum::Json(begun)))
}

/// Runs a search on a thread of its own, which takes up `place`: networks are waited for longer
/// than a thread that others share may be held up.
fn begin(
    shared: &Shared,
    place: OwnedSemaphorePermit,
    search: impl FnOnce(&Node) + Send + 'static,
) -> Result<(), ApiError> {
    let node = shared.node.clone();
    let run = move || {
        search(&node);
        drop(place);
    };
    let spawned = thread::Builder::new().name("shoal-search".into()).spawn(run);
    let busy = |error: io::Error| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string());
    spawned.map(drop).map_err(busy)
}

/// Searches, and tells of it as it goes on, until all is told or the listener is gone.
fn tell(node: &Node, sought: &Sought, texts: &mpsc::Sender<Bytes>, runtime: &Handle) {
    let send = |text| match runtime.block_on(texts.send_timeout(text, UNREAD_MAX)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let found = sought.search(node, &mut |told| {
        send(match told {
            Told::Same(number, of) => text("same", &Same { number, of }),
            Told::Result(number, result) => text("result", &Numbered { number, result }),
            Told::Asked(asked) => text("network", asked),
        })
    });
    // A stream that has begun can only say how it ends.
    let total = found.map_or(0, |(results, _)| results.len());
    let _ = send(text("done", &Done { total }));
}
