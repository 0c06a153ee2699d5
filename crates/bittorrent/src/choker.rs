//! Whom to upload to: tit-for-tat while leeching, fair turns while seeding (Cohen 2003, BEP 3).
//!
//! Decisions are functions of a narrow view of the peers. Measuring rates
//! ([`crate::rate::Rate`]) and sending `choke` and `unchoke` is not here.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use machine::{ConnId, Instant, Rng};

/// How often [`Choker::rechoke`] should be called: often enough to follow changes, seldom enough
/// for connections to reach their speed.
pub const RECHOKE_INTERVAL: Duration = Duration::from_secs(10);

/// How long one peer keeps the optimistic slot.
pub const OPTIMISTIC_INTERVAL: Duration = Duration::from_secs(30);

/// A peer that owes us blocks and has sent none for this long has snubbed us.
pub const SNUB_AFTER: Duration = Duration::from_secs(60);

/// How long a seed keeps a slot with one peer while others wait.
pub const SEED_TURN: Duration = Duration::from_secs(30);

/// How many times likelier than others a newly connected peer gets the optimistic slot.
const NEWCOMER_WEIGHT: u64 = 3;

/// Bytes sent for nothing in return after which a peer is a free rider.
const CREDIT: u64 = 1024 * 1024;

/// Most slots that a measured rate may ask for.
const MAX_SLOTS: usize = 64;

/// What the choker needs to know of a peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerView {
    /// Its connection.
    pub conn: ConnId,
    /// Whether it is interested in what we have.
    pub interested: bool,
    /// Whether we serve it now.
    pub unchoked: bool,
    /// Whether it serves us now.
    pub unchokes_us: bool,
    /// When the connection was made.
    pub connected_at: Instant,
    /// When we last began to serve it.
    pub unchoked_at: Option<Instant>,
    /// Bytes per second received from it, over the last 20 seconds.
    pub received_rate: u64,
    /// Bytes per second sent to it, over the last 20 seconds.
    pub sent_rate: u64,
    /// Bytes received from it since it connected.
    pub received: u64,
    /// Bytes sent to it since it connected.
    pub sent: u64,
    /// Whether it owes us blocks and has sent none for [`SNUB_AFTER`].
    pub snubbed: bool,
}

/// How many peers are served at once besides the optimistic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Always this many.
    Fixed(usize),
    /// As many as get `per_slot` bytes per second each out of what is sent now, but `least` at
    /// least.
    ByRate {
        /// Slots at any rate.
        least: usize,
        /// Bytes per second that make a slot worth having.
        per_slot: u64,
    },
}

impl Slots {
    /// The number, given the bytes per second sent to all peers together.
    #[must_use]
    pub fn count(self, sent_rate: u64) -> usize {
        match self {
            Self::Fixed(count) => count,
            Self::ByRate { least, per_slot } => {
                let paid = sent_rate.checked_div(per_slot).unwrap_or(0).min(MAX_SLOTS as u64);
                least.max(paid as usize)
            }
        }
    }
}

/// Slots for both ways of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// While pieces are missing. Few, so that those who give get much in return.
    pub leeching: Slots,
    /// Once all are here. As many as the uplink feeds: there is nothing to trade, and the more
    /// peers have fresh pieces, the sooner the last of them is done.
    pub seeding: Slots,
}

impl Config {
    /// `slots` regular slots while leeching (four in Cohen 2003), and at least as many seeding.
    #[must_use]
    pub const fn with_slots(slots: usize) -> Self {
        Self {
            leeching: Slots::Fixed(slots),
            seeding: Slots::ByRate { least: slots, per_slot: 256 * 1024 },
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::with_slots(4)
    }
}

/// Whom to begin and whom to cease to serve.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Changes {
    /// Send these `unchoke`.
    pub unchoke: Vec<ConnId>,
    /// Send these `choke`.
    pub choke: Vec<ConnId>,
}

/// Decides whom one torrent uploads to.
#[derive(Clone, Debug)]
pub struct Choker {
    config: Config,
    optimistic: Option<ConnId>,
    rotated_at: Option<Instant>,
}

impl Choker {
    /// A choker that serves nobody yet.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, optimistic: None, rotated_at: None }
    }

    /// The peer that is served without merit, to learn what it gives in return.
    #[must_use]
    pub const fn optimistic(&self) -> Option<ConnId> {
        self.optimistic
    }

    /// Decides anew; to be called every [`RECHOKE_INTERVAL`].
    pub fn rechoke(
        &mut self,
        now: Instant,
        seeding: bool,
        peers: &[PeerView],
        rng: &mut Rng,
    ) -> Changes {
        let slots = self.slots(seeding, peers);
        let mut chosen = if seeding {
            self.optimistic = None;
            seed_turns(now, peers, slots + 1)
        } else {
            reciprocators(peers, slots, self.optimistic)
        };
        if !seeding {
            self.rotate(now, peers, &chosen, rng);
            chosen.extend(self.optimistic);
        }
        changes(peers, &chosen)
    }

    /// Serves more peers if slots are free, and chokes nobody; to be called when a peer becomes
    /// interested, or leaves a slot.
    pub fn fill(
        &mut self,
        now: Instant,
        seeding: bool,
        peers: &[PeerView],
        rng: &mut Rng,
    ) -> Changes {
        let served = peers.iter().filter(|peer| peer.unchoked && peer.interested);
        let slots = self.slots(seeding, peers);
        let mut free = (slots + 1).saturating_sub(served.count());
        let mut waiting: Vec<_> =
            peers.iter().filter(|peer| peer.interested && !peer.unchoked).collect();
        let mut unchoke = Vec::new();
        if seeding {
            waiting.sort_by_key(|peer| (peer.unchoked_at, peer.conn));
        } else {
            rng.shuffle(&mut waiting);
            waiting.retain(|peer| !peer.snubbed && !is_free_rider(peer));
            waiting.sort_by_key(|peer| (Reverse(peer.received_rate), !peer.unchokes_us));
            let holds = |peer: &PeerView| Some(peer.conn) == self.optimistic && peer.interested;
            if free > 0 && !peers.iter().any(|peer| peer.unchoked && holds(peer)) {
                let regular: Vec<_> =
                    peers.iter().filter(|peer| peer.unchoked).map(|peer| peer.conn).collect();
                self.rotate(now, peers, &regular, rng);
                free -= 1;
                unchoke.extend(self.optimistic);
                waiting.retain(|peer| Some(peer.conn) != self.optimistic);
            }
        }
        unchoke.extend(waiting.iter().take(free).map(|peer| peer.conn));
        Changes { unchoke, choke: Vec::new() }
    }

    fn slots(&self, seeding: bool, peers: &[PeerView]) -> usize {
        let slots = if seeding { self.config.seeding } else { self.config.leeching };
        slots.count(peers.iter().map(|peer| peer.sent_rate).sum())
    }

    /// Gives the optimistic slot to another peer if its time is up or its holder needs it no more.
    fn rotate(&mut self, now: Instant, peers: &[PeerView], regular: &[ConnId], rng: &mut Rng) {
        let candidates =
            || peers.iter().filter(|peer| peer.interested && !regular.contains(&peer.conn));
        let holder = self.optimistic.filter(|held| candidates().any(|peer| peer.conn == *held));
        let fresh = self.rotated_at.is_some_and(|at| now.since(at) < OPTIMISTIC_INTERVAL);
        if holder.is_some() && fresh {
            return;
        }
        let weight = |peer: &PeerView| {
            if now.since(peer.connected_at) < OPTIMISTIC_INTERVAL { NEWCOMER_WEIGHT } else { 1 }
        };
        // The holder's turn is over; it stays only if nobody else waits.
        let others = || candidates().filter(|peer| Some(peer.conn) != holder);
        let mut lot = rng.below(others().map(weight).sum());
        let next = others().find(|peer| match lot.checked_sub(weight(peer)) {
            Some(left) => {
                lot = left;
                false
            }
            None => true,
        });
        self.optimistic = next.map(|peer| peer.conn).or(holder);
        self.rotated_at = Some(now);
    }
}

/// Whether it took its credit and gave nothing.
const fn is_free_rider(peer: &PeerView) -> bool {
    peer.received == 0 && peer.sent >= CREDIT
}

/// Those who give most, and while there are too few of them, those not yet known to give nothing.
fn reciprocators(peers: &[PeerView], slots: usize, optimistic: Option<ConnId>) -> Vec<ConnId> {
    let worthy = |peer: &&PeerView| peer.interested && !peer.snubbed && !is_free_rider(peer);
    let mut ranked: Vec<_> = peers.iter().filter(worthy).collect();
    // Whoever has a regular slot keeps it against one who gives less than a tenth more.
    let holds = |peer: &PeerView| peer.unchoked && Some(peer.conn) != optimistic;
    let merit = |peer: &PeerView| {
        let bonus = if holds(peer) { peer.received_rate / 10 } else { 0 };
        peer.received_rate.saturating_add(bonus)
    };
    ranked.sort_by_key(|peer| (Reverse(merit(peer)), !holds(peer), !peer.unchokes_us, peer.conn));
    ranked.iter().take(slots).map(|peer| peer.conn).collect()
}

/// Whose turn it is at a seed: those within their turn, then those who have waited longest.
///
/// Favouring the fastest downloaders instead would let them finish first and the last one finish
/// later; taking turns gives all the same share of fresh pieces, which they trade on.
fn seed_turns(now: Instant, peers: &[PeerView], slots: usize) -> Vec<ConnId> {
    let mut ranked: Vec<_> = peers.iter().filter(|peer| peer.interested).collect();
    let in_turn = |peer: &PeerView| {
        peer.unchoked && peer.unchoked_at.is_some_and(|at| now.since(at) < SEED_TURN)
    };
    ranked.sort_by_key(|peer| (!in_turn(peer), peer.unchoked, peer.unchoked_at, peer.conn));
    ranked.iter().take(slots).map(|peer| peer.conn).collect()
}

fn changes(peers: &[PeerView], chosen: &[ConnId]) -> Changes {
    let mut changes = Changes::default();
    for peer in peers {
        match (peer.unchoked, chosen.contains(&peer.conn)) {
            (false, true) => changes.unchoke.push(peer.conn),
            (true, false) => changes.choke.push(peer.conn),
            _ => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    /// An interested peer that gave as many megabytes as its rate says.
    fn peer(conn: u32, received_rate: u64) -> PeerView {
        PeerView {
            conn: ConnId(conn),
            interested: true,
            unchoked: false,
            unchokes_us: false,
            connected_at: Instant::ZERO,
            unchoked_at: None,
            received_rate,
            sent_rate: 0,
            received: received_rate,
            sent: 0,
            snubbed: false,
        }
    }

    fn ids(conns: &[ConnId]) -> Vec<u32> {
        let mut ids: Vec<_> = conns.iter().map(|conn| conn.0).collect();
        ids.sort_unstable();
        ids
    }

    fn apply(peers: &mut [PeerView], changes: &Changes, now: Instant) {
        for peer in peers {
            if changes.unchoke.contains(&peer.conn) {
                assert!(!peer.unchoked, "{:?} is served already", peer.conn);
                peer.unchoked = true;
                peer.unchoked_at = Some(now);
            }
            if changes.choke.contains(&peer.conn) {
                assert!(peer.unchoked, "{:?} is not served", peer.conn);
                peer.unchoked = false;
            }
        }
    }

    fn served(peers: &[PeerView]) -> Vec<u32> {
        peers.iter().filter(|peer| peer.unchoked).map(|peer| peer.conn.0).collect()
    }

    #[test]
    fn the_four_that_give_most_are_served_and_one_more() {
        let mut peers: Vec<_> =
            (0..9).map(|conn| peer(conn, 1_000 * u64::from(conn) + 500)).collect();
        peers[8].interested = false;
        let mut choker = Choker::new(Config::default());
        let changes = choker.rechoke(at(10), false, &peers, &mut Rng::new(1));
        apply(&mut peers, &changes, at(10));
        let now = served(&peers);
        assert_eq!(now.len(), 5);
        assert!([4, 5, 6, 7].iter().all(|conn| now.contains(conn)), "{now:?}");
        assert!(choker.optimistic().is_some_and(|conn| conn.0 < 4));
    }

    #[test]
    fn snubbing_peers_and_free_riders_get_the_optimistic_slot_at_most() {
        let mut peers = [peer(0, 9_000), peer(1, 0), peer(2, 500), peer(3, 0)];
        peers[0].snubbed = true;
        peers[1].sent = 2 * CREDIT;
        let mut choker = Choker::new(Config::default());
        let mut rng = Rng::new(3);
        for round in 1..200 {
            let changes = choker.rechoke(at(10 * round), false, &peers, &mut rng);
            apply(&mut peers, &changes, at(10 * round));
            assert!(peers[2].unchoked && peers[3].unchoked);
            for (conn, peer) in (0..2).zip(&peers) {
                assert_eq!(peer.unchoked, choker.optimistic() == Some(ConnId(conn)));
            }
        }
    }

    #[test]
    fn the_optimistic_slot_rotates_every_30_s_and_favours_newcomers() {
        let mut peers: Vec<_> = (0..4).map(|conn| peer(conn, 1_000_000)).collect();
        peers.extend((4..8).map(|conn| peer(conn, 0)));
        let mut choker = Choker::new(Config::default());
        let mut rng = Rng::new(1);
        let (mut turns, mut since, mut holder) = (BTreeMap::new(), 0, None);
        for round in 1..20_000 {
            // One of the four is new whenever the slot may be given away.
            peers[7].connected_at = at(10 * round - 5);
            let changes = choker.rechoke(at(10 * round), false, &peers, &mut rng);
            apply(&mut peers, &changes, at(10 * round));
            if holder != choker.optimistic() {
                assert!(holder.is_none() || round - since == 3, "after {}", round - since);
                (holder, since) = (choker.optimistic(), round);
                *turns.entry(holder.map_or(0, |conn| conn.0)).or_insert(0u32) += 1;
            }
        }
        assert_eq!(ids(&turns.keys().map(|conn| ConnId(*conn)).collect::<Vec<_>>()), [4, 5, 6, 7]);
        // Nobody holds it twice running, so of every two turns at most one is the newcomer's.
        // In equilibrium it holds three eighths of the turns, the others five each of 24.
        let newcomer = f64::from(turns[&7]) * 3. / f64::from(turns[&4] + turns[&5] + turns[&6]);
        assert!((1.65..1.95).contains(&newcomer), "{turns:?}");
    }

    #[test]
    fn near_ties_do_not_flap() {
        let mut peers: Vec<_> = (0..8).map(|conn| peer(conn, 100_000)).collect();
        let mut choker = Choker::new(Config::default());
        let mut rng = Rng::new(5);
        let mut regular = None;
        for round in 1..100 {
            for peer in &mut peers {
                peer.received_rate = 100_000 + rng.below(9_000);
            }
            let changes = choker.rechoke(at(10 * round), false, &peers, &mut rng);
            apply(&mut peers, &changes, at(10 * round));
            let now: Vec<_> = served(&peers)
                .into_iter()
                .filter(|conn| choker.optimistic() != Some(ConnId(*conn)))
                .collect();
            assert_eq!(regular.get_or_insert_with(|| now.clone()), &now, "round {round}");
        }
    }

    #[test]
    fn free_slots_are_filled_at_once_and_nobody_is_choked_for_it() {
        let mut peers: Vec<_> = (0..8).map(|conn| peer(conn, 0)).collect();
        let mut choker = Choker::new(Config::default());
        let mut rng = Rng::new(1);
        for peer in &mut peers[3..] {
            peer.interested = false;
        }
        let changes = choker.fill(at(0), false, &peers, &mut rng);
        assert_eq!((ids(&changes.unchoke), changes.choke.len()), (alloc::vec![0, 1, 2], 0));
        apply(&mut peers, &changes, at(0));
        for peer in &mut peers {
            peer.interested = true;
        }
        let changes = choker.fill(at(1), false, &peers, &mut rng);
        apply(&mut peers, &changes, at(1));
        assert_eq!(served(&peers).len(), 5);
        assert_eq!(choker.fill(at(2), false, &peers, &mut rng), Changes::default());
    }

    #[test]
    fn seeds_give_everyone_a_turn() {
        let mut peers: Vec<_> = (0..20).map(|conn| peer(conn, 0)).collect();
        let mut choker = Choker::new(Config::default());
        let mut turns = [0; 20];
        for round in 1..=120 {
            let changes = choker.rechoke(at(10 * round), true, &peers, &mut Rng::new(1));
            apply(&mut peers, &changes, at(10 * round));
            assert_eq!(served(&peers).len(), 5);
            served(&peers).iter().for_each(|conn| turns[*conn as usize] += 1);
        }
        assert!(turns.iter().all(|&rounds| rounds == 30), "{turns:?}");
    }

    #[test]
    fn seeds_open_slots_as_long_as_each_is_worth_it() {
        let slots = Config::default().seeding;
        assert_eq!(slots.count(0), 4);
        assert_eq!(slots.count(8 * 1024 * 1024), 32);
        assert_eq!(slots.count(u64::MAX), MAX_SLOTS);
        assert_eq!(Slots::ByRate { least: 2, per_slot: 0 }.count(9), 2);
        assert_eq!(Config::default().leeching.count(u64::MAX), 4);
    }

    #[test]
    fn empty_and_uninterested_swarms_are_no_trouble() {
        let mut choker = Choker::new(Config::default());
        let mut rng = Rng::new(1);
        let idle = [PeerView { interested: false, unchoked: true, ..peer(1, 5) }];
        for seeding in [false, true] {
            assert_eq!(choker.rechoke(at(1), seeding, &[], &mut rng), Changes::default());
            assert_eq!(choker.fill(at(1), seeding, &[], &mut rng), Changes::default());
            assert_eq!(choker.rechoke(at(1), seeding, &idle, &mut rng).choke, [ConnId(1)]);
        }
    }
}
