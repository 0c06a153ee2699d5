//! Searches that people keep: what they look for, and what of it has been seen. When they are asked
//! again is the node's.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::SearchResult;

/// Searches that are kept.
pub const SAVED_MAX: usize = 100;
/// Longest name of one, in bytes.
pub const SAVED_NAME_MAX: usize = 400;
/// Contents that are remembered as seen, of one search.
const SEEN_MAX: usize = 5_000;
/// Contents that are new, of one search.
const FRESH_MAX: usize = 1_000;

/// A search that is kept, as it is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SavedRecord {
    /// What is looked for.
    pub(crate) words: String,
    /// When it was saved, in unix seconds.
    pub(crate) added: u64,
    /// When it was last asked, in unix seconds.
    pub(crate) looked: u64,
    /// Contents that were seen, the oldest first.
    seen: Vec<String>,
    /// Contents that were found and not seen yet.
    fresh: BTreeSet<String>,
}

/// A search that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SavedSearch {
    /// What people call it.
    pub name: String,
    /// What is looked for.
    pub words: String,
    /// When it was saved, in unix seconds.
    pub added: u64,
    /// When it was last asked, in unix seconds; 0 if it never was.
    pub looked: u64,
    /// Results that nobody has seen.
    pub fresh: usize,
}

impl SavedRecord {
    pub(crate) fn new(words: &str, added: u64) -> Self {
        Self { words: words.to_owned(), added, ..Self::default() }
    }

    pub(crate) fn view(&self, name: &str) -> SavedSearch {
        let (words, added, looked) = (self.words.clone(), self.added, self.looked);
        SavedSearch { name: name.to_owned(), words, added, looked, fresh: self.fresh.len() }
    }

    /// Whether a result has been seen.
    pub(crate) fn has_seen(&self, result: &SearchResult) -> bool {
        self.seen.contains(&result.key())
    }

    /// Takes in what was found; returns how many results were not known before. The first time
    /// everything is.
    pub(crate) fn find(&mut self, results: &[SearchResult], now: u64) -> usize {
        self.looked = now;
        let seen: BTreeSet<&String> = self.seen.iter().collect();
        let keys = results.iter().map(SearchResult::key);
        let new: Vec<_> =
            keys.filter(|key| !seen.contains(key) && !self.fresh.contains(key)).collect();
        let before = self.fresh.len();
        for key in new.into_iter().take(FRESH_MAX.saturating_sub(before)) {
            self.fresh.insert(key);
        }
        self.fresh.len() - before
    }

    /// Takes in that somebody looks at these.
    pub(crate) fn see(&mut self, results: &[SearchResult], now: u64) {
        self.looked = now;
        self.fresh.clear();
        let keys: Vec<_> = results.iter().map(SearchResult::key).collect();
        let again: BTreeSet<&String> = keys.iter().collect();
        self.seen.retain(|key| !again.contains(key));
        self.seen.extend(keys);
        let over = self.seen.len().saturating_sub(SEEN_MAX);
        self.seen.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::super::merge::Merge;
    use super::super::{ContentId, Hit};
    use super::*;

    fn results(names: &[usize]) -> Vec<SearchResult> {
        let mut merge = Merge::default();
        for name in names {
            let sha1 = Some(format!("{name:040x}"));
            let content = ContentId { sha1, ..ContentId::default() };
            let name = name.to_string();
            let hit = Hit { id: name.clone(), name, length: 1, mime: None, sources: 1, content };
            merge.add("gnutella", hit);
        }
        merge.finish()
    }

    #[test]
    fn what_is_new_counts_once_until_it_is_seen() {
        let mut saved = SavedRecord::new("film", 1);
        assert_eq!(saved.find(&results(&[1, 2]), 10), 2);
        assert_eq!(saved.find(&results(&[2, 3]), 20), 1);
        assert_eq!((saved.view("x").fresh, saved.view("x").looked), (3, 20));
        saved.see(&results(&[1, 2, 3]), 30);
        assert_eq!(saved.view("x").fresh, 0);
        assert_eq!(saved.find(&results(&[3, 4, 1]), 40), 1);
        let unseen = results(&[3, 4]);
        let unseen: Vec<_> = unseen.iter().filter(|one| !saved.has_seen(one)).collect();
        assert_eq!(unseen.len(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut saved = SavedRecord::new("film", 1);
        let many: Vec<usize> = (0..6_000).collect();
        assert_eq!(saved.find(&results(&many), 2), FRESH_MAX);
        saved.see(&results(&many), 3);
        assert_eq!(saved.seen.len(), SEEN_MAX);
        // What was seen again stays longest.
        saved.see(&results(&[1_000]), 4);
        assert!(saved.has_seen(&results(&[1_000])[0]) && !saved.has_seen(&results(&[999])[0]));
    }
}
