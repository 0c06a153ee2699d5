//! `shoal fetch`: get what a torrent names, or a part of it.

use std::path::PathBuf;
use std::time::Duration;

use bittorrent::metainfo::Info;
use clap::Args;
use net::session::{AddTorrent, SeedUntil, Source};
use net::store::Journal;
use serde_json::json;

use crate::args::NetworkArgs;
use crate::exit::{Exit, Failure, bad_input, say};
use crate::inspect::full_path;
use crate::report::say_json;
use crate::select::{Pick, numbered, parse_pick, resolve};
use crate::source;
use crate::text;
use crate::transfer::{self, Choice, Until, Watch};
use crate::units::{parse_duration, size};

/// Options of `shoal fetch`.
#[derive(Args, Debug)]
pub struct FetchArgs {
    /// A .torrent file, a magnet link, a URL of a .torrent file, an infohash, or `-` for standard
    /// input
    source: String,
    /// Folder to put it in; made if it is missing. What is there already is checked and kept
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
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
    let mut add = args.add(source::load(&args.source, args.network.interface.as_deref())?);
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
            let watch = Watch { json: args.json && !args.list, ..args.watch() };
            return transfer::run(&args.network, add, watch, Some(&choose));
        }
        Source::Magnet(_) => {}
    }
    transfer::run(&args.network, add, args.watch(), None)
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

    fn watch(&self) -> Watch<'_> {
        let seeds = self.seed || self.seed_ratio.is_some() || self.seed_time.is_some();
        Watch {
            until: if seeds { Until::Seeded } else { Until::Complete },
            timeout: self.timeout,
            json: self.json,
            name: &self.source,
            dir: &self.output,
        }
    }

    fn add(&self, mut source: Source) -> AddTorrent {
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
            ..AddTorrent::new(source, self.output.clone())
        }
    }
}
