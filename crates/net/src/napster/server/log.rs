//! The log of an index in memory: what was done to it, in the order it was done, so that it can be
//! done again.
//!
//! ```text
//! file   = "SHOALNAP" record*
//! record = len:u32 sum:u32 kind:u8 nick:text body[]        (text = len:u8 bytes)
//! ```
//! `sum` is the front of the SHA-1 of what follows it. A record that is cut or damaged at the end was
//! being written when the machine stopped, and is cut off; one in the middle condemns the file. Files
//! are written as clients share them. After many changes the log is written anew, beside the old one.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};

use hash::{Digest, Sha1};
use search::napster::index::{Index, MemoryIndex, Owner};
use search::napster::{BODY_MAX, ClientMessage, Frame, LinkSpeed, Nick, SharedFile, Text};

const MAGIC: &[u8; 8] = b"SHOALNAP";
const FILE: &str = "index.log";
const RECORD_MAX: usize = BODY_MAX + 512;
/// The log is written anew when it has so many records for each that is needed.
const RECORDS_PER_LIVE: u64 = 4;
/// But not before it has so many.
const RECORDS_MIN: u64 = 100_000;

const ENTER: u8 = 1;
const LEAVE: u8 = 2;
const SHARE: u8 = 3;
const UNSHARE: u8 = 4;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is damaged before its end.
    #[error("{path} is damaged at byte {at}: remove it to begin with an empty index")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where.
        at: u64,
    },
}

/// A log that is open.
pub(super) struct Log {
    path: PathBuf,
    out: BufWriter<File>,
    records: u64,
    dirty: bool,
}

fn sum(record: &[u8]) -> [u8; 4] {
    let digest: [u8; 20] = Sha1::digest(record).into();
    [digest[0], digest[1], digest[2], digest[3]]
}

fn record(kind: u8, nick: &Nick, body: &[u8]) -> Vec<u8> {
    let name = nick.as_str().as_bytes();
    let mut record = vec![kind, name.len() as u8];
    record.extend_from_slice(name);
    record.extend_from_slice(body);
    record
}

fn write_record(out: &mut impl Write, record: &[u8]) -> io::Result<()> {
    out.write_all(&(record.len() as u32).to_le_bytes())?;
    out.write_all(&sum(record))?;
    out.write_all(record)
}

fn owner_record(owner: &Owner) -> Vec<u8> {
    let mut body = owner.address.ip().octets().to_vec();
    body.extend_from_slice(&owner.address.port().to_le_bytes());
    body.push(owner.link.number());
    record(ENTER, &owner.nick, &body)
}

fn share_record(nick: &Nick, file: &SharedFile) -> Option<Vec<u8>> {
    let share = ClientMessage::Share(vec![file.clone()]);
    let frame = share.frames().pop()?;
    let mut body = frame.kind.to_le_bytes().to_vec();
    body.extend_from_slice(&frame.body);
    Some(record(SHARE, nick, &body))
}

impl Log {
    /// Opens the log in `folder`, making it if there is none, and does to `index` what it says.
    pub(super) fn open(folder: &Path, index: &mut MemoryIndex) -> Result<Self, LogError> {
        let path = folder.join(FILE);
        let failed = |error| LogError::Io { path: path.clone(), error };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = file.map_err(failed)?;
        let (records, end) = replay(&path, &file, index)?;
        file.set_len(end).map_err(failed)?;
        file.seek(io::SeekFrom::End(0)).map_err(failed)?;
        if end == 0 {
            file.write_all(MAGIC).map_err(failed)?;
        }
        Ok(Self { path, out: BufWriter::with_capacity(1 << 18, file), records, dirty: true })
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        self.records += 1;
        self.dirty = true;
        write_record(&mut self.out, record)
    }

    pub(super) fn enter(&mut self, owner: &Owner) -> io::Result<()> {
        self.append(&owner_record(owner))
    }

    pub(super) fn leave(&mut self, nick: &Nick) -> io::Result<()> {
        self.append(&record(LEAVE, nick, &[]))
    }

    pub(super) fn share(&mut self, nick: &Nick, file: &SharedFile) -> io::Result<()> {
        match share_record(nick, file) {
            Some(record) => self.append(&record),
            None => Ok(()),
        }
    }

    pub(super) fn unshare(&mut self, nick: &Nick, name: &Text) -> io::Result<()> {
        self.append(&record(UNSHARE, nick, name.as_bytes()))
    }

    /// Hands what was written to the system: it survives the end of this program.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Waits until it is on disk: it survives the end of the machine.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.dirty) {
            self.out.flush()?;
            self.out.get_ref().sync_data()?;
        }
        Ok(())
    }

    /// Writes it anew if most of it is about what is no longer so.
    pub(super) fn tidy(&mut self, index: &mut MemoryIndex) -> io::Result<()> {
        let live = index.totals().files + u64::from(index.totals().users);
        if self.records < RECORDS_MIN.max(live * RECORDS_PER_LIVE) {
            return Ok(());
        }
        let beside = self.path.with_extension("new");
        let mut out = BufWriter::with_capacity(1 << 18, File::create(&beside)?);
        out.write_all(MAGIC)?;
        let owners: Vec<_> = index.owners().cloned().collect();
        for owner in owners {
            write_record(&mut out, &owner_record(&owner))?;
            let Ok(files) = index.browse(&owner.nick, usize::MAX);
            for record in files.iter().filter_map(|file| share_record(&owner.nick, file)) {
                write_record(&mut out, &record)?;
            }
        }
        out.flush()?;
        out.get_ref().sync_all()?;
        std::fs::rename(&beside, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        (self.out, self.records) = (out, live);
        Ok(())
    }
}

/// Does what the log says; returns how many records there are, and where they end.
fn replay(path: &Path, file: &File, index: &mut MemoryIndex) -> Result<(u64, u64), LogError> {
    let failed = |error| LogError::Io { path: path.to_owned(), error };
    let len = file.metadata().map_err(failed)?.len();
    let mut input = BufReader::with_capacity(1 << 18, file);
    let damaged = |at| LogError::Damaged { path: path.to_owned(), at };
    if len < MAGIC.len() as u64 {
        return Ok((0, 0));
    }
    let mut magic = [0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(failed)?;
    if &magic != MAGIC {
        return Err(damaged(0));
    }
    let (mut at, mut records) = (MAGIC.len() as u64, 0);
    let mut bytes = Vec::new();
    while at + 8 <= len {
        let mut head = [0; 8];
        input.read_exact(&mut head).map_err(failed)?;
        let [a, b, c, d, expected @ ..] = head;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let end = at + 8 + size as u64;
        if size > RECORD_MAX || end > len {
            return if end >= len { Ok((records, at)) } else { Err(damaged(at)) };
        }
        bytes.resize(size, 0);
        input.read_exact(&mut bytes).map_err(failed)?;
        if sum(&bytes) != expected {
            return if end == len { Ok((records, at)) } else { Err(damaged(at)) };
        }
        apply(&bytes, index).ok_or_else(|| damaged(at))?;
        (at, records) = (end, records + 1);
    }
    Ok((records, at))
}

fn apply(record: &[u8], index: &mut MemoryIndex) -> Option<()> {
    let (&[kind, nick_len], rest) = record.split_first_chunk()?;
    let (nick, body) = rest.split_at_checked(nick_len.into())?;
    let nick = Nick::new(nick)?;
    match kind {
        ENTER => {
            let (ip, rest) = body.split_first_chunk::<4>()?;
            let &[low, high, link] = rest else { return None };
            let address = SocketAddrV4::new((*ip).into(), u16::from_le_bytes([low, high]));
            let owner = Owner { nick, address, link: LinkSpeed::new(link)? };
            let Ok(()) = index.enter(&owner);
        }
        LEAVE => {
            let Ok(()) = index.leave(&nick);
        }
        SHARE => {
            let (kind, body) = body.split_first_chunk()?;
            let frame = Frame { kind: u16::from_le_bytes(*kind), body: body.to_vec() };
            let Ok(ClientMessage::Share(files)) = ClientMessage::parse(&frame) else { return None };
            let Ok(_) = index.share(&nick, &files);
        }
        UNSHARE => {
            let Ok(_) = index.unshare(&nick, &body.into());
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use search::napster::{FileHash, MediaType};

    use super::*;

    fn owner(name: &str) -> Owner {
        let address = "10.1.2.3:6699".parse().expect("an address");
        let nick = Nick::new(name.as_bytes()).expect("a name");
        Owner { nick, address, link: LinkSpeed::T3 }
    }

    fn file(name: &str) -> SharedFile {
        let name = Text::from(name);
        let media = if name.len() % 2 == 0 { MediaType::Video } else { MediaType::Mp3 };
        SharedFile::new(name, FileHash::Sha1([3; 20]), 1 << 40, media)
    }

    fn everything(index: &mut MemoryIndex) -> Vec<(Owner, Vec<SharedFile>)> {
        let owners: Vec<_> = index.owners().cloned().collect();
        let listed = owners.into_iter().map(|owner| {
            let Ok(mut files) = index.browse(&owner.nick, usize::MAX);
            files.sort_by(|a, b| a.name.cmp(&b.name));
            (owner, files)
        });
        let mut all: Vec<_> = listed.collect();
        all.sort_by(|a, b| a.0.nick.cmp(&b.0.nick));
        all
    }

    #[test]
    fn what_was_done_is_done_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut index = MemoryIndex::new(1);
        let mut log = Log::open(folder.path(), &mut index).expect("opens");
        for name in ["alice", "bob", "carol"] {
            log.enter(&owner(name)).expect("written");
            let Ok(()) = index.enter(&owner(name));
            for number in 0..50 {
                let file = file(&format!("C:\\Müsic\\{name} {number}.mp3"));
                log.share(&owner(name).nick, &file).expect("written");
                let Ok(_) = index.share(&owner(name).nick, &[file]);
            }
        }
        let gone = Text::from("C:\\Müsic\\bob 7.mp3");
        log.unshare(&owner("bob").nick, &gone).expect("written");
        let Ok(_) = index.unshare(&owner("bob").nick, &gone);
        log.leave(&owner("carol").nick).expect("written");
        let Ok(()) = index.leave(&owner("carol").nick);
        log.sync().expect("on disk");
        let expected = everything(&mut index);
        assert_eq!(expected[1].1.len(), 49);

        let mut again = MemoryIndex::new(2);
        let mut log = Log::open(folder.path(), &mut again).expect("opens");
        assert_eq!(everything(&mut again), expected);
        log.records = RECORDS_MIN * 10;
        log.tidy(&mut again).expect("written anew");
        log.enter(&owner("dave")).expect("written");
        log.flush().expect("written");
        let mut third = MemoryIndex::new(3);
        Log::open(folder.path(), &mut third).expect("opens");
        assert_eq!(third.totals().users, 3);
        assert_eq!(everything(&mut third)[..2], expected);
    }

    #[test]
    fn a_log_that_was_cut_ends_before_the_cut() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = Log::open(folder.path(), &mut MemoryIndex::new(1)).expect("opens");
        for number in 0..10 {
            log.enter(&owner(&format!("user{number}"))).expect("written");
        }
        log.sync().expect("on disk");
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).expect("there");
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("written");
            let mut index = MemoryIndex::new(1);
            Log::open(folder.path(), &mut index).expect("opens");
            assert_eq!(index.totals().users as usize, cut.saturating_sub(8) / (whole.len() / 10));
        }
        let mut flipped = whole.clone();
        flipped[40] ^= 1;
        std::fs::write(&path, &flipped).expect("written");
        let opened = Log::open(folder.path(), &mut MemoryIndex::new(1));
        assert!(matches!(opened, Err(LogError::Damaged { .. })));
    }
}
