//! One host that has a file: the connection to it, and what it says of the file.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use codec::http::{BodyLen, ChunkedDecoder, ContentCoding, ContentRange, Head, HttpError};
use search::gnutella::Sha1;
use search::gnutella::Urn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Given;
use super::request::{HEAD_LIMITS, IDENTITY, alternates, item};

/// How long a source may be silent.
const SILENCE: Duration = Duration::from_secs(30);
/// Longest wait in a queue between two requests.
const POLL_MAX: Duration = Duration::from_secs(900);
/// How long a connection on which nothing is said may be open still.
const OPEN: Duration = Duration::from_secs(55);
/// Longest ticket of a queue.
const TICKET_MAX: usize = 64;
/// How long after the earliest moment a place in a queue is asked for again.
const POLL_SLACK: Duration = Duration::from_secs(1);

/// Most bytes of the body of a refusal.
const REFUSAL_MAX: u64 = 64 * 1024;
/// Runs that are taken of what a source says that it has.
const RUNS_MAX: usize = 256;
/// Bytes in a second that a source gives at least, over an answer.
const SLOWEST: u64 = 1_024;

/// What a source answers.
#[derive(Debug)]
pub(super) enum Answer {
    /// These bytes, perhaps fewer than were asked for.
    Bytes {
        bytes: Vec<u8>,
        /// Length of the whole file, as it says.
        total: Option<u64>,
    },
    /// All slots are taken: ask again after this, or when called.
    Busy(Duration),
    /// It has not got these bytes.
    Without,
    /// It has nothing of the file.
    Stranger,
}

/// A connection to a source.
#[derive(Debug)]
pub(crate) struct Source {
    stream: TcpStream,
    read: Vec<u8>,
    host: SocketAddr,
    /// Where we accept connections.
    node: Option<SocketAddr>,
    /// Which runs of the file it has, if it said so with its last answer.
    pub(super) available: Option<Vec<Range<u64>>>,
    /// Who it is, as it says.
    pub(super) identity: Option<[u8; 32]>,
    /// Others that it named.
    pub(super) alternates: Vec<SocketAddr>,
    /// Our place in its queue.
    place: Option<Place>,
    /// Whether it says nothing more on this connection.
    closes: bool,
}

/// A place in somebody's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    ticket: String,
    position: u32,
}

/// A head that has been read.
struct Answered {
    code: u16,
    len: BodyLen,
    coding: ContentCoding,
    range: Option<ContentRange>,
    retry: Option<Duration>,
    place: Option<Place>,
    closes: bool,
}

impl Source {
    pub(crate) const fn new(
        stream: TcpStream,
        read: Vec<u8>,
        host: SocketAddr,
        node: Option<SocketAddr>,
    ) -> Self {
        Self {
            stream,
            read,
            host,
            node,
            available: None,
            identity: None,
            alternates: Vec::new(),
            place: None,
            closes: false,
        }
    }

    /// By what it will call us when it is our turn, and its host.
    pub(super) fn ticket(&self) -> Option<(&str, IpAddr)> {
        self.place.as_ref().map(|place| (place.ticket.as_str(), self.host.ip()))
    }

    /// Whether it is connected to where it accepts connections.
    pub(super) fn is_at(&self, addr: SocketAddr) -> bool {
        self.host == addr
    }

    /// Whether another connection is needed after a wait.
    pub(super) fn is_over(&self, waited: Duration) -> bool {
        self.closes || waited > OPEN
    }

    /// Goes on by another connection to the same host.
    pub(super) fn move_to(&mut self, stream: TcpStream, read: Vec<u8>) {
        (self.stream, self.read, self.closes) = (stream, read, false);
    }

    /// Gives its connection away.
    pub(super) fn into_given(self) -> Given {
        (self.stream, self.read)
    }

    /// Asks for a run of a file.
    pub(super) async fn get(
        &mut self,
        sha1: Sha1,
        range: Range<u64>,
        told: &[SocketAddr],
    ) -> io::Result<Answer> {
        let urn = Urn::Sha1(sha1).to_text();
        let last = range.end.saturating_sub(1);
        let mut fields = format!("Range: bytes={}-{last}\r\nX-Queue: 1.0\r\n", range.start);
        if let Some(Place { ticket, position }) = &self.place {
            fields += &format!("X-Queued: position={position}; ID={ticket}\r\n");
        }
        if !told.is_empty() {
            let told: Vec<String> = told.iter().map(ToString::to_string).collect();
            fields += &format!("X-Alt: {}\r\n", told.join(","));
        }
        self.ask(&format!("/uri-res/N2R?{urn}"), &fields).await?;
        let answered = self.head().await?;
        self.closes = answered.closes;
        match answered.code {
            200 | 206 => {
                let (first, total) = match (answered.range, answered.len) {
                    (Some(content), _) => (content.first, content.total),
                    (None, BodyLen::Exact(len)) if answered.code == 200 => (0, Some(len)),
                    (None, _) if answered.code == 200 => (0, None),
                    (None, _) => return Err(bad("part without a place")),
                };
                if first != range.start || answered.coding != ContentCoding::Identity {
                    // A server without ranges: of no use beyond the first bytes.
                    return Err(bad("other bytes than were asked for"));
                }
                let bytes = self.body(answered.len, range.end - range.start).await?;
                Ok(Answer::Bytes { bytes, total })
            }
            503 => {
                if answered.len != BodyLen::Unsaid {
                    self.body(answered.len, REFUSAL_MAX).await?;
                }
                match answered.retry {
                    Some(retry) => {
                        self.place = answered.place;
                        Ok(Answer::Busy((retry + POLL_SLACK).min(POLL_MAX)))
                    }
                    None => Ok(Answer::Without),
                }
            }
            404 | 410 => Ok(Answer::Stranger),
            _ => Ok(Answer::Without),
        }
    }

    /// Asks for anything else: all of the body, unpacked, if it is no more than `max` bytes; `None`
    /// if there is no such thing.
    pub(crate) async fn fetch(
        &mut self,
        target: &str,
        fields: &str,
        max: usize,
    ) -> io::Result<Option<Vec<u8>>> {
        self.ask(target, fields).await?;
        let answered = self.head().await?;
        if answered.code != 200 {
            return Ok(None);
        }
        let packed = self.body(answered.len, max as u64).await?;
        answered.coding.decode(packed, max).map(Some).map_err(bad)
    }

    async fn ask(&mut self, target: &str, fields: &str) -> io::Result<()> {
        let node = self.node.map_or_else(String::new, |node| format!("X-Node: {node}\r\n"));
        let head = format!(
            "GET {target} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nX-Features: queue/1.0\r\n\
             {node}{fields}Connection: Keep-Alive\r\n\r\n",
            self.host,
            crate::CLIENT
        );
        timeout(SILENCE, self.stream.write_all(head.as_bytes())).await?
    }

    async fn head(&mut self) -> io::Result<Answered> {
        loop {
            if let Some(head) = Head::parse(&self.read, HEAD_LIMITS).map_err(bad)? {
                let code = head.status().map_err(bad)?.code;
                let headers = &head.headers;
                let named = headers.get("X-Alt").unwrap_or_default();
                let answered = Answered {
                    code,
                    len: headers.body_len().map_err(bad)?,
                    coding: headers.content_coding().map_err(bad)?,
                    range: headers.get("Content-Range").and_then(ContentRange::parse),
                    retry: retry(headers.get("X-Queue"), headers.get("Retry-After"))
                        .or_else(|| retry(headers.get("X-Queued"), None)),
                    place: headers.get("X-Queued").and_then(place),
                    closes: headers.has_word("Connection", "close"),
                };
                if let Some(runs) = headers.get("X-Available-Ranges") {
                    self.available = available(runs);
                }
                if let Some(identity) = headers.get(IDENTITY) {
                    self.identity = codec::hex::decode(identity.trim());
                }
                self.alternates.extend(alternates(named));
                self.alternates.truncate(64);
                let len = head.len;
                self.read.drain(..len);
                return Ok(answered);
            }
            self.more().await?;
        }
    }

    /// Reads on.
    async fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        let count = timeout(SILENCE, self.stream.read(&mut buffer)).await??;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.read.extend_from_slice(&buffer[..count]);
        Ok(())
    }

    /// A body, as it is packed, of at most `max` bytes.
    async fn body(&mut self, len: BodyLen, max: u64) -> io::Result<Vec<u8>> {
        let within = SILENCE + Duration::from_secs(max / SLOWEST);
        let read = async {
            match len {
                BodyLen::Exact(len) if len > max => Err(bad(HttpError::BodyTooLong)),
                BodyLen::Exact(len) => self.exact(len).await,
                BodyLen::Chunked => self.chunks(max).await,
                BodyLen::Unsaid => self.rest(max).await,
            }
        };
        timeout(within, read).await?
    }

    async fn exact(&mut self, len: u64) -> io::Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let early = len.min(self.read.len());
        let mut bytes: Vec<u8> = self.read.drain(..early).collect();
        while bytes.len() < len {
            let at = bytes.len();
            // Room for what has been announced is made as it comes.
            bytes.resize(len.min(at + 256 * 1024), 0);
            let count = timeout(SILENCE, self.stream.read(&mut bytes[at..])).await??;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes.truncate(at + count);
        }
        Ok(bytes)
    }

    async fn chunks(&mut self, max: u64) -> io::Result<Vec<u8>> {
        let (mut decoder, mut bytes) = (ChunkedDecoder::new(max), Vec::new());
        loop {
            let mut at = 0;
            while at < self.read.len() {
                let chunk = decoder.decode(&self.read[at..]).map_err(bad)?;
                bytes.extend_from_slice(chunk.content);
                at += chunk.used;
                if chunk.done {
                    self.read.drain(..at);
                    return Ok(bytes);
                }
            }
            self.read.clear();
            self.more().await?;
        }
    }

    /// All that comes until the other side closes.
    async fn rest(&mut self, max: u64) -> io::Result<Vec<u8>> {
        self.closes = true;
        while self.read.len() as u64 <= max {
            match self.more().await {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.read));
                }
                Err(error) => return Err(error),
            }
        }
        Err(bad(HttpError::BodyTooLong))
    }
}

fn bad(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Runs of `X-Available-Ranges: bytes 0-99,200-299`.
fn available(value: &str) -> Option<Vec<Range<u64>>> {
    let runs = value.trim().strip_prefix("bytes")?.trim_start_matches(['=', ' ']);
    let run = |text: &str| {
        let (first, last) = text.trim().split_once('-')?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last).then(|| first..last.saturating_add(1))
    };
    Some(runs.split(',').take(RUNS_MAX).filter_map(run).collect())
}

/// Our place, if it is by a ticket that can be repeated.
fn place(queued: &str) -> Option<Place> {
    let ticket = item(queued, "ID").filter(|ticket| !ticket.is_empty())?;
    let is_word = ticket.len() <= TICKET_MAX && ticket.bytes().all(|byte| byte.is_ascii_graphic());
    let position = item(queued, "position").and_then(|number| number.parse().ok()).unwrap_or(0);
    is_word.then(|| Place { ticket: ticket.to_owned(), position })
}

/// When to ask again: `pollMin` of a queue, or seconds.
fn retry(queue: Option<&str>, after: Option<&str>) -> Option<Duration> {
    let poll = queue.and_then(|value| item(value, "pollMin")?.parse().ok());
    poll.or_else(|| after?.trim().parse().ok()).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_say_what_they_have() {
        assert_eq!(available("bytes 0-99, 200-299"), Some(vec![0..100, 200..300]));
        assert_eq!(available("bytes=5-5"), available("bytes 5-5"));
        assert_eq!(available("bytes 9-1,x,3-"), Some(vec![]));
        assert_eq!(available("lines 1-2"), None);
    }

    #[test]
    fn queues_say_when_to_ask_again() {
        let queue = "position=2, length=5, limit=1, pollMin=45, pollMax=120";
        assert_eq!(retry(Some(queue), Some("9")), Some(Duration::from_secs(45)));
        assert_eq!(retry(None, Some("9")), Some(Duration::from_secs(9)));
        assert_eq!(retry(Some("position=1"), None), None);
        assert_eq!(retry(None, Some("soon")), None);
        let place = |text| place(text).map(|place| (place.position, place.ticket));
        assert_eq!(place("position=7; length=9; ID=6a07"), Some((7, "6a07".to_owned())));
        assert_eq!(place("id=\"6a07\""), Some((0, "6a07".to_owned())));
        for text in ["position=7", "ID=", "ID=a b", &format!("ID={}", "a".repeat(65))] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
