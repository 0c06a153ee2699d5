//! `shoal verify`: hash files on disk and compare them with a metainfo file.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, anyhow};
use bittorrent::id::PieceIndex;
use bittorrent::metainfo::{Info, Metainfo};
use clap::Args;
use net::disk::{Disk, DiskConfig, DiskEvent, DiskJob, Recheck};
use net::store::{Store, StoreOptions};
use serde::Serialize;

use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::inspect::full_path;
use crate::locate::locate;
use crate::progress;
use crate::report::say_json;
use crate::select::{Pick, numbered, parse_pick, resolve};
use crate::source;
use crate::text;
use crate::units::size;

/// Options of `shoal verify`.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The .torrent file; `-` is standard input
    torrent: PathBuf,
    /// The folder that holds what it describes, or that file or folder itself
    dir: PathBuf,
    /// Only these files: numbers as `fetch --list` shows them (1,3-5), or names with * and ?
    #[arg(long, value_name = "FILES", value_delimiter = ',', value_parser = parse_pick)]
    select: Vec<Pick>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// Every file is whole.
    whole: bool,
    /// Bytes of all files.
    bytes: u64,
    pieces: usize,
    pieces_good: usize,
    files: Vec<FileReport>,
}

#[derive(Debug, Serialize)]
struct FileReport {
    path: String,
    length: u64,
    state: FileState,
    pieces: usize,
    pieces_good: usize,
}

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum FileState {
    /// Every byte is as it should be.
    Ok,
    /// It is not there, or is no file.
    Missing,
    /// It is too short or too long.
    WrongLength,
    /// Some of its bytes are wrong.
    Corrupt,
    /// Its bytes may be right: they share a piece with a file that is missing or of wrong length.
    Unknown,
}

/// Verifies.
///
/// # Errors
/// When the torrent is malformed, or files that are there cannot be read.
pub fn run(args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut metainfo = source::load_file(&args.torrent)?;
    let path = args.dir.canonicalize().with_context(|| args.dir.display().to_string());
    let path = path.bad_input()?;
    // Where nothing of it is found, everything is missing.
    let dir = locate(&path, Arc::make_mut(&mut metainfo.info)).unwrap_or(path);
    if !dir.is_dir() {
        return Err(bad_input(format!("{} is not a folder", dir.display())));
    }
    let info = &metainfo.info;
    let picks =
        if args.select.is_empty() { &[Pick::Numbers(1, usize::MAX)][..] } else { &args.select };
    let files = resolve(picks, info).map_err(bad_input)?;
    let good = hash(&metainfo, &dir, &files)?;
    let report = Report::new(info, &dir, &files, &good);
    if args.json {
        say_json(&report)?
    } else {
        report.say()?
    }
    Ok(if report.whole { Exit::Done } else { Exit::Failed })
}

/// The pieces of some files.
fn pieces_of(info: &Info, files: &[usize]) -> Vec<PieceIndex> {
    let mut pieces: Vec<_> =
        files.iter().flat_map(|&file| info.file_pieces(file)).map(PieceIndex).collect();
    pieces.sort_unstable();
    pieces.dedup();
    pieces
}

/// Hashes the pieces of some files, on all cores; those that are good, in order.
fn hash(metainfo: &Metainfo, dir: &Path, files: &[usize]) -> Result<Vec<PieceIndex>, Failure> {
    const TAG: u64 = 0;
    let info = &metainfo.info;
    let options = StoreOptions { read_only: true, ..StoreOptions::default() };
    let store = Store::open(info.clone(), dir, options).context("cannot open the files")?;
    store.set_piece_layers(&metainfo.piece_layers);
    let config = DiskConfig {
        hash_threads: thread::available_parallelism().ok(),
        read_threads: NonZeroUsize::MIN,
        ..DiskConfig::default()
    };
    let (disk, mut events) = Disk::start(config).context("cannot start threads that hash")?;
    let pieces = pieces_of(info, files);
    let total = pieces.iter().map(|&piece| u64::from(info.piece_size(piece))).sum();
    let bar = progress::bar(&info.name, total);
    let recheck = Recheck::of(Arc::new(store), TAG, pieces);
    disk.submit(DiskJob::Recheck(recheck)).map_err(|_| anyhow!("no thread hashes"))?;
    let (mut all_good, mut hashed) = (Vec::new(), 0);
    loop {
        match events.blocking_recv() {
            Some(DiskEvent::Rechecked { good, bad, .. }) => {
                let sizes = good.iter().chain(&bad).map(|&piece| info.piece_size(piece));
                hashed += sizes.map(u64::from).sum::<u64>();
                progress::show_hashed(&bar, hashed, total);
                all_good.extend(good);
            }
            Some(DiskEvent::RecheckDone { error: Some(error), .. }) => {
                return Err(anyhow::Error::from(error).context("cannot read the files").into());
            }
            Some(DiskEvent::RecheckDone { .. }) => break,
            Some(_) => {}
            None => return Err(anyhow!("the threads that hash have ended").into()),
        }
    }
    progress::remove(&bar);
    disk.shutdown();
    all_good.sort_unstable();
    Ok(all_good)
}

impl Report {
    fn new(info: &Info, dir: &Path, files: &[usize], good: &[PieceIndex]) -> Self {
        let is_good = |piece: u32| good.binary_search(&PieceIndex(piece)).is_ok();
        let on_disk: Vec<_> = info.files.iter().map(|file| on_disk(dir, file)).collect();
        // A piece that is bad because of another file says nothing about this one.
        let blames_other = |file: usize, piece: u32| {
            let mut spans = info.piece_files(PieceIndex(piece));
            spans.any(|span| span.file != file && on_disk[span.file] != FileState::Ok)
        };
        let reports = numbered(info).filter(|(_, index, _)| files.contains(index));
        let reports: Vec<_> = reports
            .map(|(_, index, file)| {
                let pieces = info.file_pieces(index);
                let bad = || pieces.clone().filter(|&piece| !is_good(piece));
                let state = match on_disk[index] {
                    FileState::Ok if bad().next().is_none() => FileState::Ok,
                    FileState::Ok if bad().all(|piece| blames_other(index, piece)) => {
                        FileState::Unknown
                    }
                    FileState::Ok => FileState::Corrupt,
                    other => other,
                };
                FileReport {
                    path: full_path(&info.name, info.single_file, file),
                    length: file.len,
                    state,
                    pieces: pieces.len(),
                    pieces_good: pieces.len() - bad().count(),
                }
            })
            .collect();
        Self {
            whole: reports.iter().all(|file| file.state == FileState::Ok),
            bytes: reports.iter().map(|file| file.length).sum(),
            pieces: pieces_of(info, files).len(),
            pieces_good: good.len(),
            files: reports,
        }
    }

    fn say(&self) -> Result<(), Failure> {
        for file in &self.files {
            let state = match file.state {
                FileState::Ok => "ok".to_owned(),
                FileState::Missing => "missing".to_owned(),
                FileState::WrongLength => "wrong length".to_owned(),
                FileState::Corrupt => {
                    format!("{} of {} pieces wrong", file.pieces - file.pieces_good, file.pieces)
                }
                FileState::Unknown => {
                    "unknown: shares a piece with a file above or below".to_owned()
                }
            };
            let length = size(file.length);
            say(format_args!("{length:>10}  {}  {state}", text::plain(&file.path)))?;
        }
        let (good, all) = (self.pieces_good, self.pieces);
        let whole = self.files.iter().filter(|file| file.state == FileState::Ok).count();
        let files = self.files.len();
        say(format_args!("{whole} of {files} files are whole, {good} of {all} pieces are good"))
    }
}

/// What can be said of a file without reading it.
fn on_disk(dir: &Path, file: &bittorrent::metainfo::File) -> FileState {
    if file.padding {
        return FileState::Ok;
    }
    let path = dir.join(file.disk_path.iter().collect::<PathBuf>());
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => FileState::Missing,
        Ok(found) if found.len() != file.len => FileState::WrongLength,
        Ok(_) => FileState::Ok,
        Err(_) => FileState::Missing,
    }
}
