//! Live nodes of the hash tables that `net` registers by name, one of each at most: where they listen,
//! whom they begin with, and what they know. One thread drives them, from the first that is joined
//! on. Here is no network's own rule; Chord and Kademlia have their own modules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use machine::dht::Contact;
use net::dht::{OVERLAYS, OverlayKind, OverlayNode, OverlayState, Sketch, resolve};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};

use super::chord::towards;
use super::picture::{Linked, Overlaid, Standing, Zone};
use super::{ChordStatus as Status, ChordWish as Wish, NetworkError, lock};

/// The first pause before a node that nobody answers tries again; each further one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// How long a node may take to hand over what it holds.
const FAREWELL: Duration = Duration::from_secs(3);

/// The kind that users call `name`.
pub(crate) fn kind(name: &str) -> Option<&'static OverlayKind> {
    OVERLAYS.iter().find(|kind| kind.name == name)
}

/// What is asked of the thread.
enum Request {
    Join(&'static OverlayKind, Wish, SyncSender<Result<(), NetworkError>>),
    Leave(&'static OverlayKind, SyncSender<()>),
    Look(&'static OverlayKind, SyncSender<Option<(Overlaid, OverlayState)>>),
}

/// How it stands with each kind that has been joined.
type Standings = Arc<Mutex<BTreeMap<&'static str, Status>>>;

struct Driver {
    requests: UnboundedSender<Request>,
    thread: JoinHandle<()>,
}

/// The nodes, from outside.
#[derive(Default)]
pub(crate) struct Overlays {
    driver: Mutex<Option<Driver>>,
    standings: Standings,
}

impl fmt::Debug for Overlays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lock(&self.standings).fmt(f)
    }
}

impl Overlays {
    /// Begins to become part of a network; [`Self::status`] says how that goes on.
    pub(crate) fn join(&self, kind: &'static OverlayKind, wish: Wish) -> Result<(), NetworkError> {
        let mut driver = lock(&self.driver);
        if driver.is_none() {
            *driver = Some(self.start().map_err(NetworkError::Start)?);
        }
        drop(driver);
        self.ask(|answer| Request::Join(kind, wish, answer)).ok_or(NetworkError::Ended)?
    }

    /// Leaves a network, with a goodbye; within seconds.
    pub(crate) fn leave(&self, kind: &'static OverlayKind) {
        self.ask(|answer| Request::Leave(kind, answer));
    }

    /// How it stands with a network.
    pub(crate) fn status(&self, kind: &'static OverlayKind) -> Status {
        lock(&self.standings).get(kind.name).cloned().unwrap_or_default()
    }

    /// What a picture of a node's tables is drawn from, and what it has counted; nothing if there
    /// is no such node.
    pub(crate) fn look(&self, kind: &'static OverlayKind) -> Option<(Overlaid, OverlayState)> {
        self.ask(|answer| Request::Look(kind, answer)).flatten()
    }

    /// Says goodbye to all and ends; within seconds.
    pub(crate) fn shutdown(&self) {
        let Some(Driver { requests, thread }) = lock(&self.driver).take() else { return };
        drop(requests);
        if thread.join().is_err() {
            tracing::error!("the thread of hash tables panicked");
        }
    }

    fn start(&self) -> std::io::Result<Driver> {
        let (requests, asked) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let standings = self.standings.clone();
        let thread = std::thread::Builder::new()
            .name("shoal-overlays".into())
            .spawn(move || LocalSet::new().block_on(&runtime, serve(asked, standings)))?;
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
async fn serve(mut asked: UnboundedReceiver<Request>, standings: Standings) {
    let hosts: BTreeMap<&str, Host> = OVERLAYS
        .iter()
        .map(|kind| {
            let standings = standings.clone();
            (kind.name, Host { kind, node: Rc::default(), standings, left: Rc::default() })
        })
        .collect();
    while let Some(request) = asked.recv().await {
        let (Request::Join(kind, ..) | Request::Leave(kind, _) | Request::Look(kind, _)) = &request;
        let Some(host) = hosts.get(kind.name).cloned() else { continue };
        spawn_local(async move {
            // Whoever asked may have gone away, everywhere here.
            match request {
                Request::Join(_, wish, answer) => {
                    let _ = answer.send(host.join(wish).await);
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
        host.leave().await;
    }
}

/// The node of one kind, if there is one; a clone is the same.
#[derive(Clone)]
struct Host {
    kind: &'static OverlayKind,
    node: Rc<RefCell<Option<OverlayNode>>>,
    standings: Standings,
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
    async fn join(&self, wish: Wish) -> Result<(), NetworkError> {
        if self.node.borrow().is_some() {
            return Err(NetworkError::Joined);
        }
        let mut known = Vec::new();
        for name in &wish.known {
            known.extend(resolve(name).await?);
        }
        let listen = match (wish.listen, known.first()) {
            (Some(listen), _) => listen,
            (None, Some(&first)) => SocketAddr::new(towards(first).await?, 0),
            (None, None) => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        };
        let failed = |source| NetworkError::Listen { address: listen, source };
        let socket = UdpSocket::bind(listen).await.map_err(failed)?;
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
        spawn_local(async move {
            let left = this.left.clone();
            tokio::select! {
                () = left.notified() => {}
                () = this.try_again_and_again(&node, &known) => {}
            }
        });
        Ok(())
    }

    async fn try_again_and_again(&self, node: &OverlayNode, known: &[SocketAddr]) {
        let mut pause = AGAIN_FIRST;
        loop {
            match node.join(known).await {
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

    async fn look(&self) -> Option<(Overlaid, OverlayState)> {
        let node = self.node.borrow().clone()?;
        let sketch = node.sketch().await.ok()?;
        Some((self.drawn(&node, sketch), node.state().await.ok()?))
    }

    fn drawn(&self, node: &OverlayNode, sketch: Sketch) -> Overlaid {
        let me = node.me();
        let links = sketch.links.into_iter().map(|link| Linked {
            what: link.what,
            rank: link.rank,
            id: link.peer.key().to_string(),
            address: link.peer.addr(),
        });
        let zones = sketch.zones.into_iter().map(|zone| Zone {
            owner: zone.owner,
            left: zone.corner[0],
            top: zone.corner[1],
            width: zone.size[0],
            height: zone.size[1],
        });
        Overlaid {
            system: self.kind.name,
            id: me.key().to_string(),
            address: me.addr(),
            rank: sketch.rank,
            ranks: sketch.ranks,
            links: links.collect(),
            zones: zones.collect(),
        }
    }
}
