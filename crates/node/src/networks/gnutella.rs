//! A servent of Gnutella, live, on a thread of its own: it shares what the library shares, keeps the
//! addresses that it hears of, and answers searches of the node.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use codec::hex::Hex;
use net::download::{Download, FetchError, Tree, Want};
use net::gnutella::{
    Config, Found, From, InfoHash, Node, Picture, Role, Sha1, SharedFile, TigerRoot,
};
use serde_json::json;

use super::NetworkError;
use super::answers::gather;
use super::by_hash::ByHash;
use super::files::{FileNetwork, Joining, Remembered, remember};
use super::picture::{self, Edge, Network, Pictured, Standing, Swarm, SwarmNode, Verb};
use super::running::{self, Place, Running};
use super::shares::{Shared, Shares};
use crate::fetch::{Contributor, Fetcher};
use crate::search::{ContentId, Finder, Hit, SearchQuery};

/// What the network is called in addresses and settings.
const NAME: &str = "gnutella";
/// Where the addresses that it knows are kept, in the state folder.
const HOSTS: &str = "gnutella-hosts";
/// Where places in the queue for its uploads are kept.
const QUEUE: &str = "gnutella-queue";
/// Between two times that both are written down, and that it joins while alone.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A servent that runs.
pub(super) struct Servent {
    node: Node,
    kept: Kept,
}

/// Files in which something is kept for the next start.
#[derive(Clone)]
struct Kept {
    hosts: PathBuf,
    queue: PathBuf,
}

/// The servent of a node, if there is one; a clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Gnutella(Place<Servent>);

impl FileNetwork for Gnutella {
    fn join(&self, joining: Joining) -> Result<Remembered, NetworkError> {
        let Joining { config, peers, listen, holdings } = joining;
        let named = (!peers.is_empty()).then(|| json!(peers));
        let kept = remember(NAME, listen, ("bootstrap", named));
        let settings = config.gnutella;
        let listen = listen.or(settings.address());
        let names = if peers.is_empty() { settings.bootstrap } else { peers };
        let state = &config.node.state_dir;
        let kept_at = Kept { hosts: state.join(HOSTS), queue: state.join(QUEUE) };
        self.0.start(NAME, holdings, async move || {
            let mut known = running::known(&names, &kept_at.hosts).await?;
            let listen = running::address(listen, &known).await?;
            let config = Config {
                firewalled: settings.firewalled,
                waiting: running::kept(&kept_at.queue),
                ..Config::new(listen, settings.role.into())
            };
            let failed = |source| NetworkError::Listen { address: listen, source };
            let node = Node::start(config).map_err(failed)?;
            known.retain(|known| *known != node.address());
            tokio::spawn(stay(node.clone(), known, kept_at.clone()));
            Ok(Servent { node, kept: kept_at })
        })?;
        Ok(kept)
    }

    fn leave(&self) {
        let Some(running) = self.0.take() else { return };
        running.wait(async {
            running.kept.write(&running.node).await;
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

    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    fn is_wanted(&self, config: &crate::config::Config) -> bool {
        config.gnutella.join
    }

    fn standing(&self) -> Standing {
        standing(self.picture().map(|(_, picture)| picture).as_ref())
    }

    fn look(&self) -> Pictured {
        let (address, picture) = self.picture().unzip();
        let counters = picture.as_ref().map(|picture| picture.counters).unwrap_or_default();
        let network = Network {
            name: NAME,
            title: "Gnutella".to_owned(),
            state: standing(picture.as_ref()),
            error: None,
            addresses: address.into_iter().collect(),
            peers: picture.as_ref().map_or(0, |picture| picture.neighbours.len()),
            verbs: Verb::OF_FILES.to_vec(),
            can_join: picture.is_none(),
            can_leave: picture.is_some(),
            detail: json!({
                "role": picture.as_ref().map(|picture| label(picture.role)),
                "hosts": picture.as_ref().map_or(0, |picture| picture.hosts_known),
                "shared": picture.as_ref().map_or(0, |picture| picture.shared),
                "given": picture.as_ref().map_or(0, |picture| picture.given),
                "queries": counters.queries,
                "queries_sent": counters.queries_sent,
                "hits_routed": counters.hits_routed,
            }),
        };
        let drawn = picture.as_ref().map(drawn);
        Pictured { network, picture: drawn.map_or(picture::Picture::None, picture::Picture::Swarm) }
    }
}

impl Gnutella {
    /// Where it is and how it stands.
    fn picture(&self) -> Option<(SocketAddr, Picture)> {
        let running = self.0.running()?;
        let picture = running.wait(running.node.look())?;
        Some((running.node.address(), picture))
    }
}

fn standing(picture: Option<&Picture>) -> Standing {
    match picture {
        None => Standing::Off,
        Some(picture) if picture.neighbours.is_empty() => Standing::Starting,
        Some(_) => Standing::Up,
    }
}

/// A role in a word.
const fn label(role: Role) -> &'static str {
    match role {
        Role::Leaf => "leaf",
        Role::Ultrapeer => "ultrapeer",
    }
}

/// Its neighbours, to be drawn.
fn drawn(picture: &Picture) -> Swarm {
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

/// Joins, again and again as long as there is nobody, and keeps what it knows.
async fn stay(node: Node, known: Vec<SocketAddr>, kept: Kept) {
    loop {
        if node.look().await.is_some_and(|now| now.neighbours.is_empty()) {
            for cache in &known {
                node.ask_for_hosts(*cache).await;
            }
            node.join(&known).await;
        }
        tokio::time::sleep(SAVE_EVERY).await;
        kept.write(&node).await;
    }
}

impl Kept {
    /// Writes down whom it knows and who waits, for the next start.
    async fn write(&self, node: &Node) {
        if let Some(picture) = node.look().await {
            running::keep(picture.hosts, &self.hosts);
            running::keep(picture.waiting, &self.queue);
        }
    }
}

impl Shares for Running<Servent> {
    fn publish(&self, file: &Shared) -> Result<(), String> {
        let told = SharedFile {
            name: file.name.clone(),
            len: file.length,
            sha1: Sha1(file.sha1),
            tree: file.tiger.map(TigerRoot),
        };
        let published = self.wait(self.node.publish_known(&file.path, told));
        published.map_err(|error| error.to_string())
    }

    fn withdraw(&self, file: &Shared) {
        self.wait(self.node.unpublish(Sha1(file.sha1)));
    }

    fn name_torrent(&self, file: &Shared, infohash: Option<[u8; 20]>) {
        self.wait(self.node.name_torrent(Sha1(file.sha1), infohash.map(InfoHash)));
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
        let Some(running) = self.0.running() else { return Ok(()) };
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
        if let (Some(running), Some(sha1)) = (self.0.running(), sha1) {
            running.ask("", Some(sha1), tell);
        }
        Ok(())
    }
}

impl Running<Servent> {
    /// Asks by words, by hash or both, and tells of what comes.
    fn ask(&self, words: &str, sha1: Option<Sha1>, tell: &mut dyn FnMut(Hit) -> ControlFlow<()>) {
        self.wait(async {
            let mut search = self.node.search(words, sha1).await;
            gather(async || search.next().await.map(hit_of), tell).await;
        });
    }
}

fn hit_of(found: Found) -> Hit {
    Hit {
        length: found.len,
        mime: Some(crate::mime::of_name(&found.name).to_owned()),
        id: From::of(&found).to_string(),
        sources: 1 + found.alternates.len() as u64,
        content: ContentId {
            sha1: found.sha1.map(|sha1| Hex(&sha1.0).to_string()),
            tth: found.tree.map(|tree| codec::base32::encode(&tree.0)),
            infohash_v1: found.infohash.map(|infohash| Hex(&infohash.0).to_string()),
            ..ContentId::default()
        },
        name: found.name,
    }
}

impl Fetcher for Gnutella {
    fn network(&self) -> &'static str {
        NAME
    }

    fn contributor(&self) -> Option<&dyn Contributor> {
        Some(&self.0)
    }
}

impl ByHash for Servent {
    const TITLE: &'static str = "Gnutella";

    async fn tree(&self, want: &Want) -> Option<Tree> {
        self.node.tree(want).await
    }

    async fn bring(&self, want: &Want, download: &Download) -> Result<(), FetchError> {
        self.node.bring(want, download).await.map(drop)
    }
}
