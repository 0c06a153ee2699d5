//! Hits become results: what names the same content is one row with the sources of all networks.
//! Rows are never renumbered; one that turns out to be another goes away.

use std::collections::HashMap;

use super::rank::score;
use super::spam::Spam;
use super::{FOUND_MAX, Found, Hit, SearchResult};

/// Results so far, merged.
#[derive(Debug, Default)]
pub(super) struct Merge {
    /// The words by which results are ranked.
    words: Vec<String>,
    /// A row that turned out to be another is `None`.
    rows: Vec<Option<SearchResult>>,
    /// Which rows have a content id: one of each length, for who names another one means another file,
    /// or lies.
    by_id: HashMap<(&'static str, String), Vec<usize>>,
    spam: Spam,
}

/// What a hit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Added {
    /// Its row.
    pub(super) row: usize,
    /// Nothing of it was known.
    pub(super) is_new: bool,
    /// Rows that turned out to be the same.
    pub(super) gone: Vec<usize>,
    /// Other rows that look suspicious now.
    pub(super) marked: Vec<usize>,
}

impl Merge {
    pub(super) fn new(words: Vec<String>) -> Self {
        Self { words, ..Self::default() }
    }

    /// Rows that there ever were.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, number: usize) -> Option<&SearchResult> {
        self.rows.get(number)?.as_ref()
    }

    /// Takes a hit in.
    pub(super) fn add(&mut self, network: &str, hit: Hit) -> Added {
        let ids = hit.content.each();
        let ids = ids.into_iter().filter_map(|(kind, id)| Some((kind, id?.to_ascii_lowercase())));
        let ids: Vec<_> = ids.collect();
        // Some do not know the length.
        let fits = |row: &usize| {
            let length = self.row(*row).map_or(0, |row| row.length);
            length == hit.length || length == 0 || hit.length == 0
        };
        let first = |id| self.by_id.get(id)?.iter().copied().find(fits);
        let mut known: Vec<usize> = ids.iter().filter_map(first).collect();
        known.sort_unstable();
        known.dedup();
        let found = Found { network: network.to_owned(), id: hit.id.clone(), sources: hit.sources };
        let row = known.first().copied().unwrap_or(self.rows.len());
        if known.is_empty() {
            self.rows.push(Some(SearchResult {
                network: network.to_owned(),
                name: hit.name,
                length: hit.length,
                mime: hit.mime,
                id: hit.id,
                sources: hit.sources,
                content: hit.content,
                found: vec![found],
                score: 0,
                odd: Vec::new(),
            }));
        } else if let Some(result) = &mut self.rows[row] {
            result.content.learn(&hit.content);
            result.add_place(found);
            if result.length == 0 {
                result.length = hit.length;
            }
        }
        let mut gone = Vec::new();
        for &other in known.iter().skip(1) {
            let Some(other_row) = self.rows[other].take() else { continue };
            self.spam.remove(other, &other_row);
            if let Some(result) = &mut self.rows[row] {
                result.content.learn(&other_row.content);
                other_row.found.into_iter().for_each(|place| result.add_place(place));
            }
            for rows in self.by_id.values_mut() {
                rows.iter_mut().filter(|at| **at == other).for_each(|at| *at = row);
            }
            gone.push(other);
        }
        for id in ids {
            let rows = self.by_id.entry(id).or_default();
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        let mut changed = match &self.rows[row] {
            Some(result) => self.spam.add(row, result),
            None => Vec::new(),
        };
        changed.push(row);
        for &number in &changed {
            if let Some(result) = &mut self.rows[number] {
                result.odd = self.spam.reasons(result);
                result.score = score(&self.words, result);
            }
        }
        changed.retain(|number| *number != row);
        Added { row, is_new: known.is_empty(), gone, marked: changed }
    }

    /// All results, the best first.
    pub(super) fn finish(self) -> Vec<SearchResult> {
        let mut results: Vec<_> = self.rows.into_iter().flatten().collect();
        results.sort_by_key(|result| std::cmp::Reverse(result.score));
        results
    }
}

impl SearchResult {
    /// Adds a place that was not known; beyond those that are named it is only counted.
    fn add_place(&mut self, place: Found) {
        let is_same = |known: &Found| known.network == place.network && known.id == place.id;
        if self.found.iter().any(is_same) {
            return;
        }
        self.sources = self.sources.saturating_add(place.sources);
        if self.found.len() < FOUND_MAX {
            self.found.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ContentId;
    use super::*;

    fn hit(name: &str, sources: u64, content: ContentId) -> Hit {
        let id = name.to_owned();
        Hit { name: name.to_owned(), length: 1, mime: None, id, sources, content }
    }

    fn sha1(text: &str) -> ContentId {
        ContentId { sha1: Some(text.to_owned()), ..ContentId::default() }
    }

    fn infohash(text: &str) -> ContentId {
        ContentId { infohash_v1: Some(text.to_owned()), ..ContentId::default() }
    }

    #[test]
    fn what_is_the_same_is_one_result() {
        let both = ContentId { infohash_v1: Some("ff".to_owned()), ..sha1("AA") };
        let mut merge = Merge::default();
        for (network, hit) in [
            ("library", hit("a", 1, sha1("aa"))),
            ("library", hit("b", 1, sha1("bb"))),
            ("gnutella", hit("A", 5, both)),
            ("gnutella", hit("c", 2, ContentId::default())),
            ("bittorrent", hit("x", 7, infohash("FF"))),
            // Without a content id nothing is known to be the same.
            ("bittorrent", hit("c", 2, ContentId::default())),
        ] {
            merge.add(network, hit);
        }
        let rows = (0..merge.len()).filter_map(|number| merge.row(number));
        let summary: Vec<_> =
            rows.map(|row| (row.name.as_str(), row.sources, row.found.len())).collect();
        assert_eq!(summary, [("a", 13, 3), ("b", 1, 1), ("c", 2, 1), ("c", 2, 1)]);
        let first = merge.row(0).expect("there");
        assert_eq!(first.content.infohash_v1.as_deref(), Some("ff"));
    }

    #[test]
    fn rows_that_turn_out_to_be_the_same_become_one() {
        let mut merge = Merge::default();
        merge.add("gnutella", hit("a", 2, sha1("aa")));
        merge.add("bittorrent", hit("b", 3, infohash("ff")));
        merge.add("napster", hit("c", 1, sha1("cc")));
        // Our library knows that they are one file.
        let both = ContentId { infohash_v1: Some("ff".to_owned()), ..sha1("aa") };
        let added = merge.add("library", hit("mine", 1, both));
        assert_eq!(added, Added { row: 0, is_new: false, gone: vec![1], marked: vec![] });
        assert!(merge.row(1).is_none());
        let first = merge.row(0).expect("there");
        assert_eq!((first.sources, first.found.len(), first.name.as_str()), (6, 3, "a"));
        // What was the other's finds its way here, and the same place counts once.
        assert_eq!(merge.add("bittorrent", hit("b", 3, infohash("ff"))).row, 0);
        assert_eq!(merge.row(0).expect("there").sources, 6);
        assert_eq!(merge.finish().len(), 2);
    }

    #[test]
    fn what_has_another_length_is_another_result() {
        let mut merge = Merge::default();
        let both = ContentId { infohash_v1: Some("ff".to_owned()), ..sha1("aa") };
        let long = |hit: Hit| Hit { length: 2, ..hit };
        let unknown = |hit: Hit| Hit { length: 0, ..hit };
        let rows = [
            hit("a", 1, sha1("aa")),
            // Says of a torrent that it is that file.
            long(hit("liar", 1, both.clone())),
            long(hit("film", 1, infohash("ff"))),
            hit("b", 1, sha1("aa")),
            unknown(hit("magnet", 1, infohash("ff"))),
            hit("c", 1, both),
        ]
        .map(|hit| merge.add("gnutella", hit).row);
        assert_eq!(rows, [0, 1, 1, 0, 1, 0]);
    }

    #[test]
    fn places_of_one_result_are_bounded() {
        let mut merge = Merge::default();
        for number in 0..1000 {
            merge.add("gnutella", hit(&number.to_string(), 1, sha1("aa")));
        }
        assert_eq!(merge.len(), 1);
        let row = merge.row(0).expect("there");
        assert_eq!((row.sources, row.found.len()), (1000, FOUND_MAX));
    }
}
