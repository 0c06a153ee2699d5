//! Text as it travels: bytes of no stated character set, which must be repeated as they came.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Bytes that people read: names of files, messages. UTF-8 when it is ours, anything else from
/// others. It holds no quotes and no control characters when it is written into a message.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Vec<u8>);

impl Text {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What people are shown.
    #[must_use]
    pub fn to_string_lossy(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// What follows the last slash or backslash.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|byte| matches!(byte, b'/' | b'\\'));
        &self.0[start.map_or(0, |at| at + 1)..]
    }

    /// Whether it can stand between quotes: the protocol has no escapes.
    #[must_use]
    pub fn is_quotable(&self) -> bool {
        !self.0.iter().any(|byte| *byte == b'"' || byte.is_ascii_control())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Text {
    fn from(text: &[u8]) -> Self {
        Self(text.to_vec())
    }
}

impl From<Vec<u8>> for Text {
    fn from(text: Vec<u8>) -> Self {
        Self(text)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}
