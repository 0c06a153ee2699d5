//! What clients say.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{CHANNEL_MAX, FOLDER_FILES_MAX, TALK_MAX, WORD_MAX, frame};
use crate::napster::field::Line;
use crate::napster::file::{check_name, join, parse_hash, parse_name};
use crate::napster::query::QueryError;
use crate::napster::{
    FieldError, Fields, FileHash, Frame, LinkSpeed, MediaType, Nick, Query, SharedFile, Text,
};

/// Who logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// His name.
    pub nick: Nick,
    /// In the clear: Napster knew no better.
    pub password: String,
    /// Where he accepts peers; 0 if he cannot.
    pub port: u16,
    /// His program.
    pub client: Text,
    /// His line.
    pub link: LinkSpeed,
    /// Where mail reaches him; said by who registers.
    pub email: Option<String>,
}

impl core::fmt::Debug for Credentials {
    /// Without the password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Credentials").field("nick", &self.nick).finish_non_exhaustive()
    }
}

/// What a client says; the number of its type stands behind each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// Logs in (2).
    Login(Credentials),
    /// Registers a name and logs in (6).
    Register(Credentials),
    /// Asks whether a name is free (7); `None` is a name that cannot be one.
    NickCheck(Option<Nick>),
    /// Shares files (100, 870, 10300).
    Share(Vec<SharedFile>),
    /// Shares a file no longer (102).
    Unshare(Text),
    /// Searches (200).
    Search(Query),
    /// Asks for a file (203).
    Download(Nick, Text),
    /// Writes to somebody (205).
    Private(Nick, Text),
    /// Wants to know when somebody comes and goes (207, 208).
    AddHotlist(Nick),
    /// No longer (303).
    RemoveHotlist(Nick),
    /// Asks what somebody shares (211).
    Browse(Nick),
    /// Asks how many users and files there are (214).
    Stats,
    /// Asks who has a content (215).
    Resume(FileHash, u64),
    /// Counts a download that begins (218) or ends (219).
    Downloading(bool),
    /// Counts an upload that begins (220) or ends (221).
    Uploading(bool),
    /// Asks that its port be tried (300).
    CheckPort(u16),
    /// Enters a channel (400).
    Join(Text),
    /// Leaves it (401).
    Part(Text),
    /// Speaks in it (402).
    Public(Text, Text),
    /// Sets or asks for its topic (410).
    Topic(Text, Text),
    /// Asks somebody who accepts no peers to send a file (500).
    DownloadPushed(Nick, Text),
    /// Asks what line somebody has (600).
    LinkSpeed(Nick),
    /// Asks who somebody is (603).
    Whois(Nick),
    /// Will send a file (608).
    AcceptUpload(Nick, Text),
    /// Asks which channels there are (617).
    Channels,
    /// Will not send more than so many files at once to somebody (619).
    QueueLimit(Nick, Text, u32),
    /// Asks for the message of the day (621).
    Motd,
    /// Could not reach somebody's port (626).
    PortError(Nick),
    /// Has another line (700).
    ChangeLink(LinkSpeed),
    /// Wants another password (701).
    ChangePassword(String),
    /// Has another address of mail (702).
    ChangeEmail(String),
    /// Accepts peers elsewhere (703).
    ChangePort(u16),
    /// Answers a sign of life, or asks for one (750).
    PingServer,
    /// Asks somebody for a sign of life (751).
    Ping(Nick),
    /// Gives it (752).
    Pong(Nick),
    /// Does something, in a channel (824).
    Emote(Text, Text),
    /// Asks who is in a channel (830).
    ChannelUsers(Text),
    /// Something that is not known here.
    Unknown(u16),
}

impl Credentials {
    fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let mut credentials = Self {
            nick: fields.nick("nick")?,
            password: word(fields, "password")?,
            port: fields.number("port")?,
            client: fields.text("client", WORD_MAX)?,
            link: LinkSpeed::parse(fields)?,
            email: None,
        };
        if !fields.is_end() {
            credentials.email = Some(word(fields, "email")?);
        }
        Ok(credentials)
    }

    fn write(&self) -> Line {
        let line = Line::new().word(&self.nick).word(&self.password).word(self.port);
        let line = line.quoted(self.client.as_bytes()).word(self.link.number());
        match &self.email {
            Some(email) => line.word(email),
            None => line,
        }
    }
}

fn word(fields: &mut Fields<'_>, what: &'static str) -> Result<String, FieldError> {
    let text = fields.text(what, WORD_MAX)?;
    core::str::from_utf8(text.as_bytes())
        .ok()
        .filter(|text| !text.contains([' ', '"']) && !text.chars().any(char::is_control))
        .map(ToString::to_string)
        .ok_or(FieldError::Malformed(what))
}

fn channel(fields: &mut Fields<'_>) -> Result<Text, FieldError> {
    let name = fields.text("channel", CHANNEL_MAX)?;
    let is_good = !name.is_empty() && name.as_bytes().iter().all(u8::is_ascii_graphic);
    if is_good { Ok(name) } else { Err(FieldError::Malformed("channel")) }
}

/// `"<folder>" ("<file>" <hash> <size> <bitrate> <frequency> <time>)...`
fn folder(fields: &mut Fields<'_>) -> Result<Vec<SharedFile>, FieldError> {
    let folder = parse_name(fields)?;
    let mut files = Vec::new();
    while !fields.is_end() {
        if files.len() == FOLDER_FILES_MAX {
            return Err(FieldError::TooLong("list of files"));
        }
        let name = join(&folder, &parse_name(fields)?)?;
        files.push(SharedFile::parse_measures(name, fields)?);
    }
    Ok(files)
}

/// `"<name>" <size> <hash> <type>`
fn generic(fields: &mut Fields<'_>) -> Result<SharedFile, FieldError> {
    let (name, size, hash) = (parse_name(fields)?, fields.number("size")?, parse_hash(fields)?);
    let media = MediaType::parse(fields.field("type")?).ok_or(FieldError::Malformed("type"))?;
    Ok(SharedFile::new(name, hash, size, media))
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// When its fields are not what its type demands.
    pub fn parse(frame: &Frame) -> Result<Self, QueryError> {
        let mut rest = Fields::new(&frame.body);
        let fields = &mut rest;
        Ok(match frame.kind {
            2 => Self::Login(Credentials::parse(fields)?),
            6 => Self::Register(Credentials::parse(fields)?),
            7 => Self::NickCheck(Nick::new(&frame.body)),
            100 => Self::Share([SharedFile::parse_music(fields)?].into()),
            102 => Self::Unshare(check_name(rest.rest("file name", TALK_MAX)?)?),
            200 => Self::Search(Query::parse(&frame.body)?),
            203 => Self::Download(fields.nick("nick")?, parse_name(fields)?),
            205 => Self::Private(fields.nick("nick")?, rest.rest("message", TALK_MAX)?),
            207 | 208 => Self::AddHotlist(fields.nick("nick")?),
            211 => Self::Browse(fields.nick("nick")?),
            214 => Self::Stats,
            215 => Self::Resume(parse_hash(fields)?, fields.number("size")?),
            218 | 219 => Self::Downloading(frame.kind == 218),
            220 | 221 => Self::Uploading(frame.kind == 220),
            300 => Self::CheckPort(fields.number("port")?),
            303 => Self::RemoveHotlist(fields.nick("nick")?),
            400 => Self::Join(channel(fields)?),
            401 => Self::Part(channel(fields)?),
            402 => Self::Public(channel(fields)?, rest.rest("message", TALK_MAX)?),
            410 => Self::Topic(channel(fields)?, rest.rest("topic", TALK_MAX)?),
            500 => Self::DownloadPushed(fields.nick("nick")?, parse_name(fields)?),
            600 => Self::LinkSpeed(fields.nick("nick")?),
            603 => Self::Whois(fields.nick("nick")?),
            608 => Self::AcceptUpload(fields.nick("nick")?, parse_name(fields)?),
            617 => Self::Channels,
            619 => {
                let (nick, name) = (fields.nick("nick")?, parse_name(fields)?);
                Self::QueueLimit(nick, name, fields.number("limit")?)
            }
            621 => Self::Motd,
            626 => Self::PortError(fields.nick("nick")?),
            700 => Self::ChangeLink(LinkSpeed::parse(fields)?),
            701 => Self::ChangePassword(word(fields, "password")?),
            702 => Self::ChangeEmail(word(fields, "email")?),
            703 => Self::ChangePort(fields.number("port")?),
            750 => Self::PingServer,
            751 => Self::Ping(fields.nick("nick")?),
            752 => Self::Pong(fields.nick("nick")?),
            824 => Self::Emote(channel(fields)?, rest.rest("message", TALK_MAX)?),
            830 => Self::ChannelUsers(channel(fields)?),
            870 => Self::Share(folder(fields)?),
            10_300 => Self::Share([generic(fields)?].into()),
            kind => Self::Unknown(kind),
        })
    }

    /// Writes it: files that are not music by 10300, one message each; those that are by 100.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        match self {
            Self::Share(files) => files.iter().map(share).collect(),
            message => [message.frame()].into(),
        }
    }

    fn frame(&self) -> Frame {
        let line = Line::new();
        let named = |kind, nick: &Nick, name: &Text| {
            frame(kind, Line::new().word(nick).quoted(name.as_bytes()).end())
        };
        let said = |kind, place: &Text, text: &Text| {
            frame(kind, Line::new().rest(place.as_bytes()).rest(text.as_bytes()).end())
        };
        match self {
            Self::Login(credentials) => frame(2, credentials.write().end()),
            Self::Register(credentials) => frame(6, credentials.write().end()),
            Self::NickCheck(nick) => frame(7, nick.iter().fold(line, Line::word).end()),
            Self::Share(files) => files.first().map_or_else(|| frame(100, Vec::new()), share),
            Self::Unshare(name) => frame(102, line.quoted(name.as_bytes()).end()),
            Self::Search(query) => frame(200, query.encode()),
            Self::Download(nick, name) => named(203, nick, name),
            Self::Private(nick, text) => frame(205, line.word(nick).rest(text.as_bytes()).end()),
            Self::AddHotlist(nick) => frame(207, line.word(nick).end()),
            Self::Browse(nick) => frame(211, line.word(nick).end()),
            Self::Stats => frame(214, Vec::new()),
            Self::Resume(hash, size) => frame(215, line.word(hash).word(size).end()),
            Self::Downloading(begins) => frame(if *begins { 218 } else { 219 }, Vec::new()),
            Self::Uploading(begins) => frame(if *begins { 220 } else { 221 }, Vec::new()),
            Self::CheckPort(port) => frame(300, line.word(port).end()),
            Self::RemoveHotlist(nick) => frame(303, line.word(nick).end()),
            Self::Join(channel) => frame(400, line.rest(channel.as_bytes()).end()),
            Self::Part(channel) => frame(401, line.rest(channel.as_bytes()).end()),
            Self::Public(channel, text) => said(402, channel, text),
            Self::Topic(channel, text) => said(410, channel, text),
            Self::DownloadPushed(nick, name) => named(500, nick, name),
            Self::LinkSpeed(nick) => frame(600, line.word(nick).end()),
            Self::Whois(nick) => frame(603, line.word(nick).end()),
            Self::AcceptUpload(nick, name) => named(608, nick, name),
            Self::Channels => frame(617, Vec::new()),
            Self::QueueLimit(nick, name, limit) => {
                frame(619, line.word(nick).quoted(name.as_bytes()).word(limit).end())
            }
            Self::Motd => frame(621, Vec::new()),
            Self::PortError(nick) => frame(626, line.word(nick).end()),
            Self::ChangeLink(link) => frame(700, line.word(link.number()).end()),
            Self::ChangePassword(password) => frame(701, line.word(password).end()),
            Self::ChangeEmail(email) => frame(702, line.word(email).end()),
            Self::ChangePort(port) => frame(703, line.word(port).end()),
            Self::PingServer => frame(750, Vec::new()),
            Self::Ping(nick) => frame(751, line.word(nick).end()),
            Self::Pong(nick) => frame(752, line.word(nick).end()),
            Self::Emote(channel, text) => {
                frame(824, line.rest(channel.as_bytes()).quoted(text.as_bytes()).end())
            }
            Self::ChannelUsers(channel) => frame(830, line.rest(channel.as_bytes()).end()),
            Self::Unknown(kind) => frame(*kind, Vec::new()),
        }
    }
}

fn share(file: &SharedFile) -> Frame {
    if file.media == MediaType::Mp3 {
        return frame(100, file.write_music(Line::new()).end());
    }
    let line = Line::new().quoted(file.name.as_bytes()).word(file.size).word(file.hash);
    frame(10_300, line.word(file.media.name()).end())
}
