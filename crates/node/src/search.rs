//! Searching: the same question to everything that can be asked, side by side, and its answers
//! merged by what they name. A network joins by implementing [`Finder`]. Here are its words and how
//! finders are asked; `content` is what names a content, `narrow` what is left out, `merge` makes rows of hits, `rank` says which
//! comes first, `spam` which look suspicious, `saved` are searches that people keep.

mod content;
mod merge;
mod narrow;
mod rank;
pub(crate) mod saved;
mod spam;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use content::ContentId;
use merge::Merge;
use narrow::Narrow;
pub use saved::SavedSearch;

/// Results of one search.
pub const RESULTS_MAX: usize = 1000;

/// Places that are named of one result; more are counted as sources alone.
const FOUND_MAX: usize = 32;
/// Hits that wait to be merged.
const HITS_WAITING_MAX: usize = 64;

/// A question.
#[derive(Clone, Debug)]
pub struct SearchQuery {
    /// What people typed: words, and what narrows them (`type:video`, `size:1M..1G`, `-word`,
    /// `network:gnutella`, `sources:3`).
    pub words: String,
    /// Results of each network that are enough; over all of them there are at most
    /// [`RESULTS_MAX`].
    pub limit: usize,
}

impl SearchQuery {
    /// The words alone, for those who do not understand what narrows them: what they find beyond it
    /// is left out by [`search`].
    #[must_use]
    pub fn plain_words(&self) -> String {
        let narrows = |word: &&str| {
            word.starts_with('-') || word.starts_with("type:") || word.starts_with("size:")
        };
        let words: Vec<&str> =
            self.words.split_whitespace().filter(|word| !narrows(word)).collect();
        words.join(" ")
    }
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

    /// Asks who has this content, and tells of it as [`find`](Self::find) does. Who cannot ask by
    /// content has nothing to tell.
    ///
    /// # Errors
    /// In words, when it cannot be asked.
    fn locate(
        &self,
        _content: &ContentId,
        _tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        Ok(())
    }

    /// What is known here, without asking anybody, of a content that some network found: by it
    /// results of several networks turn out to be the same.
    fn recognise(&self, _content: &ContentId) -> Option<Hit> {
        None
    }
}

impl fmt::Debug for dyn Finder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.network())
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
    /// How well it answers the search; more is better.
    #[serde(default)]
    pub score: i32,
    /// Why it looks like spam.
    #[serde(default)]
    pub odd: Vec<Odd>,
}

impl SearchResult {
    /// What it is, whoever found it; without a content id, what its network calls it.
    #[must_use]
    pub fn key(&self) -> String {
        let known = self.content.each().into_iter().find_map(|(_, id)| id);
        known.map_or_else(|| format!("{}/{}", self.network, self.id), |id| id.to_ascii_lowercase())
    }
}

/// Why a result looks like spam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Odd {
    /// Different contents go by its name.
    Name,
    /// Many contents have its length.
    Size,
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

/// What a search tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// A result that is new, has more sources, or looks suspicious now, by its number.
    Result(usize, &'a SearchResult),
    /// The result with the first number turned out to be the one with the second.
    Same(usize, usize),
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

/// What a finder is asked.
#[derive(Clone, Debug)]
enum Question {
    Words(SearchQuery),
    Content(ContentId),
}

/// Asks every finder that the query does not leave out, side by side, each for as long as its
/// patience; `tell` hears of what comes, until it has had enough. Returns all results, the best
/// first, and what each network had to say.
pub fn search(
    finders: &[Arc<dyn Finder>],
    query: &SearchQuery,
    tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
) -> (Vec<SearchResult>, Vec<Asked>) {
    let narrow = Narrow::parse(&query.words);
    let limit = query.limit.min(RESULTS_MAX);
    let asked = finders.iter().filter(|finder| narrow.asks(finder.network())).cloned();
    let question = Question::Words(SearchQuery { words: narrow.words.clone(), limit });
    run(finders, &asked.collect::<Vec<_>>(), &question, &narrow, limit, tell)
}

/// Asks every finder who has a content, as [`search`] does.
pub(crate) fn locate(
    finders: &[Arc<dyn Finder>],
    content: &ContentId,
    tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
) -> Vec<SearchResult> {
    let question = Question::Content(content.clone());
    run(finders, finders, &question, &Narrow::default(), RESULTS_MAX, tell).0
}

fn run(
    all: &[Arc<dyn Finder>],
    finders: &[Arc<dyn Finder>],
    question: &Question,
    narrow: &Narrow,
    limit: usize,
    tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
) -> (Vec<SearchResult>, Vec<Asked>) {
    let began = Instant::now();
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
        ask(number, finder.clone(), question.clone(), sender.clone(), enough);
    }
    drop(sender);
    let mut merge = Merge::new(narrow.query.words.clone());
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
                if finder.results < limit && merge.len() < RESULTS_MAX && narrow.admits(&hit) {
                    let recognised = recognise(all, finder.network, &hit);
                    let is_new = take(&mut merge, finder.network, hit, narrow, tell);
                    finder.results += usize::from(is_new == ControlFlow::Continue(true));
                    let known = recognised.into_iter();
                    let go_on =
                        known.map(|(network, hit)| take(&mut merge, network, hit, narrow, tell));
                    if is_new.is_break() || go_on.into_iter().any(|told| told.is_break()) {
                        break;
                    }
                }
                if finder.results < limit && merge.len() < RESULTS_MAX {
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
    let mut results = merge.finish();
    results.retain(|result| narrow.fits(result));
    (results, asked)
}

/// What others know of a content that one network found.
fn recognise(finders: &[Arc<dyn Finder>], network: &str, hit: &Hit) -> Vec<(&'static str, Hit)> {
    if hit.content.is_empty() {
        return Vec::new();
    }
    let others = finders.iter().filter(|finder| finder.network() != network);
    let known =
        others.filter_map(|finder| Some((finder.network(), finder.recognise(&hit.content)?)));
    // Whoever names its digest with another length means something else.
    known.filter(|(_, known)| known.length == hit.length || hit.length == 0).collect()
}

/// Takes a hit in, and tells what changed by it; whether it is a result that nobody knew.
fn take(
    merge: &mut Merge,
    network: &str,
    hit: Hit,
    narrow: &Narrow,
    tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
) -> ControlFlow<(), bool> {
    let added = merge.add(network, hit);
    for gone in added.gone {
        tell(Told::Same(gone, added.row))?;
    }
    for number in added.marked.into_iter().chain([added.row]) {
        if let Some(result) = merge.row(number).filter(|result| narrow.fits(result)) {
            tell(Told::Result(number, result))?;
        }
    }
    ControlFlow::Continue(added.is_new)
}

/// Asks one finder on a thread of its own, which ends when nobody listens any more.
fn ask(
    number: usize,
    finder: Arc<dyn Finder>,
    question: Question,
    sender: SyncSender<(usize, Said)>,
    enough: Arc<AtomicBool>,
) {
    let refused = sender.clone();
    let run = move || {
        let mut tell = |hit| {
            let heard = !enough.load(Ordering::Relaxed);
            if heard && sender.send((number, Said::Hit(hit))).is_ok() {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let found = match question {
            Question::Words(query) => finder.find(&query, &mut tell),
            Question::Content(content) => finder.locate(&content, &mut tell),
        };
        // The search may be over.
        let _ = sender.send((number, Said::Ended(found)));
    };
    if let Err(error) = thread::Builder::new().name("shoal-search".into()).spawn(run) {
        let _ = refused.try_send((number, Said::Ended(Err(error.to_string()))));
    }
}

#[cfg(test)]
#[path = "../tests/common/fixed.rs"]
mod fixed;

#[cfg(test)]
mod tests {
    use super::*;

    use fixed::Fixed;

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
                Told::Same(gone, number) => format!("{gone} is {number}"),
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
