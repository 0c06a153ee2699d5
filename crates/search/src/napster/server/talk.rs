//! What users say to each other and ask of each other.

use machine::{ConnId, Cx};

use super::{Server, UserContact};
use crate::napster::{ClientMessage, Nick, ServerMessage, Text, UserCard};

impl<C: UserContact> Server<C> {
    pub(super) fn on_talk(&mut self, conn: ConnId, message: ClientMessage, cx: &mut Cx<'_, Self>) {
        use ClientMessage as M;
        match message {
            M::Private(nick, text) => {
                self.relay(conn, &nick, |me| ServerMessage::Private(me, text), cx);
            }
            M::Ping(nick) => self.relay(conn, &nick, ServerMessage::Ping, cx),
            M::Pong(nick) => self.relay(conn, &nick, ServerMessage::Pong, cx),
            M::PingServer => self.say(conn, &ServerMessage::PingServer, cx),
            M::AddHotlist(nick) => self.watch(conn, nick, cx),
            M::RemoveHotlist(nick) => {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.hotlist.remove(&nick);
                }
                self.unwatch(conn, &nick);
            }
            M::LinkSpeed(nick) => {
                let other = self.nicks.get(&nick).and_then(|other| self.sessions.get(other));
                match other.map(|session| session.link) {
                    Some(link) => self.say(conn, &ServerMessage::LinkSpeed(nick, link), cx),
                    None => self.no_such_user(conn, &nick, cx),
                }
            }
            M::Whois(nick) => match self.card(&nick, cx) {
                Some(card) => self.say(conn, &ServerMessage::Whois(card), cx),
                None => self.ask_who_was(conn, nick, cx),
            },
            M::Join(channel) => self.on_join(conn, channel, cx),
            M::Part(channel) => self.on_part(conn, &channel, cx),
            M::Public(channel, text) => self.on_public(conn, &channel, cx, |channel, nick| {
                ServerMessage::Public(channel, nick, text.clone())
            }),
            M::Emote(channel, text) => self.on_public(conn, &channel, cx, |channel, nick| {
                ServerMessage::Emote(channel, nick, text.clone())
            }),
            M::Topic(channel, topic) => self.on_topic(conn, &channel, topic, cx),
            M::Channels => self.list_channels(conn, cx),
            M::ChannelUsers(channel) => self.list_users(conn, &channel, cx),
            M::Unknown(kind) => {
                self.complain(conn, &alloc::format!("message {kind} is not known here"), cx);
            }
            // All others are dealt with elsewhere.
            _ => {}
        }
    }

    /// Hands something on to `nick` that names who says it.
    pub(super) fn relay(
        &mut self,
        conn: ConnId,
        nick: &Nick,
        say: impl FnOnce(Nick) -> ServerMessage,
        cx: &mut Cx<'_, Self>,
    ) {
        match (self.nick(conn), self.nicks.get(nick).copied()) {
            (Some(me), Some(other)) => self.say(other, &say(me), cx),
            _ => self.no_such_user(conn, nick, cx),
        }
    }

    pub(super) fn no_such_user(&mut self, conn: ConnId, nick: &Nick, cx: &mut Cx<'_, Self>) {
        self.complain(conn, &alloc::format!("User {nick} is not currently online."), cx);
    }

    fn watch(&mut self, conn: ConnId, nick: Nick, cx: &mut Cx<'_, Self>) {
        let max = self.limits.hotlist;
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        if session.hotlist.len() >= max {
            self.say(conn, &ServerMessage::HotlistError(nick), cx);
            return;
        }
        session.hotlist.insert(nick.clone());
        self.watchers.entry(nick.clone()).or_default().insert(conn);
        self.say(conn, &ServerMessage::HotlistAdded(nick.clone()), cx);
        let other = self.nicks.get(&nick).and_then(|other| self.sessions.get(other));
        if let Some(link) = other.map(|session| session.link) {
            self.say(conn, &ServerMessage::SignOn(nick, link), cx);
        }
    }

    pub(super) fn unwatch(&mut self, conn: ConnId, nick: &Nick) {
        if let Some(watchers) = self.watchers.get_mut(nick) {
            watchers.remove(&conn);
            if watchers.is_empty() {
                self.watchers.remove(nick);
            }
        }
    }

    fn card(&self, nick: &Nick, cx: &Cx<'_, Self>) -> Option<UserCard> {
        let session = self.sessions.get(self.nicks.get(nick)?)?;
        let names: alloc::vec::Vec<&[u8]> = session.channels.iter().map(|name| &name[..]).collect();
        Some(UserCard {
            nick: session.nick.clone()?,
            level: "User".into(),
            seconds: (cx.now() - session.since).as_secs(),
            channels: Text::from(names.join(&b' ')),
            status: "Active".into(),
            shared: session.shared,
            downloads: session.downloads,
            uploads: session.uploads,
            link: session.link,
            client: session.client.clone(),
        })
    }
}
