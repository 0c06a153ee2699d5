//! What a session is told. No behaviour; what it tells of itself is in `picture`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use bittorrent::picker::Priority;

/// Enough for the products of bandwidth and delay that there are.
const PIECE_MEMORY: u64 = 26 * 1024 * 1024;

/// Whether connections are obfuscated (MSE/PE).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Plain connections only.
    Off,
    /// Dial plain, fall back to encrypted, accept both: no cost unless the other side insists.
    #[default]
    Allow,
    /// Dial encrypted, fall back to plain, accept both.
    Prefer,
    /// Encrypted connections only.
    Require,
}

/// How a session takes part in the mainline DHT.
#[derive(Clone, Debug, Default)]
pub struct DhtConfig {
    /// Nodes to begin with, as `HOST:PORT`. Others become known by peers.
    pub bootstrap: Vec<String>,
    /// A folder in which the nodes' ids and whom they knew are kept from one run to the next.
    pub state: Option<PathBuf>,
}

/// How a process takes part in swarms.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Where to accept connections, TCP and uTP alike; port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// A network interface that all traffic must use, by its name.
    pub interface: Option<String>,
    /// Bytes of payload per second sent, over all torrents; `None` is no limit.
    pub upload_limit: Option<u64>,
    /// Bytes of payload per second received, over all torrents; `None` is no limit.
    pub download_limit: Option<u64>,
    /// Obfuscation of connections.
    pub encryption: Encryption,
    /// Whether to use TCP.
    pub tcp: bool,
    /// Whether to use uTP (BEP 29).
    pub utp: bool,
    /// Whether to look for peers on the local network (BEP 14).
    pub lsd: bool,
    /// Whether to exchange peers (BEP 11).
    pub pex: bool,
    /// The distributed hash table to take part in (BEP 5); `None` for none.
    pub dht: Option<DhtConfig>,
    /// Whether to ask the router at home to let the outside in (see [`crate::port_map`]). Of no
    /// effect on loopback, and with `interface`, whose traffic must not leave by another.
    pub port_mapping: bool,
    /// Most connections at once, over all torrents.
    pub max_connections: usize,
    /// Regular upload slots per torrent, the optimistic one not counted.
    pub upload_slots: usize,
    /// Bytes of unfinished pieces in memory, over all torrents, unless one piece is longer.
    pub piece_memory: u64,
}

impl Default for SessionConfig {
    /// Everything on but the DHT and port mapping, no limits, listening nowhere.
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            interface: None,
            upload_limit: None,
            download_limit: None,
            encryption: Encryption::default(),
            tcp: true,
            utp: true,
            lsd: true,
            pex: true,
            dht: None,
            port_mapping: false,
            max_connections: 200,
            upload_slots: 4,
            piece_memory: PIECE_MEMORY,
        }
    }
}

/// What a torrent is known by when it is added.
#[derive(Clone, Debug)]
pub enum Source {
    /// A metainfo file, parsed.
    Metainfo(Box<Metainfo>),
    /// A magnet link: the info dictionary comes from peers (BEP 9).
    Magnet(Box<Magnet>),
}

/// When a finished torrent stops seeding; the first limit that is reached counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SeedUntil {
    /// Uploaded bytes over the torrent's size.
    pub ratio: Option<f64>,
    /// Time since it was complete.
    pub time: Option<Duration>,
    /// Time in which nobody fetched anything.
    pub idle: Option<Duration>,
}

/// What a torrent has done in earlier sessions, as far as [`SeedUntil`] goes by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Payload bytes sent.
    pub uploaded: u64,
    /// Time in which it was complete and offered.
    pub seeding: Duration,
}

/// Whose turn it is first where limits of the session hold several torrents back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precedence {
    /// Before the others.
    High,
    /// As most.
    #[default]
    Normal,
    /// After the others.
    Low,
}

/// How much of the session one torrent may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TorrentLimits {
    /// Payload bytes sent per second; `None` is no limit of its own.
    pub upload: Option<u64>,
    /// Payload bytes received per second; `None` is no limit of its own.
    pub download: Option<u64>,
    /// Connections at once; `None` is as many as the session may have.
    pub connections: Option<usize>,
    /// Whose turn it is first where the limits of the session hold.
    pub precedence: Precedence,
    /// The limits of the session do not hold for it.
    pub exempt: bool,
}

/// A torrent to take part in.
#[derive(Clone, Debug)]
pub struct AddTorrent {
    /// What it is.
    pub source: Source,
    /// The folder in which its files (or its one folder) lie.
    pub dir: PathBuf,
    /// Folder for the journal of finished pieces; `None` keeps it in `dir`.
    pub state_dir: Option<PathBuf>,
    /// Indices of the files to fetch; `None` is all.
    pub selection: Option<Vec<usize>>,
    /// Once the info dictionary of a magnet link is known, wait for
    /// [`Torrent::select`](super::Torrent::select).
    pub hold: bool,
    /// Fetch pieces in order.
    pub sequential: bool,
    /// Never write: seed what is there.
    pub read_only: bool,
    /// Trust that the files are whole, because the caller has just hashed them.
    pub trusted: bool,
    /// Announce pieces one by one to spread them faster (BEP 16).
    pub super_seeding: bool,
    /// Trackers beyond those of the source, each a tier of its own.
    pub trackers: Vec<String>,
    /// Web seeds beyond those of the source (BEP 19).
    pub web_seeds: Vec<String>,
    /// Peers to dial at once.
    pub peers: Vec<SocketAddr>,
    /// When to stop seeding.
    pub seed_until: SeedUntil,
    /// What counts towards that already.
    pub earlier: Earlier,
    /// Limits of its own.
    pub limits: TorrentLimits,
    /// Files (indices in the info dictionary) that are wanted more or less than most.
    pub priorities: Vec<(usize, Priority)>,
}

impl AddTorrent {
    /// All of a torrent into a folder, with nothing special.
    #[must_use]
    pub fn new(source: Source, dir: PathBuf) -> Self {
        Self {
            source,
            dir,
            state_dir: None,
            selection: None,
            hold: false,
            sequential: false,
            read_only: false,
            trusted: false,
            super_seeding: false,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            peers: Vec::new(),
            seed_until: SeedUntil::default(),
            earlier: Earlier::default(),
            limits: TorrentLimits::default(),
            priorities: Vec::new(),
        }
    }
}
