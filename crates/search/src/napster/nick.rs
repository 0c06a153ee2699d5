//! Names of users: one word, the same in upper and lower case.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

/// Bytes of a name that a server of ours accepts.
pub const NICK_MAX: usize = 32;
/// Bytes of a name that is understood when another server tells of it.
const NICK_READ_MAX: usize = 64;

/// The name of a user: graphic ASCII without quotes. Spelt as its owner does, compared without
/// regard to case.
#[derive(Clone)]
pub struct Nick(String);

impl Nick {
    /// Reads a name, or `None` if it is empty, too long, or not one word.
    #[must_use]
    pub fn new(name: &[u8]) -> Option<Self> {
        let is_word = |byte: &u8| byte.is_ascii_graphic() && *byte != b'"';
        if name.is_empty() || name.len() > NICK_READ_MAX || !name.iter().all(is_word) {
            return None;
        }
        Some(Self(core::str::from_utf8(name).ok()?.to_owned()))
    }

    /// Whether a server accepts it from whoever logs in: the characters that Napster's servers
    /// took (`napster.txt`, message 10), and no more than [`NICK_MAX`] of them.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_[]{}-@^!$".contains(&byte);
        self.0.len() <= NICK_MAX && self.0.bytes().all(is_allowed)
    }

    /// As its owner spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn folded(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for Nick {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Nick {}

impl PartialOrd for Nick {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Nick {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

impl Hash for Nick {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}

impl fmt::Display for Nick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Nick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_whatever_their_case() {
        let nick = |name: &str| Nick::new(name.as_bytes());
        assert_eq!(nick("Lefty"), nick("lEFTY"));
        assert_ne!(nick("lefty"), nick("lefty2"));
        for name in ["", "two words", "quo\"te", "tab\t", "umlaut-ä", &"x".repeat(65)] {
            assert!(nick(name).is_none(), "{name:?}");
        }
        for (name, accepted) in
            [("[a]-{b}_@^!$9", true), ("#room", false), ("a.b", false), (&"x".repeat(33), false)]
        {
            assert_eq!(nick(name).is_some_and(|nick| nick.is_acceptable()), accepted, "{name}");
        }
    }
}
