//! What commands leave to the node that runs: networks, fetching, publishing.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use common::{Home, Up, write};
use serde_json::Value;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn networks_are_joined_and_left() {
    let home = Home::new();
    let missing = home.run("join chord");
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    assert!(String::from_utf8_lossy(&missing.stderr).contains("shoal up"));
    let _up = Up::start(&home);
    let state = |name: &str| -> Value {
        let all = home.json("networks");
        let one = all.iter().find(|network| network["name"] == name);
        one.unwrap_or_else(|| panic!("{all:?}"))["state"].clone()
    };
    assert_eq!((state("bittorrent"), state("chord")), ("up".into(), "off".into()));
    let joined = home.json("join chord --listen 127.0.0.1:0");
    assert_eq!(joined[0]["name"], "chord", "{joined:?}");
    assert_ne!(state("chord"), "off");
    let plain = home.run("networks");
    assert!(String::from_utf8_lossy(&plain.stdout).contains("kademlia"), "{plain:?}");
    home.json("leave chord");
    assert_eq!(state("chord"), "off");
    assert_eq!(home.run("join nowhere").status.code(), Some(2));
    assert_eq!(home.run("leave bittorrent").status.code(), Some(2), "the node is never without");
}

#[test]
fn transfers_are_left_to_the_node() {
    let (giver, taker) = (Home::new(), Home::new());
    let content = vec![7; 300_000];
    write(&giver.path("shared/film.bin"), &content);
    write(&giver.path("shared/notes.txt"), b"notes");
    let (from, _to) = (Up::start(&giver), Up::start(&taker));
    let published = giver.run("publish shared --output shared.torrent --json");
    let errors = String::from_utf8_lossy(&published.stderr);
    assert!(published.status.success() && errors.contains("--here"), "{published:?}");
    let names: Value = serde_json::from_slice(&published.stdout).expect("one line of JSON");
    let magnet = names["magnet"].as_str().expect("a link");
    let peer = from.1["addresses"][0].as_str().expect("an address");
    assert_eq!(giver.json("status")[0]["transfers"]["seeding"], 1);

    let fetched = taker.run(&format!("fetch {magnet} --peer {peer} --select film.bin"));
    let (said, errors) = (&fetched.stdout, String::from_utf8_lossy(&fetched.stderr));
    assert!(fetched.status.success(), "{errors}");
    assert!(String::from_utf8_lossy(said).starts_with("COMPLETE shared in "), "{fetched:?}");
    assert!(errors.contains("the node fetches it"), "{errors}");
    assert!(fs::read(taker.path("downloads/shared/film.bin")).expect("there") == content);

    // The same again, with a .torrent file: it is there already.
    let torrent = giver.path("shared.torrent");
    let events = taker.json(&format!("fetch {} --timeout 60s", torrent.display()));
    let last = events.last().expect("lines");
    assert_eq!((&last["event"], &last["exit"]), (&"stopped".into(), &0.into()), "{events:?}");

    let own = format!("--here --output here --listen 127.0.0.1:0 --no-lsd --no-dht --peer {peer}");
    let here = taker.run(&format!("fetch {} {own}", torrent.display()));
    assert!(here.status.success() && taker.path("here/shared/notes.txt").exists(), "{here:?}");
    assert!(!String::from_utf8_lossy(&here.stderr).contains("the node"), "{here:?}");
    let outside = taker.run(&format!("fetch {HASH} --output /etc"));
    assert_eq!(outside.status.code(), Some(1), "{outside:?}");
}

#[test]
fn ctrl_c_leaves_the_transfer_with_the_node() {
    let home = Home::new();
    let _up = Up::start(&home);
    let mut command = home.command(&format!("fetch {HASH} --json"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().expect("runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let first: Value =
        serde_json::from_str(&lines.next().expect("a line").expect("read")).expect("JSON");
    assert_eq!((&first["event"], &first["id"]), (&"progress".into(), &HASH.into()));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("runs").success());
    assert_eq!(child.wait().expect("ended").code(), Some(130));
    let mut errors = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    assert!(errors.contains("the node goes on"), "{errors}");
    assert_eq!(home.json("status")[0]["transfers"]["metadata"], 1);
}
