//! A supernode's directory: what its leaves share, found by words, of which one is its hash. It says
//! nothing of who the leaves are.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::file::{File, Hit, Terms};

/// New entries of the index that wait to be sorted in.
const TAIL_MAX: usize = 512;

#[derive(Clone, Debug)]
struct Entry<C> {
    /// `None` once it is struck out.
    file: Option<Arc<File>>,
    owner: C,
}

/// Files by words: eight bytes for each word of each file and for its hash, beside the file itself,
/// which names share.
#[derive(Clone, Debug)]
pub(super) struct Directory<C> {
    entries: Vec<Entry<C>>,
    live: usize,
    /// Hash of a word, and which entry has it; in order.
    sorted: Vec<(u32, u32)>,
    tail: Vec<(u32, u32)>,
}

impl<C: Copy + Eq> Directory<C> {
    pub(super) const fn new() -> Self {
        Self { entries: Vec::new(), live: 0, sorted: Vec::new(), tail: Vec::new() }
    }

    /// How many files there are.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    /// The owners of all files.
    pub(super) fn owners(&self) -> impl Iterator<Item = C> + '_ {
        self.entries.iter().filter(|entry| entry.file.is_some()).map(|entry| entry.owner)
    }

    /// Bytes on the heap, files themselves aside.
    pub(super) fn memory(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<C>>()
            + (self.sorted.capacity() + self.tail.capacity()) * size_of::<(u32, u32)>()
    }

    pub(super) fn add(&mut self, owner: C, file: Arc<File>) {
        let Ok(at) = u32::try_from(self.entries.len()) else { return };
        self.tail.extend(file.terms().hashes().map(|hash| (hash, at)));
        self.entries.push(Entry { file: Some(file), owner });
        self.live += 1;
        if self.tail.len() > TAIL_MAX {
            self.sort();
        }
    }

    /// Strikes out all that `owner` has.
    pub(super) fn remove(&mut self, owner: C) {
        for entry in &mut self.entries {
            if entry.owner == owner && entry.file.take().is_some() {
                self.live -= 1;
            }
        }
        if self.entries.len() > 2 * self.live {
            self.compact();
        }
    }

    fn sort(&mut self) {
        self.sorted.append(&mut self.tail);
        // Mostly in order already, which this sort makes use of.
        self.sorted.sort();
    }

    /// Makes everything anew without what is struck out.
    fn compact(&mut self) {
        self.entries.retain(|entry| entry.file.is_some());
        self.entries.shrink_to_fit();
        self.tail = Vec::new();
        self.sorted = Vec::new();
        for (at, entry) in (0..).zip(&self.entries) {
            if let Some(file) = &entry.file {
                self.sorted.extend(file.terms().hashes().map(|hash| (hash, at)));
            }
        }
        self.sorted.sort();
    }

    /// At most `max` files whose names have all words, in the directory of `via`.
    pub(super) fn search(&self, terms: &Terms, via: C, max: usize) -> Vec<Hit<C>> {
        let range = |hash: u32| {
            let from = self.sorted.partition_point(|(other, _)| *other < hash);
            let len = self.sorted[from..].partition_point(|(other, _)| *other == hash);
            &self.sorted[from..from + len]
        };
        // Those with the rarest word are few.
        let rarest = terms.hashes().map(|hash| (range(hash), hash));
        let Some((range, hash)) = rarest.min_by_key(|(range, _)| range.len()) else {
            return Vec::new();
        };
        let new = self.tail.iter().filter(|(other, _)| *other == hash);
        range
            .iter()
            .chain(new)
            .filter_map(|(_, at)| {
                let entry = self.entries.get(*at as usize)?;
                let file = entry.file.as_ref()?;
                let source = entry.owner;
                terms.are_in(&file.terms()).then(|| Hit { file: file.clone(), source, via })
            })
            .take(max)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::format;

    use proptest::prelude::*;

    use super::super::file::FileHash;
    use super::*;

    fn file(name: &str) -> Arc<File> {
        Arc::new(File::new(FileHash::of(0), 1, name))
    }

    proptest! {
        /// It finds what looking at every file would find.
        #[test]
        fn finds_what_is_there(
            steps in prop::collection::vec((0u8..6, "[a-d]{1} [a-d]{1}", 0u8..8), 0..300),
            query in "[a-d]{1} [a-d]{1}",
        ) {
            let mut directory = Directory::new();
            let mut plain: Vec<(u8, Arc<File>)> = Vec::new();
            for (owner, name, what) in steps {
                if what == 0 {
                    directory.remove(owner);
                    plain.retain(|(other, _)| *other != owner);
                } else {
                    directory.add(owner, file(&name));
                    plain.push((owner, file(&name)));
                }
            }
            let terms = Terms::of(&query);
            let seen = |hits: Vec<(u8, Arc<File>)>| {
                let mut seen: Vec<_> =
                    hits.iter().map(|(owner, file)| format!("{owner} {}", file.name)).collect();
                seen.sort();
                seen
            };
            let found = directory.search(&terms, 0, usize::MAX);
            let found = found.into_iter().map(|hit| (hit.source, hit.file)).collect();
            let there = plain
                .iter()
                .filter(|(_, file)| terms.are_in(&Terms::of(&file.name)))
                .cloned()
                .collect();
            prop_assert_eq!(seen(found), seen(there));
            prop_assert_eq!(directory.len(), plain.len());
            let owners: BTreeSet<_> = directory.owners().collect();
            prop_assert_eq!(owners, plain.iter().map(|(owner, _)| *owner).collect());
        }
    }

    #[test]
    fn no_more_than_asked_for() {
        let mut directory = Directory::new();
        (0..2_000).for_each(|at| directory.add(at, file(&format!("song {at}"))));
        assert_eq!(directory.search(&Terms::of("song"), 0, 7).len(), 7);
        assert_eq!(directory.search(&Terms::of("song 1999"), 0, 7)[0].source, 1_999);
        assert!(directory.search(&Terms::of(""), 0, 7).is_empty());
        // All of them are one content.
        let word = super::super::file::hash_word(FileHash::of(0).sha1);
        assert_eq!(directory.search(&Terms::of(&word), 0, usize::MAX).len(), 2_000);
        (0..1_999).for_each(|at| directory.remove(at));
        assert_eq!(directory.search(&Terms::of("song"), 0, 7).len(), 1);
        assert!(directory.entries.len() <= 3, "what is struck out is given back");
    }
}
