//! A session in a process of its own, which can be measured and killed: the test program runs
//! itself again, asked for one test alone, and is told by its environment what to do.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, ChildStdout, Command, Stdio};
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::metainfo::Metainfo;
use machine::Rng;
use net::create::{CreateOptions, Kind, create};
use net::session::{AddTorrent, Session, SessionConfig, Source, TorrentState};
use tempfile::TempDir;

/// Bytes of a piece.
const PIECE_LEN: u32 = 64 * 1024;
/// How often a child tells of itself.
const REPORT: Duration = Duration::from_millis(50);

/// What a child does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Seed,
    Leech,
}

/// A payload and its description.
pub struct Made {
    pub source: TempDir,
    pub bytes: Vec<u8>,
    metainfo: Metainfo,
}

impl Made {
    pub fn new(len: usize) -> Self {
        let source = tempfile::tempdir().expect("a folder");
        let mut bytes = vec![0; len];
        Rng::new(7).fill(&mut bytes);
        let file = source.path().join("payload");
        fs::write(&file, &bytes).expect("a file");
        let options = CreateOptions {
            kind: Kind::V1,
            piece_len: Some(PIECE_LEN),
            ..CreateOptions::default()
        };
        let metainfo = create(&file, &options, &|_, _| {}).expect("a torrent");
        fs::write(source.path().join("torrent"), metainfo.to_bytes()).expect("a file");
        Self { source, bytes, metainfo }
    }

    pub fn info_hash(&self) -> InfoHash {
        self.metainfo.info.hashes.primary().expect("a name")
    }
}

/// A running child; it dies with this.
pub struct Child {
    process: process::Child,
    lines: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

/// What a child last said of itself, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub have: u64,
    pub downloaded: u64,
    pub complete: bool,
}

impl Child {
    /// Starts a child that lives in `dir`.
    pub fn start(role: Role, made: &Made, dir: &Path, variables: &[(&str, String)]) -> Self {
        let mut command = Command::new(env::current_exe().expect("this program"));
        command
            .args(["child::act", "--exact", "--nocapture", "--test-threads", "1"])
            .env("SHOAL_CHILD", format!("{role:?}"))
            .env("SHOAL_CHILD_TORRENT", made.source.path().join("torrent"))
            .env("SHOAL_CHILD_DIR", dir)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        let mut lines = BufReader::new(process.stdout.take().expect("its output"));
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("its output") > 0, "the child ended");
            // The harness prints the test's name first, on the same line.
            if let Some((_, address)) = line.split_once("listening ") {
                break address.trim().parse().expect("an address");
            }
        };
        Self { process, lines, address }
    }

    /// The next thing it says of itself, or nothing if it has ended.
    pub fn report(&mut self) -> Option<Report> {
        let mut line = String::new();
        while self.lines.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some(fields) = line.trim().strip_prefix("report ") {
                let mut fields = fields.split(' ').map(|field| field.parse().unwrap_or(0));
                let mut next = || fields.next().unwrap_or(0);
                return Some(Report { have: next(), downloaded: next(), complete: next() == 1 });
            }
            line.clear();
        }
        None
    }

    /// Bytes of its memory that are resident.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
        let status = status.expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).expect("its memory");
        kib.parse::<u64>().expect("a number") * 1024
    }

    /// Kills it as a power cut would, without a chance to put anything in order.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// In a child: does what its environment says, for ever. Otherwise nothing.
#[test]
fn act() {
    let Some(role) = variable("SHOAL_CHILD") else { return };
    let torrent = fs::read(variable("SHOAL_CHILD_TORRENT").expect("set")).expect("a file");
    let metainfo = Metainfo::parse(&torrent).expect("a torrent");
    let dir = PathBuf::from(variable("SHOAL_CHILD_DIR").expect("set"));
    let session = Session::start(SessionConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        lsd: false,
        max_connections: 5_000,
        upload_limit: variable("SHOAL_CHILD_LIMIT").and_then(|limit| limit.parse().ok()),
        ..SessionConfig::default()
    })
    .expect("a session");
    let mut add = AddTorrent::new(Source::Metainfo(Box::new(metainfo)), dir);
    add.read_only = role == "Seed";
    add.peers =
        variable("SHOAL_CHILD_PEER").and_then(|peer| peer.parse().ok()).into_iter().collect();
    let torrent = session.add(add).expect("a torrent");
    if role == "Seed" {
        while torrent.stats().expect("it runs").state != TorrentState::Seeding {
            let _ = torrent.wait(REPORT);
        }
    }
    println!("listening {}", session.listen_addrs()[0]);
    let mut out = std::io::stdout().lock();
    // Until it is killed, or nobody listens any more.
    loop {
        let stats = torrent.stats().expect("it runs");
        let complete = u8::from(stats.state == TorrentState::Seeding);
        let (have, downloaded) = (stats.progress.bytes_have, stats.progress.downloaded);
        if role == "Leech" && writeln!(out, "report {have} {downloaded} {complete}").is_err() {
            process::exit(0);
        }
        let _ = torrent.wait_while(stats.state, REPORT);
    }
}
