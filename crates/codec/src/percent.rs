//! Percent-encoding of bytes in URLs (RFC 3986), and query strings.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use crate::hex;

/// Shows bytes with all but unreserved characters (letters, digits, `-`, `.`, `_`, `~`) encoded.
#[derive(Clone, Copy, Debug)]
pub struct Encoded<'a>(pub &'a [u8]);

impl fmt::Display for Encoded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.iter().try_for_each(|&byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                f.write_char(char::from(byte))
            }
            _ => write!(f, "%{byte:02X}"),
        })
    }
}

/// Undoes percent-encoding. A `%` that two hexadecimal digits do not follow stays as it is.
#[must_use]
pub fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let byte = match (first, after) {
            (b'%', [high, low, ..]) => hex::digit(*high).zip(hex::digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = byte {
            bytes.push(high << 4 | low);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Cow::Owned(bytes)
}

/// [`decode`] of form fields, where `+` stands for a space.
#[must_use]
pub fn decode_form(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'+') {
        return decode(text);
    }
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    Cow::Owned(decode(&spaced).into_owned())
}

/// The parameters of a query string (what follows the `?`), keys and values still encoded. A
/// parameter without `=` has an empty value; empty parameters are left out.
pub fn query(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    text.split(|byte| *byte == b'&').filter(|parameter| !parameter.is_empty()).map(|parameter| {
        match parameter.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&parameter[..equals], &parameter[equals + 1..]),
            None => (parameter, &b""[..]),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn decodes_bytes_and_leaves_the_malformed() {
        let table: &[(&[u8], &[u8])] = &[
            (b"plain", b"plain"),
            (b"%00%ffa%2F", b"\x00\xffa/"),
            (b"100%", b"100%"),
            (b"%4", b"%4"),
            (b"%zz%41", b"%zzA"),
            (b"%%41", b"%A"),
            (b"%+1", b"%+1"),
            (b"a+b", b"a+b"),
        ];
        for (text, bytes) in table {
            assert_eq!(&*decode(text), *bytes, "{}", text.escape_ascii());
        }
        assert_eq!(&*decode_form(b"a+b%2B"), b"a b+");
        assert!(matches!(decode(b"plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn splits_a_query_into_its_parameters() {
        let all: Vec<_> = query(b"info_hash=%01%02&compact&&a=b=c&=x").collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"info_hash", b"%01%02"), (b"compact", b""), (b"a", b"b=c"), (b"", b"x")];
        assert_eq!(all, expected);
        assert_eq!(query(b"").count(), 0);
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(bytes: Vec<u8>) {
            let text = Encoded(&bytes).to_string();
            prop_assert_eq!(&*decode(text.as_bytes()), &bytes[..]);
            prop_assert_eq!(&*decode_form(text.as_bytes()), &bytes[..]);
        }
    }
}
