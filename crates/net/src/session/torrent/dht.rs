//! A torrent and the DHT: when to look for peers there, and to be listed as one. Never if the
//! torrent is private (BEP 27).

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ::dht::kademlia::{Command, Event};
use bittorrent::swarm::PeerSource;
use machine::dht::{Key, Report};

use super::Torrent;
use crate::datagram::Gone;
use crate::session::dht::Node;
use crate::session::picture::TorrentState;

/// The pause after a search that brought no peer; each further one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// The longest, and the pause once there are peers: nodes forget one after half an hour.
const AGAIN_MAX: Duration = Duration::from_secs(15 * 60);
/// How often a torrent without peers looks who has announced itself to our own node.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How seldom at most one does that only waits to be found: there may be thousands.
const LOOK_SEEDING: Duration = Duration::from_secs(60);

impl Torrent {
    /// Looks for peers for as long as the torrent and the nodes that there are now run.
    pub(in crate::session) async fn run_dht(self: Rc<Self>) {
        for node in self.shared.dht.nodes() {
            let torrent = self.clone();
            tokio::task::spawn_local(async move {
                let left = torrent.left.notified();
                if !torrent.stopped.get() {
                    tokio::select! {
                        () = left => {}
                        () = torrent.search_again_and_again(&node) => {}
                    }
                }
            });
        }
    }

    async fn search_again_and_again(self: &Rc<Self>, node: &Node) {
        node.has_begun().await;
        self.until_checked().await;
        let mut pause = AGAIN_FIRST;
        while self.is_public() {
            let mut listed = true;
            for hash in self.hashes.handshake_hashes() {
                let turns = &self.shared.searching;
                let turns = if self.seeds() { &turns.seeding } else { &turns.fetching };
                let _turn = turns.acquire().await;
                match Box::pin(self.search(node, Key(hash.0))).await {
                    Ok(found) => listed &= found,
                    Err(Gone) => return,
                }
            }
            // Who seeds only needs to be listed; who has peers but is not yet, has met no node.
            if listed && (self.has_peers() || self.seeds()) {
                pause = AGAIN_MAX;
            }
            let _ = tokio::time::timeout(pause, self.look(node)).await;
            pause = (2 * pause).min(AGAIN_MAX);
        }
    }

    /// Looks for peers, and has ourselves listed; whether some node has done so.
    async fn search(self: &Rc<Self>, node: &Node, info_hash: Key) -> Result<bool, Gone> {
        if !self.is_public() {
            return Ok(false);
        }
        // The port that our datagrams come from is the one where we accept peers.
        let command = Command::Announce { info_hash, port: None };
        let mut answers = node.kademlia.handle().ask(command).await?;
        let mut listed = false;
        while let Some(event) = answers.next().await {
            match event {
                Event::Peers(peers) => self.heard_of(peers),
                Event::Report(Report::Stored { copies, .. }) => listed = copies > 0,
                _ => {}
            }
        }
        Ok(listed)
    }

    /// Goes on looking who has announced itself to our own node, which is all there is in a
    /// network of two.
    async fn look(self: &Rc<Self>, node: &Node) {
        let mut pause = LOOK_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            pause = if self.seeds() { (2 * pause).min(LOOK_SEEDING) } else { LOOK_EVERY };
            for hash in self.hashes.handshake_hashes() {
                let listed = node.kademlia.listed(Key(hash.0)).await;
                if !self.has_peers() {
                    self.heard_of(listed);
                }
            }
        }
    }

    /// Takes peers in, unless the torrent has turned out private meanwhile.
    fn heard_of(self: &Rc<Self>, peers: Vec<SocketAddr>) {
        if self.is_public() && !self.stopped.get() && !peers.is_empty() {
            tracing::debug!(count = peers.len(), "peers from the DHT");
            self.add_found(peers, PeerSource::Dht);
        }
    }

    /// Whether it looks for nobody: who wants something finds it.
    fn seeds(&self) -> bool {
        self.state() == TorrentState::Seeding
    }

    fn has_peers(&self) -> bool {
        !self.conns.borrow().is_empty()
    }
}
