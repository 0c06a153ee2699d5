//! What goes into the swarm machine and what comes out of it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use codec::bitfield::Bitfield;

use crate::extension::PexFlags;
use crate::id::{Block, InfoHashes, PeerId, PieceIndex};
use crate::metainfo::Info;
use crate::peer_wire::{Frame, HashRange};
use crate::picker::{PieceOrder, Priority};

/// Fixed facts of a swarm machine.
#[derive(Clone, Debug)]
pub struct SwarmConfig {
    /// The torrent.
    pub hashes: InfoHashes,
    /// Our name.
    pub peer_id: PeerId,
    /// Name and version of this program, for the extension handshake.
    pub client: String,
    /// The port on which we listen, told to peers.
    pub listen_port: Option<u16>,
    /// The port of our node in the DHT, told to peers (BEP 5); never for private torrents.
    pub dht_port: Option<u16>,
    /// Most connections at once.
    pub max_connections: usize,
    /// Regular upload slots; the optimistic one comes on top.
    pub upload_slots: usize,
    /// Exchange peers (BEP 11); never for private torrents.
    pub pex: bool,
    /// In which order to begin pieces.
    pub piece_order: PieceOrder,
    /// Reveal pieces one by one (BEP 16).
    pub super_seeding: bool,
    /// Bytes of unfinished pieces that the driver can hold in memory, until it says otherwise
    /// ([`Swarm::set_piece_budget`](super::Swarm::set_piece_budget)).
    pub partial_bytes_max: u64,
}

/// What a torrent holds and what of it is here.
#[derive(Clone, Debug)]
pub struct Content {
    /// The info dictionary, parsed.
    pub info: Arc<Info>,
    /// The info dictionary, byte for byte.
    pub info_bytes: Arc<[u8]>,
    /// v2 piece layers per file, as [`crate::metainfo::Metainfo::piece_layers`].
    pub piece_layers: Vec<Vec<[u8; 32]>>,
    /// Pieces that are verified and stored.
    pub have: Bitfield,
    /// Pieces that are wanted.
    pub wanted: Bitfield,
}

/// Where an address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeerSource {
    /// The user or a magnet link named it.
    User,
    /// A tracker.
    Tracker,
    /// The local network (BEP 14).
    Lsd,
    /// The DHT.
    Dht,
    /// Another peer (BEP 11).
    Pex,
    /// It dialled us.
    Incoming,
}

/// What the user asks of a swarm.
#[derive(Clone, Debug)]
pub enum Command<C> {
    /// The content is known: begin. Comes once.
    Begin(Box<Content>),
    /// Addresses to try.
    AddPeers(Vec<C>, PeerSource),
    /// Other pieces are wanted now.
    Want(Bitfield),
    /// How much each piece is wanted, if it is wanted at all: those of a higher priority are begun
    /// first. Pieces past the end are as most. Replaces what was said before; may come at any time.
    Prioritize(Vec<Priority>),
    /// These pieces, and no others, go before all that is wanted: those of a lower number first.
    Urgent(Vec<(PieceIndex, u32)>),
    /// Accept these v2 piece layers for a file (index in [`Info::files`]).
    Layers(usize, Vec<[u8; 32]>),
    /// A stored piece turned out to be damaged or gone: have it no more (BEP 54).
    Lost(PieceIndex),
    /// Leaf hashes that were asked for with [`Effect::ReadLeaves`], or none if they can't be had.
    Leaves(machine::ConnId, HashRange, Option<Vec<[u8; 32]>>),
    /// Where a tracker sees us (BEP 24), which counts more than what peers say (BEP 10): it is what
    /// the priority of addresses depends on (BEP 40).
    OurAddress(C),
    /// So many peers at once from now on; those of least use beyond it are closed.
    MaxConnections(usize),
    /// There may be room for more pieces now: ask for blocks again.
    TakeRoom,
    /// Memory is short elsewhere: give up a piece that nobody works on, if there is one.
    GiveRoom,
    /// Close every connection, dial no more, and give up what is unfinished.
    Stop,
}

/// What the swarm tells its user.
#[derive(Clone, Debug)]
pub enum Event<C> {
    /// The info dictionary is complete and matches the infohash.
    Metadata(Arc<[u8]>),
    /// A file's v2 piece layer is complete and matches its root.
    Layers(usize, Vec<[u8; 32]>),
    /// A piece is verified and stored.
    Piece(PieceIndex),
    /// Nothing that is wanted is missing.
    Complete,
    /// A piece did not match its hash.
    Corrupt(PieceIndex),
    /// A host sent false data and is refused from now on.
    Banned(C),
    /// A peer says that it has a node of the DHT here (BEP 5).
    DhtNode(C),
}

/// The machine's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Upkeep, once a second while there are connections or addresses to try.
    Tick,
}

/// What the swarm asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<C> {
    /// Open a connection.
    Dial(C, DialHint),
    /// Queue a frame. Frames overtake queued blocks.
    Send(machine::ConnId, Frame<C>),
    /// Queue a block.
    SendBlock(machine::ConnId, Block),
    /// Drop a queued block whose first byte has not left; reported by `on_dropped`.
    DropBlock(machine::ConnId, Block),
    /// Drop all such blocks but those of the given pieces.
    DropBlocks(machine::ConnId, Vec<PieceIndex>),
    /// Close a connection.
    Close(machine::ConnId, CloseReason),
    /// All blocks of a piece are here: verify and store it.
    Verify(PieceIndex),
    /// Forget the blocks of an unfinished piece.
    Forget(PieceIndex),
    /// Hash the blocks of a stored piece for a peer; answered by [`Command::Leaves`].
    ReadLeaves(machine::ConnId, HashRange, PieceIndex),
}

/// How to dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DialHint {
    /// What is known of the peer (BEP 11).
    pub flags: PexFlags,
    /// Both ends dial at the same time through their NATs, over uTP (BEP 55).
    pub holepunch: bool,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseReason {
    /// The peer closed it, or the network did.
    Gone,
    /// It sent what the protocol forbids.
    Protocol,
    /// The handshake named another torrent.
    WrongTorrent,
    /// It is ourselves.
    Myself,
    /// We are connected to this peer already.
    Duplicate,
    /// It sent nothing useful for too long.
    Idle,
    /// It sent false data.
    Banned,
    /// Neither of us has anything for the other.
    Useless,
    /// Room is needed for better peers.
    Full,
    /// The torrent stops.
    Stopped,
}

/// How long peers may take, and how much they may ask.
pub mod limits {
    use super::Duration;

    /// Upkeep interval.
    pub const TICK: Duration = Duration::from_secs(1);
    /// A keep-alive is sent after this much silence of ours.
    pub const KEEP_ALIVE: Duration = Duration::from_secs(100);
    /// A peer that we dialled has this long to answer our handshake.
    pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
    /// A connection without any message from the peer for this long is closed.
    pub const SILENCE_MAX: Duration = Duration::from_secs(130);
    /// A connection that has been of no use to either side for this long is closed.
    pub const USELESS_MAX: Duration = Duration::from_secs(120);
    /// Blocks that one peer may have queued with us; told to it as `reqq`.
    pub const REQUESTS_IN_MAX: usize = 2_000;
    /// Requests that we keep open with one peer at most.
    pub const REQUESTS_OUT_MAX: usize = 500;
    /// Unwanted or false messages after which a peer is closed.
    pub const OFFENCES_MAX: u32 = 50;
    /// Allowed-fast pieces that we grant (BEP 6).
    pub const ALLOWED_FAST: usize = 10;
    /// Allowed-fast and suggested pieces that we remember of a peer.
    pub const HINTS_MAX: usize = 16;
    /// Addresses remembered per torrent.
    pub const KNOWN_MAX: usize = 4_000;
    /// Connections being dialled at once, per torrent.
    pub const DIALS_MAX: usize = 30;
    /// Peer exchange goes out this often (BEP 11).
    pub const PEX_INTERVAL: Duration = Duration::from_secs(60);
    /// Who could be told nothing yet is looked at again after this.
    pub const PEX_AGAIN: Duration = Duration::from_secs(5);
    /// Addresses in one peer exchange message (BEP 11).
    pub const PEX_PEERS_MAX: usize = 50;
    /// Bytes of an info dictionary.
    pub const METADATA_LEN_MAX: u32 = 3 * 1024 * 10_240;
    /// Bytes of one part of it (BEP 9).
    pub const METADATA_PART: u32 = 16 * 1024;
}
