//! Super-seeding (BEP 16): a first seed that shows each peer one piece at a time, so that it sends
//! little more than one copy of everything before there are other seeds.
//!
//! While it super-seeds, a seed says that it has nothing (`have none`, or no bitfield) and later
//! `have` for each piece that this module reveals. Which peers are served is the choker's affair.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use machine::{ConnId, Rng};

use crate::id::PieceIndex;

/// Pieces shown to one peer at once. BEP 16 shows one; a second keeps the connection busy while
/// the `have` of the first is on its way.
const SHOWN: usize = 2;

/// What was shown to a peer and has not been seen elsewhere since.
#[derive(Clone, Debug, Default)]
struct Shown {
    pieces: Vec<PieceIndex>,
}

/// What is shown to whom.
#[derive(Clone, Debug)]
pub struct SuperSeeding {
    /// How many peers have each piece, as far as they said.
    seen: Vec<u16>,
    /// To how many peers each piece was shown.
    shown: Vec<u16>,
    peers: BTreeMap<ConnId, Shown>,
    missing: u32,
}

impl SuperSeeding {
    /// Nothing is shown to anybody.
    #[must_use]
    pub fn new(piece_count: u32) -> Self {
        let zeros = alloc::vec![0; piece_count as usize];
        Self { seen: zeros.clone(), shown: zeros, peers: BTreeMap::new(), missing: piece_count }
    }

    /// Whether each piece has been seen at a peer, so that plain seeding does as well.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.missing == 0
    }

    /// A peer has joined; its pieces are told by [`peer_has`](Self::peer_has).
    pub fn peer_joined(&mut self, conn: ConnId) {
        self.peers.entry(conn).or_default();
    }

    /// A peer has left. `has` says which pieces it had.
    pub fn peer_left(&mut self, conn: ConnId, has: impl Fn(PieceIndex) -> bool) {
        for (piece, seen) in (0..).map(PieceIndex).zip(&mut self.seen) {
            if has(piece) && *seen > 0 {
                *seen -= 1;
                self.missing += u32::from(*seen == 0);
            }
        }
        let Some(left) = self.peers.remove(&conn) else { return };
        for piece in left.pieces {
            // It may not have passed the piece on: let others be shown it as if it never was.
            if let Some(shown) = self.shown.get_mut(piece.0 as usize) {
                *shown = shown.saturating_sub(1);
            }
        }
    }

    /// `conn` says that it has `piece`. Returns those who passed it on thereby: to each of them
    /// another piece may be [revealed](Self::reveal).
    pub fn peer_has(&mut self, conn: ConnId, piece: PieceIndex) -> Vec<ConnId> {
        let Some(seen) = self.seen.get_mut(piece.0 as usize) else { return Vec::new() };
        self.missing -= u32::from(*seen == 0);
        *seen = seen.saturating_add(1);
        let others = self.peers.iter_mut().filter(|(peer, _)| **peer != conn);
        others
            .filter_map(|(peer, shown)| {
                let at = shown.pieces.iter().position(|shown| *shown == piece)?;
                shown.pieces.swap_remove(at);
                Some(*peer)
            })
            .collect()
    }

    /// The next piece to show to `conn`, or `None` while it has not passed on what it was shown.
    ///
    /// It is one that the peer lacks (`has` is what it has), shown and seen least so far; among
    /// equals a random one.
    pub fn reveal(
        &mut self,
        conn: ConnId,
        has: impl Fn(PieceIndex) -> bool,
        rng: &mut Rng,
    ) -> Option<PieceIndex> {
        let alone = self.peers.len() < 2;
        let peer = self.peers.get_mut(&conn)?;
        if alone {
            // Nobody to pass pieces on to: only what it has not fetched yet counts.
            peer.pieces.retain(|piece| !has(*piece));
        }
        if peer.pieces.len() >= SHOWN {
            return None;
        }
        let count = self.shown.len();
        let start = rng.below(count as u64) as usize;
        let piece = (start..count)
            .chain(0..start)
            .map(|piece| PieceIndex(piece as u32))
            .filter(|piece| !has(*piece) && !peer.pieces.contains(piece))
            .min_by_key(|piece| {
                let at = piece.0 as usize;
                u32::from(self.shown[at]) + u32::from(self.seen[at])
            })?;
        peer.pieces.push(piece);
        let shown = &mut self.shown[piece.0 as usize];
        *shown = shown.saturating_add(1);
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_peer_is_shown_no_more_until_it_has_passed_on() {
        let mut rng = Rng::new(1);
        let mut seeding = SuperSeeding::new(10);
        let (one, two) = (ConnId(1), ConnId(2));
        seeding.peer_joined(one);
        seeding.peer_joined(two);
        let first = seeding.reveal(one, |_| false, &mut rng).unwrap();
        let second = seeding.reveal(one, |_| false, &mut rng).unwrap();
        assert_ne!(first, second);
        assert_eq!(seeding.reveal(one, |_| false, &mut rng), None);
        // That it has the piece itself is not enough.
        assert_eq!(seeding.peer_has(one, first), []);
        assert_eq!(seeding.reveal(one, |piece| piece == first, &mut rng), None);
        assert_eq!(seeding.peer_has(two, first), [one]);
        let third = seeding.reveal(one, |piece| piece == first, &mut rng).unwrap();
        assert!(third != first && third != second);
    }

    #[test]
    fn distinct_pieces_are_shown_first() {
        let mut rng = Rng::new(2);
        let mut seeding = SuperSeeding::new(16);
        let shown: BTreeSet<_> = (0..8)
            .flat_map(|conn| {
                seeding.peer_joined(ConnId(conn));
                (0..SHOWN)
                    .map(|_| seeding.reveal(ConnId(conn), |_| false, &mut rng))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(shown.len(), 16);
        assert!(!shown.contains(&None));
    }

    #[test]
    fn it_is_over_when_everything_was_seen_and_begins_anew_if_it_goes() {
        let mut seeding = SuperSeeding::new(2);
        seeding.peer_joined(ConnId(1));
        let _ = seeding.peer_has(ConnId(1), PieceIndex(0));
        let _ = seeding.peer_has(ConnId(1), PieceIndex(9));
        assert!(!seeding.is_over());
        let _ = seeding.peer_has(ConnId(1), PieceIndex(1));
        assert!(seeding.is_over());
        seeding.peer_left(ConnId(1), |_| true);
        assert!(!seeding.is_over());
    }

    #[test]
    fn a_lone_peer_gets_everything() {
        let mut rng = Rng::new(3);
        let mut seeding = SuperSeeding::new(5);
        seeding.peer_joined(ConnId(1));
        let mut has = BTreeSet::new();
        while has.len() < 5 {
            let piece = seeding.reveal(ConnId(1), |piece| has.contains(&piece), &mut rng).unwrap();
            let _ = seeding.peer_has(ConnId(1), piece);
            assert!(has.insert(piece));
        }
        assert_eq!(seeding.reveal(ConnId(1), |_| true, &mut rng), None);
    }

    #[test]
    fn one_copy_suffices_where_peers_trade() {
        // Each reveal is sent by the seed; peers then pass it on to all others.
        let (mut rng, mut sent) = (Rng::new(4), 0);
        let mut seeding = SuperSeeding::new(100);
        let mut has = alloc::vec![BTreeSet::new(); 5];
        (0..5).for_each(|conn| seeding.peer_joined(ConnId(conn)));
        while !seeding.is_over() {
            for conn in 0..5usize {
                let own = has[conn].clone();
                let Some(piece) =
                    seeding.reveal(ConnId(conn as u32), |piece| own.contains(&piece), &mut rng)
                else {
                    continue;
                };
                sent += 1;
                for (other, has) in (0..).map(ConnId).zip(&mut has) {
                    if has.insert(piece) {
                        let _ = seeding.peer_has(other, piece);
                    }
                }
            }
        }
        assert_eq!(sent, 100);
    }
}
