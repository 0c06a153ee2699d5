//! One file that comes in blocks from many hosts at once, whatever networks they are in: who fetches
//! which block, what is believed, and what an earlier try left. How a block travels is a network's to
//! know: `http_swarm` and `napster::client` bring them, and `torrent` out of a session of BitTorrent.

mod claims;
mod hashes;
mod torrent;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use hash::{Digest, Sha1 as Hasher};
use search::gnutella::Sha1;
use search::gnutella::servent::{NAME_MAX, SharedFile};
use tokio::sync::{Notify, watch};

pub use crate::http_swarm::{FetchError, Progress, Tree, Want};
use crate::http_swarm::{Share, lock, slice_of};
use claims::Claims;

pub use hashes::Hashes;
pub use torrent::{TorrentError, TorrentFile};

/// Blocks of one file.
const BLOCKS_MAX: u64 = 1 << 20;

/// A file in the making; a clone is the same. What has come stays in a file beside it, for the next
/// try, until [`Download::finish`].
#[derive(Clone, Debug)]
pub struct Download(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    to: PathBuf,
    part: PathBuf,
    file: File,
    /// One byte for each block: 1 if it has come.
    map: File,
    map_path: PathBuf,
    len: u64,
    block: u64,
    sha1: Option<Sha1>,
    /// By what each block is believed.
    hashes: Option<Hashes>,
    /// What others can have of it, if it has a name.
    share: Option<Arc<Share>>,
    claims: Mutex<Claims>,
    /// Whose turn it is to write: what is verified is never overwritten by what is not.
    writing: Mutex<()>,
    kept: usize,
    changed: Notify,
    told: watch::Sender<Progress>,
}

/// A block that one host brings; missing again when this is dropped, unless it was kept.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    download: &'a Download,
    /// Which.
    pub(crate) block: usize,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // Does nothing if it has come.
        lock(&self.download.0.claims).give_back(self.block);
        self.download.0.changed.notify_waiters();
    }
}

/// A host that takes part, for as long as this lives.
#[derive(Debug)]
pub(crate) struct TakesPart<'a>(&'a Download);

impl Drop for TakesPart<'_> {
    fn drop(&mut self) {
        self.0.0.told.send_modify(|progress| progress.sources -= 1);
    }
}

impl Download {
    /// Begins to fetch what is wanted to the file `to`, or goes on where an earlier try has ended.
    /// With hashes each block is believed by itself, else only the whole by its SHA-1.
    ///
    /// # Errors
    /// If it is too large, or cannot be written.
    pub async fn open(
        want: &Want,
        hashes: Option<Hashes>,
        to: &Path,
        told: watch::Sender<Progress>,
    ) -> Result<Self, FetchError> {
        Self::begin(Some(want.sha1), want, hashes, to, told).await
    }

    /// The same, of `len` bytes of which nothing is known.
    pub(crate) async fn open_unknown(
        len: u64,
        to: &Path,
        told: watch::Sender<Progress>,
    ) -> Result<Self, FetchError> {
        let want = Want { sha1: Sha1([0; 20]), len, tree: None, sources: Vec::new() };
        Self::begin(None, &want, None, to, told).await
    }

    async fn begin(
        sha1: Option<Sha1>,
        want: &Want,
        hashes: Option<Hashes>,
        to: &Path,
        told: watch::Sender<Progress>,
    ) -> Result<Self, FetchError> {
        let (part, len) = (beside(to, ".part"), want.len);
        let block = hashes.as_ref().map_or_else(|| slice_of(len), Hashes::block);
        let blocks = len.div_ceil(block);
        if blocks > BLOCKS_MAX {
            return Err(FetchError::Len(len));
        }
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        let name: String = name.chars().take(NAME_MAX / 4).collect();
        let shared = sha1.map(|sha1| SharedFile { name, len, sha1, tree: want.tree });
        let tree = hashes.as_ref().and_then(Hashes::tree);
        let share = shared.map(|file| Arc::new(Share::partial(part.clone(), file, tree.cloned())));
        let map_path = beside(to, ".part-map");
        let disk = |path: &Path| {
            let path = path.to_owned();
            move |source| FetchError::Disk { path, source }
        };
        let file = open(&part).map_err(disk(&part))?;
        let map = open(&map_path).map_err(disk(&map_path))?;
        let mut inner = Inner {
            to: to.to_owned(),
            part: part.clone(),
            file,
            map,
            map_path,
            len,
            block,
            sha1,
            hashes,
            share,
            claims: Mutex::new(Claims::new(0, &[])),
            writing: Mutex::new(()),
            kept: 0,
            changed: Notify::new(),
            told,
        };
        let looked = tokio::task::spawn_blocking(move || {
            let kept = inner.take_up(blocks as usize)?;
            inner.claims = Mutex::new(Claims::new(blocks as usize, &kept));
            inner.kept = kept.len();
            let have = kept.iter().map(|block| inner.range(*block)).map(|(start, end)| end - start);
            let have = have.sum();
            inner.told.send_replace(Progress { have, sources: 0 });
            Ok::<_, io::Error>(inner)
        });
        let looked = looked.await.map_err(io::Error::other).and_then(|looked| looked);
        Ok(Self(Arc::new(looked.map_err(disk(&part))?)))
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        *self.0.told.borrow()
    }

    /// Whether every block has come.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        lock(&self.0.claims).left() == 0
    }

    /// Waits until every block has come.
    pub async fn completed(&self) {
        loop {
            let changed = self.changed();
            if self.is_complete() {
                return;
            }
            changed.await;
        }
    }

    /// How many blocks are missing, and how many there are.
    pub(crate) fn missing(&self) -> (usize, usize) {
        let blocks = self.0.len.div_ceil(self.0.block) as usize;
        (lock(&self.0.claims).left(), blocks)
    }

    /// Whether there is a block that nobody has or brings.
    pub(crate) fn has_free(&self) -> bool {
        lock(&self.0.claims).has_free()
    }

    /// Where its bytes are written.
    pub(crate) fn path(&self) -> PathBuf {
        self.0.part.clone()
    }

    /// Its length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.0.len
    }

    /// Whether each block is verified by itself.
    pub(crate) fn by_hashes(&self) -> bool {
        self.0.hashes.is_some()
    }

    /// Whether a block has come.
    pub(crate) fn has(&self, block: usize) -> bool {
        lock(&self.0.claims).has(block)
    }

    /// The blocks that have come after the first `known`, in the order in which they came.
    pub(crate) fn arrived(&self, known: usize) -> Vec<usize> {
        lock(&self.0.claims).arrived().get(known..).unwrap_or_default().to_vec()
    }

    /// Which block a byte is in.
    pub(crate) fn block_at(&self, offset: u64) -> usize {
        // There are not as many as that.
        usize::try_from(offset / self.0.block).unwrap_or(usize::MAX)
    }

    /// What has come of these bytes, and zeros.
    pub(crate) async fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let inner = self.0.clone();
        let read = tokio::task::spawn_blocking(move || {
            // As long as a piece or block.
            let mut bytes = vec![0; (range.end - range.start) as usize];
            inner.file.read_exact_at(&mut bytes, range.start)?;
            Ok(bytes)
        });
        read.await.map_err(io::Error::other)?
    }

    /// How many blocks an earlier try left.
    pub(crate) fn kept(&self) -> usize {
        self.0.kept
    }

    /// What others can have of it.
    pub(crate) fn share(&self) -> Option<&Arc<Share>> {
        self.0.share.as_ref()
    }

    /// Where a block begins and ends.
    pub(crate) fn range(&self, block: usize) -> (u64, u64) {
        self.0.range(block)
    }

    /// Waits until a block has come, or one that was claimed does not come. What happens from this
    /// call on counts, also before it is awaited.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.changed.notified()
    }

    /// The first missing block that `is` good.
    pub(crate) fn claim(&self, is: impl Fn(usize) -> bool) -> Option<Claim<'_>> {
        let block = lock(&self.0.claims).first(is)?;
        Some(Claim { download: self, block })
    }

    /// A block behind which the most is missing, for somebody who goes on from there.
    pub(crate) fn claim_far(&self) -> Option<Claim<'_>> {
        let block = lock(&self.0.claims).far()?;
        Some(Claim { download: self, block })
    }

    /// This block, if it is missing.
    pub(crate) fn claim_at(&self, block: usize) -> Option<Claim<'_>> {
        let is_free = lock(&self.0.claims).take(block);
        // Made only then: a claim that is dropped gives its block back.
        is_free.then(|| Claim { download: self, block })
    }

    /// Counts a host that brings blocks.
    pub(crate) fn take_part(&self) -> TakesPart<'_> {
        self.0.told.send_modify(|progress| progress.sources += 1);
        TakesPart(self)
    }

    /// Keeps all bytes of a block; whether they are what they should be, as far as can be said.
    pub(crate) async fn keep(&self, claim: Claim<'_>, bytes: Vec<u8>) -> io::Result<bool> {
        self.take(claim.block, bytes, false).await
    }

    /// Keeps all bytes of a block that a torrent vouches for, whoever has claimed it; whether the
    /// download's own hashes say the same, if it has any.
    pub(crate) async fn supply(&self, block: usize, bytes: Vec<u8>) -> io::Result<bool> {
        self.take(block, bytes, true).await
    }

    /// Writes bytes that are right over those that are there.
    pub(crate) async fn mend(&self, offset: u64, bytes: Vec<u8>) -> io::Result<()> {
        let inner = self.0.clone();
        let mended = tokio::task::spawn_blocking(move || {
            let _writing = lock(&inner.writing);
            inner.file.write_all_at(&bytes, offset)
        });
        mended.await.map_err(io::Error::other)?
    }

    async fn take(&self, block: usize, bytes: Vec<u8>, is_vouched: bool) -> io::Result<bool> {
        let inner = self.0.clone();
        let taken = tokio::task::spawn_blocking(move || inner.take(block, &bytes, is_vouched));
        let is_right = taken.await.map_err(io::Error::other)??;
        self.0.changed.notify_waiters();
        Ok(is_right)
    }

    /// Once every block has come: verifies the whole, and gives it its name.
    ///
    /// # Errors
    /// If blocks are missing, it is not what its hash says, or it cannot be written.
    pub async fn finish(self) -> Result<(), FetchError> {
        let (missing, blocks) = self.missing();
        if missing > 0 {
            return Err(FetchError::NoSource { missing, blocks });
        }
        let inner = self.0.clone();
        let finished = tokio::task::spawn_blocking(move || inner.finish());
        let failed = |source| FetchError::Disk { path: self.0.part.clone(), source };
        let is_right = finished.await.map_err(io::Error::other).and_then(|right| right);
        if is_right.map_err(failed)? { Ok(()) } else { Err(FetchError::Corrupt) }
    }
}

impl Inner {
    fn range(&self, block: usize) -> (u64, u64) {
        let start = block as u64 * self.block;
        (start, self.len.min(start.saturating_add(self.block)))
    }

    /// Finds the blocks that an earlier try left: all that hash right, or those it has noted.
    fn take_up(&self, blocks: usize) -> io::Result<Vec<usize>> {
        let is_same = self.file.metadata()?.len() == self.len;
        let mut noted = Vec::new();
        (&self.map).take(BLOCKS_MAX + 1).read_to_end(&mut noted)?;
        if !is_same || noted.len() != blocks {
            noted = vec![0; blocks];
            self.map.set_len(0)?;
            self.map.write_all_at(&noted, 0)?;
        }
        if !is_same {
            self.file.set_len(0)?;
            self.file.set_len(self.len)?;
            return Ok(Vec::new());
        }
        let (mut kept, mut bytes) = (Vec::new(), Vec::new());
        for (block, noted) in noted.iter().enumerate() {
            let (start, end) = self.range(block);
            let is_there = match &self.hashes {
                Some(hashes) => {
                    // Blocks are bounded.
                    bytes.resize((end - start) as usize, 0);
                    self.file.read_exact_at(&mut bytes, start)?;
                    hashes.verify(block, &bytes)
                }
                None => *noted == 1,
            };
            if is_there {
                if let Some(share) = &self.share {
                    share.add(start..end);
                }
                kept.push(block);
            }
        }
        Ok(kept)
    }

    /// Writes a block, unless it is wrong, or is there and nobody knows better.
    fn take(&self, block: usize, bytes: &[u8], is_vouched: bool) -> io::Result<bool> {
        if self.hashes.as_ref().is_some_and(|hashes| !hashes.verify(block, bytes)) {
            return Ok(false);
        }
        let _writing = lock(&self.writing);
        if !is_vouched && lock(&self.claims).has(block) {
            return Ok(true);
        }
        let (start, end) = self.range(block);
        self.file.write_all_at(bytes, start)?;
        self.map.write_all_at(&[1], block as u64)?;
        if let Some(share) = &self.share {
            share.add(start..end);
        }
        if lock(&self.claims).done(block) {
            self.told.send_modify(|progress| progress.have += end - start);
        }
        Ok(true)
    }

    /// Whether the whole is right.
    fn finish(&self) -> io::Result<bool> {
        let is_right = match self.sha1 {
            Some(sha1) => hash(&self.part)? == sha1,
            None => true,
        };
        if is_right {
            self.file.sync_all()?;
            std::fs::rename(&self.part, &self.to)?;
        } else {
            // Nothing of it can be believed.
            std::fs::remove_file(&self.part)?;
        }
        if let Err(error) = std::fs::remove_file(&self.map_path) {
            tracing::warn!(path = %self.map_path.display(), %error, "left behind");
        }
        Ok(is_right)
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

fn beside(to: &Path, end: &str) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn hash(path: &Path) -> io::Result<Sha1> {
    let (mut file, mut hasher, mut buffer) =
        (File::open(path)?, Hasher::new(), vec![0; 256 * 1024]);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Sha1(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
    }
}
