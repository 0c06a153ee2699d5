//! The facade: one node, callable from any thread. What the API, the command line and tests do,
//! they do through it. Calls wait for the session and for the disk; asynchronous callers make them
//! on threads that may wait.

mod add;
mod change;
mod download;
mod fetches;
mod files;
mod find;
mod look;
mod moves;
mod networks;
mod overlays;
mod publish;
mod queue;
mod rename;
mod saved;
mod schedule;
mod shelf;
mod transfers;
mod upkeep;
mod watch;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use net::session::{Session, SessionError};
use tokio::sync::broadcast;

pub use add::{AddRequest, AddSource, SourceError, parse_source};
pub use change::Change;
use moves::Moves;
pub use publish::PublishOptions;
use transfers::Transfers;

use crate::config::{Config, ConfigError, Layers, Origin};
use crate::event::Event;
use crate::fetch::Fetcher;
use crate::labs::Labs;
use crate::library::{Library, LibraryError};
use crate::log::LogBuffer;
use crate::networks::Networks;
use crate::search::Finder;
use crate::state::{State, StateError};
use crate::view::{Counts, Status};

/// Events that a slow listener may be behind before it has to begin anew.
const EVENTS_BEHIND_MAX: usize = 256;

/// Why a node cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// No such transfer.
    #[error("there is no transfer {0}")]
    NotFound(String),
    /// No such network.
    #[error("there is no network {0}")]
    NoNetwork(String),
    /// No such folder of the library.
    #[error("the library has no folder {0}")]
    NoFolder(u32),
    /// No such file of the library.
    #[error("the library has no file {0}")]
    NoFile(u64),
    /// No search of this name is kept.
    #[error("there is no saved search {0}")]
    NoSearch(String),
    /// It is here already.
    #[error("this torrent is here already")]
    Duplicate(String),
    /// No network that found it brings what it finds.
    #[error("{0} finds files but cannot bring them to this node")]
    CannotFetch(String),
    /// It cannot be done in this state of things.
    #[error("{0}")]
    Conflict(String),
    /// What is asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A folder that transfers may not be put in, or published from.
    #[error("{} is in none of the folders that are allowed for this", .0.display())]
    Forbidden(PathBuf),
    /// The session refuses.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What the node remembers cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The library cannot be used.
    #[error(transparent)]
    Library(LibraryError),
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file cannot be moved or deleted.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The node has ended.
    #[error("the node has ended")]
    Ended,
}

/// A running node. Ended by [`Node::shutdown`]; what was said to be done survives any other end.
///
/// ```
/// use node::{AddRequest, Layers, Node};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let write = |name: &str, value: &std::path::Path| format!("{name} = {:?}\n", value.to_str().unwrap());
/// # let text = format!("[network]\nlisten = [\"127.0.0.1:0\"]\nlsd = false\n[node]\n{}[transfers]\n{}",
/// #     write("state_dir", &folder.path().join("state")), write("download_dir", folder.path()));
/// # let file = folder.path().join("config.toml");
/// # std::fs::write(&file, text).unwrap();
/// let node = Node::start(Layers::load(Some(&file), std::env::vars())?, None)?;
/// let link = "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567";
/// let transfer = node.add(AddRequest::new(node::parse_source(link)?))?;
/// assert_eq!(node.transfers().len(), 1);
/// node.pause(&transfer.id)?;
/// node.shutdown();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Node {
    layers: Mutex<Layers>,
    began_with: Config,
    session: Mutex<Option<Arc<Session>>>,
    listens: Vec<SocketAddr>,
    state: State,
    transfers: Mutex<Transfers>,
    events: broadcast::Sender<Event>,
    log: Option<Arc<LogBuffer>>,
    labs: Labs,
    networks: Networks,
    library: Mutex<Option<Arc<Library>>>,
    finders: Mutex<Vec<Arc<dyn Finder>>>,
    fetchers: Mutex<Vec<Arc<dyn Fetcher>>>,
    watching: saved::Watching,
    began: Instant,
    first_start: AtomicBool,
    ending: Mutex<bool>,
    ended: Condvar,
    upkeep: Mutex<Option<JoinHandle<()>>>,
    moves: Moves,
    /// For threads that it starts by itself.
    me: Weak<Self>,
}

impl Node {
    /// Starts a node and what it took part in when it last ran. `log` is what it shows as its log.
    ///
    /// # Errors
    /// When its state cannot be opened, or an address cannot be listened on.
    pub fn start(mut layers: Layers, log: Option<Arc<LogBuffer>>) -> Result<Arc<Self>, NodeError> {
        let folder = layers.config().node.state_dir;
        let state = State::open(&folder)?;
        for (name, value) in state.settings()? {
            let value = toml::Value::try_from(value).ok();
            if let Err(error) = layers.change(&name, value) {
                tracing::warn!(%error, "a setting that was changed earlier is not used");
            }
        }
        let config = layers.config();
        let session = Session::start(config.session())?;
        let networks = Networks::start(config.network.dht, &folder).map_err(SessionError::Start)?;
        let (events, _) = broadcast::channel(EVENTS_BEHIND_MAX);
        let transfers = Transfers::restore(state.records()?);
        let library = Library::start(state.clone(), &folder)?;
        let node = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            moves: Moves::default(),
            listens: session.listen_addrs(),
            layers: Mutex::new(layers),
            began_with: config,
            session: Mutex::new(Some(Arc::new(session))),
            transfers: Mutex::new(transfers),
            library: Mutex::new(Some(Arc::new(library))),
            finders: Mutex::default(),
            fetchers: Mutex::default(),
            watching: saved::Watching::default(),
            state,
            labs: Labs::new(events.clone()),
            networks,
            events,
            log,
            began: Instant::now(),
            first_start: AtomicBool::new(false),
            ending: Mutex::new(false),
            ended: Condvar::new(),
            upkeep: Mutex::new(None),
        });
        if let Some(log) = &node.log {
            log.publish_to(node.events.clone());
        }
        node.first_start.store(node.lock_transfers().is_empty(), Ordering::Relaxed);
        node.resume_networks();
        let upkeep = {
            let node = Arc::downgrade(&node);
            std::thread::Builder::new()
                .name("shoal-upkeep".into())
                .spawn(move || upkeep::run(&node))
                .map_err(SessionError::Start)?
        };
        *lock(&node.upkeep) = Some(upkeep);
        Ok(node)
    }

    /// Ends in order: says goodbye to trackers and peers, and writes down how far all is. What is
    /// called afterwards answers that the node has ended.
    pub fn shutdown(&self) {
        *lock(&self.ending) = true;
        self.ended.notify_all();
        self.labs.cancel_all();
        self.networks.shutdown();
        if let Some(upkeep) = lock(&self.upkeep).take()
            && upkeep.join().is_err()
        {
            tracing::error!("the upkeep thread panicked");
        }
        self.moves.join();
        drop(lock(&self.library).take());
        let session = lock(&self.session).take();
        // Calls under way hold it for a moment longer.
        if let Some(session) = session.and_then(Arc::into_inner) {
            session.shutdown();
        }
    }

    fn session(&self) -> Result<Arc<Session>, NodeError> {
        lock(&self.session).clone().ok_or(NodeError::Ended)
    }

    fn lock_transfers(&self) -> MutexGuard<'_, Transfers> {
        lock(&self.transfers)
    }

    /// Whether the node ends.
    fn is_ending(&self) -> bool {
        *lock(&self.ending)
    }

    /// Waits until the node ends, or `time` has passed; says whether it ends.
    fn ends_within(&self, time: Duration) -> bool {
        let ending = lock(&self.ending);
        let waited = self.ended.wait_timeout_while(ending, time, |ending| !*ending);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What it is told now.
    #[must_use]
    pub fn config(&self) -> Config {
        lock(&self.layers).config()
    }

    /// What it was told when it began; what takes effect after a restart is as it is here.
    #[must_use]
    pub fn began_with(&self) -> &Config {
        &self.began_with
    }

    /// The configuration in its layers.
    #[must_use]
    pub fn layers(&self) -> Layers {
        lock(&self.layers).clone()
    }

    /// Changes settings, all or none; `None` takes a change back. They are remembered.
    ///
    /// # Errors
    /// When one is wrong, or they cannot be remembered.
    pub fn change_settings(
        &self,
        changes: &[(String, Option<serde_json::Value>)],
    ) -> Result<(), NodeError> {
        let mut layers = lock(&self.layers);
        let mut changed = layers.clone();
        for (name, value) in changes {
            let wrong = |message: String| ConfigError::Setting { name: name.clone(), message };
            let value = value.as_ref().map(toml::Value::try_from).transpose();
            changed.change(name, value.map_err(|error| wrong(error.to_string()))?)?;
            if let Some((_, Origin::Environment)) = changed.value(name) {
                return Err(wrong("it is set by an environment variable".to_owned()).into());
            }
        }
        self.state
            .save_settings(changes.iter().map(|(name, value)| (name.as_str(), value.as_ref())))?;
        *layers = changed;
        let config = layers.config();
        drop(layers);
        let (session, (up, down)) = (self.session()?, config.transfers.limits());
        session.set_limits(up, down);
        session.set_max_connections(config.network.max_connections);
        self.tell_settings();
        Ok(())
    }

    /// Where it accepts peers.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.listens
    }

    /// What happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    fn publish(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.events.send(event);
    }

    /// The latest log entries, if the node was given a log.
    #[must_use]
    pub fn log(&self) -> Option<&LogBuffer> {
        self.log.as_deref()
    }

    /// Runs of the lab.
    #[must_use]
    pub fn labs(&self) -> &Labs {
        &self.labs
    }

    /// The node as a whole.
    #[must_use]
    pub fn status(&self) -> Status {
        let config = self.config();
        let (upload_limit, download_limit) = config.transfers.limits();
        let free_space = free_space(&config.transfers.download_dir);
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.began.elapsed().as_secs_f64(),
            first_start: self.first_start.load(Ordering::Relaxed),
            addresses: self.listens.clone(),
            download_dir: config.transfers.download_dir,
            free_space,
            downloaded: 0,
            uploaded: 0,
            download_rate: 0,
            upload_rate: 0,
            download_limit,
            upload_limit,
            peers_connected: 0,
            transfers: Counts::default(),
            networks: self.network_states(),
            port_mappings: self
                .session()
                .map(|session| session.port_mappings().into_iter().map(Into::into).collect())
                .unwrap_or_default(),
        };
        self.lock_transfers().sum_up(&mut status);
        status
    }
}

/// Bytes that are free where `dir` is, or will be.
#[must_use]
pub fn free_space(dir: &std::path::Path) -> Option<u64> {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Bytes of the file system where `dir` is, or will be, free or not.
#[must_use]
pub fn total_space(dir: &std::path::Path) -> Option<u64> {
    let existing = dir.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// A poisoned lock guards data that is whole between statements: the panic was elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Now, in unix seconds.
fn unix_now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
