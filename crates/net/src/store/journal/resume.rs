//! Reading a journal back, and holding it against the files as they are now.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use bittorrent::id::{InfoHashes, PieceIndex};
use codec::bitfield::Bitfield;

use super::format::{Contents, Damage, PARTS, Progress, Stamp, Totals};
use super::{Journal, Log, Pending, number_of, replace, torrent_of};
use crate::store::{Op, Store, StoreError};
use hash::{Digest, Sha1, Sha256};

/// Most bytes of a journal that is read: two million pieces and their layers, with room to spare.
const MAX_LEN: u64 = 256 * 1024 * 1024;
/// How long after the last record files of a session that crashed may have been written to by it.
const GRACE_NANOS: i64 = 10_000_000_000;

/// What is known of the pieces when a torrent begins.
#[derive(Clone, Debug)]
pub struct Resume {
    /// Pieces that are on disk and need no check.
    pub have: Bitfield,
    /// Pieces of which something is on disk that nobody vouches for.
    pub recheck: Vec<PieceIndex>,
    /// What was exchanged before.
    pub totals: Totals,
    /// Piece layers that were recorded, by file index; to be checked against their roots.
    pub layers: Vec<(usize, Vec<[u8; 32]>)>,
    /// Where this comes from.
    pub origin: Origin,
}

/// Where a [`Resume`] comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There was no journal.
    New,
    /// From a journal.
    Journal,
    /// There was a journal, but not to be believed.
    Damaged {
        /// What is wrong with it.
        damage: Damage,
        /// Where it is kept.
        kept: PathBuf,
    },
}

/// What is left of what was recorded of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileState {
    /// It is as recorded.
    Same,
    /// It is there, and different or not recorded.
    Changed,
    /// It is not there.
    Missing,
}

pub(super) fn open(path: &Path, store: &Store) -> Result<(Journal, Resume), StoreError> {
    let torrent = torrent_of(store.info());
    let found = match read(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let journal = journal(path, store, false, None, &Bitfield::new(torrent.piece_count));
            return Ok((journal, unknown(store, Origin::New)));
        }
        Err(source) => return Err(StoreError::new(Op::Read, path, source)),
    };
    let contents = found
        .ok_or(Damage::TooLong)
        .and_then(|(file, bytes)| Ok((file, Contents::parse(&bytes)?)))
        .and_then(|(file, contents)| {
            if contents.torrent == torrent {
                Ok((file, contents))
            } else {
                Err(Damage::OtherTorrent)
            }
        });
    let (file, contents) = match contents {
        Ok(good) => good,
        Err(damage) => {
            let kept = replace::beside(path, ".bad");
            std::fs::rename(path, &kept)
                .map_err(|source| StoreError::new(Op::Rename, path, source))?;
            let journal = journal(path, store, false, None, &Bitfield::new(torrent.piece_count));
            return Ok((journal, unknown(store, Origin::Damaged { damage, kept })));
        }
    };
    let resume = compare(store, &contents);
    let dropped = resume.have.count_ones() < contents.have.count_ones();
    // A record that a crash tore off is cut away, for the next one is written in its place.
    let appendable = !dropped && file.set_len(contents.len as u64).is_ok();
    let journal = journal(path, store, appendable, Some(contents), &resume.have);
    Ok((journal, resume))
}

pub(super) fn info_bytes(path: &Path, hashes: &InfoHashes) -> Option<Vec<u8>> {
    let (_, bytes) = read(path).ok()??;
    let info = Contents::parse(&bytes).ok()?.info?;
    let v1_good = hashes.v1.is_none_or(|hash| hash.0 == *Sha1::digest(&info));
    let v2_good = hashes.v2.is_none_or(|hash| hash.0 == *Sha256::digest(&info));
    let named = hashes.v1.is_some() || hashes.v2.is_some();
    (named && v1_good && v2_good).then_some(info)
}

/// The file and its bytes; `None` if there are too many.
fn read(path: &Path) -> io::Result<Option<(std::fs::File, Vec<u8>)>> {
    let file = replace::open(path)?;
    let mut bytes = Vec::new();
    (&file).take(MAX_LEN + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_LEN).then_some((file, bytes)))
}

fn journal(
    path: &Path,
    store: &Store,
    appendable: bool,
    contents: Option<Contents>,
    have: &Bitfield,
) -> Journal {
    let torrent = torrent_of(store.info());
    let mut log = Log {
        torrent,
        appendable,
        sum: Default::default(),
        len: 0,
        folded_len: 0,
        have: have.clone(),
        stamps: BTreeMap::new(),
        totals: Totals::default(),
        closed: false,
        info: None,
        layers: BTreeMap::new(),
        unwritten: Progress::default(),
    };
    if let Some(contents) = contents {
        log.sum = contents.sum;
        log.len = contents.len;
        log.folded_len = contents.len;
        log.stamps = contents.stamps.into_iter().collect();
        log.totals = contents.totals;
        log.closed = contents.closed;
        log.info = contents.info.map(Into::into);
        log.layers = contents.layers.into_iter().collect();
    }
    let pending = Pending { totals: log.totals, ..Pending::default() };
    Journal {
        path: path.to_owned(),
        piece_len: torrent.piece_len,
        pending: Mutex::new(pending),
        log: Mutex::new(log),
    }
}

/// Nothing is recorded: all that is on disk has to be checked.
fn unknown(store: &Store, origin: Origin) -> Resume {
    let nothing = Bitfield::new(store.info().piece_count());
    let (have, recheck) = judge(store, &nothing, |_| None);
    Resume { have, recheck, totals: Totals::default(), layers: Vec::new(), origin }
}

fn compare(store: &Store, contents: &Contents) -> Resume {
    let recorded: BTreeMap<u32, Stamp> = contents.stamps.iter().copied().collect();
    let latest = if contents.closed { i64::MIN } else { contents.at.saturating_add(GRACE_NANOS) };
    let (have, recheck) = judge(store, &contents.have, |key| {
        let recorded = *recorded.get(&number_of(key))?;
        Some(Recorded { stamp: recorded, latest, may_grow: number_of(key) == PARTS })
    });
    let layers = contents.layers.iter().map(|(file, layer)| (*file as usize, layer.clone()));
    Resume {
        have,
        recheck,
        totals: contents.totals,
        layers: layers.collect(),
        origin: Origin::Journal,
    }
}

struct Recorded {
    stamp: Stamp,
    /// The latest time of change that our own writes explain.
    latest: i64,
    /// Whether our own writes make it longer.
    may_grow: bool,
}

impl Recorded {
    fn explains(&self, now: Stamp) -> bool {
        let explained = (self.stamp.modified..=self.latest).contains(&now.modified);
        let grown = self.may_grow && now.len > self.stamp.len;
        now == self.stamp || explained && (now.len == self.stamp.len || grown)
    }
}

/// Divides the pieces into those that are on disk as recorded, those to check, and the rest.
fn judge(
    store: &Store,
    recorded: &Bitfield,
    stamp: impl Fn(usize) -> Option<Recorded>,
) -> (Bitfield, Vec<PieceIndex>) {
    let mut states: BTreeMap<usize, FileState> = BTreeMap::new();
    let mut state_of = |key: usize| {
        *states.entry(key).or_insert_with(|| match (store.stamp(key), stamp(key)) {
            (None, _) => FileState::Missing,
            (Some(now), Some(then)) if then.explains(now) => FileState::Same,
            (Some(_), _) => FileState::Changed,
        })
    };
    let mut have = Bitfield::new(recorded.len());
    let mut recheck = Vec::new();
    for piece in (0..recorded.len()).map(PieceIndex) {
        let mut worst = FileState::Same;
        for key in store.files_of_piece(piece) {
            match state_of(key) {
                FileState::Same => {}
                FileState::Missing => worst = FileState::Missing,
                FileState::Changed if worst == FileState::Same => worst = FileState::Changed,
                FileState::Changed => {}
            }
        }
        match worst {
            FileState::Same if recorded.get(piece.0) => {
                have.set(piece.0);
            }
            FileState::Changed => recheck.push(piece),
            _ => {}
        }
    }
    (have, recheck)
}
