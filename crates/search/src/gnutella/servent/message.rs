//! What a servent is told to be, what its user asks of it, what it answers, and its limits.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use machine::ConnId;

use super::super::handshake::Role;
use super::super::{Descriptor, Frame, Guid, InfoHash, Sha1, TigerRoot, Vendor};
use super::library::SharedFile;

/// Bounds that no setting changes.
pub mod limits {
    use core::time::Duration;

    /// Most files in one query hit.
    pub const RECORDS_PER_HIT: usize = 32;
    /// Most bytes of the files of one query hit.
    pub const HIT_BYTES: usize = 8 * 1024;
    /// Most bytes of the files of one query hit that goes by UDP, but for the last of them: it is not
    /// to be cut into fragments.
    pub const DATAGRAM_HIT_BYTES: usize = 640;
    /// Most files that one query is answered with.
    pub const RESULTS: usize = 128;
    /// Searches of our own that go on at once.
    pub const SEARCHES: usize = 256;
    /// Queries of leaves that are led on at once.
    pub const LED: usize = 1_024;
    /// Queries of one leaf that are led on at once.
    pub const LED_PER_LEAF: usize = 16;
    /// How long a handshake may take.
    pub const HANDSHAKE: Duration = Duration::from_secs(15);
    /// How long a neighbour may be silent.
    pub const SILENCE: Duration = Duration::from_secs(120);
    /// Between pings to one neighbour.
    pub const PING: Duration = Duration::from_secs(20);
    /// Between pings of one neighbour that are answered.
    pub const PONGS: Duration = Duration::from_secs(1);
    /// Connections that have not shaken hands.
    pub const GREETING: usize = 64;
    /// Pushes that lead us to one host, in [`PUSH_WINDOW`].
    pub const PUSHES_PER_HOST: u8 = 8;
    /// See [`PUSHES_PER_HOST`].
    pub const PUSH_WINDOW: Duration = Duration::from_secs(30);
    /// Hosts whose pushes are counted.
    pub const PUSH_HOSTS: usize = 256;
    /// How long searches are asked again of ultrapeers that connect.
    pub const FRESH: Duration = Duration::from_secs(300);
    /// Hits that wait to be asked for by UDP.
    pub const WAITING_HITS: usize = 256;
    /// How long they wait.
    pub const WAITING: Duration = Duration::from_secs(60);
    /// Leaves that we relay pushes for.
    pub const PROXIED: usize = 64;
    /// Queries whose answers are kept for others that ask the same.
    pub const CACHED_QUERIES: usize = 256;
    /// Answers that are kept of one query.
    pub const CACHED_HITS: usize = 4;
    /// Largest answer that is kept, in bytes.
    pub const CACHED_HIT_BYTES: usize = 2_048;
}

/// What a servent is, or may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A leaf for good.
    Leaf,
    /// An ultrapeer for good.
    Ultrapeer,
    /// A leaf that becomes an ultrapeer where one is needed, and a leaf again where none is.
    Auto,
    /// A servent of version 0.4: all are alike, everything is flooded.
    Old,
}

/// How a servent behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is.
    pub mode: Mode,
    /// Its program and version.
    pub user_agent: String,
    /// Its program in four letters.
    pub vendor: Vendor,
    /// Its name.
    pub guid: Guid,
    /// Where it accepts connections.
    pub listen: Option<SocketAddr>,
    /// Whether others cannot connect to it: its hits ask for pushes.
    pub firewalled: bool,
    /// Whether addresses of this host and of private networks are dialled.
    pub local: bool,
    /// Whether connections are deflated.
    pub deflate: bool,
    /// Leaves that an ultrapeer takes.
    pub leaves_max: usize,
    /// Ultrapeers that an ultrapeer takes.
    pub ultrapeers_max: usize,
    /// Ultrapeers that an ultrapeer dials until it has; others may dial it.
    pub ultrapeers_wanted: usize,
    /// Ultrapeers that a leaf connects to.
    pub hubs_wanted: usize,
    /// The longest life of a message.
    pub ttl_max: u8,
    /// The life of our own queries.
    pub ttl: u8,
    /// Slots of our table of words.
    pub slots: u32,
    /// Names of messages that are remembered; a power of two.
    pub routes: usize,
    /// Whether pings are answered from a cache rather than passed on.
    pub pong_caching: bool,
    /// For how long answers to the same words are kept, if at all.
    pub query_caching: Option<Duration>,
    /// Whether queries go to one ultrapeer after the other until there are enough hits.
    pub dynamic: bool,
    /// Between steps of a query that is led on.
    pub dynamic_pause: Duration,
    /// Hits with which a query is led on no more.
    pub hits_wanted: u32,
    /// Whether hits are asked for and sent by UDP.
    pub out_of_band: bool,
    /// How long a servent that may become an ultrapeer is a leaf at least.
    pub promote_after: Duration,
    /// How long an ultrapeer that need not be one goes without leaves.
    pub demote_after: Duration,
    /// Between upkeep.
    pub tick: Duration,
    /// Where the tables of names put them: secret, so that nobody can aim at one entry.
    pub key: u64,
}

impl Config {
    /// The settings of a servent named `guid`.
    #[must_use]
    pub fn new(mode: Mode, guid: Guid) -> Self {
        Self {
            mode,
            user_agent: String::from("Shoal"),
            vendor: Vendor(*b"SHOL"),
            guid,
            listen: None,
            firewalled: false,
            local: false,
            deflate: true,
            leaves_max: 30,
            ultrapeers_max: 32,
            ultrapeers_wanted: 12,
            hubs_wanted: 3,
            ttl_max: 7,
            ttl: if matches!(mode, Mode::Old) { 7 } else { 4 },
            slots: 1 << 16,
            routes: 32_768,
            pong_caching: !matches!(mode, Mode::Old),
            query_caching: None,
            dynamic: !matches!(mode, Mode::Old),
            dynamic_pause: Duration::from_millis(2_400),
            hits_wanted: 150,
            out_of_band: false,
            promote_after: Duration::from_secs(30 * 60),
            demote_after: Duration::from_secs(10 * 60),
            tick: Duration::from_secs(1),
            key: 0,
        }
    }
}

/// What a user asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<C> {
    /// Become part of the network that these servents are in.
    Join(Vec<C>),
    /// Say goodbye to all neighbours and dial no more.
    Leave,
    /// Share a file.
    Share(SharedFile),
    /// Share the file with this hash no longer.
    Unshare(Sha1),
    /// Name this torrent, or none any more, in hits for the shared file with this hash.
    NameTorrent(Sha1, Option<InfoHash>),
    /// Look for files: by words, by hash, or both.
    Search {
        /// The words, parted by blanks; may be empty if there is a hash.
        words: String,
        /// The hash.
        sha1: Option<Sha1>,
    },
    /// The user has seen enough of what the search with the same `op` finds.
    StopSearch,
    /// Ask a servent that cannot be reached to connect to us and offer a file.
    Push {
        /// The servent of the hit.
        servent: Guid,
        /// The file as the hit numbers it.
        index: u32,
        /// Servents that pass pushes on to it, as the hit names them.
        proxies: Vec<C>,
    },
    /// Pass a push on to a leaf of ours, for somebody at this address.
    RelayPush {
        /// The leaf.
        servent: Guid,
        /// Which file.
        index: u32,
        /// Who wants it.
        to: SocketAddr,
    },
    /// Ask this address for others, by UDP: a host cache, or any servent.
    AskForHosts(C),
}

/// A file that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where the servent accepts connections, as it says.
    pub addr: SocketAddr,
    /// Its name.
    pub servent: Guid,
    /// Whose program it is.
    pub vendor: Option<Vendor>,
    /// Its speed in kbit/s, as it says.
    pub speed: u32,
    /// It cannot be reached: it must be asked to connect.
    pub push: bool,
    /// All of its upload slots are taken.
    pub busy: bool,
    /// Who passes pushes on to it.
    pub proxies: Vec<SocketAddr>,
    /// How it numbers the file.
    pub index: u32,
    /// The file's name; from a stranger, and for eyes only.
    pub name: String,
    /// Its length in bytes.
    pub len: u64,
    /// Its hash, if the hit says it.
    pub sha1: Option<Sha1>,
    /// The root of its Tiger tree, if the hit says it.
    pub tree: Option<TigerRoot>,
    /// The torrent that brings it too, if the hit says one.
    pub infohash: Option<InfoHash>,
    /// Others that have the same file, as the servent says.
    pub alternates: Vec<SocketAddr>,
}

/// What a servent tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<C> {
    /// A neighbour, and what it is to us.
    Connected {
        /// Who.
        peer: C,
        /// What it is.
        role: Role,
    },
    /// A neighbour less.
    Disconnected {
        /// Who.
        peer: C,
    },
    /// We are another thing now.
    Role(Role),
    /// Answers the search that the event names.
    Found(Found),
    /// The search has been led on as far as it will be; answers may still come.
    SearchLed,
    /// There is no room for another search, or it has neither words nor a hash.
    SearchRefused,
    /// Somebody wants us to connect to it and offer a file.
    PushWanted {
        /// To whom.
        to: SocketAddr,
        /// Which file.
        index: u32,
    },
    /// Whether a push could be sent on its way.
    Pushed(bool),
}

/// What a servent wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect<C> {
    /// Open a connection.
    Dial(C),
    /// Say something on a connection.
    Send(ConnId, Frame),
    /// End a connection, once what was said before has left.
    Close(ConnId, CloseReason),
    /// Send a message by UDP.
    Datagram(C, Descriptor),
}

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The other side, or the network.
    Gone,
    /// Bytes that are not Gnutella.
    Malformed,
    /// A message that makes no sense.
    Protocol,
    /// The handshake ended with a no.
    Refused,
    /// It took too long.
    Timeout,
    /// Too much waits to be sent.
    Slow,
    /// Our user leaves the network.
    Leaving,
    /// We are another thing now.
    RoleChanged,
    /// The same servent is connected already.
    Twice,
}

/// When upkeep is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer;

/// What has gone through a servent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Queries heard.
    pub queries: u64,
    /// Of those, known already or our own.
    pub duplicates: u64,
    /// Queries sent on, to each neighbour.
    pub queries_sent: u64,
    /// Hits passed on.
    pub hits_routed: u64,
    /// Hits and pushes whose way is not known.
    pub unroutable: u64,
    /// Pings and pongs heard.
    pub pings: u64,
    /// Pings and pongs sent.
    pub pings_sent: u64,
    /// Messages dropped because they were malformed or came too late in life.
    pub dropped: u64,
    /// Pushes passed on.
    pub pushes: u64,
    /// Queries answered from what others were answered.
    pub cached: u64,
}
