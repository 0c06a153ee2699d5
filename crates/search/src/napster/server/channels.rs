//! Channels: rooms that are there as long as somebody is in them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use machine::{ConnId, Cx};

use super::{Server, UserContact};
use crate::napster::{LinkSpeed, Nick, ServerMessage, Text};

/// Bytes of a topic.
const TOPIC_MAX: usize = 128;

/// A room.
#[derive(Debug)]
pub(super) struct Channel {
    /// As whoever opened it spells it.
    name: Text,
    topic: Text,
    users: BTreeSet<ConnId>,
}

fn key(name: &Text) -> Vec<u8> {
    name.as_bytes().to_ascii_lowercase()
}

impl<C: UserContact> Server<C> {
    pub(super) fn on_join(&mut self, conn: ConnId, name: Text, cx: &mut Cx<'_, Self>) {
        let key = key(&name);
        let Some(nick) = self.nick(conn) else { return };
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let (shared, link) = (session.shared, session.link);
        if session.channels.contains(&key) {
            return;
        }
        let is_full = session.channels.len() >= self.limits.channels_per_user;
        let is_new = !self.channels.contains_key(&key);
        if is_full || (is_new && self.channels.len() >= self.limits.channels) {
            self.complain(conn, "there are too many channels", cx);
            return;
        }
        let users = self.channels.get(&key).map_or(0, |channel| channel.users.len());
        if users >= self.limits.channel_users {
            self.complain(conn, "the channel is full", cx);
            return;
        }
        session.channels.insert(key.clone());
        let topic = Text::from(alloc::format!("Welcome to the {name} channel.").as_str());
        let new = || Channel { name, topic, users: BTreeSet::new() };
        let channel = self.channels.entry(key.clone()).or_insert_with(new);
        let (name, topic) = (channel.name.clone(), channel.topic.clone());
        channel.users.insert(conn);
        let users = channel.users.clone();
        self.say(conn, &ServerMessage::Joined(name.clone()), cx);
        for other in users {
            if let Some((nick, shared, link)) = self.presence(other) {
                let here = ServerMessage::ChannelUser(name.clone(), nick, shared, link);
                self.say(conn, &here, cx);
            }
        }
        self.say(conn, &ServerMessage::ChannelUsersEnd(name.clone()), cx);
        self.say(conn, &ServerMessage::Topic(name.clone(), topic), cx);
        let joined = ServerMessage::UserJoined(name, nick, shared, link);
        self.tell_channel(&key, Some(conn), &joined, cx);
    }

    pub(super) fn on_part(&mut self, conn: ConnId, name: &Text, cx: &mut Cx<'_, Self>) {
        let key = key(name);
        let Some(nick) = self.nick(conn) else { return };
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let (shared, link) = (session.shared, session.link);
        if session.channels.remove(&key) {
            self.leave_channel(conn, &nick, shared, link, &key, cx);
            self.say(conn, &ServerMessage::Parted(name.clone()), cx);
        } else {
            self.complain(conn, "you are not in that channel", cx);
        }
    }

    pub(super) fn leave_channel(
        &mut self,
        conn: ConnId,
        nick: &Nick,
        shared: u32,
        link: LinkSpeed,
        key: &[u8],
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.users.remove(&conn);
        if channel.users.is_empty() {
            self.channels.remove(key);
            return;
        }
        let name = channel.name.clone();
        let parted = ServerMessage::UserParted(name, nick.clone(), shared, link);
        self.tell_channel(key, Some(conn), &parted, cx);
    }

    pub(super) fn on_public(
        &mut self,
        conn: ConnId,
        name: &Text,
        cx: &mut Cx<'_, Self>,
        say: impl FnOnce(Text, Nick) -> ServerMessage,
    ) {
        let key = key(name);
        let channel = self.channels.get(&key).filter(|channel| channel.users.contains(&conn));
        match (self.nick(conn), channel) {
            (Some(nick), Some(channel)) => {
                let said = say(channel.name.clone(), nick);
                self.tell_channel(&key, None, &said, cx);
            }
            _ => self.complain(conn, "you are not in that channel", cx),
        }
    }

    pub(super) fn on_topic(
        &mut self,
        conn: ConnId,
        name: &Text,
        topic: Text,
        cx: &mut Cx<'_, Self>,
    ) {
        let key = key(name);
        let channel = self.channels.get_mut(&key).filter(|channel| channel.users.contains(&conn));
        let Some(channel) = channel else {
            self.complain(conn, "you are not in that channel", cx);
            return;
        };
        if topic.is_empty() {
            let said = ServerMessage::Topic(channel.name.clone(), channel.topic.clone());
            self.say(conn, &said, cx);
        } else if topic.len() <= TOPIC_MAX {
            channel.topic = topic.clone();
            let said = ServerMessage::Topic(channel.name.clone(), topic);
            self.tell_channel(&key, None, &said, cx);
        } else {
            self.complain(conn, "the topic is too long", cx);
        }
    }

    pub(super) fn list_channels(&self, conn: ConnId, cx: &mut Cx<'_, Self>) {
        for channel in self.channels.values() {
            let users = channel.users.len() as u32;
            let (name, topic) = (channel.name.clone(), channel.topic.clone());
            self.say(conn, &ServerMessage::Channel(name, users, topic), cx);
        }
        self.say(conn, &ServerMessage::ChannelsEnd, cx);
    }

    pub(super) fn list_users(&self, conn: ConnId, name: &Text, cx: &mut Cx<'_, Self>) {
        if let Some(channel) = self.channels.get(&key(name)) {
            for user in &channel.users {
                if let Some((nick, shared, link)) = self.presence(*user) {
                    let name = channel.name.clone();
                    self.say(conn, &ServerMessage::ListedUser(name, nick, shared, link), cx);
                }
            }
        }
        self.say(conn, &ServerMessage::ListedUsersEnd, cx);
    }

    fn presence(&self, conn: ConnId) -> Option<(Nick, u32, LinkSpeed)> {
        let session = self.sessions.get(&conn)?;
        Some((session.nick.clone()?, session.shared, session.link))
    }

    fn tell_channel(
        &self,
        key: &[u8],
        except: Option<ConnId>,
        message: &ServerMessage,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(channel) = self.channels.get(key) else { return };
        for user in channel.users.iter().filter(|user| Some(**user) != except) {
            self.say(*user, message, cx);
        }
    }
}
