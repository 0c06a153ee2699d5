//! What header fields say about bodies and ranges.

use core::fmt;

use super::{Headers, HttpError};

/// How long the body of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLen {
    /// This many bytes.
    Exact(u64),
    /// In chunks, the last of which says so.
    Chunked,
    /// Not said: none in a request; up to the end of the connection in a response.
    Unsaid,
}

impl Headers<'_> {
    /// How long the body is, by `Transfer-Encoding` and `Content-Length`.
    ///
    /// # Errors
    /// If they are malformed, contradict each other, or name an encoding other than `chunked`:
    /// then nobody can tell where the body ends.
    pub fn body_len(&self) -> Result<BodyLen, HttpError> {
        let has = |name| self.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        if has("Transfer-Encoding") {
            let mut codings = self.get_all("Transfer-Encoding").flat_map(|v| v.split(','));
            let chunked = codings.next().is_some_and(|v| v.trim().eq_ignore_ascii_case("chunked"));
            let alone = codings.next().is_none() && !has("Content-Length");
            return (chunked && alone)
                .then_some(BodyLen::Chunked)
                .ok_or(HttpError::TransferEncoding);
        }
        if !has("Content-Length") {
            return Ok(BodyLen::Unsaid);
        }
        let mut lens = self.get_all("Content-Length").flat_map(|value| value.split(','));
        let first =
            lens.next().and_then(|len| number(len.trim())).ok_or(HttpError::ContentLength)?;
        let agree = lens.all(|len| number(len.trim()) == Some(first));
        agree.then_some(BodyLen::Exact(first)).ok_or(HttpError::ContentLength)
    }
}

/// A `Range` of one run of bytes (RFC 9110, section 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// From the first offset to the last, included; to the end without a last.
    From(u64, Option<u64>),
    /// This many bytes at the end.
    Suffix(u64),
}

impl Range {
    /// Reads the value of a `Range` field. `None` if it is malformed, of another unit, or of more
    /// than one run: then the whole is to be sent.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, range) = value.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        if first.is_empty() {
            return number(last).map(Self::Suffix);
        }
        let first = number(first)?;
        if last.is_empty() {
            return Some(Self::From(first, None));
        }
        number(last).filter(|last| first <= *last).map(|last| Self::From(first, Some(last)))
    }

    /// The bytes it means, of `total` that there are; `None` if it lies outside of them (416).
    #[must_use]
    pub fn resolve(self, total: u64) -> Option<core::ops::Range<u64>> {
        let range = match self {
            Self::From(first, last) => {
                first..last.map_or(total, |last| last.saturating_add(1)).min(total)
            }
            Self::Suffix(len) => total.saturating_sub(len)..total,
        };
        (!range.is_empty()).then_some(range)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::From(first, None) => write!(f, "bytes={first}-"),
            Self::From(first, Some(last)) => write!(f, "bytes={first}-{last}"),
            Self::Suffix(len) => write!(f, "bytes=-{len}"),
        }
    }
}

/// A `Content-Range`: which bytes a partial response (206) has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte, which is included.
    pub last: u64,
    /// How many bytes the whole has, if that is known.
    pub total: Option<u64>,
}

impl ContentRange {
    /// Reads the value of a `Content-Range` field. `None` if it is malformed or contradicts
    /// itself.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.trim().split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let fits = first <= last && total.is_none_or(|total| last < total);
        (fits && unit.eq_ignore_ascii_case("bytes")).then_some(Self { first, last, total })
    }
}

impl fmt::Display for ContentRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {}-{}/", self.first, self.last)?;
        match self.total {
            Some(total) => write!(f, "{total}"),
            None => f.write_str("*"),
        }
    }
}

/// Digits only: no sign, as `parse` would take.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::super::{Head, Limits};
    use super::*;

    fn body_len(fields: &str) -> Result<BodyLen, HttpError> {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        Head::parse(text.as_bytes(), Limits::default()).unwrap().unwrap().headers.body_len()
    }

    #[test]
    fn tells_where_a_body_ends_or_refuses() {
        let table = [
            ("A: b", Ok(BodyLen::Unsaid)),
            ("content-length: 12", Ok(BodyLen::Exact(12))),
            ("Content-Length: 12\r\nContent-Length: 12", Ok(BodyLen::Exact(12))),
            ("Content-Length: 12, 12", Ok(BodyLen::Exact(12))),
            ("Content-Length: 12\r\nContent-Length: 13", Err(HttpError::ContentLength)),
            ("Content-Length: -1", Err(HttpError::ContentLength)),
            ("Content-Length: +1", Err(HttpError::ContentLength)),
            ("Content-Length: 0x10", Err(HttpError::ContentLength)),
            ("Content-Length: é", Err(HttpError::ContentLength)),
            ("Content-Length: 99999999999999999999", Err(HttpError::ContentLength)),
            ("Content-Length:", Err(HttpError::ContentLength)),
            ("Transfer-Encoding: Chunked", Ok(BodyLen::Chunked)),
            ("Transfer-Encoding: gzip, chunked", Err(HttpError::TransferEncoding)),
            ("Transfer-Encoding: chunked, chunked", Err(HttpError::TransferEncoding)),
            ("Transfer-Encoding: chunked\r\nContent-Length: 3", Err(HttpError::TransferEncoding)),
        ];
        for (fields, expected) in table {
            assert_eq!(body_len(fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn resolves_ranges() {
        let table = [
            ("bytes=0-99", Some(0..100)),
            ("bytes=0-", Some(0..1000)),
            ("bytes=990-2000", Some(990..1000)),
            ("bytes=-10", Some(990..1000)),
            ("bytes=-5000", Some(0..1000)),
            ("bytes=999-18446744073709551615", Some(999..1000)),
            ("bytes=1000-", None),
            ("bytes=-0", None),
        ];
        for (value, expected) in table {
            let range = Range::parse(value).unwrap();
            assert_eq!(range.resolve(1000), expected, "{value}");
            assert_eq!(range.to_string(), value);
        }
        for value in ["bytes=5-4", "bytes=a-b", "bytes=1-2,4-5", "items=0-1", "bytes", "bytes=--1"]
        {
            assert_eq!(Range::parse(value), None, "{value}");
        }
        assert_eq!(Range::From(0, None).resolve(0), None);
    }

    #[test]
    fn reads_and_writes_content_ranges() {
        for value in ["bytes 0-99/1000", "bytes 5-5/*"] {
            assert_eq!(ContentRange::parse(value).unwrap().to_string(), value);
        }
        let malformed = [
            "bytes 9-0/10",
            "bytes 0-10/10",
            "bytes */10",
            "bytes 0-1",
            "x 0-1/2",
            "bytes +0-1/2",
            "bytes 5-99999999999999999999/*",
        ];
        for value in malformed {
            assert_eq!(ContentRange::parse(value), None, "{value}");
        }
    }
}
