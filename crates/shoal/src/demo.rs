//! `shoal demo`: a small swarm on this machine, of real processes that speak over loopback.
//! Starting and watching it is here; what it is made of is in the files below.

mod bound;
mod check;
mod content;
mod matrix;
mod node;
mod page;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;
use indicatif::ProgressBar;
use net::session::{Progress, TorrentStats};

use self::bound::Distribution;
use self::matrix::{Matrix, Member};
use self::node::{Line, Node};
use self::page::Page;
use self::summary::Summary;
use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::interrupt;
use crate::progress;
use crate::report::{Event, TrackerEvent, say_json};
use crate::units::{RateLimit, duration, parse_duration, parse_rate, parse_size, rate, size};

/// The source alone would need this long to send the file once, unless `--up` says otherwise.
const SOURCE_SECONDS: f64 = 12.8;
/// What a peer sends for each byte per second of the source.
const PEER_SHARE: f64 = 0.6;
const UP_MIN: u64 = 256 << 10;
const UP_MAX: u64 = 64 << 20;
/// How often a line is printed where there are no bars.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(100);
/// How long a node may take to end in order.
const STOP_WITHIN: Duration = Duration::from_secs(6);
/// Where the nodes meet.
const LOOPBACK: &str = "127.0.0.1:0";

/// Options of `shoal demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// What to share [default: a folder of generated files]
    path: Option<PathBuf>,
    /// Bytes to generate
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "256MiB",
          conflicts_with = "path")]
    size: u64,
    /// Peers that fetch, the source not counted
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    peers: u32,
    /// Upload limit of the source [default: 1/12.8 of the whole per second]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    up: Option<RateLimit>,
    /// Upload limit of each peer [default: 0.6 of the source's]
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    peer_up: Option<RateLimit>,
    /// Download limit of each peer; 0 is no limit
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    peer_down: RateLimit,
    /// Folder in which a temporary folder is made [default: the system's]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Leave what the peers fetched where it is
    #[arg(long)]
    keep: bool,
    /// Give up after so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "5m")]
    timeout: Duration,
    /// Watch it on a page too, in a browser; the page stays until Ctrl-C
    #[arg(long)]
    open: bool,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// When a node fails, a byte is wrong, or it takes too long.
pub fn run(args: &DemoArgs) -> Result<Exit, Failure> {
    interrupt::heed();
    let made = tempfile::Builder::new()
        .prefix("shoal-demo-")
        .tempdir_in(args.dir.clone().unwrap_or_else(std::env::temp_dir));
    let mut dir = made.context("cannot make a temporary folder")?;
    dir.disable_cleanup(args.keep);
    let source = match &args.path {
        Some(path) => {
            path.canonicalize().with_context(|| path.display().to_string()).bad_input()?
        }
        None => generate(dir.path(), args.size)?,
    };
    let page = if args.open { Some(Page::open(&dir.path().join("page"))?) } else { None };
    let mut swarm = Swarm::new(args, dir.path(), page.as_ref());
    let summary = swarm.distribute(&source)?;
    swarm.stop()?;
    let whole = check::compare(&swarm.torrent(), &source, &swarm.peer_folders())?;
    if args.json {
        say_json(&summary.json(&swarm.members, &whole))?;
    } else {
        say(summary.text(&swarm.members, &whole))?;
    }
    if args.keep && !args.json {
        say(format_args!("Kept in {}", dir.path().display()))?;
    }
    if let Some(page) = &page {
        page.show(&swarm.members, page::Moment::After(&summary, &whole));
        page.stay()?;
    }
    Ok(if whole.is_whole() { Exit::Done } else { Exit::Failed })
}

fn generate(dir: &Path, total: u64) -> Result<PathBuf, Failure> {
    let bar = progress::bar("content", total);
    let path = content::generate(&dir.join("source"), total, |written| {
        bar.set_position(written);
        bar.set_message("writing files to share");
    })
    .context("cannot write files to share")?;
    progress::remove(&bar);
    Ok(path)
}

/// The nodes, and what they have said. Node 0 is the source, then come the peers, then the
/// tracker.
struct Swarm<'a> {
    args: &'a DemoArgs,
    dir: &'a Path,
    page: Option<&'a Page>,
    sender: Sender<Line>,
    lines: Receiver<Line>,
    nodes: Vec<(usize, Node)>,
    members: Vec<Member>,
    bars: Vec<ProgressBar>,
    complete: Vec<Option<Duration>>,
    announce: Option<String>,
    began: Instant,
    fetching_since: Option<Instant>,
    printed: Instant,
}

impl<'a> Swarm<'a> {
    fn new(args: &'a DemoArgs, dir: &'a Path, page: Option<&'a Page>) -> Self {
        let (sender, lines) = mpsc::channel();
        let name = |node| if node == 0 { "source".to_owned() } else { format!("peer {node}") };
        let members = (0..=args.peers as usize).map(|node| Member {
            name: name(node),
            addresses: Vec::new(),
            last: TorrentStats::default(),
        });
        let members: Vec<_> = members.collect();
        Self {
            args,
            dir,
            page,
            sender,
            lines,
            nodes: Vec::new(),
            bars: Vec::new(),
            complete: vec![None; members.len()],
            members,
            announce: None,
            began: Instant::now(),
            fetching_since: None,
            printed: Instant::now(),
        }
    }

    fn torrent(&self) -> PathBuf {
        self.dir.join("demo.torrent")
    }

    fn folder(&self, node: usize) -> PathBuf {
        self.dir.join(format!("peer-{node}"))
    }

    fn peer_folders(&self) -> Vec<PathBuf> {
        (1..self.members.len()).map(|node| self.folder(node)).collect()
    }

    /// Brings `source` to all peers.
    fn distribute(&mut self, source: &Path) -> Result<Summary, Failure> {
        let tracker = self.members.len();
        self.start(tracker, "tracker", &["tracker", "--json", "--listen", LOOPBACK])?;
        self.wait_for("the tracker to listen", |swarm| swarm.announce.is_some())?;
        let announce = self.announce.clone().unwrap_or_default();

        self.bars = self.members.iter().map(|member| progress::bar(&member.name, 1)).collect();
        let rates = self.publish(source, &announce)?;
        self.fetch(&rates)?;

        let complete = self.complete.iter().skip(1).copied().flatten();
        let took = complete.clone().max().unwrap_or_default();
        Ok(Summary {
            rates,
            first: complete.min().unwrap_or_default(),
            took,
            matrix: Matrix::new(&self.members),
        })
    }

    /// Starts the source, and waits until others can find it.
    fn publish(&mut self, source: &Path, announce: &str) -> Result<Distribution, Failure> {
        let file = check::size_of(source).with_context(|| source.display().to_string())?;
        if file == 0 {
            return Err(bad_input(format!("{} holds no bytes to share", source.display())));
        }
        let default_up = (file as f64 / SOURCE_SECONDS) as u64;
        let up = self.args.up.unwrap_or(RateLimit(Some(default_up.clamp(UP_MIN, UP_MAX))));
        let default_peer_up = up.0.map(|up| ((up as f64 * PEER_SHARE) as u64).max(1));
        let peer_up = self.args.peer_up.unwrap_or(RateLimit(default_peer_up));
        let rates = Distribution {
            file,
            peers: self.args.peers,
            source_up: up.0,
            peer_up: peer_up.0,
            down_min: self.args.peer_down.0,
        };
        let up = up.0.unwrap_or(0).to_string();
        let (source, torrent) = (utf8(source)?, utf8(&self.torrent())?);
        self.start(
            0,
            "source",
            &[
                "publish",
                &source,
                "--output",
                &torrent,
                "--tracker",
                announce,
                "--up",
                &up,
                "--json",
                "--listen",
                LOOPBACK,
                "--no-lsd",
            ],
        )?;
        self.wait_for("the source to be found", |swarm| {
            let trackers = &swarm.members[0].last.trackers;
            trackers.iter().any(|tracker| tracker.seeds.is_some_and(|seeds| seeds > 0))
        })?;
        Ok(rates)
    }

    /// Starts the peers, and waits until all have everything.
    fn fetch(&mut self, rates: &Distribution) -> Result<(), Failure> {
        if !self.args.json {
            let file = size(rates.file);
            let limit = |rate_limit: Option<u64>| rate_limit.map_or("no limit".to_owned(), rate);
            let (source_up, peer_up) = (limit(rates.source_up), limit(rates.peer_up));
            let peers = rates.peers;
            let line = format!(
                "Bringing {file} to {peers} peers: the source sends {source_up}, each peer {peer_up}"
            );
            progress::beside_bars(|| say(line))?;
        }
        self.fetching_since = Some(Instant::now());
        let torrent = utf8(&self.torrent())?;
        let up = rates.peer_up.unwrap_or(0).to_string();
        let down = rates.down_min.unwrap_or(0).to_string();
        for node in 1..self.members.len() {
            let folder = utf8(&self.folder(node))?;
            let name = self.members[node].name.clone();
            self.start(
                node,
                &name,
                &[
                    "fetch", &torrent, "--output", &folder, "--up", &up, "--down", &down, "--seed",
                    "--json", "--listen", LOOPBACK, "--no-lsd",
                ],
            )?;
        }
        self.wait_for("all peers to have everything", |swarm| {
            swarm.complete.iter().skip(1).all(Option::is_some)
        })
    }

    fn start(&mut self, node: usize, name: &str, args: &[&str]) -> Result<(), Failure> {
        let args: Vec<_> = args.iter().map(|&arg| arg.to_owned()).collect();
        let started = Node::start(node, name, &args, self.dir, self.sender.clone())?;
        self.nodes.push((node, started));
        Ok(())
    }

    /// Reads what the nodes say until `done`.
    fn wait_for(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        while !done(self) {
            if interrupt::wanted() {
                let error = anyhow!("interrupted while waiting for {what}");
                return Err(Failure { exit: Exit::Interrupted, error });
            }
            if self.began.elapsed() > self.args.timeout {
                let error = anyhow!("gave up waiting for {what}");
                return Err(Failure { exit: Exit::GaveUp, error });
            }
            match self.lines.recv_timeout(TICK) {
                Ok(Line { node, text: Some(text) }) => self.hear(node, &text)?,
                Ok(Line { node, text: None }) => {
                    let dead = self.nodes.iter().find(|(number, _)| *number == node);
                    let error = dead.map_or_else(|| anyhow!("a node"), |(_, it)| it.obituary());
                    return Err(error.into());
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
            self.show()?;
        }
        Ok(())
    }

    /// Takes in a line of a node.
    fn hear(&mut self, node: usize, text: &str) -> Result<(), Failure> {
        if node >= self.members.len() {
            let event: TrackerEvent = serde_json::from_str(text).context("from the tracker")?;
            if let TrackerEvent::Listening { announce } = event {
                self.announce = announce.into_iter().next();
            }
            return Ok(());
        }
        let member = &mut self.members[node];
        match serde_json::from_str(text).with_context(|| format!("from {}", member.name))? {
            Event::Listening { addresses, .. } => member.addresses = addresses,
            Event::Progress(last) => {
                if let Some(bar) = self.bars.get(node) {
                    progress::show(bar, &last.stats);
                }
                member.last = last.stats;
            }
            Event::Complete { .. } => {
                self.complete[node] = self.fetching_since.map(|since| since.elapsed());
            }
            Event::Torrent(_) | Event::Stopped { .. } => {}
        }
        Ok(())
    }

    /// Shows everybody on the page. Where there are no bars, says now and then how far they are.
    fn show(&mut self) -> Result<(), Failure> {
        if let Some(page) = self.page {
            page.show(&self.members, page::Moment::During(self.fetching_since));
        }
        let Some(since) = self.fetching_since else { return Ok(()) };
        if progress::visible() || self.args.json || self.printed.elapsed() < PLAIN_EVERY {
            return Ok(());
        }
        self.printed = Instant::now();
        let mut line = format!("{:>7}", duration(since.elapsed()));
        for member in &self.members[1..] {
            let Progress { bytes_have, bytes_wanted, download_rate, .. } = member.last.progress;
            let percent = (bytes_have * 100).checked_div(bytes_wanted).unwrap_or(0);
            let down = rate(download_rate);
            line.push_str(&format!("  {} {percent:>3}% {down:>11}", member.name));
        }
        say(line)
    }

    /// Ends all nodes in order: together, but for the tracker, which hears them say goodbye.
    fn stop(&mut self) -> Result<(), Failure> {
        self.bars.iter().for_each(progress::remove);
        let tracker = self.members.len();
        self.nodes.sort_by_key(|(number, _)| *number == tracker);
        let peers = self.nodes.iter_mut().filter(|(number, _)| *number != tracker);
        peers.for_each(|(_, node)| node.stop());
        let deadline = Instant::now() + STOP_WITHIN;
        for (number, mut node) in self.nodes.drain(..) {
            node.stop();
            let status = node.wait(deadline).context("cannot wait for a node")?;
            if !status.success() {
                tracing::warn!(number, %status, "a node did not end in order");
            }
        }
        Ok(())
    }
}

fn utf8(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| bad_input(format!("{} is not UTF-8", path.display())))
}
