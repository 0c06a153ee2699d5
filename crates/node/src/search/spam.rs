//! What looks like spam: one name for different contents, or many contents of one length to the byte.
//! Whoever answers every search with what was asked for makes both.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use super::{Odd, SearchResult};

/// So many different contents under one name are suspicious.
const NAMES_MIN: usize = 2;
/// So many different contents of one length are suspicious.
const LENGTHS_MIN: usize = 4;
/// What is ours is no spam.
const OURS: [&str; 2] = ["library", "transfers"];

/// Rows by what they should not share.
#[derive(Debug, Default)]
pub(super) struct Spam {
    names: HashMap<String, HashSet<usize>>,
    lengths: HashMap<u64, HashSet<usize>>,
}

impl Spam {
    /// Takes a row in; returns those that may look suspicious by it.
    pub(super) fn add(&mut self, row: usize, result: &SearchResult) -> Vec<usize> {
        // What has no digest may be the same as another.
        if result.content.each().iter().all(|(_, id)| id.is_none()) {
            return Vec::new();
        }
        let mut changed = put(&mut self.names, plain(&result.name), row, NAMES_MIN);
        changed.extend(put(&mut self.lengths, result.length, row, LENGTHS_MIN));
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    /// Forgets a row that turned out to be another.
    pub(super) fn remove(&mut self, row: usize, result: &SearchResult) {
        if let Some(rows) = self.names.get_mut(&plain(&result.name)) {
            rows.remove(&row);
        }
        if let Some(rows) = self.lengths.get_mut(&result.length) {
            rows.remove(&row);
        }
    }

    /// Why a row is suspicious.
    pub(super) fn reasons(&self, result: &SearchResult) -> Vec<Odd> {
        if result.found.iter().any(|place| OURS.contains(&place.network.as_str())) {
            return Vec::new();
        }
        let shared = |rows: Option<&HashSet<usize>>, least| rows.is_some_and(|r| r.len() >= least);
        let name = shared(self.names.get(&plain(&result.name)), NAMES_MIN).then_some(Odd::Name);
        let length = shared(self.lengths.get(&result.length), LENGTHS_MIN).then_some(Odd::Size);
        name.into_iter().chain(length).collect()
    }
}

/// Puts a row in its group; returns the others when the group has just become suspicious.
fn put<K: Eq + Hash>(
    groups: &mut HashMap<K, HashSet<usize>>,
    key: K,
    row: usize,
    least: usize,
) -> Vec<usize> {
    let rows = groups.entry(key).or_default();
    if rows.insert(row) && rows.len() == least {
        rows.iter().copied().collect()
    } else {
        Vec::new()
    }
}

/// A name without case, what parts its words, and its end.
fn plain(name: &str) -> String {
    let stem = match name.rsplit_once('.') {
        Some((stem, end)) if !end.is_empty() && end.len() <= 5 => stem,
        _ => name,
    };
    let words = stem.split(|c: char| c.is_whitespace() || "_.-".contains(c));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::merge::Merge;
    use super::super::{ContentId, Hit};
    use super::*;

    fn hit(name: &str, length: u64, sha1: Option<&str>) -> Hit {
        let content = ContentId { sha1: sha1.map(str::to_owned), ..ContentId::default() };
        Hit { name: name.to_owned(), length, mime: None, id: name.to_owned(), sources: 1, content }
    }

    fn odd(hits: &[(&'static str, Hit)]) -> Vec<Vec<Odd>> {
        let mut merge = Merge::default();
        for (network, hit) in hits {
            merge.add(network, hit.clone());
        }
        (0..merge.len()).filter_map(|number| merge.row(number).map(|row| row.odd.clone())).collect()
    }

    #[test]
    fn one_name_for_different_contents_is_marked() {
        let found = [
            ("gnutella", hit("One_Name.mp4", 1, Some("aa"))),
            ("napster", hit("other.mp4", 2, Some("bb"))),
            ("napster", hit("one name.avi", 3, Some("cc"))),
            // The same content again, one without a digest, and one of ours.
            ("napster", hit("other.mp4", 2, Some("bb"))),
            ("gnutella", hit("other.mp4", 2, None)),
            ("library", hit("one-name.mp4", 4, Some("dd"))),
        ];
        let name = || vec![Odd::Name];
        assert_eq!(odd(&found), [name(), vec![], name(), vec![], vec![]]);
    }

    #[test]
    fn many_contents_of_one_length_are_marked_from_the_fourth_on() {
        let names = ["a", "b", "c", "d", "e"];
        let found = |count: usize| -> Vec<_> {
            names[..count].iter().map(|name| ("gnutella", hit(name, 77, Some(name)))).collect()
        };
        assert!(odd(&found(3)).iter().all(Vec::is_empty));
        for count in [4, 5] {
            assert_eq!(odd(&found(count)), vec![vec![Odd::Size]; count]);
        }
    }

    #[test]
    fn rows_that_are_marked_later_are_told_again() {
        let mut merge = Merge::default();
        merge.add("gnutella", hit("x.mp3", 1, Some("aa")));
        let added = merge.add("gnutella", hit("X.mp3", 2, Some("bb")));
        assert_eq!((added.row, added.marked), (1, vec![0]));
    }
}
