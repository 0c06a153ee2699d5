//! `shoal library`, `search` and `status`: with a node that runs, without one, and killed halfway.

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Home, Up, write};
use sha1::{Digest, Sha1};

/// What all commands do, whether a node runs or not.
fn use_library(home: &Home) {
    write(&home.path("shared/Big Buck Bunny.mp4"), b"film");
    write(&home.path("shared/notes.txt"), b"text");
    let added = home.json("library add shared");
    let last = added.last().expect("lines");
    assert_eq!((&last["files"], &last["files_hashed"]), (&2.into(), &2.into()), "{added:?}");
    let listed = home.json("library list type:video");
    assert_eq!(listed.len(), 1, "{listed:?}");
    let sha1: String = Sha1::digest(b"film").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(listed[0]["sha1"], sha1.as_str());
    let found = home.json("search buck");
    assert_eq!((found.len(), &found[0]["name"]), (1, &"Big Buck Bunny.mp4".into()), "{found:?}");
    let again = home.run("library add shared");
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert_eq!(home.run("library remove nowhere").status.code(), Some(2));
    write(&home.path("shared/more.txt"), b"more");
    let status = home.json("library rescan shared");
    assert_eq!(status[0]["files"], 3, "{status:?}");
    assert_eq!(home.json("library status")[0]["folders"][0]["state"], "watching");
    let plain = home.run("library list --limit 2");
    assert_eq!(String::from_utf8_lossy(&plain.stdout).lines().count(), 2);
    home.json("library remove shared");
    assert_eq!(home.json("library status")[0]["files"], 0);
}

#[test]
fn without_a_node_the_commands_do_it_themselves() {
    let home = Home::new();
    let status = home.run("status");
    assert_eq!(status.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&status.stderr).contains("shoal up"));
    use_library(&home);
}

#[test]
fn with_a_node_the_commands_ask_it() {
    let home = Home::new();
    let up = Up::start(&home);
    let status = home.json("status").remove(0);
    assert_eq!(status["running"], true, "{status}");
    use_library(&home);
    // A node that ended suddenly leaves its address behind, and nobody believes it.
    let mut up = up;
    up.0.kill().expect("killed");
    up.0.wait().expect("ended");
    assert!(home.path("state/api-address").exists());
    assert_eq!(home.json("library status")[0]["files"], 0);
}

#[test]
fn a_kill_while_files_are_hashed_loses_only_what_was_not_done() {
    let home = Home::new();
    const FILES: usize = 60;
    let content = |number: usize| vec![number as u8; 400_000 + number];
    for number in 0..FILES {
        write(&home.path(&format!("shared/file {number}")), &content(number));
    }
    home.json("library add shared --no-wait");
    // Each time it gets further before it is killed.
    for groups in [0, 1, 1, 2] {
        let mut command = home.command("-vv library rescan");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = child.spawn().expect("runs");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let lines = log.lines().map_while(Result::ok);
        lines.filter(|line| line.contains("files are hashed")).take(groups).for_each(drop);
        child.kill().expect("killed");
        child.wait().expect("ended");
    }
    home.json("library rescan");
    let listed = home.json("library list");
    assert_eq!(listed.len(), FILES);
    for file in listed {
        let name = file["name"].as_str().expect("text");
        let number: usize = name.trim_start_matches("file ").parse().expect("a number");
        let sha1: String =
            Sha1::digest(content(number)).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(file["sha1"], sha1.as_str(), "{name}");
    }
}
