//! What is shared and found: a file's name, its hash and what is known of its content; and the words
//! that it is found by.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::gnutella::{Sha1, TigerRoot};

/// Longest name of a file, in bytes.
pub const NAME_MAX: usize = 128;
/// Longest text of a search, in bytes.
pub const WORDS_MAX: usize = 128;
/// Most words of a name or a search that count.
pub(super) const TERMS_MAX: usize = 16;

/// What all of a file's bytes hash to, in two ways, together called its bitprint (HUGE 0.94). By the
/// one it is known in other networks too; under the other each block is verified as it comes.
///
/// FastTrack's own UUHash read 300 KiB at the front and 300 KiB at every power of two mebibytes, so
/// that all the rest of a file could be replaced without changing its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash {
    /// Of the bytes.
    pub sha1: Sha1,
    /// The root of their Tiger tree.
    pub tree: TigerRoot,
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.sha1)
    }
}

#[cfg(test)]
impl FileHash {
    /// One for tests.
    pub(super) fn of(byte: u8) -> Self {
        Self { sha1: Sha1([byte; 20]), tree: TigerRoot([byte; 24]) }
    }
}

/// What a file is said to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Anything else.
    #[default]
    Other,
    /// Music and speech.
    Audio,
    /// Films.
    Video,
    /// Pictures.
    Image,
    /// Texts.
    Document,
    /// Programs.
    Software,
}

/// A file that somebody shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What its bytes are.
    pub hash: FileHash,
    /// How many they are.
    pub size: u64,
    /// What it is called, at most [`NAME_MAX`] bytes.
    pub name: Box<str>,
    /// What it is said to be.
    pub kind: Kind,
    /// Kilobits per second of what plays; 0 if that is not known.
    pub bitrate: u16,
    /// How long it plays, in seconds; 0 if that is not known.
    pub seconds: u32,
}

impl File {
    /// A file of which no more is known.
    ///
    /// A name that is too long is cut.
    #[must_use]
    pub fn new(hash: FileHash, size: u64, name: &str) -> Self {
        let name = cut(name, NAME_MAX).into();
        Self { hash, size, name, kind: Kind::Other, bitrate: 0, seconds: 0 }
    }

    /// By what directories find it: the words of its name, and the one that is its hash.
    pub(super) fn terms(&self) -> Terms {
        let mut terms = Terms::of(&self.name);
        terms.0.push(hash_word(self.hash.sha1).to_lowercase());
        terms
    }

    /// 64 bits that say which file this is.
    pub(super) fn digest(&self) -> u64 {
        let mut front = [0; 8];
        front.copy_from_slice(&self.hash.sha1.0[..8]);
        // Of equal files with two names both count.
        self.name.bytes().fold(u64::from_be_bytes(front), |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// A file, and somebody who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit<C> {
    /// The file.
    pub file: Arc<File>,
    /// Who has it.
    pub source: C,
    /// The supernode that knows it, and can have it call; the same, if it is one itself.
    pub via: C,
}

/// The word that only the file with this hash has: its SHA-1 in base32, as in a URN. Whoever searches
/// for it finds the file under all of its names.
#[must_use]
pub fn hash_word(sha1: Sha1) -> String {
    codec::base32::encode(&sha1.0)
}

/// The front of `text` with at most `max` bytes.
pub(super) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

/// The words of a text: runs of letters and digits, in lower case; each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms(Vec<String>);

impl Terms {
    pub(super) fn of(text: &str) -> Self {
        let mut terms: Vec<String> = Vec::new();
        let words = text.split(|character: char| !character.is_alphanumeric());
        for word in words.filter(|word| !word.is_empty()) {
            let word = word.to_lowercase();
            if terms.len() < TERMS_MAX && !terms.contains(&word) {
                terms.push(word);
            }
        }
        Self(terms)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether each of these is among `others`.
    pub(super) fn are_in(&self, others: &Self) -> bool {
        self.0.iter().all(|term| others.0.contains(term))
    }

    /// 32 bits for each word (FNV-1a).
    pub(super) fn hashes(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().map(|term| {
            term.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_people_type() {
        for (query, name, found) in [
            ("blue train", "Coltrane - Blue_Train (1957).ogg", true),
            ("TRAIN", "blue train", true),
            ("train blue red", "blue train", false),
            ("tra", "train", false),
            ("größe", "GRÖSSE", false),
            ("straße", "Die Straße.txt", true),
        ] {
            assert_eq!(Terms::of(query).are_in(&Terms::of(name)), found, "{query}");
        }
        assert!(Terms::of(" -- ").is_empty());
        let file = File::new(FileHash::of(7), 1, &"word ".repeat(30));
        let word = hash_word(file.hash.sha1);
        assert!(Terms::of(&word).are_in(&file.terms()));
        assert!(!Terms::of(&word).are_in(&File::new(FileHash::of(8), 1, "word").terms()));
        assert_eq!(cut("aß", 2), "a");
    }
}
