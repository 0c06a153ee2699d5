//! What the bytes of a piece must hash to.

use bittorrent::id::{BLOCK_LEN, PieceIndex};
use bittorrent::metainfo::Info;

use crate::merkle::subtree_root;

/// The digests of a piece: v1, v2, or both for a hybrid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// SHA-1 of the piece with its padding (BEP 3).
    pub v1: Option<[u8; 20]>,
    /// The node of the file's merkle tree above the piece (BEP 52).
    pub v2: Option<Subtree>,
}

/// A node of a file's merkle tree and what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    /// Its hash.
    pub root: [u8; 32],
    /// Bytes of the file below it; what follows in the piece is padding.
    pub data_len: u32,
    /// Leaves below it, those past the end of the file included; a power of two.
    pub width: u32,
}

impl Subtree {
    /// Whether these leaves, all that the file has below this node, lead to its hash.
    #[must_use]
    pub fn matches(&self, leaves: &[[u8; 32]]) -> bool {
        subtree_root(leaves, self.width) == Some(self.root)
    }
}

/// The v2 digest of a piece is not known: the file's piece layer has not been fetched yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the piece layer of file {file} is not known")]
pub struct LayerUnknown {
    /// Index into [`Info::files`].
    pub file: usize,
}

/// What `piece` must hash to, with `layer` giving the piece layer of a file. A hybrid's piece is
/// judged by v1 alone while its layer is unknown.
pub(crate) fn expected(
    info: &Info,
    piece: PieceIndex,
    layer: impl FnOnce(usize, usize) -> Option<[u8; 32]>,
) -> Result<Expected, LayerUnknown> {
    let v1 = info.v1_pieces.as_ref().and_then(|all| all.get(piece.0 as usize)).copied();
    let v2 = match subtree(info, piece, layer) {
        Ok(v2) => v2,
        Err(_) if v1.is_some() => None,
        Err(unknown) => return Err(unknown),
    };
    Ok(Expected { v1, v2 })
}

fn subtree(
    info: &Info,
    piece: PieceIndex,
    layer: impl FnOnce(usize, usize) -> Option<[u8; 32]>,
) -> Result<Option<Subtree>, LayerUnknown> {
    let start = u64::from(piece.0) * u64::from(info.piece_len);
    let first = info.files.partition_point(|file| file.offset + file.len <= start);
    let index = info.files[first..].iter().position(|file| file.len > 0).map(|skip| first + skip);
    let Some(index) = index else { return Ok(None) };
    let file = &info.files[index];
    let (Some(pieces_root), false) = (file.pieces_root, file.padding) else { return Ok(None) };
    let Some(within) = start.checked_sub(file.offset) else { return Ok(None) };
    let data_len = (file.len - within).min(u64::from(info.piece_len)) as u32;
    if file.len <= u64::from(info.piece_len) {
        let width = data_len.div_ceil(BLOCK_LEN).next_power_of_two();
        return Ok(Some(Subtree { root: pieces_root, data_len, width }));
    }
    let number = (within / u64::from(info.piece_len)) as usize;
    let root = layer(index, number).ok_or(LayerUnknown { file: index })?;
    Ok(Some(Subtree { root, data_len, width: (info.piece_len / BLOCK_LEN).max(1) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Kind, sample};

    #[test]
    fn files_of_one_piece_have_no_layer_and_narrow_trees() {
        let files = [("long", 100_000), ("short", 20_000), ("empty", 0), ("tiny", 1)];
        let sample = sample(Kind::V2, 65_536, &files);
        let subtree = |piece| {
            let layer = |file: usize, number: usize| sample.layers[file].get(number).copied();
            expected(&sample.info, PieceIndex(piece), layer).map(|expected| expected.v2)
        };
        let long = |number: usize, data_len| {
            Ok(Some(Subtree { root: sample.layers[0][number], data_len, width: 4 }))
        };
        let whole = |file: usize, data_len, width| {
            let root = sample.info.files[file].pieces_root.expect("a root");
            Ok(Some(Subtree { root, data_len, width }))
        };
        assert_eq!(subtree(0), long(0, 65_536));
        assert_eq!(subtree(1), long(1, 34_464));
        assert_eq!(subtree(2), whole(1, 20_000, 2));
        assert_eq!(subtree(3), whole(3, 1, 1));
        assert_eq!(subtree(4), Ok(None));
        let unknown = expected(&sample.info, PieceIndex(1), |_, _| None);
        assert_eq!(unknown, Err(LayerUnknown { file: 0 }));
        assert!(expected(&sample.info, PieceIndex(2), |_, _| None).is_ok());
    }
}
