//! Files as they come: ranges (RFC 9110, section 14), verified bytes only. What a player asks for
//! is fetched before all else.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use net::session::{FileReader, ReadError};
use tokio::sync::mpsc;

use super::error::ApiError;
use super::{Ctx, Shared};
use crate::mime;

/// Bytes read at a time.
const CHUNK_LEN: usize = 256 * 1024;
/// Chunks that wait for a slow reader.
const CHUNKS_WAITING_MAX: usize = 2;

/// `GET` and `HEAD` of `/stream/{id}/{file}`.
pub(super) async fn stream(
    State(shared): Ctx,
    Path((id, file)): Path<(String, usize)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let etag = format!("\"{id}-{file}\"");
    let (reader, path) = shared.run(move |node| node.reader(&id, file)).await?;
    let len = reader.len();
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    // A range of something else is of no use; ours never changes.
    let same = headers.get(IF_RANGE).is_none_or(|known| known.as_bytes() == etag.as_bytes());
    let range = match asked.filter(|_| same).map_or(Asked::All, |text| parse_range(text, len)) {
        Asked::All => None,
        Asked::Part(range) => Some(range),
        Asked::Nothing => {
            let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "no such range");
            let mut answer = error.into_response();
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{len}")) {
                answer.headers_mut().insert(CONTENT_RANGE, value);
            }
            return Ok(answer);
        }
    };
    let whole = 0..len;
    let part = range.clone().unwrap_or(whole);
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mime = mime::of_name(&path);
    // What could hold a script is only ever saved: it would run as part of this page.
    let (mime, disposition) = if mime::is_harmless(mime) {
        (mime, "inline")
    } else {
        ("application/octet-stream", "attachment")
    };
    let mut answer = Response::builder()
        .status(status)
        .header(ACCEPT_RANGES, "bytes")
        .header(CONTENT_TYPE, mime)
        .header(CONTENT_DISPOSITION, disposition)
        .header(CACHE_CONTROL, "private, no-transform")
        .header(ETAG, etag)
        .header(CONTENT_LENGTH, part.end - part.start);
    if range.is_some() {
        let last = part.end.saturating_sub(1);
        answer = answer.header(CONTENT_RANGE, format!("bytes {}-{last}/{len}", part.start));
    }
    let body = if method == Method::HEAD || part.is_empty() {
        Body::empty()
    } else {
        let (chunks, receiver) = mpsc::channel(CHUNKS_WAITING_MAX);
        let left = part.end - part.start;
        tokio::spawn(read(shared, reader, part, chunks));
        Body::new(Chunks { receiver, left })
    };
    answer
        .body(body)
        .map_err(|error| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// Reads a part of a file as it is verified, for as long as somebody listens.
async fn read(
    _shared: Arc<Shared>,
    mut reader: FileReader,
    part: Range<u64>,
    chunks: mpsc::Sender<Result<Bytes, ReadError>>,
) {
    let mut offset = part.start;
    while offset < part.end {
        let ready = tokio::select! {
            ready = reader.ready(offset) => ready,
            () = chunks.closed() => return,
        };
        let ready = match ready {
            Ok(ready) => ready.min(part.end - offset),
            Err(error) => {
                // Whoever listens notices that bytes are missing.
                let _ = chunks.send(Err(error)).await;
                return;
            }
        };
        let len = usize::try_from(ready).unwrap_or(CHUNK_LEN).min(CHUNK_LEN);
        let work = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; len];
            let read = reader.read(offset, &mut bytes);
            (reader, read.map(|read| (read, bytes)))
        });
        let Ok((back, read)) = work.await else { return };
        reader = back;
        let chunk = match read {
            Ok((0, _)) => return,
            Ok((read, mut bytes)) => {
                bytes.truncate(read);
                offset += read as u64;
                Ok(Bytes::from(bytes))
            }
            Err(error) => Err(error),
        };
        let failed = chunk.is_err();
        if chunks.send(chunk).await.is_err() || failed {
            return;
        }
    }
}

/// A body of chunks whose length is known.
struct Chunks {
    receiver: mpsc::Receiver<Result<Bytes, ReadError>>,
    left: u64,
}

impl HttpBody for Chunks {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        self.receiver.poll_recv(cx).map(|chunk| {
            let chunk = match chunk {
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => return Some(Err(error)),
                None if self.left > 0 => return Some(Err(ReadError::Stopped)),
                None => return None,
            };
            self.left = self.left.saturating_sub(chunk.len() as u64);
            Some(Ok(Frame::data(chunk)))
        })
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// All of it: no range, one that is not understood, or several, which need not be served.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes that there are not.
    Nothing,
}

fn parse_range(text: &str, len: u64) -> Asked {
    let unit = text.get(..6).filter(|unit| unit.eq_ignore_ascii_case("bytes="));
    let Some((first, last)) = unit.and_then(|_| text[6..].trim().split_once('-')) else {
        return Asked::All;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // One too large for any file is as good as the largest.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last), first.is_empty(), last.is_empty()) {
        (Some(first), Some(last), ..) if first <= last => first..last.saturating_add(1).min(len),
        (Some(first), None, _, true) => first..len,
        (None, Some(suffix), true, _) => len.saturating_sub(suffix)..len,
        _ => return Asked::All,
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Nothing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (text, asked) in [
            ("bytes=0-", Asked::Part(0..100)),
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=10-19", Asked::Part(10..20)),
            ("Bytes=90-1000", Asked::Part(90..100)),
            ("bytes=99-99999999999999999999999", Asked::Part(99..100)),
            ("bytes=-10", Asked::Part(90..100)),
            ("bytes=-1000", Asked::Part(0..100)),
            ("bytes=100-", Asked::Nothing),
            ("bytes=100-200", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=20-10", Asked::All),
            ("bytes=0-1,5-6", Asked::All),
            ("bytes=a-b", Asked::All),
            ("bytes=-", Asked::All),
            ("bytes=+1-2", Asked::All),
            ("items=0-1", Asked::All),
            ("", Asked::All),
        ] {
            assert_eq!(parse_range(text, 100), asked, "{text}");
        }
        assert_eq!(parse_range("bytes=0-", 0), Asked::Nothing);
    }
}
