//! What servers say.

use alloc::vec::Vec;

use super::{TALK_MAX, frame};
use crate::napster::field::Line;
use crate::napster::file::parse_name;
use crate::napster::{
    FieldError, Fields, Frame, Hit, LinkSpeed, Nick, Offer, SharedFile, Text, Twin,
};

/// What is told of a user (message 604).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCard {
    /// His name.
    pub nick: Nick,
    /// What he may do: `User`, `Moderator`, `Admin`, `Elite`.
    pub level: Text,
    /// For how many seconds he has been here.
    pub seconds: u64,
    /// Channels he is in, with spaces between.
    pub channels: Text,
    /// `Active`, as a rule.
    pub status: Text,
    /// Files he shares.
    pub shared: u32,
    /// Files he is fetching.
    pub downloads: u32,
    /// Files he is sending.
    pub uploads: u32,
    /// His line.
    pub link: LinkSpeed,
    /// His program.
    pub client: Text,
}

/// What a server says; the number of its type stands behind each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// Why nobody is logged in (0).
    Error(Text),
    /// Logged in (3): the address of mail that the server has.
    LoggedIn(Text),
    /// The name is free (8).
    NickFree,
    /// The name is taken (9).
    NickTaken,
    /// It cannot be a name (10).
    NickInvalid,
    /// A file that a search found (201).
    Hit(Hit),
    /// There are no more (202).
    SearchEnd,
    /// How to fetch a file (204).
    Ready(Offer),
    /// Somebody writes (205).
    Private(Nick, Text),
    /// A file cannot be fetched (206).
    Unavailable(Nick, Text),
    /// Somebody on the hotlist has come (209).
    SignOn(Nick, LinkSpeed),
    /// Somebody has gone, or is not there to be browsed (210).
    SignOff(Nick),
    /// A file that somebody shares (212).
    Browsed(Nick, SharedFile),
    /// There are no more (213).
    BrowseEnd(Nick),
    /// Users, files, and gigabytes that they have (214).
    Stats(u32, u64, u64),
    /// Somebody who has a content (216).
    Twin(Twin),
    /// There are no more (217).
    ResumeEnd,
    /// Somebody is on the hotlist now (301).
    HotlistAdded(Nick),
    /// He cannot be (302).
    HotlistError(Nick),
    /// The connection is about to be closed (316).
    Disconnecting,
    /// The client has left a channel (401).
    Parted(Text),
    /// Somebody speaks in a channel (403).
    Public(Text, Nick, Text),
    /// Something went wrong, in words (404).
    Notice(Text),
    /// The client is in a channel (405).
    Joined(Text),
    /// Somebody has come into it (406): files and line.
    UserJoined(Text, Nick, u32, LinkSpeed),
    /// Somebody has left it (407).
    UserParted(Text, Nick, u32, LinkSpeed),
    /// Somebody is in it (408).
    ChannelUser(Text, Nick, u32, LinkSpeed),
    /// Those were all (409).
    ChannelUsersEnd(Text),
    /// What a channel is about (410).
    Topic(Text, Text),
    /// Send this file to somebody (501).
    Push(Offer),
    /// Somebody's line (601).
    LinkSpeed(Nick, LinkSpeed),
    /// Who somebody is (604).
    Whois(UserCard),
    /// Who somebody was (605): level, and when he was seen last, in seconds since 1970.
    WhoWas(Nick, Text, u64),
    /// Somebody asks for a file (607).
    UploadRequest(Nick, Text),
    /// Somebody will not send a file (609).
    UploadRefused(Nick, Text),
    /// There are no more channels (617).
    ChannelsEnd,
    /// A channel, its users and topic (618).
    Channel(Text, u32, Text),
    /// Somebody sends no more at once (620): file, its length, and how many he would.
    QueueLimit(Nick, Text, u64, u32),
    /// A line of the message of the day (621); the last one is empty.
    Motd(Text),
    /// Somebody could not reach the client's port (626).
    PortError(Nick),
    /// Somebody else logs in with this name (748).
    Ghost,
    /// A sign of life is wanted, or given (750).
    PingServer,
    /// Somebody wants a sign of life (751).
    Ping(Nick),
    /// Somebody gives it (752).
    Pong(Nick),
    /// Somebody does something in a channel (824).
    Emote(Text, Nick, Text),
    /// Somebody is in a channel that was asked about (825).
    ListedUser(Text, Nick, u32, LinkSpeed),
    /// Those were all (830).
    ListedUsersEnd,
    /// Something that is not known here.
    Unknown(u16),
}

fn channel(fields: &mut Fields<'_>) -> Result<Text, FieldError> {
    fields.text("channel", super::CHANNEL_MAX)
}

type Presence = (Text, Nick, u32, LinkSpeed);

fn presence(fields: &mut Fields<'_>) -> Result<Presence, FieldError> {
    let (channel, nick) = (channel(fields)?, fields.nick("nick")?);
    Ok((channel, nick, fields.number("files")?, LinkSpeed::parse(fields)?))
}

impl UserCard {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            nick: fields.nick("nick")?,
            level: fields.text("level", TALK_MAX)?,
            seconds: fields.number("time")?,
            channels: fields.text("channels", TALK_MAX)?,
            status: fields.text("status", TALK_MAX)?,
            shared: fields.number("files")?,
            downloads: fields.number("downloads")?,
            uploads: fields.number("uploads")?,
            link: LinkSpeed::parse(fields)?,
            client: fields.text("client", TALK_MAX)?,
        })
    }

    fn write(&self, line: Line) -> Line {
        let line = line.word(&self.nick).quoted(self.level.as_bytes()).word(self.seconds);
        let line = line.quoted(self.channels.as_bytes()).quoted(self.status.as_bytes());
        let line = line.word(self.shared).word(self.downloads).word(self.uploads);
        line.word(self.link.number()).quoted(self.client.as_bytes())
    }
}

impl ServerMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// When its fields are not what its type demands.
    pub fn parse(frame: &Frame) -> Result<Self, FieldError> {
        let mut rest = Fields::new(&frame.body);
        let fields = &mut rest;
        Ok(match frame.kind {
            0 => Self::Error(rest.rest("message", TALK_MAX)?),
            3 => Self::LoggedIn(rest.rest("email", TALK_MAX)?),
            8 => Self::NickFree,
            9 => Self::NickTaken,
            10 => Self::NickInvalid,
            201 => Self::Hit(Hit::parse(fields)?),
            202 => Self::SearchEnd,
            204 => Self::Ready(Offer::parse(fields)?),
            205 => Self::Private(fields.nick("nick")?, rest.rest("message", TALK_MAX)?),
            206 => Self::Unavailable(fields.nick("nick")?, parse_name(fields)?),
            209 => Self::SignOn(fields.nick("nick")?, LinkSpeed::parse(fields)?),
            210 => Self::SignOff(fields.nick("nick")?),
            212 => Self::Browsed(fields.nick("nick")?, SharedFile::parse_music(fields)?),
            213 => Self::BrowseEnd(fields.nick("nick")?),
            214 => {
                let users = fields.number("users")?;
                Self::Stats(users, fields.number("files")?, fields.number("size")?)
            }
            216 => Self::Twin(Twin::parse(fields)?),
            217 => Self::ResumeEnd,
            301 => Self::HotlistAdded(fields.nick("nick")?),
            302 => Self::HotlistError(fields.nick("nick")?),
            316 => Self::Disconnecting,
            401 => Self::Parted(channel(fields)?),
            403 => {
                let (channel, nick) = (channel(fields)?, fields.nick("nick")?);
                Self::Public(channel, nick, rest.rest("message", TALK_MAX)?)
            }
            404 => Self::Notice(rest.rest("message", TALK_MAX)?),
            405 => Self::Joined(channel(fields)?),
            406 => presence(fields).map(|(a, b, c, d)| Self::UserJoined(a, b, c, d))?,
            407 => presence(fields).map(|(a, b, c, d)| Self::UserParted(a, b, c, d))?,
            408 => presence(fields).map(|(a, b, c, d)| Self::ChannelUser(a, b, c, d))?,
            409 => Self::ChannelUsersEnd(channel(fields)?),
            410 => Self::Topic(channel(fields)?, rest.rest("topic", TALK_MAX)?),
            501 => Self::Push(Offer::parse(fields)?),
            601 => Self::LinkSpeed(fields.nick("nick")?, LinkSpeed::parse(fields)?),
            604 => Self::Whois(UserCard::parse(fields)?),
            605 => {
                let (nick, level) = (fields.nick("nick")?, fields.text("level", TALK_MAX)?);
                Self::WhoWas(nick, level, fields.number("time")?)
            }
            607 => Self::UploadRequest(fields.nick("nick")?, parse_name(fields)?),
            609 => Self::UploadRefused(fields.nick("nick")?, parse_name(fields)?),
            617 => Self::ChannelsEnd,
            618 => {
                let (channel, users) = (channel(fields)?, fields.number("users")?);
                Self::Channel(channel, users, rest.rest("topic", TALK_MAX)?)
            }
            620 => {
                let (nick, name) = (fields.nick("nick")?, parse_name(fields)?);
                Self::QueueLimit(nick, name, fields.number("size")?, fields.number("limit")?)
            }
            621 => Self::Motd(rest.rest("text", TALK_MAX)?),
            626 => Self::PortError(fields.nick("nick")?),
            748 => Self::Ghost,
            750 => Self::PingServer,
            751 => Self::Ping(fields.nick("nick")?),
            752 => Self::Pong(fields.nick("nick")?),
            824 => {
                let (channel, nick) = (channel(fields)?, fields.nick("nick")?);
                Self::Emote(channel, nick, rest.rest("message", TALK_MAX)?)
            }
            825 => presence(fields).map(|(a, b, c, d)| Self::ListedUser(a, b, c, d))?,
            830 => Self::ListedUsersEnd,
            kind => Self::Unknown(kind),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn frame(&self) -> Frame {
        let line = Line::new();
        let text = |kind, text: &Text| frame(kind, Line::new().rest(text.as_bytes()).end());
        let nick = |kind, nick: &Nick| frame(kind, Line::new().word(nick).end());
        let named = |kind, nick: &Nick, name: &Text| {
            frame(kind, Line::new().word(nick).quoted(name.as_bytes()).end())
        };
        let present = |kind, channel: &Text, nick: &Nick, files: u32, link: LinkSpeed| {
            let line = Line::new().rest(channel.as_bytes()).word(nick).word(files);
            frame(kind, line.word(link.number()).end())
        };
        match self {
            Self::Error(why) => text(0, why),
            Self::LoggedIn(email) => text(3, email),
            Self::NickFree => frame(8, Vec::new()),
            Self::NickTaken => frame(9, Vec::new()),
            Self::NickInvalid => frame(10, Vec::new()),
            Self::Hit(hit) => frame(201, hit.write(line).end()),
            Self::SearchEnd => frame(202, Vec::new()),
            Self::Ready(offer) => frame(204, offer.write(line).end()),
            Self::Private(nick, text) => frame(205, line.word(nick).rest(text.as_bytes()).end()),
            Self::Unavailable(nick, name) => named(206, nick, name),
            Self::SignOn(nick, link) => frame(209, line.word(nick).word(link.number()).end()),
            Self::SignOff(who) => nick(210, who),
            Self::Browsed(nick, file) => frame(212, file.write_music(line.word(nick)).end()),
            Self::BrowseEnd(who) => nick(213, who),
            Self::Stats(users, files, size) => {
                frame(214, line.word(users).word(files).word(size).end())
            }
            Self::Twin(twin) => frame(216, twin.write(line).end()),
            Self::ResumeEnd => frame(217, Vec::new()),
            Self::HotlistAdded(who) => nick(301, who),
            Self::HotlistError(who) => nick(302, who),
            Self::Disconnecting => frame(316, line.word(0).end()),
            Self::Parted(channel) => text(401, channel),
            Self::Public(channel, nick, text) => {
                let line = line.rest(channel.as_bytes()).word(nick);
                frame(403, line.rest(text.as_bytes()).end())
            }
            Self::Notice(why) => text(404, why),
            Self::Joined(channel) => text(405, channel),
            Self::UserJoined(a, b, c, d) => present(406, a, b, *c, *d),
            Self::UserParted(a, b, c, d) => present(407, a, b, *c, *d),
            Self::ChannelUser(a, b, c, d) => present(408, a, b, *c, *d),
            Self::ChannelUsersEnd(channel) => text(409, channel),
            Self::Topic(channel, topic) => {
                frame(410, line.rest(channel.as_bytes()).rest(topic.as_bytes()).end())
            }
            Self::Push(offer) => frame(501, offer.write(line).end()),
            Self::LinkSpeed(nick, link) => frame(601, line.word(nick).word(link.number()).end()),
            Self::Whois(card) => frame(604, card.write(line).end()),
            Self::WhoWas(nick, level, seen) => {
                frame(605, line.word(nick).quoted(level.as_bytes()).word(seen).end())
            }
            Self::UploadRequest(nick, name) => named(607, nick, name),
            Self::UploadRefused(nick, name) => named(609, nick, name),
            Self::ChannelsEnd => frame(617, Vec::new()),
            Self::Channel(channel, users, topic) => {
                let line = line.rest(channel.as_bytes()).word(users);
                frame(618, line.rest(topic.as_bytes()).end())
            }
            Self::QueueLimit(nick, name, size, limit) => {
                let line = line.word(nick).quoted(name.as_bytes()).word(size);
                frame(620, line.word(limit).end())
            }
            Self::Motd(line) => text(621, line),
            Self::PortError(who) => nick(626, who),
            Self::Ghost => frame(748, Vec::new()),
            Self::PingServer => frame(750, Vec::new()),
            Self::Ping(who) => nick(751, who),
            Self::Pong(who) => nick(752, who),
            Self::Emote(channel, nick, text) => {
                let line = line.rest(channel.as_bytes()).word(nick);
                frame(824, line.quoted(text.as_bytes()).end())
            }
            Self::ListedUser(a, b, c, d) => present(825, a, b, *c, *d),
            Self::ListedUsersEnd => frame(830, Vec::new()),
            Self::Unknown(kind) => frame(*kind, Vec::new()),
        }
    }
}
