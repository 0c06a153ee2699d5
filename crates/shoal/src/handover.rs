//! Transfers that the node which runs takes over from `fetch` and `publish`, and watching them
//! there. Ctrl-C ends the watching and leaves the transfer with the node.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use bittorrent::metainfo::Metainfo;
use clap::Args;
use hyper::{Method, StatusCode};
use indicatif::ProgressBar;
use net::session::{TorrentState, TorrentStats};
use node::Config;
use node::view::{State, Transfer};
use serde_json::{Value, json};

use crate::args::NetworkArgs;
use crate::client::{Answer, Client};
use crate::exit::{Exit, Failure, say};
use crate::interrupt;
use crate::progress;
use crate::report::{Event, Names, say_json};
use crate::text;
use crate::units::{duration, rate, size};
use crate::up::load;

/// Who does it.
#[derive(Args, Debug)]
pub struct WhereArgs {
    /// Do it in this process, even if a node runs. Options of the network but --peer, --up and
    /// --down say so too
    #[arg(long)]
    here: bool,
    /// The configuration of the node [default: ~/.config/shoal/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl WhereArgs {
    /// The configuration of the node.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn config(&self) -> Result<Config, Failure> {
        Ok(load(self.config.as_ref())?.config())
    }

    /// The node that is to do it, if one runs; it cannot when `here` says so.
    ///
    /// # Errors
    /// When the configuration that was named is malformed, or that node cannot be asked.
    pub fn node(&self, here: bool) -> Result<Option<Client>, Failure> {
        if here || self.here {
            return Ok(None);
        }
        match load(self.config.as_ref()) {
            Ok(layers) => Client::find(&layers.config()),
            Err(failure) if self.config.is_some() => Err(failure),
            Err(failure) => {
                tracing::debug!(error = %failure.error, "no node is looked for");
                Ok(None)
            }
        }
    }
}

/// How to watch a transfer of the node.
pub struct Watch {
    /// Give up when nothing comes for so long.
    pub timeout: Option<Duration>,
    /// Go on until it stops seeding.
    pub seeds: bool,
    /// Print lines of JSON.
    pub json: bool,
}

/// Says on standard error what does not concern the result.
pub fn remark(line: &str) {
    progress::beside_bars(|| eprintln!("shoal: {line}"));
}

/// The transfer that an answer to adding it tells of: the new one, or the one that is there already.
///
/// # Errors
/// When the node refuses.
pub fn added(client: &Client, answer: Answer) -> Result<Transfer, Failure> {
    let there =
        (answer.status == StatusCode::CONFLICT).then(|| answer.json()["error"]["id"].take());
    if let Some(Some(id)) = there.as_ref().map(Value::as_str) {
        remark("the node has this torrent already");
        return client.get(&format!("/api/v1/transfers/{id}"));
    }
    answer.read()
}

/// The metainfo of a transfer, once its files are known; `None` when a signal comes first.
///
/// # Errors
/// When it is removed, or the node ends.
pub fn metainfo(client: &Client, transfer: &Transfer) -> Result<Option<Metainfo>, Failure> {
    interrupt::heed();
    let known = |one: &Value| one["id"] == transfer.id.as_str() && one["files"] != 0;
    let mut ready = transfer.files > 0;
    if !ready {
        let heard = client.follow(|event, data| {
            if event != "transfers" {
                return Ok(ControlFlow::Continue(()));
            }
            let changed: Value = serde_json::from_str(data).context("an event")?;
            let mut all = changed["transfers"].as_array().into_iter().flatten();
            Ok(if all.any(known) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        ready = heard?.is_some();
    }
    if !ready {
        remark("the node goes on asking for its files, and fetches all of them");
        return Ok(None);
    }
    let torrent = client.bytes(&format!("/api/v1/transfers/{}/torrent", transfer.id))?;
    Ok(Some(Metainfo::parse(&torrent).context("the node's answer cannot be understood")?))
}

/// Has a transfer dial the peers that were named.
///
/// # Errors
/// When the node refuses.
pub fn add_peers(
    client: &Client,
    transfer: &Transfer,
    network: &NetworkArgs,
) -> Result<(), Failure> {
    let peers = network.peer_addresses();
    if peers.is_empty() {
        return Ok(());
    }
    let path = format!("/api/v1/transfers/{}/peers", transfer.id);
    client.post(&path, Some(json!({"addresses": peers})))
}

/// Changes a transfer.
///
/// # Errors
/// When the node refuses.
pub fn change(client: &Client, id: &str, change: Value) -> Result<(), Failure> {
    let path = format!("/api/v1/transfers/{id}");
    client.send_json(Method::PATCH, &path, change)?.read::<Value>().map(drop)
}

/// Watches a transfer until it is done with.
///
/// # Errors
/// When it fails there, it is removed, or the node ends.
pub fn watch(client: &Client, transfer: &Transfer, watch: &Watch) -> Result<Exit, Failure> {
    interrupt::heed();
    let name = transfer.name.clone().unwrap_or_else(|| transfer.id.clone());
    let bar = progress::bar(&name, 1);
    let mut watcher = Watcher {
        watch,
        id: transfer.id.clone(),
        bar: &bar,
        began: Instant::now(),
        moved: (0, Instant::now()),
        downloaded: 0,
        named: false,
        complete: false,
    };
    let ended = loop {
        match client.follow(|event, data| watcher.hear(event, data)) {
            Ok(Some(Ended::Removed)) => {}
            Ok(Some(Ended::Done(exit))) => break Ok(Some(exit)),
            Ok(None) => break Ok(None),
            Err(error) => break Err(error),
        }
        // What was fetched from networks, too, goes on as the torrent that it is.
        match client.get::<Transfer>(&format!("/api/v1/transfers/{}", watcher.id)) {
            Ok(transfer) => watcher.id = transfer.id,
            Err(_) => break Err(anyhow!("it was removed from the node").into()),
        }
    };
    progress::remove(&bar);
    let exit = match ended? {
        Some(exit) => exit,
        None => {
            let complete = watcher.complete;
            if !complete {
                remark("the node goes on fetching it: `shoal status` and the page show how far");
            }
            if complete { Exit::Done } else { Exit::Interrupted }
        }
    };
    if watch.json {
        say_json(&Event::Stopped { exit: exit as u8 })?;
    }
    Ok(exit)
}

/// Why a transfer is watched no longer.
enum Ended {
    /// It is done with.
    Done(Exit),
    /// The node has no transfer of that id any more.
    Removed,
}

struct Watcher<'a> {
    watch: &'a Watch,
    id: String,
    bar: &'a ProgressBar,
    began: Instant,
    /// Bytes that had come when more last came.
    moved: (u64, Instant),
    /// Bytes received, as far as was seen.
    downloaded: u64,
    named: bool,
    complete: bool,
}

impl Watcher<'_> {
    fn hear(&mut self, event: &str, data: &str) -> Result<ControlFlow<Ended>, Failure> {
        if event == "transfers" {
            let mut changed: Value = serde_json::from_str(data).context("an event")?;
            let removed = changed["removed"].as_array().into_iter().flatten();
            if removed.filter_map(Value::as_str).any(|id| id == self.id) {
                return Ok(ControlFlow::Break(Ended::Removed));
            }
            let transfers = changed["transfers"].as_array_mut().into_iter().flatten();
            let ours = transfers.filter(|one| one["id"] == self.id).map(Value::take).last();
            if let Some(ours) = ours {
                let transfer: Transfer = serde_json::from_value(ours).context("an event")?;
                return self.see(&transfer);
            }
        }
        let (_, at) = self.moved;
        if self.watch.timeout.is_some_and(|timeout| !self.complete && at.elapsed() >= timeout) {
            remark("nothing came; the node goes on trying");
            return Ok(ControlFlow::Break(Ended::Done(Exit::GaveUp)));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn see(&mut self, transfer: &Transfer) -> Result<ControlFlow<Ended>, Failure> {
        let progress = &transfer.progress;
        self.downloaded = self.downloaded.max(progress.downloaded);
        let bytes = progress.bytes_have + progress.downloaded;
        if bytes != self.moved.0 || matches!(transfer.state, State::Checking | State::Moving) {
            self.moved = (bytes, Instant::now());
        }
        if transfer.files > 0 && !self.named {
            self.named = true;
            if let Some(name) = &transfer.name {
                self.bar.set_prefix(text::short(name, 28));
            }
            if self.watch.json {
                say_json(&Event::Torrent(names(transfer)))?;
            }
        }
        self.bar.set_length(progress.bytes_wanted.max(1));
        self.bar.set_position(progress.bytes_checked.unwrap_or(progress.bytes_have));
        self.bar.set_message(describe(transfer));
        if self.watch.json {
            let mut line = serde_json::to_value(transfer).context("a transfer")?;
            line["event"] = json!("progress");
            line["seconds"] = json!(self.began.elapsed().as_secs_f64());
            say_json(&line)?;
        }
        if let (State::Failed, why) = (transfer.state, &progress.error) {
            return Err(anyhow!("{}", why.as_deref().unwrap_or("it failed")).into());
        }
        let whole = matches!(transfer.state, State::Seeding | State::Finished);
        if whole && !self.complete {
            self.complete = true;
            self.say_complete(transfer)?;
        }
        let done = if self.watch.seeds { transfer.state == State::Finished } else { self.complete };
        Ok(if done {
            ControlFlow::Break(Ended::Done(Exit::Done))
        } else {
            ControlFlow::Continue(())
        })
    }

    fn say_complete(&self, transfer: &Transfer) -> Result<(), Failure> {
        let (elapsed, bytes) = (self.began.elapsed(), transfer.progress.bytes_wanted);
        if self.watch.json {
            return say_json(&Event::Complete { seconds: elapsed.as_secs_f64(), bytes });
        }
        let name = text::plain(transfer.name.as_deref().unwrap_or(&transfer.id));
        let (dir, size) = (transfer.dir.display(), size(bytes));
        let how = if self.downloaded == 0 {
            "all of it was there".to_owned()
        } else {
            format!("{size} in {}", duration(elapsed))
        };
        progress::beside_bars(|| say(format_args!("COMPLETE {name} in {dir} ({how})")))
    }
}

/// Under which names a transfer is known.
#[must_use]
pub fn names(transfer: &Transfer) -> Names {
    Names {
        name: transfer.name.clone(),
        infohash_v1: transfer.infohash_v1.clone(),
        infohash_v2: transfer.infohash_v2.clone(),
        magnet: transfer.magnet.clone(),
    }
}

/// What a transfer is doing, in a few words.
fn describe(transfer: &Transfer) -> String {
    let state = match transfer.state {
        State::Metadata => TorrentState::Metadata,
        State::Checking => TorrentState::Checking,
        State::Downloading => TorrentState::Downloading,
        State::Seeding => TorrentState::Seeding,
        State::Finished => TorrentState::Finished,
        State::Failed => TorrentState::Failed,
        State::Paused => return "paused".to_owned(),
        State::Queued => return "waits for its turn".to_owned(),
        State::Moving => return "on its way to another folder".to_owned(),
        State::Hashing => {
            let (done, all) = (transfer.progress.bytes_checked, transfer.progress.bytes_wanted);
            return format!("hashing, {} of {}", size(done.unwrap_or_default()), size(all));
        }
    };
    let count = transfer.peers_connected;
    let stats =
        TorrentStats { state, progress: transfer.progress.clone(), ..TorrentStats::default() };
    match state {
        TorrentState::Downloading => format!(
            "{} of {}, ↓ {} ↑ {}, {count} peers",
            size(transfer.progress.bytes_have),
            size(transfer.progress.bytes_wanted),
            rate(transfer.progress.download_rate),
            rate(transfer.progress.upload_rate),
        ),
        _ => progress::describe(&stats),
    }
}

/// Has the node publish what is at `path`, and returns the transfer once it is hashed; `None` when a
/// signal came first.
///
/// # Errors
/// When the node refuses, or it cannot be hashed.
pub fn publish(client: &Client, path: &Path, wish: Value) -> Result<Option<Transfer>, Failure> {
    interrupt::heed();
    let begun: Transfer = client.post("/api/v1/transfers", Some(wish))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bar = progress::bar(&name, 1);
    let mut found = None;
    let ended = client.follow(|event, data| {
        if event == "notice" {
            let notice: Value = serde_json::from_str(data).context("an event")?;
            let message = notice["message"].as_str().unwrap_or_default();
            if notice["level"] == "error" && message.starts_with(&*path.to_string_lossy()) {
                return Err(anyhow!("{}", text::plain(message)).into());
            }
        }
        if event != "transfers" {
            return Ok(ControlFlow::Continue(()));
        }
        let mut changed: Value = serde_json::from_str(data).context("an event")?;
        for one in changed["transfers"].as_array_mut().into_iter().flatten() {
            if one["id"] == begun.id.as_str() {
                let number = |key: &str| one[key].as_u64().unwrap_or_default();
                progress::show_hashed(&bar, number("bytes_checked"), number("bytes_wanted"));
            } else if one["published"] == true && one["state"] != "hashing" {
                let one: Transfer = serde_json::from_value(one.take()).context("an event")?;
                if one.name.as_deref() == Some(&*name) && Some(&*one.dir) == path.parent() {
                    found = Some(one);
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    });
    progress::remove(&bar);
    ended?;
    Ok(found)
}
