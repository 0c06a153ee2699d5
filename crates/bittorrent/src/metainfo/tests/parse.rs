//! Reading metainfo files: rows BE and TO of the table of bad inputs.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use codec::bencode::{DictEncoder, Encoder, encode};
use proptest::prelude::*;

use super::*;

/// An info dictionary with one piece of 16 KiB, its entries before and after `name` given.
fn info(before: &str, after: &str) -> Vec<u8> {
    format!("d{before}4:name1:n12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaa{after}e")
        .into_bytes()
}

fn files(files: &str) -> Result<Info, MetainfoError> {
    Info::parse(&info(&format!("5:filesl{files}e"), ""))
}

fn kind<T: core::fmt::Debug>(result: Result<T, MetainfoError>) -> &'static str {
    result.unwrap_err().kind()
}

/// A v2 info dictionary around a file tree.
fn v2(tree: impl FnOnce(&mut DictEncoder<'_>)) -> Result<Info, MetainfoError> {
    Info::parse(&encode(|info| {
        info.dict(|info| {
            info.entry("file tree").dict(tree);
            info.entry("meta version").int(2);
            info.entry("name").bytes("n");
            info.entry("piece length").int(16384);
        });
    }))
}

fn v2_file(entry: Encoder<'_>, len: i64, root: &[u8]) {
    entry.dict(|entry| {
        entry.entry("").dict(|file| {
            file.entry("length").int(len);
            file.entry("pieces root").bytes(root);
        });
    });
}

#[test]
fn reads_what_is_around_the_info_dictionary() {
    let info = String::from_utf8(info("6:lengthi5e", "")).unwrap();
    let file = format!(
        "d8:announce13:http://one/an13:announce-listll10:http://a/x4:nonei3eeli1eel10:udp://b:80\
         10:http://c/xee7:comment5:a\x00b<i10:created by5:maker13:creation datei-7e9:httpseedsl10:\
         http://h/xe4:info{info}8:url-list10:http://w/xe"
    );
    let metainfo = Metainfo::parse(file.as_bytes()).unwrap();
    assert_eq!(metainfo.trackers, [vec!["http://a/x"], vec!["udp://b:80", "http://c/x"]]);
    assert_eq!(metainfo.web_seeds, ["http://w/x"]);
    assert_eq!(metainfo.http_seeds, ["http://h/x"]);
    assert_eq!(metainfo.comment.as_deref(), Some("a\0b<i"));
    assert_eq!(metainfo.created_by.as_deref(), Some("maker"));
    assert_eq!(metainfo.created_at, Some(-7));
    assert_eq!(&*metainfo.info_bytes, info.as_bytes());

    let file = format!("d8:announce10:http://a/x4:info{info}e");
    let metainfo = Metainfo::parse(file.as_bytes()).unwrap();
    assert_eq!(metainfo.trackers, [vec!["http://a/x"]]);
    assert_eq!(metainfo.to_bytes(), file.as_bytes());
    let from_info = Metainfo::from_info(info.as_bytes(), metainfo.trackers.clone(), vec![]);
    assert_eq!(from_info.unwrap(), metainfo);
}

#[test]
fn lists_of_urls_are_bounded() {
    let info = String::from_utf8(info("6:lengthi5e", "")).unwrap();
    let many: String = (1000..3000).map(|n| format!("l13:http://a/{n}e")).collect();
    let file = format!("d13:announce-listl{many}e4:info{info}e");
    let metainfo = Metainfo::parse(file.as_bytes()).unwrap();
    assert_eq!(metainfo.trackers.len(), 256);
}

#[test]
fn names_in_utf_8_are_preferred() {
    let single = Info::parse(&info("6:lengthi5e", "")).unwrap();
    assert_eq!((&*single.name, single.single_file), ("n", true));
    assert_eq!(single.files[0].path, ["n"]);
    let file = "d6:lengthi5e4:pathl1:\u{1}e10:path.utf-8l2:ä2:öee";
    let bytes = format!(
        "d5:filesl{file}e4:name1:n10:name.utf-82:ü12:piece lengthi16384e\
         6:pieces20:aaaaaaaaaaaaaaaaaaaae"
    );
    let info = Info::parse(bytes.as_bytes()).unwrap();
    assert_eq!(info.name, "ü");
    assert_eq!(info.files[0].path, ["ä", "ö"]);
    assert_eq!(info.files[0].disk_path, ["ü", "ä", "ö"]);
}

#[test]
fn errors_tell_kind_and_place() {
    let error = Metainfo::parse(b"d4:infod4:namei1eee").unwrap_err();
    assert_eq!((error.kind(), error.at()), ("missing_key", 7));
    assert_eq!(error.to_string(), "no `name` at byte 7");
    let error = Metainfo::parse(b"d4:info").unwrap_err();
    assert_eq!((error.kind(), error.at()), ("end", 7));
    assert_eq!(kind(Metainfo::parse(b"")), "end");
    assert_eq!(kind(Metainfo::parse(b"de")), "missing_key");
    assert_eq!(kind(Metainfo::parse(b"le")), "wrong_type");
    assert_eq!(kind(Metainfo::parse(b"d4:infolee")), "wrong_type");
    assert_eq!(kind(Metainfo::parse(b"d4:infode")), "end");
    assert_eq!(kind(Info::parse(&vec![0; MAX_INFO_LEN + 1])), "too_large");
    assert_eq!(kind(Metainfo::parse(&vec![0; MAX_METAINFO_LEN + 1])), "too_large");
    assert_eq!(kind(Info::parse(b"d12:meta versioni3ee")), "unknown_version");
}

#[test]
fn be_07_a_duplicate_key_in_the_info_dictionary_is_refused() {
    assert_eq!(
        kind(Info::parse(&info("6:lengthi5e", "7:privatei1e7:privatei0e"))),
        "duplicate_key"
    );
    let twice = "d6:lengthi5e6:lengthi6e4:pathl1:aee";
    assert_eq!(kind(files(twice)), "duplicate_key");
    let twice = info("9:file treed1:ade1:ade1:bd0:d6:lengthi5eeee12:meta versioni2e", "");
    assert_eq!(kind(Info::parse(&twice)), "duplicate_key");
    // Outside of it the first one wins.
    let info = String::from_utf8(info("6:lengthi5e", "")).unwrap();
    let file = format!("d7:comment1:a7:comment1:b4:info{info}e");
    assert_eq!(Metainfo::parse(file.as_bytes()).unwrap().comment.as_deref(), Some("a"));
}

#[test]
fn be_08_unsorted_keys_keep_their_bytes_for_the_infohash() {
    let bytes = b"d12:piece lengthi16384e4:name1:n6:pieces20:aaaaaaaaaaaaaaaaaaaa6:lengthi5ee";
    let info = Info::parse(bytes).unwrap();
    let expected: [u8; 20] = Sha1::digest(bytes).into();
    assert_eq!(info.hashes.v1.unwrap().0, expected);
    let file = [b"d4:info", &bytes[..], b"e"].concat();
    let metainfo = Metainfo::parse(&file).unwrap();
    assert_eq!(metainfo.info.hashes, info.hashes);
    assert_eq!(Metainfo::parse(&metainfo.to_bytes()).unwrap(), metainfo);
}

#[test]
fn to_01_paths_with_dots_stay_below_the_root() {
    let info = files("d6:lengthi5e4:pathl2:..2:..3:etc6:passwdee").unwrap();
    assert_eq!(info.files[0].path, ["..", "..", "etc", "passwd"]);
    assert_eq!(info.files[0].disk_path, ["n", "etc", "passwd"]);
    let info = files("d6:lengthi5e4:pathl2:..ee").unwrap();
    assert_eq!(info.files[0].disk_path, ["n", "_"]);
    let info = v2(|tree| v2_file(tree.entry(".."), 5, &[1; 32])).unwrap();
    assert_eq!(info.files[0].disk_path, ["n", "_"]);
    for name in ["..", ".", "/", "", "\\..\\"] {
        let bytes = format!(
            "d6:lengthi5e4:name{}:{name}12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae",
            name.len()
        );
        let info = Info::parse(bytes.as_bytes()).unwrap();
        let [name] = &info.files[0].disk_path[..] else { panic!("{:?}", info.files) };
        assert!(!name.contains(['/', '\\']) && !matches!(&**name, "" | "." | ".."), "{name}");
    }
}

#[test]
fn to_02_absolute_paths_stay_below_the_root() {
    let table = [
        ("l4:/etc6:passwde", "n/_etc/passwd"),
        ("l0:3:etc6:passwde", "n/etc/passwd"),
        ("l2://3:etce", "n/__/etc"),
        ("l2:C:7:Windowse", "n/C_/Windows"),
        ("l10:C:\\Windowse", "n/C__Windows"),
        ("l14:\\\\server\\sharee", "n/__server_share"),
        ("l7:..\\..\\ae", "n/.._.._a"),
    ];
    for (path, expected) in table {
        let info = files(&format!("d6:lengthi5e4:path{path}e")).unwrap();
        assert_eq!(info.files[0].disk_path.join("/"), expected);
    }
}

#[test]
fn to_04_empty_paths_are_never_the_root_itself() {
    for path in ["le", "l0:e", "l0:0:e", "l1:.e", "l3:...e"] {
        let info = files(&format!("d6:lengthi5e4:path{path}e")).unwrap();
        assert_eq!(info.files[0].disk_path, ["n", "_"], "{path}");
    }
    assert_eq!(kind(files("d6:lengthi5ee")), "missing_key");
    assert_eq!(kind(files("d6:lengthi5e4:path1:ae")), "wrong_type");
    assert_eq!(kind(files("d6:lengthi5e4:pathli1eee")), "wrong_type");
}

#[test]
fn to_07_symbolic_links_are_never_made() {
    let link = "d4:attr1:l4:pathl1:ae12:symlink pathl2:..2:..3:etcee";
    let info = files(&format!("{link}d6:lengthi5e4:pathl1:bee")).unwrap();
    assert!(info.files[0].symlink && info.files[0].padding);
    assert!(info.files[0].disk_path.is_empty());
    assert_eq!(info.file_pieces(0), 0..0);
    assert_eq!(info.files[1].disk_path, ["n", "b"]);
    let with_content = "d4:attr1:l6:lengthi5e4:pathl1:ae12:symlink pathl1:bee";
    assert_eq!(kind(files(with_content)), "file_length");
    let info = v2(|tree| {
        v2_file(tree.entry("a"), 5, &[1; 32]);
        tree.entry("b").dict(|entry| {
            entry.entry("").dict(|file| file.entry("attr").bytes("l"));
        });
    });
    assert!(info.unwrap().files[1].symlink);
}

#[test]
fn to_10_pieces_must_fit_the_files() {
    let with = |len: u64, pieces: usize| {
        let mut bytes = format!(
            "d6:lengthi{len}e4:name1:n12:piece lengthi16384e6:pieces{pieces}:{}",
            "a".repeat(pieces)
        );
        bytes.push('e');
        Info::parse(bytes.as_bytes())
    };
    assert!(with(16384, 20).is_ok());
    assert!(with(16385, 40).is_ok());
    for (len, pieces) in [(16384, 0), (16384, 19), (16384, 21), (16384, 40), (16385, 20)] {
        assert_eq!(kind(with(len, pieces)), "pieces", "{len} {pieces}");
    }
    assert_eq!(kind(with(16384 * 0x20_0001, 20)), "too_many_pieces");
    assert_eq!(kind(with(i64::MAX as u64, 20)), "too_many_pieces");
    let bytes = b"d6:lengthi5e4:name1:n12:piece lengthi16384ee";
    assert_eq!(kind(Info::parse(bytes)), "missing_key");
}

#[test]
fn piece_lengths_must_be_possible() {
    let with = |piece_len: i64| {
        let bytes = format!(
            "d6:lengthi1e4:name1:n12:piece lengthi{piece_len}e6:pieces20:aaaaaaaaaaaaaaaaaaaae"
        );
        Info::parse(bytes.as_bytes())
    };
    assert!(with(1).is_ok() && with(100_000).is_ok() && with(512 << 20).is_ok());
    for piece_len in [0, -1, (512 << 20) + 1, 1 << 32, i64::MAX, i64::MIN] {
        assert_eq!(kind(with(piece_len)), "piece_length");
    }
    for piece_len in [8192, 16385, 49152] {
        let bytes = format!(
            "d9:file treed1:nd0:d6:lengthi0eeee12:meta versioni2e4:name1:n\
             12:piece lengthi{piece_len}ee"
        );
        assert_eq!(kind(Info::parse(bytes.as_bytes())), "piece_length");
    }
}

#[test]
fn to_11_lengths_must_be_possible() {
    assert_eq!(kind(Info::parse(&info("6:lengthi-1e", ""))), "file_length");
    assert_eq!(kind(Info::parse(&info("6:lengthi0e", ""))), "empty");
    assert_eq!(kind(files("")), "empty");
    assert_eq!(kind(files("d6:lengthi0e4:pathl1:aee")), "empty");
    assert_eq!(kind(files("d6:lengthi5e4:pathl1:aeed6:lengthi-5e4:pathl1:bee")), "file_length");
    let max = i64::MAX;
    let sum = format!("d6:lengthi{max}e4:pathl1:aeed6:lengthi{max}e4:pathl1:bee");
    assert_eq!(kind(files(&sum)), "file_length");
    let sum = v2(|tree| {
        v2_file(tree.entry("a"), max, &[1; 32]);
        v2_file(tree.entry("b"), max, &[1; 32]);
    });
    assert_eq!(kind(sum), "file_length");
    assert_eq!(kind(v2(|tree| v2_file(tree.entry("a"), -1, &[1; 32]))), "file_length");
    assert_eq!(kind(v2(|_| ())), "empty");
}

#[test]
fn to_13_many_empty_files_are_refused_or_small() {
    let many = |count: usize| {
        let file = "d6:lengthi0e4:pathl1:aee";
        files(&format!("{}d6:lengthi5e4:pathl1:bee", file.repeat(count)))
    };
    assert_eq!(kind(many(1_000_000)), "token_limit");
    let info = many(10_000).unwrap();
    let names: alloc::collections::BTreeSet<_> =
        info.files.iter().map(|file| file.disk_path.join("/").to_lowercase()).collect();
    assert_eq!(names.len(), 10_001);
    // The entry, and what it points to with 8 bytes for each allocation.
    let strings = |path: &[String]| -> usize {
        path.iter().map(|name| size_of::<String>() + name.capacity().next_multiple_of(16) + 8).sum()
    };
    let bytes: usize = (info.files.iter())
        .map(|file| size_of::<File>() + 16 + strings(&file.path) + strings(&file.disk_path))
        .sum();
    assert!(bytes / info.files.len() <= 300, "{}", bytes / info.files.len());
    assert_eq!(info.files.capacity(), info.files.len());
}

#[test]
fn to_14_both_length_and_files_are_refused() {
    let both = info("5:filesld6:lengthi5e4:pathl1:aeee6:lengthi5e", "");
    assert_eq!(kind(Info::parse(&both)), "length_and_files");
}

#[test]
fn to_16_text_is_kept_as_it_is_and_names_are_safe() {
    let name = "<script>alert(1)</script>";
    let bytes = format!(
        "d6:lengthi5e4:name{}:{name}12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae",
        name.len()
    );
    let info = Info::parse(bytes.as_bytes()).unwrap();
    assert_eq!(info.name, name);
    assert_eq!(info.files[0].path, [name]);
    assert!(!info.files[0].disk_path[0].contains('/'));
}

#[test]
fn to_17_names_that_shells_would_read_are_kept_without_control_characters() {
    for (name, disk) in [("$(id)", "$(id)"), ("`id`", "`id`"), ("-rf", "-rf"), ("a\nb", "a_b")] {
        let bytes = format!(
            "d6:lengthi5e4:name{}:{name}12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaae",
            name.len()
        );
        let info = Info::parse(bytes.as_bytes()).unwrap();
        assert_eq!((&*info.name, &*info.files[0].disk_path[0]), (name, disk));
    }
}

/// The metainfo file of [`set`], its piece layers replaced.
fn with_layers(layers: &[([u8; 32], Vec<u8>)]) -> Result<Metainfo, MetainfoError> {
    let metainfo = made(Version::V2);
    Metainfo::parse(&encode(|file| {
        file.dict(|file| {
            file.entry("info").raw(&metainfo.info_bytes);
            file.entry("piece layers").dict(|dict| {
                layers.iter().for_each(|(root, layer)| dict.entry(root).bytes(layer));
            });
        });
    }))
}

#[test]
fn to_19_piece_layers_must_be_right() {
    let metainfo = made(Version::V2);
    let root = metainfo.info.files[0].pieces_root.unwrap();
    let small = metainfo.info.files[1].pieces_root.unwrap();
    let layer = metainfo.piece_layers[0].as_flattened().to_vec();
    let read = with_layers(&[(root, layer.clone())]).unwrap();
    assert_eq!(read.piece_layers[0], metainfo.piece_layers[0]);
    assert!(read.piece_layers[2].is_empty());
    let mut wrong = layer.clone();
    wrong[5] ^= 1;
    let long = [&layer[..], &[0; 32]].concat();
    let spoilt =
        [(root, wrong), (root, long), (root, layer[..96].into()), (root, layer[1..].into())];
    for (root, layer) in spoilt {
        assert_eq!(kind(with_layers(&[(root, layer)])), "piece_layer");
    }
    assert_eq!(kind(with_layers(&[([9; 32], layer.clone())])), "piece_layer");
    assert_eq!(kind(with_layers(&[(small, layer[..32].into())])), "piece_layer");
}

#[test]
fn to_20_both_parts_of_a_hybrid_must_agree() {
    let hybrid = made(Version::Hybrid);
    let bytes = &hybrid.info_bytes;
    assert!(Info::parse(bytes).is_ok());
    let replace = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).rposition(|window| window == from.as_bytes()).unwrap();
        let mut changed = bytes.to_vec();
        changed.splice(at..at + from.len(), to.bytes());
        kind(Info::parse(&changed))
    };
    // The last of each is in the v1 list.
    assert_eq!(replace("5:b.txt", "5:c.txt"), "hybrid_mismatch");
    assert_eq!(replace("6:lengthi5e", "6:lengthi6e"), "hybrid_mismatch");
    assert_eq!(replace("4:attr1:p6:lengthi32763e", "6:lengthi32763e"), "hybrid_mismatch");
    assert_eq!(replace("6:lengthi32763e", "6:lengthi32764e"), "hybrid_mismatch");
    assert_eq!(replace("d6:lengthi65536e4:pathl3:sub9:exact.binee", ""), "hybrid_mismatch");
    assert_eq!(
        replace("d6:lengthi65536e4:path", "d6:lengthi0e4:pathl1:zeed6:lengthi65536e4:path"),
        "hybrid_mismatch"
    );
    assert_eq!(replace("d6:lengthi65536e", "d4:attr1:l6:lengthi0e"), "hybrid_mismatch");
}

#[test]
fn file_trees_must_be_trees() {
    let root_file =
        b"d9:file treed0:d6:lengthi5eee12:meta versioni2e4:name1:n12:piece lengthi16384ee";
    assert_eq!(kind(Info::parse(root_file)), "file_tree");
    let both = v2(|tree| {
        tree.entry("a").dict(|entry| {
            entry.entry("").dict(|file| {
                file.entry("length").int(5);
                file.entry("pieces root").bytes([1; 32]);
            });
            v2_file(entry.entry("b"), 5, &[1; 32]);
        });
    });
    assert_eq!(kind(both), "file_tree");
    assert_eq!(kind(v2(|tree| tree.entry("a").int(1))), "wrong_type");
    assert_eq!(kind(v2(|tree| v2_file(tree.entry("a"), 5, &[0; 32]))), "pieces_root");
    assert_eq!(kind(v2(|tree| v2_file(tree.entry("a"), 5, &[1; 31]))), "pieces_root");
    let no_tree = b"d12:meta versioni2e4:name1:n12:piece lengthi16384ee";
    assert_eq!(kind(Info::parse(no_tree)), "missing_key");
    let info = v2(|tree| {
        tree.entry("a").dict(|_| ());
        v2_file(tree.entry("b"), 5, &[1; 32]);
    });
    assert_eq!(info.unwrap().files.len(), 1);
}

proptest! {
    #[test]
    fn spoilt_files_never_panic(
        hybrid: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..6),
    ) {
        let mut bytes = made(if hybrid { Version::Hybrid } else { Version::V2 }).to_bytes();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(metainfo) = Metainfo::parse(&bytes) {
            for piece in (0..metainfo.info.piece_count().min(50)).map(PieceIndex) {
                let spans = metainfo.info.piece_files(piece).map(|span| span.len).sum::<u32>();
                prop_assert_eq!(spans, metainfo.info.piece_size(piece));
                let _ = metainfo.v2_piece(piece);
            }
            prop_assert_eq!(Metainfo::parse(&metainfo.to_bytes()), Ok(metainfo));
        }
    }
}
