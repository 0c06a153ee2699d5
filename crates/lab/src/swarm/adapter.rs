//! The BitTorrent machine in the words of the stream driver.

use std::net::IpAddr;
use std::time::Duration;

use bittorrent::peer_wire::Frame;
use bittorrent::swarm::{CloseReason, Effect, Event, PeerContact, Swarm};
use machine::{Contact, Instant};
use sim::stream::{Act, Adapter, Which};

/// A node, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Node(pub(super) u32);

impl Contact for Node {
    type Host = u32;

    fn host(&self) -> u32 {
        self.0
    }
}

impl PeerContact for Node {
    fn with_port(&self, _port: u16) -> Self {
        *self
    }

    fn ip(&self) -> Option<IpAddr> {
        None
    }

    fn from_ip(_ip: IpAddr, _port: u16) -> Option<Self> {
        None
    }

    fn priority(&self, other: &Self) -> u32 {
        self.0 ^ other.0
    }

    fn is_dialable(&self, _allow_loopback: bool) -> bool {
        true
    }

    fn is_loopback(&self) -> bool {
        false
    }
}

/// Translates, makes free riders ride, and keeps the times.
pub(super) struct SwarmAdapter {
    rides: Vec<bool>,
    done: Vec<Option<Duration>>,
    complete: usize,
    pieces: u64,
    last_piece: Instant,
    blamed: u32,
}

impl SwarmAdapter {
    pub(super) fn new(rides: Vec<bool>) -> Self {
        let done = vec![None; rides.len()];
        Self { rides, done, complete: 0, pieces: 0, last_piece: Instant::ZERO, blamed: 0 }
    }

    /// When each node was done.
    pub(super) fn done(&self) -> &[Option<Duration>] {
        &self.done
    }

    /// Leechers that are done.
    pub(super) const fn complete(&self) -> usize {
        self.complete
    }

    /// Pieces that all leechers have completed together.
    pub(super) const fn pieces(&self) -> u64 {
        self.pieces
    }

    /// When the last of these was completed.
    pub(super) const fn last_piece(&self) -> Instant {
        self.last_piece
    }

    /// Connections that one end closed because the other did wrong.
    pub(super) const fn blamed(&self) -> u32 {
        self.blamed
    }
}

impl Adapter for SwarmAdapter {
    type Machine = Swarm<Node>;

    fn contact(&self, node: u32) -> Node {
        Node(node)
    }

    fn node(&self, contact: Node) -> u32 {
        contact.0
    }

    fn act(&mut self, node: u32, effect: Effect<Node>) -> Act<Swarm<Node>> {
        match effect {
            // Who rides for free never lets anybody ask.
            Effect::Send(_, Frame::Unchoke | Frame::AllowedFast(_))
                if self.rides[node as usize] =>
            {
                Act::Nothing
            }
            Effect::Dial(contact, _) => Act::Dial(contact),
            Effect::Send(conn, frame) => Act::Send(conn, frame),
            Effect::SendBlock(conn, block) => Act::SendPayload(conn, block.into()),
            Effect::DropBlock(conn, block) => Act::Drop(conn, Which::One(block.into())),
            Effect::DropBlocks(conn, except) => {
                Act::Drop(conn, Which::AllBut(except.iter().map(|piece| piece.0).collect()))
            }
            Effect::Close(conn, why) => {
                let wrong = [CloseReason::Protocol, CloseReason::Banned, CloseReason::WrongTorrent];
                self.blamed += u32::from(wrong.contains(&why));
                Act::Close(conn, why)
            }
            Effect::Verify(piece) => Act::Verify(piece.0),
            // Nothing is kept in memory, and there are no hashes to ask for.
            Effect::Forget(_) | Effect::ReadLeaves(..) => Act::Nothing,
        }
    }

    fn on_event(&mut self, node: u32, event: Event<Node>, now: Instant) {
        match event {
            Event::Piece(_) => {
                self.pieces += 1;
                self.last_piece = now;
            }
            // The seed is complete as it begins.
            Event::Complete if node > 0 && self.done[node as usize].is_none() => {
                self.done[node as usize] = Some(now - Instant::ZERO);
                self.complete += 1;
            }
            _ => {}
        }
    }

    fn gone(&self) -> CloseReason {
        CloseReason::Gone
    }
}
