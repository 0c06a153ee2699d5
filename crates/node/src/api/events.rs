//! What happens, as it happens: server-sent events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::sse::{self, StreamEvent, text};
use super::{Ctx, Shared};
use crate::event::Event;

/// A comment is sent after so much silence, so that dead connections are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(events))
}

#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    description = "Server-sent events: status, transfers, library, searches, log, lab and notice. A stream \
                   begins with status, all transfers, the library and saved searches.",
    responses((status = 200, body = StreamEvent<'_>, content_type = "text/event-stream"),
        (status = 401, body = ErrorBody), (status = 503, body = ErrorBody)))]
async fn events(State(shared): Ctx) -> Result<impl IntoResponse, ApiError> {
    let place = shared.event_streams.clone().try_acquire_owned().map_err(|_| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::new(status, "too many listen already").hint("Close another window of this page")
    })?;
    // Once a slow listener's texts fill their queue the node's own fills, and it begins anew.
    let (texts, answer) = sse::stream();
    tokio::spawn(async move {
        tell(shared, texts).await;
        drop(place);
    });
    Ok(answer)
}

/// Sends events until the listener is gone or the node ends.
async fn tell(shared: Arc<Shared>, texts: mpsc::Sender<Bytes>) {
    let mut events = shared.node.subscribe();
    let mut anew = true;
    loop {
        if anew {
            anew = false;
            let first = shared.run(|node| {
                let library = node.library()?.status();
                Ok((node.status(), node.all_as_changed(), library, node.saved_searches()?))
            });
            let Ok((status, all, library, saved)) = first.await else { return };
            let first = [
                text("status", &status),
                text("transfers", &all),
                text("library", &library),
                text("searches", &saved),
            ];
            for text in first {
                if texts.send(text).await.is_err() {
                    return;
                }
            }
        }
        let next = tokio::select! {
            next = tokio::time::timeout(KEEP_ALIVE, events.recv()) => next,
            () = texts.closed() => return,
        };
        let text = match next {
            Ok(Ok(event)) => text_of(&event),
            // It was too slow for what happened meanwhile.
            Ok(Err(RecvError::Lagged(_))) => {
                anew = true;
                continue;
            }
            Ok(Err(RecvError::Closed)) => return,
            Err(_) => Bytes::from_static(b":\n\n"),
        };
        if texts.send(text).await.is_err() {
            return;
        }
    }
}

fn text_of(event: &Event) -> Bytes {
    match event {
        Event::Status(status) => text("status", &**status),
        Event::Transfers(changed) => text("transfers", &**changed),
        Event::Log(entry) => text("log", &**entry),
        Event::Lab(run) => text("lab", &**run),
        Event::Library(status) => text("library", &**status),
        Event::Searches(saved) => text("searches", &**saved),
        Event::Notice(notice) => text("notice", &**notice),
    }
}
