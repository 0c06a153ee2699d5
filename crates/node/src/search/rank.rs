//! How good a result is: which comes first.

use super::SearchResult;
use crate::library::name_words;

/// A score, in points; more is better.
///
/// - up to 1,000 for the words that were looked for: all of it if each is a word of the name, two
///   thirds of a word's share if it only begins one;
/// - up to 100 for a name that says little else;
/// - 50 for each doubling of the sources, up to 400;
/// - 30 for each network more than one, up to 90;
/// - 100 if a digest says what it is, so that it can be verified and fetched from many;
/// - 2,000 less if it looks like spam, which puts it behind all that does not.
pub(super) fn score(words: &[String], result: &SearchResult) -> i32 {
    let name = name_words(&result.name);
    let share = |word: &String| {
        if name.contains(word) {
            3
        } else {
            2 * usize::from(name.iter().any(|other| other.starts_with(word.as_str())))
        }
    };
    let matched: usize = words.iter().map(share).sum();
    let known = name.iter().filter(|word| words.contains(word)).count();
    let by_words = 1_000 * matched / (3 * words.len()).max(1);
    let by_name = 100 * known / name.len().max(1);
    let by_sources = (50 * result.sources.saturating_add(1).ilog2()).min(400);
    let mut networks: Vec<&str> = result.found.iter().map(|place| place.network.as_str()).collect();
    networks.sort_unstable();
    networks.dedup();
    let by_networks = (30 * networks.len().saturating_sub(1)).min(90);
    let has_digest = result.content.each().iter().any(|(_, id)| id.is_some());
    let sum =
        by_words + by_name + by_networks + by_sources as usize + 100 * usize::from(has_digest);
    sum as i32 - 2_000 * i32::from(!result.odd.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::{ContentId, Found, Odd};
    use super::*;

    fn result(name: &str, sources: u64, networks: &[&str]) -> SearchResult {
        let found = |network: &&str| Found {
            network: (*network).to_owned(),
            id: String::new(),
            sources: 1,
        };
        SearchResult {
            network: String::new(),
            name: name.to_owned(),
            length: 1,
            mime: None,
            id: String::new(),
            sources,
            content: ContentId::default(),
            found: networks.iter().map(found).collect(),
            score: 0,
            odd: Vec::new(),
        }
    }

    #[test]
    fn better_results_come_first() {
        let words = ["big", "bunny"].map(str::to_owned);
        let digest = ContentId { sha1: Some("aa".to_owned()), ..ContentId::default() };
        // Each is better than the next.
        let table = [
            SearchResult { content: digest, ..result("big bunny", 9, &["a", "b"]) },
            result("Big Bunny.mkv", 9, &["a", "b"]),
            result("Big Bunny.mkv", 9, &["a", "a"]),
            result("Big Bunny.mkv", 1, &["a"]),
            result("Big Bunny and a lot else.mkv", 1, &["a"]),
            result("biggest bunnys.mkv", 1, &["a"]),
            result("big.mkv", 1, &["a"]),
            result("other.mkv", 1, &["a"]),
            SearchResult { odd: vec![Odd::Name], ..result("big bunny", 1 << 40, &["a", "b", "c"]) },
        ];
        let scores: Vec<i32> = table.iter().map(|result| score(&words, result)).collect();
        assert!(scores.is_sorted_by(|one, next| one > next), "{scores:?}");
        assert_eq!(score(&[], &result("", u64::MAX, &[])), 400);
    }
}
