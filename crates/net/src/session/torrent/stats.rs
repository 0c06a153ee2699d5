//! What a torrent tells people of itself: its state, how far it is, its peers.

use std::net::SocketAddr;

use bittorrent::id::PieceIndex;
use bittorrent::swarm::Peer;
use codec::bitfield::Bitfield;
use machine::ConnId;

use super::Torrent;
use super::disk_events::Checking;
use crate::session::picture::{PeerStats, Progress, TorrentState, TorrentStats};

/// Peers that are gone and still shown.
const PAST_MAX: usize = 200;

impl Torrent {
    pub(in crate::session) fn state(&self) -> TorrentState {
        self.state.get()
    }

    pub(super) fn set_state(&self, state: TorrentState) {
        self.state.set(state);
        self.shared.changed(self.tag);
        self.state_changed.notify_waiters();
        self.news.send_replace(());
    }

    /// It cannot go on, and says why.
    pub(super) fn fail_for(&self, why: &impl ToString) {
        // Nothing will come for those who read.
        self.reading.take();
        *self.error.borrow_mut() = Some(why.to_string());
        self.set_state(TorrentState::Failed);
    }

    pub(in crate::session) fn stats(&self) -> TorrentStats {
        let core = self.core.borrow();
        let peers: Vec<_> =
            core.swarm.peers().filter_map(|(conn, peer)| self.peer_stats(conn, peer)).collect();
        let info = self.info.borrow().clone();
        let totals = core.swarm.totals();
        let (bytes_wanted, bytes_have) = self.bytes.get();
        TorrentStats {
            state: self.state(),
            progress: Progress {
                error: self.error.borrow().clone(),
                bytes_checked: self.bytes_checked(),
                bytes_wanted,
                bytes_have,
                pieces_total: info.as_ref().map_or(0, |info| info.piece_count()),
                pieces_have: core.swarm.have().map_or(0, Bitfield::count_ones),
                downloaded: totals.downloaded,
                uploaded: totals.uploaded,
                wasted: totals.wasted,
                download_rate: peers.iter().map(|peer| peer.download_rate).sum(),
                upload_rate: peers.iter().map(|peer| peer.upload_rate).sum(),
                peers_known: totals.known,
            },
            corrupt: totals.corrupt,
            peers,
            peers_past: self.past.borrow().iter().cloned().collect(),
            trackers: self.trackers.borrow().clone(),
            info,
        }
    }

    fn bytes_checked(&self) -> Option<u64> {
        let checks = self.state() == TorrentState::Checking;
        checks.then(|| self.checking.borrow().as_ref().map_or(0, Checking::bytes))
    }

    /// Bytes that are wanted and not here, once that is known.
    pub(super) fn bytes_left(&self) -> Option<u64> {
        let (wanted, have) = self.bytes.get();
        self.store.borrow().as_ref().map(|_| wanted - have)
    }

    /// Counts all bytes anew.
    pub(super) fn count_bytes(&self, have: &Bitfield, wanted: &Bitfield) {
        let info = self.info.borrow();
        let Some(info) = info.as_ref() else { return };
        let (mut bytes_wanted, mut bytes_have) = (0, 0);
        for piece in wanted.ones() {
            let bytes = u64::from(info.data_size(PieceIndex(piece)));
            bytes_wanted += bytes;
            bytes_have += if have.get(piece) { bytes } else { 0 };
        }
        self.bytes.set((bytes_wanted, bytes_have));
    }

    /// A piece has come.
    pub(super) fn count_piece(&self, piece: PieceIndex) {
        let (wanted, have) = self.bytes.get();
        self.bytes.set((wanted, have + self.wanted_bytes(piece)));
    }

    /// A piece is about to be lost.
    pub(super) fn discount_piece(&self, piece: PieceIndex) {
        let is_here = self.core.borrow().swarm.have().is_some_and(|pieces| pieces.get(piece.0));
        if is_here {
            let (wanted, have) = self.bytes.get();
            self.bytes.set((wanted, have - self.wanted_bytes(piece)));
        }
    }

    fn wanted_bytes(&self, piece: PieceIndex) -> u64 {
        let core = self.core.borrow();
        let info = self.info.borrow();
        let wanted = core.swarm.wanted().is_some_and(|wanted| wanted.get(piece.0));
        info.as_ref().filter(|_| wanted).map_or(0, |info| info.data_size(piece).into())
    }

    /// A connection ends: its peer is still shown, if anything was exchanged with it.
    pub(super) fn keep_past(&self, conn: ConnId) {
        let peer = {
            let core = self.core.borrow();
            core.swarm.peer(conn).and_then(|peer| self.peer_stats(conn, peer))
        };
        if let Some(peer) = peer.filter(|peer| peer.downloaded + peer.uploaded > 0) {
            let mut past = self.past.borrow_mut();
            if past.len() >= PAST_MAX {
                past.pop_front();
            }
            past.push_back(peer);
        }
    }

    fn peer_stats(&self, conn: ConnId, peer: &Peer<SocketAddr>) -> Option<PeerStats> {
        let now = self.shared.clock.now();
        let conns = self.conns.borrow();
        let handle = conns.get(&conn)?;
        Some(PeerStats {
            address: handle.address,
            listens: peer.listens,
            client: peer.client.clone(),
            transport: handle.transport,
            encrypted: handle.encrypted,
            downloaded: peer.downloaded,
            uploaded: peer.uploaded,
            download_rate: peer.download_rate(now),
            upload_rate: peer.upload_rate(now),
            progress: peer.progress(),
            choked_by_us: peer.choked_by_us,
            chokes_us: peer.chokes_us,
            interested: peer.interested,
            interesting: peer.interesting,
        })
    }
}
