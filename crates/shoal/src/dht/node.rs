//! A node of any network for a command: where it listens, whom it begins with, what is kept of
//! whom it met.

use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::dht::chord;
use anyhow::{Context, anyhow};
use machine::dht::{Command, Contact, Key, Report};
use net::dht::{
    BootstrapError, ChordNode, KademliaConfig, KademliaNode, MAINLINE, OverlayNode, Saved,
    StateFile, ask, resolve,
};
use net::url_policy::{Reach, reach};
use tokio::net::UdpSocket;

use super::{Network, WhereArgs};
use crate::exit::{Exit, Failure, bad_input};

/// How long a node that does one thing waits for a reply. Tables of others hold many who are gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it looks whether anybody has answered.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a node may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(12);

/// What a command wants of its node.
#[derive(Debug, Default)]
pub struct Wishes {
    /// It is to stay: to answer others, and to be the same node the next time.
    pub stays: bool,
    /// Queries of one host that a Kademlia node answers in a second.
    pub queries_per_host: Option<u32>,
    /// Virtual nodes of Chord.
    pub vnodes: u8,
    /// The folder of what is kept.
    pub state: Option<PathBuf>,
}

/// A running node.
#[derive(Debug)]
pub enum Node {
    /// Of Chord.
    Chord(ChordNode),
    /// Of Kademlia, with the file of whom it met.
    Kademlia(KademliaNode, Option<StateFile>),
    /// Of one of those that need nothing of their own here.
    Overlay(OverlayNode),
}

/// A node as the user sees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Place {
    /// Its place among the keys.
    pub id: Key,
    /// Where it is.
    pub address: SocketAddr,
}

/// What is left of a [`Report`] when it does not matter of which network it is.
pub type Answer = Report<Place>;

impl Node {
    /// Starts a node that knows nobody yet, and finds out whom it could begin with.
    ///
    /// # Errors
    /// When an address or a name is no good, or the system refuses.
    pub async fn start(
        place: &WhereArgs,
        wishes: &Wishes,
    ) -> Result<(Self, Vec<SocketAddr>), Failure> {
        let mut known = named(place).await?;
        let (file, saved) = match place.network {
            Network::Kademlia => open_state(place, wishes)?,
            Network::Chord | Network::Overlay(_) => (None, Saved::default()),
        };
        known.extend(saved.nodes);
        if !wishes.stays && known.is_empty() {
            return Err(bad_input("name a node to begin with: --bootstrap HOST:PORT"));
        }
        let listen = match (place.listen, known.first()) {
            (Some(listen), _) => listen,
            (None, Some(&first)) => SocketAddr::new(towards(first).await?, 0),
            (None, None) => return Err(bad_input("the first node of a network has a --listen")),
        };
        known.retain(|node| node.is_ipv4() == listen.is_ipv4() && *node != listen);
        let socket =
            UdpSocket::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let node = match place.network {
            Network::Chord => {
                let config = Arc::new(chord::Config::responsive());
                if listen.ip().is_unspecified() {
                    return Err(bad_input("a Chord node must --listen at one address"));
                }
                Self::Chord(
                    ChordNode::start(socket, wishes.vnodes, config).context("cannot start")?,
                )
            }
            Network::Overlay(kind) => {
                if listen.ip().is_unspecified() {
                    return Err(bad_input("a node of this network must --listen at one address"));
                }
                Self::Overlay(kind.start(socket).context("cannot start")?)
            }
            Network::Kademlia => {
                let config = KademliaConfig {
                    id: saved.id.filter(|_| wishes.stays),
                    read_only: !wishes.stays,
                    queries_per_host: wishes.queries_per_host,
                    timeout: (!wishes.stays).then_some(PATIENCE),
                };
                let (node, _) = KademliaNode::start(socket, &config).context("cannot start")?;
                Self::Kademlia(node, file)
            }
        };
        Ok((node, known))
    }

    /// Starts a node and has it join; an exit, if nobody answers.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn joined(place: &WhereArgs, wishes: &Wishes) -> Result<Result<Self, Exit>, Failure> {
        let (node, known) = Self::start(place, wishes).await?;
        let joined = match &node {
            Self::Chord(_) | Self::Overlay(_) => node.join(&known).await?,
            // Whoever does one thing need not know the neighbours: it is enough that one answers.
            Self::Kademlia(kademlia, _) => {
                tokio::select! {
                    joined = node.join(&known) => joined?,
                    () = has_met(kademlia) => true,
                }
            }
        };
        if joined {
            return Ok(Ok(node));
        }
        let known: Vec<_> = known.iter().map(ToString::to_string).collect();
        eprintln!("shoal: nobody answers at {}", known.join(", "));
        Ok(Err(Exit::GaveUp))
    }

    /// Becomes part of the network of `known`, or the first of one; whether anybody answered.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn join(&self, known: &[SocketAddr]) -> Result<bool, Failure> {
        let joined = match self {
            Self::Chord(node) => node.join(known).await,
            Self::Kademlia(node, _) => node.join(known).await,
            Self::Overlay(node) => node.join(known).await,
        };
        Ok(joined.context("cannot join")?)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Chord(node) => node.address(),
            Self::Kademlia(node, _) => node.address(),
            Self::Overlay(node) => node.address(),
        }
    }

    /// Its place among the keys; of several virtual nodes the first one's.
    pub fn id(&self) -> Key {
        match self {
            Self::Chord(node) => chord::Peer::new(node.address(), 0).key(),
            Self::Kademlia(node, _) => node.id(),
            Self::Overlay(node) => node.me().key(),
        }
    }

    /// Stores a value.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn put(&self, key: Key, value: Vec<u8>) -> Result<Answer, Failure> {
        let value = value.into();
        match self {
            Self::Chord(node) => Ok(plain(ask(node.handle(), Command::Put { key, value }).await)?),
            Self::Kademlia(node, _) => {
                Ok(plain(ask(node.handle(), Command::Put { key, value }).await)?)
            }
            Self::Overlay(node) => Ok(plain(node.ask(Command::Put { key, value }).await)?),
        }
    }

    /// Finds a value.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn get(&self, key: Key) -> Result<Answer, Failure> {
        match self {
            Self::Chord(node) => Ok(plain(ask(node.handle(), Command::Get { key }).await)?),
            Self::Kademlia(node, _) => Ok(plain(ask(node.handle(), Command::Get { key }).await)?),
            Self::Overlay(node) => Ok(plain(node.ask(Command::Get { key }).await)?),
        }
    }

    /// Finds who is responsible for a key.
    ///
    /// # Errors
    /// When the node has ended.
    pub async fn lookup(&self, key: Key) -> Result<Answer, Failure> {
        match self {
            Self::Chord(node) => Ok(plain(ask(node.handle(), Command::Lookup { key }).await)?),
            Self::Kademlia(node, _) => {
                Ok(plain(ask(node.handle(), Command::Lookup { key }).await)?)
            }
            Self::Overlay(node) => Ok(plain(node.ask(Command::Lookup { key }).await)?),
        }
    }

    /// Notes whom it has met, for the next time.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn save(&self) -> Result<(), Failure> {
        if let Self::Kademlia(node, Some(file)) = self
            && let Ok(nodes) = node.nodes().await
            && !nodes.is_empty()
        {
            let saved = Saved { id: Some(node.id()), nodes };
            file.save(&saved).context("cannot keep the nodes")?;
        }
        Ok(())
    }

    /// Hands over what it holds, says goodbye and ends.
    pub async fn leave(&self) {
        match self {
            Self::Chord(node) => node.leave(FAREWELL).await,
            Self::Kademlia(node, _) => node.leave(FAREWELL).await,
            Self::Overlay(node) => node.leave(FAREWELL).await,
        }
    }
}

/// Waits until somebody has answered.
async fn has_met(node: &KademliaNode) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    while node.nodes().await.is_ok_and(|nodes| nodes.is_empty()) {
        looks.tick().await;
    }
}

fn plain<C: Contact + At>(
    report: Result<Report<C>, net::datagram::Gone>,
) -> anyhow::Result<Answer> {
    Ok(match report? {
        Report::Joined => Report::Joined,
        Report::Left => Report::Left,
        Report::Stored { copies, cost } => Report::Stored { copies, cost },
        Report::Found { value, cost } => Report::Found { value, cost },
        Report::NotFound { cost } => Report::NotFound { cost },
        Report::Failed { cost } => Report::Failed { cost },
        Report::Located { nodes, cost } => {
            let place = |node: &C| Place { id: node.key(), address: node.at() };
            Report::Located { nodes: nodes.iter().map(place).collect(), cost }
        }
    })
}

/// A contact that is at an address.
trait At {
    fn at(&self) -> SocketAddr;
}

impl At for chord::Peer {
    fn at(&self) -> SocketAddr {
        self.addr()
    }
}

impl At for ::dht::kademlia::Peer {
    fn at(&self) -> SocketAddr {
        self.addr
    }
}

/// The addresses of the nodes that the user named. One name that is no good does no harm beside
/// others.
async fn named(place: &WhereArgs) -> Result<Vec<SocketAddr>, Failure> {
    let public: &[&str] = if place.public { MAINLINE } else { &[] };
    let names = place.bootstrap.iter().map(String::as_str).chain(public.iter().copied());
    let (mut known, mut refused) = (Vec::new(), None);
    for name in names {
        match resolve(name).await {
            Ok(addresses) => known.extend(addresses),
            Err(error) => {
                tracing::warn!(%error, "a node to begin with is of no use");
                refused = Some(error);
            }
        }
    }
    match refused {
        Some(error @ BootstrapError::Resolve { .. }) if known.is_empty() => {
            Err(anyhow!(error).into())
        }
        Some(error) if known.is_empty() => Err(bad_input(error.to_string())),
        _ => Ok(known),
    }
}

/// Our address on the way to `first`.
async fn towards(first: SocketAddr) -> anyhow::Result<IpAddr> {
    let any: IpAddr =
        if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: connecting a UDP socket only looks up the route.
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(first).await.with_context(|| format!("there is no way to {first}"))?;
    Ok(socket.local_addr()?.ip())
}

/// What is kept of the network that `place` means. Nodes of the public network are met again only
/// by who asks for it.
fn open_state(place: &WhereArgs, wishes: &Wishes) -> Result<(Option<StateFile>, Saved), Failure> {
    let Some(path) = state_path(place, wishes.state.as_deref()) else {
        return Ok((None, Saved::default()));
    };
    let (file, mut saved) = if wishes.stays {
        match StateFile::open(&path).context("cannot read the nodes of the last time")? {
            Some((file, saved)) => (Some(file), saved),
            // Another node of ours is that one.
            None => (None, Saved::default()),
        }
    } else {
        let saved = Saved::read(&path).with_context(|| path.display().to_string())?;
        (None, saved)
    };
    saved.nodes.retain(|node| place.public || is_near(node.ip()));
    if let Some(listen) = place.listen {
        let ours = reach(listen.ip());
        saved.nodes.retain(|node| ours != Reach::Loopback || reach(node.ip()) == ours);
    }
    Ok((file, saved))
}

fn is_near(ip: IpAddr) -> bool {
    matches!(reach(ip), Reach::Loopback | Reach::Private)
}

/// The file of whom a Kademlia node met. Nodes that listen at ports of their own are nodes of
/// their own.
pub fn state_path(place: &WhereArgs, folder: Option<&Path>) -> Option<PathBuf> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => user_folder("XDG_STATE_HOME", ".local/state")?,
    };
    let network = if place.public { "public" } else { "local" };
    let port = place.listen.map_or(0, |listen| listen.port());
    let family = place.listen.map_or(4, |listen| if listen.is_ipv4() { 4 } else { 6 });
    Some(folder.join(format!("dht/kademlia-{network}-v{family}-{port}")))
}

/// Our folder in the one that `variable` names, or in `fallback` below the user's home.
pub fn user_folder(variable: &str, fallback: &str) -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = env::var_os(variable).map(PathBuf::from).filter(absolute);
    let home = || Some(env::home_dir().filter(absolute)?.join(fallback));
    Some(named.or_else(home)?.join("shoal"))
}
