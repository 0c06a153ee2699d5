//! Tests of journals on real files.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::store::testing::{Kind, Sample, info_of, sample};
use crate::store::{ErrorClass, StoreOptions};
use hash::{Digest, Sha1};

const FILES: &[(&str, u64)] = &[("a", 100_000), ("b", 100_000), ("c", 100_000)];
const PIECE: u32 = 16_384;

struct Fixture {
    dir: tempfile::TempDir,
    sample: Sample,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().expect("a folder");
    Fixture { dir, sample: sample(Kind::V1, PIECE, FILES) }
}

fn open_in(dir: &Path, sample: &Sample) -> (Store, Journal, Resume) {
    let options = StoreOptions::default();
    let store = Store::open(sample.info.clone(), dir, options).expect("it opens");
    let path = Journal::path_in(dir, &sample.info.hashes);
    let (journal, resume) = Journal::open(&path, &store).expect("it opens");
    (store, journal, resume)
}

fn put(store: &Store, journal: &Journal, sample: &Sample, pieces: impl IntoIterator<Item = u32>) {
    for piece in pieces {
        store.write(PieceIndex(piece), 0, sample.piece(piece)).expect("it is written");
        journal.record(&[PieceIndex(piece)]);
    }
}

impl Fixture {
    fn open(&self) -> (Store, Journal, Resume) {
        open_in(self.dir.path(), &self.sample)
    }

    fn journal_path(&self) -> PathBuf {
        Journal::path_in(self.dir.path(), &self.sample.info.hashes)
    }

    /// A session that fetches these pieces and ends in order, or is killed after a flush.
    fn session(&self, pieces: impl IntoIterator<Item = u32>, closed: bool) {
        let (store, journal, _) = self.open();
        put(&store, &journal, &self.sample, pieces);
        let flushed = if closed { journal.close(&store) } else { journal.flush(&store) };
        flushed.expect("it is flushed");
    }

    fn shift_mtime(&self, file: &str, seconds: i64) {
        let file = fs::OpenOptions::new().write(true).open(self.dir.path().join(file));
        let file = file.expect("it opens");
        let now = file.metadata().and_then(|meta| meta.modified()).expect("a time");
        let shift = Duration::from_secs(seconds.unsigned_abs());
        let then = if seconds < 0 { now - shift } else { now + shift };
        file.set_modified(then).expect("it is set");
    }
}

fn have(resume: &Resume) -> Vec<u32> {
    resume.have.ones().collect()
}

fn recheck(resume: &Resume) -> Vec<u32> {
    resume.recheck.iter().map(|piece| piece.0).collect()
}

#[test]
fn what_was_recorded_is_there_after_a_restart() {
    for closed in [true, false] {
        let fixture = fixture();
        let (.., resume) = fixture.open();
        assert_eq!((have(&resume), recheck(&resume)), (vec![], vec![]));
        assert_eq!(resume.origin, Origin::New);
        fixture.session([0, 5, 7], closed);
        fixture.session([18], closed);
        let (store, journal, resume) = fixture.open();
        assert_eq!((have(&resume), recheck(&resume)), (vec![0, 5, 7, 18], vec![]));
        assert_eq!(resume.origin, Origin::Journal);

        journal.set_totals(Totals { downloaded: 1, uploaded: 2 });
        journal.close(&store).expect("it is flushed");
        let (.., resume) = fixture.open();
        assert_eq!(resume.totals, Totals { downloaded: 1, uploaded: 2 });
        assert_eq!(have(&resume), [0, 5, 7, 18]);
    }
}

#[test]
fn files_without_a_journal_are_checked() {
    let fixture = fixture();
    fs::write(fixture.dir.path().join("b"), b"something").expect("a file");
    let (store, _, resume) = fixture.open();
    // The pieces at its ends reach into files that are not there.
    let inner = store.pieces_of_file(1).start + 1..store.pieces_of_file(1).end - 1;
    assert_eq!((have(&resume), recheck(&resume)), (vec![], inner.collect()));
}

#[test]
fn a_file_that_changed_is_checked_and_the_others_are_trusted() {
    let count = sample(Kind::V1, PIECE, FILES).info.piece_count();
    type Change = fn(&Fixture);
    let changes: [(&str, bool, Change, bool); 7] = [
        ("nothing", true, |_| {}, true),
        ("later", true, |f| f.shift_mtime("b", 1), false),
        ("earlier", true, |f| f.shift_mtime("b", -1), false),
        ("a moment after the last record", false, |f| f.shift_mtime("b", 1), true),
        ("long after the last record", false, |f| f.shift_mtime("b", 60), false),
        ("before the last record", false, |f| f.shift_mtime("b", -1), false),
        ("in length", false, |f| fs::write(f.dir.path().join("b"), b"x").expect("cut"), false),
    ];
    for (name, closed, change, trusted) in changes {
        let fixture = fixture();
        fixture.session(0..count, closed);
        change(&fixture);
        let (store, journal, resume) = fixture.open();
        let of_b = store.pieces_of_file(1);
        let (good, suspect): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|piece| trusted || !of_b.contains(piece));
        assert_eq!((have(&resume), recheck(&resume)), (good, suspect.clone()), "{name}");
        if trusted {
            continue;
        }
        // Recording one of them says nothing of the others.
        journal.record(&resume.recheck[..1]);
        journal.flush(&store).expect("it is flushed");
        let (_, _, resume) = fixture.open();
        let still: Vec<u32> =
            suspect[1..].iter().copied().filter(|&piece| !resume.have.get(piece)).collect();
        assert_eq!(still, suspect[1..], "{name}");
    }
}

#[test]
fn a_file_that_is_gone_is_fetched_anew() {
    let fixture = fixture();
    let count = fixture.sample.info.piece_count();
    fixture.session(0..count, true);
    fs::remove_file(fixture.dir.path().join("b")).expect("it goes");
    let (store, journal, resume) = fixture.open();
    let of_b = store.pieces_of_file(1);
    let others: Vec<u32> = (0..count).filter(|piece| !of_b.contains(piece)).collect();
    assert_eq!((have(&resume), recheck(&resume)), (others, vec![]));
    put(&store, &journal, &fixture.sample, of_b);
    journal.close(&store).expect("it is flushed");
    assert!(fixture.open().2.have.all());
}

#[test]
fn pieces_of_the_side_file_are_remembered() {
    let fixture = fixture();
    let path = fixture.journal_path();
    let options = StoreOptions { selection: Some(&[1]), ..Default::default() };
    let open = || {
        let info = fixture.sample.info.clone();
        let store = Store::open(info, fixture.dir.path(), options).expect("it opens");
        let (journal, resume) = Journal::open(&path, &store).expect("it opens");
        (store, journal, resume)
    };
    let (store, journal, _) = open();
    let pieces = store.pieces_of_file(1);
    put(&store, &journal, &fixture.sample, pieces.clone());
    journal.flush(&store).expect("it is flushed");
    let (_, _, resume) = open();
    assert_eq!((have(&resume), recheck(&resume)), (pieces.collect(), vec![]));
    fs::remove_file(fixture.dir.path().join(".0707070707070707070707070707070707070707.parts"))
        .expect("the side file goes");
    let (store, _, resume) = open();
    let inner = store.pieces_of_file(1).start + 1..store.pieces_of_file(1).end - 1;
    assert_eq!((have(&resume), recheck(&resume)), (inner.collect(), vec![]));
}

#[test]
fn di_04_a_damaged_journal_is_kept_aside_and_everything_is_checked() {
    let fixture = fixture();
    let count = fixture.sample.info.piece_count();
    let path = fixture.journal_path();
    fixture.session(0..count, true);
    let good = fs::read(&path).expect("the journal");
    let mut other = info_of(PIECE, FILES);
    other.hashes.v1 = Some(bittorrent::id::InfoHash([9; 20]));
    let mut of_another = Writer::new();
    of_another.torrent(&torrent_of(&other));
    of_another.have(&Bitfield::new(count));
    of_another.progress(&Progress::default());

    let mut cases = vec![
        ("empty", vec![]),
        ("cut short", good[..40].to_vec()),
        ("of another torrent", of_another.bytes),
        ("text", b"piece 1 is fine, trust me".to_vec()),
    ];
    for position in [0, 8, 20, good.len() / 2, good.len() - 1] {
        let mut flipped = good.clone();
        flipped[position] ^= 0x10;
        cases.push(("a bit flipped", flipped));
    }
    for (name, bytes) in cases {
        fs::write(&path, &bytes).expect("it is written");
        let (store, journal, resume) = fixture.open();
        assert_eq!(have(&resume), [0; 0], "{name}");
        assert_eq!(recheck(&resume), (0..count).collect::<Vec<u32>>(), "{name}");
        let Origin::Damaged { kept, .. } = resume.origin else { panic!("{name}") };
        assert_eq!(kept.extension().and_then(|end| end.to_str()), Some("bad"));
        assert_eq!(fs::read(&kept).expect("it is kept"), bytes, "{name}");
        assert!(!path.exists());
        // After the check all is well again.
        journal.record(&resume.recheck);
        journal.close(&store).expect("it is flushed");
        assert!(fixture.open().2.have.all(), "{name}");
    }
}

#[test]
fn a_record_that_a_crash_tore_is_cut_away() {
    let fixture = fixture();
    fixture.session([1], false);
    let path = fixture.journal_path();
    let before = fs::read(&path).expect("the journal");
    fixture.session([2], false);
    let after = fs::read(&path).expect("the journal");
    assert!(after.starts_with(&before) && after.len() > before.len(), "it is appended to");
    for len in [before.len() + 1, before.len() + 10, after.len() - 1] {
        fs::write(&path, &after[..len]).expect("it is written");
        let (store, journal, resume) = fixture.open();
        assert_eq!(have(&resume), [1]);
        put(&store, &journal, &fixture.sample, [3]);
        journal.flush(&store).expect("it is flushed");
        assert_eq!(have(&fixture.open().2), [1, 3]);
    }
}

#[test]
fn bad_pieces_are_taken_off_the_record() {
    let fixture = fixture();
    let (store, journal, _) = fixture.open();
    put(&store, &journal, &fixture.sample, 0..6);
    journal.forget(&[PieceIndex(1)]);
    journal.flush(&store).expect("it is flushed");
    assert_eq!(have(&fixture.open().2), [0, 2, 3, 4, 5]);
    journal.forget(&[PieceIndex(3), PieceIndex(4)]);
    journal.record(&[PieceIndex(4)]);
    journal.flush(&store).expect("it is flushed");
    assert_eq!(have(&fixture.open().2), [0, 2, 4, 5]);
}

#[test]
fn many_flushes_leave_a_short_file() {
    let mut fixture = fixture();
    // In memory, if there is such a folder: this syncs often.
    fixture.dir = tempfile::tempdir_in("/dev/shm").unwrap_or(fixture.dir);
    let (store, journal, _) = fixture.open();
    for round in 0..3000 {
        journal.set_totals(Totals { downloaded: round, uploaded: 0 });
        journal.flush(&store).expect("it is flushed");
    }
    let len = fs::metadata(fixture.journal_path()).expect("the journal").len();
    assert!(len < SMALL_LOG as u64 + 1000, "{len} bytes");
    assert_eq!(fixture.open().2.totals.downloaded, 2999);
}

#[test]
fn the_info_dictionary_and_layers_are_kept() {
    let bytes: Arc<[u8]> = b"d4:name6:samplee".as_slice().into();
    let dir = tempfile::tempdir().expect("a folder");
    let mut info = info_of(PIECE, FILES);
    let sha1: [u8; 20] = Sha1::digest(&bytes).into();
    info.hashes.v1 = Some(bittorrent::id::InfoHash(sha1));
    let info = Arc::new(info);
    let store = Store::open(info.clone(), dir.path(), StoreOptions::default()).expect("it opens");
    let path = Journal::path_in(dir.path(), &info.hashes);
    assert_eq!(Journal::info_bytes(&path, &info.hashes), None);
    let (journal, _) = Journal::open(&path, &store).expect("it opens");
    journal.set_info_bytes(bytes.clone());
    journal.set_piece_layer(2, &[[1; 32], [2; 32]]);
    journal.flush(&store).expect("it is flushed");
    assert_eq!(Journal::info_bytes(&path, &info.hashes).as_deref(), Some(&*bytes));
    let mut others = info.hashes;
    others.v1 = Some(bittorrent::id::InfoHash([1; 20]));
    assert_eq!(Journal::info_bytes(&path, &others), None);
    let (journal, resume) = Journal::open(&path, &store).expect("it opens");
    assert_eq!(resume.layers, [(2, vec![[1; 32], [2; 32]])]);
    journal.set_info_bytes(bytes);
    journal.record(&[]);
    journal.flush(&store).expect("it is flushed");
    assert!(Journal::info_bytes(&path, &info.hashes).is_some());
}

#[test]
fn pieces_wait_for_a_while_or_for_company() {
    let fixture = fixture();
    let (store, journal, _) = fixture.open();
    let now = Instant::now();
    assert!(!journal.is_due(now + FLUSH_AFTER * 9));
    put(&store, &journal, &fixture.sample, [1]);
    assert!(!journal.is_due(now));
    assert!(journal.is_due(now + FLUSH_AFTER * 9));
    journal.flush(&store).expect("it is flushed");
    assert!(!journal.is_due(now + FLUSH_AFTER * 9));
    let enough = (FLUSH_BYTES / u64::from(PIECE)) as usize;
    journal.record(&vec![PieceIndex(1); enough]);
    assert!(journal.is_due(now));
}

#[test]
fn di_02_pieces_that_did_not_reach_the_disk_are_not_recorded() {
    let fixture = fixture();
    let (store, journal, _) = fixture.open();
    put(&store, &journal, &fixture.sample, [0, 1]);
    fs::remove_file(fixture.dir.path().join("a")).expect("it goes");
    let error = journal.flush(&store).expect_err("the file is gone");
    assert_eq!(error.source.class(), ErrorClass::Missing);
    assert_eq!(error.lost, [PieceIndex(0), PieceIndex(1)]);
    journal.flush(&store).expect("nothing is left to flush");
    assert_eq!(have(&fixture.open().2), [0; 0]);
}

#[test]
fn di_01_a_journal_that_cannot_be_written_is_written_later() {
    let fixture = fixture();
    let state = fixture.dir.path().join("state");
    fs::create_dir(&state).expect("a folder");
    let (store, ..) = fixture.open();
    let path = Journal::path_in(&state, &fixture.sample.info.hashes);
    let (journal, _) = Journal::open(&path, &store).expect("it opens");
    put(&store, &journal, &fixture.sample, [0]);
    fs::remove_dir(&state).expect("the folder goes");
    let error = journal.flush(&store).expect_err("no folder");
    assert_eq!((error.source.class(), error.lost.len()), (ErrorClass::Missing, 0));
    fs::create_dir(&state).expect("a folder");
    put(&store, &journal, &fixture.sample, [1]);
    journal.flush(&store).expect("it is flushed");
    let (_, resume) = Journal::open(&path, &store).expect("it opens");
    assert_eq!(have(&resume), [0, 1]);
}

#[test]
fn to_08_a_link_in_place_of_the_journal_is_not_followed() {
    let fixture = fixture();
    let outside = fixture.dir.path().join("outside");
    fs::write(&outside, b"mine").expect("a file");
    let path = fixture.journal_path();
    std::os::unix::fs::symlink(&outside, replace::beside(&path, ".tmp")).expect("a link");
    fixture.session([1], false);
    assert_eq!(have(&fixture.open().2), [1]);
    fs::remove_file(&path).expect("it goes");
    std::os::unix::fs::symlink(&outside, &path).expect("a link");
    let (store, ..) = {
        let options = StoreOptions::default();
        let info = fixture.sample.info.clone();
        (Store::open(info, fixture.dir.path(), options).expect("it opens"), ())
    };
    assert!(Journal::open(&path, &store).is_err());
    assert_eq!(fs::read(&outside).expect("a file"), b"mine");
}

#[test]
fn di_05_killed_at_any_step_the_journal_is_old_or_new() {
    let name = "store::journal::tests::di_05_killed_at_any_step_the_journal_is_old_or_new";
    if let Some(dir) = std::env::var_os("CRASH_DIR") {
        // The session that is killed: one flush appends, the next folds.
        let sample = sample(Kind::V1, PIECE, FILES);
        let (store, journal, _) = open_in(Path::new(&dir), &sample);
        put(&store, &journal, &sample, [4, 5]);
        journal.flush(&store).expect("it is flushed");
        put(&store, &journal, &sample, [6, 7]);
        journal.forget(&[PieceIndex(0)]);
        journal.flush(&store).expect("it is flushed");
        return;
    }
    for step in replace::STEPS {
        let fixture = fixture();
        fixture.session(0..4, false);
        let status = Command::new(std::env::current_exe().expect("the test program"))
            .args(["--exact", name])
            .env("CRASH_DIR", fixture.dir.path())
            .env("CRASH_AT", step)
            .output()
            .expect("it runs")
            .status;
        assert_eq!(status.signal(), Some(9), "{step}");
        let (store, journal, resume) = fixture.open();
        let have = have(&resume);
        let allowed: [&[u32]; 3] = [&[0, 1, 2, 3], &[0, 1, 2, 3, 4, 5], &[1, 2, 3, 4, 5, 6, 7]];
        let expected = match step {
            "append" | "append-half" => 0..1,
            "append-whole" | "append-synced" => 1..2,
            "renamed" | "folder-synced" => 2..3,
            _ => 1..2,
        };
        assert!(allowed[expected].contains(&&*have), "{step}: {have:?}");
        assert_eq!(resume.origin, Origin::Journal, "{step}");
        for &piece in &have {
            let mut found = vec![0; fixture.sample.piece(piece).len()];
            store.read(PieceIndex(piece), 0, &mut found).expect("it is read");
            assert_eq!(found, fixture.sample.piece(piece), "{step}: ahead of the disk");
        }
        // And life goes on.
        put(&store, &journal, &fixture.sample, [10]);
        journal.close(&store).expect("it is flushed");
        assert!(fixture.open().2.have.get(10), "{step}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>, cut in 0_usize..2000, flip in 0_usize..2000) {
        let _ = Contents::parse(&bytes);
        let _ = Contents::parse(&with_checksums(&bytes));
        let mut writer = Writer::new();
        writer.torrent(&torrent_of(&info_of(PIECE, FILES)));
        writer.bytes.extend(&bytes);
        let _ = Contents::parse(&writer.bytes);
        let mut journal = Writer::new();
        journal.torrent(&torrent_of(&info_of(PIECE, FILES)));
        journal.have(&Bitfield::full(19));
        journal.progress(&Progress::default());
        let mut bytes = journal.bytes;
        bytes.truncate(cut);
        if let Some(byte) = bytes.get_mut(flip) {
            *byte = byte.wrapping_add(1);
        }
        let _ = Contents::parse(&bytes);
    }
}
