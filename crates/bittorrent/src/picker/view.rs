//! What the picker is told about peers and wishes: narrow views, no state of its own.

use codec::bitfield::Bitfield;
use machine::ConnId;

use crate::id::PieceIndex;

/// How much a piece is wanted, from 0 (not at all) to 7 (before all others).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// Not wanted.
    pub const SKIP: Self = Self(0);
    /// After everything else.
    pub const LOW: Self = Self(1);
    /// As most pieces.
    pub const NORMAL: Self = Self(4);
    /// Before everything else.
    pub const HIGH: Self = Self(7);

    /// The priority of this number; above 7 counts as 7.
    #[must_use]
    pub const fn new(level: u8) -> Self {
        Self(if level > 7 { 7 } else { level })
    }

    /// Its number, 0 to 7.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

/// Which pieces a peer has.
#[derive(Clone, Copy, Debug)]
pub enum PieceSet<'a> {
    /// Every one (BEP 6 `have all`, or a full bitfield).
    All,
    /// Those whose bit is set, most significant bit first (BEP 3); bits past its end are unset.
    Bits(&'a [u8]),
    /// Those in a set.
    Field(&'a Bitfield),
}

impl PieceSet<'_> {
    /// Whether `piece` is in it.
    #[must_use]
    pub fn has(&self, piece: PieceIndex) -> bool {
        match self {
            Self::All => true,
            Self::Field(field) => field.get(piece.0),
            Self::Bits(bytes) => bytes
                .get((piece.0 / 8) as usize)
                .is_some_and(|byte| byte << (piece.0 % 8) & 0x80 != 0),
        }
    }

    /// The eight pieces from `byte * 8` on.
    pub(super) fn byte(&self, byte: usize) -> u8 {
        match self {
            Self::All => 0xff,
            Self::Field(field) => field.byte(byte as u32),
            Self::Bits(bytes) => bytes.get(byte).copied().unwrap_or(0),
        }
    }
}

/// How a peer's rate compares to the size of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Speed {
    /// Helps with pieces that others have begun, and opens one only if there are none.
    #[default]
    Slow,
    /// Helps with pieces others have begun, those nearest to completion first.
    Medium,
    /// Takes whole pieces for itself where it can.
    Fast,
}

/// What the picker needs to know of the peer it picks for.
#[derive(Clone, Copy, Debug)]
pub struct PeerView<'a> {
    /// Its connection.
    pub conn: ConnId,
    /// What it has.
    pub has: PieceSet<'a>,
    /// While it chokes us: the pieces it serves nevertheless (BEP 6 `allowed fast`). `None` if it
    /// does not choke us.
    pub choked_allows: Option<&'a [PieceIndex]>,
    /// Pieces it would rather serve (BEP 6 `suggest`).
    pub suggested: &'a [PieceIndex],
    /// How fast it is.
    pub speed: Speed,
}

impl<'a> PeerView<'a> {
    /// A peer that serves us anything it has.
    #[must_use]
    pub const fn unchoking(conn: ConnId, has: PieceSet<'a>) -> Self {
        Self { conn, has, choked_allows: None, suggested: &[], speed: Speed::Medium }
    }

    /// Whether a request to it for `piece` would be served.
    pub(super) fn serves(&self, piece: PieceIndex) -> bool {
        self.has.has(piece) && self.choked_allows.is_none_or(|allowed| allowed.contains(&piece))
    }
}
