//! Short strings of bytes that live inside a message, without memory of their own.

use core::fmt;

/// Up to `N` bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Short<const N: usize> {
    len: u8,
    bytes: [u8; N],
}

impl<const N: usize> Short<N> {
    /// `content`; `None` if it is longer than `N` bytes.
    #[must_use]
    pub fn new(content: &[u8]) -> Option<Self> {
        let mut bytes = [0; N];
        bytes.get_mut(..content.len())?.copy_from_slice(content);
        Some(Self { len: u8::try_from(content.len()).ok()?, bytes })
    }

    /// The content.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl<const N: usize> Default for Short<N> {
    fn default() -> Self {
        Self { len: 0, bytes: [0; N] }
    }
}

impl<const N: usize> fmt::Debug for Short<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What a query is told apart by, chosen by whoever asks. Ours have four bytes, since one
/// implementation drops all others; any length up to 16 is echoed.
pub type Transaction = Short<16>;

impl Transaction {
    /// One of ours.
    pub(super) fn ours(number: u32) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Self { len: 4, bytes }
    }

    /// The number, if it can be one of ours.
    pub(super) fn number(&self) -> Option<u32> {
        self.as_slice().try_into().ok().map(u32::from_be_bytes)
    }
}

/// What a node hands out when it is asked, and wants to see when something is to be stored
/// (BEP 5); its makers keep it short, and up to 32 bytes are taken.
pub type Token = Short<32>;
