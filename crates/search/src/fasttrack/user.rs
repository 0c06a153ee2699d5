//! What a node does for its user, whatever it is in the network: the files it shares, and the
//! searches that run.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use machine::{Contact, Cx, Instant, OpId};

use super::config::{FILES_PER_LEAF, Fault, HITS_PER_SEARCH, SEARCHES_MAX};
use super::file::{File, Hit, WORDS_MAX, cut};
use super::identity::Identity;
use super::{Event, FastTrack, Message, Role, Timer};

/// A search that runs.
#[derive(Clone, Debug)]
struct Search<C> {
    op: OpId,
    number: u32,
    words: Arc<str>,
    until: Instant,
    /// What has been told, by file and source.
    told: BTreeSet<(u64, C)>,
}

#[derive(Clone, Debug)]
pub(super) struct User<C> {
    pub(super) library: Vec<Arc<File>>,
    /// Over the library.
    pub(super) digest: u64,
    searches: Vec<Search<C>>,
    /// The number of the next search.
    next: u32,
}

impl<C> Default for User<C> {
    fn default() -> Self {
        Self { library: Vec::new(), digest: 0, searches: Vec::new(), next: 0 }
    }
}

impl<C> User<C> {
    pub(super) fn set_library(&mut self, mut files: Vec<Arc<File>>) {
        files.truncate(FILES_PER_LEAF);
        files.shrink_to_fit();
        self.digest = digest(&files);
        self.library = files;
    }

    pub(super) fn memory(&self) -> usize {
        self.library.capacity() * size_of::<Arc<File>>()
            + self.searches.capacity() * size_of::<Search<C>>()
    }
}

/// What files sum up to, in whatever order.
pub(super) fn digest<'a>(files: impl IntoIterator<Item = &'a Arc<File>>) -> u64 {
    files.into_iter().fold(0, |sum, file| sum.wrapping_add(file.digest()))
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    pub(super) fn share(&mut self, files: Vec<Arc<File>>, cx: &mut Cx<'_, Self>) {
        self.user.set_library(files);
        match &self.role {
            Role::Leaf(_) => self.publish(cx),
            Role::Supernode(_) => self.share_here(),
            Role::Out | Role::Seeking(_) => {}
        }
    }

    pub(super) fn search(&mut self, op: OpId, words: &Arc<str>, cx: &mut Cx<'_, Self>) {
        if self.user.searches.len() >= SEARCHES_MAX {
            cx.answer(op, Event::Refused);
            return;
        }
        let number = self.user.next;
        self.user.next = number.wrapping_add(1);
        let words = match words.len() {
            ..=WORDS_MAX => words.clone(),
            _ => cut(words, WORDS_MAX).into(),
        };
        let until = cx.now() + self.config.search_for;
        let told = BTreeSet::new();
        self.user.searches.push(Search { op, number, words: words.clone(), until, told });
        self.ask(number, words, cx);
        cx.set_timer(self.config.search_again.min(self.config.search_for), Timer::Search(number));
    }

    pub(super) fn cancel(&mut self, op: OpId, cx: &mut Cx<'_, Self>) {
        let count = self.user.searches.len();
        self.user.searches.retain(|search| search.op != op);
        if self.user.searches.len() < count {
            cx.answer(op, Event::Ended);
        }
    }

    pub(super) fn end_searches(&mut self, cx: &mut Cx<'_, Self>) {
        for search in core::mem::take(&mut self.user.searches) {
            cx.answer(search.op, Event::Ended);
        }
    }

    /// Asks whoever can be asked now; else it waits for a supernode.
    fn ask(&mut self, number: u32, words: Arc<str>, cx: &mut Cx<'_, Self>) {
        match &self.role {
            Role::Leaf(leaf) => {
                let session = leaf.session;
                cx.send(leaf.supernode, Message::Search { session, search: number, words });
            }
            Role::Supernode(_) => self.flood_own(number, &words, cx),
            Role::Out | Role::Seeking(_) => {}
        }
    }

    /// Asks everything again that is not over, at a new supernode.
    pub(super) fn ask_again(&mut self, cx: &mut Cx<'_, Self>) {
        if self.config.has(Fault::ForgetSearches) {
            self.end_searches(cx);
            return;
        }
        let open: Vec<_> =
            self.user.searches.iter().map(|search| (search.number, search.words.clone())).collect();
        open.into_iter().for_each(|(number, words)| self.ask(number, words, cx));
    }

    pub(super) fn on_search_timer(&mut self, number: u32, cx: &mut Cx<'_, Self>) {
        let searches = &mut self.user.searches;
        let Some(at) = searches.iter().position(|search| search.number == number) else { return };
        let left = searches[at].until - cx.now();
        if left.is_zero() {
            let search = searches.swap_remove(at);
            if searches.is_empty() {
                *searches = Vec::new();
            }
            cx.answer(search.op, Event::Ended);
            return;
        }
        let words = searches[at].words.clone();
        self.ask(number, words, cx);
        cx.set_timer(self.config.search_again.min(left), Timer::Search(number));
    }

    /// Tells the user what is new of `hits`.
    pub(super) fn tell(&mut self, number: u32, hits: &[Hit<C>], cx: &mut Cx<'_, Self>) {
        let mut open = self.user.searches.iter_mut();
        let Some(search) = open.find(|search| search.number == number) else { return };
        let mut new = Vec::new();
        for hit in hits {
            if search.told.len() < HITS_PER_SEARCH
                && hit.source != self.me
                && search.told.insert((hit.file.digest(), hit.source))
            {
                new.push(hit.clone());
            }
        }
        if !new.is_empty() {
            cx.answer(search.op, Event::Found { hits: new });
        }
    }
}
