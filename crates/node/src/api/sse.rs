//! Answers that are server-sent events: how one is written, and a body that is sent as it comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame};
use serde::Serialize;
use tokio::sync::mpsc;
use utoipa::ToSchema;

/// Texts that wait for a slow listener.
const WAITING_MAX: usize = 8;

/// A stream of events: where its texts go in, and the answer.
pub(super) fn stream() -> (mpsc::Sender<Bytes>, Response) {
    let (texts, receiver) = mpsc::channel(WAITING_MAX);
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (texts, (headers, Body::new(Texts(receiver))).into_response())
}

/// One event of a stream.
#[derive(ToSchema)]
pub(super) struct StreamEvent<'a> {
    /// What it tells of.
    event: &'a str,
    /// What it tells, in JSON.
    data: String,
}

/// One event. JSON has no line ends of its own.
pub(super) fn text(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_else(|_| "null".to_owned());
    let StreamEvent { event, data } = StreamEvent { event: name, data };
    format!("event: {event}\ndata: {data}\n\n").into()
}

/// A body that is sent as it comes.
struct Texts(mpsc::Receiver<Bytes>);

impl HttpBody for Texts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|text| text.map(|text| Ok(Frame::data(text))))
    }
}
