//! A client of Napster: a task that owns the machine and its connection to the server, which is made
//! again when it breaks; the port on which peers come; and fetching from several of them.

mod fetch;
mod peer;
mod share;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use machine::{ConnId, Cx, Decoded, Framing, Instant, OpId, Outbox, Output, Rng, Side};
use machine::{Machine, StreamMachine};
use search::napster::client::{Client as Brain, Command, Effect, Event};
use search::napster::{
    BODY_MAX, ClientMessage, Credentials, FileHash, Hit, LinkSpeed, NapsterFraming, Nick, Query,
    ServerMessage, SharedFile, Text, Twin,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::download::{Download, Progress};

pub use self::fetch::{FetchError, Fetched, Source, Wanted};
pub use self::share::LocalFile;
use self::share::Shares;

/// Questions that wait for the machine.
const INPUTS_MAX: usize = 1_024;
/// How long the server may take to accept, and to answer a question.
const SERVER_TIME: Duration = Duration::from_secs(60);
/// Waits between tries to reach the server: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Bytes that wait for the server.
const OUTGOING_MAX: usize = 64 << 20;
/// What the server said that nobody has listened to yet.
const SAID_MAX: usize = 256;

/// How a client is run.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The server.
    pub server: SocketAddr,
    /// Under which name.
    pub nick: Nick,
    /// Its password.
    pub password: String,
    /// Registers the name, with this address of mail.
    pub register: Option<String>,
    /// Where peers come; port 0 lets the system choose.
    pub listen: SocketAddrV4,
    /// That peers cannot come, as behind a firewall: others are asked to be sent to instead.
    pub firewalled: bool,
    /// The line, as others are told.
    pub link: LinkSpeed,
    /// Files that are sent at once.
    pub upload_slots: usize,
}

/// Why a client does not run, or does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The port for peers cannot be had.
    #[error("listening on {0}: {1}")]
    Bind(SocketAddrV4, io::Error),
    /// The server cannot be reached.
    #[error("the server {0}: {1}")]
    Server(SocketAddr, io::Error),
    /// The server does not let it in.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// It is not connected to the server, or the server does not answer.
    #[error("the server does not answer")]
    Silent,
    /// The user who was asked about is not there.
    #[error("that user is not there")]
    Absent,
}

/// How it stands with a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientStatus {
    /// Whether it is logged in.
    pub is_up: bool,
    /// Why it is not, if the server said so or cannot be reached.
    pub trouble: Option<String>,
    /// Whether somebody could not reach its port.
    pub unreachable: bool,
    /// Users, files and gigabytes on the server, as it said last.
    pub totals: (u32, u64, u64),
}

enum Input {
    Ask(Command, oneshot::Sender<Event>),
    Tell(Command),
    Port(u16),
}

/// Whoever waits for a file to be sent, by its owner and its name: a connection, and its length.
type Pushes = HashMap<(Nick, Text), oneshot::Sender<(TcpStream, u64)>>;

/// What all tasks of a client know.
struct Shared {
    config: ClientConfig,
    /// Where peers come.
    address: SocketAddrV4,
    shares: Shares,
    inputs: mpsc::Sender<Input>,
    status: watch::Sender<ClientStatus>,
    said: broadcast::Sender<ServerMessage>,
    /// Who waits for whom to send which file.
    pushes: Mutex<Pushes>,
}

impl Shared {
    /// A poisoned lock guards a map that is whole between statements.
    fn pushes(&self) -> MutexGuard<'_, Pushes> {
        self.pushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn tell(&self, message: ClientMessage) {
        // If the machine has ended, nobody has to know.
        let _ = self.inputs.send(Input::Tell(Command::Say(message))).await;
    }

    async fn ask(&self, command: Command) -> Result<Event, ClientError> {
        let (answer, answered) = oneshot::channel();
        let asked = self.inputs.send(Input::Ask(command, answer)).await;
        asked.map_err(|_| ClientError::Silent)?;
        match timeout(SERVER_TIME, answered).await {
            Ok(Ok(Event::NotAsked)) | Ok(Err(_)) | Err(_) => Err(ClientError::Silent),
            Ok(Ok(event)) => Ok(event),
        }
    }

    async fn twins(&self, hash: FileHash, size: u64) -> Result<Vec<Twin>, ClientError> {
        match self.ask(Command::Twins(hash, size)).await? {
            Event::Twins(twins) => Ok(twins),
            _ => Err(ClientError::Silent),
        }
    }

    /// Whether a peer's address may be dialled: those of this machine only if the server is on it.
    fn may_dial(&self, address: SocketAddrV4) -> bool {
        let is_local = self.config.server.ip().is_loopback();
        bittorrent::peer_address::is_dialable(&address.into(), is_local)
    }
}

/// A client that runs, until all copies of this are dropped.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

struct Tasks(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("nick", &self.shared.config.nick).finish_non_exhaustive()
    }
}

impl Client {
    /// Logs in, and stays connected from then on, also when the server goes away and comes back.
    ///
    /// # Errors
    /// When the port cannot be had, or the server cannot be reached or refuses.
    pub async fn join(config: ClientConfig) -> Result<Self, ClientError> {
        let bind = |error| ClientError::Bind(config.listen, error);
        let listener = TcpListener::bind(config.listen).await.map_err(bind)?;
        let address = match listener.local_addr().map_err(bind)? {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => config.listen,
        };
        let connecting = timeout(SERVER_TIME, TcpStream::connect(config.server)).await;
        let reached = connecting.unwrap_or_else(|late| Err(late.into()));
        let stream = reached.map_err(|error| ClientError::Server(config.server, error))?;
        let (inputs, asked) = mpsc::channel(INPUTS_MAX);
        let (status, mut watched) = watch::channel(ClientStatus::default());
        let shared = Arc::new(Shared {
            shares: Shares::new(config.upload_slots),
            address,
            inputs,
            status,
            said: broadcast::Sender::new(SAID_MAX),
            pushes: Mutex::default(),
            config,
        });
        let brain = shared.brain();
        let tasks = vec![
            tokio::spawn(Connection::run(Arc::clone(&shared), brain, stream, asked)),
            tokio::spawn(peer::accept(Arc::clone(&shared), listener)),
        ];
        let client = Self { shared, _tasks: Arc::new(Tasks(tasks)) };
        let settled = watched.wait_for(|status| status.is_up || status.trouble.is_some());
        let settled = timeout(SERVER_TIME, settled).await.map_err(|_| ClientError::Silent)?;
        let trouble = settled.map_err(|_| ClientError::Silent)?.trouble.clone();
        trouble.map_or(Ok(client), |why| Err(ClientError::Refused(why)))
    }

    /// Where peers come.
    #[must_use]
    pub fn address(&self) -> SocketAddrV4 {
        self.shared.address
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> ClientStatus {
        self.shared.status.borrow().clone()
    }

    /// Follows how it stands.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<ClientStatus> {
        self.shared.status.subscribe()
    }

    /// Follows what the server says that answers no question: messages, channels, hotlists.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<ServerMessage> {
        self.shared.said.subscribe()
    }

    /// Shares files; those whose names are shared already are passed over.
    pub async fn publish(&self, files: Vec<LocalFile>) {
        let told: Vec<SharedFile> = files.iter().map(|file| file.shared.clone()).collect();
        self.shared.shares.add(files);
        // If the machine has ended, nobody can ask for them either.
        let _ = self.shared.inputs.send(Input::Tell(Command::Share(told))).await;
    }

    /// Shares a file no longer.
    pub async fn withdraw(&self, name: Text) {
        self.shared.shares.remove(&name);
        let _ = self.shared.inputs.send(Input::Tell(Command::Unshare(name))).await;
    }

    /// Searches.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn search(&self, query: Query) -> Result<Vec<Hit>, ClientError> {
        match self.shared.ask(Command::Search(query)).await? {
            Event::Hits(hits) => Ok(hits),
            _ => Err(ClientError::Silent),
        }
    }

    /// What somebody shares.
    ///
    /// # Errors
    /// When he is not there, or the server does not answer.
    pub async fn browse(&self, nick: Nick) -> Result<Vec<SharedFile>, ClientError> {
        match self.shared.ask(Command::Browse(nick)).await? {
            Event::Files(files) => files.ok_or(ClientError::Absent),
            _ => Err(ClientError::Silent),
        }
    }

    /// Who has a content.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn twins(&self, hash: FileHash, size: u64) -> Result<Vec<Twin>, ClientError> {
        self.shared.twins(hash, size).await
    }

    /// Says anything else to the server.
    pub async fn say(&self, message: ClientMessage) {
        self.shared.tell(message).await;
    }

    /// Fetches a file from those who have it into `path`: from several at once, going on where an
    /// earlier try has ended. `told` hears how far it is.
    ///
    /// # Errors
    /// When nobody sends all of it, it is not what was promised, or it cannot be written.
    pub async fn fetch(
        &self,
        wanted: Wanted,
        path: &std::path::Path,
        told: watch::Sender<Progress>,
    ) -> Result<Fetched, FetchError> {
        fetch::fetch(Arc::clone(&self.shared), wanted, path, told).await
    }

    /// Brings blocks of a download from those who have the file, until every block is there; says
    /// who has sent some. Others may take part in the download.
    ///
    /// # Errors
    /// When nobody sends what is missing.
    pub async fn bring(
        &self,
        wanted: &Wanted,
        download: &Download,
    ) -> Result<Vec<Nick>, FetchError> {
        fetch::bring(Arc::clone(&self.shared), wanted, download).await
    }
}

impl Shared {
    fn brain(&self) -> Brain<SocketAddr> {
        let config = &self.config;
        Brain::new(Credentials {
            nick: config.nick.clone(),
            password: config.password.clone(),
            port: if config.firewalled { 0 } else { self.address.port() },
            client: Text::from(crate::CLIENT),
            link: config.link,
            email: config.register.clone(),
        })
    }
}

/// The machine and what it acts on.
struct Connection {
    shared: Arc<Shared>,
    brain: Brain<SocketAddr>,
    rng: Rng,
    began: std::time::Instant,
    conn: u32,
    outgoing: Vec<u8>,
    next_op: u64,
    waiting: HashMap<OpId, oneshot::Sender<Event>>,
}

impl Connection {
    async fn run(
        shared: Arc<Shared>,
        brain: Brain<SocketAddr>,
        stream: TcpStream,
        mut asked: mpsc::Receiver<Input>,
    ) {
        let mut this = Self {
            shared,
            brain,
            rng: Rng::new(0),
            began: std::time::Instant::now(),
            conn: 0,
            outgoing: Vec::new(),
            next_op: 0,
            waiting: HashMap::new(),
        };
        let mut stream = Some(stream);
        let mut pause = RETRY.0;
        loop {
            if let Some(stream) = stream.take() {
                let ended = this.serve(stream, &mut asked).await;
                let was_up = this.brain.is_up();
                this.input(|brain, conn, cx| brain.on_close(conn, (), cx));
                this.shared.status.send_modify(|status| {
                    status.is_up = false;
                    if status.trouble.is_none() {
                        status.trouble = ended.err().map(|error| error.to_string());
                    }
                });
                pause = if was_up { RETRY.0 } else { (pause * 2).min(RETRY.1) };
            }
            let retry = tokio::time::sleep(pause);
            tokio::pin!(retry);
            // Questions meanwhile are answered: nobody is logged in.
            loop {
                tokio::select! {
                    () = &mut retry => break,
                    input = asked.recv() => match input {
                        Some(input) => this.take(input),
                        None => return,
                    },
                }
            }
            let server = this.shared.config.server;
            match timeout(SERVER_TIME, TcpStream::connect(server)).await {
                Ok(Ok(reached)) => stream = Some(reached),
                _ => pause = (pause * 2).min(RETRY.1),
            }
        }
    }

    /// One connection, until it ends.
    async fn serve(
        &mut self,
        mut stream: TcpStream,
        asked: &mut mpsc::Receiver<Input>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        self.conn += 1;
        self.outgoing.clear();
        self.shared.status.send_modify(|status| status.trouble = None);
        self.input(|brain, conn, cx| brain.on_open(conn, peer, Side::Dialer, cx));
        let (mut reader, mut writer) = stream.split();
        let mut bytes = Vec::new();
        loop {
            if self.outgoing.len() > OUTGOING_MAX {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes.reserve(BODY_MAX);
            tokio::select! {
                read = reader.read_buf(&mut bytes) => {
                    if read? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    let mut start = 0;
                    loop {
                        match NapsterFraming.decode(&bytes[start..]) {
                            Ok(Decoded::Frame { frame, used }) => {
                                start += used;
                                self.input(|brain, conn, cx| brain.on_frame(conn, frame, cx));
                            }
                            Ok(_) => break,
                            Err(error) => {
                                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                            }
                        }
                    }
                    bytes.drain(..start);
                }
                written = writer.write(&self.outgoing), if !self.outgoing.is_empty() => {
                    let written = written?;
                    self.outgoing.drain(..written);
                }
                input = asked.recv() => match input {
                    Some(input) => self.take(input),
                    None => return Ok(()),
                },
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Ask(command, answer) => {
                self.waiting.retain(|_, answer| !answer.is_closed());
                let op = OpId(self.next_op);
                self.next_op += 1;
                self.waiting.insert(op, answer);
                self.input(|brain, _, cx| brain.on_command(op, command, cx));
            }
            Input::Tell(command) => {
                self.input(|brain, _, cx| brain.on_command(OpId(u64::MAX), command, cx));
            }
            Input::Port(port) => {
                self.brain.set_port(port);
                let change = Command::Say(ClientMessage::ChangePort(port));
                self.input(|brain, _, cx| brain.on_command(OpId(u64::MAX), change, cx));
            }
        }
    }

    fn input(
        &mut self,
        act: impl FnOnce(&mut Brain<SocketAddr>, ConnId, &mut Cx<'_, Brain<SocketAddr>>),
    ) {
        let now = Instant::ZERO + self.began.elapsed();
        let mut outbox = Outbox::new();
        act(&mut self.brain, ConnId(self.conn), &mut Cx::new(now, &mut self.rng, &mut outbox));
        for output in outbox.drain() {
            match output {
                Output::Effect(Effect::Send(_, frame)) => frame.encode(&mut self.outgoing),
                Output::Event(Some(op), event) => {
                    if let Some(answer) = self.waiting.remove(&op) {
                        // Whoever asked may have gone.
                        let _ = answer.send(event);
                    }
                }
                Output::Event(None, event) => self.on_event(event),
                _ => {}
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        let status = &self.shared.status;
        match event {
            Event::LoggedIn(_) => status.send_modify(|status| {
                status.is_up = true;
                status.trouble = None;
            }),
            Event::Refused(why) => {
                let why = why.to_string_lossy().into_owned();
                status.send_modify(|status| status.trouble = Some(why));
            }
            Event::Push(offer) => {
                tokio::spawn(peer::push(Arc::clone(&self.shared), offer));
            }
            // Whoever waits for it hears that nobody will come.
            Event::NotSent(nick, name) => drop(self.shared.pushes().remove(&(nick, name))),
            Event::PortError(who) => {
                tracing::info!(%who, "could not reach the port for peers");
                let first = status
                    .send_if_modified(|status| !std::mem::replace(&mut status.unreachable, true));
                // From now on peers ask to be sent to.
                if first && !self.shared.config.firewalled {
                    let inputs = self.shared.inputs.clone();
                    tokio::spawn(async move { inputs.send(Input::Port(0)).await });
                }
            }
            Event::Said(ServerMessage::Stats(users, files, gigabytes)) => {
                status.send_modify(|status| status.totals = (users, files, gigabytes));
            }
            // Nobody may be listening.
            Event::Said(message) => drop(self.shared.said.send(message)),
            _ => {}
        }
    }
}
