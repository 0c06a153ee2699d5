//! What is known of one neighbour.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::SocketAddr;

use machine::{Instant, Side};

use super::super::handshake::{Agreement, Block, Role};
use super::super::qrp::{Receiver, Table};
use super::super::{Guid, Vendor};

/// Kinds of vendor messages that we send to those who understand them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// `BEAR/11`: how many hits has the leaf got?
    QueryStatus = 1,
    /// `LIME/21`: pass pushes on for me.
    PushProxy = 2,
    /// `BEAR/7`: try to connect to me.
    ConnectBack = 4,
}

/// How far a connection is.
pub(super) enum Stage {
    /// Blocks that both sides have said so far.
    Greeting(Box<Greeting>),
    /// Messages.
    Up(Agreement),
}

/// What was said before there were messages.
#[derive(Default)]
pub(super) struct Greeting {
    pub(super) ours: Vec<Block>,
    pub(super) theirs: Vec<Block>,
}

/// A pong that may be told to others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) addr: SocketAddr,
    pub(super) files: u32,
    pub(super) kib: u32,
    pub(super) hops: u8,
}

/// Pongs that are kept of one neighbour.
pub(super) const PONGS_KEPT: usize = 10;

/// A neighbour.
pub(super) struct Peer<C> {
    pub(super) contact: C,
    pub(super) side: Side,
    pub(super) stage: Stage,
    /// It speaks version 0.4.
    pub(super) is_old: bool,
    /// Where it accepts connections, as far as is known.
    pub(super) listen: Option<SocketAddr>,
    pub(super) guid: Option<Guid>,
    /// Its words.
    pub(super) table: Receiver,
    /// The words that it has been told.
    pub(super) told: Option<Table>,
    /// When it was told.
    pub(super) told_at: Instant,
    /// A set of [`Speaks`].
    pub(super) speaks: u8,
    /// Its degree, as an ultrapeer.
    pub(super) degree: u32,
    pub(super) max_ttl: u8,
    /// Most hops of queries that it wants.
    pub(super) hops_flow: Option<u8>,
    /// It has been asked to pass pushes on to us.
    pub(super) asked_proxy: bool,
    /// It passes pushes on to us: here.
    pub(super) proxy: Option<SocketAddr>,
    pub(super) since: Instant,
    pub(super) heard: Instant,
    pub(super) pinged: Instant,
    pub(super) ponged: Option<Instant>,
    pub(super) pongs: Vec<Known>,
}

impl<C> Peer<C> {
    pub(super) fn new(contact: C, side: Side, now: Instant) -> Self {
        Self {
            contact,
            side,
            stage: Stage::Greeting(Box::default()),
            is_old: false,
            listen: None,
            guid: None,
            table: Receiver::new(),
            told: None,
            told_at: Instant::ZERO,
            speaks: 0,
            degree: 6,
            max_ttl: 4,
            hops_flow: None,
            asked_proxy: false,
            proxy: None,
            since: now,
            heard: now,
            pinged: now,
            ponged: None,
            pongs: Vec::new(),
        }
    }

    /// What it is to us, once there are messages.
    pub(super) const fn agreement(&self) -> Option<&Agreement> {
        match &self.stage {
            Stage::Up(agreement) => Some(agreement),
            Stage::Greeting(_) => None,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.agreement().is_some()
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.agreement().is_some_and(|agreement| agreement.theirs == Role::Leaf)
    }

    pub(super) fn is_ultrapeer(&self) -> bool {
        self.agreement().is_some_and(|agreement| agreement.theirs == Role::Ultrapeer)
    }

    pub(super) const fn speaks(&self, what: Speaks) -> bool {
        self.speaks & what as u8 != 0
    }

    /// Remembers that it understands a kind of message.
    pub(super) fn understands(&mut self, vendor: Vendor, selector: u16) {
        let what = match (&vendor.0, selector) {
            (b"BEAR", 11) => Speaks::QueryStatus,
            (b"LIME", 21) => Speaks::PushProxy,
            (b"BEAR", 7) => Speaks::ConnectBack,
            _ => return,
        };
        self.speaks |= what as u8;
    }

    /// Keeps a pong, in place of the oldest.
    pub(super) fn keep(&mut self, known: Known) {
        if let Some(same) = self.pongs.iter_mut().find(|kept| kept.addr == known.addr) {
            *same = known;
            return;
        }
        if self.pongs.len() >= PONGS_KEPT {
            self.pongs.remove(0);
        }
        self.pongs.push(known);
    }
}
