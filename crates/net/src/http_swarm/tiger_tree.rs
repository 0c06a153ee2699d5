//! Trees of Tiger hashes over a file (THEX, "Tree Hash EXchange format", 2003): leaves of 1,024
//! bytes, of which only a level of large slices is kept. How trees travel is in `thex`.

use search::gnutella::TigerRoot;
use tiger::{Digest, Tiger};

/// Bytes that a leaf hashes.
const LEAF: u64 = 1_024;
/// Bytes of the largest slices whose hashes we keep and tell.
pub(super) const SLICE: u64 = 1 << 20;
/// Lengths of files from which on a tree is expected to be a level deeper, in KiB: programs refuse
/// trees that are not as deep as this.
const DEEPER_FROM: [u64; 11] =
    [256, 512, 1_024, 2_048, 4_096, 8_192, 16_384, 32_768, 65_536, 262_144, 1_048_576];

type Hash = [u8; 24];

fn leaf(bytes: &[u8]) -> Hash {
    Tiger::new().chain_update([0]).chain_update(bytes).finalize().into()
}

fn join(left: &Hash, right: &Hash) -> Hash {
    Tiger::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The level above; a node without a sibling rises as it is.
fn above(level: &[Hash]) -> Vec<Hash> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => join(left, right),
            [alone, ..] => *alone,
            [] => [0; 24],
        })
        .collect()
}

fn top(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = above(&level);
    }
    level.first().copied().unwrap_or_else(|| leaf(&[]))
}

/// Bytes of the slices in which a file of `len` bytes is hashed.
pub(crate) fn slice_of(len: u64) -> u64 {
    let expected = DEEPER_FROM.iter().filter(|from| len >= **from * 1_024).count() as u32;
    let full = depth(len.div_ceil(LEAF).max(1));
    (LEAF << full.saturating_sub(expected)).min(SLICE)
}

/// The hash of a slice, which holds a whole subtree.
pub(super) fn slice_hash(bytes: &[u8]) -> Hash {
    top(bytes.chunks(LEAF as usize).map(leaf).collect())
}

/// The Tiger hashes of a file's slices: one level of the tree over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TigerTree {
    /// Bytes that each node of the level stands for.
    pub(crate) slice: u64,
    hashes: Vec<Hash>,
}

impl TigerTree {
    /// The level of nodes that stand for `slice` bytes, a power of two of at least 1,024.
    pub(super) const fn new(slice: u64, hashes: Vec<Hash>) -> Self {
        Self { slice, hashes }
    }

    pub(super) fn root(&self) -> TigerRoot {
        TigerRoot(top(self.hashes.clone()))
    }

    /// All levels from the root to this one, each from the left.
    pub(super) fn breadth_first(&self) -> Vec<u8> {
        let mut levels = vec![self.hashes.clone()];
        while levels.last().is_some_and(|level| level.len() > 1) {
            levels.extend(levels.last().map(|level| above(level)));
        }
        levels.iter().rev().flatten().flatten().copied().collect()
    }

    /// How many levels are above this one.
    pub(super) fn depth(&self) -> u32 {
        depth(self.hashes.len() as u64)
    }

    /// Reads levels from the root down, of a file of `len` bytes. The lowest level that is whole
    /// and stands for at least `slice` bytes a node is kept. `None` if it is not the tree of `root`.
    pub(super) fn parse(bytes: &[u8], len: u64, root: TigerRoot, slice: u64) -> Option<Self> {
        let height = depth(len.div_ceil(LEAF).max(1));
        let (mut rest, mut best) = (bytes, None);
        for level in 0..=height {
            let size =
                1_u64.checked_shl(height - level).and_then(|leaves| LEAF.checked_mul(leaves))?;
            let count = usize::try_from(len.div_ceil(size).max(1)).ok()?;
            if level > 0 && size < slice {
                break;
            }
            let Some((hashes, below)) = rest.split_at_checked(count.checked_mul(24)?) else {
                break;
            };
            rest = below;
            let hashes = hashes.chunks_exact(24).filter_map(|hash| hash.try_into().ok()).collect();
            best = Some(Self::new(size, hashes));
        }
        best.filter(|tree| tree.root() == root)
    }

    /// Whether `bytes` are what stands at slice `index`.
    pub(crate) fn verifies(&self, index: usize, bytes: &[u8]) -> bool {
        self.hashes.get(index).is_some_and(|hash| *hash == slice_hash(bytes))
    }
}

/// Levels above one of `count` nodes.
fn depth(count: u64) -> u32 {
    count.next_power_of_two().trailing_zeros()
}

#[cfg(test)]
mod tests {
    use codec::base32;

    use super::*;

    fn tree(bytes: &[u8], slice: u64) -> TigerTree {
        let hashes = bytes.chunks(slice as usize).map(slice_hash).collect();
        TigerTree::new(slice, hashes)
    }

    #[test]
    fn roots_are_the_published_ones() {
        let table: [(&[u8], &str); 3] = [
            (b"", "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ"),
            (b"\0", "VK54ZIEEVTWNAUI5D5RDFIL37LX2IQNSTAXFKSA"),
            (&[b'A'; 1_025], "PZMRYHGY6LTBEH63ZWAHDORHSYTLO4LEFUIKHWY"),
        ];
        for (bytes, root) in table {
            assert_eq!(base32::encode(&tree(bytes, 1_024).root().0), root);
        }
        // The file of the recordings, as gtk-gnutella told it.
        let reef = b"reef ".repeat(200_000);
        let root = "NZMSGIMECPPYP7GDLZWYGX254H5XFCH4TKDMK2Q";
        for slice in [1_024, 65_536, SLICE] {
            assert_eq!(base32::encode(&tree(&reef, slice).root().0), root);
        }
    }

    #[test]
    fn slices_are_as_small_as_programs_expect() {
        let kib = 1_024;
        let table = [
            (0, 1),
            (1, 1),
            (255, 256),
            (256, 128),
            (977, 256),
            (1_024, 128),
            (100_000, 256),
            (3 << 20, 1_024),
            (1 << 30, 1_024),
        ];
        for (len, slice) in table {
            assert_eq!(slice_of(len * kib), slice * kib, "{len} KiB");
        }
    }

    #[test]
    fn levels_travel_and_verify() {
        let bytes: Vec<u8> = (0..700_001u32).map(|n| (n * 7) as u8 ^ (n >> 13) as u8).collect();
        let fine = tree(&bytes, 65_536);
        let packed = fine.breadth_first();
        for (slice, expected) in [(65_536, 65_536), (1_024, 65_536), (200_000, 262_144)] {
            let read = TigerTree::parse(&packed, 700_001, fine.root(), slice).unwrap();
            assert_eq!(read.slice, expected);
            for (at, slice) in bytes.chunks(expected as usize).enumerate() {
                assert!(read.verifies(at, slice) && !read.verifies(at + 1, slice));
            }
        }
        assert_eq!(TigerTree::parse(&packed, 700_001, TigerRoot([0; 24]), 1), None);
        assert_eq!(TigerTree::parse(&packed[..20], 700_001, fine.root(), 1), None);
        assert_eq!(TigerTree::parse(&packed, u64::MAX, fine.root(), 1), None);
    }
}
