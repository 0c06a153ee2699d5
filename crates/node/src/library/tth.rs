//! Tiger tree hashes: the root of a binary tree over Tiger hashes of 1 KiB (THEX, draft of 2003),
//! by which Gnutella and Direct Connect name content.

use tiger::{Digest, Tiger};

/// Bytes of a leaf (THEX section 2).
const LEAF_LEN: usize = 1024;

/// Bytes of a subtree that [`subtrees`] is given at once: any power of two of leaves does.
pub(super) const SUBTREE_LEN: usize = 1 << 20;

/// What comes before the bytes of a leaf, and before the two hashes of an inner node.
const LEAF: [u8; 1] = [0];
const INNER: [u8; 1] = [1];

/// A Tiger hash: 192 bits.
pub(super) type TigerHash = [u8; 24];

/// A tree that grows from the left; what is kept are roots of whole subtrees, each lower than the
/// one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    roots: Vec<(u32, TigerHash)>,
}

impl Tree {
    /// Appends subtrees from [`subtrees`]. All but the last that is ever appended must have been
    /// [`SUBTREE_LEN`] bytes long.
    pub(super) fn append(&mut self, other: &Self) {
        for &(height, hash) in &other.roots {
            self.push(height, hash);
        }
    }

    fn push(&mut self, mut height: u32, mut hash: TigerHash) {
        while let Some((_, left)) = self.roots.pop_if(|(top, _)| *top == height) {
            hash = inner(&left, &hash);
            height += 1;
        }
        self.roots.push((height, hash));
    }

    /// The root. A node without a sibling moves up as it is.
    pub(super) fn root(mut self) -> TigerHash {
        let Some((_, mut hash)) = self.roots.pop() else { return leaf(&[]) };
        while let Some((_, left)) = self.roots.pop() {
            hash = inner(&left, &hash);
        }
        hash
    }
}

/// The tree over `data`.
pub(super) fn subtrees(data: &[u8]) -> Tree {
    let mut tree = Tree::default();
    for bytes in data.chunks(LEAF_LEN) {
        tree.push(0, leaf(bytes));
    }
    tree
}

fn leaf(data: &[u8]) -> TigerHash {
    Tiger::new().chain_update(LEAF).chain_update(data).finalize().into()
}

fn inner(left: &TigerHash, right: &TigerHash) -> TigerHash {
    Tiger::new().chain_update(INNER).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use codec::base32;

    use super::*;

    #[test]
    fn roots_are_those_of_the_specification() {
        for (data, root) in [
            (vec![], "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ"),
            (vec![0], "VK54ZIEEVTWNAUI5D5RDFIL37LX2IQNSTAXFKSA"),
            (vec![b'A'; 1024], "L66Q4YVNAFWVS23X2HJIRA5ZJ7WXR3F26RSASFA"),
            (vec![b'A'; 1025], "PZMRYHGY6LTBEH63ZWAHDORHSYTLO4LEFUIKHWY"),
        ] {
            let found = base32::encode(&subtrees(&data).root());
            assert_eq!(found.trim_end_matches('='), root, "{} bytes", data.len());
        }
    }

    /// As the specification says it: layer upon layer.
    fn by_layers(data: &[u8]) -> TigerHash {
        let mut layer: Vec<_> = data.chunks(LEAF_LEN).map(leaf).collect();
        while layer.len() > 1 {
            let pairs = layer.chunks(2);
            layer = pairs
                .map(|pair| match pair {
                    [left, right] => inner(left, right),
                    rest => rest[0],
                })
                .collect();
        }
        layer[0]
    }

    #[test]
    fn a_tree_in_parts_is_the_tree_of_the_whole() {
        for len in [1, LEAF_LEN, 3 * LEAF_LEN + 7, SUBTREE_LEN, 3 * SUBTREE_LEN + 5 * LEAF_LEN + 1]
        {
            let data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
            let mut tree = Tree::default();
            for part in data.chunks(SUBTREE_LEN) {
                tree.append(&subtrees(part));
            }
            let root = tree.root();
            assert_eq!(root, subtrees(&data).root(), "{len} bytes");
            assert_eq!(root, by_layers(&data), "{len} bytes");
        }
    }
}
