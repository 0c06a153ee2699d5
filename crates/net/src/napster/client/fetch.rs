//! Taking part in a download from several peers: each begins elsewhere and reads on until it meets
//! what another has. The nearest ones, by how long their greeting takes, are asked first.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use search::gnutella;
use search::napster::client::{Command, Event};
use search::napster::{ClientMessage, FileHash, Hit, Nick, Text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::peer::{BLOCK, IDLE_TIME, TALK_TIME, dial, get};
use super::{ClientError, Shared};
use crate::download::{self, Claim, Download, Progress, Want};

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

    /// By what the whole can be verified.
    fn sha1(&self) -> Option<gnutella::Sha1> {
        match self.hash {
            FileHash::Sha1(sha1) => Some(gnutella::Sha1(sha1)),
            FileHash::Md5(_) => None,
        }
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
    /// It is not what its hash says, or cannot be written.
    #[error(transparent)]
    Download(#[from] download::FetchError),
}

/// What the tasks of one fetch share.
struct Job {
    shared: Arc<Shared>,
    download: Download,
}

/// Fetches a file to `path`; it is there under that name only when it is whole.
pub(super) async fn fetch(
    shared: Arc<Shared>,
    wanted: Wanted,
    path: &Path,
    told: watch::Sender<Progress>,
) -> Result<Fetched, FetchError> {
    let (sha1, len) = (wanted.sha1(), wanted.size);
    let download = match sha1 {
        Some(sha1) => {
            let want = Want { sha1, len, tree: None, sources: Vec::new() };
            Download::open(&want, None, path, told).await?
        }
        None => Download::open_unknown(len, path, told).await?,
    };
    let peers = bring(shared, &wanted, &download).await?;
    download.finish().await?;
    Ok(Fetched { verified: sha1.is_some(), peers })
}

/// Brings blocks of a download from those who have it, until every block is there or nobody sends
/// more; says who has sent some.
pub(super) async fn bring(
    shared: Arc<Shared>,
    wanted: &Wanted,
    download: &Download,
) -> Result<Vec<Nick>, FetchError> {
    let job = Arc::new(Job { shared, download: download.clone() });
    let sources = job.sources(wanted).await;
    job.shared.tell(ClientMessage::Downloading(true)).await;
    let mut peers: Vec<Nick> = Vec::new();
    while !download.is_complete() {
        let changed = download.changed();
        if !download.has_free() {
            // Others bring what is missing; they may give up.
            changed.await;
            continue;
        }
        let sent = Arc::clone(&job).round(&sources).await;
        if sent.is_empty() && download.has_free() {
            break;
        }
        for nick in sent {
            if !peers.contains(&nick) {
                peers.push(nick);
            }
        }
    }
    job.shared.tell(ClientMessage::Downloading(false)).await;
    if !download.is_complete() {
        return Err(FetchError::Incomplete { have: download.progress().have, size: wanted.size });
    }
    Ok(peers)
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
        while !self.download.is_complete() {
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
                    if let Some((source, link)) = next.filter(|_| self.download.has_free()) {
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
            Some((stream, size)) if size == self.download.len() => {
                Ok((PUSH_TIME, source, stream, Link::Sends))
            }
            _ => Err(ClientError::Absent.into()),
        }
    }

    /// Fetches blocks from one source as long as there are any; says who, if any came.
    async fn work(
        self: Arc<Self>,
        source: Source,
        mut link: Option<(TcpStream, Link)>,
    ) -> Option<Nick> {
        let mut has_sent = false;
        let _counted = self.download.take_part();
        while self.download.has_free() {
            let connected = match link.take() {
                Some(connected) => Ok(connected),
                None => Arc::clone(&self)
                    .connect(source.clone())
                    .await
                    .map(|(_, _, stream, link)| (stream, link)),
            };
            let Ok((stream, how)) = connected else { break };
            let Some(first) = self.download.claim_far() else { break };
            if let Err(error) = self.read(&source, stream, how, first, &mut has_sent).await {
                tracing::debug!(from = %source.nick, %error, "a peer sends no more");
                break;
            }
        }
        has_sent.then_some(source.nick)
    }

    /// Reads blocks one after another, beginning with one that is claimed.
    async fn read(
        &self,
        source: &Source,
        mut stream: TcpStream,
        how: Link,
        mut claim: Claim<'_>,
        has_sent: &mut bool,
    ) -> io::Result<()> {
        let (offset, _) = self.download.range(claim.block);
        let me = &self.shared.config.nick;
        let mut early = match how {
            Link::Ask => get(&mut stream, me, &source.name, offset, self.download.len()).await?,
            Link::Sends => {
                stream.write_all(offset.to_string().as_bytes()).await?;
                Vec::new()
            }
        };
        loop {
            let (block, (start, end)) = (claim.block, self.download.range(claim.block));
            // Blocks are bounded.
            let len = (end - start) as usize;
            let rest = early.split_off(early.len().min(len));
            let mut bytes = std::mem::replace(&mut early, rest);
            while bytes.len() < len {
                let at = bytes.len();
                bytes.resize(len.min(at + BLOCK), 0);
                let read = timeout(IDLE_TIME, stream.read(&mut bytes[at..])).await??;
                if read == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                bytes.truncate(at + read);
            }
            if !self.download.keep(claim, bytes).await? {
                let why = "a block that is not what it should be";
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            *has_sent = true;
            match self.download.claim_at(block + 1) {
                Some(next) => claim = next,
                None => return Ok(()),
            }
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
