//! One connection: bytes in, frames to the machine; frames and blocks out, within the limits.
//!
//! Blocks are read from the socket straight into their pieces where that is possible: the peer
//! usually answers requests in order, so one `readv` is laid out over the blocks that should come,
//! each behind a small buffer for its head. Where the bytes turn out to be anything else they are
//! parsed from a copy. Frames overtake queued blocks.

mod inbound;
mod outbound;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bittorrent::id::{Block, InfoHash};
use bittorrent::mse::Ciphers;
use bittorrent::peer_wire::{Frame, PeerFraming};
use bittorrent::swarm::CloseReason;
use machine::{ConnId, Framing};

use super::picture::Transport;
use super::stream::Stream;
use super::throttle::Turns;
use super::torrent::Torrent;
use inbound::Inbound;
use outbound::Outbound;

/// Rounds of reading and writing in one poll, so that one fast peer does not starve the others.
const ROUNDS_MAX: usize = 8;

/// What the torrent holds of a connection.
pub(super) struct ConnHandle {
    pub(super) id: ConnId,
    pub(super) address: SocketAddr,
    pub(super) transport: Transport,
    pub(super) encrypted: bool,
    /// For which hash we dialled it, if we did.
    pub(super) dialled: Option<InfoHash>,
    /// Its handshake has arrived.
    pub(super) greeted: Cell<bool>,
    pub(super) queue: RefCell<Queue>,
    closing: Cell<Option<CloseReason>>,
    waker: RefCell<Option<Waker>>,
    up: Turns,
    down: Turns,
}

/// What waits to be sent, and what is awaited.
pub(super) struct Queue {
    pub(super) framing: PeerFraming,
    /// Encoded frames.
    pub(super) frames: Vec<u8>,
    /// Blocks of ours to send.
    pub(super) blocks: VecDeque<Block>,
    /// Blocks that we asked for, in the order of asking.
    pub(super) expected: VecDeque<Block>,
    /// A read of cold data that is under way, or its result.
    pub(super) cold: Cold,
}

/// State of a read that must not block the reactor.
#[derive(Debug, Default)]
pub(super) enum Cold {
    #[default]
    None,
    /// A disk thread is reading the block at the front of the queue.
    Reading,
    /// The block has been read.
    Ready(Block, Vec<u8>),
}

impl ConnHandle {
    pub(super) fn new(
        id: ConnId,
        address: SocketAddr,
        transport: Transport,
        encrypted: bool,
        dialled: Option<InfoHash>,
        framing: PeerFraming,
    ) -> Rc<Self> {
        let queue = Queue {
            framing,
            frames: Vec::new(),
            blocks: VecDeque::new(),
            expected: VecDeque::new(),
            cold: Cold::None,
        };
        Rc::new(Self {
            id,
            address,
            transport,
            encrypted,
            dialled,
            greeted: Cell::new(false),
            queue: RefCell::new(queue),
            closing: Cell::new(None),
            waker: RefCell::new(None),
            up: Turns::default(),
            down: Turns::default(),
        })
    }

    /// Queues a frame.
    pub(super) fn send(&self, frame: &Frame<SocketAddr>) {
        let queue = &mut *self.queue.borrow_mut();
        match frame {
            Frame::Request(block) => queue.expected.push_back(*block),
            Frame::Cancel(block) => queue.expected.retain(|other| other != block),
            _ => {}
        }
        queue.framing.encode(frame, &mut queue.frames);
    }

    /// Asks the connection to end.
    pub(super) fn close(&self, why: CloseReason) {
        if self.closing.get().is_none() {
            self.closing.set(Some(why));
        }
        self.wake();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get().is_some()
    }

    /// Why the connection should end, if it should.
    pub(super) fn closing(&self) -> Option<CloseReason> {
        self.closing.get()
    }

    /// Whom to wake when a queue has changed.
    pub(super) fn set_waker(&self, waker: &Waker) {
        let mut current = self.waker.borrow_mut();
        if !current.as_ref().is_some_and(|current| current.will_wake(waker)) {
            *current = Some(waker.clone());
        }
    }

    /// Lets the connection look at its queues again.
    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

/// The task of one connection.
pub(super) struct Conn {
    torrent: Rc<Torrent>,
    handle: Rc<ConnHandle>,
    stream: Stream,
    ciphers: Option<Box<Ciphers>>,
    inbound: Inbound,
    outbound: Outbound,
}

impl Conn {
    pub(super) fn new(
        torrent: Rc<Torrent>,
        handle: Rc<ConnHandle>,
        stream: Stream,
        ciphers: Option<Box<Ciphers>>,
    ) -> Self {
        let (inbound, outbound) = (Inbound::default(), Outbound::default());
        Self { torrent, handle, stream, ciphers, inbound, outbound }
    }

    /// Runs the connection, which has already received `first`, until it ends, and says why.
    pub(super) async fn run(mut self, first: &[u8]) -> CloseReason {
        let begun = self.feed(first);
        let why = match begun {
            Err(why) => why,
            Ok(()) => std::future::poll_fn(|cx| self.poll(cx)).await,
        };
        self.release_all();
        why
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.torrent.set_polled(Some(self.handle.id));
        let polled = self.poll_rounds(cx);
        self.torrent.set_polled(None);
        polled
    }

    fn poll_rounds(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.handle.set_waker(cx.waker());
        for _ in 0..ROUNDS_MAX {
            let written = self.poll_write(cx);
            if let Some(why) = self.handle.closing.get() {
                return Poll::Ready(why);
            }
            if let Poll::Ready(Err(_)) = written {
                return Poll::Ready(CloseReason::Gone);
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(why)) => return Poll::Ready(why),
                // What was read in earlier rounds may have queued more to write.
                Poll::Pending => {
                    if self.has_output() && written.is_ready() {
                        continue;
                    }
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
