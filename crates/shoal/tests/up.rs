//! The node as people run it: the real binary, its configuration, its page, and its end at any
//! moment.
//!
//! `SHOAL_KILLS` sets how often it is killed.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().display();
        let text = format!(
            "[node]\nstate_dir = \"{root}/state\"\n[transfers]\ndownload_dir = \"{root}/down\"\n\
             publish_roots = [\"{root}\"]\n\
             [network]\nlisten = [\"127.0.0.1:0\"]\nlsd = false\ndht = false\n"
        );
        fs::write(folder.path().join("config.toml"), text).expect("written");
        Self(folder)
    }

    fn shoal(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shoal"));
        command.current_dir(self.0.path()).env_remove("SHOAL_LOG").env("HOME", self.0.path());
        command.env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
        command
    }

    fn up(&self) -> Up {
        let mut child = self
            .shoal()
            .args(["up", "--config", "config.toml", "--api", "127.0.0.1:0", "--json"])
            .arg("--stop-at-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut line).expect("a line");
        let up: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(up["event"], "up");
        let api = up["api"].as_str().expect("a place");
        let address = api.trim_start_matches("http://").trim_end_matches('/');
        let token = fs::read_to_string(self.0.path().join("state/api-token")).expect("a token");
        let address = address.parse().expect("an address");
        let client = Client { address, token: token.trim().to_owned() };
        Up { child, client, addresses: up["addresses"].clone(), output }
    }

    /// Comes up and publishes a file; says its id, and where peers are accepted.
    fn publish(&self, name: &str) -> (Up, String, Value) {
        let up = self.up();
        let source = json!({"source": self.0.path().join(name)}).to_string();
        let (status, body) = up.request("POST", "/api/v1/transfers", &source).expect("an answer");
        assert_eq!(status, 201, "{body}");
        let deadline = Instant::now() + PATIENCE;
        let id = loop {
            let (_, all) = up.request("GET", "/api/v1/transfers", "").expect("an answer");
            let id = all["transfers"][0]["id"].as_str().unwrap_or_default().to_owned();
            if all["transfers"][0]["state"] == "seeding" {
                break id;
            }
            assert!(Instant::now() < deadline, "stuck: {all}");
            thread::park_timeout(Duration::from_millis(50));
        };
        let peers = up.addresses.clone();
        (up, id, peers)
    }
}

struct Up {
    child: Child,
    client: Client,
    addresses: Value,
    output: BufReader<std::process::ChildStdout>,
}

/// Sends requests to a node.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    token: String,
}

impl Client {
    /// Sends a request; `None` if the node ended before it answered.
    fn request(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        let (address, token, len) = (self.address, &self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n\
             {body}"
        );
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        // An answer that was cut off is none.
        let length = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if length.is_some_and(|length: usize| length != body.len()) {
            return None;
        }
        Some((status, serde_json::from_str(body).unwrap_or_default()))
    }
}

impl Up {
    fn request(&self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        self.client.request(method, path, body)
    }

    /// Waits until a transfer is in a state.
    fn await_state(&self, id: &str, state: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let one =
                self.request("GET", &format!("/api/v1/transfers/{id}"), "").expect("an answer");
            if one.1["state"] == state {
                return;
            }
            assert!(Instant::now() < deadline, "stuck: {}", one.1);
            thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    /// Ends in order, and says with which exit code.
    fn end(mut self) -> Option<i32> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("its output");
        self.child.wait().expect("ended").code()
    }
}

fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

#[test]
fn it_comes_up_answers_and_ends_in_order() {
    let home = Home::new();
    let up = home.up();
    let (status, body) = up.request("GET", "/api/v1/status", "").expect("an answer");
    assert_eq!((status, &body["transfers"]["total"]), (200, &json!(0)));
    let second = home.shoal().args(["up", "--config", "config.toml"]).output().expect("runs");
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second).contains("another node uses"), "{}", text(&second));
    assert_eq!(up.end(), Some(0));
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_with_its_line() {
    let home = Home::new();
    fs::write(home.0.path().join("bad.toml"), "[api]\nlissten = \"x\"\n").expect("written");
    for args in [["config", "check", "bad.toml"].as_slice(), &["up", "--config", "bad.toml"]] {
        let output = home.shoal().args(args).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        let said = text(&output);
        assert!(said.contains("line 2") && said.contains("lissten"), "{said}");
    }
    let good = home.shoal().args(["config", "check", "config.toml"]).output().expect("runs");
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    let shown = home
        .shoal()
        .args(["config", "show", "config.toml"])
        .env("SHOAL_TRANSFERS_UPLOAD_LIMIT", "1234")
        .output()
        .expect("runs");
    assert!(text(&shown).contains("upload_limit = 1234"), "{}", text(&shown));
}

#[test]
fn a_taken_port_and_a_public_place_are_errors_in_words() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("an address").to_string();
    for (api, said) in
        [(address.as_str(), "listen on http://"), ("0.0.0.0:0", "no password is set")]
    {
        let output = home
            .shoal()
            .args(["up", "--config", "config.toml", "--log", "json", "--api", api])
            .stdin(Stdio::null())
            .output()
            .expect("runs");
        assert_eq!(output.status.code(), Some(1), "{api}");
        assert!(text(&output).contains(said), "{}", text(&output));
    }
}

/// What was answered to be done is done, at whatever moment the process ends: while requests come
/// from several sides, and a transfer goes on.
#[test]
fn di_05_kill_9_loses_nothing_that_was_said() {
    let kills: u64 = env::var("SHOAL_KILLS").ok().map_or(6, |text| text.parse().expect("a number"));
    let giver = Home::new();
    let mut bytes = vec![0; 3_000_000];
    let mut random = Random(kills ^ 0x5eed);
    bytes.iter_mut().for_each(|byte| *byte = random.next() as u8);
    fs::write(giver.0.path().join("film.bin"), &bytes).expect("written");
    let (from, id, peers) = giver.publish("film.bin");

    let home = Home::new();
    let mut up = home.up();
    let add = json!({"source": id, "peers": peers}).to_string();
    assert_eq!(up.request("POST", "/api/v1/transfers", &add).map(|answer| answer.0), Some(201));
    // Slow enough to be under way at most of the ends.
    let path = format!("/api/v1/transfers/{id}");
    let limit = json!({"download_limit": 3_000_000 / (kills / 4 + 2)}).to_string();
    assert_eq!(up.request("PATCH", &path, &limit).map(|answer| answer.0), Some(200));
    let mut said: BTreeMap<String, Option<u64>> = BTreeMap::new();
    for round in 0..kills {
        let pid = up.child.id();
        let wait = Duration::from_micros(random.next() % 250_000);
        let killer = thread::spawn(move || {
            thread::park_timeout(wait);
            let kill = Command::new("kill").args(["-9", &pid.to_string()]).status();
            assert!(kill.expect("kill runs").success());
        });
        let clients: Vec<_> = (0..2)
            .map(|client: u64| Load {
                up: up.client.clone(),
                first: round << 32 | client << 24 | 1,
            })
            .map(|load| thread::spawn(move || load.add_until_it_ends()))
            .collect();
        for client in clients {
            said.extend(client.join().expect("a client"));
        }
        killer.join().expect("killed");
        up.kill();
        up = home.up();
        let (_, listed) = up.request("GET", "/api/v1/transfers", "").expect("an answer");
        let listed = listed["transfers"].as_array().expect("a list");
        let labels: BTreeMap<&str, Option<u64>> = listed
            .iter()
            .map(|one| {
                let label = one["labels"][0].as_str().and_then(|label| label.parse().ok());
                (one["id"].as_str().expect("an id"), label)
            })
            .collect();
        for (id, label) in &said {
            let found = labels.get(id.as_str());
            assert!(found.is_some(), "round {round}: {id} is lost");
            // The last change may have been made without being answered.
            assert!(found >= Some(label), "round {round}: {id} has {found:?}, not {label:?}");
        }
        // What piled up would take its time at every start.
        if said.len() > 400 {
            for id in std::mem::take(&mut said).into_keys() {
                let gone = up.request("DELETE", &format!("/api/v1/transfers/{id}"), "");
                assert_eq!(gone.map(|answer| answer.0), Some(204));
            }
        }
    }
    let lifted = json!({"download_limit": null}).to_string();
    assert_eq!(up.request("PATCH", &path, &lifted).map(|answer| answer.0), Some(200));
    up.await_state(&id, "seeding");
    let got = fs::read(home.0.path().join("down/film.bin")).expect("there");
    assert!(got == bytes, "what came through {kills} ends is damaged");
    assert_eq!(up.end(), Some(0));
    assert_eq!(from.end(), Some(0));
}

/// Sends requests that change things, and remembers what was answered to be done.
struct Load {
    up: Client,
    first: u64,
}

impl Load {
    fn add_until_it_ends(self) -> BTreeMap<String, Option<u64>> {
        let mut said = BTreeMap::new();
        for number in self.first.. {
            let id = format!("{number:040x}");
            let add = json!({"source": id, "paused": number % 8 > 0}).to_string();
            match self.up.request("POST", "/api/v1/transfers", &add) {
                Some((status, body)) => assert_eq!(status, 201, "{body}"),
                None => break,
            }
            said.insert(id.clone(), None);
            for label in 1..3 {
                let patch = json!({"labels": [label.to_string()]}).to_string();
                match self.up.request("PATCH", &format!("/api/v1/transfers/{id}"), &patch) {
                    Some((status, body)) => assert_eq!(status, 200, "{body}"),
                    None => return said,
                }
                said.insert(id.clone(), Some(label));
            }
        }
        said
    }
}

/// A small generator (SplitMix64): moments of an end need no better one.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}
