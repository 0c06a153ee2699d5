//! Where bytes lie, and what their hashes should be.

use alloc::vec;

use super::*;

#[test]
fn spans_cover_padding_and_stop_at_the_end() {
    let info = made(Version::Hybrid).info;
    let spans: Vec<_> = info.file_spans(PieceIndex(3), 0, 32768).collect();
    let expected = [
        FileSpan { file: 0, offset: 98304, len: 1696 },
        FileSpan { file: 1, offset: 0, len: 31072 },
    ];
    assert_eq!(spans, expected);
    let spans: Vec<_> = info.file_spans(PieceIndex(3), 1695, 2).collect();
    let expected =
        [FileSpan { file: 0, offset: 99999, len: 1 }, FileSpan { file: 1, offset: 0, len: 1 }];
    assert_eq!(spans, expected);
    assert_eq!(
        info.file_spans(PieceIndex(8), 0, u32::MAX).map(|span| span.len).sum::<u32>(),
        32768
    );
    assert_eq!(info.file_spans(PieceIndex(9), 0, 1).count(), 0);
    assert_eq!(info.file_spans(PieceIndex(u32::MAX), u32::MAX, 1).count(), 0);
    assert_eq!(info.file_spans(PieceIndex(0), 0, 0).count(), 0);
}

#[test]
fn pieces_of_a_v2_torrent_end_with_their_file() {
    let info = made(Version::V2).info;
    assert_eq!(info.piece_count(), 9);
    assert_eq!(info.piece_size(PieceIndex(3)), 1696);
    assert_eq!(info.file_spans(PieceIndex(3), 0, 32768).map(|span| span.len).sum::<u32>(), 1696);
    assert_eq!(info.piece_size(PieceIndex(4)), 5);
    assert_eq!(info.file_pieces(2), 5..7);
    assert_eq!(info.file_pieces(9), 0..0);
}

#[test]
fn blocks_that_hold_data_are_asked_for_whole() {
    let hybrid = made(Version::Hybrid).info;
    // 1,696 bytes of data and 31,072 of padding.
    assert_eq!(hybrid.data_size(PieceIndex(3)), 1696);
    assert_eq!(hybrid.request_size(PieceIndex(3)), 16384);
    assert_eq!(hybrid.request_size(PieceIndex(0)), 32768);
    let v2 = made(Version::V2).info;
    assert_eq!(v2.request_size(PieceIndex(3)), 1696);
}

#[test]
fn every_byte_is_in_one_piece() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let info = made(version).info;
        let mut covered = vec![0; info.files.len()];
        for piece in (0..info.piece_count()).map(PieceIndex) {
            for span in info.piece_files(piece) {
                assert_eq!(covered[span.file], span.offset);
                covered[span.file] += u64::from(span.len);
            }
        }
        assert!(covered.iter().eq(info.files.iter().map(|file| &file.len)));
    }
}

#[test]
fn v2_pieces_know_their_hash() {
    for version in [Version::V2, Version::Hybrid] {
        let metainfo = made(version);
        let hashes = hash(&set(version), 0);
        for piece in (0..metainfo.info.piece_count()).map(PieceIndex) {
            let v2 = metainfo.v2_piece(piece).unwrap();
            let expected = hashes.v2[piece.0 as usize];
            let is_whole = metainfo.info.files[v2.file].len <= 32768;
            let expected =
                if is_whole { Expected::Root(expected) } else { Expected::Layer(expected) };
            assert_eq!(v2.expected, expected);
        }
        let first = metainfo.v2_piece(PieceIndex(0)).unwrap();
        let bytes = content(0, 32768);
        let leaves: Vec<_> = bytes.chunks(16384).map(merkle::leaf).collect();
        assert_eq!(first.verify(&leaves), Some(true));
        assert_eq!(first.verify(&leaves[..1]), Some(false));
        assert_eq!(first.verify(&[leaves[1], leaves[0]]), Some(false));
        let unknown = metainfo.info.v2_piece(PieceIndex(0), &[[]]).unwrap();
        assert_eq!((unknown.expected, unknown.verify(&leaves)), (Expected::Unknown, None));
        assert_eq!(metainfo.v2_piece(PieceIndex(9)), None);
    }
    let v1 = made(Version::V1);
    assert_eq!(v1.v2_piece(PieceIndex(0)), None);
    assert_eq!(v1.info.v1_piece_hash(PieceIndex(6)), Some(hash(&set(Version::V1), 0).v1[6]));
    assert_eq!(v1.info.v1_piece_hash(PieceIndex(7)), None);
}
