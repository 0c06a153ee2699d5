//! The machine of a server: who is logged in under which name, and what they say to each other and to
//! the index. It asks its driver to search, to keep accounts and to try ports, and goes on with other
//! users while those work. What does not live here: the index, passwords, bytes of files.
//!
//! A user's messages are handled in the order in which he sends them. While an account is looked at,
//! the connection is paused; questions to the index are answered in the order they were asked.

mod channels;
mod limits;
mod login;
mod questions;
mod session;
mod talk;
mod transfers;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use machine::{ConnId, Contact, Cx, Instant, Machine, OpId, Payload, Side, StreamMachine};

pub use limits::Limits;
use questions::Purpose;
pub use questions::{Ask, Indexed, answer};
use session::{Session, State};

use super::index::Counts;
use super::{ClientMessage, Frame, Nick, Query, ServerMessage, SharedFile, Text};

/// How users' addresses are told to others: the protocol has room for IPv4 alone.
pub trait UserContact: Contact {
    /// The address, unspecified if there is none of IPv4.
    fn ipv4(&self) -> Ipv4Addr;
}

impl UserContact for SocketAddr {
    fn ipv4(&self) -> Ipv4Addr {
        match self {
            Self::V4(address) => *address.ip(),
            Self::V6(address) => address.ip().to_ipv4_mapped().unwrap_or(Ipv4Addr::UNSPECIFIED),
        }
    }
}

/// What the machine asks of whoever keeps accounts, each answered by [`Command::Account`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskAccount {
    /// Whether a name is registered.
    IsTaken(Nick),
    /// Whether this is the password of a name, if that is registered.
    Check(Nick, String),
    /// Registers a name.
    Register(Nick, String, String),
    /// Another password.
    ChangePassword(Nick, String),
    /// Another address of mail.
    ChangeEmail(Nick, String),
    /// When a name was here last.
    LastSeen(Nick),
}

/// What is known of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// No such name is registered.
    Free,
    /// It is; with its address of mail, and when it was here last, in seconds since 1970.
    Known(String, u64),
    /// The password is another.
    Denied,
    /// It could not be looked at, or too many ask.
    Failed,
}

/// What the driver and its user tell the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// The index answers the question with this number.
    Indexed(u64, Indexed),
    /// The account of whoever logs in on a connection.
    Account(ConnId, Account),
    /// The port of whoever is on a connection was tried.
    Probed(ConnId, u16, bool),
    /// Says something to everybody.
    Announce(Text),
    /// Asks for [`Event::Status`].
    Status,
}

/// What the machine tells its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// How it stands.
    Status(Status),
}

/// How it stands with a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Connections.
    pub connections: u32,
    /// Users who are logged in.
    pub users: u32,
    /// Channels.
    pub channels: u32,
    /// What the index said last.
    pub shared: Counts,
    /// Searches that were answered.
    pub searches: u64,
    /// Messages that were refused, because they were malformed, too many, or out of place.
    pub refused: u64,
}

/// What the machine asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sends a message.
    Send(ConnId, Frame),
    /// Closes a connection once what was sent has left.
    Close(ConnId),
    /// Asks the index; the number comes back with the answer.
    Ask(u64, Ask),
    /// Asks for an account.
    AskAccount(ConnId, AskAccount),
    /// Tries whether a peer answers at an address, with the greeting of peers.
    Probe(ConnId, SocketAddrV4),
    /// Whether to go on reading from a connection.
    Read(ConnId, bool),
}

/// What happens by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Tells users how much there is, and closes connections that never logged in.
    Tick,
}

/// A server.
#[derive(Debug)]
pub struct Server<C: UserContact> {
    limits: Limits,
    /// What it calls itself.
    name: Text,
    motd: Vec<Text>,
    sessions: BTreeMap<ConnId, Session<C>>,
    hosts: BTreeMap<C::Host, u32>,
    nicks: BTreeMap<Nick, ConnId>,
    /// Who wants to hear of a name.
    watchers: BTreeMap<Nick, BTreeSet<ConnId>>,
    channels: BTreeMap<Vec<u8>, channels::Channel>,
    asked: BTreeMap<u64, Purpose>,
    next_question: u64,
    counts: Counts,
    searches: u64,
    refused: u64,
    /// Connections that are not logged in yet, in the order they came.
    waiting: VecDeque<(Instant, ConnId)>,
}

impl<C: UserContact> Server<C> {
    /// A server without users, that greets them with `motd`.
    #[must_use]
    pub fn new(name: &str, motd: &str, limits: Limits) -> Self {
        Self {
            limits,
            name: name.into(),
            motd: motd.lines().map(Text::from).collect(),
            sessions: BTreeMap::new(),
            hosts: BTreeMap::new(),
            nicks: BTreeMap::new(),
            watchers: BTreeMap::new(),
            channels: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_question: 0,
            counts: Counts::default(),
            searches: 0,
            refused: 0,
            waiting: VecDeque::new(),
        }
    }

    /// What it allows.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            connections: self.sessions.len() as u32,
            users: self.nicks.len() as u32,
            channels: self.channels.len() as u32,
            shared: self.counts,
            searches: self.searches,
            refused: self.refused,
        }
    }

    fn say(&self, conn: ConnId, message: &ServerMessage, cx: &mut Cx<'_, Self>) {
        cx.effect(Effect::Send(conn, message.frame()));
    }

    /// Says what went wrong: by message 0 before the login, by 404 after it.
    fn complain(&mut self, conn: ConnId, why: &str, cx: &mut Cx<'_, Self>) {
        self.refused += 1;
        let is_user = self.sessions.get(&conn).is_some_and(Session::is_user);
        let message = if is_user {
            ServerMessage::Notice(why.into())
        } else {
            ServerMessage::Error(why.into())
        };
        self.say(conn, &message, cx);
    }

    fn close(&mut self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.state = State::Closing;
        }
        self.say(conn, &ServerMessage::Disconnecting, cx);
        cx.effect(Effect::Close(conn));
    }

    fn on_message(&mut self, conn: ConnId, message: ClientMessage, cx: &mut Cx<'_, Self>) {
        use ClientMessage as M;
        match message {
            M::Login(_) | M::Register(_) | M::NickCheck(_) => {
                self.complain(conn, "you are already logged in", cx);
                self.close(conn, cx);
            }
            M::Share(files) => self.on_share(conn, files, cx),
            M::Unshare(name) => {
                if let Some(nick) = self.nick(conn) {
                    self.ask_for(conn, Ask::Unshare(nick, name), Purpose::Unshare(conn), cx);
                }
            }
            M::Search(query) => self.on_search(conn, query, cx),
            M::Browse(nick) => {
                if self.nicks.contains_key(&nick) {
                    let ask = Ask::Browse(nick.clone(), self.limits.browsed);
                    self.ask_for(conn, ask, Purpose::Browse(conn, nick), cx);
                } else {
                    self.say(conn, &ServerMessage::SignOff(nick.clone()), cx);
                    self.say(conn, &ServerMessage::BrowseEnd(nick), cx);
                }
            }
            M::Resume(hash, size) => {
                let ask = Ask::Twins(hash, size, self.limits.twins);
                self.ask_for(conn, ask, Purpose::Twins(conn), cx);
            }
            M::Stats => self.tell_stats(conn, cx),
            M::Motd => self.tell_motd(conn, cx),
            M::Download(from, name) => self.on_download(conn, from, name, false, cx),
            M::DownloadPushed(from, name) => self.on_download(conn, from, name, true, cx),
            M::AcceptUpload(to, name) => self.on_accept(conn, to, name, cx),
            M::QueueLimit(to, name, limit) => self.on_limit(conn, to, name, limit, cx),
            M::Downloading(begins) => self.count(conn, begins, |session| &mut session.downloads),
            M::Uploading(begins) => self.count(conn, begins, |session| &mut session.uploads),
            M::PortError(nick) => self.relay(conn, &nick, ServerMessage::PortError, cx),
            M::CheckPort(port) | M::ChangePort(port) => self.on_port(conn, port, cx),
            M::ChangeLink(link) => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.link = link;
                }
                self.enter(conn, cx);
            }
            M::ChangePassword(password) => {
                self.change(conn, cx, |nick| AskAccount::ChangePassword(nick, password))
            }
            M::ChangeEmail(email) => {
                self.change(conn, cx, |nick| AskAccount::ChangeEmail(nick, email));
            }
            talk => self.on_talk(conn, talk, cx),
        }
    }

    fn on_share(&mut self, conn: ConnId, files: Vec<SharedFile>, cx: &mut Cx<'_, Self>) {
        let Some(nick) = self.nick(conn) else { return };
        let max = self.limits.files;
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let count = files.len() as u32;
        if session.shared.saturating_add(count) > max {
            self.complain(conn, "you share as many files as one may", cx);
            return;
        }
        session.shared += count;
        self.ask_for(conn, Ask::Share(nick, files), Purpose::Share(conn, count), cx);
    }

    fn on_search(&mut self, conn: ConnId, query: Query, cx: &mut Cx<'_, Self>) {
        let (now, rate) = (cx.now(), self.limits.searches_per_second);
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.searching.take(now, rate) {
            self.ask_for(conn, Ask::Search(query), Purpose::Search(conn), cx);
        } else {
            self.complain(conn, "too many searches", cx);
            self.say(conn, &ServerMessage::SearchEnd, cx);
        }
    }

    fn count(&mut self, conn: ConnId, up: bool, of: impl Fn(&mut Session<C>) -> &mut u32) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            let count = of(session);
            *count = if up { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
    }

    fn tell_stats(&self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        let Counts { files, bytes, .. } = self.counts;
        let stats = ServerMessage::Stats(self.nicks.len() as u32, files, bytes >> 30);
        self.say(conn, &stats, cx);
    }

    fn tell_motd(&self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        for line in &self.motd {
            self.say(conn, &ServerMessage::Motd(line.clone()), cx);
        }
        self.say(conn, &ServerMessage::Motd(Text::default()), cx);
    }

    fn nick(&self, conn: ConnId) -> Option<Nick> {
        self.sessions.get(&conn).filter(|session| session.is_user())?.nick.clone()
    }
}

impl<C: UserContact> Machine for Server<C> {
    type Command = Command;
    type Event = Event;
    type Timer = Timer;
    type Effect = Effect;

    fn on_start(&mut self, cx: &mut Cx<'_, Self>) {
        self.ask(Ask::Counts, Purpose::Counts, cx);
        cx.set_timer(self.limits.tick, Timer::Tick);
    }

    fn on_command(&mut self, op: OpId, command: Command, cx: &mut Cx<'_, Self>) {
        match command {
            Command::Indexed(question, said) => self.on_indexed(question, said, cx),
            Command::Account(conn, account) => self.on_account(conn, account, cx),
            Command::Probed(conn, port, reached) => self.on_probed(conn, port, reached, cx),
            Command::Announce(text) => {
                for conn in self.nicks.values() {
                    self.say(*conn, &ServerMessage::Notice(text.clone()), cx);
                }
            }
            Command::Status => cx.answer(op, Event::Status(self.status())),
        }
    }

    fn on_timer(&mut self, Timer::Tick: Timer, cx: &mut Cx<'_, Self>) {
        cx.set_timer(self.limits.tick, Timer::Tick);
        self.ask(Ask::Counts, Purpose::Counts, cx);
        for conn in self.nicks.values() {
            self.tell_stats(*conn, cx);
        }
        while let Some((since, conn)) = self.waiting.front().copied() {
            if cx.now() - since < self.limits.login_time {
                break;
            }
            self.waiting.pop_front();
            if self.sessions.get(&conn).is_some_and(|session| session.state == State::New) {
                self.close(conn, cx);
            }
        }
    }
}

impl<C: UserContact> StreamMachine for Server<C> {
    type Contact = C;
    type Frame = Frame;
    type CloseReason = ();

    fn on_open(&mut self, conn: ConnId, peer: C, _: Side, cx: &mut Cx<'_, Self>) {
        let from_host = self.hosts.entry(peer.host()).or_default();
        *from_host += 1;
        let too_many = *from_host > self.limits.per_host;
        self.sessions.insert(conn, Session::new(peer, cx.now()));
        self.waiting.push_back((cx.now(), conn));
        if too_many || self.sessions.len() > self.limits.connections {
            self.complain(conn, "this server is full", cx);
            self.close(conn, cx);
        }
    }

    fn on_frame(&mut self, conn: ConnId, frame: Frame, cx: &mut Cx<'_, Self>) {
        let (now, rate) = (cx.now(), self.limits.messages_per_second);
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.state == State::Closing {
            return;
        }
        if !session.speaking.take(now, rate) {
            self.complain(conn, "too many messages", cx);
            self.close(conn, cx);
            return;
        }
        let is_user = session.is_user();
        match ClientMessage::parse(&frame) {
            Ok(message) if is_user => self.on_message(conn, message, cx),
            Ok(message) => self.on_stranger(conn, message, cx),
            Err(error) => {
                self.complain(conn, &alloc::format!("message {}: {error}", frame.kind), cx);
                self.after_error(conn, frame.kind, cx);
            }
        }
    }

    fn on_close(&mut self, conn: ConnId, (): (), cx: &mut Cx<'_, Self>) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        if let Some(count) = self.hosts.get_mut(&session.peer.host()) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&session.peer.host());
            }
        }
        self.forget(conn, session, cx);
    }

    fn on_dial_failed(&mut self, _: C, _: &mut Cx<'_, Self>) {}

    fn on_payload_head(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) -> bool {
        false
    }

    fn on_payload(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) {}

    fn on_sent(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) {}

    fn on_dropped(&mut self, _: ConnId, _: Payload, _: &mut Cx<'_, Self>) {}

    fn on_verified(&mut self, _: u32, _: bool, _: &mut Cx<'_, Self>) {}
}

#[cfg(test)]
mod tests;
