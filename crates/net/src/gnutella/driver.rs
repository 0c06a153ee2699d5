//! The task that owns the machine: one input at a time, from connections, datagrams, the user and
//! the clock.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant as SystemInstant};

use machine::{ConnId, Cx, Instant, Machine, OpId, Outbox, Output, Rng, Side, StreamMachine, Wire};
use search::gnutella::servent::{CloseReason, Command, Effect, Event, Servent, SharedFile};
use search::gnutella::{Descriptor, Frame, Sha1};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{oneshot, watch};

use super::link::{self, FRAMES_MAX, Outgoing};
use super::{Inner, Picture};
use crate::http_swarm;

/// Inputs that wait for the machine.
pub(super) const INPUTS_MAX: usize = 1_024;
/// Longest datagram that is read.
const DATAGRAM_MAX: usize = 64 * 1024;
/// Datagrams that wait to be sent; more are lost.
const DATAGRAMS_MAX: usize = 256;
/// Answers of one search that wait for its user; more are dropped.
pub(super) const ANSWERS_MAX: usize = 1_024;

/// What happens to the machine.
pub(super) enum Input {
    /// A connection of messages has come in, with bytes that were read of it.
    Accepted(TcpStream, SocketAddr, Vec<u8>),
    /// A dial has ended.
    Dialled(SocketAddr, io::Result<TcpStream>),
    Frame(ConnId, Frame),
    Closed(ConnId, CloseReason),
    Datagram(SocketAddr, Descriptor),
    /// A command, and who hears the answers.
    Command(Command<SocketAddr>, Option<Sender<Event<SocketAddr>>>),
    /// No more answers of a command are wanted.
    Unheard(OpId),
    /// Share a file, and say its number.
    Share(SharedFile, oneshot::Sender<u32>),
    Unshare(Sha1),
    /// Hits for everything that is shared.
    List(oneshot::Sender<Vec<u8>>),
    Look(oneshot::Sender<Picture>),
}

struct Core {
    inner: Arc<Inner>,
    machine: Servent<SocketAddr>,
    rng: Rng,
    outbox: Outbox<Servent<SocketAddr>>,
    began: SystemInstant,
    conns: HashMap<ConnId, Sender<Outgoing>>,
    next_conn: u32,
    asked: HashMap<OpId, Sender<Event<SocketAddr>>>,
    next_op: u64,
    /// When upkeep is due.
    due: Option<Instant>,
    datagrams: Sender<(SocketAddr, Vec<u8>)>,
}

/// Runs a machine until nobody can ask it anything.
pub(super) async fn run(
    inner: Arc<Inner>,
    machine: Servent<SocketAddr>,
    seed: u64,
    udp: Arc<UdpSocket>,
    mut inputs: Receiver<Input>,
    mut stop: watch::Receiver<()>,
) {
    let (datagrams, mut outgoing) = mpsc::channel::<(SocketAddr, Vec<u8>)>(DATAGRAMS_MAX);
    let socket = udp.clone();
    tokio::spawn(async move {
        while let Some((to, bytes)) = outgoing.recv().await {
            // Nobody may listen there.
            let _ = socket.send_to(&bytes, to).await;
        }
    });
    let mut core = Core {
        inner,
        machine,
        rng: Rng::new(seed),
        outbox: Outbox::new(),
        began: SystemInstant::now(),
        conns: HashMap::new(),
        next_conn: 0,
        asked: HashMap::new(),
        next_op: 1,
        due: None,
        datagrams,
    };
    core.input(|machine, cx| machine.on_start(cx));
    let mut datagram = vec![0; DATAGRAM_MAX];
    loop {
        let wait = core.due.map_or(Duration::from_secs(3_600), |due| due - core.now());
        tokio::select! {
            // The last handle is gone.
            _ = stop.changed() => return,
            input = inputs.recv() => match input {
                Some(input) => core.take(input),
                None => return,
            },
            received = udp.recv_from(&mut datagram) => {
                // What is malformed is dropped, and so is word of a port that nobody listens on.
                if let Ok((len, from)) = received
                    && let Ok(message) = Descriptor::decode(&datagram[..len])
                {
                    core.take(Input::Datagram(from, message));
                }
            }
            () = tokio::time::sleep(wait) => {
                if core.due.is_some_and(|due| due <= core.now()) {
                    core.due = None;
                    core.forget();
                    core.input(|machine, cx| {
                        machine.on_timer(search::gnutella::servent::Timer, cx);
                    });
                }
            }
        }
    }
}

impl Core {
    fn now(&self) -> Instant {
        Instant::ZERO + self.began.elapsed()
    }

    fn input(
        &mut self,
        input: impl FnOnce(&mut Servent<SocketAddr>, &mut Cx<'_, Servent<SocketAddr>>),
    ) {
        let now = self.now();
        input(&mut self.machine, &mut Cx::new(now, &mut self.rng, &mut self.outbox));
        let mut outbox = std::mem::take(&mut self.outbox);
        for output in outbox.drain() {
            match output {
                Output::Event(op, event) => self.event(op, event),
                Output::Effect(effect) => self.act(effect),
                Output::Timer(at, _) => {
                    self.due = Some(self.due.map_or(at, |due| due.min(at)));
                }
            }
        }
        self.outbox = outbox;
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Accepted(stream, peer, read) => self.open(stream, peer, Side::Listener, read),
            Input::Dialled(peer, Ok(stream)) => self.open(stream, peer, Side::Dialer, Vec::new()),
            Input::Dialled(peer, Err(_)) => {
                self.input(|machine, cx| machine.on_dial_failed(peer, cx));
            }
            Input::Frame(conn, frame) => {
                self.input(|machine, cx| machine.on_frame(conn, frame, cx));
            }
            Input::Closed(conn, why) => {
                self.conns.remove(&conn);
                self.input(|machine, cx| machine.on_close(conn, why, cx));
            }
            Input::Datagram(from, message) => {
                self.input(|machine, cx| machine.on_datagram(from, &message, cx));
            }
            Input::Command(command, answers) => {
                let op = OpId(self.next_op);
                self.next_op += 1;
                if let Some(answers) = answers {
                    self.asked.insert(op, answers);
                }
                self.input(|machine, cx| machine.on_command(op, command, cx));
            }
            Input::Unheard(op) => self.stop(op),
            Input::Share(file, answer) => {
                let sha1 = file.sha1;
                self.input(|machine, cx| machine.on_command(OpId(0), Command::Share(file), cx));
                let index = self.machine.library().index_of(sha1).unwrap_or_default();
                // Whoever asked may have gone away, here and below.
                let _ = answer.send(index);
            }
            Input::Unshare(sha1) => {
                self.input(|machine, cx| machine.on_command(OpId(0), Command::Unshare(sha1), cx));
            }
            Input::List(answer) => {
                let _ = answer.send(self.machine.listing());
            }
            Input::Look(answer) => {
                let _ = answer.send(Picture {
                    role: self.machine.role(),
                    neighbours: self.machine.neighbours().collect(),
                    hosts_known: self.machine.hosts_known(),
                    hosts: self.machine.save_hosts(),
                    waiting: self.inner.exchange.waiting(),
                    shared: self.machine.library().len(),
                    given: self.inner.exchange.given(),
                    counters: self.machine.counters(),
                });
            }
        }
    }

    /// Ends searches whose answers nobody hears any more.
    fn forget(&mut self) {
        let unheard = self.asked.iter().filter(|(_, answers)| answers.is_closed());
        let unheard: Vec<OpId> = unheard.map(|(op, _)| *op).collect();
        unheard.into_iter().for_each(|op| self.stop(op));
    }

    fn stop(&mut self, op: OpId) {
        self.asked.remove(&op);
        self.input(|machine, cx| machine.on_command(op, Command::StopSearch, cx));
    }

    fn open(&mut self, stream: TcpStream, peer: SocketAddr, side: Side, read: Vec<u8>) {
        let conn = ConnId(self.next_conn);
        self.next_conn = self.next_conn.wrapping_add(1);
        let (sender, outgoing) = mpsc::channel(FRAMES_MAX);
        self.conns.insert(conn, sender);
        let to_driver = self.inner.inputs.clone();
        self.input(|machine, cx| machine.on_open(conn, peer, side, cx));
        tokio::spawn(async move {
            if let Some(to_driver) = to_driver.upgrade() {
                link::run(conn, peer, side, stream, read, to_driver, outgoing).await;
            }
        });
    }

    fn act(&mut self, effect: Effect<SocketAddr>) {
        match effect {
            Effect::Dial(peer) => {
                let (inputs, dialer) =
                    (self.inner.inputs.clone(), self.inner.exchange.dialer.clone());
                tokio::spawn(async move {
                    let dialled = dialer.tcp(peer).await;
                    if let Some(inputs) = inputs.upgrade() {
                        // The driver may have ended.
                        let _ = inputs.send(Input::Dialled(peer, dialled)).await;
                    }
                });
            }
            Effect::Send(conn, frame) => {
                let full = self
                    .conns
                    .get(&conn)
                    .is_some_and(|link| link.try_send(Outgoing::Frame(frame)).is_err());
                // Too slow to read what it is sent: its link ends with the channel.
                if full {
                    self.conns.remove(&conn);
                }
            }
            Effect::Close(conn, why) => {
                tracing::debug!(?conn, ?why, "closing");
                if let Some(link) = self.conns.remove(&conn) {
                    // If there is no room the end of the channel says the same.
                    let _ = link.try_send(Outgoing::Close);
                }
            }
            Effect::Datagram(to, message) => {
                let mut bytes = Vec::new();
                message.encode(&mut bytes);
                // A datagram may be lost anywhere, here too.
                let _ = self.datagrams.try_send((to, bytes));
            }
        }
    }

    fn event(&mut self, op: Option<OpId>, event: Event<SocketAddr>) {
        if let Event::PushWanted { to, index } = event {
            http_swarm::give(&self.inner, to, index, self.inner.guid);
            return;
        }
        let Some(op) = op else {
            tracing::debug!(?event, "gnutella");
            return;
        };
        let gone = self.asked.get(&op).is_some_and(|answers| {
            matches!(answers.try_send(event), Err(mpsc::error::TrySendError::Closed(_)))
        });
        if gone && let Some(inputs) = self.inner.inputs.upgrade() {
            // If there is no room now, the next answer finds the same.
            let _ = inputs.try_send(Input::Unheard(op));
        }
    }
}
