//! Taking a file: its tree of hashes, what an earlier try left, and what becomes of it in the end.
//! Its blocks come by `swarm`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hash::{Digest, Sha1 as Hasher};
use search::gnutella::servent::{NAME_MAX, SharedFile};
use search::gnutella::{Sha1, TigerRoot, Urn};
use tokio::sync::watch;

use super::shares::{Share, lock};
use super::source::Source;
use super::swarm::Swarm;
use super::tiger_tree::{TigerTree, slice_of};
use super::want::{FetchError, Fetched, From, Progress, Want};
use super::{Exchange, Network, thex};

/// Sources that are asked for the tree.
const TREE_SOURCES_MAX: usize = 8;
/// Largest block; a tree whose lowest level stands for more is of no use.
const BLOCK_MAX: u64 = 16 << 20;
/// Blocks of one file.
const BLOCKS_MAX: u64 = 1 << 20;

/// Fetches a file to `to`; it is there under that name only when it is whole and verified.
pub(crate) async fn run<N: Network>(
    network: &Arc<N>,
    want: Want,
    to: &Path,
    told: watch::Sender<Progress>,
) -> Result<Fetched, FetchError> {
    let part = part_of(to);
    let disk = |source| FetchError::Disk { path: part.clone(), source };
    let tree = match want.tree.filter(|_| want.len > 0) {
        Some(root) => tree(&**network, &want, root).await,
        None => None,
    };
    let block = tree.as_ref().map_or_else(|| slice_of(want.len), |tree| tree.slice);
    let blocks = want.len.div_ceil(block);
    if blocks > BLOCKS_MAX {
        return Err(FetchError::Len(want.len));
    }
    let by_tree = tree.is_some();
    let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name: String = name.chars().take(NAME_MAX / 4).collect();
    let file = SharedFile { name, len: want.len, sha1: want.sha1, tree: want.tree };
    let share = Arc::new(Share::partial(part.clone(), file, tree));
    let opened = share.clone();
    let opening = tokio::task::spawn_blocking(move || open(&opened, block, blocks));
    let opened = opening.await.map_err(|error| disk(io::Error::other(error)))?;
    let (file, kept) = opened.map_err(disk)?;
    // What is verified is given on while the rest still comes.
    let offered = Offered::new(network.exchange(), by_tree, &share);
    let swarm = Swarm::new(network, share, file, block, blocks as usize, &kept, told);
    let ended = swarm.run(&want).await;
    drop(offered);
    let fetched = Fetched { by_tree, kept_blocks: kept.len() as u64, ..ended? };
    let checked = part.clone();
    let sha1 = tokio::task::spawn_blocking(move || hash(&checked));
    let sha1 = sha1.await.map_err(|error| disk(io::Error::other(error)))?.map_err(disk)?;
    if sha1 != want.sha1 {
        // Nothing of it can be believed.
        let _ = std::fs::remove_file(&part);
        return Err(FetchError::Corrupt);
    }
    std::fs::rename(&part, to).map_err(disk)?;
    Ok(fetched)
}

fn part_of(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Opens the part, and finds the blocks that an earlier try left in it; without a tree that cannot
/// be known. Takes as long as hashing takes.
fn open(share: &Share, block: u64, blocks: u64) -> io::Result<(File, Vec<usize>)> {
    let len = share.file.len;
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&share.path)?;
    let mut kept = Vec::new();
    let Some(tree) = share.tree().filter(|_| file.metadata().is_ok_and(|was| was.len() == len))
    else {
        file.set_len(0)?;
        file.set_len(len)?;
        return Ok((file, kept));
    };
    let mut bytes = Vec::new();
    for index in 0..blocks {
        let start = index * block;
        // Blocks are bounded.
        bytes.resize(block.min(len - start) as usize, 0);
        file.read_exact_at(&mut bytes, start)?;
        let index = index as usize;
        if tree.verifies(index, &bytes) {
            share.add(start..start + bytes.len() as u64);
            kept.push(index);
        }
    }
    Ok((file, kept))
}

fn hash(path: &Path) -> io::Result<Sha1> {
    let (mut file, mut hasher, mut buffer) =
        (File::open(path)?, Hasher::new(), vec![0; 256 * 1024]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            file.sync_all()?;
            return Ok(Sha1(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// A part that others can have for as long as this lives.
struct Offered<'a>(&'a Exchange, Option<Sha1>);

impl<'a> Offered<'a> {
    fn new(exchange: &'a Exchange, by_tree: bool, share: &Arc<Share>) -> Self {
        let sha1 = share.file.sha1;
        let mut shares = lock(&exchange.shares);
        let is_offered = by_tree && shares.get(sha1).is_none();
        if is_offered {
            shares.insert(share.clone());
        }
        Self(exchange, is_offered.then_some(sha1))
    }
}

impl Drop for Offered<'_> {
    fn drop(&mut self) {
        if let Some(sha1) = self.1 {
            lock(&self.0.shares).remove_partial(sha1);
        }
    }
}

/// The tree of hashes, from the first source that gives one with this root.
async fn tree(network: &impl Network, want: &Want, root: TigerRoot) -> Option<TigerTree> {
    let target = format!("/uri-res/N2X?{}", Urn::Sha1(want.sha1).to_text());
    for from in want.sources.iter().take(TREE_SOURCES_MAX) {
        let Ok(mut source) = connect(network, from).await else { continue };
        let fetched = source.fetch(&target, "", thex::THEX_MAX).await;
        let Ok(Some(bytes)) = fetched else { continue };
        let tree = thex::read(&bytes, want.len, root, slice_of(want.len));
        if let Some(tree) = tree.filter(|tree| tree.slice <= BLOCK_MAX) {
            return Some(tree);
        }
    }
    None
}

/// A connection to a host: by dialling it, or by having it asked to dial us.
pub(super) async fn connect(network: &impl Network, from: &From) -> io::Result<Source> {
    let exchange = network.exchange();
    let (stream, read) = match &from.push {
        None => (exchange.dialer.tcp(from.addr).await?, Vec::new()),
        Some(pushed) => network.push(pushed).await?,
    };
    let addr = stream.peer_addr()?;
    Ok(Source::new(stream, read, addr, exchange.node()))
}
