//! Searching: the same question to everything that can be asked, and its answers merged by what they
//! name. A network joins by implementing [`Finder`].

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Results of one search.
pub const RESULTS_MAX: usize = 1000;

/// A question.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// What people typed.
    pub words: String,
    /// Results that are enough, up to [`RESULTS_MAX`].
    pub limit: usize,
}

/// Something that can be asked: the library, the transfers, a network.
pub trait Finder {
    /// What it is called.
    fn network(&self) -> &'static str;

    /// Asks, and tells of every hit as it comes. Returns when there are no more, or `tell` has had
    /// enough.
    ///
    /// # Errors
    /// In words, when it cannot be asked.
    fn find(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String>;
}

/// By what content is named, as far as it is known: in hexadecimal, the Tiger tree root in base32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentId {
    /// SHA-1 of the whole (Gnutella, bitprint).
    pub sha1: Option<String>,
    /// SHA-256 of the whole.
    pub sha256: Option<String>,
    /// Root of the Tiger tree (bitprint, Direct Connect).
    pub tth: Option<String>,
    /// BEP 3 infohash.
    pub infohash_v1: Option<String>,
    /// BEP 52 infohash.
    pub infohash_v2: Option<String>,
}

impl ContentId {
    fn each(&self) -> [(&'static str, Option<&String>); 5] {
        [
            ("sha1", self.sha1.as_ref()),
            ("sha256", self.sha256.as_ref()),
            ("tth", self.tth.as_ref()),
            ("infohash_v1", self.infohash_v1.as_ref()),
            ("infohash_v2", self.infohash_v2.as_ref()),
        ]
    }

    fn learn(&mut self, other: &Self) {
        let learn = |mine: &mut Option<String>, its: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(its);
            }
        };
        learn(&mut self.sha1, &other.sha1);
        learn(&mut self.sha256, &other.sha256);
        learn(&mut self.tth, &other.tth);
        learn(&mut self.infohash_v1, &other.infohash_v1);
        learn(&mut self.infohash_v2, &other.infohash_v2);
    }
}

/// One thing that one network found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// What it is called there; text from a stranger.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// MIME type.
    pub mime: Option<String>,
    /// How that network calls it: the number of a file, the id of a transfer.
    pub id: String,
    /// Where it can be had from.
    pub sources: u64,
    /// What it is.
    pub content: ContentId,
}

/// Where a result was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Found {
    /// The network.
    pub network: String,
    /// How it calls it.
    pub id: String,
    /// Where it can be had from there.
    pub sources: u64,
}

/// One content that was found, wherever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SearchResult {
    /// The network that was first.
    pub network: String,
    /// Its name there; text from a stranger.
    pub name: String,
    /// Bytes.
    pub length: u64,
    /// MIME type.
    #[serde(rename = "type")]
    #[schema(value_type = Option<String>)]
    pub mime: Option<String>,
    /// How that network calls it.
    pub id: String,
    /// Where it can be had from, over all networks.
    pub sources: u64,
    /// What it is.
    #[serde(flatten)]
    pub content: ContentId,
    /// Everywhere it was found.
    pub found: Vec<Found>,
}

/// What one network has to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Asked {
    /// The network.
    pub name: String,
    /// `done`, or `failed`.
    pub state: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// Results so far, merged.
#[derive(Debug, Default)]
struct Merge {
    results: Vec<SearchResult>,
    /// Which result has a content id.
    by_id: HashMap<(&'static str, String), usize>,
}

impl Merge {
    /// Takes a hit in; returns the number of its result, and whether that is new.
    fn add(&mut self, network: &str, hit: Hit) -> (usize, bool) {
        let ids = hit.content.each();
        let ids = ids.into_iter().filter_map(|(kind, id)| Some((kind, id?.to_ascii_lowercase())));
        let ids: Vec<_> = ids.collect();
        let known = ids.iter().find_map(|id| self.by_id.get(id).copied());
        let found = Found { network: network.to_owned(), id: hit.id.clone(), sources: hit.sources };
        let number = match known {
            Some(number) => {
                let result = &mut self.results[number];
                result.content.learn(&hit.content);
                result.sources = result.sources.saturating_add(hit.sources);
                result.found.push(found);
                number
            }
            None => {
                self.results.push(SearchResult {
                    network: network.to_owned(),
                    name: hit.name,
                    length: hit.length,
                    mime: hit.mime,
                    id: hit.id,
                    sources: hit.sources,
                    content: hit.content,
                    found: vec![found],
                });
                self.results.len() - 1
            }
        };
        for id in ids {
            self.by_id.entry(id).or_insert(number);
        }
        (number, known.is_none())
    }
}

/// Asks every finder in turn; `tell` hears of every result that is new or has more sources. Returns
/// all results, in the order in which they came, and what each network had to say.
pub fn search(
    finders: &[&dyn Finder],
    query: &SearchQuery,
    tell: &mut dyn FnMut(&SearchResult),
) -> (Vec<SearchResult>, Vec<Asked>) {
    let limit = query.limit.min(RESULTS_MAX);
    let mut merge = Merge::default();
    let mut asked = Vec::new();
    for finder in finders {
        let network = finder.network();
        let found = finder.find(query, &mut |hit| {
            if merge.results.len() >= limit {
                return ControlFlow::Break(());
            }
            let (number, _) = merge.add(network, hit);
            tell(&merge.results[number]);
            ControlFlow::Continue(())
        });
        asked.push(Asked {
            name: network.to_owned(),
            state: if found.is_ok() { "done" } else { "failed" }.to_owned(),
            error: found.err(),
        });
    }
    (merge.results, asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(&'static str, Vec<Hit>);

    impl Finder for Fixed {
        fn network(&self) -> &'static str {
            self.0
        }

        fn find(
            &self,
            _: &SearchQuery,
            tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> Result<(), String> {
            for hit in &self.1 {
                if tell(hit.clone()).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    fn hit(name: &str, sources: u64, content: ContentId) -> Hit {
        let id = name.to_owned();
        Hit { name: name.to_owned(), length: 1, mime: None, id, sources, content }
    }

    fn sha1(text: &str) -> ContentId {
        ContentId { sha1: Some(text.to_owned()), ..ContentId::default() }
    }

    #[test]
    fn what_is_the_same_is_one_result() {
        let both = ContentId { infohash_v1: Some("ff".to_owned()), ..sha1("AA") };
        let library = Fixed("library", vec![hit("a", 1, sha1("aa")), hit("b", 1, sha1("bb"))]);
        let gnutella =
            Fixed("gnutella", vec![hit("A", 5, both), hit("c", 2, ContentId::default())]);
        let infohash = ContentId { infohash_v1: Some("ff".to_owned()), ..ContentId::default() };
        let swarm =
            Fixed("bittorrent", vec![hit("x", 7, infohash), hit("c", 2, ContentId::default())]);
        let query = SearchQuery { words: String::new(), limit: 10 };
        let mut told = 0;
        let (results, asked) = search(&[&library, &gnutella, &swarm], &query, &mut |_| told += 1);
        let summary: Vec<_> = results
            .iter()
            .map(|result| (result.name.as_str(), result.sources, result.found.len()))
            .collect();
        // Without a content id nothing is known to be the same.
        assert_eq!(summary, [("a", 13, 3), ("b", 1, 1), ("c", 2, 1), ("c", 2, 1)]);
        assert_eq!(results[0].content.infohash_v1.as_deref(), Some("ff"));
        assert_eq!((told, asked.len()), (6, 3));
    }

    #[test]
    fn enough_is_enough() {
        let many = (0..2000).map(|number| hit(&number.to_string(), 1, ContentId::default()));
        let many = Fixed("library", many.collect());
        let query = SearchQuery { words: String::new(), limit: 3 };
        assert_eq!(search(&[&many], &query, &mut |_| {}).0.len(), 3);
        let query = SearchQuery { limit: usize::MAX, ..query };
        assert_eq!(search(&[&many], &query, &mut |_| {}).0.len(), RESULTS_MAX);
    }
}
