//! A live servent of Gnutella: the machine of `search::gnutella::servent` behind one TCP and one UDP
//! port, with the files that it gives and takes by HTTP on the same port.
//!
//! This file is the facade. `driver` owns the machine, `link` is one connection of messages, `upload`
//! gives what is no file. Files are given and taken by `http_swarm`.

mod driver;
mod link;
#[cfg(test)]
mod tests;
mod upload;
mod want;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use machine::Decoded;
pub use search::gnutella::handshake::Role;
use search::gnutella::servent::{Command, Config as ServentConfig, Event, NAME_MAX, Servent};
pub use search::gnutella::servent::{Counters, Found, Mode, SharedFile};
use search::gnutella::{Descriptor, QueryHit};
pub use search::gnutella::{Guid, InfoHash, Sha1, TigerRoot, Urn};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Receiver, Sender, WeakSender};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::timeout;

use crate::dialer;
use crate::download::Download;
pub use crate::http_swarm::request;
use crate::http_swarm::{self, Exchange, Given, Network, Share, Source, lock};
pub use crate::http_swarm::{
    FetchError, Fetched, From, Gave, NoSource, Progress, Pushed, Tree, Want,
};
use driver::{ANSWERS_MAX, INPUTS_MAX, Input};

/// How long a connection may take to say what it is.
const FIRST_WORDS: Duration = Duration::from_secs(15);
/// How long a query is led on until most that can answer it have.
const SEEKING: Duration = Duration::from_secs(10);
/// Most bytes of an answer to browsing.
const BROWSE_MAX: usize = 4 << 20;

/// How a live servent behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens; others know it by this address.
    pub listen: SocketAddr,
    /// What it is.
    pub mode: Mode,
    /// Whether others cannot connect to it.
    pub firewalled: bool,
    /// Whether addresses of this host and of private networks are used.
    pub local: bool,
    /// Uploads at once; others wait.
    pub upload_slots: usize,
    /// Who waited for an upload when it ran before ([`Picture::waiting`]); empty if that is not known.
    pub waiting: String,
    /// What else the machine is told; the fields above, names and secrets are set from here.
    pub tuning: Tuning,
}

/// Times that tests make short.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Between upkeep.
    pub tick: Duration,
    /// Between steps of a query that is led on.
    pub dynamic_pause: Duration,
    /// How long a servent is a leaf before it may become an ultrapeer.
    pub promote_after: Duration,
    /// Slots of the table of words.
    pub slots: u32,
    /// Whether hits go by UDP.
    pub out_of_band: bool,
}

impl Config {
    /// The usual settings, at an address.
    #[must_use]
    pub fn new(listen: SocketAddr, mode: Mode) -> Self {
        let usual = ServentConfig::new(mode, Guid::default());
        let tuning = Tuning {
            tick: usual.tick,
            dynamic_pause: usual.dynamic_pause,
            promote_after: usual.promote_after,
            slots: usual.slots,
            out_of_band: false,
        };
        let local = listen.ip().is_loopback();
        Self {
            listen,
            mode,
            firewalled: false,
            local,
            upload_slots: 8,
            waiting: String::new(),
            tuning,
        }
    }
}

/// How a servent stands.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What it is now.
    pub role: Role,
    /// Its neighbours.
    pub neighbours: Vec<(SocketAddr, Role)>,
    /// Addresses it could dial.
    pub hosts_known: usize,
    /// The same, to be kept: an address a line.
    pub hosts: String,
    /// Who waits for an upload, to be kept: at most 64 places, a line each.
    pub waiting: String,
    /// Files it shares.
    pub shared: usize,
    /// Bytes of files that it has given.
    pub given: u64,
    /// What has gone through it.
    pub counters: Counters,
}

/// What all tasks of a servent know.
struct Inner {
    guid: Guid,
    address: SocketAddr,
    exchange: Exchange,
    inputs: WeakSender<Input>,
    /// Whose turn it is to make a list of everything.
    lists: Semaphore,
}

/// A servent, from outside. It ends with its last handle.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    inputs: Sender<Input>,
    _stop: Arc<watch::Sender<()>>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.inner.address).finish()
    }
}

/// What a search finds, as it comes in; the search ends when this is dropped.
#[derive(Debug)]
pub struct Search(Receiver<Event<SocketAddr>>);

impl Search {
    /// The next file that somebody has; `None` if the search was refused or the servent has ended.
    pub async fn next(&mut self) -> Option<Found> {
        loop {
            match self.0.recv().await? {
                Event::Found(found) => return Some(found),
                Event::SearchRefused => return None,
                _ => {}
            }
        }
    }
}

impl Node {
    /// Listens, and runs until the last handle is dropped, on the current runtime.
    ///
    /// # Errors
    /// If the address cannot be listened on, or the system gives no randomness.
    pub fn start(config: Config) -> io::Result<Self> {
        let (listener, udp) = dialer::listen(config.listen, None, true, true)?;
        let (Some(listener), Some(udp)) = (listener, udp) else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let address = listener.local_addr()?;
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(io::Error::other)?;
        let (name, rest) = secret.split_at(16);
        let (key, seed) = rest.split_at(8);
        let word = |bytes: &[u8]| bytes.first_chunk().map_or(1, |bytes| u64::from_le_bytes(*bytes));
        let guid = Guid::modern(name.first_chunk().copied().unwrap_or_default());
        let Tuning { tick, dynamic_pause, promote_after, slots, out_of_band } = config.tuning;
        let servent = ServentConfig {
            user_agent: crate::CLIENT.replace(' ', "/"),
            listen: Some(address),
            firewalled: config.firewalled,
            local: config.local,
            key: word(key),
            tick,
            dynamic_pause,
            promote_after,
            slots,
            out_of_band,
            ..ServentConfig::new(config.mode, guid)
        };
        let mut exchange =
            Exchange::new(address, !config.firewalled, config.local, config.upload_slots);
        if !config.waiting.is_empty() {
            exchange = exchange.with_waiting(&config.waiting);
        }
        let (inputs, waiting) = mpsc::channel(INPUTS_MAX);
        let inner = Arc::new(Inner {
            guid,
            address,
            exchange,
            inputs: inputs.downgrade(),
            lists: Semaphore::new(1),
        });
        let (stop, stopped) = watch::channel(());
        let machine = Servent::new(servent);
        let task = driver::run(
            inner.clone(),
            machine,
            word(seed),
            Arc::new(udp),
            waiting,
            stopped.clone(),
        );
        tokio::spawn(task);
        let greeting = inner.clone();
        let greet = move |stream, peer| greet(greeting.clone(), stream, peer);
        tokio::spawn(http_swarm::accept(listener, stopped, greet));
        tokio::spawn(http_swarm::call_waiting(Arc::downgrade(&inner)));
        Ok(Self { inner, inputs, _stop: Arc::new(stop) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.inner.address
    }

    /// Becomes part of the network that these servents are in.
    pub async fn join(&self, known: &[SocketAddr]) {
        self.inner.tell(Command::Join(known.to_vec())).await;
    }

    /// Asks host caches for servents, by UDP.
    pub async fn ask_for_hosts(&self, cache: SocketAddr) {
        self.inner.tell(Command::AskForHosts(cache)).await;
    }

    /// Says goodbye to all neighbours.
    pub async fn leave(&self) {
        self.inner.tell(Command::Leave).await;
    }

    /// Shares a file under its own name, once it has been hashed.
    ///
    /// # Errors
    /// If it cannot be read, or its name cannot be told.
    pub async fn publish(&self, path: &Path) -> io::Result<SharedFile> {
        let path = path.to_owned();
        let hashed = tokio::task::spawn_blocking(move || Share::hash(&path));
        let share = hashed.await.map_err(io::Error::other)??;
        let file = share.file.clone();
        self.share(share).await?;
        Ok(file)
    }

    /// Shares a file whose hashes are known.
    ///
    /// # Errors
    /// If its name is too long, or the servent has ended.
    pub async fn publish_known(&self, path: &Path, file: SharedFile) -> io::Result<()> {
        if file.name.len() > NAME_MAX || file.name.contains('\0') {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.share(Share::known(path.to_owned(), file)).await
    }

    async fn share(&self, share: Share) -> io::Result<()> {
        let file = share.file.clone();
        let sha1 = file.sha1;
        lock(&self.inner.exchange.shares).insert(Arc::new(share));
        let (answer, answered) = oneshot::channel();
        // If the driver has ended there is no answer either.
        let _ = self.inputs.send(Input::Share(file, answer)).await;
        let index = answered.await.map_err(io::Error::other)?;
        lock(&self.inner.exchange.shares).number(index, sha1);
        Ok(())
    }

    /// Shares a file no longer.
    pub async fn unpublish(&self, sha1: Sha1) {
        lock(&self.inner.exchange.shares).remove(sha1);
        // If the driver has ended nothing is shared.
        let _ = self.inputs.send(Input::Unshare(sha1)).await;
    }

    /// Names a torrent, or none any more, in hits for the shared file with this hash.
    pub async fn name_torrent(&self, sha1: Sha1, torrent: Option<InfoHash>) {
        self.inner.tell(Command::NameTorrent(sha1, torrent)).await;
    }

    /// Looks for files by words, by hash, or both.
    pub async fn search(&self, words: &str, sha1: Option<Sha1>) -> Search {
        self.inner.search(words, sha1).await
    }

    /// Fetches a file to `to` from all of its sources and from those that the network knows,
    /// verified; `told` hears how far it is. What has come when this is dropped or fails is kept in
    /// a file beside it, for the next try.
    ///
    /// # Errors
    /// If no source has the rest of it, it is not what its hash says, or it cannot be written.
    pub async fn fetch(
        &self,
        want: Want,
        to: &Path,
        told: watch::Sender<Progress>,
    ) -> Result<Fetched, FetchError> {
        http_swarm::fetch(&self.inner, want, to, told).await
    }

    /// The tree of hashes of what is wanted, if one of its sources gives it.
    pub async fn tree(&self, want: &Want) -> Option<Tree> {
        http_swarm::tree(&*self.inner, want).await
    }

    /// Brings blocks of a download from the sources in `want` and those that the network knows,
    /// until every block is there. Others may take part in the download.
    ///
    /// # Errors
    /// If no source has what is missing, or it cannot be written.
    pub async fn bring(&self, want: &Want, download: &Download) -> Result<Fetched, FetchError> {
        http_swarm::bring(&self.inner, want, download).await
    }

    /// What a servent shares, as far as it says so in 4 MiB.
    ///
    /// # Errors
    /// If it cannot be reached, or gives no such answer.
    pub async fn browse(&self, addr: SocketAddr) -> io::Result<Vec<(String, u64, Option<Sha1>)>> {
        let stream = self.inner.exchange.dialer.tcp(addr).await?;
        let mut source = Source::new(stream, Vec::new(), addr, None);
        let fields = "Accept: application/x-gnutella-packets\r\nAccept-Encoding: deflate, gzip\r\n";
        let bytes = source.fetch("/", fields, BROWSE_MAX).await?;
        let bytes = bytes.ok_or(io::ErrorKind::Unsupported)?;
        let (mut files, mut at) = (Vec::new(), 0);
        while let Ok(Decoded::Frame { frame, used }) = Descriptor::read(&bytes[at..]) {
            at += used;
            let Ok(hit) = QueryHit::parse(&frame.payload) else { continue };
            for record in hit.records {
                let name = String::from_utf8_lossy(record.name).into_owned();
                files.push((name, record.len(), record.urns().find_map(|urn| urn.sha1())));
            }
        }
        Ok(files)
    }

    /// How it stands; `None` once it has ended.
    pub async fn look(&self) -> Option<Picture> {
        self.inner.look().await
    }
}

impl Inner {
    async fn tell(&self, command: Command<SocketAddr>) {
        if let Some(inputs) = self.inputs.upgrade() {
            // A driver that has ended does nothing more.
            let _ = inputs.send(Input::Command(command, None)).await;
        }
    }

    async fn search(&self, words: &str, sha1: Option<Sha1>) -> Search {
        let (answers, answered) = mpsc::channel(ANSWERS_MAX);
        let command = Command::Search { words: words.to_owned(), sha1 };
        if let Some(inputs) = self.inputs.upgrade() {
            // If the driver has ended there are no answers.
            let _ = inputs.send(Input::Command(command, Some(answers))).await;
        }
        Search(answered)
    }

    async fn look(&self) -> Option<Picture> {
        let (answer, answered) = oneshot::channel();
        self.inputs.upgrade()?.send(Input::Look(answer)).await.ok()?;
        answered.await.ok()
    }

    async fn listing(&self) -> Vec<u8> {
        let (answer, answered) = oneshot::channel();
        if let Some(inputs) = self.inputs.upgrade() {
            // A driver that has ended shares nothing.
            let _ = inputs.send(Input::List(answer)).await;
        }
        answered.await.unwrap_or_default()
    }
}

impl Network for Inner {
    type Seek = Search;

    const SEEKING: Duration = SEEKING;

    fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    async fn push(&self, _: SocketAddr, pushed: &Pushed) -> io::Result<Given> {
        let Pushed { servent, index, proxies } = pushed.clone();
        let asked = self.tell(Command::Push { servent, index, proxies });
        self.exchange.givs.wait(servent, asked).await
    }

    async fn seek(&self, sha1: Sha1) -> Option<Search> {
        let has_neighbours =
            self.look().await.is_some_and(|picture| !picture.neighbours.is_empty());
        if has_neighbours { Some(self.search("", Some(sha1)).await) } else { None }
    }

    async fn next(seek: &mut Search, want: &Want) -> Option<From> {
        loop {
            let found = seek.next().await?;
            if found.sha1 == Some(want.sha1) && found.len == want.len {
                return Some(From::of(&found));
            }
        }
    }

    async fn answer(&self, stream: &mut TcpStream, request: &request::Request) -> io::Result<()> {
        match request.target {
            Some(request::Target::Browse) => upload::browse(self, stream, request).await,
            Some(request::Target::PushProxy(servent, index)) => {
                upload::relay(self, stream, request, servent, index).await
            }
            _ => http_swarm::simple(stream, "404 Not Found", "", request.keep_alive).await,
        }
    }
}

/// Finds out what a connection is: messages, a request, or the answer to a push.
async fn greet(inner: Arc<Inner>, mut stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    let count = timeout(FIRST_WORDS, stream.read_buf(&mut read)).await??;
    let is = |words: &[u8]| {
        let known = words.len().min(read.len());
        count > 0 && words[..known] == read[..known]
    };
    if is(b"GNUTELLA") {
        if let Some(inputs) = inner.inputs.upgrade() {
            // A driver that has ended takes no more.
            let _ = inputs.send(Input::Accepted(stream, peer, read)).await;
        }
    } else if [&b"GET "[..], b"HEAD ", b"QUEUE ", b"GIV "].into_iter().any(is) {
        return http_swarm::serve(&inner, stream, peer, read).await;
    }
    Ok(())
}

/// Waits for the first file that a search finds and `is` wanted, for at most `within`.
pub async fn first(
    search: &mut Search,
    within: Duration,
    is: impl Fn(&Found) -> bool,
) -> Option<Found> {
    timeout(within, async {
        loop {
            let found = search.next().await?;
            if is(&found) {
                return Some(found);
            }
        }
    })
    .await
    .ok()
    .flatten()
}
