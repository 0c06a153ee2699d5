//! Making torrents.

use alloc::string::{String, ToString};
use alloc::vec;

use super::super::create::{CreateError, default_piece_len};
use super::*;

/// The infohashes that libtorrent 2.1.1 gives the same content.
#[test]
fn makes_the_same_torrents_as_others() {
    let table = [
        (Version::V1, "3bd2f11eee6d2cee7d8de57cb04d3a9277467ad3", ""),
        (Version::V2, "", "aa28fa69c382bf25257d467af374b31a7d37563394904e7a32fd908deda9b7de"),
        (
            Version::Hybrid,
            "6c84eeba1b460a37a700103a83cb95e7aaccb4e0",
            "3015d4551473e5e9b18f925593f08bcd153b7080392615a6cca506e81d2d7461",
        ),
    ];
    for (version, v1, v2) in table {
        let hashes = made(version).info.hashes;
        assert_eq!(hashes.v1.map(|hash| hash.to_string()).unwrap_or_default(), v1);
        assert_eq!(hashes.v2.map(|hash| hash.to_string()).unwrap_or_default(), v2);
    }
    let table = [
        (Version::V1, "222a17f3f3591962481e869cfb72ee6938a9b061", ""),
        (Version::V2, "", "37ca793feda502d5b35052a82c70f64ab89aad3cdc8f025109655902b2a41b63"),
        (
            Version::Hybrid,
            "62bdda615c815c8e75ba6e083cdcab332c3dbec6",
            "bac1a2e84a5f9be075850f4d15be1947bf945befd688d323c26eb02002648ec9",
        ),
    ];
    for (version, v1, v2) in table {
        let builder = Builder::single_file(source("one.bin", 300_001), 32768, version).unwrap();
        let metainfo = builder.build(&hash(&builder, 9)).unwrap();
        let hashes = metainfo.info.hashes;
        assert_eq!(hashes.v1.map(|hash| hash.to_string()).unwrap_or_default(), v1);
        assert_eq!(hashes.v2.map(|hash| hash.to_string()).unwrap_or_default(), v2);
        assert!(metainfo.info.single_file);
        assert_eq!(metainfo.info.files[0].disk_path, ["one.bin"]);
    }
}

#[test]
fn what_is_made_is_read_back() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let mut builder = set(version);
        builder.trackers = vec![
            vec!["http://a.example/announce".into(), "udp://b.example:1".into()],
            vec!["http://c.example/announce".into()],
        ];
        builder.web_seeds = vec!["http://w.example/".into()];
        builder.private = true;
        builder.source = Some("tag".into());
        builder.comment = Some("for all".into());
        builder.created_by = Some("shoal".into());
        builder.created_at = Some(1_700_000_000);
        let metainfo = builder.build(&hash(&builder, 0)).unwrap();
        let read = Metainfo::parse(&metainfo.to_bytes()).unwrap();
        assert_eq!(read, metainfo);
        assert!(read.info.private);
        assert_eq!(read.info.renamed_files().count(), 0);
        let mut layout = builder.layout();
        assert_eq!(layout.piece_count(), read.info.piece_count());
        layout.files.iter_mut().zip(&read.info.files).for_each(|(file, read)| {
            assert_eq!(file.pieces_root.is_some(), read.pieces_root.is_some());
            file.pieces_root = read.pieces_root;
        });
        assert_eq!(layout.files, read.info.files);
    }
}

#[test]
fn a_hybrid_is_padded_between_its_files() {
    let info = made(Version::Hybrid).info;
    let files: Vec<_> =
        info.files.iter().map(|f| (f.path.join("/"), f.offset, f.len, f.padding)).collect();
    let expected = [
        ("a.bin", 0, 100_000, false),
        (".pad/31072", 100_000, 31_072, true),
        ("b.txt", 131_072, 5, false),
        (".pad/32763", 131_077, 32_763, true),
        ("sub/c.bin", 163_840, 40_000, false),
        (".pad/25536", 203_840, 25_536, true),
        ("sub/exact.bin", 229_376, 65_536, false),
    ];
    assert_eq!(files, expected.map(|(path, at, len, pad)| (String::from(path), at, len, pad)));
}

#[test]
fn empty_files_and_folders_of_one_file_survive() {
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let files = vec![source("z", 0), source("x", 5), source("a", 0)];
        let builder = Builder::folder("d", files, 16384, version).unwrap();
        let info = builder.build(&hash(&builder, 0)).unwrap().info;
        let paths: Vec<_> = info.files.iter().map(|file| file.disk_path.join("/")).collect();
        assert_eq!(paths, ["d/a", "d/x", "d/z"]);
        let builder = Builder::folder("d", vec![source("x", 5)], 16384, version).unwrap();
        let info = builder.build(&hash(&builder, 0)).unwrap().info;
        assert_eq!(info.files[0].disk_path, ["d", "x"], "{version:?}");
    }
}

#[test]
fn refuses_what_cannot_be_a_torrent() {
    let folder = |files: &[(&str, u64)], piece_len| {
        let files = files.iter().map(|(path, len)| source(path, *len)).collect();
        Builder::folder("d", files, piece_len, Version::Hybrid).map(|_| ())
    };
    assert_eq!(folder(&[], 16384), Err(CreateError::Empty));
    assert_eq!(folder(&[("a", 0)], 16384), Err(CreateError::Empty));
    assert_eq!(folder(&[("a", 1)], 16383), Err(CreateError::PieceLen(16383)));
    assert_eq!(folder(&[("a", 1)], 8192), Err(CreateError::PieceLen(8192)));
    assert_eq!(folder(&[("a", 1 << 40)], 16384), Err(CreateError::TooManyPieces(16384)));
    assert_eq!(folder(&[("a", u64::MAX), ("b", 9)], 16384), Err(CreateError::TooManyPieces(16384)));
    assert_eq!(folder(&[("a/../b", 1)], 16384), Err(CreateError::Name("..".into())));
    assert_eq!(folder(&[("a", 1), ("a", 1)], 16384), Err(CreateError::Duplicate("a".into())));
    assert_eq!(
        folder(&[("a", 1), ("a!", 1), ("a/b", 1)], 16384),
        Err(CreateError::Duplicate("a".into()))
    );
    let deep = ["d"; 65].join("/");
    assert!(matches!(folder(&[(&deep, 1)], 16384), Err(CreateError::Name(_))));
    let builder = set(Version::Hybrid);
    let mut hashes = hash(&builder, 0);
    hashes.v1.pop();
    let error = CreateError::Hashes { found: 8, needed: 9 };
    assert_eq!(builder.build(&hashes).map(|_| ()), Err(error));
}

#[test]
fn the_deepest_path_is_read_back() {
    let deep = ["d"; 64].join("/");
    for version in [Version::V1, Version::V2, Version::Hybrid] {
        let builder = Builder::folder("d", vec![source(&deep, 1)], 16384, version).unwrap();
        let metainfo = builder.build(&hash(&builder, 0)).unwrap();
        assert_eq!(Metainfo::parse(&metainfo.to_bytes()).unwrap().info.files[0].path.len(), 64);
    }
}

#[test]
fn piece_lengths_grow_with_the_content() {
    let table: [(u64, u32); 7] = [
        (0, 16 << 10),
        (1 << 20, 16 << 10),
        (32_768_000, 16 << 10),
        (32_768_001, 32 << 10),
        (1 << 30, 1 << 20),
        (1 << 40, 16 << 20),
        (u64::MAX, 16 << 20),
    ];
    for (total, expected) in table {
        assert_eq!(default_piece_len(total), expected, "{total}");
    }
}
