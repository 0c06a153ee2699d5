//! Options that change what a transfer or a tracker does, each seen to work from outside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::place::{ALONE, Place, names};

fn published() -> Place {
    let place = Place::new();
    assert_eq!(place.run(&["publish", "set", "--no-seed", "--piece-size", "32KiB"]).0, 0);
    place
}

#[test]
fn traffic_keeps_to_the_interface_that_is_named() {
    let place = published();
    let (seed, address) = place.seed("set.torrent", &["--interface", "lo"]);
    let args = ["fetch", "set.torrent", "-o", "out", "--peer", &address, "--interface"];
    let (code, _) = place.run(&[&args[..], &["lo"], &ALONE[..3]].concat());
    assert_eq!(code, 0);
    place.assert_same(&place.path("out/set"), &names());
    // One that is not there is an error, and not another one taken instead.
    let (code, _) = place.run(&[&args[..], &["absent0"], &ALONE[..3]].concat());
    assert_eq!(code, 1);
    assert!(seed.stop().success());
}

#[test]
fn sharing_ends_at_its_ratio_and_at_its_time() {
    let place = published();
    let (seed, address) = place.seed("set.torrent", &[]);
    let args = ["fetch", "set.torrent", "-o", "one", "--peer", &address, "--seed-ratio", "0.5"];
    let mut one = place.start(&args, ALONE);
    let listening = one.wait_for("listening", |_| true);
    one.wait_for("complete", |_| true);
    let meeting = listening["addresses"][0].as_str().expect("an address");
    let args = ["fetch", "set.torrent", "-o", "two", "--peer", meeting, "--seed-time", "0.3s"];
    let mut two = place.start(&args, ALONE);
    two.wait_for("complete", |_| true);
    let last = one.wait_for("progress", |progress| progress["state"] == "finished");
    let (uploaded, size) = (last["uploaded"].as_f64(), last["bytes_wanted"].as_f64());
    assert!(uploaded >= size.map(|size| size / 2.0), "{last}");
    // Nobody tells either of them to stop.
    assert_eq!(one.wait().code(), Some(0));
    two.wait_for("progress", |progress| progress["state"] == "finished");
    assert_eq!(two.wait().code(), Some(0));
    assert!(seed.stop().success());
}

#[test]
fn files_of_a_link_are_chosen_within_one_session() {
    let place = published();
    let (_, out) = place.run(&["publish", "set", "--no-seed", "--force"]);
    let magnet = out.lines().find_map(|line| line.strip_prefix("Magnet")).expect("a link").trim();
    let (seed, address) = place.seed("set.torrent", &[]);
    let args = ["fetch", magnet, "-o", "out", "--select", "a.bin", "--peer", &address];
    let mut fetch = place.start(&args, ALONE);
    let (mut sessions, mut complete) = (0, None);
    while let Some(event) = fetch.event() {
        match event["event"].as_str() {
            Some("listening") => sessions += 1,
            Some("complete") => complete = event["bytes"].as_u64(),
            _ => {}
        }
    }
    assert!(fetch.wait().success());
    // The file, to the end of its last piece.
    assert!(complete.is_some_and(|bytes| (700_000..800_000).contains(&bytes)), "{complete:?}");
    assert_eq!(sessions, 1);
    place.assert_same(&place.path("out/set"), &["a.bin"]);
    assert!(!place.path("out/set/sub").exists());
    // What a link does not hold is an error once that is known.
    let args = ["fetch", magnet, "--select", "absent", "--peer", &address];
    assert_eq!(place.run(&[&args[..], &ALONE[..3]].concat()).0, 2);
    assert!(seed.stop().success());
}

#[test]
fn a_torrent_that_is_there_already_takes_no_web_seed() {
    let place = published();
    let args = ["publish", "set", "--torrent", "set.torrent", "--web-seed", "http://w.test/"];
    assert_eq!(place.run(&args).0, 2);
}

/// What a tracker says to an announce of a torrent: a refusal, or nothing against it.
fn refusal(address: &str, info_hash: [u8; 20]) -> Option<String> {
    let hash: String = info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
    let mut stream = TcpStream::connect(address).expect("it listens");
    let request = format!(
        "GET /announce?info_hash={hash}&peer_id=-TR4060-000000000000&port=6881&uploaded=0&\
         downloaded=0&left=0&compact=1 HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.contains("\r\n\r\nd"), "{answer}");
    answer.split_once("14:failure reason").map(|(_, reason)| reason.to_owned())
}

#[test]
fn a_tracker_serves_what_its_list_allows_and_reads_it_again() {
    let place = Place::new();
    let (one, two) = ([0x11; 20], [0x22; 20]);
    let write = |list: &str| fs::write(place.path("allow"), list).expect("a file");
    write(&"11".repeat(20));
    let args = ["tracker", "--allow", "allow", "--json", "--report", "0.1s", "--stop-at-eof"];
    let mut tracker = place.start(&args, &["--listen", "127.0.0.1:0"]);
    let listening = tracker.wait_for("listening", |_| true);
    let urls = listening["announce"].as_array().expect("URLs").iter();
    let url = urls.filter_map(Value::as_str).find(|url| url.starts_with("http:")).expect("one");
    let address = url.trim_start_matches("http://").trim_end_matches("/announce");
    assert_eq!(refusal(address, one), None);
    assert!(refusal(address, two).is_some());

    // A list that is no list changes nothing.
    for (list, allowed) in [("nonsense", one), (&*"22".repeat(20), two)] {
        write(list);
        kill_process(Pid::from_child(&tracker.child), Signal::HUP).expect("it runs");
        // Twice between two counts it has looked at its signals.
        for _ in 0..50 {
            tracker.wait_for("stats", |_| true);
            if refusal(address, allowed).is_none() && refusal(address, [0x33; 20]).is_some() {
                break;
            }
        }
        assert_eq!(refusal(address, allowed), None);
    }
    assert!(refusal(address, one).is_some(), "it is on the list no more");
    assert!(tracker.stop().success());
    write("nonsense");
    assert_eq!(place.run(&args).0, 2);
}
