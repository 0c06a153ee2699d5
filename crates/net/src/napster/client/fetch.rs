//! Fetching one file from several peers: each begins elsewhere and reads on until it meets what
//! another has. The nearest ones, by how long their greeting takes, are asked first.

mod pieces;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hash::{Digest, Sha1};
use search::napster::client::{Command, Event};
use search::napster::{ClientMessage, FileHash, Hit, Nick, Text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::pieces::{PIECE, Pieces};
use super::peer::{BLOCK, IDLE_TIME, TALK_TIME, dial, get};
use super::{ClientError, Shared};

/// Peers that send parts of one file at once.
const PEERS_MAX: usize = 6;
/// Peers that are tried for one file.
const SOURCES_MAX: usize = 64;
/// Peers that are tried at once, to see which are near.
const PINGED_MAX: usize = 16;
/// How long to wait for others once one has greeted.
const PING_MORE: Duration = Duration::from_millis(300);
/// How long a peer that has to send by itself may take to come.
const PUSH_TIME: Duration = Duration::from_secs(30);
/// How often peers are tried anew when some of the file is missing.
const ROUNDS: usize = 3;

/// Somebody who has a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Who.
    pub nick: Nick,
    /// How he calls it.
    pub name: Text,
}

/// A file that is to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What it is.
    pub hash: FileHash,
    /// Bytes.
    pub size: u64,
    /// Who has it; the server is asked for more.
    pub sources: Vec<Source>,
}

impl Wanted {
    /// What a search found, from all hits of the same content.
    #[must_use]
    pub fn of(hit: &Hit, hits: &[Hit]) -> Self {
        let is_same =
            |other: &&Hit| other.file.hash == hit.file.hash && other.file.size == hit.file.size;
        let source = |hit: &Hit| Source { nick: hit.nick.clone(), name: hit.file.name.clone() };
        let sources = hits.iter().filter(is_same).map(source).collect();
        Self { hash: hit.file.hash, size: hit.file.size, sources }
    }
}

/// What was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Whether the hash of all of it was known, and is right.
    pub verified: bool,
    /// Who has sent some of it.
    pub peers: Vec<Nick>,
}

/// Why a file is not fetched. What has come is kept for the next try, unless it is wrong.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Nobody sends it, or not all of it.
    #[error("{have} of {size} bytes came, and nobody sends more")]
    Incomplete {
        /// Bytes that came.
        have: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// It is not what its hash says.
    #[error("what came is not what was promised")]
    Corrupt,
    /// It cannot be written.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// What the tasks of one fetch share.
struct Job {
    shared: Arc<Shared>,
    size: u64,
    file: Arc<File>,
    pieces: Pieces,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
}

pub(super) async fn fetch(
    shared: Arc<Shared>,
    wanted: Wanted,
    path: &Path,
    progress: Arc<dyn Fn(u64) + Send + Sync>,
) -> Result<Fetched, FetchError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let failed = |error| FetchError::Io(part.clone(), error);
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).open(&part);
    let file = opened.map_err(failed)?;
    let is_new = file.metadata().map_err(failed)?.len() != wanted.size;
    file.set_len(wanted.size).map_err(failed)?;
    let pieces = Pieces::open(&part, wanted.size, is_new).map_err(failed)?;
    let job = Job { shared, size: wanted.size, file: Arc::new(file), pieces, progress };
    let job = Arc::new(job);
    (job.progress)(job.pieces.have());
    let sources = job.sources(&wanted).await;
    job.shared.tell(ClientMessage::Downloading(true)).await;
    let mut peers: Vec<Nick> = Vec::new();
    for _ in 0..ROUNDS {
        if job.pieces.is_complete() {
            break;
        }
        let before = job.pieces.have();
        for nick in Arc::clone(&job).round(&sources).await {
            if !peers.contains(&nick) {
                peers.push(nick);
            }
        }
        if job.pieces.have() == before {
            break;
        }
    }
    job.shared.tell(ClientMessage::Downloading(false)).await;
    if !job.pieces.is_complete() {
        return Err(FetchError::Incomplete { have: job.pieces.have(), size: wanted.size });
    }
    let verified = match wanted.hash {
        FileHash::Sha1(expected) => {
            let hashed = tokio::task::spawn_blocking({
                let part = part.clone();
                move || hash(&part)
            });
            if hashed.await.map_err(io::Error::other).and_then(|hash| hash).map_err(failed)?
                != expected
            {
                job.pieces.forget();
                return Err(FetchError::Corrupt);
            }
            true
        }
        FileHash::Md5(_) => false,
    };
    job.file.sync_all().map_err(failed)?;
    std::fs::rename(&part, path).map_err(failed)?;
    job.pieces.forget();
    Ok(Fetched { verified, peers })
}

fn hash(path: &Path) -> io::Result<[u8; 20]> {
    let mut file = File::open(path)?;
    let mut hasher = Sha1::new();
    let mut block = vec![0; BLOCK];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hasher.finalize().into()),
            read => hasher.update(&block[..read]),
        }
    }
}

impl Job {
    /// Who has it: those who are known, and those whom the server knows.
    async fn sources(&self, wanted: &Wanted) -> Vec<Source> {
        let mut sources = wanted.sources.clone();
        if let Ok(twins) = self.shared.twins(wanted.hash, wanted.size).await {
            let found = twins.into_iter().map(|twin| Source { nick: twin.nick, name: twin.name });
            for source in found {
                if !sources.contains(&source) {
                    sources.push(source);
                }
            }
        }
        let me = &self.shared.config.nick;
        sources.retain(|source| source.nick != *me);
        sources.truncate(SOURCES_MAX);
        sources
    }

    /// Tries all sources; returns who has sent something.
    async fn round(self: Arc<Self>, sources: &[Source]) -> Vec<Nick> {
        let mut waiting: Vec<Source> = sources.to_vec();
        waiting.reverse();
        let mut pings = JoinSet::new();
        let mut near: Vec<(Duration, Source, TcpStream, Link)> = Vec::new();
        for source in waiting.split_off(waiting.len().saturating_sub(PINGED_MAX)) {
            pings.spawn(Arc::clone(&self).connect(source));
        }
        // The first greeting, and those that come soon after it.
        while let Some(connected) = pings.join_next().await {
            if let Ok(Ok(link)) = connected {
                near.push(link);
                break;
            }
        }
        let more = async {
            while let Some(connected) = pings.join_next().await {
                if let Ok(Ok(link)) = connected {
                    near.push(link);
                }
            }
        };
        // Who is later is not waited for, but takes part when he comes.
        let _ = timeout(PING_MORE, more).await;
        near.sort_by_key(|(time, ..)| *time);
        let mut workers = JoinSet::new();
        let mut spare = near.split_off(near.len().min(PEERS_MAX));
        for (_, source, stream, link) in near {
            workers.spawn(Arc::clone(&self).work(source, Some((stream, link))));
        }
        let mut senders = Vec::new();
        while !self.pieces.is_complete() {
            tokio::select! {
                Some(worked) = workers.join_next() => {
                    if let Ok(Some(nick)) = worked {
                        senders.push(nick);
                    }
                    let next = if spare.is_empty() {
                        waiting.pop().map(|source| (source, None))
                    } else {
                        let (_, source, stream, link) = spare.remove(0);
                        Some((source, Some((stream, link))))
                    };
                    if let Some((source, link)) = next.filter(|_| self.pieces.has_free()) {
                        workers.spawn(Arc::clone(&self).work(source, link));
                    }
                }
                Some(connected) = pings.join_next() => {
                    if let Ok(Ok((_, source, stream, link))) = connected
                        && workers.len() < PEERS_MAX
                    {
                        workers.spawn(Arc::clone(&self).work(source, Some((stream, link))));
                    }
                }
                else => break,
            }
        }
        while let Some(worked) = workers.join_next().await {
            senders.extend(worked.ok().flatten());
        }
        senders
    }

    /// Asks for a file, and connects to its owner or lets him come.
    async fn connect(
        self: Arc<Self>,
        source: Source,
    ) -> Result<(Duration, Source, TcpStream, Link), FetchError> {
        let Source { nick, name } = source.clone();
        let asked = self.shared.ask(Command::Download(nick.clone(), name.clone(), false));
        let Ok(Event::Offer(offer)) =
            timeout(TALK_TIME, asked).await.unwrap_or(Err(ClientError::Silent))
        else {
            return Err(ClientError::Silent.into());
        };
        let began = Instant::now();
        if offer.address.port() != 0 && self.shared.may_dial(offer.address) {
            match dial(SocketAddr::V4(offer.address)).await {
                Ok(stream) => return Ok((began.elapsed(), source, stream, Link::Ask)),
                Err(error) => {
                    tracing::debug!(%nick, %error, "a peer's port cannot be reached");
                    self.shared.tell(ClientMessage::PortError(nick.clone())).await;
                }
            }
        }
        let key = (nick.clone(), name.clone());
        let (comes, come) = oneshot::channel();
        self.shared.pushes().insert(key.clone(), comes);
        let pushed = Command::Download(nick, name, true);
        let came = match self.shared.ask(pushed).await {
            Ok(Event::Asked) => timeout(PUSH_TIME, come).await.ok().and_then(Result::ok),
            _ => None,
        };
        self.shared.pushes().remove(&key);
        match came {
            // Whoever comes by himself is farther than all who were reached.
            Some((stream, size)) if size == self.size => {
                Ok((PUSH_TIME, source, stream, Link::Sends))
            }
            _ => Err(ClientError::Absent.into()),
        }
    }

    /// Fetches parts from one source as long as there are any; says who, if any came.
    async fn work(
        self: Arc<Self>,
        source: Source,
        mut link: Option<(TcpStream, Link)>,
    ) -> Option<Nick> {
        let mut has_sent = false;
        while let Some(first) = self.pieces.claim_any() {
            let connected = match link.take() {
                Some(connected) => Ok(connected),
                None => Arc::clone(&self)
                    .connect(source.clone())
                    .await
                    .map(|(_, _, stream, link)| (stream, link)),
            };
            let Ok((stream, how)) = connected else {
                self.pieces.release(first);
                break;
            };
            let before = self.pieces.have();
            let read = self.read(&source, stream, how, first).await;
            has_sent |= self.pieces.have() > before;
            if let Err(error) = read {
                tracing::debug!(from = %source.nick, %error, "a peer sends no more");
                break;
            }
        }
        has_sent.then_some(source.nick)
    }

    /// Reads pieces one after another, beginning with one that is claimed.
    async fn read(
        &self,
        source: &Source,
        mut stream: TcpStream,
        how: Link,
        first: usize,
    ) -> io::Result<()> {
        let mut piece = first;
        let read = self.read_pieces(source, &mut stream, how, &mut piece).await;
        if read.is_err() {
            self.pieces.release(piece);
        }
        read
    }

    async fn read_pieces(
        &self,
        source: &Source,
        stream: &mut TcpStream,
        how: Link,
        piece: &mut usize,
    ) -> io::Result<()> {
        let offset = *piece as u64 * PIECE;
        let me = &self.shared.config.nick;
        let mut bytes = match how {
            Link::Ask => get(stream, me, &source.name, offset, self.size).await?,
            Link::Sends => {
                stream.write_all(offset.to_string().as_bytes()).await?;
                Vec::with_capacity(BLOCK)
            }
        };
        loop {
            let start = *piece as u64 * PIECE;
            let end = (start + PIECE).min(self.size);
            let mut at = start;
            while at < end {
                if bytes.is_empty() {
                    bytes.reserve(BLOCK);
                    if timeout(IDLE_TIME, stream.read_buf(&mut bytes)).await?? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                let len =
                    usize::try_from(end - at).map_or(bytes.len(), |room| room.min(bytes.len()));
                let rest = bytes.split_off(len);
                let block = std::mem::replace(&mut bytes, rest);
                let file = Arc::clone(&self.file);
                let written = tokio::task::spawn_blocking(move || file.write_all_at(&block, at));
                written.await.map_err(io::Error::other)??;
                at += len as u64;
            }
            self.pieces.done(*piece)?;
            (self.progress)(self.pieces.have());
            if !self.pieces.claim(*piece + 1) {
                return Ok(());
            }
            *piece += 1;
        }
    }
}

/// What is to be said on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// We dialled: we ask for the file.
    Ask,
    /// He dialled: we say from where on.
    Sends,
}
