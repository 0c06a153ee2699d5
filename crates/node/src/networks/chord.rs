//! A node of Chord, live: where it listens, whom it begins with, and what it knows of its ring.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::dht::chord::{BITS, Config, Peer, Position};
use machine::dht::Contact;
use net::dht::{ChordNode, resolve};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::spawn_local;

use super::picture::{Finger, Place, Ring, Standing};
use super::{NetworkError, lock};

/// The first pause before a node that nobody answers tries again; each further one is twice as long.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
/// The longest.
const AGAIN_MAX: Duration = Duration::from_secs(300);
/// How long a node may take to hand over what it holds.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a node of Chord is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChordWish {
    /// Where it listens; `None` for a free port of the address that leads to the others.
    pub(crate) listen: Option<SocketAddr>,
    /// Nodes of the ring, as `HOST:PORT`; none to begin one.
    pub(crate) known: Vec<String>,
}

/// How it stands with the node of Chord.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChordStatus {
    pub(crate) standing: Standing,
    pub(crate) error: Option<String>,
    pub(crate) address: Option<SocketAddr>,
}

/// The node of Chord, if there is one; a clone is the same.
#[derive(Clone)]
pub(super) struct Chord {
    node: Rc<RefCell<Option<ChordNode>>>,
    status: Arc<Mutex<ChordStatus>>,
    left: Rc<Notify>,
}

impl Chord {
    pub(super) fn new(status: Arc<Mutex<ChordStatus>>) -> Self {
        Self { node: Rc::default(), status, left: Rc::default() }
    }

    fn stands(&self, standing: Standing, error: Option<String>) {
        let mut status = lock(&self.status);
        status.standing = standing;
        status.error = error;
        if standing == Standing::Off {
            status.address = None;
        }
    }

    /// Starts a node that goes on trying to become part of the ring, until it is or is told to
    /// leave.
    pub(super) async fn join(&self, wish: ChordWish) -> Result<(), NetworkError> {
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
        let node = ChordNode::start(socket, 1, Arc::new(Config::responsive())).map_err(failed)?;
        known.retain(|known| known.is_ipv4() == listen.is_ipv4() && *known != node.address());
        if self.node.borrow().is_some() {
            // Somebody else was quicker.
            node.handle().stop().await;
            return Err(NetworkError::Joined);
        }
        lock(&self.status).address = Some(node.address());
        self.stands(Standing::Starting, None);
        self.node.replace(Some(node.clone()));
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

    async fn try_again_and_again(&self, node: &ChordNode, known: &[SocketAddr]) {
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
    pub(super) async fn leave(&self) {
        let node = self.node.take();
        self.left.notify_waiters();
        if let Some(node) = node {
            node.leave(FAREWELL).await;
        }
        if self.node.borrow().is_none() {
            self.stands(Standing::Off, None);
        }
    }

    /// What the node knows of its ring, and how many values it holds.
    pub(super) async fn ring(&self) -> Option<(Ring, usize)> {
        let node = self.node.borrow().clone()?;
        let look = node.handle().look(|vnodes, _| {
            let node = vnodes.first()?;
            let me = node.me();
            let mut fingers: Vec<Finger> = Vec::new();
            for index in 0..BITS {
                let Some(peer) = node.finger(index) else { continue };
                let node = place(&peer);
                // A node is named once, by its nearest finger.
                if peer != me && fingers.iter().all(|finger| finger.node != node) {
                    let from = Position::new(me.key().front());
                    let start = from.plus(1 << index).key().to_string();
                    fingers.push(Finger { index, start, node });
                }
            }
            let ring = Ring {
                id: me.key().to_string(),
                address: me.addr(),
                predecessor: node.predecessor().filter(|peer| *peer != me).as_ref().map(place),
                successors: node
                    .successors()
                    .iter()
                    .filter(|peer| **peer != me)
                    .map(place)
                    .collect(),
                fingers,
            };
            Some((ring, node.keys().count()))
        });
        look.await.ok().flatten()
    }
}

fn place(peer: &Peer) -> Place {
    Place { id: peer.key().to_string(), address: peer.addr() }
}

/// Our address on the way to `first`.
pub(super) async fn towards(first: SocketAddr) -> Result<IpAddr, NetworkError> {
    let no_way = |source| NetworkError::NoWay { address: first, source };
    let any: IpAddr =
        if first.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: connecting a UDP socket only looks up the route.
    let socket = UdpSocket::bind((any, 0)).await.map_err(no_way)?;
    socket.connect(first).await.map_err(no_way)?;
    Ok(socket.local_addr().map_err(no_way)?.ip())
}
