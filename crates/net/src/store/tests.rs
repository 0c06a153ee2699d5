//! Tests of a store on real files.

use std::fs;
use std::io::IoSlice;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use rustix::fs::Advice;

use super::testing::{KINDS, Kind, Sample, info_of, sample};
use super::*;

const FILES: &[(&str, u64)] = &[
    ("t/one", 100_000),
    ("t/empty", 0),
    ("t/deep/er/two.sh", 3),
    ("t/three", 65_536),
    ("t/four", 40_001),
];

fn open(sample: &Sample, dir: &Path, options: StoreOptions<'_>) -> Store {
    let store = Store::open(sample.info.clone(), dir, options).expect("the folder opens");
    store.set_piece_layers(&sample.layers);
    store
}

fn write_all(store: &Store, sample: &Sample) {
    for piece in 0..sample.info.piece_count() {
        store.write(PieceIndex(piece), 0, sample.piece(piece)).expect("it is written");
    }
}

fn class<T: std::fmt::Debug>(result: Result<T, StoreError>) -> ErrorClass {
    result.expect_err("an error").class()
}

#[test]
fn what_is_written_is_read_and_lies_in_the_files() {
    for kind in KINDS {
        let sample = sample(kind, 32_768, FILES);
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(&sample, dir.path(), StoreOptions::default());
        store.prepare().expect("empty files are made");
        write_all(&store, &sample);
        store.sync().expect("it syncs");
        for (index, file) in sample.info.files.iter().enumerate() {
            let path = dir.path().join(file.disk_path.join("/"));
            if file.padding {
                assert!(!path.exists(), "padding is not stored");
                continue;
            }
            assert_eq!(fs::read(&path).expect("a file"), sample.file(index), "{path:?}");
            let executable = fs::metadata(&path).expect("a file").permissions().mode() & 0o100;
            assert_eq!(executable != 0, file.executable, "{path:?}");
        }
        let mut random = machine::Rng::new(1);
        for _ in 0..200 {
            let piece = random.below(u64::from(sample.info.piece_count())) as u32;
            let wanted = sample.piece(piece);
            let begin = random.below(wanted.len() as u64) as usize;
            let len = 1 + random.below((wanted.len() - begin) as u64) as usize;
            let mut found = vec![1; len];
            store.read(PieceIndex(piece), begin as u32, &mut found).expect("it is read");
            assert_eq!(found, wanted[begin..begin + len]);
            let spans = store.spans(PieceIndex(piece), begin as u32, len).expect("spans");
            let mut sent = Vec::new();
            for span in spans {
                match span.expect("it opens") {
                    Span::Zeros(len) => sent.resize(sent.len() + len, 0),
                    Span::File { handle, offset, len, .. } => {
                        let start = sent.len();
                        sent.resize(start + len, 0);
                        let read = rustix::io::pread(&*handle, &mut sent[start..], offset);
                        assert_eq!(read, Ok(len));
                    }
                }
            }
            assert_eq!(sent, found);
        }
    }
}

#[test]
fn slices_are_written_one_after_the_other() {
    let sample = sample(Kind::V1, 65_536, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path(), StoreOptions::default());
    for piece in 0..sample.info.piece_count() {
        let mut slices: Vec<IoSlice<'_>> =
            sample.piece(piece).chunks(777).map(IoSlice::new).collect();
        slices.insert(3, IoSlice::new(&[]));
        store.write_vectored(PieceIndex(piece), 0, &slices).expect("it is written");
    }
    assert_eq!(fs::read(dir.path().join("t/one")).expect("a file"), sample.file(0));
    assert_eq!(fs::read(dir.path().join("t/four")).expect("a file"), sample.file(4));
}

#[test]
fn files_are_sparse_and_huge() {
    let info = Arc::new(info_of(1 << 20, &[("huge", 20 << 30)]));
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(info, dir.path(), StoreOptions::default()).expect("it opens");
    let last = PieceIndex((20 << 10) - 1);
    store.write(last, 5, b"the end").expect("it is written");
    let mut found = [0; 7];
    store.read(last, 5, &mut found).expect("it is read");
    assert_eq!(&found, b"the end");
    let meta = fs::metadata(dir.path().join("huge")).expect("a file");
    assert_eq!(meta.len(), 20 << 30);
    assert!(meta.blocks() * 512 < 1 << 20, "sparse");
}

#[test]
fn thousands_of_files_need_few_descriptors() {
    let names: Vec<String> = (0..3000).map(|n| format!("d/{n}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
    let sample = sample(Kind::V1, 16_384, &files);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path(), StoreOptions::default());
    write_all(&store, &sample);
    assert!(store.state().handles.len() <= 64);
    for piece in 0..sample.info.piece_count() {
        let mut found = vec![0; sample.piece(piece).len()];
        store.read(PieceIndex(piece), 0, &mut found).expect("it is read");
        assert_eq!(found, sample.piece(piece));
    }
}

#[test]
fn di_08_few_descriptors_are_enough() {
    if std::env::var_os("FEW_DESCRIPTORS").is_none() {
        let this = std::env::current_exe().expect("the test program");
        let run = Command::new("sh")
            .args(["-c", "ulimit -n 32; exec \"$0\" \"$@\""])
            .arg(this)
            .args(["--exact", "store::tests::di_08_few_descriptors_are_enough", "--nocapture"])
            .env("FEW_DESCRIPTORS", "yes")
            .status();
        assert!(run.expect("it runs").success());
        return;
    }
    let names: Vec<String> = (0..100).map(|n| format!("d/{n}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 10)).collect();
    let sample = sample(Kind::V1, 16_384, &files);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path(), StoreOptions::default());
    // Sockets took all but a few, and then all.
    let mut sockets = Vec::new();
    while sockets.len() < 20 {
        sockets.push(fs::File::open("/dev/null").expect("a descriptor"));
    }
    write_all(&store, &sample);
    while let Ok(socket) = fs::File::open("/dev/null") {
        sockets.push(socket);
    }
    store.close_files();
    while let Ok(socket) = fs::File::open("/dev/null") {
        sockets.push(socket);
    }
    assert_eq!(class(store.write(PieceIndex(0), 0, &[1])), ErrorClass::TooManyFiles);
    assert_eq!(class(store.read(PieceIndex(0), 0, &mut [0])), ErrorClass::TooManyFiles);
    sockets.truncate(10);
    store.write(PieceIndex(0), 0, sample.piece(0)).expect("it is written");
}

#[test]
fn bytes_in_memory_are_told_from_those_on_disk() {
    let sample = sample(Kind::V1, 1 << 20, &[("one", 3 << 20)]);
    for dir in [tempfile::tempdir(), tempfile::tempdir_in("/dev/shm")] {
        let Ok(dir) = dir else { continue };
        let store = open(&sample, dir.path(), StoreOptions::default());
        write_all(&store, &sample);
        store.sync().expect("it syncs");
        let handle = store.handle(0, false).expect("it is open");
        let cached = |offset: u64| store.is_cached(&handle, offset, 1 << 20);
        if store.in_memory {
            assert!(cached(0) && cached(2 << 20));
            continue;
        }
        if !cached(1 << 20) {
            eprintln!("skipped: the file system cannot tell");
            continue;
        }
        rustix::fs::fadvise(&*handle, 0, None, Advice::DontNeed).expect("a hint");
        assert!(!cached(0) && !cached(1 << 20) && !cached(2 << 20));
        let mut found = vec![0; 1 << 20];
        store.read(PieceIndex(1), 0, &mut found).expect("it is read");
        assert!(cached(1 << 20));
        store.readahead(&handle, 0, 1 << 20);
    }
}

#[test]
fn files_not_selected_are_not_made() {
    for kind in KINDS {
        let sample = sample(kind, 32_768, &[("a", 50_000), ("b", 50_000), ("c", 50_000)]);
        let b = sample.info.files.iter().position(|file| file.path == ["b"]).expect("b");
        let dir = tempfile::tempdir().expect("a folder");
        let only_b = StoreOptions { selection: Some(&[b]), ..Default::default() };
        let store = open(&sample, dir.path(), only_b);
        store.prepare().expect("it prepares");
        let pieces = layout::pieces_of_file(&sample.info, b);
        for piece in pieces.clone() {
            store.write(PieceIndex(piece), 0, sample.piece(piece)).expect("it is written");
        }
        assert_eq!(fs::read(dir.path().join("b")).expect("a file"), sample.file(b));
        assert!(!dir.path().join("a").exists() && !dir.path().join("c").exists());
        store.sync().expect("it syncs");
        drop(store);

        // Pieces that reach into the neighbours are whole, also for a new store.
        let store = open(&sample, dir.path(), only_b);
        for piece in pieces.clone() {
            let mut found = vec![0; sample.piece(piece).len()];
            store.read(PieceIndex(piece), 0, &mut found).expect("it is read");
            assert_eq!(found, sample.piece(piece), "{kind:?}");
        }
        drop(store);

        // Selected later, the neighbours begin with what is known of them.
        let store = open(&sample, dir.path(), StoreOptions::default());
        store.prepare().expect("it prepares");
        for piece in pieces {
            let mut found = vec![0; sample.piece(piece).len()];
            store.read(PieceIndex(piece), 0, &mut found).expect("it is read");
            assert_eq!(found, sample.piece(piece), "{kind:?}");
        }
        let left = fs::read_dir(dir.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let hidden: Vec<String> = left.filter(|name| name.starts_with('.')).collect();
        assert_eq!(hidden, [""; 0], "the side file is gone");
    }
}

#[test]
fn a_finished_file_that_is_not_selected_is_used_and_another_is_left_alone() {
    let sample = sample(Kind::V1, 32_768, &[("a", 50_000), ("b", 50_000), ("c", 50_000)]);
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("a"), sample.file(0)).expect("a file");
    fs::write(dir.path().join("c"), b"a letter to grandmother").expect("a file");
    let options = StoreOptions { selection: Some(&[1]), ..Default::default() };
    let store = open(&sample, dir.path(), options);
    let mut found = vec![0; 32_768];
    store.read(PieceIndex(0), 0, &mut found).expect("it is read");
    assert_eq!(found, sample.piece(0));
    write_all(&store, &sample);
    assert_eq!(fs::read(dir.path().join("c")).expect("a file"), b"a letter to grandmother");
}

#[test]
fn to_08_a_link_planted_between_two_writes_is_an_error() {
    let sample = sample(Kind::V1, 32_768, &[("t/one", 40_000), ("t/two", 40_000)]);
    let (dir, outside) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let store = open(&sample, dir.path(), StoreOptions::default());
    store.write(PieceIndex(0), 0, sample.piece(0)).expect("it is written");

    fs::rename(dir.path().join("t"), dir.path().join("moved")).expect("it moves");
    symlink(outside.path(), dir.path().join("t")).expect("a link");
    assert_eq!(class(store.write(PieceIndex(2), 0, sample.piece(2))), ErrorClass::Unsafe);
    store.close_files();
    assert_eq!(class(store.write(PieceIndex(0), 0, sample.piece(0))), ErrorClass::Unsafe);
    assert_eq!(class(store.read(PieceIndex(0), 0, &mut [0])), ErrorClass::Unsafe);
    assert_eq!(class(store.sync()), ErrorClass::Unsafe);
    assert_eq!(fs::read_dir(outside.path()).expect("a folder").count(), 0);

    fs::remove_file(dir.path().join("t")).expect("the link goes");
    fs::create_dir(dir.path().join("t")).expect("a folder");
    fs::write(outside.path().join("mine"), b"mine").expect("a file");
    symlink(outside.path().join("mine"), dir.path().join("t/one")).expect("a link");
    let error = store.write(PieceIndex(0), 0, sample.piece(0)).expect_err("an error");
    assert_eq!(error.class(), ErrorClass::Unsafe);
    assert!(error.to_string().contains("t/one"), "{error}");
    assert_eq!(fs::read(outside.path().join("mine")).expect("a file"), b"mine");
}

#[test]
fn di_02_a_file_cut_short_or_deleted_below_us_is_an_error_that_names_it() {
    let sample = sample(Kind::V1, 32_768, &[("one", 100_000), ("two", 10)]);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path(), StoreOptions::default());
    write_all(&store, &sample);
    store.sync().expect("it syncs");
    let one = dir.path().join("one");
    fs::OpenOptions::new().write(true).open(&one).expect("it opens").set_len(50_000).expect("cut");
    let mut found = vec![0; 32_768];
    store.read(PieceIndex(0), 0, &mut found).expect("the beginning is there");
    for piece in 1..3 {
        let error = store.read(PieceIndex(piece), 0, &mut found).expect_err("an error");
        assert_eq!((error.class(), &error.path), (ErrorClass::Truncated, &one));
    }
    // Written again, the file stays short: what was in between is lost, and that is told.
    store.write(PieceIndex(0), 0, sample.piece(0)).expect("it is written");
    let error = store.sync().expect_err("an error");
    assert_eq!((error.class(), &error.path), (ErrorClass::Truncated, &one));

    store.write(PieceIndex(0), 0, sample.piece(0)).expect("it is written");
    fs::remove_file(&one).expect("it goes");
    let error = store.sync().expect_err("an error");
    assert_eq!((error.class(), &error.path), (ErrorClass::Missing, &one));
    store.close_files();
    assert_eq!(class(store.read(PieceIndex(0), 0, &mut found)), ErrorClass::Missing);
}

#[test]
fn di_02_folders_where_files_belong_and_files_where_folders_belong() {
    let sample = sample(Kind::V1, 32_768, &[("t/one", 32_768), ("two", 32_768)]);
    let dir = tempfile::tempdir().expect("a folder");
    fs::write(dir.path().join("t"), b"a file").expect("a file");
    fs::create_dir(dir.path().join("two")).expect("a folder");
    let store = open(&sample, dir.path(), StoreOptions::default());
    for piece in 0..2 {
        let written = store.write(PieceIndex(piece), 0, sample.piece(piece));
        assert_eq!(class(written), ErrorClass::Unsafe, "{piece}");
    }
    assert_eq!(class(store.write(PieceIndex(2), 0, &[1])), ErrorClass::OutOfRange);
    let below_a_file = dir.path().join("t/x");
    assert!(Store::open(sample.info.clone(), &below_a_file, StoreOptions::default()).is_err());
}

#[test]
fn di_02_a_read_only_store_changes_nothing() {
    let sample = sample(Kind::V1, 32_768, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let options = StoreOptions { read_only: true, ..Default::default() };
    let store = open(&sample, dir.path(), options);
    store.prepare().expect("nothing to do");
    assert_eq!(class(store.write(PieceIndex(0), 0, b"x")), ErrorClass::ReadOnly);
    assert_eq!(class(store.read(PieceIndex(0), 0, &mut [0])), ErrorClass::Missing);
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), 0);
    assert!(Store::open(sample.info.clone(), &dir.path().join("none"), options).is_err());
}

#[test]
fn to_13_many_empty_files_cost_few_bytes_each() {
    let one = size_of::<Place>();
    assert_eq!(one, 1, "all that a store keeps of a file that is not open");
    let names: Vec<String> = (0..2000).map(|n| format!("d/{n}")).collect();
    let mut files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 0)).collect();
    files.push(("d/last", 1));
    let sample = sample(Kind::V1, 16_384, &files);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path(), StoreOptions::default());
    store.prepare().expect("they are made");
    assert_eq!(store.state().handles.len(), 0);
    write_all(&store, &sample);
    assert_eq!(fs::read_dir(dir.path().join("d")).expect("a folder").count(), 2001);
}
