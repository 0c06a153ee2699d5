//! The peers of one swarm in one address family: packed to the address and two bytes, in an array
//! of which any run is a fair sample, with a hash index once the array is too long to scan.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hashbrown::HashTable;
use machine::Rng;

use crate::tracker::siphash::SipKey;

/// The longest list that is searched from end to end.
const SCAN: usize = 32;

/// When a peer was last heard of, in ticks modulo 2^15, and whether it is a partial seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp([u8; 2]);

/// Ticks after which a stamp is as it was: 2^15.
pub(super) const STAMP_PERIOD: u64 = 1 << 15;

impl Stamp {
    pub(super) fn new(tick: u64, partial: bool) -> Self {
        let ticks = (tick % STAMP_PERIOD) as u16;
        Self((ticks << 1 | u16::from(partial)).to_le_bytes())
    }

    pub(super) fn is_partial(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Ticks since, if fewer than [`STAMP_PERIOD`] have passed.
    pub(super) fn age(self, tick: u64) -> u64 {
        let ticks = u64::from(u16::from_le_bytes(self.0) >> 1);
        tick.wrapping_sub(ticks) % STAMP_PERIOD
    }
}

/// A compact address (of `N` bytes, 6 or 18) and a stamp.
#[derive(Clone, Copy)]
struct Peer<const N: usize> {
    address: [u8; N],
    stamp: Stamp,
}

/// Peers of one standing.
#[derive(Default)]
pub(super) struct PeerList<const N: usize> {
    peers: Vec<Peer<N>>,
    /// Places in `peers`; there if these are more than [`SCAN`], or were until lately.
    index: Option<Box<HashTable<u32>>>,
}

impl<const N: usize> PeerList<N> {
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(super) fn stamp(&self, place: usize) -> Option<Stamp> {
        self.peers.get(place).map(|peer| peer.stamp)
    }

    pub(super) fn set_stamp(&mut self, place: usize, stamp: Stamp) {
        if let Some(peer) = self.peers.get_mut(place) {
            peer.stamp = stamp;
        }
    }

    pub(super) fn find(&self, key: &SipKey, address: &[u8; N]) -> Option<usize> {
        match &self.index {
            None => self.peers.iter().position(|peer| peer.address == *address),
            Some(index) => index
                .find(key.place(address), |&at| self.peers[at as usize].address == *address)
                .map(|&at| at as usize),
        }
    }

    /// Adds a peer that is known not to be here, and returns its place.
    pub(super) fn push(&mut self, key: &SipKey, address: [u8; N], stamp: Stamp) -> usize {
        let place = self.peers.len();
        self.peers.push(Peer { address, stamp });
        let peers = &self.peers;
        let place_of = |&at: &u32| key.place(&peers[at as usize].address);
        match &mut self.index {
            Some(index) => {
                index.insert_unique(key.place(&address), place as u32, place_of);
            }
            None if peers.len() > SCAN => {
                let mut index = HashTable::with_capacity(peers.len() * 2);
                for (at, peer) in peers.iter().enumerate() {
                    index.insert_unique(key.place(&peer.address), at as u32, place_of);
                }
                self.index = Some(Box::new(index));
            }
            None => {}
        }
        place
    }

    /// Takes a peer out; the last one moves to its place.
    pub(super) fn remove(&mut self, key: &SipKey, place: usize) -> Option<Stamp> {
        let gone = *self.peers.get(place)?;
        let last = self.peers.len() - 1;
        if let Some(index) = &mut self.index {
            let found = index.find_entry(key.place(&gone.address), |&at| at as usize == place);
            if let Ok(entry) = found {
                entry.remove();
            }
            let moved = key.place(&self.peers[last].address);
            if let Some(at) = index.find_mut(moved, |&at| at as usize == last) {
                *at = place as u32;
            }
            if last < SCAN / 2 {
                self.index = None;
            }
        }
        self.peers.swap_remove(place);
        if self.peers.capacity() > 8 && self.peers.len() < self.peers.capacity() / 4 {
            self.peers.shrink_to(self.peers.len() * 2);
        }
        Some(gone.stamp)
    }

    /// Appends compact addresses of up to `want` peers: a run that begins anywhere, without the
    /// peer at `except` and without those older than `lifetime` ticks. Looks at about twice as
    /// many as are wanted, no more.
    pub(super) fn sample(
        &self,
        want: usize,
        except: Option<usize>,
        (tick, lifetime): (u64, u64),
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) {
        let start = rng.below(self.peers.len() as u64) as usize;
        let (before, from) = self.peers.split_at(start);
        let around = from.iter().zip(start..).chain(before.iter().zip(0..));
        let mut left = want;
        for (peer, place) in around.take(want.saturating_mul(2).saturating_add(8)) {
            if left == 0 {
                break;
            }
            if Some(place) != except && peer.stamp.age(tick) <= lifetime {
                out.extend_from_slice(&peer.address);
                left -= 1;
            }
        }
    }
}
