//! The RPC of Transmission, for the front-ends that people already use: one route, a handshake
//! against other sites, methods by name (its `docs/rpc-spec.md`, the dialect of 4.0). What it does
//! not know of is left out of answers; what it cannot do is an error in words.

mod session;
mod torrents;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::error::ApiError;
use super::extract::{Unique, body, parse};
use crate::node::{Node, NodeError};

/// The header of the handshake: a page of another site cannot set it.
const SESSION_ID: HeaderName = HeaderName::from_static("x-transmission-session-id");
/// Bytes of a request: a metainfo file in base64, and some.
const REQUEST_LEN_MAX: usize = bittorrent::metainfo::MAX_METAINFO_LEN / 3 * 4 + 64 * 1024;

/// Bytes of what programs show as a kilobyte.
const KILO: u64 = 1_000;

/// A request.
#[derive(Deserialize)]
struct Call {
    method: String,
    #[serde(default)]
    arguments: Unique<Value>,
    #[serde(default)]
    tag: Option<Value>,
}

/// The arguments of a request.
type Arguments = BTreeMap<String, Value>;
/// What a method answers, or why not.
type Answer = Result<Value, Failure>;

/// Why a method did nothing.
struct Failure(String);

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self(error.to_string())
    }
}

impl From<&str> for Failure {
    fn from(words: &str) -> Self {
        Self(words.to_owned())
    }
}

/// `POST /transmission/rpc`
pub(super) async fn call(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Result<Response, ApiError> {
    let id = shared.auth.stream_key("transmission rpc", 0);
    let given = request.headers().get(SESSION_ID).map(HeaderValue::as_bytes);
    let header = HeaderValue::from_str(&id).map_err(|error| ApiError::bad(error.to_string()))?;
    if given != Some(id.as_bytes()) {
        let words = format!("send this header again: {SESSION_ID}: {id}");
        return Ok((StatusCode::CONFLICT, [(SESSION_ID, header)], words).into_response());
    }
    let call: Call = parse(&body(request, REQUEST_LEN_MAX).await?)?;
    let tag = call.tag;
    let answer =
        shared.run(move |node| Ok(answer(node, &call.method, &call.arguments.0, &id))).await?;
    let mut answer = match answer {
        Ok(arguments) => json!({"result": "success", "arguments": arguments}),
        Err(Failure(why)) => json!({"result": why, "arguments": {}}),
    };
    if let (Some(tag), Some(answer)) = (tag, answer.as_object_mut()) {
        answer.insert("tag".to_owned(), tag);
    }
    Ok(([(SESSION_ID, header)], axum::Json(answer)).into_response())
}

fn answer(node: &Arc<Node>, method: &str, arguments: &Arguments, id: &str) -> Answer {
    match method {
        "torrent-get" => torrents::get(node, arguments),
        "torrent-add" => torrents::add(node, arguments),
        "torrent-set" => torrents::set(node, arguments),
        "torrent-remove" => torrents::remove(node, arguments),
        "torrent-start" => torrents::each(node, arguments, Node::resume),
        "torrent-start-now" => torrents::each(node, arguments, Node::resume_now),
        "torrent-stop" => torrents::each(node, arguments, Node::pause),
        "torrent-verify" => torrents::each(node, arguments, Node::verify),
        "torrent-reannounce" => torrents::each(node, arguments, Node::reannounce),
        "torrent-set-location" => torrents::set_location(node, arguments),
        "torrent-rename-path" => torrents::rename(node, arguments),
        "queue-move-top" => torrents::move_in_queue(node, arguments, |_, _| 0),
        "queue-move-up" => torrents::move_in_queue(node, arguments, |at, _| at.saturating_sub(1)),
        "queue-move-down" => torrents::move_in_queue(node, arguments, |at, _| at + 1),
        "queue-move-bottom" => torrents::move_in_queue(node, arguments, |_, count| count),
        "session-get" => Ok(session::get(node, arguments, id)),
        "session-set" => session::set(node, arguments),
        "session-stats" => Ok(session::stats(node)),
        "free-space" => session::free_space(node, arguments),
        "port-test" => Ok(session::port_test(node)),
        _ => Err("method name not recognized".into()),
    }
}

/// A text among arguments, by any of its names.
fn text<'a>(arguments: &'a Arguments, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| arguments.get(*name)?.as_str())
}

/// Yes or no, which some programs send as a number.
fn flag(arguments: &Arguments, name: &str) -> Option<bool> {
    let value = arguments.get(name)?;
    value.as_bool().or_else(|| value.as_i64().map(|number| number != 0))
}
