//! What is asked for by HTTP: which file or which other thing, and which bytes of it. Nothing that
//! is asked for is ever a path.

use std::net::SocketAddr;

use codec::http::{ContentCoding, Head, HttpError, Limits, Range};
use search::gnutella::{Guid, Sha1, Urn};

pub use super::queue::Ticket;

/// Bounds on a head.
pub const HEAD_LIMITS: Limits = Limits { bytes: 8 * 1024, headers: 64 };

/// In which field of an answer the public key of whoever gives it is, in hexadecimal.
pub(super) const IDENTITY: &str = "X-Identity";

/// Most alternate locations that are taken from a head.
const ALTERNATES_MAX: usize = 32;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file by its hash.
    Hash(Sha1),
    /// A file by the number that hits gave it.
    Index(u32),
    /// The tree of hashes of a file.
    Tree(Sha1),
    /// Everything that is shared.
    Browse,
    /// That a push be passed on to a leaf.
    PushProxy(Guid, u32),
}

/// Which bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// All.
    Whole,
    /// One run.
    Run(Range),
    /// What no server here gives: several runs, or bytes before those they end with.
    Bad,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked for; `None` is nothing that there is.
    pub target: Option<Target>,
    /// Only the head is wanted.
    pub head_only: bool,
    /// Which bytes.
    pub wanted: Wanted,
    /// Whether the answer may be deflated.
    pub takes_deflate: bool,
    /// Whether the connection may be used again.
    pub keep_alive: bool,
    /// Where whoever asks accepts connections.
    pub node: Option<SocketAddr>,
    /// Others that have the file.
    pub alternates: Vec<SocketAddr>,
    /// How it can wait in a queue.
    pub queueing: Queueing,
    /// What it was given when it waited before.
    pub ticket: Option<Ticket>,
}

/// How somebody waits in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queueing {
    /// By asking again, if at all.
    Passive,
    /// `X-Queue: 0.1`: told his position, and when to ask again.
    Active,
    /// PARQ: with a ticket, and called when it is his turn.
    Parq,
}

impl Request {
    /// Reads the request that `bytes` begin with, and how many bytes it took; `None` if it is not
    /// complete yet.
    ///
    /// # Errors
    /// If it is none, or too long.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, HttpError> {
        let Some(head) = Head::parse(bytes, HEAD_LIMITS)? else { return Ok(None) };
        let line = head.request()?;
        let headers = &head.headers;
        let is_get = line.method == "GET";
        let known = is_get || line.method == "HEAD";
        let wanted = match (headers.get_all("Range").count(), headers.get("Range")) {
            (0, _) => Wanted::Whole,
            (1, Some(value)) => Range::parse(value).map_or(Wanted::Bad, Wanted::Run),
            _ => Wanted::Bad,
        };
        let addresses = |name| headers.get(name).and_then(|value| value.trim().parse().ok());
        let request = Self {
            target: target(line.target).filter(|_| known),
            head_only: !is_get,
            wanted,
            takes_deflate: headers.accepts(ContentCoding::Deflate),
            keep_alive: line.protocol == "HTTP/1.1" && !headers.has_word("Connection", "close"),
            node: addresses("X-Node").or_else(|| addresses("Listen-IP")),
            alternates: alternates(headers.get("X-Alt").unwrap_or_default()),
            queueing: queueing(headers.get("X-Queue"), headers.get("X-Features")),
            ticket: headers.get("X-Queued").and_then(|value| Ticket::parse(item(value, "ID")?)),
        };
        Ok(Some((request, head.len)))
    }
}

fn queueing(queue: Option<&str>, features: Option<&str>) -> Queueing {
    let features = features.unwrap_or_default().split(',').map(str::trim);
    let mut named = features.filter_map(|feature| feature.strip_prefix("queue/"));
    match queue.map(str::trim).or_else(|| named.next()) {
        None => Queueing::Passive,
        Some(version) if version.starts_with("0.") || !version.contains('.') => Queueing::Active,
        Some(_) => Queueing::Parq,
    }
}

/// What stands behind a name in fields such as `X-Queued: position=1; ID=0a1b`.
pub(super) fn item<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let items = value.split([',', ';']).filter_map(|item| item.trim().split_once('='));
    let mut found = items.filter(|(other, _)| other.trim().eq_ignore_ascii_case(name));
    found.next().map(|(_, value)| value.trim().trim_matches('"'))
}

/// Addresses of a field such as `X-Alt`; those without a port have the usual one.
pub(super) fn alternates(value: &str) -> Vec<SocketAddr> {
    let parse = |item: &str| {
        let item = item.trim();
        item.parse().ok().or_else(|| item.parse().ok().map(|ip| SocketAddr::new(ip, 6_346)))
    };
    value.split(',').take(ALTERNATES_MAX).filter_map(parse).collect()
}

fn target(path: &str) -> Option<Target> {
    if path == "/" {
        return Some(Target::Browse);
    }
    let sha1 = |urn: &str| Urn::parse(urn.split(['&', ';']).next()?.as_bytes())?.sha1();
    if let Some(urn) = path.strip_prefix("/uri-res/N2R?") {
        return sha1(urn).map(Target::Hash);
    }
    if let Some(urn) = path.strip_prefix("/uri-res/N2X?") {
        return sha1(urn).map(Target::Tree);
    }
    if let Some(query) = path.strip_prefix("/gnutella/push-proxy?") {
        return push_proxy(query);
    }
    let (index, name) = path.strip_prefix("/get/")?.split_once('/')?;
    // The name is for eyes; anything that would be a path is not asked for by decent programs.
    if name.is_empty() || name.contains("..") {
        return None;
    }
    let number: u32 = index.parse().ok()?;
    index.bytes().all(|byte| byte.is_ascii_digit()).then_some(Target::Index(number))
}

fn push_proxy(query: &str) -> Option<Target> {
    let (mut servent, mut index) = (None, 0);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        if name.eq_ignore_ascii_case("guid") {
            servent = codec::hex::decode::<16>(value).map(Guid);
        } else if name.eq_ignore_ascii_case("ServerId") {
            servent = codec::base32::decode(value)?.try_into().ok().map(Guid);
        } else if name.eq_ignore_ascii_case("file") {
            index = value.parse().ok()?;
        }
    }
    servent.map(|servent| Target::PushProxy(servent, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URN: &str = "urn:sha1:EPAJIOF3H3HR6AJ5NJMSDBPJZSVSJLRI";

    fn parse(line: &str, fields: &str) -> Request {
        let text = format!("{line} HTTP/1.1\r\n{fields}\r\n");
        let (request, used) = Request::parse(text.as_bytes()).expect("a head").expect("whole");
        assert_eq!(used, text.len());
        request
    }

    #[test]
    fn things_are_asked_for_by_hash_and_by_number() {
        let Some(Urn::Sha1(sha1)) = Urn::parse(URN.as_bytes()) else { panic!("a hash") };
        let guid = Guid([0xab; 16]);
        let hex = "ab".repeat(16);
        let table = [
            (format!("/uri-res/N2R?{URN}"), Some(Target::Hash(sha1))),
            (format!("/uri-res/N2X?{URN};TREE"), Some(Target::Tree(sha1))),
            ("/get/7/reef%20atlas.txt".into(), Some(Target::Index(7))),
            ("/".into(), Some(Target::Browse)),
            (format!("/gnutella/push-proxy?guid={hex}&file=3"), Some(Target::PushProxy(guid, 3))),
            ("/uri-res/N2R?urn:md5:x".into(), None),
            ("/get/7".into(), None),
            ("/get/+7/x".into(), None),
            ("/get/99999999999/x".into(), None),
            ("/index.html".into(), None),
        ];
        for (path, target) in table {
            assert_eq!(parse(&format!("GET {path}"), "").target, target, "{path}");
        }
        assert_eq!(parse("POST /", "").target, None);
        assert!(parse("HEAD /", "").head_only);
    }

    #[test]
    fn gn_19_paths_lead_nowhere() {
        for path in [
            "/get/1/../../etc/passwd",
            "/get/../1/x",
            "/get//etc/passwd",
            "/etc/passwd",
            "//etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/uri-res/N2R?/etc/passwd",
        ] {
            assert_eq!(parse(&format!("GET {path}"), "").target, None, "{path}");
        }
        // A number says which file; the name beside it says nothing.
        let odd = parse("GET /get/1/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "").target;
        assert_eq!(odd, Some(Target::Index(1)));
    }

    #[test]
    fn gn_20_ranges_that_make_no_sense_are_told_apart() {
        let many = format!("bytes={}", "0-1,".repeat(500));
        for range in [
            "bytes=9-1",
            "bytes=0-1,5-6",
            "bytes=-",
            "x=1-2",
            &many,
            "bytes=1-99999999999999999999999",
        ] {
            let request = parse("GET /", &format!("Range: {range}\r\n"));
            assert_eq!(request.wanted, Wanted::Bad, "{range}");
        }
        let twice = parse("GET /", "Range: bytes=0-1\r\nRange: bytes=2-3\r\n");
        assert_eq!(twice.wanted, Wanted::Bad);
        for (range, total) in [("bytes=-0", 10), ("bytes=10-", 10), ("bytes=0-", 0)] {
            let Wanted::Run(range) = parse("GET /", &format!("Range: {range}\r\n")).wanted else {
                panic!("a run: {range}")
            };
            assert_eq!(range.resolve(total), None, "416");
        }
    }

    #[test]
    fn fields_say_who_asks() {
        let fields = "X-Node: 127.0.0.1:7\r\nX-Alt: 127.0.0.2:8, 127.0.0.3,nobody\r\n\
                      X-Queue: 0.1\r\nConnection: close\r\n";
        let request = parse("GET /", fields);
        assert_eq!(request.node, "127.0.0.1:7".parse().ok());
        assert_eq!(request.alternates.len(), 2);
        assert!(request.queueing == Queueing::Active && !request.keep_alive);
        let id = "0a".repeat(16);
        for (fields, queueing, has_ticket) in [
            (String::new(), Queueing::Passive, false),
            (format!("X-Queue: 1.0\r\nX-Queued: position=3; id={id}\r\n"), Queueing::Parq, true),
            ("X-Features: bye/0.1, queue/1.1\r\nX-Queued: ID=0a\r\n".into(), Queueing::Parq, false),
            ("X-Features: queue/0.1\r\n".into(), Queueing::Active, false),
        ] {
            let request = parse("GET /", &fields);
            assert_eq!(
                (request.queueing, request.ticket.is_some()),
                (queueing, has_ticket),
                "{fields}"
            );
        }
    }
}
