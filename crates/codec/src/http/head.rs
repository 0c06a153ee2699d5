//! The first line and the header fields.

use alloc::vec::Vec;

use super::HttpError;

/// Bounds on a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes, the empty line at the end included.
    pub bytes: usize,
    /// Most header fields.
    pub headers: usize,
}

impl Default for Limits {
    /// 16 KiB and 100 fields.
    fn default() -> Self {
        Self { bytes: 16 * 1024, headers: 100 }
    }
}

/// The head of a message: all before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// The first line, without its line break.
    pub start: &'a str,
    /// The header fields.
    pub headers: Headers<'a>,
    /// Bytes of the head, the empty line included: the body begins there.
    pub len: usize,
}

/// The first line of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// `GET`, `POST`..
    pub method: &'a str,
    /// What is asked for: path and query, or a whole URL.
    pub target: &'a str,
    /// `HTTP/1.1`, or what another protocol has there.
    pub protocol: &'a str,
}

/// The first line of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusLine<'a> {
    /// `HTTP/1.1`, or what another protocol has there.
    pub protocol: &'a str,
    /// 100 to 999.
    pub code: u16,
    /// What the code means, in words; may be empty.
    pub reason: &'a str,
}

impl<'a> Head<'a> {
    /// Reads the head that `bytes` begin with; `None` if it is not complete yet.
    ///
    /// # Errors
    /// If the head is malformed, or longer than the limits allow; complete or not.
    pub fn parse(bytes: &'a [u8], limits: Limits) -> Result<Option<Self>, HttpError> {
        let window = &bytes[..bytes.len().min(limits.bytes)];
        let Some(len) = end_of_head(window) else {
            return if bytes.len() >= limits.bytes {
                Err(HttpError::HeadTooLong)
            } else {
                Ok(None)
            };
        };
        let mut lines = window[..len].split(|byte| *byte == b'\n').map(without_return);
        let start = lines.next().and_then(text).ok_or(HttpError::StartLine)?;
        let mut fields = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            if fields.len() == limits.headers {
                return Err(HttpError::TooManyHeaders);
            }
            fields.push(field(line).ok_or(HttpError::Header)?);
        }
        Ok(Some(Self { start, headers: Headers { fields }, len }))
    }

    /// The first line, as that of a request.
    ///
    /// # Errors
    /// If it is not a method, a target and a protocol, with one space between them.
    pub fn request(&self) -> Result<RequestLine<'a>, HttpError> {
        let mut parts = self.start.split(' ');
        let (Some(method), Some(target), Some(protocol), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(HttpError::StartLine);
        };
        let is_valid = is_token(method) && !target.is_empty() && is_protocol(protocol);
        is_valid.then_some(RequestLine { method, target, protocol }).ok_or(HttpError::StartLine)
    }

    /// The first line, as that of a response.
    ///
    /// # Errors
    /// If it is not a protocol, a code of three digits and perhaps a reason.
    pub fn status(&self) -> Result<StatusLine<'a>, HttpError> {
        let (protocol, rest) = self.start.split_once(' ').ok_or(HttpError::StartLine)?;
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let code = code.parse().ok().filter(|code| is_code && *code >= 100);
        code.filter(|_| is_protocol(protocol))
            .map(|code| StatusLine { protocol, code, reason })
            .ok_or(HttpError::StartLine)
    }
}

/// Header fields in the order of the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Headers<'a> {
    /// The first value of a field, its name in any case, if it is ASCII text.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.get_all(name).next()
    }

    /// The values of a field that are ASCII text.
    pub fn get_all<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'a str> + 'b {
        let same = self.fields.iter().filter(move |(found, _)| found.eq_ignore_ascii_case(name));
        same.filter_map(|(_, value)| text(value))
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.fields.iter().copied()
    }

    /// Whether a field whose values are lists of words, such as `Connection`, has this word.
    #[must_use]
    pub fn has_word(&self, name: &str, word: &str) -> bool {
        let mut words = self.get_all(name).flat_map(|value| value.split(','));
        words.any(|found| found.trim().eq_ignore_ascii_case(word))
    }
}

/// Where the first empty line ends.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (at, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(&bytes[line_start..at], [] | [b'\r']) {
            return Some(at + 1);
        }
        line_start = at + 1;
    }
    None
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Printable ASCII.
fn text(bytes: &[u8]) -> Option<&str> {
    let is_text = bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t'));
    core::str::from_utf8(bytes).ok().filter(|_| is_text)
}

fn field(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = text(&line[..colon]).filter(|name| is_token(name))?;
    let value = line[colon + 1..].trim_ascii();
    let is_clean = value.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
    is_clean.then_some((name, value))
}

/// A word of RFC 9110, section 5.6.2.
fn is_token(word: &str) -> bool {
    let is_token_byte =
        |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !word.is_empty() && word.bytes().all(is_token_byte)
}

/// A name and a version: `HTTP/1.1`, `GNUTELLA/0.6`.
fn is_protocol(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let version = word.split_once('/').filter(|(name, _)| is_token(name));
    version
        .and_then(|(_, version)| version.split_once('.'))
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Option<Head<'_>>, HttpError> {
        Head::parse(text.as_bytes(), Limits::default())
    }

    #[test]
    fn reads_a_request() {
        let text =
            "GET /announce?info_hash=%01 HTTP/1.1\r\nHost: t.example\r\nX-A:  b c \r\n\r\nrest";
        let head = parse(text).unwrap().unwrap();
        assert_eq!(&text[head.len..], "rest");
        let line = head.request().unwrap();
        assert_eq!(
            (line.method, line.target, line.protocol),
            ("GET", "/announce?info_hash=%01", "HTTP/1.1")
        );
        assert_eq!(head.headers.get("HOST"), Some("t.example"));
        assert_eq!(head.headers.get("x-a"), Some("b c"));
        assert_eq!(head.headers.get("x-b"), None);
        assert_eq!(head.headers.iter().count(), 2);
    }

    #[test]
    fn reads_a_response_of_http_and_of_others() {
        let head = parse("HTTP/1.1 206 Partial Content\nA: b\n\n").unwrap().unwrap();
        let line = head.status().unwrap();
        assert_eq!((line.protocol, line.code, line.reason), ("HTTP/1.1", 206, "Partial Content"));
        let head = parse("GNUTELLA/0.6 200\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.status().unwrap().reason, "");
        let head = parse("GNUTELLA CONNECT/0.6\r\nUser-Agent: x\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.start, "GNUTELLA CONNECT/0.6");
        assert_eq!(head.request(), Err(HttpError::StartLine));
    }

    #[test]
    fn waits_for_the_end() {
        let text = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for len in 0..text.len() {
            assert_eq!(parse(&text[..len]), Ok(None), "{len}");
        }
        assert!(parse(text).unwrap().is_some());
    }

    #[test]
    fn refuses_malformed_fields() {
        let fields = ["a b: c", ": c", "a", " folded: x", "a : b", "a: b\rc", "a: b\0", "ä: b"];
        for field in fields {
            let text = format!("GET / HTTP/1.1\r\n{field}\r\n\r\n");
            assert_eq!(parse(&text), Err(HttpError::Header), "{field:?}");
        }
    }

    #[test]
    fn refuses_malformed_first_lines() {
        let requests =
            ["GET /", "GET  HTTP/1.1", "GET / HTTP/1", "G@T / HTTP/1.1", "GET / a HTTP/1.1", "x"];
        for line in requests {
            let text = format!("{line}\r\n\r\n");
            assert_eq!(parse(&text).unwrap().unwrap().request(), Err(HttpError::StartLine));
        }
        for line in ["HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2000 x", "HTTP/1.1 +20", "HTTP 200 OK"] {
            let text = format!("{line}\r\n\r\n");
            assert_eq!(parse(&text).unwrap().unwrap().status(), Err(HttpError::StartLine));
        }
        assert_eq!(parse("GET /\0 HTTP/1.1\r\n\r\n"), Err(HttpError::StartLine));
    }

    #[test]
    fn stops_at_the_limits() {
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000));
        assert_eq!(parse(&long), Err(HttpError::HeadTooLong));
        let many: String = (0..101).map(|n| format!("h{n}: x\r\n")).collect();
        assert_eq!(parse(&format!("GET / HTTP/1.1\r\n{many}\r\n")), Err(HttpError::TooManyHeaders));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "[A-Z/: \r\na.01]{0,60}\r\n\r\n") {
            let _ = Head::parse(&bytes, Limits::default());
            if let Ok(Some(head)) = parse(&text) {
                let _ = (head.request(), head.status());
                prop_assert!(head.len <= text.len());
            }
        }
    }
}
