//! Datagrams of a socket on which uTP is spoken too: whoever reads it leaves them here.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::link::Link;
use super::outgoing::Outgoing;
use crate::utp::Endpoint;

/// Most datagrams that wait for the driver.
const INLET_MAX: usize = 1_024;

/// The driver's side of a socket on which uTP is spoken too.
pub(super) struct Shared {
    endpoint: Rc<Endpoint>,
    inlet: Inlet,
}

/// Where whoever reads a shared socket leaves datagrams for the driver.
#[derive(Clone, Default)]
pub(crate) struct Inlet(Rc<RefCell<Waiting>>);

#[derive(Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Box<[u8]>)>,
    waker: Option<Waker>,
}

impl Inlet {
    /// Leaves a datagram, unless too many wait.
    pub(crate) fn push(&self, from: SocketAddr, datagram: &[u8]) {
        let mut waiting = self.0.borrow_mut();
        if waiting.datagrams.len() < INLET_MAX {
            waiting.datagrams.push_back((from, datagram.into()));
        }
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }
}

impl Shared {
    pub(super) fn new(endpoint: Rc<Endpoint>, inlet: Inlet) -> Self {
        Self { endpoint, inlet }
    }
}

impl Link for Shared {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> Poll<()> {
        let mut waiting = self.inlet.0.borrow_mut();
        if waiting.datagrams.is_empty() {
            waiting.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let datagrams = std::mem::take(&mut waiting.datagrams);
        drop(waiting);
        datagrams.into_iter().for_each(|(from, datagram)| take(from, &datagram));
        Poll::Ready(())
    }

    fn poll_send(&mut self, _cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<()> {
        let mut count = 0;
        for (to, datagram) in outgoing.iter() {
            // A full socket loses a few datagrams, as a full link would.
            let _ = self.endpoint.send_to(datagram, to);
            count += 1;
        }
        outgoing.pop(count);
        Poll::Ready(())
    }
}
