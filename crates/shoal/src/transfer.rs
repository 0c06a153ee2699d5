//! Watching one torrent of a session until it is done with: what `publish` and `fetch` share.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bittorrent::metainfo::Info;
use indicatif::ProgressBar;
use net::session::{AddTorrent, Session, Torrent, TorrentState, TorrentStats};

use crate::args::NetworkArgs;
use crate::exit::{Exit, Failure, say};
use crate::interrupt;
use crate::progress;
use crate::report::{Event, Names, Picture, say_json};
use crate::text;
use crate::units::{duration, rate, size};

/// How often signals are looked at, and bars drawn.
const TICK: Duration = Duration::from_millis(200);
/// Ticks from one line of JSON to the next.
const TICKS_PER_REPORT: u32 = 2;

/// When a transfer is done with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// All that is wanted is there.
    Complete,
    /// Its seeding limits are reached; without limits, never.
    Seeded,
    /// A signal; and it must be whole from the start, because nothing is fetched.
    Stopped,
}

/// How to watch a transfer.
#[derive(Clone, Copy, Debug)]
pub struct Watch<'a> {
    /// When it is done with.
    pub until: Until,
    /// Give up when nothing comes for so long.
    pub timeout: Option<Duration>,
    /// Print lines of JSON.
    pub json: bool,
    /// The name to show until the torrent's own is known.
    pub name: &'a str,
    /// Where its files are.
    pub dir: &'a Path,
}

/// What to do with a torrent once its files are known.
#[derive(Debug)]
pub enum Choice {
    /// Fetch these, indices in the info dictionary.
    Fetch(Vec<usize>),
    /// Nothing more.
    Leave(Exit),
}

/// Decides by the info dictionary of a magnet link which files to fetch.
pub type Choose<'a> = &'a dyn Fn(&Info) -> Result<Choice, Failure>;

/// Starts a session, takes part in one torrent of it, and ends both in order.
///
/// # Errors
/// When the session cannot start, the torrent's storage fails, or nothing can be printed.
pub fn run(
    network: &NetworkArgs,
    mut add: AddTorrent,
    watch: Watch<'_>,
    choose: Option<Choose<'_>>,
) -> Result<Exit, Failure> {
    add.hold = choose.is_some();
    if network.stop_at_eof {
        interrupt::heed_end_of_input()?;
    }
    let config = network.session();
    let session = Session::start(config).context("cannot start")?;
    // From here on there is something to put in order.
    interrupt::heed();
    let ended = take_part(&session, add, watch, choose);
    session.shutdown();
    let exit = ended?;
    if watch.json {
        say_json(&Event::Stopped { exit: exit as u8 })?;
    }
    Ok(exit)
}

fn take_part(
    session: &Session,
    add: AddTorrent,
    watch: Watch<'_>,
    choose: Option<Choose<'_>>,
) -> Result<Exit, Failure> {
    if watch.json {
        let (addresses, dht) = (session.listen_addrs(), session.dht_addrs());
        say_json(&Event::Listening { addresses, dht })?;
    } else {
        for address in session.listen_addrs() {
            tracing::info!(%address, "listening");
        }
        for address in session.dht_addrs().iter().filter(|_| watch.until == Until::Stopped) {
            say(format_args!("DHT          {address}"))?;
        }
    }
    let torrent = session.add(add).context("cannot add the torrent")?;
    let bar = progress::bar(watch.name, 1);
    let ended =
        Watcher { watch, choose, torrent: &torrent, bar: &bar, started: Instant::now() }.watch();
    progress::remove(&bar);
    ended
}

struct Watcher<'a> {
    watch: Watch<'a>,
    choose: Option<Choose<'a>>,
    torrent: &'a Torrent,
    bar: &'a ProgressBar,
    started: Instant,
}

impl Watcher<'_> {
    fn watch(&self) -> Result<Exit, Failure> {
        let (mut named, mut complete) = (false, false);
        let (mut moved, mut moved_at) = (0, Instant::now());
        for tick in 0u32.. {
            let Some(stats) = self.torrent.stats() else { return Err(ended()) };
            if !named && stats.info.is_some() {
                named = true;
                self.say_name(&stats)?;
            }
            if stats.state == TorrentState::Selecting
                && let Some(exit) = self.select(&stats)?
            {
                return Ok(exit);
            }
            let whole = matches!(stats.state, TorrentState::Seeding | TorrentState::Finished);
            let newly_complete = whole && !complete;
            if tick.is_multiple_of(TICKS_PER_REPORT) || newly_complete {
                self.say_progress(&stats)?;
            }
            progress::show(self.bar, &stats);
            if newly_complete {
                complete = true;
                self.say_complete(&stats)?;
            }
            if let Some(exit) = self.ending(&stats, complete)? {
                self.say_progress(&stats)?;
                self.say_summary(&stats)?;
                return Ok(exit);
            }
            let bytes = stats.progress.bytes_have + stats.progress.downloaded;
            let checking = stats.state == TorrentState::Checking;
            if bytes != moved || complete || checking {
                (moved, moved_at) = (bytes, Instant::now());
            }
            if self.watch.timeout.is_some_and(|timeout| moved_at.elapsed() >= timeout) {
                return self.give_up(&stats);
            }
            let _ = self.torrent.wait_while(stats.state, TICK);
        }
        Ok(Exit::Done)
    }

    /// The files are known: which of them are wanted. If none of them, this is the end.
    fn select(&self, stats: &TorrentStats) -> Result<Option<Exit>, Failure> {
        let (Some(choose), Some(info)) = (self.choose, &stats.info) else { return Ok(None) };
        match progress::beside_bars(|| choose(info))? {
            Choice::Fetch(files) => self.torrent.select(files),
            Choice::Leave(exit) => return Ok(Some(exit)),
        }
        Ok(None)
    }

    /// Whether this is the end, and which.
    fn ending(&self, stats: &TorrentStats, complete: bool) -> Result<Option<Exit>, Failure> {
        if stats.state == TorrentState::Failed {
            let why = stats.progress.error.clone().unwrap_or_default();
            return Err(anyhow!("{why}").context("the storage fails").into());
        }
        let lacks = stats.state == TorrentState::Downloading
            && stats.progress.bytes_have < stats.progress.bytes_wanted;
        if self.watch.until == Until::Stopped && lacks {
            let have = size(stats.progress.bytes_have);
            let wanted = size(stats.progress.bytes_wanted);
            let dir = self.watch.dir.display();
            return Err(anyhow!(
                "{dir} holds {have} of {wanted}: `shoal verify` tells which files are not whole"
            )
            .into());
        }
        let done = match self.watch.until {
            Until::Complete => complete,
            Until::Seeded | Until::Stopped => stats.state == TorrentState::Finished,
        };
        Ok(match (done || (complete && interrupt::wanted()), interrupt::wanted()) {
            (true, _) => Some(Exit::Done),
            (false, true) => Some(Exit::Interrupted),
            (false, false) => None,
        })
    }

    fn say_progress(&self, stats: &TorrentStats) -> Result<(), Failure> {
        if !self.watch.json {
            return Ok(());
        }
        let picture = Picture::new(stats.clone(), self.started.elapsed());
        say_json(&Event::Progress(Box::new(picture)))
    }

    fn say_name(&self, stats: &TorrentStats) -> Result<(), Failure> {
        let Some(info) = &stats.info else { return Ok(()) };
        self.bar.set_prefix(text::short(&info.name, 28));
        if self.watch.json {
            return say_json(&Event::Torrent(Names::new(&info.hashes, Some(&info.name), None)));
        }
        Ok(())
    }

    fn say_complete(&self, stats: &TorrentStats) -> Result<(), Failure> {
        let elapsed = self.started.elapsed();
        if self.watch.json {
            let seconds = elapsed.as_secs_f64();
            return say_json(&Event::Complete { seconds, bytes: stats.progress.bytes_wanted });
        }
        if self.watch.until == Until::Stopped {
            return Ok(());
        }
        let name = stats.info.as_ref().map_or(self.watch.name, |info| &info.name);
        let (name, dir) = (text::plain(name), self.watch.dir.display());
        let wanted = size(stats.progress.bytes_wanted);
        let how = if stats.progress.downloaded == 0 {
            "all of it was there".to_owned()
        } else {
            let mean = stats.progress.downloaded as f64 / elapsed.as_secs_f64().max(0.001);
            format!("{wanted} in {}, {}", duration(elapsed), rate(mean as u64))
        };
        progress::beside_bars(|| say(format_args!("COMPLETE {name} in {dir} ({how})")))
    }

    fn say_summary(&self, stats: &TorrentStats) -> Result<(), Failure> {
        if self.watch.json || stats.progress.uploaded == 0 {
            return Ok(());
        }
        let peers = stats.peers.iter().chain(&stats.peers_past);
        let served = peers.filter(|peer| peer.uploaded > 0).count();
        let sent = size(stats.progress.uploaded);
        progress::beside_bars(|| say(format_args!("Sent {sent} over {served} connections")))
    }

    fn give_up(&self, stats: &TorrentStats) -> Result<Exit, Failure> {
        self.say_progress(stats)?;
        say_why(stats);
        Ok(Exit::GaveUp)
    }
}

fn ended() -> Failure {
    anyhow!("the session has ended by itself").into()
}

/// Says why nothing came, as far as it is known.
fn say_why(stats: &TorrentStats) {
    let mut why = format!("nothing came: {} peers connected", stats.peers.len());
    for tracker in &stats.trackers {
        if let Some(error) = &tracker.error {
            why.push_str(&format!("; {}: {}", text::plain(&tracker.url), text::plain(error)));
        }
    }
    progress::beside_bars(|| eprintln!("shoal: {why}"));
}
