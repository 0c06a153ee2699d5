//! Hexadecimal text.

use core::fmt;

/// Shows bytes as lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Reads exactly `N` bytes, in digits of either case.
#[must_use]
pub fn decode<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_ref().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// The value of one digit.
pub(crate) fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn reads_what_it_shows() {
        assert_eq!(Hex(&[0, 0x1f, 0xff]).to_string(), "001fff");
        assert_eq!(decode("001fFF"), Some([0, 0x1f, 0xff]));
    }

    #[test]
    fn refuses_other_lengths_and_characters() {
        assert_eq!(decode::<2>("001"), None);
        assert_eq!(decode::<2>("00112"), None);
        assert_eq!(decode::<2>("001122"), None);
        assert_eq!(decode::<2>("00g1"), None);
        assert_eq!(decode::<2>("+1-1"), None);
        assert_eq!(decode::<0>(""), Some([]));
    }
}
