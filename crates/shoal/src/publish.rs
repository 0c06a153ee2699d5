//! `shoal publish`: describe a file or a folder, and share it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use clap::Args;
use net::create::{CreateOptions, Kind, create};
use net::session::{AddTorrent, Source};
use serde_json::json;

use crate::args::NetworkArgs;
use crate::client::Client;
use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::handover::{self, WhereArgs};
use crate::locate::locate;
use crate::progress;
use crate::report::{Event, Names, say_json};
use crate::source;
use crate::text;
use crate::transfer::{self, Until, Watch};
use crate::units::{parse_size, size};

/// Options of `shoal publish`.
#[derive(Args, Debug)]
pub struct PublishArgs {
    /// The file or folder to share. With --torrent, the folder that holds it is as good
    path: PathBuf,
    /// Share what this .torrent file describes, rather than make a new one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["v1", "v2", "hybrid", "piece_size",
          "private", "comment", "output", "no_seed"])]
    torrent: Option<PathBuf>,
    /// Do not hash what --torrent describes: it is known to be whole
    #[arg(long, requires = "torrent")]
    skip_check: bool,
    /// Write the .torrent file here [default with --no-seed: NAME.torrent]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Overwrite the .torrent file if it is there
    #[arg(short, long)]
    force: bool,
    /// Write the .torrent file and stop
    #[arg(long)]
    no_seed: bool,
    /// Announce to this tracker; may be repeated, in order of preference. Trackers with commas
    /// between them are equals
    #[arg(long = "tracker", value_name = "URL")]
    trackers: Vec<String>,
    /// A web server that has it too, named in the new .torrent file and link; may be repeated
    #[arg(long = "web-seed", value_name = "URL", conflicts_with = "torrent")]
    web_seeds: Vec<String>,
    /// Bytes of a piece: a power of two from 16KiB [default: by the size of the whole]
    #[arg(long, value_name = "SIZE", value_parser = parse_piece_size)]
    piece_size: Option<u32>,
    /// For every program there is, but without the merkle trees of version 2
    #[arg(long, group = "version")]
    v1: bool,
    /// For programs that speak version 2 only
    #[arg(long, group = "version")]
    v2: bool,
    /// Both versions in one (the default)
    #[arg(long, group = "version")]
    hybrid: bool,
    /// Peers come from the trackers alone
    #[arg(long)]
    private: bool,
    /// Free text in the .torrent file
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Show each piece to one peer until it has spread: for the first seed of a swarm
    #[arg(long)]
    super_seed: bool,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: WhereArgs,
    #[command(flatten)]
    network: NetworkArgs,
}

const PIECE_LEN_MIN: u64 = 16 << 10;
const PIECE_LEN_MAX: u64 = 512 << 20;

fn parse_piece_size(text: &str) -> Result<u32, String> {
    let len = parse_size(text)?;
    if !len.is_power_of_two() || !(PIECE_LEN_MIN..=PIECE_LEN_MAX).contains(&len) {
        return Err("a piece is a power of two from 16KiB to 512MiB".to_owned());
    }
    u32::try_from(len).map_err(|error| error.to_string())
}

/// Publishes.
///
/// # Errors
/// When what to share cannot be read, is not what the torrent describes, or cannot be shared.
pub fn run(args: &PublishArgs) -> Result<Exit, Failure> {
    let path = args.path.canonicalize().with_context(|| args.path.display().to_string());
    let path = path.bad_input()?;
    if let Some(node) = args.place.node(args.need_own_session())? {
        return hand_over(args, &node, &path);
    }
    let (mut metainfo, dir) = match &args.torrent {
        Some(torrent) => {
            let mut metainfo = source::load_file(torrent)?;
            let dir = locate(&path, Arc::make_mut(&mut metainfo.info))?;
            (metainfo, dir)
        }
        None => {
            let metainfo = describe(args, &path)?;
            (metainfo, path.parent().unwrap_or(&path).to_owned())
        }
    };
    args.say_names(&metainfo)?;
    if args.torrent.is_none()
        && let Some(output) = args.torrent_path(&metainfo)
    {
        write_torrent(&output, &metainfo, args.force)?;
        if !args.json {
            say(format_args!("Torrent      {}", output.display()))?;
        }
    }
    if args.no_seed {
        return Ok(Exit::Done);
    }
    if args.network.no_tracker {
        metainfo.trackers.clear();
    }
    let name = metainfo.info.name.clone();
    // A new torrent has the trackers in it, and its web servers are for those who fetch.
    let added = args.torrent.is_some();
    let add = AddTorrent {
        read_only: true,
        trusted: args.torrent.is_none() || args.skip_check,
        super_seeding: args.super_seed,
        trackers: if added { args.tiers().concat() } else { Vec::new() },
        peers: args.network.peer_addresses(),
        ..AddTorrent::new(Source::Metainfo(Box::new(metainfo)), dir.clone())
    };
    let watch =
        Watch { until: Until::Stopped, timeout: None, json: args.json, name: &name, dir: &dir };
    transfer::run(&args.network, add, watch, None)
}

/// Has the node that runs share it. When this returns all is hashed, and the node shares it from
/// then on.
fn hand_over(args: &PublishArgs, node: &Client, path: &Path) -> Result<Exit, Failure> {
    let text =
        path.to_str().ok_or_else(|| bad_input(format!("{} is not UTF-8", path.display())))?;
    let version = match (args.v1, args.v2) {
        (true, _) => "v1",
        (_, true) => "v2",
        _ => "hybrid",
    };
    handover::remark("the node shares it from now on (--here: this process does)");
    let publish = json!({"version": version, "piece_length": args.piece_size,
        "private": args.private, "comment": args.comment});
    let wish = json!({"source": text, "trackers": args.trackers, "publish": publish});
    let Some(transfer) = handover::publish(node, path, wish)? else {
        handover::remark("the node goes on hashing it, and shares it then");
        return Ok(Exit::Interrupted);
    };
    let Some(metainfo) = handover::metainfo(node, &transfer)? else { return Ok(Exit::Interrupted) };
    args.say_names(&metainfo)?;
    if let Some(output) = &args.output {
        write_torrent(output, &metainfo, args.force)?;
        if !args.json {
            say(format_args!("Torrent      {}", output.display()))?;
        }
    }
    handover::add_peers(node, &transfer, &args.network)?;
    let (up, down) = (args.network.up.0, args.network.down.0);
    if up.is_some() || down.is_some() {
        handover::change(node, &transfer.id, json!({"upload_limit": up, "download_limit": down}))?;
    }
    Ok(Exit::Done)
}

impl PublishArgs {
    /// Whether it asks for what only a session of its own does.
    fn need_own_session(&self) -> bool {
        let tiers = self.trackers.iter().any(|tier| tier.contains(','));
        self.torrent.is_some()
            || self.no_seed
            || self.super_seed
            || !self.web_seeds.is_empty()
            || tiers
            || self.network.need_own_session()
    }

    fn tiers(&self) -> Vec<Vec<String>> {
        let tier = |urls: &String| urls.split(',').map(|url| url.trim().to_owned()).collect();
        self.trackers.iter().map(tier).collect()
    }

    /// Where the new torrent goes, if anywhere.
    fn torrent_path(&self, metainfo: &Metainfo) -> Option<PathBuf> {
        let default = || {
            let file = metainfo.info.files.iter().find(|file| !file.padding)?;
            Some(PathBuf::from(format!("{}.torrent", file.disk_path.first()?)))
        };
        self.output.clone().or_else(|| if self.no_seed { default() } else { None })
    }

    fn say_names(&self, metainfo: &Metainfo) -> Result<(), Failure> {
        let info = &metainfo.info;
        let magnet = Magnet {
            name: Some(info.name.clone()),
            trackers: metainfo.trackers.concat(),
            web_seeds: metainfo.web_seeds.clone(),
            ..Magnet::new(info.hashes)
        };
        let names = Names::new(&info.hashes, Some(&info.name), Some(magnet.to_string()));
        if self.json {
            return say_json(&Event::Torrent(names));
        }
        let files = info.files.iter().filter(|file| !file.padding);
        let (count, total) = files.fold((0, 0), |(n, sum), file| (n + 1, sum + file.len));
        let (pieces, piece_len) = (info.piece_count(), size(info.piece_len.into()));
        say(format_args!("Name         {}", text::plain(&info.name)))?;
        say(format_args!("Size         {} in {count} files", size(total)))?;
        say(format_args!("Pieces       {pieces} of {piece_len}"))?;
        for (key, hash) in [("v1", &names.infohash_v1), ("v2", &names.infohash_v2)] {
            if let Some(hash) = hash {
                say(format_args!("Infohash {key}  {hash}"))?;
            }
        }
        say(format_args!("Magnet       {magnet}"))
    }
}

/// Hashes what is at `path`.
fn describe(args: &PublishArgs, path: &Path) -> Result<Metainfo, Failure> {
    let kind = match (args.v1, args.v2) {
        (true, _) => Kind::V1,
        (_, true) => Kind::V2,
        _ => Kind::Hybrid,
    };
    let options = CreateOptions {
        kind,
        piece_len: args.piece_size,
        private: args.private,
        trackers: args.tiers(),
        web_seeds: args.web_seeds.clone(),
        comment: args.comment.clone(),
        created_by: Some(concat!("Shoal ", env!("CARGO_PKG_VERSION")).to_owned()),
        ..CreateOptions::default()
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let bar = progress::bar(&name, 1);
    let made = create(path, &options, &|hashed, total| progress::show_hashed(&bar, hashed, total));
    progress::remove(&bar);
    Ok(made.with_context(|| format!("cannot describe {}", path.display()))?)
}

fn write_torrent(path: &Path, metainfo: &Metainfo, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).truncate(force).create(force).create_new(!force);
    let written = options.open(path).and_then(|mut file| file.write_all(&metainfo.to_bytes()));
    match written {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let path = path.display();
            Err(bad_input(format!("{path} is there already; --force overwrites it")))
        }
        written => Ok(written.with_context(|| path.display().to_string())?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_powers_of_two() {
        assert_eq!(parse_piece_size("256KiB"), Ok(256 << 10));
        for text in ["8KiB", "100000", "1GiB", "0"] {
            assert!(parse_piece_size(text).is_err(), "{text}");
        }
    }
}
