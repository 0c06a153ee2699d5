//! What the threads of a tracker share: the table in shards, the allow-list, connection ids and
//! counters.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::tracker::siphash::SipKey;
use bittorrent::tracker::table::{Announce, Counts, Limits, Standing, Table};
use bittorrent::tracker::udp::ConnectionId;
use bittorrent::tracker::{AnnounceRequest, Event, ScrapeEntry};
use machine::{Instant, Rng};

use super::allow_list::{self, AllowListError};
use super::{ServerConfig, ServerError};
use crate::url_policy::{Reach, reach};

/// Shares of the table. Growing one of them is short even with millions of torrents.
const SHARDS: usize = 64;
/// Most peers in one answer, whatever is configured.
const MAX_PEERS_RETURNED: usize = 200;
/// How long a connection id of the newest kind stays the newest.
const ID_WINDOW: Duration = Duration::from_secs(60);
/// Ids of the current window and of this many before it are good: for two minutes at least (BEP 15).
const ID_WINDOWS_BACK: u64 = 2;

/// What a tracker has done since it began, and what it knows now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStats {
    /// Torrents known.
    pub torrents: u64,
    /// Peers known.
    pub peers: u64,
    /// Connection ids given over UDP.
    pub udp_connects: u64,
    /// Announces answered over UDP.
    pub udp_announces: u64,
    /// Scrapes answered over UDP.
    pub udp_scrapes: u64,
    /// Requests refused over UDP.
    pub udp_refused: u64,
    /// Datagrams dropped: malformed, or without a connection id that is good.
    pub udp_dropped: u64,
    /// Announces answered over HTTP.
    pub http_announces: u64,
    /// Scrapes answered over HTTP.
    pub http_scrapes: u64,
    /// Requests refused over HTTP.
    pub http_refused: u64,
    /// Requests refused over HTTP because a host made too many.
    pub http_limited: u64,
}

impl fmt::Display for ServerStats {
    /// One number a line, behind its name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in [
            ("torrents", self.torrents),
            ("peers", self.peers),
            ("udp_connects", self.udp_connects),
            ("udp_announces", self.udp_announces),
            ("udp_scrapes", self.udp_scrapes),
            ("udp_refused", self.udp_refused),
            ("udp_dropped", self.udp_dropped),
            ("http_announces", self.http_announces),
            ("http_scrapes", self.http_scrapes),
            ("http_refused", self.http_refused),
            ("http_limited", self.http_limited),
        ] {
            writeln!(f, "{name} {value}")?;
        }
        Ok(())
    }
}

/// Counters that many threads add to.
#[derive(Default)]
pub(super) struct Counters {
    pub(super) udp_connects: AtomicU64,
    pub(super) udp_announces: AtomicU64,
    pub(super) udp_scrapes: AtomicU64,
    pub(super) udp_refused: AtomicU64,
    pub(super) udp_dropped: AtomicU64,
    pub(super) http_announces: AtomicU64,
    pub(super) http_scrapes: AtomicU64,
    pub(super) http_refused: AtomicU64,
    pub(super) http_limited: AtomicU64,
}

pub(super) struct State {
    shards: Box<[Mutex<Table>]>,
    shard_key: SipKey,
    id_key: SipKey,
    began: std::time::Instant,
    allow_list: Option<(PathBuf, RwLock<HashSet<InfoHash>>)>,
    max_returned: usize,
    lifetime: Duration,
    pub(super) interval_secs: u32,
    pub(super) min_interval_secs: u32,
    pub(super) counters: Counters,
}

/// Why an announce is refused. The words go to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("the torrent is not on this tracker's list")]
    NotListed,
    #[error("the tracker has no room for another torrent")]
    Full,
    #[error("port is invalid")]
    Port,
}

impl State {
    pub(super) fn new(config: &ServerConfig) -> Result<Self, ServerError> {
        let lifetime = config.interval * 2;
        let limits = Limits {
            torrents: config.max_torrents.div_ceil(SHARDS),
            peers_per_torrent: config.max_peers_per_torrent,
            // Torrents differ in size, and so do shards.
            peers: (config.max_peers / SHARDS).saturating_mul(2).max(config.max_peers.min(1_000)),
            lifetime,
        };
        let shards = (0..SHARDS)
            .map(|_| Ok(Mutex::new(Table::new(limits, secret()?))))
            .collect::<Result<_, ServerError>>()?;
        let allow_list = match &config.allow_list {
            Some(path) => Some((path.clone(), RwLock::new(allow_list::read(path)?))),
            None => None,
        };
        Ok(Self {
            shards,
            shard_key: secret()?,
            id_key: secret()?,
            began: std::time::Instant::now(),
            allow_list,
            max_returned: config.max_peers_returned.min(MAX_PEERS_RETURNED),
            lifetime,
            interval_secs: config.interval.as_secs() as u32,
            min_interval_secs: config.min_interval.as_secs() as u32,
            counters: Counters::default(),
        })
    }

    /// The time as tables see it.
    pub(super) fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    /// Takes an announce, and appends compact peers of the family it
    /// came over.
    pub(super) fn announce(
        &self,
        now: Instant,
        origin: Origin,
        request: &AnnounceRequest,
        most: usize,
        rng: &mut Rng,
        peers: &mut Vec<u8>,
    ) -> Result<Counts, Refused> {
        if request.port == 0 {
            return Err(Refused::Port);
        }
        if !self.is_listed(&request.info_hash) {
            return Err(Refused::NotListed);
        }
        let announce = Announce {
            info_hash: request.info_hash,
            address: SocketAddr::new(origin.believed(), request.port),
            standing: Standing::of(request),
            completed: request.event == Event::Completed,
            started: request.event == Event::Started,
        };
        let want = request.num_want.map_or(self.max_returned, |want| want as usize);
        let want = want.min(self.max_returned).min(most);
        self.shard(&request.info_hash)
            .announce(now, &announce, want, rng, peers)
            .map_err(|_| Refused::Full)
    }

    pub(super) fn scrape(&self, info_hash: &InfoHash) -> ScrapeEntry {
        if self.is_listed(info_hash) {
            self.shard(info_hash).scrape(info_hash)
        } else {
            ScrapeEntry::default()
        }
    }

    /// Forgets a share of those whose time is over: called every `every`, it gets round the table
    /// four times in a peer's lifetime.
    pub(super) fn sweep(&self, every: Duration) {
        let now = self.now();
        let rounds = (self.lifetime.as_millis() / 4 / every.as_millis().max(1)).max(1) as usize;
        for shard in &self.shards {
            let mut table = lock(shard);
            let budget = (table.peers() + table.torrents()).div_ceil(rounds) + 1;
            table.expire(now, budget);
        }
    }

    pub(super) fn stats(&self) -> ServerStats {
        let (torrents, peers) = self.shards.iter().fold((0, 0), |(torrents, peers), shard| {
            let table = lock(shard);
            (torrents + table.torrents() as u64, peers + table.peers() as u64)
        });
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        ServerStats {
            torrents,
            peers,
            udp_connects: read(&counters.udp_connects),
            udp_announces: read(&counters.udp_announces),
            udp_scrapes: read(&counters.udp_scrapes),
            udp_refused: read(&counters.udp_refused),
            udp_dropped: read(&counters.udp_dropped),
            http_announces: read(&counters.http_announces),
            http_scrapes: read(&counters.http_scrapes),
            http_refused: read(&counters.http_refused),
            http_limited: read(&counters.http_limited),
        }
    }

    pub(super) fn reload_allow_list(&self) -> Result<(), AllowListError> {
        if let Some((path, hashes)) = &self.allow_list {
            let new = allow_list::read(path)?;
            *hashes.write().unwrap_or_else(PoisonError::into_inner) = new;
        }
        Ok(())
    }

    /// The connection id of an address now: a keyed hash, so that nothing is stored and nobody
    /// can guess it, with the low byte of the window it was made in.
    pub(super) fn connection_id(&self, ip: IpAddr, now: Instant) -> ConnectionId {
        self.id_of_window(ip, now.as_nanos() / ID_WINDOW.as_nanos() as u64)
    }

    /// Whether an id was given to an address within the last two minutes or little more.
    pub(super) fn is_good_id(&self, id: ConnectionId, ip: IpAddr, now: Instant) -> bool {
        let window = now.as_nanos() / ID_WINDOW.as_nanos() as u64;
        let age = window.wrapping_sub(id.0) & 0xff;
        age <= ID_WINDOWS_BACK.min(window) && self.id_of_window(ip, window - age) == id
    }

    fn id_of_window(&self, ip: IpAddr, window: u64) -> ConnectionId {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&octets(ip));
        bytes[16..].copy_from_slice(&window.to_le_bytes());
        ConnectionId(self.id_key.mac(&bytes) & !0xff | window & 0xff)
    }

    fn is_listed(&self, info_hash: &InfoHash) -> bool {
        self.allow_list.as_ref().is_none_or(|(_, hashes)| {
            hashes.read().unwrap_or_else(PoisonError::into_inner).contains(info_hash)
        })
    }

    fn shard(&self, info_hash: &InfoHash) -> MutexGuard<'_, Table> {
        let shard = self.shard_key.place(&info_hash.0) as usize % SHARDS;
        lock(&self.shards[shard])
    }
}

/// Where an announce comes from, and says it comes from.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) source: IpAddr,
    pub(super) claimed: Option<IpAddr>,
}

impl Origin {
    /// The address of the client: what it claims only if it is on a local address, and the family
    /// is the same, for answers are in the family of the request.
    fn believed(self) -> IpAddr {
        match self.claimed {
            Some(claimed)
                if claimed.is_ipv4() == self.source.is_ipv4()
                    && matches!(reach(self.source), Reach::Loopback | Reach::Private)
                    && matches!(reach(claimed), Reach::Public | Reach::Private) =>
            {
                claimed
            }
            _ => self.source,
        }
    }
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => Ipv4Addr::to_ipv6_mapped(&ip).octets(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip),
    }
}

fn lock(shard: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // Whoever panicked has at worst left one peer half entered.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn secret() -> Result<SipKey, ServerError> {
    let word = || getrandom::u64().map_err(|error| ServerError::Start(io::Error::other(error)));
    Ok(SipKey([word()?, word()?]))
}
