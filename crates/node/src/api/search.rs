//! Searching, over everything that the node can ask.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
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
use crate::search::{Asked, SearchQuery, SearchResult, Told};
use crate::view::Transfer;

/// A listener who reads nothing for so long is given up.
const UNREAD_MAX: Duration = Duration::from_secs(20);
/// Results unless a limit is given.
const LIMIT_DEFAULT: usize = 100;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(search)).routes(routes!(fetch))
}

/// A question.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Question {
    /// Words that names begin with; `type:video`, `size:>1G` and `-word` narrow it.
    q: String,
    /// Results of each network that are enough: 100 if it is left out, at most 1000.
    limit: Option<usize>,
    /// Answer with server-sent events, as results come: `result`, with a `number` by which a later
    /// one takes its place; `network`, which has nothing more to say; `done`.
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

/// The end of a stream.
#[derive(Serialize)]
struct Done {
    total: usize,
}

#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(Question),
    responses((status = 200, content((Answer), (StreamEvent<'_> = "text/event-stream"))),
        (status = 400, body = ErrorBody), (status = 401, body = ErrorBody),
        (status = 503, body = ErrorBody)))]
async fn search(
    State(shared): Ctx,
    Params(question): Params<Question>,
) -> Result<Response, ApiError> {
    let place = shared.searches.clone().try_acquire_owned().map_err(|_| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, "too many searches already").hint("Try again in some seconds")
    })?;
    let limit = question.limit.unwrap_or(LIMIT_DEFAULT);
    let query = SearchQuery { words: question.q, limit };
    if question.stream {
        let (texts, answer) = sse::stream();
        let runtime = Handle::current();
        begin(&shared, place, move |node| tell(node, &query, &texts, &runtime))?;
        return Ok(answer);
    }
    let (sender, found) = oneshot::channel();
    begin(&shared, place, move |node| {
        let found = node.search(&query, &mut |_| {
            if sender.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // Whoever asked may be gone.
        let _ = sender.send(found);
    })?;
    let (results, networks) = found.await.map_err(|_| NodeError::Ended)??;
    Ok(axum::Json(Answer { total: results.len(), results, networks }).into_response())
}

/// What to fetch: a result as the search told it.
#[derive(Deserialize, ToSchema)]
struct Fetch {
    result: SearchResult,
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
    let begun = shared.run(move |node| node.fetch_found(&fetch.result, fetch.dir)).await?;
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
fn tell(node: &Node, query: &SearchQuery, texts: &mpsc::Sender<Bytes>, runtime: &Handle) {
    let send = |text| match runtime.block_on(texts.send_timeout(text, UNREAD_MAX)) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    let found = node.search(query, &mut |told| {
        send(match told {
            Told::Result(number, result) => text("result", &Numbered { number, result }),
            Told::Asked(asked) => text("network", asked),
        })
    });
    if let Ok((results, _)) = found {
        let _ = send(text("done", &Done { total: results.len() }));
    }
}
