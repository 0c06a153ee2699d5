//! A torrent and its trackers: when to ask comes from the announcer, this carries it out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use bittorrent::swarm::{Command, PeerSource};
use bittorrent::tracker::announcer::{Announcement, Announcer, Reach, TrackerKey};
use bittorrent::tracker::{AnnounceRequest, Event};
use machine::Rng;
use tokio::sync::SemaphorePermit;

use super::Torrent;
use crate::session::picture::{TorrentState, TrackerStats};

impl Torrent {
    /// The tiers of trackers from the source and from the options.
    pub(super) fn tracker_tiers(&self) -> Vec<Vec<String>> {
        let mut tiers = match &*self.metainfo.borrow() {
            Some(metainfo) => metainfo.trackers.clone(),
            None => Vec::new(),
        };
        if let super::super::config::Source::Magnet(magnet) = &self.options.source {
            tiers.extend(magnet.trackers.iter().map(|url| vec![url.clone()]));
        }
        tiers.extend(self.options.trackers.iter().map(|url| vec![url.clone()]));
        tiers
    }

    /// Announces for as long as the torrent runs, and says goodbye.
    pub(in crate::session) async fn run_trackers(self: Rc<Self>, seed: u64) {
        let clock = self.shared.clock;
        let mut rng = Rng::new(seed);
        let key = rng.next_u32();
        self.until_checked().await;
        let tiers = self.tracker_tiers();
        if tiers.is_empty() {
            self.farewell_said.set(true);
            return self.shared.settled.notify_waiters();
        }
        let announcer = Announcer::new(tiers, Reach::EveryTier, &mut rng);
        let announcer = Rc::new(RefCell::new(announcer));
        announcer.borrow_mut().start(self.core.borrow().swarm.is_complete(), clock.now());
        let answered = Rc::new(tokio::sync::Notify::new());
        let last: Rc<RefCell<HashMap<TrackerKey, TrackerStats>>> = Rc::default();
        let mut pending = tokio::task::JoinSet::new();
        loop {
            if self.stopped.get() {
                announcer.borrow_mut().stop();
            } else if self.completed_at.get().is_some() {
                announcer.borrow_mut().complete();
            }
            let now = clock.now();
            if self.announce_again.take() {
                announcer.borrow_mut().want_peers(now);
            }
            while let Some(announcement) = { announcer.borrow_mut().poll(now) } {
                let (torrent, announcer) = (self.clone(), announcer.clone());
                let (answered, last) = (answered.clone(), last.clone());
                pending.spawn_local(async move {
                    let _turn = torrent.announce_turn().await;
                    Box::pin(torrent.announce(announcement, &announcer, &last, key)).await;
                    answered.notify_one();
                });
            }
            let shown = announcer
                .borrow()
                .status()
                .filter_map(|status| last.borrow().get(&status.tracker).cloned())
                .collect();
            *self.trackers.borrow_mut() = shown;
            self.shared.changed(self.tag);
            if self.stopped.get() && announcer.borrow().is_stopped() {
                break;
            }
            let due = announcer.borrow().next_due(clock.now());
            let due = async {
                match due {
                    Some(at) => tokio::time::sleep_until(clock.deadline(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = answered.notified() => {}
                () = self.announce_now.notified() => {}
            }
            while pending.try_join_next().is_some() {}
        }
        // Farewells that are under way are given their time by the session's shutdown.
        while pending.join_next().await.is_some() {}
        self.farewell_said.set(true);
        self.shared.settled.notify_waiters();
    }

    /// Waits for its turn among all torrents: those that fetch do not wait for those that seed.
    async fn announce_turn(&self) -> Option<SemaphorePermit<'_>> {
        let turns = &self.shared.announcing;
        let turns =
            if self.completed_at.get().is_some() { &turns.seeding } else { &turns.fetching };
        turns.acquire().await.ok()
    }

    /// Asks every tracker again, even if that is not due.
    pub(in crate::session) fn announce_again(&self) {
        self.announce_again.set(true);
        self.announce_now.notify_one();
    }

    /// Waits until the files are checked. Before that nobody knows what is left, and trackers keep
    /// seeds from those who say that nothing is.
    pub(super) async fn until_checked(&self) {
        loop {
            let changed = self.state_changed.notified();
            if self.stopped.get() || self.state() != TorrentState::Checking {
                return;
            }
            changed.await;
        }
    }

    /// Peers that others told us of, without ourselves.
    pub(super) fn add_found(self: &Rc<Self>, mut peers: Vec<SocketAddr>, source: PeerSource) {
        let loopback = self.shared.listens.iter().any(|address| address.ip().is_loopback());
        peers.retain(|peer| peer.port() != 0 && (loopback || !self.shared.listens.contains(peer)));
        self.command(Command::AddPeers(peers, source));
    }

    async fn announce(
        self: &Rc<Self>,
        announcement: Announcement,
        announcer: &RefCell<Announcer>,
        last: &RefCell<HashMap<TrackerKey, TrackerStats>>,
        key: u32,
    ) {
        let Announcement { tracker, url, event, tracker_id } = announcement;
        let totals = self.core.borrow().swarm.totals();
        // Whoever does not know yet how much it is lacks something.
        let left = self.bytes_left().unwrap_or(1);
        let num_want = (event == Event::Stopped).then_some(0);
        let mut error = None;
        let mut counts = None;
        let mut answered = false;
        let mut retry = None;
        for info_hash in self.hashes.handshake_hashes() {
            let request = AnnounceRequest {
                info_hash,
                peer_id: self.shared.peer_id,
                port: self.shared.listen_port().unwrap_or(0),
                uploaded: totals.uploaded,
                downloaded: totals.downloaded,
                left,
                event,
                key,
                num_want,
                tracker_id: tracker_id.clone(),
                ipv4: None,
                ipv6: None,
            };
            match self.shared.trackers.announce(&url, &request).await {
                Ok(response) => {
                    if !answered {
                        answered = true;
                        announcer.borrow_mut().on_response(
                            tracker,
                            &response,
                            self.shared.clock.now(),
                        );
                    }
                    if let Some(ip) = response.external_ip {
                        let port = self.shared.listen_port().unwrap_or(0);
                        self.command(Command::OurAddress(SocketAddr::new(ip, port)));
                    }
                    counts = response.seeders.zip(response.leechers).or(counts);
                    self.add_found(response.peers, PeerSource::Tracker);
                }
                Err(failure) => {
                    tracing::debug!(%url, error = %failure, "announce failed");
                    retry = failure.retry().or(retry);
                    error = Some(failure.to_string());
                }
            }
        }
        if !answered {
            announcer.borrow_mut().on_failure(tracker, retry, self.shared.clock.now());
        }
        let (seeds, leechers) = counts.unzip();
        last.borrow_mut().insert(tracker, TrackerStats { url, seeds, leechers, error });
    }
}
