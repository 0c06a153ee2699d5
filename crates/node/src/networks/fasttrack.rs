//! A node of the two-level network of supernodes, live, on a thread of its own: its supernode's
//! directory lists what the library shares, and it answers searches of the node.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use codec::hex::Hex;
use net::download::{Download, FetchError, Tree, Want};
use net::fasttrack::{
    Config, FileHash, Hit as Found, IdentityError, Kind, Node, Picture, Role, Search, Sha1,
    SigningKey, TigerRoot,
};
use serde_json::json;
use tokio::time::timeout;

use super::NetworkError;
use super::answers::gather;
use super::by_hash::ByHash;
use super::files::{FileNetwork, Joining, Remembered, remember};
use super::picture::{self, Edge, Network, Pictured, Standing, Swarm, SwarmNode, Verb};
use super::running::{self, Place, Running};
use super::shares::{Shared, Shares};
use crate::config::FastTrackRole;
use crate::fetch::{Contributor, Fetcher};
use crate::search::{ContentId, Finder, Hit, SearchQuery};

/// What the network is called in addresses and settings.
const NAME: &str = "fasttrack";
/// Where the supernodes that it knows are kept, in the state folder.
const HOSTS: &str = "fasttrack-hosts";
/// Where its key is kept, by which others know it.
const KEY: &str = "fasttrack-key";
/// Where is kept what supernodes have vouched for, with that key.
const VOUCHERS: &str = "fasttrack-vouchers";
/// Longest that is read of it, in bytes.
const VOUCHERS_MAX: u64 = 64 * 1024;
/// Between two times that supernodes are written down.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// How long a goodbye may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// A node that runs.
pub(super) struct Member {
    node: Node,
    /// The state folder.
    folder: PathBuf,
}

/// The node's own, if there is one; a clone is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct FastTrack(Place<Member>);

impl FileNetwork for FastTrack {
    fn join(&self, joining: Joining) -> Result<Remembered, NetworkError> {
        let Joining { config, peers, listen, holdings } = joining;
        let named = (!peers.is_empty()).then(|| json!(peers));
        let kept = remember(NAME, listen, ("bootstrap", named));
        let settings = config.fasttrack;
        let listen = listen.or(settings.address());
        let names = if peers.is_empty() { settings.bootstrap } else { peers };
        let folder = config.node.state_dir;
        self.0.start(NAME, holdings, async move || {
            let key = SigningKey::load_or_make(&folder.join(KEY))?;
            let mut known = running::known(&names, &folder.join(HOSTS)).await?;
            let listen = running::address(listen, &known).await?;
            let failed = |source| NetworkError::Listen { address: listen, source };
            let vouchers = read_vouchers(&folder.join(VOUCHERS));
            let firewalled = settings.firewalled;
            let config = Config { vouchers, firewalled, ..Config::new(listen) };
            let node = Node::start(config, key).map_err(failed)?;
            known.retain(|known| *known != node.address());
            let founds = names.is_empty();
            let serves = settings.role == FastTrackRole::Supernode;
            tokio::spawn(stay(node.clone(), known, founds, serves, folder.clone()));
            Ok(Member { node, folder })
        })?;
        Ok(kept)
    }

    fn leave(&self) {
        let Some(running) = self.0.take() else { return };
        running.wait(async {
            write_down(&running.node, &running.folder).await;
            // Whoever does not hear of it notices.
            let _ = timeout(FAREWELL, running.node.leave()).await;
        });
    }

    fn is_running(&self) -> bool {
        self.0.is_running()
    }

    fn is_wanted(&self, config: &crate::config::Config) -> bool {
        config.fasttrack.join
    }

    fn standing(&self) -> Standing {
        standing(self.picture().map(|(_, picture)| picture).as_ref())
    }

    fn look(&self) -> Pictured {
        let (address, picture) = self.picture().unzip();
        let state = standing(picture.as_ref());
        let is_running = picture.is_some();
        let picture = picture.unwrap_or_default();
        let network = Network {
            name: NAME,
            title: "FastTrack (supernodes)".to_owned(),
            state,
            error: None,
            addresses: address.into_iter().collect(),
            peers: neighbours(&picture).count(),
            verbs: Verb::OF_FILES.to_vec(),
            can_join: !is_running,
            can_leave: is_running,
            detail: json!({
                "role": is_running.then(|| label(picture.role)),
                "supernode": picture.supernode,
                "leaves": picture.leaves.len(),
                "directory": picture.directory,
                "shared": picture.shared,
                "given": picture.given,
                "vouchers": picture.vouchers,
                "mandate": picture.has_mandate,
                "received": picture.counters.received,
                "malformed": picture.counters.malformed,
                "sent": picture.counters.sent,
            }),
        };
        let drawn = is_running.then(|| picture::Picture::Swarm(drawn(&picture)));
        Pictured { network, picture: drawn.unwrap_or(picture::Picture::None) }
    }
}

impl FastTrack {
    /// Where it is and how it stands.
    fn picture(&self) -> Option<(SocketAddr, Picture)> {
        let running = self.0.running()?;
        let picture = running.wait(running.node.look())?;
        Some((running.node.address(), picture))
    }
}

fn standing(picture: Option<&Picture>) -> Standing {
    match picture.map(|picture| picture.role) {
        None => Standing::Off,
        Some(Role::Seeking) => Standing::Starting,
        Some(Role::Leaf | Role::Supernode) => Standing::Up,
    }
}

const fn label(role: Role) -> &'static str {
    match role {
        Role::Seeking => "seeking",
        Role::Leaf => "leaf",
        Role::Supernode => "supernode",
    }
}

/// Whom it speaks to, and what they are.
fn neighbours(picture: &Picture) -> impl Iterator<Item = (SocketAddr, Role)> + '_ {
    let is_supernode = picture.role == Role::Supernode;
    let above = picture.supernode.filter(|_| !is_supernode);
    let links = picture.others.iter().copied().filter(move |_| is_supernode);
    let supernodes = above.into_iter().chain(links).map(|address| (address, Role::Supernode));
    supernodes.chain(picture.leaves.iter().map(|address| (*address, Role::Leaf)))
}

fn drawn(picture: &Picture) -> Swarm {
    let mut swarm = Swarm {
        nodes: vec![SwarmNode {
            id: "me".to_owned(),
            label: label(picture.role).to_owned(),
            ..SwarmNode::default()
        }],
        edges: Vec::new(),
    };
    for (address, role) in neighbours(picture) {
        let id = address.to_string();
        swarm.edges.push(Edge { from: "me".to_owned(), to: id.clone(), rate: 0, bytes: 0 });
        swarm.nodes.push(SwarmNode { label: label(role).to_owned(), id, ..SwarmNode::default() });
    }
    swarm
}

/// Joins, or begins a network, and keeps the supernodes that are known.
async fn stay(node: Node, known: Vec<SocketAddr>, founds: bool, serves: bool, folder: PathBuf) {
    // Nobody was named, and of the last run nobody is left: it begins anew.
    if serves || (!node.join(&known).await && founds) {
        node.serve(&known).await;
    }
    loop {
        tokio::time::sleep(SAVE_EVERY).await;
        write_down(&node, &folder).await;
    }
}

/// Writes down which supernodes it knows, and what others have vouched for, for the next start.
async fn write_down(node: &Node, folder: &Path) {
    let Some(picture) = node.look().await else { return };
    let supernodes = picture.supernode.into_iter().chain(picture.others);
    let others = supernodes.filter(|address| *address != node.address());
    let others: String = others.map(|address| format!("{address}\n")).collect();
    running::keep(others, &folder.join(HOSTS));
    if let Some(vouchers) = node.vouchers().await.filter(|_| picture.vouchers > 0) {
        running::keep(vouchers, &folder.join(VOUCHERS));
    }
}

/// What an earlier run was given; nothing, at the first.
fn read_vouchers(path: &Path) -> Vec<u8> {
    let mut vouchers = Vec::new();
    let read = File::open(path).and_then(|file| file.take(VOUCHERS_MAX).read_to_end(&mut vouchers));
    if let Err(error) = read.map(drop).or_else(absent) {
        tracing::warn!(path = %path.display(), %error, "vouchers are not known any more");
    }
    vouchers
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// What kind of file that is, as directories tell them apart.
fn kind(name: &str) -> Kind {
    let mime = crate::mime::of_name(name);
    match mime.split_once('/') {
        Some(("audio", _)) => Kind::Audio,
        Some(("video", _)) => Kind::Video,
        Some(("image", _)) => Kind::Image,
        Some(("text", _)) => Kind::Document,
        _ if mime == "application/pdf" => Kind::Document,
        _ => Kind::Other,
    }
}

impl From<IdentityError> for NetworkError {
    fn from(error: IdentityError) -> Self {
        Self::Start(io::Error::other(error))
    }
}

impl Shares for Running<Member> {
    fn publish(&self, file: &Shared) -> Result<(), String> {
        let tree = file.tiger.map(TigerRoot).ok_or("its Tiger tree is not known")?;
        let hash = FileHash { sha1: Sha1(file.sha1), tree };
        let (path, name) = (&file.path, &file.name);
        let published = self.node.publish_known(path, name, file.length, hash, kind(name));
        published.map_err(|error| error.to_string())
    }

    fn withdraw(&self, file: &Shared) {
        self.node.unpublish(Sha1(file.sha1));
    }
}

impl Finder for FastTrack {
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
        if words.is_empty() { Ok(()) } else { running.ask(running.node.search(&words), tell) }
    }

    fn locate(
        &self,
        content: &ContentId,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let sha1 = content.sha1.as_deref().and_then(codec::hex::decode).map(Sha1);
        let (Some(running), Some(sha1)) = (self.0.running(), sha1) else { return Ok(()) };
        running.ask(running.node.locate(sha1), tell)
    }
}

impl Running<Member> {
    /// Tells of what a search finds.
    fn ask<E: Display>(
        &self,
        searching: impl Future<Output = Result<Search, E>>,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        self.wait(async {
            let mut search = searching.await.map_err(|error| error.to_string())?;
            gather(async || search.next().await.map(hit_of), tell).await;
            Ok(())
        })
    }
}

fn hit_of(found: Found<SocketAddr>) -> Hit {
    let file = &found.file;
    Hit {
        name: file.name.to_string(),
        length: file.size,
        mime: Some(crate::mime::of_name(&file.name).to_owned()),
        id: net::fasttrack::source(&found).to_string(),
        sources: 1,
        content: ContentId {
            sha1: Some(Hex(&file.hash.sha1.0).to_string()),
            tth: Some(codec::base32::encode(&file.hash.tree.0)),
            ..ContentId::default()
        },
    }
}

impl Fetcher for FastTrack {
    fn network(&self) -> &'static str {
        NAME
    }

    fn contributor(&self) -> Option<&dyn Contributor> {
        Some(&self.0)
    }
}

impl ByHash for Member {
    const TITLE: &'static str = "FastTrack";

    async fn tree(&self, want: &Want) -> Option<Tree> {
        self.node.tree(want).await
    }

    async fn bring(&self, want: &Want, download: &Download) -> Result<(), FetchError> {
        self.node.bring(want, download).await.map(drop)
    }
}
