//! The library over real folders: what is in it, found by words, kept through renames and restarts.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use codec::base32;
use common::{Home, PATIENCE};
use hash::{Digest, Sha1, Sha256};
use node::{FileQuery, FolderState, Library, LibraryError, LibraryFile, LibraryFiles};
use proptest::prelude::*;

/// Something else is looked for at least so often.
const LOOK: Duration = Duration::from_millis(200);

fn open(home: &Home) -> Library {
    Library::open(&home.path("state")).expect("opens")
}

fn files(library: &Library, words: &str) -> LibraryFiles {
    let query = FileQuery { words: words.to_owned(), ..FileQuery::default() };
    library.files(&query).expect("listed")
}

fn names(library: &Library, words: &str) -> Vec<String> {
    let mut names: Vec<_> = files(library, words).files.into_iter().map(|file| file.path).collect();
    names.sort();
    names
}

/// Waits until the library says so.
fn await_that(library: &Library, what: &str, is: impl Fn(&[LibraryFile]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = files(library, "").files;
        if is(&found) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {found:#?}\n{:#?}", library.status());
        let mut looked = false;
        library.wait_until(LOOK, |_| std::mem::replace(&mut looked, true));
    }
}

/// Waits until all is hashed, and `count` files are there.
fn settle(library: &Library, count: u64) {
    let done = library.wait_until(PATIENCE, |status| {
        status.is_settled() && (status.files, status.files_hashed) == (count, count)
    });
    assert!(done, "{:#?}", library.status());
}

/// Writes a file that was not written just now.
fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, bytes).expect("written");
    age(path);
}

fn age(path: &Path) {
    let modified = fs::metadata(path).expect("there").modified().expect("known");
    set_modified(path, modified - Duration::from_secs(3600));
}

fn set_modified(path: &Path, time: SystemTime) {
    File::options().append(true).open(path).expect("opens").set_modified(time).expect("set");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_in_a_folder_is_hashed_and_found() {
    let home = Home::new();
    let made = home.make_files("shared/films", &[("Big Buck Bunny.mp4", 3_000_000), ("a.txt", 9)]);
    write(&home.path("shared/.hidden"), b"secret");
    write(&home.path("shared/empty"), b"");
    write(&home.path("outside"), b"outside");
    symlink(home.path("outside"), home.path("shared/link")).expect("a link");
    symlink(home.path(""), home.path("shared/loop")).expect("a link");
    let library = open(&home);
    let folder = library.add(&home.path("shared")).expect("added");
    settle(&library, 3);
    assert_eq!(names(&library, ""), ["empty", "films/Big Buck Bunny.mp4", "films/a.txt"]);
    for (words, found) in [
        ("bunny", vec!["films/Big Buck Bunny.mp4"]),
        ("FILM bun", vec!["films/Big Buck Bunny.mp4"]),
        ("films", vec!["films/Big Buck Bunny.mp4", "films/a.txt"]),
        ("films -bunny", vec!["films/a.txt"]),
        ("type:video", vec!["films/Big Buck Bunny.mp4"]),
        ("type:txt type:mp4", vec!["films/Big Buck Bunny.mp4", "films/a.txt"]),
        ("size:>1M", vec!["films/Big Buck Bunny.mp4"]),
        ("size:<1", vec!["empty"]),
        ("-films", vec!["empty"]),
        ("nothing", vec![]),
    ] {
        assert_eq!(names(&library, words), found, "{words}");
    }
    for (name, bytes) in &made {
        let file = &files(&library, name.split('.').next().expect("a word")).files[0];
        assert_eq!(file.sha1, Some(hex(&Sha1::digest(bytes))));
        assert_eq!(file.sha256, Some(hex(&Sha256::digest(bytes))));
        assert_eq!(file.length, bytes.len() as u64);
        let (path, metainfo) = library.torrent(file.id).expect("a torrent");
        assert!(path.ends_with(name));
        let hashes = metainfo.info.hashes;
        assert_eq!(file.infohash_v1, hashes.v1.map(|hash| hash.to_string()));
        let options = net::create::CreateOptions {
            piece_len: Some(metainfo.info.piece_len),
            ..Default::default()
        };
        let again = net::create::create(&path, &options, &|_, _| {}).expect("made");
        assert_eq!(again.info.hashes, hashes);
    }
    let empty = &files(&library, "empty").files[0];
    // The roots of nothing, as THEX and FIPS 180 give them.
    let tth = empty.tth.as_deref().expect("hashed");
    assert_eq!(tth, "LWPNACQDBZRYXW3VHJVCJ64QBZNGHOHHHZWCLNQ");
    assert_eq!(base32::decode(tth).map(|root| root.len()), Some(24));
    assert_eq!(empty.infohash_v1, None);
    assert!(matches!(library.torrent(empty.id), Err(LibraryError::Conflict(_))));
    // Nothing is shared twice.
    for other in ["shared", "shared/films", ""] {
        let refused = library.add(&home.path(other));
        assert!(matches!(refused, Err(LibraryError::Conflict(_))), "{other}: {refused:?}");
    }
    assert!(matches!(library.add(&home.path("nowhere")), Err(LibraryError::Folder { .. })));
    library.remove(folder.id).expect("removed");
    assert_eq!(library.status().files, 0);
    await_that(&library, "nothing is listed", |found| found.is_empty());
    assert!(matches!(library.remove(folder.id), Err(LibraryError::NoFolder(_))));
}

#[test]
fn changes_are_seen_as_they_happen() {
    let home = Home::new();
    let shared = home.path("shared");
    let library = open(&home);
    library.add(&shared).expect("added");
    settle(&library, 0);
    fs::create_dir_all(shared.join("new/deep")).expect("made");
    fs::write(shared.join("new/deep/one"), b"1").expect("written");
    let is = |found: &[LibraryFile], path: &str, bytes: &[u8]| {
        let sha1 = Some(hex(&Sha1::digest(bytes)));
        found.iter().any(|file| file.path == path && file.sha1 == sha1)
    };
    await_that(&library, "a new file", |found| is(found, "new/deep/one", b"1"));
    fs::write(shared.join("new/deep/one"), b"2").expect("written");
    await_that(&library, "a changed file", |found| is(found, "new/deep/one", b"2"));
    let id = files(&library, "").files[0].id;
    fs::rename(shared.join("new/deep/one"), shared.join("moved")).expect("renamed");
    await_that(&library, "a renamed file", |found| is(found, "moved", b"2"));
    fs::create_dir(shared.join("new/other")).expect("made");
    fs::rename(shared.join("moved"), shared.join("new/other/two")).expect("renamed");
    await_that(&library, "a file in a new folder", |found| is(found, "new/other/two", b"2"));
    fs::rename(shared.join("new"), shared.join("old")).expect("renamed");
    await_that(&library, "a renamed folder", |found| is(found, "old/other/two", b"2"));
    // What is in a renamed folder is still watched, by its new name.
    fs::write(shared.join("old/other/three"), b"3").expect("written");
    await_that(&library, "a file in it", |found| is(found, "old/other/three", b"3"));
    let two =
        |found: &[LibraryFile]| found.iter().find(|it| it.path.ends_with("two")).map(|it| it.id);
    assert_eq!(two(&files(&library, "").files), Some(id));
    assert_eq!(names(&library, "three old"), ["old/other/three"]);
    fs::remove_dir_all(shared.join("old")).expect("removed");
    await_that(&library, "nothing is left", |found| found.is_empty());
    assert!(names(&library, "three").is_empty());
}

/// Replaces what is in a file without a trace: whoever reads it again gets other digests.
fn forge(path: &Path) {
    let modified = fs::metadata(path).expect("there").modified().expect("known");
    let forged: Vec<u8> = fs::read(path).expect("read").iter().map(|byte| !byte).collect();
    fs::write(path, forged).expect("written");
    set_modified(path, modified);
}

#[test]
fn what_is_known_is_not_hashed_again() {
    let home = Home::new();
    let shared = home.path("shared");
    home.make_files(
        "shared",
        &[("a/same", 5000), ("a/moved", 6000), ("changed", 7000), ("gone", 8000)],
    );
    for name in ["a/same", "a/moved", "changed", "gone"] {
        age(&shared.join(name));
    }
    let library = open(&home);
    library.add(&shared).expect("added");
    settle(&library, 4);
    let before: BTreeMap<u64, LibraryFile> =
        files(&library, "").files.into_iter().map(|file| (file.id, file)).collect();
    drop(library);
    forge(&shared.join("a/same"));
    forge(&shared.join("a/moved"));
    fs::rename(shared.join("a/moved"), shared.join("a/elsewhere")).expect("renamed");
    write(&shared.join("changed"), b"other");
    fs::hard_link(shared.join("a/same"), shared.join("linked")).expect("linked");
    fs::remove_file(shared.join("gone")).expect("removed");
    let library = open(&home);
    settle(&library, 4);
    let after = files(&library, "").files;
    assert_eq!(names(&library, ""), ["a/elsewhere", "a/same", "changed", "linked"]);
    let old = |path: &str| before.values().find(|file| file.path == path).expect("known");
    let new = |path: &str| after.iter().find(|file| file.path == path).expect("known");
    for (path, origin, same_file) in
        [("a/same", "a/same", true), ("a/elsewhere", "a/moved", true), ("linked", "a/same", false)]
    {
        assert_eq!(new(path).sha256, old(origin).sha256, "{path}");
        assert_eq!(new(path).id == old(origin).id, same_file, "{path}");
    }
    assert_eq!(new("changed").sha1, Some(hex(&Sha1::digest(b"other"))));
    assert_eq!(names(&library, "elsewhere"), ["a/elsewhere"]);
    assert!(names(&library, "moved").is_empty());
}

#[test]
fn what_is_moved_to_another_folder_of_the_library_stays_known() {
    let home = Home::new();
    write(&home.path("one/file"), &[7; 3000]);
    fs::create_dir(home.path("two")).expect("made");
    let library = open(&home);
    library.add(&home.path("one")).expect("added");
    let two = library.add(&home.path("two")).expect("added");
    settle(&library, 1);
    let before = files(&library, "").files.remove(0);
    forge(&home.path("one/file"));
    fs::rename(home.path("one/file"), home.path("two/other")).expect("renamed");
    await_that(&library, "it is there", |found| {
        found.iter().any(|file| file.folder == two.id && file.id == before.id)
    });
    settle(&library, 1);
    assert_eq!(files(&library, "").files[0].sha256, before.sha256);
}

#[test]
fn what_is_known_of_a_missing_folder_is_kept() {
    let home = Home::new();
    let shared = home.path("shared");
    write(&shared.join("file"), b"here");
    let library = open(&home);
    let id = library.add(&shared).expect("added").id;
    settle(&library, 1);
    let away = home.path("away");
    fs::rename(&shared, &away).expect("renamed");
    library.rescan(id).expect("looked at");
    let missing = |state| library.wait_until(PATIENCE, |status| status.folders[0].state == state);
    assert!(missing(FolderState::Missing), "{:?}", library.status());
    assert!(library.status().folders[0].error.is_some());
    assert_eq!(library.status().files_hashed, 1);
    forge(&away.join("file"));
    fs::rename(&away, &shared).expect("renamed");
    library.rescan(id).expect("looked at");
    assert!(missing(FolderState::Watching), "{:?}", library.status());
    assert_eq!(files(&library, "").files[0].sha1, Some(hex(&Sha1::digest(b"here"))));
}

#[test]
fn a_damaged_index_is_made_anew() {
    let home = Home::new();
    write(&home.path("shared/file"), b"here");
    let library = open(&home);
    library.add(&home.path("shared")).expect("added");
    settle(&library, 1);
    drop(library);
    for damage in [true, false] {
        let folder = home.path("state/library-index");
        if damage {
            fs::write(folder.join("meta.json"), "{").expect("written");
        } else {
            fs::remove_dir_all(&folder).expect("removed");
        }
        let library = open(&home);
        settle(&library, 1);
        await_that(&library, "found again", |_| names(&library, "file") == ["file"]);
    }
}

#[test]
fn publishing_does_not_hash_again() {
    let home = Home::new();
    let made = home.make_files("shared", &[("film.mkv", 2_000_000)]);
    age(&home.path("shared/film.mkv"));
    let node = home.start();
    node.library_add(Path::new("/etc")).expect_err("not allowed");
    node.library_add(&home.path("shared")).expect("added");
    let library = node.library().expect("runs");
    settle(&library, 1);
    let file = files(&library, "film").files.remove(0);
    let transfer = node.library_publish(file.id).expect("published");
    assert_eq!(Some(&transfer.id), file.infohash_v1.as_ref());
    let whole =
        common::await_that(&node, &transfer.id, |it| it.progress.bytes_have == it.bytes_total);
    assert_eq!(whole.bytes_total, made[0].1.len() as u64);
    assert!(node.library_publish(file.id).is_err(), "it is there already");
    let query = node::SearchQuery { words: "film".to_owned(), limit: 10 };
    let (results, asked) = node.search(&query, &mut |_| ControlFlow::Continue(())).expect("asked");
    assert_eq!((results.len(), asked.len()), (1, 2), "{results:?}");
    assert_eq!(results[0].found.len(), 2, "{results:?}");
    drop(library);
    node.shutdown();
}

/// Something that happens to a folder.
#[derive(Clone, Debug)]
enum Change {
    Write(u8, u16),
    Rename(u8, u8),
    RenameFolder(u8, u8),
    Copy(u8, u8),
    Link(u8, u8),
    Remove(u8),
    RemoveFolder(u8),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any::<u8>(), any::<u16>()).prop_map(|(to, seed)| Change::Write(to, seed)),
        3 => any::<(u8, u8)>().prop_map(|(from, to)| Change::Rename(from, to)),
        2 => any::<(u8, u8)>().prop_map(|(from, to)| Change::RenameFolder(from, to)),
        1 => any::<(u8, u8)>().prop_map(|(from, to)| Change::Copy(from, to)),
        1 => any::<(u8, u8)>().prop_map(|(from, to)| Change::Link(from, to)),
        1 => any::<u8>().prop_map(Change::Remove),
        1 => any::<u8>().prop_map(Change::RemoveFolder),
    ]
}

const FOLDERS: [&str; 6] = ["", "a", "a/b", "a/b/c", "Other Place", "a.b"];
const NAMES: [&str; 5] = ["one.txt", "two.MP4", "BigFilm", "a-b_c d.txt", "é"];
const WORDS: [&str; 8] = ["", "one", "a", "film", "type:txt", "other", "e -b", "size:>1000"];

fn place(number: u8) -> String {
    let folder = FOLDERS[usize::from(number) % FOLDERS.len()];
    let name = NAMES[usize::from(number) / FOLDERS.len() % NAMES.len()];
    format!("{folder}/{name}")
}

fn folder(number: u8) -> &'static str {
    FOLDERS[1 + usize::from(number) % (FOLDERS.len() - 1)]
}

/// Does it, as far as it can be done; times count up so that no two files look the same.
fn happen(root: &Path, change: &Change, clock: &mut SystemTime) {
    *clock += Duration::from_secs(1);
    let make_parents = |path: &PathBuf| fs::create_dir_all(path.parent().expect("a folder"));
    match change {
        Change::Write(to, seed) => {
            let path = root.join(place(*to));
            let bytes = seed.to_le_bytes().repeat(usize::from(*seed % 997));
            if make_parents(&path).is_ok() && fs::write(&path, bytes).is_ok() {
                set_modified(&path, *clock);
            }
        }
        Change::Rename(from, to) => {
            let to = root.join(place(*to));
            let _ = make_parents(&to).and_then(|()| fs::rename(root.join(place(*from)), &to));
        }
        Change::RenameFolder(from, to) => {
            let _ = fs::rename(root.join(folder(*from)), root.join(folder(*to)));
        }
        Change::Copy(from, to) => {
            let (from, to) = (root.join(place(*from)), root.join(place(*to)));
            if from != to && make_parents(&to).is_ok() && fs::copy(from, &to).is_ok() {
                set_modified(&to, *clock);
            }
        }
        Change::Link(from, to) => {
            let to = root.join(place(*to));
            let _ = make_parents(&to).and_then(|()| fs::hard_link(root.join(place(*from)), &to));
        }
        Change::Remove(what) => _ = fs::remove_file(root.join(place(*what))),
        Change::RemoveFolder(what) => _ = fs::remove_dir_all(root.join(folder(*what))),
    }
}

/// What a library should hold.
fn walk(root: &Path, below: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(root.join(below)).expect("readable") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("text");
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.file_type().expect("known").is_dir() {
            walk(root, &path, found);
        } else {
            let bytes = fs::read(root.join(&path)).expect("readable");
            found.insert(path, hex(&Sha1::digest(bytes)));
        }
    }
}

/// Whether a search for `words` should find a file, said in the simplest way.
fn naive(words: &str, file: &LibraryFile) -> bool {
    let begins = |word: &str| {
        let path = file.path.replace('é', "e").replace("BigFilm", "bigfilm big film");
        let path = path.to_lowercase();
        path.split(|c: char| !c.is_alphanumeric()).any(|part| part.starts_with(word))
    };
    words.split_whitespace().all(|word| match word {
        "type:txt" => file.name.ends_with(".txt"),
        "size:>1000" => file.length > 1000,
        word => word.strip_prefix('-').map_or_else(|| begins(word), |word| !begins(word)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_library_is_what_a_walk_finds(
        rounds in prop::collection::vec((prop::collection::vec(change(), 1..8), any::<bool>()), 1..5)
    ) {
        let home = Home::new();
        let shared = home.path("shared");
        let mut clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let mut library = Some(open(&home));
        let id = library.as_ref().expect("open").add(&shared).expect("added").id;
        for (changes, closed) in rounds {
            if closed {
                // It happens while nobody looks.
                library = None;
            }
            for change in &changes {
                happen(&shared, change, &mut clock);
            }
            let library = library.get_or_insert_with(|| open(&home));
            let mut wanted = BTreeMap::new();
            walk(&shared, "", &mut wanted);
            await_that(library, "all is as it is", |found| {
                let found: BTreeMap<_, _> = found
                    .iter()
                    .map(|file| (file.path.clone(), file.sha1.clone().unwrap_or_default()))
                    .collect();
                found == wanted
            });
            settle(library, wanted.len() as u64);
            let all = files(library, "").files;
            for words in WORDS {
                let wanted: Vec<_> = all.iter().filter(|file| naive(words, file)).collect();
                let mut wanted: Vec<_> = wanted.iter().map(|file| file.path.clone()).collect();
                wanted.sort();
                await_that(library, words, |_| {
                    names(library, words) == wanted
                        && files(library, words).total == wanted.len() as u64
                });
            }
            prop_assert_eq!(library.folder(id).expect("there").error, None);
        }
    }
}
