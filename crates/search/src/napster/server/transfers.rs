//! Bringing peers together: who wants a file is told where its owner is, or its owner where he is.

use core::net::SocketAddrV4;

use machine::{ConnId, Cx};

use super::{Ask, Purpose, Server, UserContact};
use crate::napster::index::Owner;
use crate::napster::{Nick, Offer, ServerMessage, SharedFile, Text};

impl<C: UserContact> Server<C> {
    pub(super) fn on_download(
        &mut self,
        conn: ConnId,
        from: Nick,
        name: Text,
        push: bool,
        cx: &mut Cx<'_, Self>,
    ) {
        let ask = Ask::File(from.clone(), name.clone());
        self.ask_for(conn, ask, Purpose::Download { conn, from, name, push }, cx);
    }

    pub(super) fn on_accept(&mut self, conn: ConnId, to: Nick, name: Text, cx: &mut Cx<'_, Self>) {
        if let Some(nick) = self.nick(conn) {
            let ask = Ask::File(nick, name);
            self.ask_for(conn, ask, Purpose::Accept { conn, to }, cx);
        }
    }

    pub(super) fn on_limit(
        &mut self,
        conn: ConnId,
        to: Nick,
        name: Text,
        limit: u32,
        cx: &mut Cx<'_, Self>,
    ) {
        if let Some(nick) = self.nick(conn) {
            let ask = Ask::File(nick, name);
            self.ask_for(conn, ask, Purpose::Limit { conn, to, limit }, cx);
        }
    }

    /// The index has looked for a file.
    pub(super) fn on_file(
        &mut self,
        purpose: Purpose,
        found: Option<(Owner, SharedFile)>,
        cx: &mut Cx<'_, Self>,
    ) {
        match (purpose, found) {
            (Purpose::Download { conn, from, name, .. }, None) => {
                self.say(conn, &ServerMessage::Unavailable(from, name), cx);
            }
            (Purpose::Download { conn, push, .. }, Some((owner, file))) => {
                self.on_wanted(conn, push, owner, file, cx);
            }
            (Purpose::Accept { conn, to }, Some((owner, file))) => {
                self.on_accepted(conn, &to, owner, file, cx);
            }
            (Purpose::Limit { conn, to, limit }, Some((owner, file))) => {
                let said = ServerMessage::QueueLimit(owner.nick, file.name, file.size, limit);
                self.relay(conn, &to, |_| said, cx);
            }
            (Purpose::Accept { conn, .. } | Purpose::Limit { conn, .. }, None) => {
                self.complain(conn, "you do not share that file", cx);
            }
            _ => {}
        }
    }

    fn on_wanted(
        &mut self,
        conn: ConnId,
        push: bool,
        owner: Owner,
        file: SharedFile,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(nick) = self.nick(conn) else { return };
        let my_port = self.sessions.get(&conn).map_or(0, |session| session.port);
        let offer = offer(&owner, &file);
        let Some(owner_conn) = self.nicks.get(&owner.nick).copied() else {
            // He was here before this server was started anew, and may still be where he was.
            if push || owner.address.port() == 0 {
                self.say(conn, &ServerMessage::Unavailable(owner.nick, file.name), cx);
            } else {
                self.say(conn, &ServerMessage::Ready(offer), cx);
            }
            return;
        };
        match (push, owner.address.port() == 0) {
            // He has to send it by himself: whoever wants it asks again, by message 500.
            (false, true) => self.say(conn, &ServerMessage::Ready(offer), cx),
            (true, _) if my_port == 0 => {
                self.complain(conn, "neither of you accepts connections", cx);
                self.say(conn, &ServerMessage::Unavailable(owner.nick, file.name), cx);
            }
            // Although he says that he accepts peers, this one could not reach him.
            _ => {
                self.note_push(conn, &owner.nick, &file.name, push);
                self.say(owner_conn, &ServerMessage::UploadRequest(nick, file.name), cx);
            }
        }
    }

    /// Remembers that the last thing somebody asked of an owner is to be pushed.
    fn note_push(&mut self, conn: ConnId, owner: &Nick, name: &Text, push: bool) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            let wanted = (owner.clone(), name.clone());
            session.pushes.retain(|push| *push != wanted);
            if push {
                session.pushes.truncate(super::session::PUSHES_MAX - 1);
                session.pushes.insert(0, wanted);
            }
        }
    }

    fn on_accepted(
        &mut self,
        conn: ConnId,
        to: &Nick,
        owner: Owner,
        file: SharedFile,
        cx: &mut Cx<'_, Self>,
    ) {
        let Some(other) = self.nicks.get(to).copied() else {
            self.no_such_user(conn, to, cx);
            return;
        };
        let Some(session) = self.sessions.get_mut(&other) else { return };
        let wanted = (owner.nick.clone(), file.name.clone());
        let pushed = session.pushes.iter().position(|push| *push == wanted);
        if let Some(at) = pushed {
            session.pushes.remove(at);
        }
        let address = SocketAddrV4::new(session.peer.ipv4(), session.port);
        let link = session.link;
        if pushed.is_some() || owner.address.port() == 0 {
            let offer = Offer { nick: to.clone(), address, link, ..offer(&owner, &file) };
            self.say(conn, &ServerMessage::Push(offer), cx);
        } else {
            self.say(other, &ServerMessage::Ready(offer(&owner, &file)), cx);
        }
    }
}

fn offer(owner: &Owner, file: &SharedFile) -> Offer {
    Offer {
        nick: owner.nick.clone(),
        address: owner.address,
        name: file.name.clone(),
        hash: Some(file.hash),
        link: owner.link,
    }
}
