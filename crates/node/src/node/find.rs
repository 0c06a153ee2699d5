//! What the node itself can be asked: its library and its transfers.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Node, NodeError};
use crate::library::{FileQuery, Library, LibraryFile};
use crate::search::{
    self, Asked, ContentId, Finder, Hit, RESULTS_MAX, SearchQuery, SearchResult, Told,
};
use crate::view::Transfer;

/// How long others are looked for who have a content, once somebody has it.
const LOCATE_MORE: Duration = Duration::from_secs(1);

impl Node {
    /// Asks everything that can be asked; `tell` hears of what comes. Results that name the same
    /// content are one.
    ///
    /// # Errors
    /// When the node has ended.
    pub fn search(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Told<'_>) -> ControlFlow<()>,
    ) -> Result<(Vec<SearchResult>, Vec<Asked>), NodeError> {
        Ok(search::search(&self.finders()?, query, tell))
    }

    /// Asks every network that can be asked by content who has it; `None` if nobody says so while
    /// they are waited for.
    ///
    /// # Errors
    /// When the node has ended.
    pub fn locate(&self, content: &ContentId) -> Result<Option<SearchResult>, NodeError> {
        let mut first = None;
        let finders = self.finders()?;
        if let Some(hit) = finders.iter().find_map(|finder| finder.recognise(content)) {
            let why = format!("it is in your library already: {}", hit.name);
            return Err(NodeError::Conflict(why));
        }
        let mut found = search::locate(&finders, content, &mut |told| {
            let Told::Result(..) = told else { return ControlFlow::Continue(()) };
            // Others who have it are told of by the network that brings it.
            let began = *first.get_or_insert_with(Instant::now);
            if began.elapsed() < LOCATE_MORE {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        found.retain(|result| result.content.shares(content));
        Ok(found.into_iter().max_by_key(|result| result.sources))
    }

    /// Lets searches ask a network, too.
    pub fn add_finder(&self, finder: Arc<dyn Finder>) {
        super::lock(&self.finders).push(finder);
    }

    fn own_transfers(&self) -> Transfers {
        let mut fetched = self.contents_of_fetches();
        let mut with_content = |transfer: Transfer| {
            let torrent = || ContentId {
                infohash_v1: transfer.infohash_v1.clone(),
                infohash_v2: transfer.infohash_v2.clone(),
                ..ContentId::default()
            };
            let content = fetched.remove(&transfer.id).unwrap_or_else(torrent);
            (transfer, content)
        };
        Transfers(self.transfers().into_iter().map(&mut with_content).collect())
    }

    /// Everything that can be asked now.
    fn finders(&self) -> Result<Vec<Arc<dyn Finder>>, NodeError> {
        let own: [Arc<dyn Finder>; 2] = [self.library()?, Arc::new(self.own_transfers())];
        let others = super::lock(&self.finders).clone();
        let mut finders: Vec<_> = own.into_iter().chain(others).collect();
        let networks = self.networks.files.iter().filter(|network| network.is_running());
        finders.extend(networks.map(|network| network.clone() as Arc<dyn Finder>));
        Ok(finders)
    }
}

impl Finder for Library {
    fn network(&self) -> &'static str {
        "library"
    }

    fn find(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let limit = Some(query.limit.min(RESULTS_MAX));
        let query = FileQuery { words: query.words.clone(), limit, ..FileQuery::default() };
        let found = self.files(&query).map_err(|error| error.to_string())?;
        let _ = found.files.into_iter().map(Hit::from).try_for_each(tell);
        Ok(())
    }

    fn recognise(&self, content: &ContentId) -> Option<Hit> {
        let sha1 = content.sha1.as_deref().and_then(codec::hex::decode);
        let sha256 = content.sha256.as_deref().and_then(codec::hex::decode);
        if sha1.is_none() && sha256.is_none() {
            return None;
        }
        // A library that cannot be read says so when it is searched.
        self.with_content(sha1, sha256).ok().flatten().map(Hit::from)
    }
}

impl From<LibraryFile> for Hit {
    fn from(file: LibraryFile) -> Self {
        Self {
            name: file.name,
            length: file.length,
            mime: Some(file.mime),
            id: file.id.to_string(),
            sources: 1,
            content: ContentId {
                sha1: file.sha1,
                sha256: file.sha256,
                tth: file.tth,
                infohash_v1: file.infohash_v1,
                infohash_v2: file.infohash_v2,
            },
        }
    }
}

/// Transfers, by their names, and what each is.
struct Transfers(Vec<(Transfer, ContentId)>);

impl Finder for Transfers {
    fn network(&self) -> &'static str {
        "transfers"
    }

    fn find(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let words = query.plain_words().to_lowercase();
        let words: Vec<&str> = words.split_whitespace().collect();
        let hits = self.0.iter().filter_map(|(transfer, content)| {
            let name = transfer.name.clone()?;
            let plain = name.to_lowercase();
            words.iter().all(|word| plain.contains(word)).then(|| Hit {
                mime: (transfer.files == 1).then(|| crate::mime::of_name(&name).to_owned()),
                name,
                length: transfer.bytes_total,
                id: transfer.id.clone(),
                sources: u64::from(transfer.progress.bytes_have == transfer.bytes_total)
                    + transfer.peers_connected as u64,
                content: content.clone(),
            })
        });
        let _ = hits.into_iter().try_for_each(tell);
        Ok(())
    }
}
