//! How the content of a message is packed (RFC 9110, section 8.4), and who reads it packed.

use alloc::vec::Vec;

use super::{Headers, HttpError};
use crate::zlib;

/// How a body is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentCoding {
    /// Not at all.
    Identity,
    /// By zlib, whatever its name.
    Deflate,
    /// By gzip.
    Gzip,
}

impl ContentCoding {
    fn parse(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("deflate") {
            Some(Self::Deflate)
        } else if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else {
            is("identity").then_some(Self::Identity)
        }
    }

    /// What a body holds, if that is at most `max` bytes. No more than those are made of it.
    ///
    /// # Errors
    /// If it is malformed or longer.
    pub fn decode(self, body: Vec<u8>, max: usize) -> Result<Vec<u8>, HttpError> {
        let plain = match self {
            Self::Identity => Some(body).filter(|body| body.len() <= max),
            Self::Deflate => zlib::inflate(&body, max),
            Self::Gzip => zlib::gunzip(&body, max),
        };
        plain.ok_or(HttpError::Packed)
    }
}

impl Headers<'_> {
    /// How the body is packed, by `Content-Encoding`.
    ///
    /// # Errors
    /// If it is packed more than once, or in a way that is not known.
    pub fn content_coding(&self) -> Result<ContentCoding, HttpError> {
        let has = self.iter().any(|(name, _)| name.eq_ignore_ascii_case("Content-Encoding"));
        if !has {
            return Ok(ContentCoding::Identity);
        }
        let mut codings = self.get_all("Content-Encoding").flat_map(|value| value.split(','));
        let (Some(coding), None) = (codings.next(), codings.next()) else {
            return Err(HttpError::ContentEncoding);
        };
        ContentCoding::parse(coding.trim()).ok_or(HttpError::ContentEncoding)
    }

    /// Whether `Accept-Encoding` names a coding, and does not rule it out by a weight of zero.
    #[must_use]
    pub fn accepts(&self, coding: ContentCoding) -> bool {
        let items = self.get_all("Accept-Encoding").flat_map(|value| value.split(','));
        let mut named = items.map(|item| item.split_once(';').unwrap_or((item, "")));
        named.any(|(name, weight)| {
            let weight = weight.trim().strip_prefix("q=");
            let is_zero = weight.is_some_and(|weight| weight.trim().parse() == Ok(0.0));
            ContentCoding::parse(name.trim()) == Some(coding) && !is_zero
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;

    use super::super::{Head, Limits};
    use super::*;

    fn with<T>(fields: &str, look: fn(&Headers<'_>) -> T) -> T {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let head = Head::parse(text.as_bytes(), Limits::default()).unwrap().unwrap();
        look(&head.headers)
    }

    #[test]
    fn fields_say_how_a_body_is_packed() {
        use ContentCoding::{Deflate, Gzip, Identity};
        let table = [
            ("A: b", Ok(Identity)),
            ("Content-Encoding: identity", Ok(Identity)),
            ("content-encoding: Deflate", Ok(Deflate)),
            ("Content-Encoding: gzip", Ok(Gzip)),
            ("Content-Encoding: x-gzip", Ok(Gzip)),
            ("Content-Encoding: br", Err(HttpError::ContentEncoding)),
            ("Content-Encoding:", Err(HttpError::ContentEncoding)),
            ("Content-Encoding: é", Err(HttpError::ContentEncoding)),
            ("Content-Encoding: gzip, deflate", Err(HttpError::ContentEncoding)),
            ("Content-Encoding: gzip\r\nContent-Encoding: gzip", Err(HttpError::ContentEncoding)),
        ];
        for (fields, expected) in table {
            assert_eq!(with(fields, |headers| headers.content_coding()), expected, "{fields}");
        }
    }

    #[test]
    fn a_coding_is_accepted_by_name_unless_its_weight_is_zero() {
        let table = [
            ("A: b", false),
            ("Accept-Encoding: deflate", true),
            ("Accept-Encoding: gzip;q=1.0, Deflate; q=0.5", true),
            ("Accept-Encoding: gzip\r\nAccept-Encoding: deflate", true),
            ("Accept-Encoding: gzip, identity", false),
            ("Accept-Encoding: deflate;q=0", false),
            ("Accept-Encoding: deflate; q=0.000", false),
            ("Accept-Encoding: deflated", false),
        ];
        for (fields, expected) in table {
            let accepts = with(fields, |headers| headers.accepts(ContentCoding::Deflate));
            assert_eq!(accepts, expected, "{fields}");
        }
    }

    #[test]
    fn no_more_comes_out_of_a_body_than_it_may_hold() {
        let plain = vec![7; 1 << 20];
        let packed = zlib::deflate(&plain);
        assert!(packed.len() < 2_000);
        let decode = |coding: ContentCoding, bytes: &[u8], max| coding.decode(bytes.to_vec(), max);
        assert_eq!(decode(ContentCoding::Deflate, &packed, 1 << 20), Ok(plain.clone()));
        let refused = [
            (ContentCoding::Deflate, &packed[..], (1 << 20) - 1),
            (ContentCoding::Deflate, &packed[..packed.len() - 1], 1 << 20),
            (ContentCoding::Deflate, &packed[2..], 1 << 20),
            (ContentCoding::Deflate, &[], 1 << 20),
            (ContentCoding::Gzip, &packed[..], 1 << 20),
            (ContentCoding::Identity, &plain[..], (1 << 20) - 1),
        ];
        for (coding, bytes, max) in refused {
            assert_eq!(decode(coding, bytes, max), Err(HttpError::Packed), "{coding:?} {max}");
        }
    }
}
