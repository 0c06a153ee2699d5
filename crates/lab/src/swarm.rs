//! Swarms of the real BitTorrent machine on a simulated network: one seed, and peers with access
//! links of their own. What does not live here: what the outcomes are compared with.

mod adapter;

use std::sync::Arc;
use std::time::Duration;

use bittorrent::id::{InfoHash, InfoHashes, PeerId};
use bittorrent::metainfo::{File, Info};
use bittorrent::picker::PieceOrder;
use bittorrent::swarm::{Command, Content, PeerSource, Swarm, SwarmConfig};
use codec::bitfield::Bitfield;
use machine::{Instant, Rng};
use sim::stream::{Access, Config, StreamNet};

use adapter::{Node, SwarmAdapter};

use crate::watch::SwarmWatch;

/// Payloads between the ends of a connection: at 16 KiB each, a window of 128 KiB.
const WINDOW: u32 = 8;
/// How long hashing a piece takes.
const VERIFYING: Duration = Duration::from_millis(1);
/// A swarm in which nobody completes a piece for this long is stuck for good: every upload slot
/// has been offered to everybody several times.
const STUCK: Duration = Duration::from_secs(1_800);

/// A peer that begins with nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leecher {
    /// What its access link carries.
    pub(crate) access: Access,
    /// It unchokes nobody.
    pub(crate) rides: bool,
}

/// What is simulated: node 0 has everything, the others are the leechers.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    /// What all randomness follows from.
    pub(crate) seed: u64,
    pub(crate) pieces: u32,
    /// Bytes.
    pub(crate) piece_len: u32,
    /// The seed's access link.
    pub(crate) source: Access,
    pub(crate) leechers: Vec<Leecher>,
    /// One way.
    pub(crate) latency: Duration,
    pub(crate) order: PieceOrder,
    /// Whether leechers know each other, or the seed alone.
    pub(crate) acquainted: bool,
    /// The seed is gone once it has sent this many bytes.
    pub(crate) source_leaves_after: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Distribution {
    /// Seconds until each leecher had everything; infinite for one that never had.
    pub(crate) done: Vec<f64>,
    /// The share of the pieces that each leecher had at the end.
    pub(crate) progress: Vec<f64>,
    /// Bytes of payload that each leecher got in vain.
    pub(crate) wasted: Vec<u64>,
    /// Bytes of payload that the seed sent.
    pub(crate) source_sent: u64,
    /// Connections that one end closed because the other did wrong.
    pub(crate) blamed: u32,
}

impl Distribution {
    /// When the last leecher was done, in seconds.
    pub(crate) fn last(&self) -> f64 {
        self.done.iter().copied().fold(0.0, f64::max)
    }
}

impl Scenario {
    /// Bytes of the whole.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.pieces) * u64::from(self.piece_len)
    }

    /// Runs until everybody is done, or nothing moves any more. `tell` hears which share is done.
    pub(crate) fn run(&self, tell: &dyn Fn(f64)) -> Distribution {
        let mut seeds = Rng::new(self.seed);
        let config = Config {
            seed: seeds.next_u64(),
            latency: self.latency,
            verifying: VERIFYING,
            window: WINDOW,
        };
        let rides = self.leechers.iter().map(|leecher| leecher.rides);
        let rides = std::iter::once(false).chain(rides).collect();
        let mut net = StreamNet::new(config, SwarmAdapter::new(rides));
        self.begin(&mut net, &mut seeds);
        let expected = self.leechers.len() as f64 * f64::from(self.pieces);
        let mut source_gone = false;
        let mut told = 0;
        let end = Instant::from_nanos(u64::MAX);
        let count = self.leechers.len() as u32 + 1;
        let mut watch = SwarmWatch::new();
        while net.adapter().complete() < self.leechers.len() && net.step(end) {
            watch.look(net.now(), count, |node| net.machine(node));
            let pieces = net.adapter().pieces();
            if pieces >= told + 1_000 {
                told = pieces;
                tell(pieces as f64 / expected);
            }
            if net.now() - net.adapter().last_piece() > STUCK {
                break;
            }
            let enough = self.source_leaves_after.is_some_and(|bytes| net.moved(0).0 >= bytes);
            if enough && !source_gone {
                source_gone = true;
                net.crash(0);
            }
        }
        self.outcome(&net)
    }

    fn begin(&self, net: &mut StreamNet<SwarmAdapter>, seeds: &mut Rng) {
        let info = Arc::new(self.info());
        let count = self.leechers.len() as u32 + 1;
        for node in 0..count {
            let mut id = [0; 20];
            seeds.fill(&mut id);
            let access = match node.checked_sub(1) {
                None => self.source,
                Some(leecher) => self.leechers[leecher as usize].access,
            };
            net.add(Swarm::new(self.config(count, PeerId(id))), access);
        }
        for node in 0..count {
            let have = match node {
                0 => Bitfield::full(self.pieces),
                _ => Bitfield::new(self.pieces),
            };
            let content = Content {
                info: info.clone(),
                info_bytes: Arc::from(&b"de"[..]),
                piece_layers: vec![Vec::new()],
                have,
                wanted: Bitfield::full(self.pieces),
            };
            net.command(node, Command::Begin(Box::new(content)));
        }
        // As from a tracker that everybody has asked at the same time.
        for node in 1..count {
            let known = 0..if self.acquainted { count } else { 1 };
            let known = known.filter(|other| *other != node).map(Node).collect();
            net.command(node, Command::AddPeers(known, PeerSource::Tracker));
        }
    }

    fn config(&self, count: u32, peer_id: PeerId) -> SwarmConfig {
        SwarmConfig {
            hashes: hashes(),
            peer_id,
            client: "lab".to_owned(),
            listen_port: Some(1),
            dht_port: None,
            // Half of the room is kept for those who dial in.
            max_connections: 2 * count as usize + 2,
            upload_slots: 4,
            pex: self.acquainted,
            piece_order: self.order,
            super_seeding: false,
            partial_bytes_max: u64::MAX,
        }
    }

    fn info(&self) -> Info {
        let path = vec!["file".to_owned()];
        Info {
            hashes: hashes(),
            name: "file".to_owned(),
            piece_len: self.piece_len,
            private: false,
            single_file: true,
            files: vec![File {
                path: path.clone(),
                disk_path: path,
                offset: 0,
                len: self.len(),
                padding: false,
                symlink: false,
                executable: false,
                pieces_root: None,
            }],
            total_len: self.len(),
            v1_pieces: Some(vec![[0; 20]; self.pieces as usize]),
        }
    }

    fn outcome(&self, net: &StreamNet<SwarmAdapter>) -> Distribution {
        let leechers = 1..=self.leechers.len() as u32;
        let progress = leechers.clone().map(|node| {
            let have = net.machine(node).have().map_or(0, Bitfield::count_ones);
            f64::from(have) / f64::from(self.pieces)
        });
        let done = net.adapter().done()[1..].iter();
        Distribution {
            done: done.map(|at| at.map_or(f64::INFINITY, |at| at.as_secs_f64())).collect(),
            progress: progress.collect(),
            wasted: leechers.map(|node| net.machine(node).totals().wasted).collect(),
            source_sent: net.moved(0).0,
            blamed: net.adapter().blamed(),
        }
    }
}

const fn hashes() -> InfoHashes {
    InfoHashes { v1: Some(InfoHash([7; 20])), v2: None }
}

#[cfg(test)]
mod tests;
