//! Tests of the threads on real files.

use std::fs;
use std::path::Path;
use std::process::Command;

use bittorrent::id::PieceIndex;
use tokio::sync::mpsc::UnboundedReceiver;

use super::*;
use crate::merkle::sha256_leaves;
use crate::store::testing::{KINDS, Kind, Sample, sample};
use crate::store::{ErrorClass, Journal, Store, StoreOptions};

const FILES: &[(&str, u64)] = &[("t/one", 1_000_000), ("t/empty", 0), ("t/two", 70_001)];

struct Bench {
    disk: Disk,
    events: UnboundedReceiver<DiskEvent>,
}

fn start(hash_threads: usize) -> Bench {
    let config =
        DiskConfig { hash_threads: NonZeroUsize::new(hash_threads), ..DiskConfig::default() };
    let (disk, events) = Disk::start(config).expect("threads start");
    Bench { disk, events }
}

impl Bench {
    fn submit(&self, job: DiskJob) {
        self.disk.submit(job).expect("the queue has room");
    }

    fn next(&mut self) -> DiskEvent {
        self.events.blocking_recv().expect("an event")
    }

    fn buffer(&self, bytes: &[u8]) -> PieceBuf {
        let mut buffer = self.disk.pool().try_take(bytes.len()).expect("room");
        buffer.copy_from_slice(bytes);
        buffer
    }

    fn verify(&self, store: &Arc<Store>, piece: u32, bytes: &[u8]) {
        let (store, piece) = (store.clone(), PieceIndex(piece));
        let data = PieceData::Memory(self.buffer(bytes));
        self.submit(DiskJob::Verify { store, tag: 5, piece, data });
    }

    /// Pieces that a recheck calls good and bad, and how it ended.
    fn recheck(&mut self, recheck: Arc<Recheck>) -> (Vec<u32>, Vec<u32>, bool, bool) {
        self.submit(DiskJob::Recheck(recheck));
        let (mut all_good, mut all_bad) = (Vec::new(), Vec::new());
        loop {
            match self.next() {
                DiskEvent::Rechecked { tag: 6, good, bad } => {
                    all_good.extend(good.iter().map(|piece| piece.0));
                    all_bad.extend(bad.iter().map(|piece| piece.0));
                }
                DiskEvent::RecheckDone { tag: 6, cancelled, error } => {
                    all_good.sort_unstable();
                    all_bad.sort_unstable();
                    return (all_good, all_bad, cancelled, error.is_some());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn open(sample: &Sample, dir: &Path) -> Arc<Store> {
    let store = Store::open(sample.info.clone(), dir, StoreOptions::default()).expect("it opens");
    store.set_piece_layers(&sample.layers);
    Arc::new(store)
}

fn verified(event: DiskEvent) -> (u32, Result<Verdict, VerifyError>, Option<PieceBuf>) {
    match event {
        DiskEvent::Verified { tag: 5, piece, result, data } => (piece.0, result, data),
        other => panic!("{other:?}"),
    }
}

#[test]
fn good_pieces_are_written_and_bad_ones_given_back() {
    for kind in KINDS {
        let sample = sample(kind, 32_768, FILES);
        let count = sample.info.piece_count();
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(&sample, dir.path());
        let mut bench = start(1);
        for piece in 0..count {
            let mut bytes = sample.piece(piece).to_vec();
            if piece % 5 == 0 {
                bytes[4000] ^= 1;
            }
            bench.verify(&store, piece, &bytes);
        }
        for _ in 0..count {
            let (piece, result, data) = verified(bench.next());
            match result.expect("no failure") {
                Verdict::Good => assert!(piece % 5 != 0 && data.is_none()),
                Verdict::Bad { leaves } => {
                    assert!(piece % 5 == 0);
                    let data = data.expect("the bad piece");
                    let mut wanted = Vec::new();
                    let expected = store.expected(PieceIndex(piece)).expect("it is known");
                    if let Some(subtree) = expected.v2 {
                        sha256_leaves(&data[..subtree.data_len as usize], &mut wanted);
                    }
                    assert_eq!(leaves, wanted);
                    assert_eq!(leaves.is_empty(), kind == Kind::V1);
                }
            }
        }
        assert_eq!(bench.disk.pool().taken(), 0);
        let all_bad: Vec<u32> = (0..count).filter(|piece| piece % 5 == 0).collect();
        let (good, bad, ..) = bench.recheck(Recheck::all(store.clone(), 6));
        assert_eq!((good.len() + bad.len(), bad), (count as usize, all_bad));
        bench.disk.shutdown();
    }
}

#[test]
fn a_hybrid_piece_must_match_both_versions() {
    let good = sample(Kind::Hybrid, 32_768, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let mut bench = start(1);
    for version in [1, 2] {
        let mut info = (*good.info).clone();
        let mut layers = good.layers.clone();
        match version {
            1 => info.v1_pieces.as_mut().expect("v1")[0][0] ^= 1,
            _ => layers[0][0][0] ^= 1,
        }
        let info = Arc::new(info);
        let store = Store::open(info, dir.path(), StoreOptions::default()).expect("it opens");
        store.set_piece_layers(&layers);
        bench.verify(&Arc::new(store), 0, good.piece(0));
        assert!(!verified(bench.next()).1.expect("no failure").is_good(), "v{version}");
    }
    // Padding that is not zeros is found by v1.
    let store = open(&good, dir.path());
    let last = good.info.files[0].len as u32 / 32_768;
    let mut bytes = good.piece(last).to_vec();
    bench.verify(&store, last, &bytes);
    assert!(verified(bench.next()).1.expect("no failure").is_good());
    *bytes.last_mut().expect("a byte") = 1;
    bench.verify(&store, last, &bytes);
    assert!(!verified(bench.next()).1.expect("no failure").is_good());
}

#[test]
fn pieces_of_an_unknown_layer_wait_for_it() {
    let sample = sample(Kind::V2, 32_768, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let options = StoreOptions::default();
    let store = Store::open(sample.info.clone(), dir.path(), options).expect("it opens");
    let store = Arc::new(store);
    let mut bench = start(1);
    bench.verify(&store, 0, sample.piece(0));
    let (_, result, data) = verified(bench.next());
    assert!(matches!(result, Err(VerifyError::LayerUnknown(_))), "{result:?}");
    assert_eq!(data.as_deref(), Some(sample.piece(0)));
    store.set_piece_layers(&sample.layers);
    bench.verify(&store, 0, sample.piece(0));
    assert!(verified(bench.next()).1.expect("no failure").is_good());
}

#[test]
fn blocks_are_written_read_and_hashed() {
    for (kind, piece_len) in [(Kind::V1, 1 << 23), (Kind::Hybrid, 1 << 23), (Kind::V2, 1 << 16)] {
        let sample = sample(kind, piece_len, &[("one", 10_000_001)]);
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(&sample, dir.path());
        let mut bench = start(1);
        let piece = PieceIndex(1);
        let bytes = sample.piece(1);
        for (number, block) in bytes.chunks(16_384).enumerate() {
            let (store, begin) = (store.clone(), number as u32 * 16_384);
            let data = block.to_vec().into();
            bench.submit(DiskJob::Write { store, tag: 1, piece, begin, data });
            let DiskEvent::Written { tag: 1, result: Ok(()), .. } = bench.next() else {
                panic!("not written");
            };
        }
        let data = PieceData::OnDisk;
        bench.submit(DiskJob::Verify { store: store.clone(), tag: 5, piece, data });
        assert!(verified(bench.next()).1.expect("no failure").is_good(), "{kind:?}");

        let data = vec![0; 9999].into();
        bench.submit(DiskJob::Read { store: store.clone(), tag: 2, piece, begin: 77, data });
        let DiskEvent::Read { tag: 2, result: Ok(()), data, .. } = bench.next() else {
            panic!("not read");
        };
        assert_eq!(*data, bytes[77..77 + 9999]);

        bench.submit(DiskJob::Leaves { store: store.clone(), tag: 3, piece });
        let DiskEvent::Leaves { tag: 3, result: Ok(leaves), .. } = bench.next() else {
            panic!("no leaves");
        };
        let mut wanted = Vec::new();
        sha256_leaves(bytes, &mut wanted);
        assert_eq!(leaves, wanted);

        store.write(piece, 5, b"damage").expect("it is written");
        let data = PieceData::OnDisk;
        bench.submit(DiskJob::Verify { store, tag: 5, piece, data });
        assert!(!verified(bench.next()).1.expect("no failure").is_good(), "{kind:?}");
    }
}

#[test]
fn a_recheck_finds_what_is_there() {
    for kind in KINDS {
        let files = [("one", 500_000), ("two", 500_000), ("zeros", 200_000), ("four", 100_000)];
        let mut sample = sample(kind, 16_384, &files);
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(&sample, dir.path());
        let mut bench = start(3);
        let (good, bad, cancelled, failed) = bench.recheck(Recheck::all(store.clone(), 6));
        assert_eq!((good, bad.len()), (vec![], sample.info.piece_count() as usize));
        assert_eq!((cancelled, failed), (false, false), "missing files are no failure");

        for piece in 0..sample.info.piece_count() {
            store.write(PieceIndex(piece), 0, sample.piece(piece)).expect("it is written");
        }
        let (good, bad, ..) = bench.recheck(Recheck::all(store.clone(), 6));
        assert_eq!((good.len(), bad), (sample.info.piece_count() as usize, vec![]));

        // A file cut short, and one with a hole in it.
        let two = sample.info.files.iter().position(|file| file.path == ["two"]).expect("two");
        let path = dir.path().join("two");
        let file = fs::OpenOptions::new().write(true).open(path).expect("it opens");
        file.set_len(300_000).expect("it is cut");
        let (_, bad, ..) = bench.recheck(Recheck::all(store.clone(), 6));
        let pieces = store.pieces_of_file(two);
        let cut = (sample.info.files[two].offset + 300_000) / 16_384;
        assert_eq!(bad, (cut as u32..pieces.end).collect::<Vec<u32>>());
        file.set_len(500_000).expect("it is longer again");
        let (_, again, _, failed) = bench.recheck(Recheck::all(store.clone(), 6));
        assert_eq!((again, failed), (bad, false));

        // Only some pieces.
        let some = vec![PieceIndex(0), PieceIndex(cut as u32)];
        let (good, bad, ..) = bench.recheck(Recheck::of(store.clone(), 6, some));
        assert_eq!((good, bad), (vec![0], vec![cut as u32]));

        let recheck = Recheck::all(store.clone(), 6);
        recheck.cancel();
        let (good, bad, cancelled, _) = bench.recheck(recheck);
        assert_eq!((good.len(), bad.len(), cancelled), (0, 0, true));
        sample.bytes.clear();
    }
}

#[test]
fn zeros_in_holes_are_judged_like_any_bytes() {
    for kind in KINDS {
        let files = [("zeros", 3_000_001)];
        let zeros = crate::store::testing::zeros(kind, 1 << 20, &files);
        let other = sample(kind, 1 << 20, &files);
        for (sample, is_good) in [(&zeros, true), (&other, false)] {
            let dir = tempfile::tempdir().expect("a folder");
            let file = fs::File::create(dir.path().join("zeros")).expect("a file");
            file.set_len(3_000_001).expect("its length");
            let store = open(sample, dir.path());
            let (good, bad, ..) = start(1).recheck(Recheck::all(store, 6));
            assert_eq!((good.len(), bad.len()), if is_good { (3, 0) } else { (0, 3) });
        }
    }
}

#[test]
fn di_02_failures_come_back_with_the_bytes_and_other_torrents_go_on() {
    let sample = sample(Kind::V1, 32_768, &[("one", 32_768)]);
    let (blocked, free) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    fs::create_dir(blocked.path().join("one")).expect("a folder in its place");
    let mut bench = start(1);
    let (blocked, free) = (open(&sample, blocked.path()), open(&sample, free.path()));
    bench.verify(&blocked, 0, sample.piece(0));
    bench.verify(&free, 0, sample.piece(0));
    let (_, result, data) = verified(bench.next());
    let Err(VerifyError::Store(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.class(), ErrorClass::Unsafe);
    assert_eq!(data.as_deref(), Some(sample.piece(0)));
    assert!(verified(bench.next()).1.expect("no failure").is_good());

    let (_, _, _, failed) = bench.recheck(Recheck::all(blocked, 6));
    assert!(failed, "a failure, not just a bad piece");
}

/// Runs a test of this file again in a mount namespace of its own, where `$DIR` is a file system of
/// 1 MiB. False if this is that run, or the system has no such namespaces for us.
fn rerun_on_tiny_disk(name: &str) -> bool {
    if std::env::var_os("TINY_DISK").is_some() {
        return false;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=1M tiny \"$TINY_DISK\" || exit 77; exec \"$0\" \"$@\"";
    let this = std::env::current_exe().expect("the test program");
    let status = Command::new("unshare")
        .args(["-rm", "sh", "-c", script])
        .arg(this)
        .args(["--exact", name, "--nocapture"])
        .env("TINY_DISK", dir.path())
        .status();
    match status.map(|status| status.code()) {
        Ok(Some(0)) => {}
        Ok(Some(1 | 77)) if !may_mount() => eprintln!("skipped: no mount namespaces here"),
        Err(error) => eprintln!("skipped: {error}"),
        failed => panic!("{failed:?}"),
    }
    true
}

fn may_mount() -> bool {
    let made = Command::new("unshare").args(["-rm", "true"]).status();
    made.is_ok_and(|status| status.success())
}

#[test]
fn di_01_a_full_disk_is_told_and_the_piece_can_be_tried_again() {
    if rerun_on_tiny_disk("disk::tests::di_01_a_full_disk_is_told_and_the_piece_can_be_tried_again")
    {
        return;
    }
    let dir = std::env::var_os("TINY_DISK").expect("the tiny disk");
    let dir = Path::new(&dir);
    let sample = sample(Kind::V1, 262_144, &[("one", 2_000_000)]);
    fs::write(dir.join("ballast"), vec![1; 400_000]).expect("it fits");
    let store = open(&sample, dir);
    let mut bench = start(1);
    let count = sample.info.piece_count();
    for piece in 0..count {
        bench.verify(&store, piece, sample.piece(piece));
    }
    let mut failed = Vec::new();
    for _ in 0..count {
        let (piece, result, data) = verified(bench.next());
        match result {
            Ok(verdict) => assert!(verdict.is_good()),
            Err(VerifyError::Store(error)) => {
                assert_eq!(error.class(), ErrorClass::NoSpace, "{error}");
                failed.push((piece, data.expect("the piece")));
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(!failed.is_empty() && failed.len() < count as usize, "full in the middle");
    let written = count as usize - failed.len();
    let (good, ..) = bench.recheck(Recheck::all(store.clone(), 6));
    assert_eq!(good.len(), written, "no piece is called good that is not on disk");

    fs::remove_file(dir.join("ballast")).expect("room again");
    let (piece, data) = failed.swap_remove(0);
    bench.verify(&store, piece, &data);
    assert!(verified(bench.next()).1.expect("there is room").is_good());
}

#[test]
fn journals_are_opened_and_flushed() {
    let sample = sample(Kind::V1, 32_768, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path());
    let path = Journal::path_in(dir.path(), &sample.info.hashes);
    let mut bench = start(1);
    for (round, close) in [(0, false), (1, true), (2, true)] {
        bench.submit(DiskJob::Prepare { store: store.clone(), tag: 7, journal: path.clone() });
        let DiskEvent::Prepared { tag: 7, result: Ok(prepared) } = bench.next() else {
            panic!("not prepared");
        };
        assert!(dir.path().join("t/empty").exists());
        let (journal, resume) = *prepared;
        assert_eq!(resume.have.count_ones(), round);
        bench.verify(&store, round, sample.piece(round));
        assert!(verified(bench.next()).1.expect("no failure").is_good());
        journal.record(&[PieceIndex(round)]);
        let (store, journal) = (store.clone(), Arc::new(journal));
        bench.submit(DiskJob::Flush { store, tag: 8, journal, close });
        assert!(matches!(bench.next(), DiskEvent::Flushed { tag: 8, result: Ok(()) }));
    }
}

#[test]
fn too_many_jobs_are_given_back() {
    let config = DiskConfig { queue_len: 0, ..DiskConfig::default() };
    let (disk, _events) = Disk::start(config).expect("threads start");
    let sample = sample(Kind::V1, 32_768, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path());
    let job = DiskJob::Leaves { store: store.clone(), tag: 1, piece: PieceIndex(0) };
    assert!(matches!(disk.submit(job), Err(DiskJob::Leaves { tag: 1, .. })));
    assert!(disk.submit(DiskJob::Recheck(Recheck::all(store, 6))).is_err());
    disk.shutdown();
}

#[test]
fn queued_pieces_are_written_before_the_threads_end() {
    let sample = sample(Kind::V1, 32_768, FILES);
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(&sample, dir.path());
    let bench = start(2);
    for piece in 0..sample.info.piece_count() {
        bench.verify(&store, piece, sample.piece(piece));
    }
    bench.disk.shutdown();
    assert_eq!(fs::read(dir.path().join("t/one")).expect("a file"), sample.file(0));
}
