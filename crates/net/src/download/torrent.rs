//! A torrent as one of those that bring a download: what is verified there comes over, and what others
//! have brought it does not fetch. Whoever adds the torrent to a session takes it away again.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::id::PieceIndex;
use bittorrent::metainfo::Info;
use codec::bitfield::Bitfield;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{Download, Hashes};
use crate::disk::is_good;
use crate::session::{Torrent, TorrentState};
use crate::store::{Store, StoreError};

/// How long nothing may come of it before it is given up for now.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes of the longest pieces by which blocks of others are verified: as much is held in memory for
/// each host that brings one.
const PIECE_MAX: u32 = 4 << 20;

/// Why a torrent does not bring a file.
#[derive(Debug, thiserror::Error)]
pub enum TorrentError {
    /// It is something else.
    #[error("the torrent has no file of {0} bytes")]
    NoFile(u64),
    /// It is not known which of its files is meant.
    #[error("the torrent has several files of {0} bytes")]
    Ambiguous(u64),
    /// It has a file of that length, whose bytes are others.
    #[error("the torrent is another file")]
    Other,
    /// It has left its session.
    #[error("the torrent is stopped")]
    Stopped,
    /// It cannot go on.
    #[error("the torrent: {0}")]
    Failed(String),
    /// For a long time nothing came.
    #[error("nobody has sent anything of the torrent for {} minutes", PATIENCE.as_secs() / 60)]
    Silent,
    /// Its files cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The download cannot be read or written.
    #[error("the file that is being fetched: {0}")]
    Disk(#[from] io::Error),
}

/// One file of a torrent that is in a session.
#[derive(Debug)]
pub struct TorrentFile {
    torrent: Torrent,
    store: Arc<Store>,
    /// Where it lies among the torrent's bytes.
    place: Range<u64>,
}

impl TorrentFile {
    /// The file of `len` bytes of a torrent that was added to wait for a selection
    /// ([`AddTorrent::hold`](crate::session::AddTorrent::hold)). Waits until it is known.
    ///
    /// # Errors
    /// When it has none, or several, cannot go on, or nobody says for a long time what it is.
    pub async fn open(torrent: &Torrent, len: u64) -> Result<Self, TorrentError> {
        let mut news = torrent.follow().ok_or(TorrentError::Stopped)?;
        let until = Instant::now() + PATIENCE;
        loop {
            let stats = torrent.stats().ok_or(TorrentError::Stopped)?;
            match (stats.state, stats.info) {
                (TorrentState::Failed, _) => {
                    return Err(TorrentError::Failed(stats.progress.error.unwrap_or_default()));
                }
                (TorrentState::Selecting, Some(info)) => {
                    torrent.select(vec![file_of(&info, len)?]);
                }
                (TorrentState::Downloading | TorrentState::Seeding, Some(info)) => {
                    let file = info.files.get(file_of(&info, len)?).map(|file| file.offset);
                    let start = file.ok_or(TorrentError::NoFile(len))?;
                    let store = torrent.store().ok_or(TorrentError::Stopped)?;
                    return Ok(Self { torrent: torrent.clone(), store, place: start..start + len });
                }
                _ => {}
            }
            let heard = timeout_at(until, news.changed()).await;
            heard.map_err(|_| TorrentError::Silent)?.map_err(|_| TorrentError::Stopped)?;
        }
    }

    /// Its pieces, if they can verify the blocks of a download. Waits until a peer has told their hashes
    /// if they are not in the info dictionary (BEP 52).
    pub async fn hashes(&self) -> Option<Hashes> {
        let info = self.store.info();
        if !self.is_alone() || info.piece_len > PIECE_MAX {
            return None;
        }
        let mut news = self.torrent.follow()?;
        let is_known = |piece| self.store.expected(PieceIndex(piece)).is_ok();
        while !(0..info.piece_count()).all(is_known) {
            news.changed().await.ok()?;
        }
        Some(Hashes::Pieces(self.store.clone()))
    }

    /// Whether the torrent is this file and nothing else.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.store.info().files.len() == 1
    }

    /// Brings blocks until all have come, from whomever. Returns how many bytes it has brought. If it
    /// `judges`, what others bring is verified by its pieces, unless that is verified anyway, and what is
    /// wrong is brought again from here.
    ///
    /// # Errors
    /// When the torrent has stopped, or nothing has come of it for a long time.
    pub async fn bring(&self, download: &Download, judges: bool) -> Result<u64, TorrentError> {
        let mut news = self.torrent.follow().ok_or(TorrentError::Stopped)?;
        let mut work = Work {
            file: self,
            download,
            judges: judges && !download.by_hashes(),
            seen: Bitfield::new(self.store.info().piece_count()),
            left: Bitfield::new(self.store.info().piece_count()),
            wrong: BTreeSet::new(),
            given: HashSet::new(),
            arrived: 0,
            brought: 0,
        };
        let _counted = download.take_part();
        let (mut since, mut received) = (Instant::now(), 0);
        loop {
            let changed = download.changed();
            news.borrow_and_update();
            let moved = work.hand_over().await? | work.leave().await?;
            if download.is_complete() && work.wrong.is_empty() {
                return Ok(work.brought);
            }
            if moved {
                since = Instant::now();
            }
            tokio::select! {
                heard = news.changed() => heard.map_err(|_| TorrentError::Stopped)?,
                () = changed => {}
                () = sleep_until(since + PATIENCE) => {
                    // A piece may take longer than that.
                    let stats = self.torrent.stats().ok_or(TorrentError::Stopped)?;
                    if stats.progress.downloaded == received {
                        return Err(TorrentError::Silent);
                    }
                    (since, received) = (Instant::now(), stats.progress.downloaded);
                }
            }
        }
    }

    /// The pieces that hold bytes of the file in this range.
    fn pieces(&self, range: &Range<u64>) -> Range<u32> {
        let len = u64::from(self.store.info().piece_len);
        let piece = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
        let (start, end) = (self.place.start + range.start, self.place.start + range.end);
        piece(start / len)..piece(end.div_ceil(len))
    }

    /// Where a piece lies among the torrent's bytes.
    fn place_of(&self, piece: u32) -> Range<u64> {
        let info = self.store.info();
        let start = u64::from(piece) * u64::from(info.piece_len);
        start..start + u64::from(info.piece_size(PieceIndex(piece)))
    }

    /// The bytes of the file that a piece is, if it is nothing else.
    fn range(&self, piece: u32) -> Option<Range<u64>> {
        let Range { start, end } = self.place_of(piece);
        let is_inside = self.place.start <= start && end <= self.place.end;
        is_inside.then(|| start - self.place.start..end - self.place.start)
    }
}

/// The index of the file of `len` bytes.
fn file_of(info: &Info, len: u64) -> Result<usize, TorrentError> {
    let files = info.files.iter().enumerate();
    let mut fit = files.filter(|(_, file)| file.len == len && !file.padding);
    match (fit.next(), fit.next()) {
        (Some((file, _)), None) => Ok(file),
        (Some(_), Some(_)) => Err(TorrentError::Ambiguous(len)),
        (None, _) => Err(TorrentError::NoFile(len)),
    }
}

/// What is done for one download.
struct Work<'a> {
    file: &'a TorrentFile,
    download: &'a Download,
    /// What others bring is verified by its pieces.
    judges: bool,
    /// Pieces that were verified when this was last looked at.
    seen: Bitfield,
    /// Pieces that others have brought.
    left: Bitfield,
    /// Pieces that others have brought, and that are wrong.
    wrong: BTreeSet<u32>,
    /// Blocks of the download that came from here.
    given: HashSet<usize>,
    /// How many blocks of the download have been looked at.
    arrived: usize,
    brought: u64,
}

impl Work<'_> {
    /// Gives the download the blocks whose pieces are verified; whether any piece was new.
    async fn hand_over(&mut self) -> Result<bool, TorrentError> {
        // While files are checked it is not known.
        let Some(have) = self.file.torrent.have() else { return Ok(false) };
        let new: Vec<u32> = have.difference(&self.seen).collect();
        for &piece in &new {
            if self.wrong.remove(&piece) {
                self.mend(piece).await?;
            }
            for block in self.blocks(piece) {
                let (start, end) = self.download.range(block);
                let mut pieces = self.file.pieces(&(start..end));
                if self.download.has(block) || !pieces.all(|piece| have.get(piece)) {
                    continue;
                }
                let bytes = self.read(start..end).await?;
                if !self.download.supply(block, bytes).await? {
                    return Err(TorrentError::Other);
                }
                self.given.insert(block);
                self.brought += end - start;
            }
        }
        self.seen = have;
        Ok(!new.is_empty())
    }

    /// Lets the torrent leave what others have brought; whether any block was new.
    async fn leave(&mut self) -> Result<bool, TorrentError> {
        let arrived = self.download.arrived(self.arrived);
        self.arrived += arrived.len();
        let others = arrived.iter().filter(|block| !self.given.contains(block));
        let ranges = others.map(|block| self.download.range(*block));
        let pieces: BTreeSet<u32> =
            ranges.flat_map(|(start, end)| self.file.pieces(&(start..end))).collect();
        let before = self.left.count_ones();
        for piece in pieces {
            // What it shares with other files is the torrent's to fetch.
            let Some(range) = self.file.range(piece) else { continue };
            if !self.blocks(piece).all(|block| self.download.has(block)) {
                continue;
            }
            if !self.judges || self.is_right(piece, range).await? {
                self.left.set(piece);
            } else if self.seen.get(piece) {
                self.mend(piece).await?;
            } else {
                self.wrong.insert(piece);
            }
        }
        if self.left.count_ones() > before {
            self.file.torrent.leave(self.left.clone());
        }
        Ok(!arrived.is_empty())
    }

    /// Whether what others have brought of a piece is right.
    async fn is_right(&self, piece: u32, range: Range<u64>) -> Result<bool, TorrentError> {
        let bytes = self.download.read(range).await?;
        let store = self.file.store.clone();
        let judge = move || is_good(&store, PieceIndex(piece), &bytes);
        Ok(tokio::task::spawn_blocking(judge).await.map_err(io::Error::other)?)
    }

    /// Writes the torrent's bytes of a piece over those of others.
    async fn mend(&self, piece: u32) -> Result<(), TorrentError> {
        let Some(range) = self.file.range(piece) else { return Ok(()) };
        tracing::warn!(piece, "what others have brought is not what the torrent says");
        let bytes = self.read(range.clone()).await?;
        Ok(self.download.mend(range.start, bytes).await?)
    }

    /// Bytes of the file, whose pieces are verified.
    async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, TorrentError> {
        let (store, start) = (self.file.store.clone(), self.file.place.start);
        let read = move || read(&store, start + range.start..start + range.end);
        Ok(tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??)
    }

    /// The blocks that hold bytes of a piece.
    fn blocks(&self, piece: u32) -> Range<usize> {
        let Range { start, end } = self.file.place_of(piece);
        let Range { start: first, end: last } = self.file.place;
        let (start, end) = (start.clamp(first, last) - first, end.clamp(first, last) - first);
        if start == end {
            return 0..0;
        }
        self.download.block_at(start)..self.download.block_at(end - 1) + 1
    }
}

/// Reads bytes of a torrent, whose pieces are verified. It may wait for the disk.
fn read(store: &Store, place: Range<u64>) -> Result<Vec<u8>, StoreError> {
    let piece_len = u64::from(store.info().piece_len);
    // As long as a block.
    let mut bytes = vec![0; (place.end - place.start) as usize];
    let (mut at, mut rest) = (place.start, &mut bytes[..]);
    while !rest.is_empty() {
        let begin = at % piece_len;
        let (now, later) = rest.split_at_mut(rest.len().min((piece_len - begin) as usize));
        let piece = u32::try_from(at / piece_len).unwrap_or(u32::MAX);
        store.read(PieceIndex(piece), begin as u32, now)?;
        at += now.len() as u64;
        rest = later;
    }
    Ok(bytes)
}
