//! What a search finds in a network without torrents, and that network brings.

mod common;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use common::{Home, Served, await_state, await_that};
use node::view::State;
use node::{
    Brought, ContentId, Fetcher, Finder, Found, Hit, Node, NodeError, SearchQuery, SearchResult,
    Wanted,
};
use serde_json::json;

/// A network with one file, which comes once it is let go.
#[derive(Default)]
struct Slow {
    open: Mutex<bool>,
    opened: Condvar,
    broken: AtomicBool,
}

impl Slow {
    fn open(&self) {
        *self.open.lock().expect("not poisoned") = true;
        self.opened.notify_all();
    }
}

const CONTENT: &[u8] = b"what was found";

impl Finder for Slow {
    fn network(&self) -> &'static str {
        "slow"
    }

    fn find(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        assert_eq!(query.words, "film");
        let _ = tell(Hit {
            name: "../film.mp4".to_owned(),
            length: CONTENT.len() as u64,
            mime: None,
            id: "host one/17".to_owned(),
            sources: 1,
            content: ContentId::default(),
        });
        Ok(())
    }
}

impl Fetcher for Slow {
    fn network(&self) -> &'static str {
        "slow"
    }

    fn fetch(
        &self,
        wanted: &Wanted,
        to: &Path,
        tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<(), String> {
        assert_eq!(wanted.ids, ["host one/17"]);
        if self.broken.load(Ordering::Relaxed) {
            return Err("host one is away".to_owned());
        }
        std::fs::write(to.with_extension("part"), &CONTENT[..4]).map_err(|why| why.to_string())?;
        let mut open = self.open.lock().expect("not poisoned");
        while !*open {
            if tell(Brought { have: 4, sources: 1 }).is_break() {
                return Ok(());
            }
            let wait = std::time::Duration::from_millis(20);
            open = self.opened.wait_timeout(open, wait).expect("not poisoned").0;
        }
        std::fs::write(to, CONTENT).map_err(|why| why.to_string())
    }
}

fn plug_in(node: &Node) -> Arc<Slow> {
    let slow = Arc::new(Slow::default());
    node.add_finder(slow.clone());
    node.add_fetcher(slow.clone());
    slow
}

fn find(node: &Node) -> SearchResult {
    let query = SearchQuery { words: "film".to_owned(), limit: 10 };
    let (results, asked) =
        node.search(&query, &mut |_| ControlFlow::Continue(())).expect("searches");
    assert!(asked.iter().any(|asked| asked.name == "slow" && asked.state == "done"), "{asked:?}");
    results.into_iter().find(|result| result.network == "slow").expect("found")
}

#[test]
fn what_is_found_is_fetched_paused_and_taken_up_after_a_restart() {
    let home = Home::new();
    let node = home.start();
    plug_in(&node);
    let found = find(&node);
    let begun = node.fetch_found(&found, None).expect("begins");
    assert_eq!(begun.network.as_deref(), Some("slow"));
    let twice = node.fetch_found(&found, None);
    assert!(matches!(&twice, Err(NodeError::Duplicate(id)) if *id == begun.id), "{twice:?}");
    await_that(&node, &begun.id, |transfer| transfer.progress.bytes_have == 4);
    assert!(matches!(node.verify(&begun.id), Err(NodeError::Conflict(_))));
    assert_eq!(node.pause(&begun.id).expect("pauses").state, State::Paused);
    assert_eq!(node.resume(&begun.id).expect("resumes").state, State::Downloading);
    node.shutdown();
    drop(node);

    let node = home.start();
    // Nobody brings it until the network is there.
    await_that(&node, &begun.id, |transfer| transfer.progress.error.is_some());
    let slow = plug_in(&node);
    slow.open();
    node.resume(&begun.id).expect("is tried again at once");
    let done = await_state(&node, &begun.id, State::Finished);
    let path = home.downloads().join(done.name.expect("a name"));
    assert_eq!(path.parent(), Some(&*home.downloads()));
    assert_eq!(std::fs::read(&path).expect("there"), CONTENT);
    assert_eq!(std::fs::read_dir(home.downloads()).expect("there").count(), 1);
    // A second of the same name gets another.
    let other = SearchResult { length: 15, ..found };
    let second = node.fetch_found(&other, None).expect("begins");
    let second = await_state(&node, &second.id, State::Finished);
    assert_ne!(home.downloads().join(second.name.expect("a name")), path);
    node.remove(&begun.id, true).expect("removed");
    node.remove(&second.id, false).expect("removed");
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(home.downloads()).expect("there").count(), 1);
    assert!(node.transfers().is_empty());
    node.shutdown();
}

#[test]
fn what_goes_wrong_is_said_and_what_nobody_brings_is_refused() {
    let served = Served::new();
    let slow = plug_in(&served.node);
    slow.broken.store(true, Ordering::Relaxed);
    let found = find(&served.node);
    let body = json!({"result": found});
    let begun = served.client.json("POST", "/api/v1/search/fetch", &body);
    assert_eq!(begun.status, 201, "{}", begun.json());
    let id = begun.json()["id"].as_str().expect("an id").to_owned();
    let failed = await_state(&served.node, &id, State::Failed);
    assert_eq!(failed.progress.error.as_deref(), Some("host one is away"));
    let elsewhere = |network: &str| {
        let place = Found { network: network.to_owned(), id: "1".to_owned(), sources: 1 };
        SearchResult { found: vec![place], ..found.clone() }
    };
    for (result, dir, status) in [
        (elsewhere("nowhere"), None, 409),
        (elsewhere("library"), None, 409),
        (found.clone(), None, 409),
        (found.clone(), Some("/etc"), 403),
    ] {
        let body = json!({"result": result, "dir": dir});
        let answer = served.client.json("POST", "/api/v1/search/fetch", &body);
        assert_eq!(answer.status, status, "{}", answer.json());
    }
    let bad = served.client.json("POST", "/api/v1/search/fetch", &json!({"result": {}}));
    assert_eq!(bad.status, 400);
    assert_eq!(served.client.get(&format!("/api/v1/transfers/{id}/files")).status, 409);
    let infohash = ContentId { infohash_v1: Some("ab".repeat(20)), ..ContentId::default() };
    let torrent = SearchResult { content: infohash, ..elsewhere("nowhere") };
    let fetched = served.node.fetch_found(&torrent, None).expect("by its infohash");
    assert_eq!(fetched.id, "ab".repeat(20));
}

/// A network that brings everything at the second try.
struct Swift {
    broken: AtomicBool,
}

impl Fetcher for Swift {
    fn network(&self) -> &'static str {
        "swift"
    }

    fn fetch(
        &self,
        wanted: &Wanted,
        to: &Path,
        _: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<(), String> {
        assert_eq!(wanted.ids, ["a", "b"]);
        if self.broken.swap(false, Ordering::Relaxed) {
            return Err("not yet".to_owned());
        }
        std::fs::write(to, CONTENT).map_err(|why| why.to_string())
    }
}

#[test]
fn what_one_network_cannot_bring_the_next_does() {
    let home = Home::new();
    let node = home.start();
    plug_in(&node).broken.store(true, Ordering::Relaxed);
    let place = |network: &str, id: &str| Found {
        network: network.to_owned(),
        id: id.to_owned(),
        sources: 1,
    };
    let content = ContentId { sha1: Some("ab".repeat(20)), ..ContentId::default() };
    let found = SearchResult {
        found: vec![place("swift", "a"), place("slow", "host one/17"), place("swift", "b")],
        content: content.clone(),
        ..find(&node)
    };
    let begun = node.fetch_found(&found, None).expect("begins");
    let failed = await_state(&node, &begun.id, State::Failed);
    assert_eq!(failed.progress.error.as_deref(), Some("host one is away"));
    node.remove(&begun.id, true).expect("removed");
    // Of two that bring it, the one with most places is asked first; this one has one more.
    node.add_fetcher(Arc::new(Swift { broken: AtomicBool::new(true) }));
    let begun = node.fetch_found(&found, None).expect("begins");
    let failed = await_state(&node, &begun.id, State::Failed);
    assert_eq!(failed.progress.error.as_deref(), Some("not yet; host one is away"));
    node.resume(&begun.id).expect("is tried again at once");
    await_state(&node, &begun.id, State::Finished);
    // What was fetched is known by its content.
    let query = SearchQuery { words: "film network:transfers".to_owned(), limit: 10 };
    let (results, _) = node.search(&query, &mut |_| ControlFlow::Continue(())).expect("searches");
    assert_eq!(results[0].content, content);
    node.shutdown();
}
