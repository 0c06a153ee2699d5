//! Whole transfers between real processes of the program, over loopback.

mod kill;
mod options;
mod place;

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use place::{ALONE, FILES, Place, names};

#[test]
fn published_files_are_verified_file_by_file() {
    for version in ["--v1", "--v2", "--hybrid"] {
        let place = Place::new();
        let publish = ["publish", "set", "--no-seed", "--piece-size", "64KiB", version];
        let (code, out) = place.run(&publish);
        assert_eq!(code, 0, "{out}");
        assert_eq!(out.contains("Infohash v1"), version != "--v2", "{out}");
        assert_eq!(out.contains("Infohash v2"), version != "--v1", "{out}");
        assert!(out.contains("magnet:?xt=urn:bt"), "{out}");
        // It does not overwrite, unless told to.
        assert_eq!(place.run(&publish).0, 2);
        assert_eq!(place.run(&[&publish[..], &["--force"]].concat()).0, 0);

        // The folder that holds it, and the payload itself, under any name.
        for dir in [".", "set"] {
            assert_eq!(place.run(&["verify", "set.torrent", dir]).0, 0, "{version} {dir}");
        }
        fs::rename(place.path("set"), place.path("other")).expect("a new name");
        assert_eq!(place.run(&["verify", "set.torrent", "other"]).0, 0, "{version}");
        fs::rename(place.path("other"), place.path("set")).expect("the old name");

        let mut bytes = fs::read(place.path("set/sub/b.bin")).expect("a file");
        bytes[1_000_000] ^= 1;
        fs::write(place.path("set/sub/b.bin"), bytes).expect("a file");
        fs::remove_file(place.path("set/sub/c.bin")).expect("a file");
        let (code, out) = place.run(&["verify", "set.torrent", ".", "--json"]);
        assert_eq!(code, 1, "{version}");
        let report: Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(report["whole"], false);
        let states = report["files"].as_array().expect("files").iter();
        let states = states.map(|file| {
            (file["path"].as_str().expect("a path"), file["state"].as_str().expect("a state"))
        });
        let mut states: Vec<_> = states.collect();
        states.sort_unstable();
        let expected = [
            ("set/a.bin", "ok"),
            ("set/empty", "ok"),
            ("set/sub/b.bin", "corrupt"),
            ("set/sub/c.bin", "missing"),
        ];
        assert_eq!(states, expected, "{version}");
        assert_eq!(place.run(&["verify", "set.torrent", ".", "--select", "*/a.*"]).0, 0);
        assert_eq!(place.run(&["verify", "set.torrent", ".", "--select", "99"]).0, 2);
        assert_eq!(place.run(&["verify", "set.torrent", "nowhere"]).0, 2);
    }
}

#[test]
fn a_torrent_is_fetched_from_a_seed() {
    for version in ["--v1", "--v2", "--hybrid"] {
        let place = Place::new();
        assert_eq!(place.run(&["publish", "set", "--no-seed", version]).0, 0);
        let (seed, address) = place.seed("set.torrent", &[]);
        let args = ["fetch", "set.torrent", "-o", "out", "--peer", &address];
        let (code, out) =
            place.run(&[&args[..], &["--no-lsd", "--listen", "127.0.0.1:0"]].concat());
        assert_eq!(code, 0, "{version}");
        assert!(out.starts_with("COMPLETE set"), "{version}: {out}");
        place.assert_same(&place.path("out/set"), &names());
        assert!(seed.stop().success());
        assert_eq!(place.run(&["verify", "set.torrent", "out"]).0, 0, "{version}");
    }
}

#[test]
fn a_magnet_link_is_fetched_in_part() {
    let place = Place::new();
    assert_eq!(place.run(&["publish", "set", "--no-seed", "--piece-size", "16KiB"]).0, 0);
    let (_, out) = place.run(&["publish", "set", "--no-seed", "--force"]);
    let magnet = out.lines().find_map(|line| line.strip_prefix("Magnet")).expect("a link").trim();
    let (seed, address) = place.seed("set.torrent", &[]);
    let network = ["--peer", address.as_str(), "--no-lsd", "--listen", "127.0.0.1:0"];

    let (code, out) = place.run(&[&["fetch", magnet, "--list"][..], &network].concat());
    assert_eq!((code, out.lines().count()), (0, FILES.len()), "{out}");
    let args = ["fetch", magnet, "-o", "out", "--select", "a.bin"];
    assert_eq!(place.run(&[&args[..], &network].concat()).0, 0);
    place.assert_same(&place.path("out/set"), &["a.bin"]);
    assert!(!place.path("out/set/sub").exists());
    // The rest of it, later.
    assert_eq!(place.run(&[&["fetch", magnet, "-o", "out"][..], &network].concat()).0, 0);
    place.assert_same(&place.path("out/set"), &names());
    assert!(seed.stop().success());
}

#[test]
fn a_stopped_fetch_goes_on_where_it_was() {
    let place = Place::new();
    assert_eq!(place.run(&["publish", "set", "--no-seed", "--piece-size", "32KiB"]).0, 0);
    let (seed, address) = place.seed("set.torrent", &["--up", "1MiB"]);
    let args = ["fetch", "set.torrent", "-o", "out", "--peer", &address];
    let mut first = place.start(&args, ALONE);
    let some = |progress: &Value| progress["bytes_have"].as_u64() > Some(200_000);
    first.wait_for("progress", some);
    assert_eq!(first.stop().code(), Some(130));

    let mut second = place.start(&args, ALONE);
    second.wait_for("complete", |_| true);
    let last = second.wait_for("progress", |_| true);
    assert!(second.wait().success());
    let total: usize = FILES.iter().map(|(_, len)| len).sum();
    assert_eq!(last["bytes_have"].as_u64(), Some(total as u64));
    let again = last["downloaded"].as_u64().expect("a number");
    assert!(again <= total as u64 - 150_000, "{again} bytes came again");
    place.assert_same(&place.path("out/set"), &names());
    assert!(seed.stop().success());
}

#[test]
fn a_fetch_that_goes_on_to_seed_says_when_it_is_complete() {
    let place = Place::new();
    assert_eq!(place.run(&["publish", "set", "--no-seed"]).0, 0);
    let (seed, address) = place.seed("set.torrent", &[]);
    let args = ["fetch", "set.torrent", "-o", "one", "--seed", "--peer", &address];
    let mut one = place.start(&args, ALONE);
    let listening = one.wait_for("listening", |_| true);
    one.wait_for("complete", |_| true);
    assert!(seed.stop().success());
    // The source is gone, and another one has it all.
    let address = listening["addresses"][0].as_str().expect("an address");
    let args = ["fetch", "set.torrent", "-o", "two", "--peer", address];
    let (code, _) = place.run(&[&args[..], &["--no-lsd", "--listen", "127.0.0.1:0"]].concat());
    assert_eq!(code, 0);
    place.assert_same(&place.path("two/set"), &names());
    // Whoever has everything is done when told to stop.
    assert_eq!(one.stop().code(), Some(0));
}

#[test]
fn signals_and_silence_have_their_exit_codes() {
    let place = Place::new();
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let fetch = ["fetch", hash, "--listen", "127.0.0.1:0", "--no-lsd"];
    assert_eq!(place.run(&[&fetch[..], &["--timeout", "0.5s"]].concat()).0, 3);
    for signal in [Signal::INT, Signal::TERM] {
        let mut fetch = place.start(&["fetch", hash], ALONE);
        fetch.wait_for("progress", |progress| progress["state"] == "metadata");
        let pid = Pid::from_child(&fetch.child);
        kill_process(pid, signal).expect("it runs");
        assert_eq!(fetch.wait().code(), Some(130));
    }
    // A seed that is not whole is refused.
    assert_eq!(place.run(&["publish", "set", "--no-seed"]).0, 0);
    fs::write(place.path("set/a.bin"), vec![0; 700_000]).expect("a file");
    let publish = ["publish", "set", "--torrent", "set.torrent", "--listen", "127.0.0.1:0"];
    assert_eq!(place.run(&[&publish[..], &["--no-lsd"]].concat()).0, 1);
}

#[test]
fn the_demo_brings_every_byte_to_everybody() {
    let place = Place::new();
    let args = [
        "demo",
        "--size",
        "8MiB",
        "--peers",
        "3",
        "--up",
        "8MiB",
        "--json",
        "--dir",
        ".",
        "--timeout",
        "60s",
    ];
    let (code, out) = place.run(&args);
    assert_eq!(code, 0, "{out}");
    let summary: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(summary["verified"], true);
    assert_eq!(summary["verified_bytes"], 3 * (8 << 20));
    assert_eq!(summary["received_from_unknown"], 0);
    let received: Vec<Vec<u64>> =
        serde_json::from_value(summary["received_from"].clone()).expect("a matrix");
    assert!(received[1..].iter().all(|row| row.iter().sum::<u64>() >= 8 << 20), "{received:?}");
    let left: Vec<_> = fs::read_dir(place.dir.path()).expect("the folder").collect();
    assert_eq!(left.len(), 1, "the demo left something behind: {left:?}");
}
