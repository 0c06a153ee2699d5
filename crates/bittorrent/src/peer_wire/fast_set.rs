//! The allowed fast set (BEP 6): pieces that a peer may request while it is choked.

use alloc::vec::Vec;
use core::net::IpAddr;

use sha1::{Digest, Sha1};

use crate::id::{InfoHash, PieceIndex};

/// Most pieces in a set, whatever is asked for.
const MAX_SET: usize = 64;

/// The first `k` pieces (at most 64, and at most all) of the allowed fast set of the peer at `ip`,
/// by the canonical algorithm of BEP 6.
///
/// The algorithm has no provision for IPv6: such peers have an empty set.
#[must_use]
pub fn allowed_fast_set(
    ip: IpAddr,
    info_hash: InfoHash,
    piece_count: u32,
    k: usize,
) -> Vec<PieceIndex> {
    let IpAddr::V4(ip) = ip.to_canonical() else { return Vec::new() };
    let k = k.min(MAX_SET).min(piece_count as usize);
    let mut set = Vec::with_capacity(k);
    // All addresses of a /24 share one set, so that owning many of them gains nothing.
    let [a, b, c, _] = ip.octets();
    let mut digest = Sha1::new().chain_update([a, b, c, 0]).chain_update(info_hash.0).finalize();
    while set.len() < k {
        let (words, _) = digest.as_chunks::<4>();
        for word in words {
            let piece = PieceIndex(u32::from_be_bytes(*word) % piece_count);
            if set.len() < k && !set.contains(&piece) {
                set.push(piece);
            }
        }
        digest = Sha1::digest(digest);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO_HASH: InfoHash = InfoHash([0xaa; 20]);

    fn set(ip: &str, piece_count: u32, k: usize) -> Vec<u32> {
        let ip = ip.parse().unwrap();
        allowed_fast_set(ip, INFO_HASH, piece_count, k).into_iter().map(|piece| piece.0).collect()
    }

    #[test]
    fn sets_are_those_of_bep_6() {
        let expected = [1059, 431, 808, 1217, 287, 376, 1188, 353, 508];
        assert_eq!(set("80.4.4.200", 1313, 7), expected[..7]);
        assert_eq!(set("80.4.4.200", 1313, 9), expected);
        assert_eq!(set("80.4.4.1", 1313, 9), expected, "same /24");
        assert_eq!(set("::ffff:80.4.4.200", 1313, 9), expected, "mapped");
        assert_ne!(set("80.4.5.200", 1313, 9), expected);
    }

    #[test]
    fn pw_15_sets_are_bounded() {
        assert_eq!(set("80.4.4.200", 0, 10), []);
        assert_eq!(set("80.4.4.200", 1, 10), [0]);
        let mut all = set("80.4.4.200", 5, usize::MAX);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        assert_eq!(set("80.4.4.200", u32::MAX, usize::MAX).len(), MAX_SET);
        assert_eq!(set("2001:db8::1", 1313, 10), []);
    }
}
