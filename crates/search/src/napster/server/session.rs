//! One connection and who is on it.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use machine::Instant;

use crate::napster::{Credentials, LinkSpeed, Nick, Text};

/// Seconds' worth of what is allowed that may come at once.
const BURST: u64 = 10;
/// Files that somebody asked to be sent, and that were not accepted yet, which are remembered.
pub(super) const PUSHES_MAX: usize = 32;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody has logged in.
    New,
    /// An account is being looked at.
    Checking,
    /// Somebody is logged in.
    User,
    /// It is about to be closed.
    Closing,
}

/// So many a second, and some more at once: the moment until which all is used up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket(Instant);

impl Bucket {
    pub(super) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        let each = Duration::from_nanos(1_000_000_000 / u64::from(per_second.max(1)));
        let used = self.0.max(now) + each;
        if used - now > Duration::from_secs(BURST) {
            return false;
        }
        self.0 = used;
        true
    }
}

/// What somebody wants who is not logged in yet.
#[derive(Clone, Debug)]
pub(super) enum Wish {
    /// To know whether a name is free.
    Check,
    Login(Credentials),
    Register(Credentials),
    /// He is logged in, and changes his account.
    Change,
    /// He is logged in, and wants to know of somebody who is not.
    WhoWas(Nick),
}

#[derive(Debug)]
pub(super) struct Session<C> {
    pub peer: C,
    pub state: State,
    pub wish: Option<Wish>,
    pub nick: Option<Nick>,
    pub since: Instant,
    pub port: u16,
    pub link: LinkSpeed,
    pub client: Text,
    pub shared: u32,
    pub downloads: u32,
    pub uploads: u32,
    pub questions: u32,
    pub channels: BTreeSet<Vec<u8>>,
    pub hotlist: BTreeSet<Nick>,
    /// Owner and name of files that are to be sent rather than fetched, latest first.
    pub pushes: Vec<(Nick, Text)>,
    pub speaking: Bucket,
    pub searching: Bucket,
}

impl<C> Session<C> {
    pub(super) fn new(peer: C, now: Instant) -> Self {
        Self {
            peer,
            state: State::New,
            wish: None,
            nick: None,
            since: now,
            port: 0,
            link: LinkSpeed::default(),
            client: Text::default(),
            shared: 0,
            downloads: 0,
            uploads: 0,
            questions: 0,
            channels: BTreeSet::new(),
            hotlist: BTreeSet::new(),
            pushes: Vec::new(),
            speaking: Bucket(now),
            searching: Bucket(now),
        }
    }

    /// Whether somebody is logged in: also while his account is changed.
    pub(super) fn is_user(&self) -> bool {
        self.nick.is_some() && matches!(self.state, State::User | State::Checking)
    }
}
