//! Readers of a torrent that is still being fetched: what they wait for goes before all else. The
//! bytes themselves are read by the facade's `FileReader`, on other threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bittorrent::id::PieceIndex;
use bittorrent::swarm::Command;
use codec::bitfield::Bitfield;
use tokio::sync::{oneshot, watch};

use super::Torrent;
use crate::session::picture::TorrentState;
use crate::session::reactor::ReaderId;
use crate::store::Store;

/// Readers that may hurry pieces at once; beyond them, reading goes by the usual order.
const READERS_MAX: usize = 64;
/// Answers that may be owed to readers at once.
const WAITING_MAX: usize = 1_024;
/// Pieces that one reader may hurry.
const AHEAD_MAX: u32 = 256;

/// Who reads what.
#[derive(Default)]
pub(super) struct Reading {
    windows: BTreeMap<ReaderId, Range<u32>>,
    waiting: BTreeMap<PieceIndex, Vec<oneshot::Sender<()>>>,
}

impl Reading {
    /// Pieces that somebody reads, with their distance from who reads them.
    fn urgent(&self, have: &Bitfield) -> Vec<(PieceIndex, u32)> {
        let mut nearest = BTreeMap::new();
        for window in self.windows.values() {
            for (distance, piece) in (0..).zip(window.clone()) {
                let known = nearest.entry(PieceIndex(piece)).or_insert(distance);
                *known = distance.min(*known);
            }
        }
        nearest.retain(|piece, _| !have.get(piece.0));
        nearest.into_iter().collect()
    }
}

impl Torrent {
    /// Pieces that are verified; `None` while that is not known.
    pub(in crate::session) fn have(&self) -> Option<Bitfield> {
        self.core.borrow().swarm.have().cloned()
    }

    /// The files, once it is known which there are.
    pub(in crate::session) fn store(&self) -> Option<Arc<Store>> {
        self.store.borrow().clone()
    }

    /// Tells of every state and every piece from now on, until it is forgotten.
    pub(in crate::session) fn follow(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// `reader` wants these pieces next; an empty range ends its reading.
    pub(in crate::session) fn read_ahead(
        self: &Rc<Self>,
        reader: ReaderId,
        mut pieces: Range<u32>,
    ) {
        let Some(have) = self.have() else { return };
        pieces.end = pieces.end.min(have.len()).min(pieces.start.saturating_add(AHEAD_MAX));
        {
            let reading = &mut *self.reading.borrow_mut();
            let before = if pieces.is_empty() {
                reading.windows.remove(&reader)
            } else if reading.windows.len() < READERS_MAX || reading.windows.contains_key(&reader) {
                reading.windows.insert(reader, pieces.clone())
            } else {
                return;
            };
            if before.is_some_and(|before| before == pieces) {
                return;
            }
        }
        let urgent = self.reading.borrow().urgent(&have);
        self.command(Command::Urgent(urgent));
    }

    /// Answers when `piece` is verified. The sender is dropped if there is no hope of that.
    pub(in crate::session) fn await_piece(&self, piece: PieceIndex, to: oneshot::Sender<()>) {
        if self.have().is_some_and(|have| have.get(piece.0)) {
            // Whoever asked may have gone away.
            let _ = to.send(());
            return;
        }
        let failed = self.state() == TorrentState::Failed;
        let waiting = &mut self.reading.borrow_mut().waiting;
        if !self.stopped.get()
            && !failed
            && waiting.values().map(Vec::len).sum::<usize>() < WAITING_MAX
        {
            let all = waiting.entry(piece).or_default();
            all.retain(|other| !other.is_closed());
            all.push(to);
        }
    }

    /// Files are checked: answers those who asked before it was known what is here.
    pub(super) fn pieces_known(&self) {
        let waiting: Vec<PieceIndex> = self.reading.borrow().waiting.keys().copied().collect();
        let Some(have) = self.have() else { return };
        waiting
            .into_iter()
            .filter(|piece| have.get(piece.0))
            .for_each(|piece| self.piece_here(piece));
    }

    /// A piece is verified and stored.
    pub(super) fn piece_here(&self, piece: PieceIndex) {
        self.news.send_replace(());
        let waiting = self.reading.borrow_mut().waiting.remove(&piece);
        for to in waiting.into_iter().flatten() {
            let _ = to.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_reader_says_how_urgent_a_piece_is() {
        let mut reading = Reading::default();
        reading.windows.insert(1, 10..14);
        reading.windows.insert(2, 12..13);
        let mut have = Bitfield::new(20);
        have.set(10);
        let urgent = reading.urgent(&have);
        let expected = [(11, 1), (12, 0), (13, 3)].map(|(piece, near)| (PieceIndex(piece), near));
        assert_eq!(urgent, expected);
    }
}
