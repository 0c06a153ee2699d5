//! What a servent shares, found by words and by hash. Contents and paths are not here.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;

use super::super::qrp::{Table, WORD_MIN, WORDS_MAX, WordHash};
use super::super::{InfoHash, Query, Sha1, TigerRoot, Urn};

/// Most bytes of a file's name.
pub const NAME_MAX: usize = 255;

/// A file that is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Its name as others see it, without folders.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// The hash it is fetched by.
    pub sha1: Sha1,
    /// The root of its Tiger tree.
    pub tree: Option<TigerRoot>,
}

/// Files by number, by word and by hash.
#[derive(Clone, Debug, Default)]
pub struct Library {
    files: BTreeMap<u32, SharedFile>,
    by_word: BTreeMap<Box<str>, BTreeSet<u32>>,
    by_sha1: BTreeMap<Sha1, u32>,
    torrents: BTreeMap<u32, InfoHash>,
    next: u32,
    bytes: u64,
}

impl Library {
    /// Shares a file, and says its number. One that is shared already keeps its number, and its
    /// torrent.
    pub fn insert(&mut self, file: SharedFile) -> u32 {
        let known = self.by_sha1.get(&file.sha1).copied();
        let index = known.unwrap_or_else(|| {
            self.next = self.next.wrapping_add(1);
            self.next
        });
        let torrent = self.torrent(index);
        self.remove(index);
        self.torrents.extend(torrent.map(|torrent| (index, torrent)));
        for word in words(&file.name) {
            self.by_word.entry(word.into()).or_default().insert(index);
        }
        self.by_sha1.insert(file.sha1, index);
        self.bytes += file.len;
        self.files.insert(index, file);
        index
    }

    /// Shares a file no longer.
    pub fn remove(&mut self, index: u32) -> Option<SharedFile> {
        let file = self.files.remove(&index)?;
        for word in words(&file.name) {
            if let Some(with) = self.by_word.get_mut(word.as_str()) {
                with.remove(&index);
                if with.is_empty() {
                    self.by_word.remove(word.as_str());
                }
            }
        }
        self.by_sha1.remove(&file.sha1);
        self.torrents.remove(&index);
        self.bytes -= file.len;
        Some(file)
    }

    /// The file of a number.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<&SharedFile> {
        self.files.get(&index)
    }

    /// Says by which torrent a shared file can be had too, or that it cannot any more.
    pub fn set_torrent(&mut self, sha1: Sha1, torrent: Option<InfoHash>) {
        let Some(index) = self.index_of(sha1) else { return };
        match torrent {
            Some(torrent) => self.torrents.insert(index, torrent),
            None => self.torrents.remove(&index),
        };
    }

    /// The torrent of a file.
    #[must_use]
    pub fn torrent(&self, index: u32) -> Option<InfoHash> {
        self.torrents.get(&index).copied()
    }

    /// The number of a file.
    #[must_use]
    pub fn index_of(&self, sha1: Sha1) -> Option<u32> {
        self.by_sha1.get(&sha1).copied()
    }

    /// All files by their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &SharedFile)> {
        self.files.iter().map(|(index, file)| (*index, file))
    }

    /// How many files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether nothing is shared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of all files.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Files that answer a query, `max` at most: those it names by hash, or those in whose name each
    /// of its words begins a word.
    #[must_use]
    pub fn find(&self, query: &Query<'_>, max: usize) -> Vec<u32> {
        if self.files.is_empty() {
            return Vec::new();
        }
        let mut named = query.extensions().urns().take(WORDS_MAX).filter_map(|urn| urn.sha1());
        let found: Vec<u32> =
            named.by_ref().filter_map(|sha1| self.index_of(sha1)).take(max).collect();
        if !found.is_empty() {
            return found;
        }
        let text = String::from_utf8_lossy(query.criteria);
        let wanted = words(&text);
        if wanted.len() > WORDS_MAX {
            return Vec::new();
        }
        let mut found: Option<BTreeSet<u32>> = None;
        for word in &wanted {
            let with = self.with_word(word);
            let both = match found {
                Some(found) => found.intersection(&with).copied().collect(),
                None => with,
            };
            if both.is_empty() {
                return Vec::new();
            }
            found = Some(both);
        }
        found.unwrap_or_default().into_iter().take(max).collect()
    }

    fn with_word(&self, word: &str) -> BTreeSet<u32> {
        if word.len() < WORD_MIN {
            return self.by_word.get(word).cloned().unwrap_or_default();
        }
        let from = self.by_word.range::<str, _>((Bound::Included(word), Bound::Unbounded));
        let same = from.take_while(|(found, _)| found.starts_with(word));
        same.flat_map(|(_, with)| with.iter().copied()).collect()
    }

    /// The table that neighbours are told: words of names, and hashes.
    #[must_use]
    pub fn table(&self, slots: u32) -> Option<Table> {
        let mut table = Table::new(slots)?;
        for file in self.files.values() {
            table.insert_name(&file.name);
            table.insert(WordHash::of(Urn::Sha1(file.sha1).to_text().as_bytes()));
        }
        Some(table)
    }
}

/// The different words of a text, in lower case.
fn words(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let split = lower.split(|c: char| !c.is_alphanumeric());
    split.filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::MinSpeed;
    use super::*;

    fn file(name: &str, byte: u8) -> SharedFile {
        SharedFile { name: name.into(), len: 10, sha1: Sha1([byte; 20]), tree: None }
    }

    fn find(library: &Library, criteria: &str, extra: &[u8]) -> Vec<u32> {
        let query = Query { speed: MinSpeed::MARK, criteria: criteria.as_bytes(), extra };
        library.find(&query, 10)
    }

    #[test]
    fn files_are_found_by_the_beginnings_of_all_their_words() {
        let mut library = Library::default();
        let golden = library.insert(file("Golden Reef-Atlas vol1.txt", 1));
        let silver = library.insert(file("silver reef.ogg", 2));
        let table = [
            ("reef", alloc::vec![golden, silver]),
            ("gold reef", alloc::vec![golden]),
            ("REEF silver ogg", alloc::vec![silver]),
            ("reef gold silver", alloc::vec![]),
            ("eef", alloc::vec![]),
            ("re", alloc::vec![]),
            ("", alloc::vec![]),
        ];
        for (criteria, found) in table {
            assert_eq!(find(&library, criteria, b""), found, "{criteria}");
        }
        let urn = Urn::Sha1(Sha1([2; 20])).to_text();
        assert_eq!(find(&library, "words", urn.as_bytes()), [silver]);
        assert_eq!(library.insert(file("other name", 2)), silver);
        assert_eq!(find(&library, "reef", b""), [golden]);
        assert_eq!((library.len(), library.bytes()), (2, 20));
        assert!(library.remove(golden).is_some() && library.remove(golden).is_none());
        assert!(find(&library, "reef", b"").is_empty());
    }

    #[test]
    fn torrents_are_those_of_files_that_are_shared() {
        let (mut library, sha1) = (Library::default(), Sha1([1; 20]));
        let torrent = Some(InfoHash([7; 20]));
        library.set_torrent(sha1, torrent);
        let index = library.insert(file("reef", 1));
        assert_eq!(library.torrent(index), None);
        library.set_torrent(sha1, torrent);
        assert_eq!(library.insert(file("golden reef", 1)), index);
        assert_eq!(library.torrent(index), torrent);
        library.set_torrent(sha1, None);
        assert_eq!(library.torrent(index), None);
        library.set_torrent(sha1, torrent);
        library.remove(index);
        let again = library.insert(file("reef", 1));
        assert!(library.torrent(again).is_none() && library.torrents.is_empty());
    }

    #[test]
    fn the_table_lets_through_what_can_be_answered() {
        let mut library = Library::default();
        library.insert(file("Golden Reef.txt", 3));
        let table = library.table(1 << 14).unwrap();
        let mut hashes = super::super::super::qrp::QueryHashes::default();
        for (criteria, passes) in [("golden", true), ("gold reef", true), ("nothing", false)] {
            let query = Query { speed: MinSpeed::MARK, criteria: criteria.as_bytes(), extra: b"" };
            hashes.set(&query);
            assert_eq!(table.may_answer(&hashes), passes);
        }
    }
}
