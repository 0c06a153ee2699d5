//! What pictures of networks are drawn from: swarms, Kademlia's table, Chord's ring. Ids are in
//! hexadecimal, the first digits first; all text of others is only text.

use std::net::SocketAddr;

use ::dht::chord::{BITS, Peer, Position};
use machine::dht::Contact;
use net::dht::{KademliaNode, Sketch, SketchLink};
use net::session::Transport;
use serde::Serialize;
use utoipa::ToSchema;

/// How it stands with a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// This node is part of it.
    Up,
    /// It is about to be.
    Starting,
    /// It is not.
    #[default]
    Off,
    /// It should be, and cannot.
    Failed,
}

/// What a network can do for this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// One becomes part of it, beginning with somebody who is.
    Join,
    /// It offers files of one's own.
    Publish,
    /// It finds files by words.
    Search,
    /// It brings files.
    Fetch,
    /// It keeps values under keys, and finds them again.
    Lookup,
}

impl Verb {
    /// What networks of files can do.
    pub(super) const OF_FILES: [Self; 4] = [Self::Join, Self::Publish, Self::Search, Self::Fetch];
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Network {
    /// Its name in addresses.
    pub name: &'static str,
    /// Its name for people.
    pub title: String,
    /// How it stands.
    pub state: Standing,
    /// What goes wrong.
    pub error: Option<String>,
    /// Where this node is in it.
    #[schema(value_type = Vec<String>)]
    pub addresses: Vec<SocketAddr>,
    /// How many others it knows there.
    pub peers: usize,
    /// What it can do.
    pub verbs: Vec<Verb>,
    /// Whether it can be joined now.
    pub can_join: bool,
    /// Whether it can be left now.
    pub can_leave: bool,
    /// Numbers for people.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// A network and what its picture is drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Pictured {
    /// The network.
    #[serde(flatten)]
    pub network: Network,
    /// The picture.
    pub picture: Picture,
}

/// What is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Picture {
    /// Who sends to whom.
    Swarm(Swarm),
    /// Whom a node of Kademlia knows.
    Kademlia(Table),
    /// Whom a node of Chord knows.
    Chord(Ring),
    /// Whom a node of another hash table knows.
    Overlay(Overlaid),
    /// There is nothing to draw.
    None,
}

/// Who sends to whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Swarm {
    /// Everybody.
    pub nodes: Vec<SwarmNode>,
    /// What flows, or has flowed, between them.
    pub edges: Vec<Edge>,
}

/// Somebody in a swarm; `me` is this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct SwarmNode {
    /// Tells nodes apart.
    pub id: String,
    /// Its program, as it calls itself, or its name.
    pub label: String,
    /// The transfer that it takes part in.
    pub transfer: Option<String>,
    /// What it has, as a share from 0 to 1.
    pub progress: f32,
    /// What carries its connection to this node.
    pub transport: Option<Transport>,
}

/// Bytes on their way from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Edge {
    /// Who sends.
    pub from: String,
    /// Who receives.
    pub to: String,
    /// Bytes per second.
    pub rate: u64,
    /// Bytes so far.
    pub bytes: u64,
}

/// Whom a node of Kademlia knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Table {
    /// Its id.
    pub id: String,
    /// Its buckets, the farthest first.
    pub buckets: Vec<Bucket>,
}

/// A bucket of Kademlia.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Bucket {
    /// How many bits of their ids the nodes in it share with ours; in the last bucket, at least.
    pub bits: usize,
    /// The nodes, the one that answered last at the end.
    pub nodes: Vec<KnownNode>,
    /// How many more wait for a place.
    pub replacements: usize,
}

/// A node in a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct KnownNode {
    /// Its id.
    pub id: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// `good` if it answered the last request, `questionable` if not, `bad` if not the last two.
    pub state: &'static str,
}

/// Whom a node of Chord knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Ring {
    /// Its place on the ring.
    pub id: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Who comes before it.
    pub predecessor: Option<Place>,
    /// Who comes after it, nearest first.
    pub successors: Vec<Place>,
    /// Whom its fingers point at, each node once, nearest first.
    pub fingers: Vec<Finger>,
}

/// Whom a node of a hash table knows that has neither buckets nor a ring of fingers.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Overlaid {
    /// Which hash table.
    pub system: &'static str,
    /// Its place.
    pub id: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
    /// Its group or level, where it has one.
    pub rank: u32,
    /// How many groups there are, how many bits a digit has, or how many dimensions.
    pub ranks: u32,
    /// Whom it knows, once for each thing that somebody is to it.
    pub links: Vec<Linked>,
    /// Its zones, and those beside them.
    pub zones: Vec<Zone>,
}

/// Somebody whom a node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Linked {
    /// What it is to the node.
    pub what: &'static str,
    /// Its row, group or level, or how many come before it.
    pub rank: u32,
    /// Its place.
    pub id: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
}

/// A box of the first two dimensions of a torus whose sides are 1.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Zone {
    /// Whose it is; `None` for the node's own.
    #[schema(value_type = Option<String>)]
    pub owner: Option<SocketAddr>,
    /// Where it begins along the first dimension.
    pub left: f64,
    /// Where it begins along the second.
    pub top: f64,
    /// How far it reaches along the first.
    pub width: f64,
    /// How far it reaches along the second.
    pub height: f64,
}

/// A node on the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Place {
    /// Its place.
    pub id: String,
    /// Where it is.
    #[schema(value_type = String)]
    pub address: SocketAddr,
}

/// A finger of a node of Chord.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finger {
    /// The finger points 2 to the power of this ahead.
    pub index: u32,
    /// That place.
    pub start: String,
    /// The first node at or behind it.
    #[serde(flatten)]
    pub node: Place,
}

/// What a node of Kademlia has counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KademliaCounts {
    pub(crate) nodes: usize,
    pub(crate) values: usize,
    pub(crate) torrents: usize,
    pub(crate) peers: usize,
    pub(crate) received: u64,
    pub(crate) malformed: u64,
    pub(crate) sent: u64,
}

/// What is in the table of a node of Kademlia; nothing if it has ended.
pub(super) async fn table(node: &KademliaNode) -> Option<(Table, KademliaCounts)> {
    let look = node.handle().look(|nodes, socket| {
        let node = nodes.first()?;
        let table = node.table();
        let bucket = |bits| Bucket {
            bits,
            nodes: table
                .bucket_with_failures(bits)
                .map(|(peer, failures)| KnownNode {
                    id: peer.id.to_string(),
                    address: peer.addr,
                    state: match failures {
                        0 => "good",
                        1 => "questionable",
                        _ => "bad",
                    },
                })
                .collect(),
            replacements: table.waiting().filter(|peer| table.index(&peer.key()) == bits).count(),
        };
        let (torrents, peers) = node.torrents();
        let counts = KademliaCounts {
            nodes: table.len(),
            values: node.stored().count(),
            torrents,
            peers,
            received: socket.received,
            malformed: socket.malformed,
            sent: socket.sent,
        };
        let id = node.me().id.to_string();
        Some((Table { id, buckets: (0..table.depth()).map(bucket).collect() }, counts))
    });
    look.await.ok().flatten()
}

/// What the picture of a ring is drawn from.
pub(crate) fn ring(me: Peer, sketch: &Sketch) -> Ring {
    let place = |peer: Peer| Place { id: peer.key().to_string(), address: peer.addr() };
    let of = |what: &'static str| sketch.links.iter().filter(move |link| link.what == what);
    let from = Position::new(me.key().front());
    let finger = |link: &SketchLink| Finger {
        index: link.rank,
        start: from.plus(1 << link.rank.min(BITS - 1)).key().to_string(),
        node: place(link.peer),
    };
    Ring {
        id: me.key().to_string(),
        address: me.addr(),
        predecessor: of("predecessor").next().map(|link| place(link.peer)),
        successors: of("successor").map(|link| place(link.peer)).collect(),
        fingers: of("finger").map(finger).collect(),
    }
}

/// What the picture of a node of `system` is drawn from.
pub(crate) fn overlaid(system: &'static str, me: Peer, sketch: Sketch) -> Overlaid {
    let links = sketch.links.into_iter().map(|link| Linked {
        what: link.what,
        rank: link.rank,
        id: link.peer.key().to_string(),
        address: link.peer.addr(),
    });
    let zones = sketch.zones.into_iter().map(|zone| Zone {
        owner: zone.owner,
        left: zone.corner[0],
        top: zone.corner[1],
        width: zone.size[0],
        height: zone.size[1],
    });
    Overlaid {
        system,
        id: me.key().to_string(),
        address: me.addr(),
        rank: sketch.rank,
        ranks: sketch.ranks,
        links: links.collect(),
        zones: zones.collect(),
    }
}
