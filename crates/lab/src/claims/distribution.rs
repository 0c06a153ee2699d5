//! How long it takes to bring a file to many, with the picker and the choker that run live.

pub(super) mod client_server;
pub(super) mod copies_and_chain;
pub(super) mod free_riders;
pub(super) mod piece_order;
mod relay;
pub(super) mod seed_leaves;

use std::time::Duration;

use bittorrent::picker::PieceOrder;
use sim::stream::Access;

use crate::param::{Kind, Param};
use crate::swarm::{Leecher, Scenario};

/// One way, between any two peers of a swarm.
const LATENCY: Duration = Duration::from_millis(20);

/// Pieces that a file of `mebibytes` has at `piece_kib` each.
fn pieces(mebibytes: u64, piece_kib: u64) -> u32 {
    (mebibytes * 1024).div_ceil(piece_kib) as u32
}

/// A swarm whose leechers know each other and fetch the rarest piece first from a source that stays:
/// what the claims have in common.
fn swarm(
    seed: u64,
    (mebibytes, piece_kib): (u64, u64),
    source: Access,
    leechers: Vec<Leecher>,
) -> Scenario {
    Scenario {
        seed,
        pieces: pieces(mebibytes, piece_kib),
        piece_len: (piece_kib * 1024) as u32,
        source,
        leechers,
        latency: LATENCY,
        order: PieceOrder::RarestFirst,
        acquainted: true,
        source_leaves_after: None,
    }
}

/// The orders that are compared.
const ORDERS: [(PieceOrder, &str); 3] = [
    (PieceOrder::RarestFirst, "rarest first"),
    (PieceOrder::Random, "random"),
    (PieceOrder::Sequential, "in sequence"),
];

const PIECE_KIB: Param = Param {
    name: "piece",
    what: "size of a piece, KiB; a multiple of 16",
    kind: Kind::Integer(16, 16_384),
    paper: "256",
    small: "256",
};
