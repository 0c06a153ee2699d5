//! Which words of a name go into a table, and which words of a query are looked up there. Accents
//! are left on letters.

use alloc::vec::Vec;

use super::super::{Extensions, Query, Urn};
use super::WordHash;

/// Fewest bytes of a word.
pub const WORD_MIN: usize = 3;

/// Most words, and most URNs, of a query that are looked up; others are not asked for.
pub const WORDS_MAX: usize = 32;

/// Most bytes that are cut off a word.
const CUT_MAX: usize = 5;

/// What of a query is looked up in tables. Use one again for the next query: it keeps its room.
#[derive(Clone, Debug, Default)]
pub struct QueryHashes {
    words: Vec<WordHash>,
    urns: Vec<WordHash>,
}

impl QueryHashes {
    /// Takes in a query, in place of the one before.
    pub fn set(&mut self, query: &Query<'_>) {
        self.words.clear();
        self.urns.clear();
        self.add_words(query.criteria);
        if !query.extra.is_empty() {
            self.add_urns(query.extensions());
        }
    }

    /// The words, all of which must be there.
    #[must_use]
    pub fn words(&self) -> &[WordHash] {
        &self.words
    }

    /// The URNs, one of which must be there.
    #[must_use]
    pub fn urns(&self) -> &[WordHash] {
        &self.urns
    }

    fn add_words(&mut self, criteria: &[u8]) {
        // Bytes that are no text part words, as those do that are no letters.
        let text = if criteria.is_ascii() { None } else { core::str::from_utf8(criteria).ok() };
        if let Some(text) = text {
            for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
                self.add_word(word.as_bytes());
            }
            return;
        }
        for word in criteria.split(|byte| !byte.is_ascii_alphanumeric()) {
            self.add_word(word);
        }
    }

    fn add_word(&mut self, word: &[u8]) {
        if word.len() >= WORD_MIN && self.words.len() < WORDS_MAX {
            self.words.push(WordHash::of(word));
        }
    }

    fn add_urns(&mut self, extensions: Extensions<'_>) {
        // Tables hold no torrents.
        let urns = extensions.urns().filter(|urn| urn.infohash().is_none());
        for urn in urns.take(WORDS_MAX) {
            let sha1 = urn.sha1().map(Urn::Sha1);
            self.urns.push(WordHash::of(sha1.unwrap_or(urn).to_text().as_bytes()));
        }
    }
}

/// Tells the hashes under which a name is to be found, some perhaps more than once.
pub(super) fn index_hashes(name: &str, mut tell: impl FnMut(WordHash)) {
    let lower = name.to_lowercase();
    for word in lower.split(|c: char| !c.is_alphanumeric()) {
        if word.len() < WORD_MIN {
            continue;
        }
        tell(WordHash::of(word.as_bytes()));
        let cut = word.char_indices().rev().take(CUT_MAX).map(|(at, _)| &word[..at]);
        for beginning in cut.take_while(|beginning| beginning.len() > WORD_MIN) {
            tell(WordHash::of(beginning.as_bytes()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::MinSpeed;
    use super::super::Table;
    use super::*;

    fn hashes(criteria: &[u8], extra: &[u8]) -> QueryHashes {
        let mut hashes = QueryHashes::default();
        hashes.set(&Query { speed: MinSpeed(0), criteria, extra });
        hashes
    }

    #[test]
    fn queries_find_names_by_whole_words_and_beginnings() {
        let mut table = Table::new(1 << 16).unwrap();
        table.insert_name("Golden Reef-Atlas_vol1.txt");
        table.insert_name("Señorita Ñandú.ogg");
        for found in ["golden reef", "GOLD", "atlas golde", "txt", "vol1 of", "SEÑORITA", "ñand"]
        {
            assert!(table.may_answer(&hashes(found.as_bytes(), b"")), "{found}");
        }
        for lost in ["golden silver", "gol", "goldens", "re", "", "olden", "señoras"] {
            assert!(!table.may_answer(&hashes(lost.as_bytes(), b"")), "{lost}");
        }
        assert!(table.may_answer(&hashes(b"gold\xff reef", b"")));
    }

    #[test]
    fn one_urn_is_enough() {
        let urn = b"urn:sha1:EPAJIOF3H3HR6AJ5NJMSDBPJZSVSJLRI";
        let mut table = Table::new(1 << 14).unwrap();
        let query = hashes(b"", urn);
        assert!(!table.may_answer(&query));
        table.insert(WordHash::of(urn));
        assert!(table.may_answer(&query));
        assert!(table.may_answer(&hashes(b"words that are not there", urn)));
    }

    #[test]
    fn queries_of_many_words_cost_no_more() {
        let criteria = b"abc ".repeat(1_000);
        assert_eq!(hashes(&criteria, b"").words().len(), WORDS_MAX);
    }
}
