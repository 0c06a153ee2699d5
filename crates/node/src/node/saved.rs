//! Searches that keep watching: remembered from one run to the next, asked again from time to time,
//! and told of when they find what nobody has seen.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::{Node, NodeError, lock, unix_now};
use crate::event::Event;
use crate::search::saved::{SAVED_MAX, SAVED_NAME_MAX, SavedRecord};
use crate::search::{Asked, SavedSearch, SearchQuery, SearchResult, Told};

/// Seconds between two times that one is asked.
const WATCH_EVERY: u64 = 15 * 60;
/// Results of each network that are enough.
const LIMIT: usize = 200;

/// What is done with saved searches now.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// One is being asked: one at a time, so that networks are not flooded.
    asks: AtomicBool,
    /// Held by whoever changes a record.
    turn: Mutex<()>,
}

impl Node {
    /// Searches that are kept, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn saved_searches(&self) -> Result<Vec<SavedSearch>, NodeError> {
        let saved = self.state.searches()?;
        Ok(saved.iter().map(|(name, record)| record.view(name)).collect())
    }

    /// Keeps a search under a name, over what had it; it is asked for the first time at once.
    ///
    /// # Errors
    /// When the name or the words are empty or too long, there are too many, or it cannot be
    /// remembered.
    pub fn save_search(&self, name: &str, words: &str) -> Result<SavedSearch, NodeError> {
        let (name, words) = (name.trim(), words.trim());
        if name.is_empty() || name.len() > SAVED_NAME_MAX || name.contains(char::is_control) {
            let why = format!("a search needs a name of at most {SAVED_NAME_MAX} bytes");
            return Err(NodeError::Invalid(why));
        }
        if words.is_empty() || words.len() > 1_000 {
            return Err(NodeError::Invalid("a search needs some words".to_owned()));
        }
        let saved = self.state.searches()?;
        let known = saved.iter().find(|(other, _)| other == name);
        if known.is_none() && saved.len() >= SAVED_MAX {
            return Err(NodeError::Conflict(format!("{SAVED_MAX} searches are kept already")));
        }
        let record = match known {
            Some((_, record)) if record.words == words => record.clone(),
            _ => SavedRecord::new(words, unix_now()),
        };
        self.state.save_search(name, Some(&record))?;
        self.tell_searches();
        self.watch_searches();
        Ok(record.view(name))
    }

    /// Forgets a search.
    ///
    /// # Errors
    /// When there is none of this name, or that cannot be remembered.
    pub fn forget_search(&self, name: &str) -> Result<(), NodeError> {
        self.saved(name)?;
        self.state.save_search(name, None)?;
        self.tell_searches();
        Ok(())
    }

    /// Asks a search that is kept, as [`Node::search`] does. What has been seen is left out if
    /// `unseen` says so; what is found counts as seen from now on.
    ///
    /// # Errors
    /// When there is none of this name, or the node has ended.
    pub fn search_saved(
        &self,
        name: &str,
        limit: usize,
        unseen: bool,
        tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<SearchResult>, Vec<Asked>), NodeError> {
        let saved = self.saved(name)?;
        let query = SearchQuery { words: saved.words.clone(), limit };
        let (mut results, asked) = self.search(&query, &mut |told| match told {
            Told::Result(_, result) if unseen && saved.has_seen(result) => {
                ControlFlow::Continue(())
            }
            told => tell(told),
        })?;
        self.change_saved(name, |record| record.see(&results, unix_now()))?;
        self.tell_searches();
        results.retain(|result| !(unseen && saved.has_seen(result)));
        Ok((results, asked))
    }

    fn saved(&self, name: &str) -> Result<SavedRecord, NodeError> {
        let found = self.state.searches()?.into_iter().find(|(other, _)| other == name);
        found.map(|(_, record)| record).ok_or_else(|| NodeError::NoSearch(name.to_owned()))
    }

    /// Changes one as it is now; what was forgotten meanwhile stays so.
    fn change_saved<T>(
        &self,
        name: &str,
        change: impl FnOnce(&mut SavedRecord) -> T,
    ) -> Result<T, NodeError> {
        let _turn = lock(&self.watching.turn);
        let mut record = self.saved(name)?;
        let value = change(&mut record);
        self.state.save_search(name, Some(&record))?;
        Ok(value)
    }

    fn tell_searches(&self) {
        if let Ok(saved) = self.saved_searches() {
            self.publish(Event::Searches(Arc::new(saved)));
        }
    }

    /// Asks the search that has waited longest, if it is time.
    pub(super) fn watch_searches(&self) {
        let due = self.state.searches().unwrap_or_default().into_iter();
        let due = due.filter(|(_, record)| record.looked + WATCH_EVERY <= unix_now());
        let Some((name, record)) = due.min_by_key(|(_, record)| record.looked) else { return };
        if self.watching.asks.swap(true, Ordering::Relaxed) {
            return;
        }
        let me = self.me.clone();
        let begun = std::thread::Builder::new().name("shoal-watch".into()).spawn(move || {
            let Some(node) = me.upgrade() else { return };
            node.look_for_saved(&name, &record);
            node.watching.asks.store(false, Ordering::Relaxed);
        });
        if let Err(error) = begun {
            tracing::warn!(%error, "a saved search cannot be asked now");
            self.watching.asks.store(false, Ordering::Relaxed);
        }
    }

    fn look_for_saved(&self, name: &str, record: &SavedRecord) {
        let query = SearchQuery { words: record.words.clone(), limit: LIMIT };
        let found = self.search(&query, &mut |_| {
            if self.is_ending() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        let Ok((results, _)) = found else { return };
        match self.change_saved(name, |record| record.find(&results, unix_now())) {
            Ok(0) => {}
            Ok(new) => {
                self.notice("info", format!("{new} new for the search “{name}”"), None);
                self.tell_searches();
            }
            Err(error) => tracing::debug!(%name, %error, "what a saved search found is not kept"),
        }
    }
}
