//! The program as users run it: the real binary, its output and its exit codes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

const V1_HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn shoal(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
    command.current_dir(dir).env_remove("SHOAL_LOG").stdin(Stdio::null());
    command
}

fn run(dir: &TempDir, args: &[&str]) -> Output {
    shoal(dir.path()).args(args).output().expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", text(&output.stdout), text(&output.stderr)))
}

fn dir() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A v1 torrent of two files whose name and comment try to drive a terminal.
fn rude_torrent() -> Vec<u8> {
    let mut torrent = b"d8:announce18:http://t.test/ann.7:comment6:\x1b[2J\r\n4:infod5:filesl\
        d6:lengthi5e4:pathl1:aeed6:lengthi7e4:pathl3:sub1:beee4:name5:ru\x1bde12:piece lengthi16384e\
        6:pieces20:"
        .to_vec();
    torrent.extend([7; 20]);
    torrent.extend(b"7:privatei1eee");
    torrent
}

#[test]
fn inspect_prints_what_a_torrent_says() {
    let dir = dir();
    fs::write(dir.path().join("rude.torrent"), rude_torrent()).expect("a file");
    let output = run(&dir, &["inspect", "rude.torrent", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let mut report = json_of(&output);
    assert!(report["infohash_v1"].as_str().is_some_and(|hash| hash.len() == 40));
    report["infohash_v1"].take();
    let expected = json!({
        "name": "ru\u{1b}de", "infohash_v1": null, "infohash_v2": null, "piece_length": 16384,
        "pieces": 1, "total_length": 12, "private": true,
        "files": [
            {"path": "ru\u{1b}de/a", "length": 5},
            {"path": "ru\u{1b}de/sub/b", "length": 7},
        ],
        "trackers": [["http://t.test/ann."]], "web_seeds": [], "http_seeds": [], "peers": [],
        "comment": "\u{1b}[2J\r\n", "created_by": null, "creation_date": null,
    });
    assert_eq!(report, expected);

    let output = run(&dir, &["inspect", "rude.torrent"]);
    let shown = text(&output.stdout);
    assert!(shown.contains("ru\\u{1b}de/sub/b"), "{shown}");
    assert!(!output.stdout.contains(&0x1b), "{shown}");
}

#[test]
fn inspect_reads_standard_input() {
    let dir = dir();
    let mut child = shoal(dir.path())
        .args(["inspect", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("its input");
    input.write_all(&rude_torrent()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(json_of(&output)["total_length"], 12);
}

#[test]
fn inspect_prints_what_a_magnet_link_says() {
    let dir = dir();
    let link = format!("magnet:?xt=urn:btih:{V1_HASH}&dn=a+name&tr=http%3A%2F%2Ft.test%2Fannounce");
    let report = json_of(&run(&dir, &["inspect", &link, "--json"]));
    assert_eq!(report["infohash_v1"], V1_HASH);
    assert_eq!(report["name"], "a name");
    assert_eq!(report["trackers"], json!([["http://t.test/announce"]]));
    assert_eq!(report["private"], Value::Null);
    // An infohash alone is as good.
    assert_eq!(json_of(&run(&dir, &["inspect", V1_HASH, "--json"]))["infohash_v1"], V1_HASH);
}

#[test]
fn refused_files_say_why_and_where() {
    let dir = dir();
    let mut depth = b"d4:info".to_vec();
    depth.extend([b'l'; 100_000]);
    for (bytes, at_most) in [
        (&b""[..], 0),
        (b"hello", 0),
        (b"d4:infoi1ee", 11),
        (b"d4:info99999999999:a", 20),
        (&depth, 100_007),
    ] {
        fs::write(dir.path().join("bad.torrent"), bytes).expect("a file");
        let output = run(&dir, &["inspect", "bad.torrent", "--json"]);
        assert_eq!(output.status.code(), Some(2));
        let error = &json_of(&output)["error"];
        assert!(error["kind"].is_string() && error["message"].is_string(), "{error}");
        assert!(error["at"].as_u64().is_some_and(|at| at <= at_most), "{error}");

        let output = run(&dir, &["inspect", "bad.torrent"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty());
        assert!(text(&output.stderr).starts_with("shoal: "), "{}", text(&output.stderr));
    }
    let output = run(&dir, &["inspect", "missing.torrent", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(json_of(&output)["error"]["kind"], "unreadable");
    let output = run(&dir, &["inspect", "magnet:?dn=x", "--json"]);
    assert_eq!(json_of(&output)["error"]["kind"], "no_hash");
}

#[test]
fn wrong_arguments_exit_with_2() {
    let dir = dir();
    for args in [&["inspect"][..], &["swim"], &["inspect", "a", "b"], &["--loud"]] {
        assert_eq!(run(&dir, args).status.code(), Some(2), "{args:?}");
    }
    for args in [&["--help"][..], &["--version"], &["help", "inspect"], &["inspect", "--help"]] {
        assert_eq!(run(&dir, args).status.code(), Some(0), "{args:?}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = dir();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&dir, &["completions", shell]);
        assert!(text(&script.stdout).contains("inspect"), "{shell}");
    }
    assert!(text(&run(&dir, &["man"]).stdout).contains("shoal"));
    assert_eq!(run(&dir, &["man", "--output", "pages"]).status.code(), Some(0));
    for page in ["shoal.1", "shoal-inspect.1"] {
        let path = dir.path().join("pages").join(page);
        assert!(fs::read_to_string(&path).is_ok_and(|page| page.contains(".TH")), "{page}");
    }
}

#[test]
fn readers_that_go_away_are_no_error() {
    let dir = dir();
    let mut child = shoal(dir.path())
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn torrents_are_downloaded_from_web_servers() {
    let dir = dir();
    let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = server.local_addr().expect("an address");
    let serve = thread::spawn(move || {
        for path in ["/rude.torrent", "/gone"] {
            let (mut connection, _) = server.accept().expect("a connection");
            let mut request = String::new();
            let mut reader = BufReader::new(connection.try_clone().expect("a socket"));
            while !request.ends_with("\r\n\r\n") {
                assert_ne!(reader.read_line(&mut request).expect("a request"), 0);
            }
            assert!(request.starts_with(&format!("GET {path} ")), "{request}");
            let body = rude_torrent();
            let status = if path == "/gone" { "410 Gone" } else { "200 OK" };
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            connection
                .write_all(head.as_bytes())
                .and_then(|()| connection.write_all(&body))
                .expect("it reads");
        }
    });
    let found = run(&dir, &["inspect", &format!("http://{address}/rude.torrent"), "--json"]);
    assert_eq!(json_of(&found)["total_length"], 12);
    let gone = run(&dir, &["inspect", &format!("http://{address}/gone")]);
    assert_eq!(gone.status.code(), Some(2));
    assert!(text(&gone.stderr).contains("410"), "{}", text(&gone.stderr));
    serve.join().expect("the server has seen what it should");
}
