//! How fast pieces are hashed and written, and what that costs: pushes pieces through
//! [`Disk`] as a session does, for torrents of each version.
//!
//! ```text
//! cargo run --release -p shoal-net --example disk_throughput -- [DIR] [GIB]
//! ```
//! DIR is `/dev/shm` if it is not given, GIB is 2. Bytes come from memory, so one copy of them is
//! what a receiving socket would cost; the column `threads` is without it. The version `write` is
//! not hashed: what the file system alone takes.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bittorrent::id::{BLOCK_LEN, InfoHash, InfoHashV2, InfoHashes, PieceIndex};
use bittorrent::metainfo::{File, Info};
use hash::{Digest, Sha1};
use net::disk::{Disk, DiskConfig, DiskEvent, DiskJob, PieceData, Recheck};
use net::merkle::{sha256_leaves, subtree_root};
use net::store::{Store, StoreOptions};

const GIB: u64 = 1 << 30;
/// Bytes of the pattern that pieces repeat.
const PATTERN_LEN: usize = 16 << 20;
/// Clock ticks per second in /proc, on every Linux.
const TICKS: f64 = 100.0;

type Failure = Box<dyn Error>;

fn main() -> Result<(), Failure> {
    let mut args = std::env::args_os().skip(1);
    let dir: PathBuf = args.next().map_or_else(|| "/dev/shm".into(), Into::into);
    let gib = match args.next() {
        Some(gib) => gib.to_string_lossy().parse()?,
        None => 2,
    };
    let dir = tempfile::tempdir_in(dir)?;
    println!("{gib} GiB each, vector engine {}", hash::engine());
    println!("version  piece KiB  write GiB/s  CPU s/GiB  threads  recheck GiB/s  RSS MiB");
    for piece_len in [256 << 10, 1 << 20, 4 << 20] {
        // Twice: the first pages of a file system in memory may come from the host for the first
        // time.
        for name in ["write", "write", "v1", "v2", "hybrid"] {
            let (v1, v2) = (name != "v2", name == "v2" || name == "hybrid");
            run(name, dir.path(), torrent(gib * GIB, piece_len, v1, v2))?;
        }
    }
    Ok(())
}

struct Torrent {
    info: Info,
    layer: Vec<[u8; 32]>,
    pattern: Vec<u8>,
}

fn torrent(len: u64, piece_len: u32, v1: bool, v2: bool) -> Torrent {
    let mut rng = machine::Rng::new(1);
    let mut pattern = vec![0; PATTERN_LEN];
    rng.fill(&mut pattern);
    let count = (len / u64::from(piece_len)) as usize;
    let pieces = pattern.chunks(piece_len as usize);
    let sha1: Vec<[u8; 20]> = pieces.clone().map(|piece| Sha1::digest(piece).into()).collect();
    let roots = pieces.filter_map(|piece| {
        let mut leaves = Vec::new();
        sha256_leaves(piece, &mut leaves);
        subtree_root(&leaves, piece_len / BLOCK_LEN)
    });
    let roots: Vec<[u8; 32]> = roots.collect();
    let path = vec!["file".to_owned()];
    let file = File {
        disk_path: path.clone(),
        path,
        offset: 0,
        len,
        padding: false,
        symlink: false,
        executable: false,
        pieces_root: v2.then_some([1; 32]),
    };
    let info = Info {
        hashes: InfoHashes {
            v1: v1.then_some(InfoHash([1; 20])),
            v2: v2.then_some(InfoHashV2([1; 32])),
        },
        name: "file".to_owned(),
        piece_len,
        private: false,
        single_file: true,
        files: vec![file],
        total_len: len,
        v1_pieces: v1.then(|| sha1.iter().copied().cycle().take(count).collect()),
    };
    Torrent { info, layer: roots.into_iter().cycle().take(count).collect(), pattern }
}

fn run(name: &str, dir: &Path, torrent: Torrent) -> Result<(), Failure> {
    let Torrent { info, layer, pattern } = torrent;
    let (piece_len, count) = (info.piece_len, info.piece_count());
    let gib = info.total_len as f64 / GIB as f64;
    let store = Arc::new(Store::open(Arc::new(info), dir, StoreOptions::default())?);
    store.set_piece_layer(0, &layer);
    let (disk, mut events) = Disk::start(DiskConfig::default())?;

    let (start, all_before) = (Instant::now(), cpu_seconds(None)?);
    let (mut sent, mut done) = (0, 0);
    while done < count {
        while sent < count
            && let Some(mut data) = disk.pool().try_take(piece_len as usize)
        {
            let at = sent as usize * piece_len as usize % PATTERN_LEN;
            data.copy_from_slice(&pattern[at..at + piece_len as usize]);
            let (store, piece) = (store.clone(), PieceIndex(sent));
            let job = if name == "write" {
                DiskJob::Write { store, tag: 0, piece, begin: 0, data }
            } else {
                DiskJob::Verify { store, tag: 0, piece, data: PieceData::Memory(data) }
            };
            disk.submit(job).map_err(|_| "full")?;
            sent += 1;
        }
        match events.blocking_recv().ok_or("ended")? {
            DiskEvent::Written { result, .. } => result?,
            DiskEvent::Verified { result: Ok(verdict), .. } if verdict.is_good() => {}
            _ => return Err("a bad piece".into()),
        }
        done += 1;
    }
    let (wall, all) = (start.elapsed().as_secs_f64(), cpu_seconds(None)? - all_before);
    let threads = cpu_seconds(Some("hash"))?;
    let resident = resident_mib()?;

    let start = Instant::now();
    disk.submit(DiskJob::Recheck(Recheck::all(store, 0))).map_err(|_| "full")?;
    let mut good_pieces = 0;
    loop {
        match events.blocking_recv().ok_or("ended")? {
            DiskEvent::Rechecked { good, .. } => good_pieces += good.len(),
            DiskEvent::RecheckDone { .. } => break,
            _ => return Err("another event".into()),
        }
    }
    if good_pieces != count as usize {
        return Err("pieces are missing".into());
    }
    let recheck = gib / start.elapsed().as_secs_f64();
    println!(
        "{name:7} {:10} {:12.2} {:10.2} {:8.2} {recheck:14.2} {resident:8.0}",
        piece_len >> 10,
        gib / wall,
        all / gib,
        threads / gib,
    );
    disk.shutdown();
    fs::remove_file(dir.join("file"))?;
    Ok(())
}

/// Seconds that this process, or its threads of one name, have run.
fn cpu_seconds(thread: Option<&str>) -> Result<f64, Failure> {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task")? {
        let stat = fs::read_to_string(task?.path().join("stat"))?;
        let (head, rest) = stat.rsplit_once(") ").ok_or("no name")?;
        if thread.is_some_and(|name| !head.ends_with(&format!("({name}"))) {
            continue;
        }
        let fields: Vec<&str> = rest.split(' ').collect();
        ticks += fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    }
    Ok(ticks as f64 / TICKS)
}

fn resident_mib() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
