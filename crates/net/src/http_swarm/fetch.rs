//! Taking a file: its tree of hashes, and lending a hand in its download, in which others may take
//! part. Its blocks come by `swarm`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use search::gnutella::{Sha1, TigerRoot, Urn};
use tokio::sync::watch;

use super::shares::{Share, lock};
use super::source::Source;
use super::swarm::Swarm;
use super::tiger_tree::{TigerTree, slice_of};
use super::want::{FetchError, Fetched, From, Progress, Want};
use super::{Exchange, Network, thex};
use crate::download::{Download, Hashes};

/// Sources that are asked for the tree.
const TREE_SOURCES_MAX: usize = 8;
/// Largest block; a tree whose lowest level stands for more is of no use.
const BLOCK_MAX: u64 = 16 << 20;

/// Fetches a file to `to`; it is there under that name only when it is whole and verified.
pub(crate) async fn run<N: Network>(
    network: &Arc<N>,
    want: Want,
    to: &Path,
    told: watch::Sender<Progress>,
) -> Result<Fetched, FetchError> {
    let tree = tree(&**network, &want).await;
    let download = Download::open(&want, tree.map(Hashes::Tiger), to, told).await?;
    let fetched = bring(network, &want, &download).await?;
    download.finish().await?;
    Ok(fetched)
}

/// Brings blocks of a download from the sources in `want` and those that the network knows, until
/// every block is there, or none of them has more.
pub(crate) async fn bring<N: Network>(
    network: &Arc<N>,
    want: &Want,
    download: &Download,
) -> Result<Fetched, FetchError> {
    // What is verified is given on while the rest still comes.
    let _offered = download
        .share()
        .filter(|_| download.by_hashes())
        .map(|share| Offered::new(network.exchange(), share));
    let fetched = Swarm::new(network, download, want.sha1).run(want).await?;
    Ok(Fetched { by_hashes: download.by_hashes(), kept_blocks: download.kept() as u64, ..fetched })
}

/// A part that others can have for as long as this lives.
struct Offered<'a>(&'a Exchange, Option<Sha1>);

impl<'a> Offered<'a> {
    fn new(exchange: &'a Exchange, share: &Arc<Share>) -> Self {
        let sha1 = share.file.sha1;
        let mut shares = lock(&exchange.shares);
        let is_offered = shares.get(sha1).is_none();
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

/// The tree of hashes of what is wanted, if its root is known, from the first source that gives it.
pub(crate) async fn tree(network: &impl Network, want: &Want) -> Option<TigerTree> {
    let root: TigerRoot = want.tree.filter(|_| want.len > 0)?;
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
        Some(pushed) => network.push(from.addr, pushed).await?,
    };
    let addr = stream.peer_addr()?;
    Ok(Source::new(stream, read, addr, exchange.node()))
}
