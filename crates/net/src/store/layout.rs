//! Where the bytes of a piece lie: which files, at which offsets. Arithmetic only.

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::Info;

/// A run of bytes of one piece that lies in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Index into [`Info::files`].
    pub file: usize,
    /// Where it begins in that file.
    pub offset: u64,
    /// Its length, never 0.
    pub len: usize,
}

/// The segments of a run of bytes of a piece, in order.
pub(crate) struct Segments<'a> {
    info: &'a Info,
    next_file: usize,
    position: u64,
    end: u64,
}

/// The segments of `len` bytes from `begin` of `piece`; `None` if the piece does not have them.
pub(crate) fn segments(
    info: &Info,
    piece: PieceIndex,
    begin: u32,
    len: usize,
) -> Option<Segments<'_>> {
    if piece.0 >= info.piece_count() {
        return None;
    }
    let last = u64::from(begin).checked_add(u64::try_from(len).ok()?)?;
    if last > u64::from(info.piece_size(piece)) {
        return None;
    }
    let start = u64::from(piece.0) * u64::from(info.piece_len);
    let position = start + u64::from(begin);
    let next_file = info.files.partition_point(|file| file.offset + file.len <= position);
    Some(Segments { info, next_file, position, end: start + last })
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        while self.position < self.end {
            let index = self.next_file;
            let file = self.info.files.get(index)?;
            let offset = self.position.checked_sub(file.offset)?;
            if offset >= file.len {
                self.next_file += 1;
                continue;
            }
            let len = (self.end - self.position).min(file.len - offset);
            self.position += len;
            return Some(Segment { file: index, offset, len: usize::try_from(len).ok()? });
        }
        None
    }
}

/// The pieces that hold bytes of file `index`, first and past the last.
pub(crate) fn pieces_of_file(info: &Info, index: usize) -> core::ops::Range<u32> {
    let Some(file) = info.files.get(index).filter(|file| file.len > 0) else {
        return 0..0;
    };
    let piece_len = u64::from(info.piece_len);
    let first = u32::try_from(file.offset / piece_len).unwrap_or(u32::MAX);
    let last = u32::try_from((file.offset + file.len - 1) / piece_len).unwrap_or(u32::MAX);
    first..last.saturating_add(1).min(info.piece_count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::info_of;

    fn list(info: &Info, piece: u32, begin: u32, len: usize) -> Option<Vec<(usize, u64, usize)>> {
        segments(info, PieceIndex(piece), begin, len)
            .map(|all| all.map(|s| (s.file, s.offset, s.len)).collect())
    }

    #[test]
    fn cuts_a_piece_at_the_ends_of_files() {
        let info = info_of(16, &[("a", 10), ("empty", 0), ("b", 3), ("c", 30)]);
        assert_eq!(list(&info, 0, 0, 16), Some(vec![(0, 0, 10), (2, 0, 3), (3, 0, 3)]));
        assert_eq!(list(&info, 0, 10, 1), Some(vec![(2, 0, 1)]));
        assert_eq!(list(&info, 2, 0, 11), Some(vec![(3, 19, 11)]));
        assert_eq!(list(&info, 0, 0, 0), Some(vec![]));
    }

    #[test]
    fn refuses_what_the_piece_does_not_have() {
        let info = info_of(16, &[("a", 20)]);
        for (piece, begin, len) in [(2, 0, 1), (1, 0, 5), (0, 16, 1), (0, u32::MAX, usize::MAX)] {
            assert_eq!(list(&info, piece, begin, len), None, "{piece} {begin} {len}");
        }
    }

    #[test]
    fn knows_the_pieces_of_a_file() {
        let info = info_of(16, &[("a", 10), ("empty", 0), ("b", 30), ("c", 1)]);
        assert_eq!(pieces_of_file(&info, 0), 0..1);
        assert_eq!(pieces_of_file(&info, 1), 0..0);
        assert_eq!(pieces_of_file(&info, 2), 0..3);
        assert_eq!(pieces_of_file(&info, 3), 2..3);
        assert_eq!(pieces_of_file(&info, 9), 0..0);
    }
}
