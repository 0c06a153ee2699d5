//! Nodes in folders of their own, for tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod http;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use node::view::{State, Transfer};
use node::{Event, Layers, Node, PublishOptions};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with all that a node has.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Self { folder };
        std::fs::create_dir(home.path("shared")).expect("made");
        let root = home.path("");
        let text = format!(
            "[node]\nstate_dir = {state:?}\n\
             [network]\nlisten = [\"127.0.0.1:0\"]\nlsd = false\ndht = false\n\
             [transfers]\ndownload_dir = {downloads:?}\npublish_roots = [{root:?}]\n",
            state = home.path("state"),
            downloads = home.downloads(),
        );
        std::fs::write(home.path("config.toml"), text).expect("written");
        home
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let root = self.folder.path().canonicalize().expect("real");
        if name.is_empty() { root } else { root.join(name) }
    }

    pub fn downloads(&self) -> PathBuf {
        self.path("downloads")
    }

    pub fn layers(&self) -> Layers {
        Layers::load(Some(&self.path("config.toml")), []).expect("good")
    }

    pub fn start(&self) -> Arc<Node> {
        Node::start(self.layers(), None).expect("starts")
    }

    /// Makes files of random bytes in a folder, and returns what is in them.
    pub fn make_files(&self, folder: &str, files: &[(&str, usize)]) -> Vec<(String, Vec<u8>)> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut made = Vec::new();
        for (name, len) in files {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .take(*len)
            .collect();
            let path = self.path(folder).join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(&path, &bytes).expect("written");
            made.push(((*name).to_owned(), bytes));
        }
        made
    }
}

/// Waits until a transfer is as `wanted` says.
pub fn await_that(node: &Node, id: &str, wanted: impl Fn(&Transfer) -> bool) -> Transfer {
    let deadline = Instant::now() + PATIENCE;
    let mut events = node.subscribe();
    loop {
        let transfer = node.get(id).expect("there");
        if wanted(&transfer) {
            return transfer;
        }
        assert!(Instant::now() < deadline, "stuck: {transfer:#?}");
        // Anything that happens is a reason to look; a status comes every few seconds.
        let _ = events.blocking_recv();
    }
}

pub fn await_state(node: &Node, id: &str, state: State) -> Transfer {
    await_that(node, id, |transfer| transfer.state == state)
}

/// Publishes a path, and returns the transfer's id once it is offered.
pub fn publish(node: &Arc<Node>, path: &Path) -> String {
    publish_as(node, path, PublishOptions::default())
}

/// The same, as `options` say.
pub fn publish_as(node: &Arc<Node>, path: &Path, options: PublishOptions) -> String {
    let mut events = node.subscribe();
    let provisional = node.publish_path(path, options).expect("begins");
    assert_eq!(provisional.state, State::Hashing);
    let id = loop {
        if let Ok(Event::Notice(notice)) = events.blocking_recv() {
            break notice.transfer.clone().unwrap_or_else(|| panic!("{}", notice.message));
        }
    };
    await_state(node, &id, State::Seeding);
    // Whoever was told the provisional id still finds it.
    assert_eq!(node.get(&provisional.id).expect("there").id, id);
    id
}

/// Searches again and again: what is shared takes a while to be known.
pub fn find_in(node: &Node, network: &str, words: &str) -> node::SearchResult {
    let query = node::SearchQuery { words: words.to_owned(), limit: 10 };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut found = None;
        let asked = node.search(&query, &mut |told| match told {
            node::Told::Result(_, result) if result.network == network => {
                found = Some(result.clone());
                std::ops::ControlFlow::Break(())
            }
            _ => std::ops::ControlFlow::Continue(()),
        });
        asked.expect("it runs");
        if let Some(found) = found {
            return found;
        }
        assert!(Instant::now() < deadline, "nobody has {words}");
    }
}

/// A magnet link to a transfer of `node`, with its address.
pub fn magnet_to(node: &Node, id: &str) -> String {
    let link = node.get(id).expect("there").magnet.expect("a link");
    format!("{link}&x.pe={}", node.addresses()[0])
}

/// A node with its API, and a client that has the token.
pub struct Served {
    pub home: Home,
    pub node: Arc<Node>,
    pub api: Option<node::api::Api>,
    /// Without a login.
    pub stranger: http::Client,
    /// With the token.
    pub client: http::Client,
}

impl Served {
    pub fn new() -> Self {
        Self::start(Home::new())
    }

    pub fn start(home: Home) -> Self {
        let log = node::LogBuffer::new();
        let node = Node::start(home.layers(), Some(log)).expect("starts");
        let listen = node::api::Listen::parse("127.0.0.1:0").expect("a place");
        let api = node::api::Api::start(node.clone(), listen).expect("listens");
        let stranger = http::Client::new(api.address().expect("TCP"));
        let token = std::fs::read_to_string(home.path("state/api-token")).expect("a token");
        let client = stranger.with("Authorization", &format!("Bearer {}", token.trim()));
        Self { home, node, api: Some(api), stranger, client }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.api.take());
        self.node.shutdown();
    }
}
