//! A servent of Gnutella, live, on a thread of its own: it shares what the library shares, keeps the
//! addresses that it hears of, and answers searches of the node.

mod fetcher;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use codec::hex::Hex;
use net::dht::resolve;
use net::gnutella::{Config, From, Mode, Node, Picture, Role, Sha1, SharedFile, TigerRoot};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::picture::{Edge, Standing, Swarm, SwarmNode};
use super::shares::{self, Shared, Shares};
use super::{NetworkError, lock};
use crate::library::Library;
use crate::search::{ContentId, Finder, Hit, SearchQuery};

/// What the network is called in addresses and settings.
pub(crate) const NAME: &str = "gnutella";
/// Between two times that the addresses it knows are written down, and that it joins while alone.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Addresses of one run that the next begins with.
const KEPT_MAX: usize = 200;
/// How long answers to a search are waited for.
const ANSWERS: Duration = Duration::from_secs(9);
/// How long after one answer the next is waited for.
const QUIET: Duration = Duration::from_secs(4);
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// What a servent is told.
#[derive(Clone, Debug)]
pub(crate) struct GnutellaWish {
    /// Where it listens; `None` for a free port of the address that leads to the others.
    pub(crate) listen: Option<SocketAddr>,
    /// Servents to begin with, as `HOST:PORT`.
    pub(crate) known: Vec<String>,
    /// What it is.
    pub(crate) mode: Mode,
    /// Whether others cannot connect to it.
    pub(crate) firewalled: bool,
    /// Where the addresses that it knows are kept.
    pub(crate) hosts: PathBuf,
    /// What it shares.
    pub(crate) library: Weak<Library>,
}

/// A servent that runs. Searches and fetches under way keep it for a moment longer.
#[derive(Debug)]
struct Running {
    handle: Handle,
    node: Node,
    hosts: PathBuf,
    _stop: oneshot::Sender<()>,
    /// Tells the thread that shares the library.
    _ends: Sender<()>,
}

/// The servent of a node, if there is one; a clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gnutella(Arc<Mutex<Option<Arc<Running>>>>);

impl Gnutella {
    fn running(&self) -> Option<Arc<Running>> {
        lock(&self.0).clone()
    }

    /// Starts a servent, which goes on looking for others until it is told to leave.
    pub(crate) fn join(&self, wish: GnutellaWish) -> Result<(), NetworkError> {
        let mut place = lock(&self.0);
        if place.is_some() {
            return Err(NetworkError::Joined);
        }
        let failed = |address| move |source| NetworkError::Listen { address, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed(loopback()))?;
        let mut known = Vec::new();
        for name in &wish.known {
            known.extend(runtime.block_on(resolve(name))?);
        }
        let kept = std::fs::read_to_string(&wish.hosts).unwrap_or_default();
        known
            .extend(kept.lines().take(KEPT_MAX).filter_map(|line| line.parse::<SocketAddr>().ok()));
        let port = wish.listen.map_or(0, |listen| listen.port());
        let listen = match (wish.listen, known.first()) {
            // Others are told this address: it must be one.
            (Some(listen), _) if !listen.ip().is_unspecified() => listen,
            (_, Some(&first)) => SocketAddr::new(runtime.block_on(super::towards(first))?, port),
            (_, None) => SocketAddr::new(loopback().ip(), port),
        };
        let config = Config { firewalled: wish.firewalled, ..Config::new(listen, wish.mode) };
        let entered = runtime.enter();
        let node = Node::start(config).map_err(failed(listen))?;
        drop(entered);
        known.retain(|known| *known != node.address());
        runtime.spawn(stay(node.clone(), known, wish.hosts.clone()));
        let (handle, (stop, stopped)) = (runtime.handle().clone(), oneshot::channel());
        let (ends, ended) = channel();
        let running = Running { handle, node, hosts: wish.hosts, _stop: stop, _ends: ends };
        let running = Arc::new(running);
        shares::share(Arc::downgrade(&running), wish.library, ended).map_err(failed(listen))?;
        let run = move || {
            // It is stopped by the end of the last handle.
            let _ = runtime.block_on(stopped);
        };
        let thread = std::thread::Builder::new().name("shoal-gnutella".into()).spawn(run);
        thread.map_err(failed(listen))?;
        *place = Some(running);
        Ok(())
    }

    /// Says goodbye to all neighbours, and ends.
    pub(crate) fn leave(&self) {
        let Some(running) = lock(&self.0).take() else { return };
        running.handle.block_on(async {
            write_hosts(&running.node, &running.hosts).await;
            running.node.leave().await;
            let gone = async {
                while running.node.look().await.is_some_and(|now| !now.neighbours.is_empty()) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            // Whoever does not hear of it notices.
            let _ = tokio::time::timeout(FAREWELL, gone).await;
        });
    }

    pub(crate) fn is_running(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// Where it is and how it stands.
    pub(crate) fn look(&self) -> Option<(SocketAddr, Picture)> {
        let running = self.running()?;
        let picture = running.handle.block_on(running.node.look())?;
        Some((running.node.address(), picture))
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.look() {
            None => Standing::Off,
            Some((_, picture)) if picture.neighbours.is_empty() => Standing::Starting,
            Some(_) => Standing::Up,
        }
    }
}

/// A role in a word.
pub(crate) const fn label(role: Role) -> &'static str {
    match role {
        Role::Leaf => "leaf",
        Role::Ultrapeer => "ultrapeer",
    }
}

/// Its neighbours, to be drawn.
pub(crate) fn drawn(picture: &Picture) -> Swarm {
    let me = SwarmNode {
        id: "me".to_owned(),
        label: label(picture.role).to_owned(),
        ..SwarmNode::default()
    };
    let mut swarm = Swarm { nodes: vec![me], edges: Vec::new() };
    for (address, role) in &picture.neighbours {
        let id = address.to_string();
        swarm.edges.push(Edge { from: "me".to_owned(), to: id.clone(), rate: 0, bytes: 0 });
        swarm.nodes.push(SwarmNode { label: label(*role).to_owned(), id, ..SwarmNode::default() });
    }
    swarm
}

fn loopback() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
}

/// Joins, again and again as long as there is nobody, and keeps the addresses that are known.
async fn stay(node: Node, known: Vec<SocketAddr>, hosts: PathBuf) {
    loop {
        if node.look().await.is_some_and(|now| now.neighbours.is_empty()) {
            for cache in &known {
                node.ask_for_hosts(*cache).await;
            }
            node.join(&known).await;
        }
        tokio::time::sleep(SAVE_EVERY).await;
        write_hosts(&node, &hosts).await;
    }
}

/// Writes down whom it knows, for the next start.
async fn write_hosts(node: &Node, path: &std::path::Path) {
    let Some(picture) = node.look().await.filter(|picture| !picture.hosts.is_empty()) else {
        return;
    };
    let new = path.with_extension("new");
    // At most a thousand short lines.
    let written = std::fs::write(&new, picture.hosts).and_then(|()| std::fs::rename(&new, path));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "the addresses of Gnutella are not kept");
    }
}

impl Shares for Running {
    fn publish(&self, file: &Shared) -> Result<(), String> {
        let told = SharedFile {
            name: file.name.clone(),
            len: file.length,
            sha1: Sha1(file.sha1),
            tree: file.tiger.map(TigerRoot),
        };
        let published = self.handle.block_on(self.node.publish_known(&file.path, told));
        published.map_err(|error| error.to_string())
    }

    fn withdraw(&self, file: &Shared) {
        self.handle.block_on(self.node.unpublish(Sha1(file.sha1)));
    }
}

impl Finder for Gnutella {
    fn network(&self) -> &'static str {
        NAME
    }

    fn find(
        &self,
        query: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        // Without it there is nothing to ask.
        let Some(running) = self.running() else { return Ok(()) };
        let words = query.plain_words();
        if !words.is_empty() {
            running.ask(&words, None, tell);
        }
        Ok(())
    }

    fn locate(
        &self,
        content: &ContentId,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let sha1 = content.sha1.as_deref().and_then(codec::hex::decode).map(Sha1);
        if let (Some(running), Some(sha1)) = (self.running(), sha1) {
            running.ask("", Some(sha1), tell);
        }
        Ok(())
    }
}

impl Running {
    /// Asks by words, by hash or both, and tells of what comes.
    fn ask(&self, words: &str, sha1: Option<Sha1>, tell: &mut dyn FnMut(Hit) -> ControlFlow<()>) {
        self.handle.block_on(async {
            let mut search = self.node.search(words, sha1).await;
            let until = Instant::now() + ANSWERS;
            let mut next_until = until;
            while let Ok(Some(found)) = timeout_at(next_until.min(until), search.next()).await {
                next_until = Instant::now() + QUIET;
                let mime = crate::mime::of_name(&found.name).to_owned();
                let hit = Hit {
                    length: found.len,
                    mime: Some(mime),
                    id: From::of(&found).to_string(),
                    sources: 1 + found.alternates.len() as u64,
                    content: ContentId {
                        sha1: found.sha1.map(|sha1| Hex(&sha1.0).to_string()),
                        tth: found.tree.map(|tree| codec::base32::encode(&tree.0)),
                        ..ContentId::default()
                    },
                    name: found.name,
                };
                if tell(hit).is_break() {
                    break;
                }
            }
        });
    }
}
