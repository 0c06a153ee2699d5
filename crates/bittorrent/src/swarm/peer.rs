//! One connected peer as the swarm knows it: what was said, what is owed, how fast it is.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use codec::bitfield::Bitfield;
use machine::{Instant, Side};

use super::exchange::PexState;
use super::message::limits;
use crate::extension::Extensions;
use crate::id::{Block, PeerId, PieceIndex};
use crate::rate::Rate;
use crate::request_queue::RequestQueue;

/// Which pieces a peer has.
#[derive(Clone, Debug)]
pub(super) enum Has {
    /// It said so before we knew how many pieces there are: the raw bitfield and later pieces.
    Early {
        /// `HaveAll`.
        all: bool,
        /// The bytes of its bitfield.
        bits: Vec<u8>,
        /// Pieces announced one by one, bounded.
        haves: Vec<PieceIndex>,
    },
    /// Known.
    Known(Bitfield),
}

/// A request of ours that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) block: Block,
    pub(super) at: Instant,
    /// Given back to the picker after a time-out; still welcome if it comes.
    pub(super) given_up: bool,
}

/// A connected peer. What people are shown of it is public.
#[derive(Debug)]
pub struct Peer<C> {
    /// Its end of the connection.
    pub contact: C,
    pub(super) side: Side,
    /// Where it listens.
    pub listens: Option<C>,
    pub(super) opened: Instant,
    pub(super) id: Option<PeerId>,
    pub(super) fast: bool,
    pub(super) extended: bool,
    pub(super) v2: bool,
    pub(super) extensions: Extensions,
    /// Its program, as it calls itself; text from a stranger.
    pub client: String,
    pub(super) reqq: usize,
    pub(super) upload_only: bool,

    pub(super) has: Has,
    /// A first message about pieces has come; another bitfield is an offence.
    pub(super) said_pieces: bool,
    /// It has said where its node of the DHT is.
    pub(super) said_port: bool,
    /// Its extension handshake has come.
    pub(super) said_abilities: bool,
    /// Pieces it has that we want and lack.
    pub(super) useful: u32,
    /// We want pieces of its.
    pub interesting: bool,
    /// We choke it.
    pub choked_by_us: bool,
    /// It chokes us.
    pub chokes_us: bool,
    /// It wants pieces of ours.
    pub interested: bool,
    pub(super) unchoked_at: Option<Instant>,

    pub(super) requests: VecDeque<Request>,
    pub(super) queue: RequestQueue,
    /// Pieces it lets us request while choked.
    pub(super) allowed_fast: Vec<PieceIndex>,
    /// Pieces that we let it request while choked.
    pub(super) granted_fast: Vec<PieceIndex>,
    pub(super) suggested: Vec<PieceIndex>,
    pub(super) snubbed: bool,
    pub(super) offences: u32,
    /// Blocks queued for it in the driver.
    pub(super) queued: usize,

    pub(super) down: Rate,
    pub(super) up: Rate,
    /// Payload bytes received from it.
    pub downloaded: u64,
    /// Payload bytes sent to it.
    pub uploaded: u64,
    pub(super) last_heard: Instant,
    pub(super) last_said: Instant,
    pub(super) last_block: Instant,
    pub(super) last_useful: Instant,

    pub(super) pex: PexState<C>,
    /// Parts of the info dictionary that we asked it for and still await.
    pub(super) metadata_asked: u32,
    /// Bytes of the info dictionary, as it says.
    pub(super) metadata_len: Option<u32>,
    pub(super) metadata_refused: bool,
    pub(super) hashes_asked: u32,
    pub(super) hashes_refused: bool,
}

impl<C> Peer<C> {
    /// Payload bytes per second received from it.
    #[must_use]
    pub fn download_rate(&self, now: Instant) -> u64 {
        self.down.per_second(now)
    }

    /// Payload bytes per second sent to it.
    #[must_use]
    pub fn upload_rate(&self, now: Instant) -> u64 {
        self.up.per_second(now)
    }

    /// The share of the pieces that it has, from 0 to 1.
    #[must_use]
    pub fn progress(&self) -> f32 {
        match &self.has {
            Has::Known(bits) if bits.is_empty() => 0.0,
            Has::Known(bits) => bits.count_ones() as f32 / bits.len() as f32,
            Has::Early { all, .. } => f32::from(u8::from(*all)),
        }
    }
}

impl<C: Copy + Ord> Peer<C> {
    pub(super) fn new(contact: C, side: Side, now: Instant) -> Self {
        Self {
            contact,
            side,
            listens: (side == Side::Dialer).then_some(contact),
            opened: now,
            id: None,
            fast: false,
            extended: false,
            v2: false,
            extensions: Extensions::default(),
            client: String::new(),
            reqq: 250,
            upload_only: false,
            has: Has::Early { all: false, bits: Vec::new(), haves: Vec::new() },
            said_pieces: false,
            said_port: false,
            said_abilities: false,
            useful: 0,
            interesting: false,
            choked_by_us: true,
            chokes_us: true,
            interested: false,
            unchoked_at: None,
            requests: VecDeque::new(),
            queue: RequestQueue::new(now, limits::REQUESTS_OUT_MAX),
            allowed_fast: Vec::new(),
            granted_fast: Vec::new(),
            suggested: Vec::new(),
            snubbed: false,
            offences: 0,
            queued: 0,
            down: Rate::new(now),
            up: Rate::new(now),
            downloaded: 0,
            uploaded: 0,
            last_heard: now,
            last_said: now,
            last_block: now,
            last_useful: now,
            pex: PexState::default(),
            metadata_asked: 0,
            metadata_len: None,
            metadata_refused: false,
            hashes_asked: 0,
            hashes_refused: false,
        }
    }

    /// Whether the opening handshake is done.
    pub(super) fn is_ready(&self) -> bool {
        self.id.is_some()
    }

    pub(super) fn has(&self, piece: PieceIndex) -> bool {
        matches!(&self.has, Has::Known(bits) if bits.get(piece.0))
    }

    pub(super) fn is_seed(&self) -> bool {
        matches!(&self.has, Has::Known(bits) if bits.all())
    }

    /// Whether it has said nothing of itself since the handshake.
    pub(super) fn is_mute(&self) -> bool {
        !self.said_pieces && !self.said_abilities
    }

    /// Whether this is an address of the peer.
    pub(super) fn is_at(&self, contact: C) -> bool {
        self.contact == contact || self.listens == Some(contact)
    }

    /// Counts something that was of no use; too much of it is a reason to close.
    pub(super) fn offend(&mut self) -> bool {
        self.offences += 1;
        self.offences > limits::OFFENCES_MAX
    }

    /// Remembers a hinted piece, newest last, within bounds.
    pub(super) fn hint(list: &mut Vec<PieceIndex>, piece: PieceIndex) {
        if !list.contains(&piece) {
            if list.len() >= limits::HINTS_MAX {
                list.remove(0);
            }
            list.push(piece);
        }
    }
}
