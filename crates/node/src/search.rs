//! Searching: the same question to everything that can be asked, side by side, and its answers
//! merged by what they name. A network joins by implementing [`Finder`].

use std::collections::HashMap;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Results of one search.
pub const RESULTS_MAX: usize = 1000;

/// Places that are named of one result; more are counted as sources alone.
const FOUND_MAX: usize = 32;
/// Hits that wait to be merged.
const HITS_WAITING_MAX: usize = 64;

/// A question.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// What people typed.
    pub words: String,
    /// Results of each network that are enough; over all of them there are at most
    /// [`RESULTS_MAX`].
    pub limit: usize,
}

/// Something that can be asked: the library, the transfers, a network. It is asked on a thread of
/// its own.
pub trait Finder: Send + Sync {
    /// What it is called.
    fn network(&self) -> &'static str;

    /// How long it is waited for. What it tells later is not heard, and `tell` says to stop.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

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

impl fmt::Debug for dyn Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.network())
    }
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
    /// How that network calls it: the number of a file, the id of a transfer. A network that is a
    /// [`Fetcher`](crate::Fetcher) puts in all that it needs to fetch it from this source, also
    /// after a restart: it is handed back as one of [`Wanted::ids`](crate::Wanted::ids).
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
    /// `done`, `late` if it had more to say than was waited for, or `failed`.
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
                if result.found.len() < FOUND_MAX && !result.found.contains(&found) {
                    result.found.push(found);
                }
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

/// What a search tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// A result that is new or has more sources, by its number.
    Result(usize, &'a SearchResult),
    /// A network has nothing more to say.
    Asked(&'a Asked),
}

/// What a finder's thread says.
enum Said {
    Hit(Hit),
    Ended(Result<(), String>),
}

/// A finder that is being asked.
struct Asking {
    network: &'static str,
    deadline: Instant,
    /// Tells its thread to stop.
    enough: Arc<AtomicBool>,
    /// Results that it was first to find.
    results: usize,
}

/// Asks every finder, side by side, each for as long as its patience; `tell` hears of what comes,
/// until it has had enough. Returns all results, in the order in which they came, and what each
/// network had to say.
pub fn search(
    finders: &[Arc<dyn Finder>],
    query: &SearchQuery,
    tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
) -> (Vec<SearchResult>, Vec<Asked>) {
    let began = Instant::now();
    let limit = query.limit.min(RESULTS_MAX);
    let (sender, said) = sync_channel(HITS_WAITING_MAX);
    let mut asking = Vec::new();
    for (number, finder) in finders.iter().enumerate() {
        let enough = Arc::new(AtomicBool::new(false));
        asking.push(Some(Asking {
            network: finder.network(),
            deadline: began + finder.patience(),
            enough: enough.clone(),
            results: 0,
        }));
        ask(number, finder.clone(), query.clone(), sender.clone(), enough);
    }
    drop(sender);
    let mut merge = Merge::default();
    let mut asked = Vec::new();
    while let Some(deadline) = asking.iter().flatten().map(|asking| asking.deadline).min() {
        let wait = deadline.saturating_duration_since(Instant::now());
        let is_first =
            |one: &Option<Asking>| one.as_ref().is_some_and(|asking| asking.deadline == deadline);
        let first = asking.iter().position(is_first).unwrap_or(0);
        let next = if wait.is_zero() { None } else { Some(said.recv_timeout(wait)) };
        let (number, ended) = match next {
            None | Some(Err(RecvTimeoutError::Timeout)) => (first, ("late", None)),
            Some(Err(RecvTimeoutError::Disconnected)) => {
                // A thread that ends without a word has panicked.
                let why = "its search broke off".to_owned();
                (first, ("failed", Some(why)))
            }
            Some(Ok((number, Said::Ended(Err(why))))) => (number, ("failed", Some(why))),
            Some(Ok((number, Said::Ended(Ok(()))))) => (number, ("done", None)),
            Some(Ok((number, Said::Hit(hit)))) => {
                let Some(finder) = asking.get_mut(number).and_then(Option::as_mut) else {
                    continue;
                };
                if finder.results < limit && merge.results.len() < RESULTS_MAX {
                    let (result, is_new) = merge.add(finder.network, hit);
                    finder.results += usize::from(is_new);
                    if tell(Told::Result(result, &merge.results[result])).is_break() {
                        break;
                    }
                }
                if finder.results < limit && merge.results.len() < RESULTS_MAX {
                    continue;
                }
                (number, ("done", None))
            }
        };
        let Some(finder) = asking.get_mut(number).and_then(Option::take) else { continue };
        finder.enough.store(true, Ordering::Relaxed);
        let (state, error) = ended;
        let one = Asked { name: finder.network.to_owned(), state: state.to_owned(), error };
        let go_on = tell(Told::Asked(&one));
        asked.push(one);
        if go_on.is_break() {
            break;
        }
    }
    (merge.results, asked)
}

/// Asks one finder on a thread of its own, which ends when nobody listens any more.
fn ask(
    number: usize,
    finder: Arc<dyn Finder>,
    query: SearchQuery,
    sender: SyncSender<(usize, Said)>,
    enough: Arc<AtomicBool>,
) {
    let refused = sender.clone();
    let run = move || {
        let found = finder.find(&query, &mut |hit| {
            let heard = !enough.load(Ordering::Relaxed);
            if heard && sender.send((number, Said::Hit(hit))).is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        // The search may be over.
        let _ = sender.send((number, Said::Ended(found)));
    };
    if let Err(error) = thread::Builder::new().name("shoal-search".into()).spawn(run) {
        let _ = refused.try_send((number, Said::Ended(Err(error.to_string()))));
    }
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

    fn asked(
        finders: Vec<Fixed>,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
    ) -> (Vec<SearchResult>, Vec<Asked>) {
        let finders = finders.into_iter().map(|finder| Arc::new(finder) as Arc<dyn Finder>);
        search(&finders.collect::<Vec<_>>(), query, tell)
    }

    #[test]
    fn what_is_the_same_is_one_result() {
        let both = ContentId { infohash_v1: Some("ff".to_owned()), ..sha1("AA") };
        let infohash = ContentId { infohash_v1: Some("FF".to_owned()), ..ContentId::default() };
        let mut merge = Merge::default();
        for (network, hit) in [
            ("library", hit("a", 1, sha1("aa"))),
            ("library", hit("b", 1, sha1("bb"))),
            ("gnutella", hit("A", 5, both)),
            ("gnutella", hit("c", 2, ContentId::default())),
            ("bittorrent", hit("x", 7, infohash)),
            // Without a content id nothing is known to be the same.
            ("bittorrent", hit("c", 2, ContentId::default())),
        ] {
            merge.add(network, hit);
        }
        let summary: Vec<_> = merge
            .results
            .iter()
            .map(|result| (result.name.as_str(), result.sources, result.found.len()))
            .collect();
        assert_eq!(summary, [("a", 13, 3), ("b", 1, 1), ("c", 2, 1), ("c", 2, 1)]);
        assert_eq!(merge.results[0].content.infohash_v1.as_deref(), Some("ff"));
    }

    #[test]
    fn places_of_one_result_are_bounded() {
        let mut merge = Merge::default();
        for number in 0..1000 {
            merge.add("gnutella", hit(&number.to_string(), 1, sha1("aa")));
        }
        assert_eq!(merge.results.len(), 1);
        assert_eq!((merge.results[0].sources, merge.results[0].found.len()), (1000, FOUND_MAX));
    }

    #[test]
    fn enough_is_enough_of_each_network() {
        let many = |network| {
            let hits = (0..2000).map(|number| hit(&number.to_string(), 1, ContentId::default()));
            Fixed(network, hits.collect())
        };
        let query = SearchQuery { words: String::new(), limit: 3 };
        let mut go_on = |_: Told<'_>| ControlFlow::Continue(());
        let (results, said) = asked(vec![many("library"), many("gnutella")], &query, &mut go_on);
        assert_eq!((results.len(), said.len()), (6, 2));
        assert!(said.iter().all(|asked| asked.state == "done"));
        let query = SearchQuery { limit: usize::MAX, ..query };
        assert_eq!(asked(vec![many("library")], &query, &mut go_on).0.len(), RESULTS_MAX);
        let mut told = 0;
        let stopped = asked(vec![many("library")], &query, &mut |_| {
            told += 1;
            if told < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        assert_eq!((told, stopped.0.len()), (5, 5));
    }

    /// One that says nothing until it is let go.
    struct Silent(std::sync::Mutex<std::sync::mpsc::Receiver<()>>, Duration);

    impl Finder for Silent {
        fn network(&self) -> &'static str {
            "silent"
        }

        fn patience(&self) -> Duration {
            self.1
        }

        fn find(
            &self,
            _: &SearchQuery,
            tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
        ) -> Result<(), String> {
            let _ = self.0.lock().map(|wait| wait.recv());
            match tell(hit("late", 1, ContentId::default())) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err("nobody listens".to_owned()),
            }
        }
    }

    #[test]
    fn a_silent_network_holds_nobody_up() {
        let (let_go, wait) = std::sync::mpsc::channel();
        let patience = Duration::from_millis(50);
        let silent = Arc::new(Silent(std::sync::Mutex::new(wait), patience));
        let library = Fixed("library", vec![hit("a", 1, sha1("aa"))]);
        let finders: [Arc<dyn Finder>; 2] = [silent.clone(), Arc::new(library)];
        let query = SearchQuery { words: String::new(), limit: 10 };
        let mut told = Vec::new();
        let (results, said) = search(&finders, &query, &mut |what| {
            told.push(match what {
                Told::Result(number, result) => format!("{number} {}", result.name),
                Told::Asked(asked) => format!("{} {}", asked.name, asked.state),
            });
            ControlFlow::Continue(())
        });
        assert_eq!((results.len(), said.len()), (1, 2));
        assert_eq!(told, ["0 a", "library done", "silent late"]);
        drop(let_go);
        drop(finders);
        // Its thread lets go of it when it is told that nobody listens.
        let deadline = Instant::now() + Duration::from_secs(60);
        while Arc::strong_count(&silent) > 1 {
            assert!(Instant::now() < deadline, "its thread goes on");
            thread::yield_now();
        }
    }
}
