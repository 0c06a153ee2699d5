//! Live nodes of Chord and of the other hash tables that `net` registers by name, one of each at most:
//! where they listen, whom they begin with, and what they know. One thread drives them, from the
//! first that is joined on. Here is no network's own rule, and no Kademlia, which the session drives.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use ::dht::chord::Peer;
use net::dht::{CHORD, OVERLAYS, OverlayKind, OverlayNode, OverlayState, Sketch, resolve};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::kept::KeptFile;
use super::picture::Standing;
use super::{NetworkError, lock, towards};

/// The first pause before a node that nobody answers tries again; each further one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// How long a node may take to hand over what it holds.
const FAREWELL: Duration = Duration::from_secs(3);
/// How often is written down whom nodes know.
const KEEP_EVERY: Duration = Duration::from_secs(30);

/// What a node of a hash table is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OverlayWish {
    /// Where it listens; `None` for a free port of the address that leads to the others.
    pub(crate) listen: Option<SocketAddr>,
    /// Nodes of the network, as `HOST:PORT`; none to begin one.
    pub(crate) known: Vec<String>,
}

/// How it stands with a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct OverlayStatus {
    pub(crate) standing: Standing,
    pub(crate) error: Option<String>,
    pub(crate) address: Option<SocketAddr>,
}

/// What a node knows and has counted.
#[derive(Clone, Debug)]
pub(crate) struct Looked {
    pub(crate) me: Peer,
    pub(crate) sketch: Sketch,
    pub(crate) state: OverlayState,
}

/// The kind that users call `name`.
pub(crate) fn kind(name: &str) -> Option<&'static OverlayKind> {
    OVERLAYS.iter().find(|kind| kind.name == name)
}

/// What is asked of the thread.
enum Request {
    Join(&'static OverlayKind, Plan, SyncSender<Result<(), NetworkError>>),
    Leave(&'static OverlayKind, SyncSender<()>),
    Look(&'static OverlayKind, SyncSender<Option<Looked>>),
}

/// How a node becomes part of a network.
struct Plan {
    wish: OverlayWish,
    /// Where it was and whom it met when the program last ran.
    before: Option<SocketAddr>,
    met: Vec<SocketAddr>,
}

/// How it stands with each kind that has been joined.
type Standings = Arc<Mutex<BTreeMap<&'static str, OverlayStatus>>>;

struct Driver {
    requests: UnboundedSender<Request>,
    thread: JoinHandle<()>,
}

/// The nodes, from outside.
pub(crate) struct Overlays {
    driver: Mutex<Option<Driver>>,
    /// The end has come: nothing begins any more.
    has_ended: AtomicBool,
    standings: Standings,
    kept: Arc<KeptFile>,
}

impl fmt::Debug for Overlays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lock(&self.standings).fmt(f)
    }
}

impl Overlays {
    /// None yet; what is kept of them is in `folder`.
    pub(super) fn new(folder: &Path) -> Self {
        let kept = Arc::new(KeptFile::open(folder));
        Self {
            driver: Mutex::default(),
            has_ended: AtomicBool::new(false),
            standings: Standings::default(),
            kept,
        }
    }

    /// Begins to become part of a network; [`Self::status`] says how that goes on.
    pub(crate) fn join(
        &self,
        kind: &'static OverlayKind,
        wish: OverlayWish,
    ) -> Result<(), NetworkError> {
        let plan = Plan { wish: wish.clone(), before: None, met: Vec::new() };
        self.begin(kind, plan)?;
        self.kept.joined(kind.name, &wish);
        Ok(())
    }

    /// The other hash tables than Chord that the node was in when it last ran.
    pub(crate) fn were_joined(&self) -> Vec<(&'static OverlayKind, OverlayWish)> {
        let names = self.kept.names();
        let of = |name: &String| Some((kind(name)?, self.kept.get(name)?.wish()));
        names.iter().filter_map(of).collect()
    }

    /// As [`Self::join`], in the network of the last run: also by way of those whom it met there.
    pub(crate) fn resume(
        &self,
        kind: &'static OverlayKind,
        wish: OverlayWish,
    ) -> Result<(), NetworkError> {
        match self.kept.get(kind.name) {
            Some(kept) if kept.wish() == wish => {
                self.begin(kind, Plan { wish, before: kept.address, met: kept.met })
            }
            _ => self.join(kind, wish),
        }
    }

    fn begin(&self, kind: &'static OverlayKind, plan: Plan) -> Result<(), NetworkError> {
        let mut driver = lock(&self.driver);
        if self.has_ended.load(Ordering::Relaxed) {
            return Err(NetworkError::Ended);
        }
        if driver.is_none() {
            *driver = Some(self.start().map_err(NetworkError::Start)?);
        }
        drop(driver);
        self.ask(|answer| Request::Join(kind, plan, answer)).ok_or(NetworkError::Ended)?
    }

    /// Leaves a network, with a goodbye; within seconds.
    pub(crate) fn leave(&self, kind: &'static OverlayKind) {
        self.ask(|answer| Request::Leave(kind, answer));
        self.kept.left(kind.name);
    }

    /// How it stands with a network.
    pub(crate) fn status(&self, kind: &'static OverlayKind) -> OverlayStatus {
        lock(&self.standings).get(kind.name).cloned().unwrap_or_default()
    }

    /// What a node knows; nothing if there is no such node.
    pub(crate) fn look(&self, kind: &'static OverlayKind) -> Option<Looked> {
        self.ask(|answer| Request::Look(kind, answer)).flatten()
    }

    /// Says goodbye to all and ends; within seconds.
    pub(crate) fn shutdown(&self) {
        let driver = {
            let mut driver = lock(&self.driver);
            self.has_ended.store(true, Ordering::Relaxed);
            driver.take()
        };
        let Some(Driver { requests, thread }) = driver else { return };
        drop(requests);
        if thread.join().is_err() {
            tracing::error!("the thread of hash tables panicked");
        }
    }

    fn start(&self) -> std::io::Result<Driver> {
        let (requests, asked) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (standings, kept) = (self.standings.clone(), self.kept.clone());
        let thread = std::thread::Builder::new()
            .name("shoal-overlays".into())
            .spawn(move || LocalSet::new().block_on(&runtime, serve(asked, standings, kept)))?;
        Ok(Driver { requests, thread })
    }

    fn ask<T>(&self, request: impl FnOnce(SyncSender<T>) -> Request) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        let requests = lock(&self.driver).as_ref()?.requests.clone();
        requests.send(request(answer)).ok()?;
        drop(requests);
        answered.recv().ok()
    }
}

/// The thread's work: until nobody can ask any more.
async fn serve(mut asked: UnboundedReceiver<Request>, standings: Standings, kept: Arc<KeptFile>) {
    let hosts: BTreeMap<&str, Host> = std::iter::once(&CHORD)
        .chain(OVERLAYS)
        .map(|kind| {
            let (standings, kept) = (standings.clone(), kept.clone());
            let host = Host { kind, node: Rc::default(), standings, kept, left: Rc::default() };
            (kind.name, host)
        })
        .collect();
    let mut keeps = tokio::time::interval(KEEP_EVERY);
    loop {
        let request = tokio::select! {
            request = asked.recv() => request,
            _ = keeps.tick() => {
                for host in hosts.values() {
                    host.keep().await;
                }
                continue;
            }
        };
        let Some(request) = request else { break };
        let (Request::Join(kind, ..) | Request::Leave(kind, _) | Request::Look(kind, _)) = &request;
        let Some(host) = hosts.get(kind.name).cloned() else { continue };
        spawn_local(async move {
            // Whoever asked may have gone away, everywhere here.
            match request {
                Request::Join(_, plan, answer) => {
                    let _ = answer.send(host.join(plan).await);
                }
                Request::Leave(_, answer) => {
                    host.leave().await;
                    let _ = answer.send(());
                }
                Request::Look(_, answer) => {
                    let _ = answer.send(host.look().await);
                }
            }
        });
    }
    for host in hosts.values() {
        host.keep().await;
        host.leave().await;
    }
}

/// The node of one kind, if there is one; a clone is the same.
#[derive(Clone)]
struct Host {
    kind: &'static OverlayKind,
    node: Rc<RefCell<Option<OverlayNode>>>,
    standings: Standings,
    kept: Arc<KeptFile>,
    left: Rc<Notify>,
}

impl Host {
    fn stands(&self, standing: Standing, error: Option<String>) {
        let mut standings = lock(&self.standings);
        let status = standings.entry(self.kind.name).or_default();
        (status.standing, status.error) = (standing, error);
        status.address = self.node.borrow().as_ref().map(OverlayNode::address);
    }

    /// Starts a node that goes on trying to become part of the network, until it is or is told to
    /// leave.
    async fn join(&self, plan: Plan) -> Result<(), NetworkError> {
        if self.node.borrow().is_some() {
            return Err(NetworkError::Joined);
        }
        let Plan { wish, before, met } = plan;
        let mut known = Vec::new();
        for name in &wish.known {
            // Whom it met before makes up for a name that leads nowhere now.
            match resolve(name).await {
                Ok(resolved) => known.extend(resolved),
                Err(_) if !met.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
        known.extend(met);
        let listen = match (wish.listen, known.first()) {
            (Some(listen), _) => listen,
            (None, Some(&first)) => SocketAddr::new(towards(first).await?, 0),
            (None, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let failed = |source| NetworkError::Listen { address: listen, source };
        // At its old address it has its old place, and others find it where they knew it.
        let old = before.filter(|before| wish.listen.is_none() && before.ip() == listen.ip());
        let socket = match UdpSocket::bind(old.unwrap_or(listen)).await {
            Err(_) if old.is_some() => UdpSocket::bind(listen).await,
            bound => bound,
        };
        let socket = socket.map_err(failed)?;
        let node = self.kind.start(socket).map_err(failed)?;
        known.retain(|known| known.is_ipv4() == listen.is_ipv4() && *known != node.address());
        if self.node.borrow().is_some() {
            // Somebody else was quicker.
            node.stop().await;
            return Err(NetworkError::Joined);
        }
        self.node.replace(Some(node.clone()));
        self.stands(Standing::Starting, None);
        let this = self.clone();
        let begins = wish.known.is_empty();
        spawn_local(async move {
            let left = this.left.clone();
            tokio::select! {
                () = left.notified() => {}
                () = this.try_again_and_again(&node, &known, begins) => {}
            }
        });
        Ok(())
    }

    /// If it `begins` the network and nobody whom it met there answers, it is alone in it.
    async fn try_again_and_again(&self, node: &OverlayNode, known: &[SocketAddr], begins: bool) {
        let mut pause = AGAIN_FIRST;
        loop {
            let mut joined = node.join(known).await;
            if begins && joined == Ok(false) {
                joined = node.join(&[]).await;
            }
            match joined {
                Ok(true) => return self.stands(Standing::Up, None),
                Ok(false) => {
                    let known: Vec<_> = known.iter().map(ToString::to_string).collect();
                    let why = format!("nobody answers yet at {}", known.join(", "));
                    self.stands(Standing::Starting, Some(why));
                }
                Err(error) => return self.stands(Standing::Failed, Some(error.to_string())),
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(AGAIN_MAX);
        }
    }

    /// Writes down whom the node knows.
    async fn keep(&self) {
        let node = self.node.borrow().clone();
        if let Some(node) = node
            && let Ok(state) = node.state().await
        {
            self.kept.met(self.kind.name, node.address(), state.known);
        }
    }

    /// Hands over what the node holds, says goodbye and ends it.
    async fn leave(&self) {
        let node = self.node.take();
        self.left.notify_waiters();
        if let Some(node) = node {
            node.leave(FAREWELL).await;
            if self.node.borrow().is_none() {
                self.stands(Standing::Off, None);
            }
        }
    }

    async fn look(&self) -> Option<Looked> {
        let node = self.node.borrow().clone()?;
        let (sketch, state) = (node.sketch().await.ok()?, node.state().await.ok()?);
        Some(Looked { me: node.me(), sketch, state })
    }
}
