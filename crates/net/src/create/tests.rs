//! Torrents of real files, checked piece by piece against another way to hash them.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::FileExt;

use bittorrent::metainfo::create as torrent;

use super::*;
use hash::{Digest, Sha1};

const KINDS: [Kind; 3] = [Kind::V1, Kind::V2, Kind::Hybrid];

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 11) as u8).collect()
}

fn folder(files: &[(&str, usize)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, len) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        fs::write(path, content(*len)).expect("a file");
    }
    dir
}

fn make(path: &Path, kind: Kind, piece_len: u32) -> Metainfo {
    let options = CreateOptions { kind, piece_len: Some(piece_len), ..Default::default() };
    create(path, &options, &|_, _| {}).expect("a torrent")
}

/// Reads a piece as its info dictionary says, padding as zeros.
fn read(info: &Info, root: &Path, piece: PieceIndex) -> Vec<u8> {
    let mut bytes = Vec::new();
    for span in info.piece_files(piece) {
        let file = &info.files[span.file];
        let mut part = vec![0; span.len as usize];
        if !file.padding {
            let path = if info.single_file {
                root.to_owned()
            } else {
                root.join(file.path.iter().collect::<PathBuf>())
            };
            let file = fs::File::open(path).expect("a file");
            file.read_exact_at(&mut part, span.offset).expect("its bytes");
        }
        bytes.extend(part);
    }
    bytes
}

fn check(metainfo: &Metainfo, root: &Path) {
    let info = &metainfo.info;
    assert!(info.piece_count() > 0);
    for piece in (0..info.piece_count()).map(PieceIndex) {
        let bytes = read(info, root, piece);
        if let Some(wanted) = info.v1_piece_hash(piece) {
            assert_eq!(<[u8; 20]>::from(Sha1::digest(&bytes)), wanted, "{piece:?}");
        }
        if let Some(v2) = metainfo.v2_piece(piece) {
            let leaves: Vec<_> = bytes[..v2.len as usize]
                .chunks(crate::merkle::LEAF_LEN)
                .map(bittorrent::merkle::leaf)
                .collect();
            assert_eq!(v2.verify(&leaves), Some(true), "{piece:?}");
        }
    }
}

#[test]
fn all_pieces_of_a_folder_are_right() {
    let files = [
        ("a", 100),
        ("b/one", 70_000),
        ("b/two", 0),
        ("b.c", 16_384),
        ("d", 32_768),
        ("e", 1_000_000),
        ("z", 5),
    ];
    let dir = folder(&files);
    for kind in KINDS {
        for piece_len in [16 << 10, 32 << 10, 1 << 20] {
            let metainfo = make(dir.path(), kind, piece_len);
            check(&metainfo, dir.path());
            let found: Vec<(String, u64)> = metainfo
                .info
                .files
                .iter()
                .filter(|file| !file.padding)
                .map(|file| (file.path.join("/"), file.len))
                .collect();
            let mut wanted = files.map(|(name, len)| (name.to_owned(), len as u64));
            wanted.sort_by(|a, b| a.0.split('/').cmp(b.0.split('/')));
            assert_eq!(found, wanted);
        }
    }
}

#[test]
fn all_pieces_of_a_file_are_right() {
    for len in [1, 16_384, 16_385, 100_000, 3 << 20] {
        let dir = folder(&[("file", len)]);
        let path = dir.path().join("file");
        for kind in KINDS {
            let metainfo = make(&path, kind, 64 << 10);
            assert!(metainfo.info.single_file);
            assert_eq!(metainfo.info.name, "file");
            check(&metainfo, &path);
        }
    }
}

#[test]
fn thousands_of_small_files_make_one_torrent() {
    let names: Vec<String> = (0..3_000).map(|i| format!("{}/{i}", i % 7)).collect();
    let files: Vec<(&str, usize)> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), i % 50)).collect();
    let dir = folder(&files);
    for kind in KINDS {
        let metainfo = make(dir.path(), kind, 16 << 10);
        check(&metainfo, dir.path());
    }
}

#[test]
fn offsets_beyond_four_gigabytes_are_not_cut() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("sparse");
    let len = (5 << 30) + 12_345;
    let file = fs::File::create(&path).expect("a file");
    file.set_len(len).expect("a hole");
    file.write_all_at(b"the end", len - 7).expect("some bytes");
    let tree = walk::walk(&path).expect("a tree");
    let builder = builder(&tree, &CreateOptions::default()).expect("a torrent in the making");
    let layout = builder.layout();
    let last = Piece::of(&layout, PieceIndex(layout.piece_count() - 1));
    let span = layout.piece_files(last.index).next().expect("bytes in the last piece");
    assert_eq!(span.offset + u64::from(last.data_len), len);
    let mut bytes = vec![1; last.data_len as usize];
    Source::new(&tree.files).read(0, span.offset, &mut bytes).expect("its bytes");
    assert!(bytes.ends_with(b"\0the end"));
}

#[test]
fn what_the_caller_says_is_in_the_torrent() {
    let dir = folder(&[("a", 10)]);
    let options = CreateOptions {
        trackers: vec![vec!["http://one/".into()], vec!["udp://two:1".into()]],
        web_seeds: vec!["http://seed/".into()],
        private: true,
        source: Some("tag".into()),
        comment: Some("words".into()),
        created_by: Some("program".into()),
        created_at: Some(12),
        ..Default::default()
    };
    let made = create(dir.path(), &options, &|_, _| {}).expect("a torrent");
    assert_eq!(made.trackers, options.trackers);
    assert_eq!(made.web_seeds, options.web_seeds);
    assert!(made.info.private);
    assert_eq!(made.comment, options.comment);
    assert_eq!(made.created_by, options.created_by);
    assert_eq!(made.created_at, Some(12));
    assert_eq!(made.info.piece_len, default_piece_len(10));
    let plain = create(dir.path(), &CreateOptions::default(), &|_, _| {}).expect("a torrent");
    assert_ne!(plain.info.hashes, made.info.hashes);
}

#[test]
fn progress_grows_to_the_whole() {
    let dir = folder(&[("a", 300_000), ("b", 7)]);
    let seen = RefCell::new(Vec::new());
    let options = CreateOptions { piece_len: Some(16 << 10), ..Default::default() };
    create(dir.path(), &options, &|done, total| seen.borrow_mut().push((done, total)))
        .expect("a torrent");
    let seen = seen.into_inner();
    assert!(seen.is_sorted());
    assert!(seen.iter().all(|&(_, total)| total == 300_007));
    assert_eq!(seen.last(), Some(&(300_007, 300_007)));
}

#[test]
fn a_file_that_changes_meanwhile_is_named() {
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |path| fs::write(path, content(500_000)).expect("more bytes"),
        |path| fs::write(path, content(10)).expect("fewer bytes"),
        |path| fs::remove_file(path).expect("no file"),
        |path| {
            let file = fs::File::options().write(true).open(path).expect("a file");
            file.write_all_at(b"other", 0).expect("other bytes of the same number");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("another time");
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let dir = folder(&[("a", 300_000), ("b", 7)]);
        let path = dir.path().join("a");
        let changed = Cell::new(false);
        let result = create(dir.path(), &CreateOptions::default(), &|_, _| {
            if !changed.replace(true) {
                change(&path);
            }
        });
        let error = result.expect_err("the file changed").to_string();
        assert!(error.contains(&path.display().to_string()), "{number}: {error}");
    }
}

#[test]
fn nothing_to_share_is_an_error() {
    for files in [&[][..], &[("a", 0), ("b", 0)]] {
        let dir = folder(files);
        for kind in KINDS {
            let options = CreateOptions { kind, ..Default::default() };
            let error = create(dir.path(), &options, &|_, _| {}).expect_err("no data");
            assert!(matches!(error, CreateError::Torrent(torrent::CreateError::Empty)), "{error}");
        }
    }
    let dir = folder(&[("a", 0)]);
    create(&dir.path().join("a"), &CreateOptions::default(), &|_, _| {}).expect_err("no data");
}

#[test]
fn impossible_piece_lengths_are_errors() {
    let dir = folder(&[("a", 10)]);
    for piece_len in [0, 1, 1 << 13, 100_000, u32::MAX] {
        let options = CreateOptions { piece_len: Some(piece_len), ..Default::default() };
        let error = create(dir.path(), &options, &|_, _| {}).expect_err("no such pieces");
        assert!(matches!(error, CreateError::Torrent(torrent::CreateError::PieceLen(_))));
    }
}
