//! The bytes of a journal: a log of records, each with a checksum that covers the one before it.
//!
//! ```text
//! file    = magic[8] version:u32 record*
//! record  = len:u32 !len:u32 kind:u8 body[len] sum[8]
//! sum     = first 8 bytes of SHA-256(sum of the record before, kind, len, body)
//! ```
//! Integers are little-endian. A record that the end of the file cuts was being written when the
//! program or the machine stopped: what is before it holds. Any other flaw condemns the whole file.

use bittorrent::id::{InfoHash, InfoHashV2, InfoHashes, PieceIndex};
use codec::bitfield::Bitfield;

use hash::{Digest, Sha256};

const MAGIC: [u8; 8] = *b"SHOALJNL";
const VERSION: u32 = 1;
const START_LEN: usize = MAGIC.len() + 4;
const SUM_LEN: usize = 8;
const HEAD_LEN: usize = 4 + 4 + 1;

const KIND_TORRENT: u8 = 1;
const KIND_INFO: u8 = 2;
const KIND_LAYER: u8 = 3;
const KIND_HAVE: u8 = 4;
const KIND_PROGRESS: u8 = 5;

/// The number that stands for the side file of files that are not selected.
pub(super) const PARTS: u32 = u32::MAX;

/// Length and time of change of a file when all that was recorded of it was on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
}

/// Payload bytes exchanged, over all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Received.
    pub downloaded: u64,
    /// Sent.
    pub uploaded: u64,
}

/// What is appended with each flush.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// When, in nanoseconds since 1970.
    pub at: i64,
    /// Whether nothing was written to the files after this.
    pub closed: bool,
    pub totals: Totals,
    pub stamps: Vec<(u32, Stamp)>,
    pub pieces: Vec<PieceIndex>,
}

/// Which torrent a journal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torrent {
    pub hashes: InfoHashes,
    pub piece_len: u32,
    pub piece_count: u32,
    pub file_count: u32,
}

/// Why a journal is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It does not begin like a journal.
    #[error("not a journal")]
    Magic,
    /// A later program wrote it.
    #[error("version {0} is not known")]
    Version(u32),
    /// It ends before it says anything of use.
    #[error("cut short")]
    Short,
    /// A checksum does not match.
    #[error("checksum of the record at byte {0}")]
    Checksum(usize),
    /// A record's body makes no sense.
    #[error("record at byte {0}")]
    Record(usize),
    /// It is about another torrent.
    #[error("of another torrent")]
    OtherTorrent,
    /// It is longer than any journal.
    #[error("too long")]
    TooLong,
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    pub(super) torrent: Torrent,
    pub(super) info: Option<Vec<u8>>,
    pub(super) layers: Vec<(u32, Vec<[u8; 32]>)>,
    pub(super) have: Bitfield,
    /// The last one for each file comes last.
    pub(super) stamps: Vec<(u32, Stamp)>,
    pub(super) totals: Totals,
    pub(super) at: i64,
    pub(super) closed: bool,
    /// Bytes of the file that hold.
    pub(super) len: usize,
    /// The checksum that the next record begins with.
    pub(super) sum: Sum,
}

pub(super) type Sum = [u8; SUM_LEN];

/// Writes records one after the other.
#[derive(Debug)]
pub(super) struct Writer {
    pub bytes: Vec<u8>,
    pub sum: Sum,
}

impl Writer {
    /// The beginning of a file.
    pub fn new() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        Self { sum: sum_of(&[&bytes]), bytes }
    }

    /// Records to be appended after the one with this checksum.
    pub fn after(sum: Sum) -> Self {
        Self { bytes: Vec::new(), sum }
    }

    pub fn torrent(&mut self, torrent: &Torrent) {
        self.record(KIND_TORRENT, |body| {
            body.push(u8::from(torrent.hashes.v1.is_some()));
            body.extend(torrent.hashes.v1.map_or([0; 20], |hash| hash.0));
            body.push(u8::from(torrent.hashes.v2.is_some()));
            body.extend(torrent.hashes.v2.map_or([0; 32], |hash| hash.0));
            body.extend(torrent.piece_len.to_le_bytes());
            body.extend(torrent.piece_count.to_le_bytes());
            body.extend(torrent.file_count.to_le_bytes());
        });
    }

    pub fn info(&mut self, bytes: &[u8]) {
        self.record(KIND_INFO, |body| body.extend(bytes));
    }

    pub fn layer(&mut self, file: u32, hashes: &[[u8; 32]]) {
        self.record(KIND_LAYER, |body| {
            body.extend(file.to_le_bytes());
            body.extend(hashes.as_flattened());
        });
    }

    pub fn have(&mut self, have: &Bitfield) {
        self.record(KIND_HAVE, |body| body.extend(have.to_wire()));
    }

    pub fn progress(&mut self, progress: &Progress) {
        self.record(KIND_PROGRESS, |body| {
            body.extend(progress.at.to_le_bytes());
            body.push(u8::from(progress.closed));
            body.extend(progress.totals.downloaded.to_le_bytes());
            body.extend(progress.totals.uploaded.to_le_bytes());
            body.extend((progress.stamps.len() as u32).to_le_bytes());
            for (file, stamp) in &progress.stamps {
                body.extend(file.to_le_bytes());
                body.extend(stamp.len.to_le_bytes());
                body.extend(stamp.modified.to_le_bytes());
            }
            for piece in &progress.pieces {
                body.extend(piece.0.to_le_bytes());
            }
        });
    }

    fn record(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.resize(start + HEAD_LEN, 0);
        fill(&mut self.bytes);
        // Bodies are bounded far below 4 GiB by the limits on torrents.
        let len = (self.bytes.len() - start - HEAD_LEN) as u32;
        let head = &mut self.bytes[start..start + HEAD_LEN];
        head[..4].copy_from_slice(&len.to_le_bytes());
        head[4..8].copy_from_slice(&(!len).to_le_bytes());
        head[8] = kind;
        self.sum = sum_of(&[&self.sum, &self.bytes[start..]]);
        self.bytes.extend(self.sum);
    }
}

fn sum_of(parts: &[&[u8]]) -> Sum {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut sum = [0; SUM_LEN];
    sum.copy_from_slice(&hash.finalize()[..SUM_LEN]);
    sum
}

impl Contents {
    /// Reads a journal.
    ///
    /// # Errors
    /// If it is not to be believed.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let start = bytes.get(..START_LEN).ok_or(Damage::Short)?;
        let (magic, mut version) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(Damage::Magic);
        }
        match take_u32(&mut version) {
            Some(VERSION) => {}
            Some(version) => return Err(Damage::Version(version)),
            None => return Err(Damage::Short),
        }
        let mut sum = sum_of(&[start]);
        let mut position = START_LEN;
        let mut reader = Reader::default();
        loop {
            match next_record(&bytes[position..], sum) {
                Record::Whole { kind, body, len, sum: next } => {
                    reader.read(kind, body).ok_or(Damage::Record(position))?;
                    position += len;
                    sum = next;
                }
                Record::Torn => break,
                Record::Damaged => return Err(Damage::Checksum(position)),
            }
        }
        reader.finish(position, sum).ok_or(Damage::Short)
    }
}

/// A journal whose records are taken from `bytes`, each a kind, a length in two bytes and a body:
/// how a fuzzer gets past the checksums.
#[doc(hidden)]
#[must_use]
pub fn with_checksums(mut bytes: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    while let Some([kind, low, high]) = take(&mut bytes) {
        let len = usize::from(u16::from_le_bytes([low, high])).min(bytes.len());
        let (body, rest) = bytes.split_at(len);
        writer.record(kind, |out| out.extend(body));
        bytes = rest;
    }
    writer.bytes
}

enum Record<'a> {
    Whole {
        kind: u8,
        body: &'a [u8],
        len: usize,
        sum: Sum,
    },
    /// The file ends here, or was about to be continued.
    Torn,
    Damaged,
}

fn next_record(bytes: &[u8], sum: Sum) -> Record<'_> {
    // After a crash of the machine the end of a file may be zeros that never became data.
    if bytes.iter().all(|&byte| byte == 0) {
        return Record::Torn;
    }
    let mut rest = bytes;
    let (Some(len), Some(check)) = (take_u32(&mut rest), take_u32(&mut rest)) else {
        return Record::Torn;
    };
    if len != !check {
        return Record::Damaged;
    }
    let end = HEAD_LEN.checked_add(len as usize).map(|end| (end, end + SUM_LEN));
    let Some((end, total)) = end.filter(|&(_, total)| total <= bytes.len()) else {
        return Record::Torn;
    };
    let found = &bytes[end..total];
    let sum = sum_of(&[&sum, &bytes[..end]]);
    if sum != found {
        return Record::Damaged;
    }
    Record::Whole { kind: bytes[HEAD_LEN - 1], body: &bytes[HEAD_LEN..end], len: total, sum }
}

#[derive(Default)]
struct Reader {
    torrent: Option<Torrent>,
    info: Option<Vec<u8>>,
    layers: Vec<(u32, Vec<[u8; 32]>)>,
    have: Option<Bitfield>,
    progress: Option<Progress>,
}

impl Reader {
    fn read(&mut self, kind: u8, mut body: &[u8]) -> Option<()> {
        match (kind, &self.torrent) {
            (KIND_TORRENT, None) => self.torrent = Some(take_torrent(&mut body)?),
            (_, None) | (KIND_TORRENT, _) => return None,
            (KIND_INFO, _) => self.info = Some(std::mem::take(&mut body).to_vec()),
            (KIND_LAYER, _) => {
                let file = take_u32(&mut body)?;
                let (hashes, rest) = body.as_chunks::<32>();
                self.layers.push((file, hashes.to_vec()));
                body = rest;
            }
            (KIND_HAVE, Some(torrent)) => {
                let bytes = std::mem::take(&mut body);
                self.have = Some(Bitfield::from_wire(bytes, torrent.piece_count).ok()?);
            }
            (KIND_PROGRESS, Some(_)) => {
                let have = self.have.as_mut()?;
                let mut progress = take_progress(&mut body)?;
                for piece in progress.pieces.drain(..) {
                    if piece.0 >= have.len() {
                        return None;
                    }
                    have.set(piece.0);
                }
                if let Some(before) = self.progress.take() {
                    let newer = std::mem::replace(&mut progress.stamps, before.stamps);
                    progress.stamps.extend(newer);
                }
                self.progress = Some(progress);
            }
            _ => return None,
        }
        body.is_empty().then_some(())
    }

    fn finish(self, len: usize, sum: Sum) -> Option<Contents> {
        let progress = self.progress?;
        Some(Contents {
            torrent: self.torrent?,
            info: self.info,
            layers: self.layers,
            have: self.have?,
            stamps: progress.stamps,
            totals: progress.totals,
            at: progress.at,
            closed: progress.closed,
            len,
            sum,
        })
    }
}

fn take_torrent(body: &mut &[u8]) -> Option<Torrent> {
    let [has_v1] = take(body)?;
    let v1 = InfoHash(take(body)?);
    let [has_v2] = take(body)?;
    let v2 = InfoHashV2(take(body)?);
    Some(Torrent {
        hashes: InfoHashes { v1: (has_v1 != 0).then_some(v1), v2: (has_v2 != 0).then_some(v2) },
        piece_len: take_u32(body)?,
        piece_count: take_u32(body)?,
        file_count: take_u32(body)?,
    })
}

fn take_progress(body: &mut &[u8]) -> Option<Progress> {
    let at = i64::from_le_bytes(take(body)?);
    let [closed] = take(body)?;
    let downloaded = u64::from_le_bytes(take(body)?);
    let uploaded = u64::from_le_bytes(take(body)?);
    let count = take_u32(body)?;
    let mut stamps = Vec::new();
    for _ in 0..count {
        let file = take_u32(body)?;
        let len = u64::from_le_bytes(take(body)?);
        let modified = i64::from_le_bytes(take(body)?);
        stamps.push((file, Stamp { len, modified }));
    }
    let (pieces, rest) = body.as_chunks::<4>();
    let pieces = pieces.iter().map(|&piece| PieceIndex(u32::from_le_bytes(piece))).collect();
    *body = rest;
    let totals = Totals { downloaded, uploaded };
    Some(Progress { at, closed: closed != 0, totals, stamps, pieces })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (&taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(taken)
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn example() -> (Vec<u8>, usize) {
        let mut writer = Writer::new();
        writer.torrent(&Torrent {
            hashes: InfoHashes { v1: Some(InfoHash([1; 20])), v2: Some(InfoHashV2([2; 32])) },
            piece_len: 16_384,
            piece_count: 20,
            file_count: 2,
        });
        writer.info(b"d4:name1:xe");
        writer.layer(0, &[[3; 32], [4; 32]]);
        writer.have(&Bitfield::new(20));
        let stamp = |modified| Stamp { len: 9, modified };
        let mut progress = Progress { at: 5, stamps: vec![(0, stamp(1))], ..Default::default() };
        writer.progress(&progress);
        let checkpoint = writer.bytes.len();
        progress.pieces = vec![PieceIndex(3), PieceIndex(19)];
        progress.stamps = vec![(0, stamp(2)), (PARTS, stamp(3))];
        progress.totals = Totals { downloaded: 7, uploaded: 8 };
        writer.progress(&progress);
        (writer.bytes, checkpoint)
    }

    #[test]
    fn what_is_written_is_read() {
        let (bytes, _) = example();
        let contents = Contents::parse(&bytes).expect("it is whole");
        assert_eq!(contents.torrent.piece_count, 20);
        assert_eq!(contents.info.as_deref(), Some(&b"d4:name1:xe"[..]));
        assert_eq!(contents.layers, [(0, vec![[3; 32], [4; 32]])]);
        assert_eq!(contents.have.ones().collect::<Vec<u32>>(), [3, 19]);
        assert_eq!(contents.totals, Totals { downloaded: 7, uploaded: 8 });
        assert_eq!(contents.stamps.len(), 3);
        assert_eq!((contents.at, contents.closed, contents.len), (5, false, bytes.len()));
    }

    #[test]
    fn di_04_every_flipped_bit_is_noticed() {
        let (bytes, _) = example();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Contents::parse(&bytes).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn di_04_a_journal_cut_short_says_what_it_said_before_or_nothing() {
        let (bytes, checkpoint) = example();
        for len in 0..bytes.len() {
            match Contents::parse(&bytes[..len]) {
                Ok(contents) => {
                    assert!(len >= checkpoint);
                    assert_eq!((contents.have.count_ones(), contents.len), (0, checkpoint));
                }
                Err(damage) => assert!(len < checkpoint, "{damage} at {len}"),
            }
            let mut zeros = bytes[..checkpoint].to_vec();
            zeros.resize(checkpoint + len, 0);
            assert_eq!(Contents::parse(&zeros).map(|contents| contents.len), Ok(checkpoint));
        }
    }

    #[test]
    fn di_04_of_the_future() {
        let (mut bytes, _) = example();
        bytes[8] = 2;
        assert_eq!(Contents::parse(&bytes), Err(Damage::Version(2)));
    }

    #[test]
    fn di_04_records_in_another_order_are_noticed() {
        let (bytes, checkpoint) = example();
        let mut twice = bytes.clone();
        twice.extend(&bytes[checkpoint..]);
        assert_eq!(Contents::parse(&twice), Err(Damage::Checksum(bytes.len())));
    }
}
