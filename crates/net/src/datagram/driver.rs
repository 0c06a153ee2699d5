//! The task that owns the machines of one socket.

use std::collections::{BinaryHeap, HashMap};
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant as SystemInstant};

use machine::{Cx, DatagramMachine, Instant, Machine, OpId, Outbox, Output, Rng, Send};
use nix::sys::socket::{SockaddrIn, SockaddrIn6};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::handle::{Control, Events, Handle, channels};
use super::link::{Link, Socket};
use super::outgoing::Outgoing;
use super::shared::{Inlet, Shared};
use super::{Arrival, Event, Protocol};
use crate::rate_limit::RateLimit;
use crate::utp::Endpoint;

/// Rounds of sending, commands, receiving and timers before other tasks get their turn.
const ROUNDS: usize = 8;
/// Commands taken in one round.
const COMMANDS_PER_ROUND: usize = 32;
/// Commands that may await their last answer at once; more are turned away.
const ASKED_MAX: usize = 4_096;

/// How machines are driven.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Datagrams per second that are heard from one host (an IPv4 address, or an IPv6 /64), with
    /// bursts of ten times as many; `None` is no limit.
    pub rate_per_host: Option<u32>,
}

/// What has gone through a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams received.
    pub received: u64,
    /// Of those, malformed and dropped.
    pub malformed: u64,
    /// Of those, dropped because their host sends too many.
    pub limited: u64,
    /// Datagrams given to the system to send.
    pub sent: u64,
    /// Messages dropped because too many waited to be sent.
    pub overflowed: u64,
    /// Events dropped because nobody took them.
    pub unheard: u64,
}

/// Runs machines on a socket of their own, from a task of the current `LocalSet`.
///
/// # Errors
/// If the socket does not say its own address, or the system gives no randomness.
///
/// # Panics
/// Outside of a tokio `LocalSet`.
pub fn spawn<P: Protocol>(
    socket: UdpSocket,
    protocol: P,
    machines: Vec<P::Machine>,
    config: Config,
) -> io::Result<(Handle<P>, Events<P>)> {
    let address = socket.local_addr()?;
    let (handle, events, ends) = channels(address);
    let core = Core::new(protocol, machines, config, ends.events)?;
    if address.is_ipv4() {
        let link = Socket::<SockaddrIn>::new(socket, P::DATAGRAM_MAX);
        tokio::task::spawn_local(run(core, link, ends.controls));
    } else {
        let link = Socket::<SockaddrIn6>::new(socket, P::DATAGRAM_MAX);
        tokio::task::spawn_local(run(core, link, ends.controls));
    }
    Ok((handle, events))
}

/// As [`spawn`], on a socket that uTP is spoken on. Datagrams come by `inlet`.
pub(crate) fn spawn_on<P: Protocol>(
    endpoint: Rc<Endpoint>,
    inlet: Inlet,
    protocol: P,
    machines: Vec<P::Machine>,
    config: Config,
) -> io::Result<(Handle<P>, Events<P>)> {
    let (handle, events, ends) = channels(endpoint.local_addr());
    let core = Core::new(protocol, machines, config, ends.events)?;
    tokio::task::spawn_local(run(core, Shared::new(endpoint, inlet), ends.controls));
    Ok((handle, events))
}

/// A timer that is set. The one that is due first is the greatest.
struct Due<T> {
    at: Instant,
    /// Timers of one moment fire in the order in which they were set.
    set: u64,
    node: usize,
    timer: T,
}

impl<T> PartialEq for Due<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Due<T> {}

impl<T> PartialOrd for Due<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Due<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.at, other.set).cmp(&(self.at, self.set))
    }
}

/// A command that awaits answers.
struct Asked<P: Protocol> {
    node: usize,
    answers: mpsc::Sender<Event<P>>,
}

/// The machines and what belongs to their inputs; no socket.
struct Core<P: Protocol> {
    protocol: P,
    machines: Vec<P::Machine>,
    epoch: SystemInstant,
    rng: Rng,
    outbox: Outbox<P::Machine>,
    timers: BinaryHeap<Due<<P::Machine as Machine>::Timer>>,
    timers_set: u64,
    asked: HashMap<OpId, Asked<P>>,
    ops: u64,
    events: mpsc::Sender<(usize, Event<P>)>,
    outgoing: Outgoing,
    limit: Option<RateLimit>,
    counters: Counters,
}

impl<P: Protocol> Core<P> {
    fn new(
        protocol: P,
        machines: Vec<P::Machine>,
        config: Config,
        events: mpsc::Sender<(usize, Event<P>)>,
    ) -> io::Result<Self> {
        let seed = getrandom::u64().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            protocol,
            machines,
            epoch: SystemInstant::now(),
            rng: Rng::new(seed),
            outbox: Outbox::new(),
            timers: BinaryHeap::new(),
            timers_set: 0,
            asked: HashMap::new(),
            ops: 0,
            events,
            outgoing: Outgoing::default(),
            limit: config.rate_per_host.map(RateLimit::new),
            counters: Counters::default(),
        })
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed()
    }

    /// Gives a machine one input and carries out what it asks for.
    fn input(
        &mut self,
        node: usize,
        now: Instant,
        input: impl FnOnce(&mut P::Machine, &mut Cx<'_, P::Machine>),
    ) {
        let Some(machine) = self.machines.get_mut(node) else { return };
        input(machine, &mut Cx::new(now, &mut self.rng, &mut self.outbox));
        for output in self.outbox.drain() {
            match output {
                Output::Effect(Send { to, message }) => {
                    let protocol = &mut self.protocol;
                    let room = self.outgoing.push(|out| protocol.encode(node, to, message, out));
                    self.counters.overflowed += u64::from(!room);
                }
                Output::Timer(at, timer) => {
                    self.timers_set += 1;
                    self.timers.push(Due { at, set: self.timers_set, node, timer });
                }
                Output::Event(op, event) => {
                    let heard = match op {
                        Some(op) => tell(&mut self.asked, op, event),
                        None => self.events.try_send((node, event)).is_ok(),
                    };
                    self.counters.unheard += u64::from(!heard);
                }
            }
        }
    }

    fn start(&mut self) {
        let now = self.now();
        for node in 0..self.machines.len() {
            self.input(node, now, |machine, cx| machine.on_start(cx));
        }
    }

    fn on_datagram(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        self.counters.received += 1;
        if let Some(limit) = &mut self.limit
            && !limit.admit(from.ip(), self.epoch + now.since(Instant::ZERO))
        {
            self.counters.limited += 1;
            return;
        }
        let fits = datagram.len() <= P::DATAGRAM_MAX;
        match self.protocol.decode(from, datagram).filter(|_| fits) {
            Some(Arrival { node, from, message }) => {
                self.input(node, now, |machine, cx| machine.on_message(from, message, cx));
                if let Some(command) = self.protocol.consequence() {
                    self.ops += 1;
                    let op = OpId(self.ops);
                    self.input(0, now, |machine, cx| machine.on_command(op, command, cx));
                }
            }
            None => self.counters.malformed += 1,
        }
    }

    /// Fires what is due; whether there was anything.
    fn fire(&mut self, now: Instant) -> bool {
        let mut fired = false;
        while self.timers.peek().is_some_and(|due| due.at <= now)
            && let Some(Due { node, timer, .. }) = self.timers.pop()
        {
            fired = true;
            self.input(node, now, |machine, cx| machine.on_timer(timer, cx));
        }
        fired
    }

    /// Calls off what nobody awaits any more.
    fn forget(&mut self) {
        let gone = self.asked.extract_if(|_, asked| asked.answers.is_closed());
        for (called_off, Asked { node, .. }) in gone.collect::<Vec<_>>() {
            if let Some(command) = P::cancel(called_off) {
                self.ops += 1;
                let (op, now) = (OpId(self.ops), self.now());
                self.input(node, now, |machine, cx| machine.on_command(op, command, cx));
            }
        }
    }

    /// Whether to go on.
    fn on_control(&mut self, control: Control<P>) -> bool {
        match control {
            Control::Command { node, command, answers } => {
                if self.asked.len() >= ASKED_MAX {
                    self.forget();
                }
                // Dropping the sender says that no answer comes.
                if self.asked.len() < ASKED_MAX && node < self.machines.len() {
                    self.ops += 1;
                    let op = OpId(self.ops);
                    if let Some(answers) = answers {
                        self.asked.insert(op, Asked { node, answers });
                    }
                    let now = self.now();
                    self.input(node, now, |machine, cx| machine.on_command(op, command, cx));
                }
                true
            }
            Control::Unheard => {
                self.forget();
                true
            }
            Control::Look(look) => {
                look(&self.machines, &self.counters);
                true
            }
            Control::Stop => false,
        }
    }
}

/// Tells whoever asked; whether they hear it.
fn tell<P: Protocol>(asked: &mut HashMap<OpId, Asked<P>>, op: OpId, event: Event<P>) -> bool {
    let last = P::is_last(&event);
    let heard = asked.get(&op).is_some_and(|asked| asked.answers.try_send(event).is_ok());
    if last {
        asked.remove(&op);
    }
    heard
}

async fn run<P: Protocol, L: Link>(
    mut core: Core<P>,
    mut link: L,
    mut controls: mpsc::Receiver<Control<P>>,
) {
    let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
    core.start();
    poll_fn(|cx| poll(&mut core, &mut link, &mut controls, sleep.as_mut(), cx)).await;
}

fn poll<P: Protocol, L: Link>(
    core: &mut Core<P>,
    link: &mut L,
    controls: &mut mpsc::Receiver<Control<P>>,
    sleep: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    for round in 0..ROUNDS {
        let waiting = core.outgoing.len();
        let sent = link.poll_send(cx, &mut core.outgoing);
        core.counters.sent += (waiting - core.outgoing.len()) as u64;
        // While the socket takes nothing more, nothing more is said.
        std::task::ready!(sent);
        let mut busy = false;
        for _ in 0..COMMANDS_PER_ROUND {
            match controls.poll_recv(cx) {
                Poll::Ready(Some(control)) => {
                    busy = true;
                    if !core.on_control(control) {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let now = core.now();
        // What has come is heard before anybody is found silent: this process may have been late.
        // If more keeps coming, timers wait no longer than these rounds.
        let heard = link.poll_receive(cx, |from, bytes| core.on_datagram(now, from, bytes));
        busy |= heard.is_ready();
        if heard.is_pending() || round + 1 == ROUNDS {
            busy |= core.fire(now);
        }
        if !busy {
            return poll_sleep(core, sleep, cx);
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Registers for the next timer.
fn poll_sleep<P: Protocol>(
    core: &Core<P>,
    mut sleep: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if let Some(due) = core.timers.peek() {
        let at = core.epoch + due.at.since(Instant::ZERO);
        let deadline = tokio::time::Instant::from_std(at);
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        if sleep.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
    Poll::Pending
}
