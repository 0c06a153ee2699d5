//! A server of Napster. One task owns the machine; each connection has a task that reads and writes;
//! one thread owns the index, another few hash passwords. Users come over IPv4, because the protocol
//! has no room for other addresses.

mod accounts;
mod connection;
mod database;
mod index;
mod log;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use machine::{ConnId, Cx, Instant, Machine, OpId, Outbox, Output, Rng, Side, StreamMachine};
use search::napster::server::{Account, AskAccount, Command, Effect, Server as Brain, Timer};
use search::napster::{Frame, Text};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use self::accounts::Accounts;
pub use self::accounts::AccountsError;
use self::connection::{Connection, Remote};
pub use self::database::{DatabaseError, DatabaseIndex};
use self::index::IndexThread;
pub use self::log::LogError;
pub use search::napster::server::{Limits, Status};

/// Inputs that wait for the machine.
const INPUTS_MAX: usize = 4_096;
/// Ports that are tried at once; more are taken at their word.
const PROBES_MAX: usize = 64;
/// How long a port may take to answer.
const PROBE_TIME: Duration = Duration::from_secs(5);
/// Accounts that wait to be looked at; each password takes some 20 ms of a processor.
const ACCOUNTS_WAITING: usize = 256;
/// Passwords that are hashed at once.
const HASHED_AT_ONCE: usize = 1;

/// How a server is run.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where.
    pub listen: SocketAddrV4,
    /// What it calls itself.
    pub name: String,
    /// With what it greets users.
    pub motd: String,
    /// Where accounts and the log of the index are kept; nothing is without.
    pub state: Option<PathBuf>,
    /// A database of PostgreSQL that holds the index, which other servers may share; without one it
    /// is in memory. Users are told apart by the server's name.
    pub database: Option<String>,
    /// How long files of users are listed after a restart before those have come back.
    pub grace: Duration,
    /// What users may do.
    pub limits: Limits,
}

impl ServerConfig {
    /// A server that keeps nothing.
    #[must_use]
    pub fn new(listen: SocketAddrV4) -> Self {
        Self {
            listen,
            name: "shoal".to_owned(),
            motd: String::new(),
            state: None,
            database: None,
            grace: Duration::from_secs(10 * 60),
            limits: Limits::default(),
        }
    }
}

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address cannot be had.
    #[error("listening on {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddrV4,
        /// Why.
        error: io::Error,
    },
    /// What is kept of the index cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database of the index cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// What is kept of accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] AccountsError),
    /// The system gives no randomness or no thread.
    #[error("starting the server: {0}")]
    Start(io::Error),
}

/// What reaches the task of the machine.
enum Input {
    Opened(TcpStream, SocketAddr),
    Frames(ConnId, Vec<Frame>),
    Closed(ConnId),
    Command(Command),
    Status(oneshot::Sender<Status>),
}

/// A server whose address is bound.
pub struct Server {
    config: ServerConfig,
    listener: TcpListener,
    index: IndexThread,
    accounts: Arc<Accounts>,
    inputs: mpsc::Sender<Input>,
    queue: mpsc::Receiver<Input>,
}

/// A view of a running server.
#[derive(Clone, Debug)]
pub struct ServerHandle(mpsc::Sender<Input>);

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Input")
    }
}

impl ServerHandle {
    /// How it stands; `None` once it has ended.
    pub async fn status(&self) -> Option<Status> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Input::Status(answer)).await.ok()?;
        answered.await.ok()
    }

    /// Says something to all users.
    pub async fn announce(&self, text: &str) {
        let command = Command::Announce(Text::from(text));
        // Whoever has ended has no users.
        let _ = self.0.send(Input::Command(command)).await;
    }
}

impl Server {
    /// Binds the address and reads what was kept.
    ///
    /// # Errors
    /// If the address cannot be had, or what was kept cannot be read.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServerError> {
        let address = config.listen;
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|error| ServerError::Bind { address, error })?;
        let (inputs, queue) = mpsc::channel(INPUTS_MAX);
        let accounts = Arc::new(Accounts::open(config.state.as_deref())?);
        let index = IndexThread::start(&config, inputs.clone()).await?;
        Ok(Self { config, listener, index, accounts, inputs, queue })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A view of it while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle(self.inputs.clone())
    }

    /// Serves until `shutdown` completes; what it keeps is on disk then.
    ///
    /// # Errors
    /// If the system gives no randomness.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Status, ServerError> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| ServerError::Start(error.into()))?;
        let Self { config, listener, index, accounts, inputs, queue } = self;
        let driver = Driver {
            brain: Brain::new(&config.name, &config.motd, config.limits),
            rng: Rng::new(u64::from_le_bytes(seed)),
            outbox: Outbox::new(),
            began: std::time::Instant::now(),
            connections: HashMap::new(),
            next: 0,
            index,
            accounts,
            hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
            waiting: Arc::new(Semaphore::new(ACCOUNTS_WAITING)),
            probes: Arc::new(Semaphore::new(PROBES_MAX)),
            inputs: inputs.clone(),
        };
        let accepting = tokio::spawn(accept(listener, inputs));
        let status = driver.serve(queue, shutdown).await;
        accepting.abort();
        Ok(status)
    }
}

async fn accept(listener: TcpListener, inputs: mpsc::Sender<Input>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                if inputs.send(Input::Opened(stream, from)).await.is_err() {
                    return;
                }
            }
            // Out of descriptors, say: trying again at once would only burn time.
            Err(error) => {
                tracing::warn!(%error, "accepting connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The machine and what it acts on.
struct Driver {
    brain: Brain<SocketAddr>,
    rng: Rng,
    outbox: Outbox<Brain<SocketAddr>>,
    began: std::time::Instant,
    connections: HashMap<ConnId, Connection>,
    next: u32,
    index: IndexThread,
    accounts: Arc<Accounts>,
    hashing: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    probes: Arc<Semaphore>,
    inputs: mpsc::Sender<Input>,
}

impl Driver {
    async fn serve(
        mut self,
        mut queue: mpsc::Receiver<Input>,
        shutdown: impl Future<Output = ()>,
    ) -> Status {
        tokio::pin!(shutdown);
        self.input(|brain, cx| brain.on_start(cx));
        // The machine has one timer, which it sets anew whenever it fires.
        let tick = self.tick();
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + tick, tick);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = ticks.tick() => self.input(|brain, cx| brain.on_timer(Timer::Tick, cx)),
                input = queue.recv() => match input {
                    Some(input) => self.take(input),
                    None => break,
                },
            }
        }
        let status = self.brain.status();
        self.connections.clear();
        drop(queue);
        self.index.end().await;
        status
    }

    fn tick(&self) -> Duration {
        self.brain.limits().tick.max(Duration::from_millis(10))
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Opened(stream, peer) => self.open(stream, peer),
            Input::Frames(conn, frames) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.held = VecDeque::from(frames);
                }
                self.drain(conn);
            }
            Input::Closed(conn) => {
                self.connections.remove(&conn);
                self.input(|brain, cx| brain.on_close(conn, (), cx));
            }
            Input::Command(command) => {
                let conn = match &command {
                    Command::Account(conn, _) => Some(*conn),
                    _ => None,
                };
                self.input(|brain, cx| brain.on_command(OpId::default(), command, cx));
                if let Some(conn) = conn {
                    self.drain(conn);
                }
            }
            // Whoever asked may have gone.
            Input::Status(answer) => drop(answer.send(self.brain.status())),
        }
    }

    fn open(&mut self, stream: TcpStream, peer: SocketAddr) {
        // Messages are small, and people wait for them.
        let _ = stream.set_nodelay(true);
        let conn = ConnId(self.next);
        self.next = self.next.wrapping_add(1);
        let remote = Remote::start(conn, stream, self.inputs.clone());
        self.connections.insert(conn, Connection::new(remote));
        self.input(|brain, cx| brain.on_open(conn, peer, Side::Listener, cx));
    }

    /// Hands the machine what a connection has read, for as long as it is not paused.
    fn drain(&mut self, conn: ConnId) {
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else { return };
            if connection.paused {
                return;
            }
            let Some(frame) = connection.held.pop_front() else {
                connection.remote.read_on();
                return;
            };
            self.input(|brain, cx| brain.on_frame(conn, frame, cx));
        }
    }

    fn input(&mut self, act: impl FnOnce(&mut Brain<SocketAddr>, &mut Cx<'_, Brain<SocketAddr>>)) {
        let now = self.now();
        let mut outbox = std::mem::take(&mut self.outbox);
        act(&mut self.brain, &mut Cx::new(now, &mut self.rng, &mut outbox));
        let mut resumed = Vec::new();
        for output in outbox.drain() {
            if let Output::Effect(effect) = output {
                self.perform(effect, &mut resumed);
            }
        }
        self.outbox = outbox;
        for conn in resumed {
            self.drain(conn);
        }
    }

    fn perform(&mut self, effect: Effect, resumed: &mut Vec<ConnId>) {
        match effect {
            Effect::Send(conn, frame) => {
                if let Some(connection) = self.connections.get(&conn) {
                    connection.remote.send(&frame);
                }
            }
            Effect::Close(conn) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.held.clear();
                    connection.remote.close();
                }
            }
            Effect::Read(conn, on) => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.paused = !on;
                    if on {
                        resumed.push(conn);
                    }
                }
            }
            Effect::Ask(question, ask) => self.index.ask(question, ask),
            Effect::AskAccount(conn, ask) => self.ask_account(conn, ask),
            Effect::Probe(conn, address) => self.probe(conn, address),
        }
    }

    fn tell(&self, command: Command) -> impl Future<Output = ()> + use<> {
        let inputs = self.inputs.clone();
        async move {
            // If the machine has ended, nobody wants to know.
            let _ = inputs.send(Input::Command(command)).await;
        }
    }

    fn ask_account(&self, conn: ConnId, ask: AskAccount) {
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            tokio::spawn(self.tell(Command::Account(conn, Account::Failed)));
            return;
        };
        let (accounts, hashing) = (Arc::clone(&self.accounts), Arc::clone(&self.hashing));
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let _place = place;
            let turn =
                if accounts.must_hash(&ask) { hashing.acquire_owned().await.ok() } else { None };
            let looked = tokio::task::spawn_blocking(move || accounts.answer(ask)).await;
            drop(turn);
            let account = looked.unwrap_or(Account::Failed);
            let _ = inputs.send(Input::Command(Command::Account(conn, account))).await;
        });
    }

    fn probe(&self, conn: ConnId, address: SocketAddrV4) {
        let Ok(place) = Arc::clone(&self.probes).try_acquire_owned() else { return };
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let reached = matches!(timeout(PROBE_TIME, greets(address)).await, Ok(Ok(true)));
            drop(place);
            let command = Command::Probed(conn, address.port(), reached);
            let _ = inputs.send(Input::Command(command)).await;
        });
    }
}

/// Whether somebody at this address greets as peers do.
async fn greets(address: SocketAddrV4) -> io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    Ok(stream.read_u8().await? == search::napster::transfer::GREETING)
}
