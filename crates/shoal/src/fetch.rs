//! `shoal fetch`: get what a torrent names, or a part of it.

use std::path::{self, Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Info;
use clap::Args;
use hyper::Method;
use net::session::{AddTorrent, SeedUntil, Source};
use net::store::Journal;
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::args::NetworkArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure, bad_input, say};
use crate::handover::{self, WhereArgs};
use crate::inspect::full_path;
use crate::report::say_json;
use crate::rows::{self, Named};
use crate::select::{Pick, numbered, parse_pick, resolve};
use crate::source;
use crate::text;
use crate::transfer::{self, Choice, Until, Watch};
use crate::units::{parse_duration, size};

/// Options of `shoal fetch`.
#[derive(Args, Debug)]
pub struct FetchArgs {
    /// A .torrent file, a magnet link, a URL of a .torrent file, an infohash, `-` for standard input,
    /// urn:sha1:.. or urn:bitprint:.., or the number of a result of the last search
    source: String,
    /// Folder to put it in; made if it is missing. What is there already is checked and kept
    /// [default: this folder, or that of the node]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Only these files: numbers as --list shows them (1,3-5), or names with * and ?
    #[arg(long, value_name = "FILES", value_delimiter = ',', value_parser = parse_pick)]
    select: Vec<Pick>,
    /// Only list the files
    #[arg(long)]
    list: bool,
    /// Fetch from the beginning to the end, to read while it comes
    #[arg(long)]
    sequential: bool,
    /// Hash again what is on disk, rather than trust the journal of the last run
    #[arg(long)]
    recheck: bool,
    /// Give up when nothing comes for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
    /// Go on to share it, until Ctrl-C
    #[arg(long, conflicts_with_all = ["seed_ratio", "seed_time"])]
    seed: bool,
    /// Go on to share it until so many times its size is sent
    #[arg(long, value_name = "RATIO", value_parser = parse_ratio)]
    seed_ratio: Option<f64>,
    /// Go on to share it for so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    seed_time: Option<Duration>,
    /// Ask this tracker too; may be repeated
    #[arg(
        long = "tracker",
        value_name = "URL",
        value_delimiter = ',',
        conflicts_with = "no_tracker"
    )]
    trackers: Vec<String>,
    /// Fetch from this web server too; may be repeated
    #[arg(long = "web-seed", value_name = "URL")]
    web_seeds: Vec<String>,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio: &f64| ratio.is_finite() && *ratio >= 0.0);
    ratio.ok_or_else(|| format!("`{text}` is not a ratio such as 1.5"))
}

/// Removes what an earlier run noted as verified, so that everything is hashed again.
fn forget_journal(add: &AddTorrent) -> Result<(), Failure> {
    let hashes = match &add.source {
        Source::Metainfo(metainfo) => metainfo.info.hashes,
        Source::Magnet(magnet) => magnet.hashes,
    };
    let path = Journal::path_in(add.state_dir.as_ref().unwrap_or(&add.dir), &hashes);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow::Error::new(error).context(format!("remove {}", path.display())).into())
        }
        _ => Ok(()),
    }
}

/// Fetches.
///
/// # Errors
/// When the source is malformed, or it cannot be fetched or stored.
pub fn run(args: &FetchArgs) -> Result<Exit, Failure> {
    let here = args.list || !args.web_seeds.is_empty() || args.network.need_own_session();
    let node = args.place.node(here)?;
    if let Some(named) = rows::named(&args.source, || args.place.config())? {
        let is_torrent = matches!(&named, Named::Link(link) if Magnet::parse(link).is_ok());
        match &node {
            Some(node) if !is_torrent || !args.is_of_torrents() => {
                return fetch_named(args, node, &named);
            }
            None if !is_torrent => {
                return Err(bad_input("only a node that runs fetches that: `shoal up`"));
            }
            _ => {}
        }
    }
    let source = source::load(&args.source, args.network.interface.as_deref())?;
    if let Some(node) = node {
        return hand_over(args, &node, source);
    }
    let dir = args.output.clone().unwrap_or_else(|| PathBuf::from("."));
    let mut add = args.add(source, dir.clone());
    if args.recheck {
        forget_journal(&add)?;
    }
    let ranges = match &add.source {
        Source::Magnet(magnet) => magnet.select_only.clone(),
        Source::Metainfo(_) => Vec::new(),
    };
    let choose = |info: &Info| args.choose(&ranges, info);
    let chosen = args.list || !args.select.is_empty() || !ranges.is_empty();
    match &add.source {
        Source::Metainfo(metainfo) if chosen => match choose(&metainfo.info)? {
            Choice::Fetch(files) => add.selection = Some(files),
            Choice::Leave(exit) => return Ok(exit),
        },
        Source::Metainfo(_) => {}
        // Files can be chosen and listed only once they are known.
        Source::Magnet(_) if chosen => {
            // Whoever asks for a list gets a list and nothing else.
            let watch = Watch { json: args.json && !args.list, ..args.watch(&dir) };
            return transfer::run(&args.network, add, watch, Some(&choose));
        }
        Source::Magnet(_) => {}
    }
    transfer::run(&args.network, add, args.watch(&dir), None)
}

/// Has the node that runs fetch it.
fn hand_over(args: &FetchArgs, node: &Client, source: Source) -> Result<Exit, Failure> {
    let dir = match &args.output {
        Some(dir) => Some(path::absolute(dir).with_context(|| dir.display().to_string())?),
        None => None,
    };
    let answer = match &source {
        Source::Metainfo(metainfo) => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("sequential", if args.sequential { "true" } else { "false" });
            // What is not wanted is said before it begins.
            query.append_pair("paused", "true");
            if let Some(dir) = &dir {
                query.append_pair("dir", &utf8(dir)?);
            }
            let path = format!("/api/v1/transfers?{}", query.finish());
            node.send_torrent(&path, metainfo.to_bytes())?
        }
        Source::Magnet(magnet) => {
            let wish = json!({"source": magnet.to_string(), "sequential": args.sequential,
                "dir": dir.as_deref().map(utf8).transpose()?});
            node.send_json(Method::POST, "/api/v1/transfers", wish)?
        }
    };
    let transfer = handover::added(node, answer)?;
    let path = format!("/api/v1/transfers/{}", transfer.id);
    let place = transfer.dir.display();
    handover::remark(&format!("the node fetches it into {place} (--here: this process does)"));
    if matches!(source, Source::Magnet(_)) {
        // Its files are known by its peers.
        handover::add_peers(node, &transfer, &args.network)?;
    }
    let files = match &source {
        _ if args.select.is_empty() => Vec::new(),
        Source::Metainfo(metainfo) => args.unwanted(&metainfo.info)?,
        Source::Magnet(_) => match handover::metainfo(node, &transfer)? {
            Some(metainfo) => args.unwanted(&metainfo.info)?,
            None => return Ok(Exit::Interrupted),
        },
    };
    let mut wishes = json!({"trackers_add": args.trackers, "files": files, "paused": false});
    if let Some(ratio) = args.seed_ratio {
        wishes["seed_ratio"] = json!(ratio);
    }
    if let Some(time) = args.seed_time {
        wishes["seed_time"] = json!(time.as_secs());
    }
    for (limit, name) in
        [(&args.network.up, "upload_limit"), (&args.network.down, "download_limit")]
    {
        if let Some(limit) = limit.0 {
            wishes[name] = json!(limit);
        }
    }
    handover::change(node, &transfer.id, wishes)?;
    if matches!(source, Source::Metainfo(_)) {
        // It was paused until now, and dialled nobody.
        handover::add_peers(node, &transfer, &args.network)?;
    }
    if args.recheck {
        node.post::<Value>(&format!("{path}/verify"), None)?;
    }
    let seeds = args.seed || args.seed_ratio.is_some() || args.seed_time.is_some();
    let watch = handover::Watch { timeout: args.timeout, seeds, json: args.json };
    handover::watch(node, &transfer, &watch)
}

/// Has the node fetch it from every network that has it, and watches.
fn fetch_named(args: &FetchArgs, node: &Client, named: &Named) -> Result<Exit, Failure> {
    let mut wish = match named {
        Named::Row(result) => json!({"result": result}),
        Named::Link(link) => json!({"link": link}),
    };
    if let Some(dir) = &args.output {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        let dir = dir.canonicalize().with_context(|| dir.display().to_string())?;
        wish["dir"] = json!(utf8(&dir)?);
    }
    let answer = node.send_json(Method::POST, "/api/v1/search/fetch", wish)?;
    let transfer = handover::added(node, answer)?;
    handover::remark(&format!("the node fetches it into {}", transfer.dir.display()));
    let watch = handover::Watch { timeout: args.timeout, seeds: false, json: args.json };
    handover::watch(node, &transfer, &watch)
}

/// A path as JSON and URLs can have it.
fn utf8(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| bad_input(format!("{} is not UTF-8", path.display())))
}

/// Prints the files of a torrent, with the numbers that `--select` takes.
fn list(info: &Info, json: bool) -> Result<Exit, Failure> {
    for (number, _, file) in numbered(info) {
        let path = full_path(&info.name, info.single_file, file);
        if json {
            say_json(&json!({"number": number, "path": path, "length": file.len}))?;
        } else {
            say(format_args!("{number:>5}  {:>10}  {}", size(file.len), text::plain(&path)))?;
        }
    }
    Ok(Exit::Done)
}

impl FetchArgs {
    /// Whether something is asked that only torrents have.
    fn is_of_torrents(&self) -> bool {
        let is_shared = self.seed || self.seed_ratio.is_some() || self.seed_time.is_some();
        let is_added_to = !self.trackers.is_empty() || !self.network.peers.is_empty();
        is_shared || is_added_to || self.sequential || self.recheck || !self.select.is_empty()
    }

    /// Which files are wanted: those that the user names, else the `ranges` of a link.
    fn choose(&self, ranges: &[(usize, usize)], info: &Info) -> Result<Choice, Failure> {
        if self.list {
            return list(info, self.json).map(Choice::Leave);
        }
        if !self.select.is_empty() {
            return resolve(&self.select, info).map(Choice::Fetch).map_err(bad_input);
        }
        let named = |index: &usize| ranges.iter().any(|(from, to)| (from..=to).contains(&index));
        Ok(Choice::Fetch((0..info.files.len()).filter(named).collect()))
    }

    /// Changes by which the files that were not chosen are left out.
    fn unwanted(&self, info: &Info) -> Result<Vec<Value>, Failure> {
        let wanted = resolve(&self.select, info).map_err(bad_input)?;
        let others = info.files.iter().enumerate();
        let others = others.filter(|(index, file)| !file.padding && !wanted.contains(index));
        Ok(others.map(|(index, _)| json!({"index": index, "priority": "skip"})).collect())
    }

    fn watch<'a>(&'a self, dir: &'a Path) -> Watch<'a> {
        let seeds = self.seed || self.seed_ratio.is_some() || self.seed_time.is_some();
        Watch {
            until: if seeds { Until::Seeded } else { Until::Complete },
            timeout: self.timeout,
            json: self.json,
            name: &self.source,
            dir,
        }
    }

    fn add(&self, mut source: Source, dir: PathBuf) -> AddTorrent {
        if self.network.no_tracker {
            match &mut source {
                Source::Metainfo(metainfo) => metainfo.trackers.clear(),
                Source::Magnet(magnet) => magnet.trackers.clear(),
            }
        }
        AddTorrent {
            sequential: self.sequential,
            trackers: self.trackers.clone(),
            web_seeds: self.web_seeds.clone(),
            peers: self.network.peer_addresses(),
            seed_until: SeedUntil { ratio: self.seed_ratio, time: self.seed_time, idle: None },
            ..AddTorrent::new(source, dir)
        }
    }
}
