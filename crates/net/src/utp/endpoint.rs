//! The driver of one socket: a task that moves datagrams between socket and machine, keeps time,
//! and wakes whoever waits for a connection.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bittorrent::utp::{Batch, Config, Handle, Mux};
use machine::Rng;
use tokio::net::UdpSocket;
use tokio::time::Sleep;

use super::stream::UtpStream;
use super::udp::{Udp, interface_mtu};

/// Bytes that are prepared before they are sent.
const BATCH: usize = 256 << 10;
/// Reads from the socket before acknowledgements are sent and others get their turn.
const READS_PER_TURN: usize = 24;
/// The clock starts here: 0 means "not measured" in packets.
const CLOCK_START: Duration = Duration::from_secs(1);

type OnDatagram = Box<dyn FnMut(SocketAddr, &[u8])>;

/// Who waits for one connection.
#[derive(Debug, Default)]
struct Waiters {
    read: Option<Waker>,
    write: Option<Waker>,
}

/// Counters of a socket since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointStats {
    /// Datagrams received, of all protocols.
    pub datagrams_in: u64,
    /// System calls that brought them.
    pub reads: u64,
    /// uTP datagrams sent.
    pub datagrams_out: u64,
    /// uTP datagrams that were malformed and dropped.
    pub malformed: u64,
}

/// What endpoint, streams and driver share.
pub(super) struct Shared {
    pub(super) mux: RefCell<Mux>,
    udp: RefCell<Udp>,
    local: SocketAddr,
    waiters: RefCell<Vec<Waiters>>,
    accepting: RefCell<Vec<Waker>>,
    closing: RefCell<Vec<Waker>>,
    driver: RefCell<Option<Waker>>,
    on_datagram: RefCell<Option<OnDatagram>>,
    stats: Cell<EndpointStats>,
    epoch: Instant,
}

impl Shared {
    pub(super) fn now(&self) -> machine::Instant {
        machine::Instant::ZERO + CLOCK_START + self.epoch.elapsed()
    }

    pub(super) fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Lets the driver run, if there is something to send.
    pub(super) fn kick(&self) {
        if self.mux.borrow().wants_to_send()
            && let Some(driver) = self.driver.borrow().as_ref()
        {
            driver.wake_by_ref();
        }
    }

    fn wait(
        &self,
        handle: Handle,
        cx: &Context<'_>,
        which: fn(&mut Waiters) -> &mut Option<Waker>,
    ) {
        let mut waiters = self.waiters.borrow_mut();
        if waiters.len() <= handle.index() {
            waiters.resize_with(handle.index() + 1, Waiters::default);
        }
        let slot = which(&mut waiters[handle.index()]);
        if !slot.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *slot = Some(cx.waker().clone());
        }
    }

    pub(super) fn wait_readable(&self, handle: Handle, cx: &Context<'_>) {
        self.wait(handle, cx, |waiters| &mut waiters.read);
    }

    pub(super) fn wait_writable(&self, handle: Handle, cx: &Context<'_>) {
        self.wait(handle, cx, |waiters| &mut waiters.write);
    }

    pub(super) fn release(&self, handle: Handle) {
        if let Some(waiters) = self.waiters.borrow_mut().get_mut(handle.index()) {
            *waiters = Waiters::default();
        }
        self.mux.borrow_mut().release(self.now(), handle);
        self.wake_driver();
    }

    fn wake_driver(&self) {
        if let Some(driver) = self.driver.borrow().as_ref() {
            driver.wake_by_ref();
        }
    }

    fn wake_waiters(&self) {
        let mut mux = self.mux.borrow_mut();
        let mut waiters = self.waiters.borrow_mut();
        while let Some((handle, events)) = mux.next_change() {
            let Some(waiters) = waiters.get_mut(handle.index()) else { continue };
            if (events.readable || events.closed)
                && let Some(waker) = waiters.read.take()
            {
                waker.wake();
            }
            if (events.writable || events.connected || events.closed)
                && let Some(waker) = waiters.write.take()
            {
                waker.wake();
            }
        }
        if mux.has_backlog() {
            self.accepting.borrow_mut().drain(..).for_each(Waker::wake);
        }
        if mux.is_empty() {
            self.closing.borrow_mut().drain(..).for_each(Waker::wake);
        }
    }
}

/// uTP on one UDP socket.
///
/// A clone is the same endpoint. The task that drives it ends once all clones and streams are gone
/// and what was written has been delivered.
#[derive(Clone)]
pub struct Endpoint {
    shared: Rc<Shared>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("local", &self.shared.local).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Drives uTP on `socket` from a task of the current `LocalSet`. `seed` comes from the system's
    /// randomness: connection numbers, which keep strangers out, follow from it.
    /// [`Config::interface_mtu`] is replaced by what the system knows.
    ///
    /// # Errors
    /// If the socket does not say its own address.
    ///
    /// # Panics
    /// Outside of a tokio `LocalSet`.
    pub fn new(socket: UdpSocket, config: Config, seed: u64) -> io::Result<Self> {
        let config = Config { interface_mtu, ..config };
        let udp = Udp::new(socket)?;
        let shared = Rc::new(Shared {
            mux: RefCell::new(Mux::new(config, Rng::new(seed))),
            local: udp.local_addr()?,
            udp: RefCell::new(udp),
            waiters: RefCell::default(),
            accepting: RefCell::default(),
            closing: RefCell::default(),
            driver: RefCell::default(),
            on_datagram: RefCell::default(),
            stats: Cell::default(),
            epoch: Instant::now(),
        });
        tokio::task::spawn_local(Driver::new(Rc::clone(&shared)).run());
        Ok(Self { shared })
    }

    /// The socket's own address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr()
    }

    /// Opens a connection: three tries within 21 seconds.
    ///
    /// # Errors
    /// If there are too many connections, or the other end refuses or does not answer.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<UtpStream> {
        let now = self.shared.now();
        let handle = self.shared.mux.borrow_mut().connect(now, to).map_err(io::Error::other)?;
        let stream = UtpStream::new(Rc::clone(&self.shared), handle, to);
        self.shared.kick();
        poll_fn(|cx| stream.poll_connected(cx)).await?;
        Ok(stream)
    }

    /// Waits for a connection that another end opens.
    pub async fn accept(&self) -> UtpStream {
        poll_fn(|cx| {
            let mut mux = self.shared.mux.borrow_mut();
            while let Some(handle) = mux.accept() {
                if let Some(peer) = mux.connection(handle).map(|connection| connection.peer()) {
                    return Poll::Ready(UtpStream::new(Rc::clone(&self.shared), handle, peer));
                }
            }
            self.shared.accepting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Hands datagrams that are not uTP to `take`, which must not block. It replaces an earlier one.
    pub fn on_datagram(&self, take: impl FnMut(SocketAddr, &[u8]) + 'static) {
        *self.shared.on_datagram.borrow_mut() = Some(Box::new(take));
    }

    /// Sends a datagram of another protocol, if the socket takes it now.
    ///
    /// # Errors
    /// As of `send_to`; [`io::ErrorKind::WouldBlock`] if the socket is full.
    pub fn send_to(&self, datagram: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.shared.udp.borrow().try_send(datagram, to)
    }

    /// Counters since the endpoint was made.
    #[must_use]
    pub fn stats(&self) -> EndpointStats {
        self.shared.stats.get()
    }

    /// Waits until all connections are over, whose streams have been dropped before.
    pub async fn wait_idle(&self) {
        poll_fn(|cx| {
            if self.shared.mux.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.shared.closing.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // The driver looks whether anyone is left.
        self.shared.wake_driver();
    }
}

struct Driver {
    shared: Rc<Shared>,
    batch: Batch,
}

impl Driver {
    fn new(shared: Rc<Shared>) -> Self {
        Self { shared, batch: Batch::new(BATCH) }
    }

    async fn run(mut self) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| self.poll(cx, sleep.as_mut())).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>, sleep: Pin<&mut Sleep>) -> Poll<()> {
        {
            let mut driver = self.shared.driver.borrow_mut();
            if !driver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *driver = Some(cx.waker().clone());
            }
        }
        let more = self.receive(cx);
        let now = self.shared.now();
        if self.shared.mux.borrow().next_timeout().is_some_and(|at| at <= now) {
            self.shared.mux.borrow_mut().on_timeout(now);
        }
        self.send(cx);
        self.shared.wake_waiters();
        if Rc::strong_count(&self.shared) == 1 && self.shared.mux.borrow().is_empty() {
            return Poll::Ready(());
        }
        if more {
            cx.waker().wake_by_ref();
        }
        self.poll_sleep(cx, sleep);
        Poll::Pending
    }

    /// Takes in what has arrived; `true` if more may wait.
    fn receive(&self, cx: &mut Context<'_>) -> bool {
        let mut udp = self.shared.udp.borrow_mut();
        let mut stats = self.shared.stats.get();
        let mut more = true;
        for _ in 0..READS_PER_TURN {
            let received = match udp.poll_receive(cx) {
                Poll::Ready(Ok(received)) => received,
                // An earlier datagram came back as unreachable.
                Poll::Ready(Err(_)) => continue,
                Poll::Pending => {
                    more = false;
                    break;
                }
            };
            stats.reads += 1;
            let now = self.shared.now();
            let mut mux = self.shared.mux.borrow_mut();
            for datagram in received.datagrams {
                stats.datagrams_in += 1;
                if bittorrent::utp::looks_like_utp(datagram) {
                    let result = mux.on_datagram(now, received.from, datagram);
                    stats.malformed += u64::from(result.is_err());
                } else if let Some(take) = self.shared.on_datagram.borrow_mut().as_mut() {
                    take(received.from, datagram);
                }
            }
        }
        self.shared.stats.set(stats);
        more
    }

    fn send(&mut self, cx: &mut Context<'_>) {
        let mut udp = self.shared.udp.borrow_mut();
        loop {
            if udp.poll_send(cx, &mut self.batch).is_pending() {
                return;
            }
            let now = self.shared.now();
            self.shared.mux.borrow_mut().transmit(now, &mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            let mut stats = self.shared.stats.get();
            stats.datagrams_out +=
                self.batch.runs().iter().map(|run| run.datagrams() as u64).sum::<u64>();
            self.shared.stats.set(stats);
        }
    }

    fn poll_sleep(&self, cx: &mut Context<'_>, mut sleep: Pin<&mut Sleep>) {
        let Some(at) = self.shared.mux.borrow().next_timeout() else { return };
        let since_epoch = (at - machine::Instant::ZERO).saturating_sub(CLOCK_START);
        let deadline = tokio::time::Instant::from_std(self.shared.epoch + since_epoch);
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        if sleep.poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}
