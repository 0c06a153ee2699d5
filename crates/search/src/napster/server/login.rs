//! Coming and going: names, accounts, ports.

use core::net::SocketAddrV4;

use machine::{ConnId, Cx};

use super::session::{Session, State, Wish};
use super::{Account, Ask, AskAccount, Effect, Purpose, Server, UserContact};
use crate::napster::index::Owner;
use crate::napster::{ClientMessage, Credentials, Nick, ServerMessage};

impl<C: UserContact> Server<C> {
    /// A message of somebody who is not logged in.
    pub(super) fn on_stranger(
        &mut self,
        conn: ConnId,
        message: ClientMessage,
        cx: &mut Cx<'_, Self>,
    ) {
        if self.sessions.get(&conn).is_some_and(|session| session.state == State::Checking) {
            // It was read already when the connection was paused; nobody who waits for the answer
            // to his login sends anything.
            self.complain(conn, "wait until you are logged in", cx);
            self.close(conn, cx);
            return;
        }
        let (wish, ask) = match message {
            ClientMessage::NickCheck(None) => {
                self.say(conn, &ServerMessage::NickInvalid, cx);
                return;
            }
            ClientMessage::NickCheck(Some(nick)) if !nick.is_acceptable() => {
                self.say(conn, &ServerMessage::NickInvalid, cx);
                return;
            }
            ClientMessage::NickCheck(Some(nick)) => (Wish::Check, AskAccount::IsTaken(nick)),
            ClientMessage::Login(it) | ClientMessage::Register(it) if !it.nick.is_acceptable() => {
                self.say(conn, &ServerMessage::NickInvalid, cx);
                self.close(conn, cx);
                return;
            }
            ClientMessage::Login(it) => {
                let ask = AskAccount::Check(it.nick.clone(), it.password.clone());
                (Wish::Login(it), ask)
            }
            ClientMessage::Register(it) => {
                let email = it.email.clone().unwrap_or_default();
                let ask = AskAccount::Register(it.nick.clone(), it.password.clone(), email);
                (Wish::Register(it), ask)
            }
            _ => {
                self.complain(conn, "log in first", cx);
                self.close(conn, cx);
                return;
            }
        };
        self.look_at_account(conn, wish, ask, cx);
    }

    fn look_at_account(
        &mut self,
        conn: ConnId,
        wish: Wish,
        ask: AskAccount,
        cx: &mut Cx<'_, Self>,
    ) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.state = State::Checking;
            session.wish = Some(wish);
            cx.effect(Effect::Read(conn, false));
            cx.effect(Effect::AskAccount(conn, ask));
        }
    }

    /// A user's account is to be changed.
    pub(super) fn change(
        &mut self,
        conn: ConnId,
        cx: &mut Cx<'_, Self>,
        ask: impl FnOnce(Nick) -> AskAccount,
    ) {
        if let Some(nick) = self.nick(conn) {
            self.look_at_account(conn, Wish::Change, ask(nick), cx);
        }
    }

    /// Somebody asks of a name that is not here.
    pub(super) fn ask_who_was(&mut self, conn: ConnId, nick: Nick, cx: &mut Cx<'_, Self>) {
        let wish = Wish::WhoWas(nick.clone());
        self.look_at_account(conn, wish, AskAccount::LastSeen(nick), cx);
    }

    pub(super) fn on_account(&mut self, conn: ConnId, account: Account, cx: &mut Cx<'_, Self>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.state != State::Checking {
            return;
        }
        let is_user = session.nick.is_some();
        session.state = if is_user { State::User } else { State::New };
        let wish = session.wish.take();
        cx.effect(Effect::Read(conn, true));
        match (wish, account) {
            (None | Some(Wish::Change), Account::Known(..)) => {}
            (None | Some(Wish::Change), _) => {
                self.complain(conn, "your name is not registered", cx)
            }
            (Some(Wish::WhoWas(nick)), Account::Known(_, seen)) => {
                self.say(conn, &ServerMessage::WhoWas(nick, "User".into(), seen), cx);
            }
            (Some(Wish::WhoWas(nick)), _) => self.no_such_user(conn, &nick, cx),
            (Some(Wish::Check), Account::Free) => self.say(conn, &ServerMessage::NickFree, cx),
            (Some(Wish::Check), _) => self.say(conn, &ServerMessage::NickTaken, cx),
            (Some(Wish::Login(_)), Account::Denied) => self.deny(conn, "Invalid Password", cx),
            (Some(Wish::Register(_)), Account::Denied) => {
                self.deny(conn, "account registered to another user", cx);
            }
            (Some(_), Account::Failed) => self.deny(conn, "try again later", cx),
            (Some(Wish::Login(_)), Account::Free) if self.limits.registered_only => {
                self.deny(conn, "only registered accounts allowed on this server", cx);
            }
            (Some(Wish::Login(it)), Account::Free) => self.log_in(conn, it, None, cx),
            (Some(Wish::Login(it) | Wish::Register(it)), Account::Known(email, _)) => {
                self.log_in(conn, it, Some(email), cx);
            }
            (Some(Wish::Register(_)), Account::Free) => self.deny(conn, "try again later", cx),
        }
    }

    fn deny(&mut self, conn: ConnId, why: &str, cx: &mut Cx<'_, Self>) {
        self.complain(conn, why, cx);
        self.close(conn, cx);
    }

    fn log_in(
        &mut self,
        conn: ConnId,
        credentials: Credentials,
        email: Option<alloc::string::String>,
        cx: &mut Cx<'_, Self>,
    ) {
        let nick = credentials.nick;
        if let Some(other) = self.nicks.get(&nick).copied() {
            let host =
                |conn| self.sessions.get(&conn).map(|session: &Session<C>| session.peer.host());
            // A name that is proven, or a second connection from the same machine, takes over: the
            // first one is most likely dead.
            if email.is_none() && host(other) != host(conn) {
                self.deny(conn, "that name is in use", cx);
                return;
            }
            self.say(other, &ServerMessage::Ghost, cx);
            self.close(other, cx);
            self.sign_off(other, cx);
        }
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.state = State::User;
        session.nick = Some(nick.clone());
        session.since = cx.now();
        session.port = credentials.port;
        session.link = credentials.link;
        session.client = credentials.client;
        self.nicks.insert(nick.clone(), conn);
        let anonymous = || alloc::format!("anon@{}", self.name);
        let email = email.filter(|email| !email.is_empty()).unwrap_or_else(anonymous);
        self.say(conn, &ServerMessage::LoggedIn(email.as_str().into()), cx);
        self.tell_motd(conn, cx);
        self.tell_stats(conn, cx);
        self.enter(conn, cx);
        self.probe(conn, credentials.port, cx);
        let link = credentials.link;
        for watcher in self.watchers.get(&nick).into_iter().flatten() {
            self.say(*watcher, &ServerMessage::SignOn(nick.clone(), link), cx);
        }
    }

    /// Tells the index where a user is.
    pub(super) fn enter(&mut self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        let Some(session) = self.sessions.get(&conn) else { return };
        let Some(nick) = session.nick.clone() else { return };
        let address = SocketAddrV4::new(session.peer.ipv4(), session.port);
        let owner = Owner { nick, address, link: session.link };
        self.ask(Ask::Enter(owner), Purpose::Keep, cx);
    }

    fn probe(&mut self, conn: ConnId, port: u16, cx: &mut Cx<'_, Self>) {
        let Some(session) = self.sessions.get(&conn) else { return };
        if self.limits.probe && port != 0 {
            let address = SocketAddrV4::new(session.peer.ipv4(), port);
            cx.effect(Effect::Probe(conn, address));
        }
    }

    /// A user names the port on which he accepts peers.
    pub(super) fn on_port(&mut self, conn: ConnId, port: u16, cx: &mut Cx<'_, Self>) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.port = port;
        }
        self.enter(conn, cx);
        self.probe(conn, port, cx);
    }

    pub(super) fn on_probed(
        &mut self,
        conn: ConnId,
        port: u16,
        reached: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(session) = self.sessions.get(&conn).filter(|session| session.port == port) else {
            return;
        };
        if let Some(nick) = session.nick.clone().filter(|_| !reached) {
            self.say(conn, &ServerMessage::PortError(nick), cx);
        }
    }

    /// After a message that could not be read: whoever cannot log in properly goes.
    pub(super) fn after_error(&mut self, conn: ConnId, kind: u16, cx: &mut Cx<'_, Self>) {
        let is_user = self.sessions.get(&conn).is_some_and(Session::is_user);
        if !is_user {
            self.close(conn, cx);
        } else if kind == 200 {
            // Clients wait for the end of a search whatever became of it.
            self.say(conn, &ServerMessage::SearchEnd, cx);
        }
    }

    /// A connection's user is here no longer.
    pub(super) fn sign_off(&mut self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let Some(nick) = session.nick.take() else { return };
        let (link, shared) = (session.link, session.shared);
        let channels = core::mem::take(&mut session.channels);
        for name in core::mem::take(&mut session.hotlist) {
            self.unwatch(conn, &name);
        }
        for channel in channels {
            self.leave_channel(conn, &nick, shared, link, &channel, cx);
        }
        self.nicks.remove(&nick);
        self.ask(Ask::Leave(nick.clone()), Purpose::Keep, cx);
        for watcher in self.watchers.get(&nick).into_iter().flatten() {
            self.say(*watcher, &ServerMessage::SignOff(nick.clone()), cx);
        }
    }

    /// A connection is gone.
    pub(super) fn forget(&mut self, conn: ConnId, session: Session<C>, cx: &mut Cx<'_, Self>) {
        self.sessions.insert(conn, session);
        self.sign_off(conn, cx);
        self.sessions.remove(&conn);
    }
}
