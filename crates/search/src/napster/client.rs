//! The machine of a client: its conversation with a server. It logs in, says what is shared, and
//! matches answers, which carry no numbers, to questions. What does not live here: connections between
//! peers, files, and which of several sources is the best.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::marker::PhantomData;

use machine::{ConnId, Contact, Cx, Machine, OpId, Payload, Side, StreamMachine};

use super::{
    ClientMessage, Credentials, FileHash, Frame, Hit, MediaType, Nick, Offer, Query, ServerMessage,
    SharedFile, Text, Twin,
};

/// Questions of one kind that wait for an answer; beyond that they are refused.
const QUESTIONS_MAX: usize = 256;
/// Answers to one question that are taken in.
const ANSWERS_MAX: usize = 100_000;

/// What its user asks of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Shares files. They are said again after every login.
    Share(Vec<SharedFile>),
    /// Shares a file no longer.
    Unshare(Text),
    /// Searches: [`Event::Hits`].
    Search(Query),
    /// What somebody shares: [`Event::Files`].
    Browse(Nick),
    /// Who has a content: [`Event::Twins`].
    Twins(FileHash, u64),
    /// How to fetch a file: [`Event::Offer`]. With `true` its owner is asked to send it.
    Download(Nick, Text, bool),
    /// Anything else.
    Say(ClientMessage),
}

/// What a client tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Logged in; the address of mail that the server has.
    LoggedIn(Text),
    /// Not logged in, and why.
    Refused(Text),
    /// What a search found.
    Hits(Vec<Hit>),
    /// What somebody shares; `None` if he is not here.
    Files(Option<Vec<SharedFile>>),
    /// Who has a content.
    Twins(Vec<Twin>),
    /// Where a file can be fetched; its port is 0 if its owner has to send it.
    Offer(Offer),
    /// Its owner has been asked to send a file.
    Asked,
    /// A file cannot be had.
    Unavailable,
    /// A file that its owner was asked to send will not come.
    NotSent(Nick, Text),
    /// Somebody is to be sent a file, which is shared here.
    Push(Offer),
    /// Somebody could not reach our port.
    PortError(Nick),
    /// The question could not be asked: nobody is logged in, or too many wait.
    NotAsked,
    /// The server said something else.
    Said(ServerMessage),
}

/// What a client asks of its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sends a message to the server.
    Send(ConnId, Frame),
    /// Ends the connection.
    Close(ConnId),
}

/// A search that was asked.
#[derive(Debug)]
struct Search {
    op: OpId,
    query: Query,
    hits: Vec<Hit>,
    /// Kinds of files that are still to be asked for, one by one, of a server that does not know
    /// what any kind is.
    rest: Option<Vec<MediaType>>,
}

#[derive(Debug)]
struct Wanted {
    op: OpId,
    nick: Nick,
    name: Text,
}

/// A client.
#[derive(Debug)]
pub struct Client<C> {
    credentials: Credentials,
    /// Whether its name is to be registered first.
    register: bool,
    conn: Option<ConnId>,
    is_up: bool,
    shared: BTreeSet<Text>,
    files: Vec<SharedFile>,
    searches: VecDeque<Search>,
    browses: VecDeque<(OpId, Nick, Vec<SharedFile>)>,
    twins: VecDeque<(OpId, Vec<Twin>)>,
    wanted: Vec<Wanted>,
    contact: PhantomData<C>,
}

impl<C: Contact> Client<C> {
    /// A client that is not connected.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self {
            register: credentials.email.is_some(),
            credentials,
            conn: None,
            is_up: false,
            shared: BTreeSet::new(),
            files: Vec::new(),
            searches: VecDeque::new(),
            browses: VecDeque::new(),
            twins: VecDeque::new(),
            wanted: Vec::new(),
            contact: PhantomData,
        }
    }

    /// Whether it is logged in.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// The port it names, from now on.
    pub fn set_port(&mut self, port: u16) {
        self.credentials.port = port;
    }

    fn say(&self, message: &ClientMessage, cx: &mut Cx<'_, Self>) {
        if let Some(conn) = self.conn {
            for frame in message.frames() {
                cx.effect(Effect::Send(conn, frame));
            }
        }
    }

    fn ask_next(&self, cx: &mut Cx<'_, Self>) {
        if let Some(search) = self.searches.front() {
            let media = match &search.rest {
                None => search.query.media,
                Some(rest) => rest.last().copied(),
            };
            let query = Query { media, ..search.query.clone() };
            self.say(&ClientMessage::Search(query), cx);
        }
    }

    fn end_search(&mut self, cx: &mut Cx<'_, Self>) {
        let Some(search) = self.searches.front_mut() else { return };
        if let Some(rest) = &mut search.rest {
            // At first, what ends is the search that was refused.
            rest.pop();
        }
        let is_over = search.hits.len() >= search.query.limit
            || search.rest.as_ref().is_none_or(Vec::is_empty);
        if is_over && let Some(search) = self.searches.pop_front() {
            cx.answer(search.op, Event::Hits(search.hits));
        }
        self.ask_next(cx);
    }

    fn take_wanted(&mut self, nick: &Nick, name: &Text) -> Option<OpId> {
        let at = self.wanted.iter().position(|it| it.nick == *nick && it.name == *name)?;
        Some(self.wanted.remove(at).op)
    }

    fn on_server(&mut self, message: ServerMessage, cx: &mut Cx<'_, Self>) {
        use ServerMessage as M;
        match message {
            M::LoggedIn(email) => {
                self.is_up = true;
                // Whoever was registered logs in from now on.
                self.register = false;
                self.credentials.email = None;
                for file in &self.files {
                    self.say(&ClientMessage::Share([file.clone()].into()), cx);
                }
                cx.emit(Event::LoggedIn(email));
            }
            M::Error(why) => cx.emit(Event::Refused(why)),
            M::NickInvalid => cx.emit(Event::Refused("the name is not accepted".into())),
            M::Hit(hit) => {
                if let Some(search) = self.searches.front_mut()
                    && search.hits.len() < ANSWERS_MAX
                {
                    search.hits.push(hit);
                }
            }
            M::SearchEnd => self.end_search(cx),
            M::Notice(text) if self.is_unknown_kind(&text) => {
                // One more, because the end of the search that was refused comes first.
                if let Some(search) = self.searches.front_mut() {
                    let mut rest = MediaType::ALL.to_vec();
                    rest.push(MediaType::Mp3);
                    search.rest = Some(rest);
                }
            }
            M::Browsed(nick, file) => {
                let asked = self.browses.iter_mut().find(|(_, whose, _)| *whose == nick);
                if let Some((_, _, files)) = asked.filter(|(_, _, files)| files.len() < ANSWERS_MAX)
                {
                    files.push(file);
                }
            }
            M::BrowseEnd(nick) => self.end_browse(&nick, true, cx),
            M::SignOff(nick) if self.browses.iter().any(|(_, whose, _)| *whose == nick) => {
                self.end_browse(&nick, false, cx);
            }
            M::Twin(twin) => {
                if let Some((_, twins)) = self.twins.front_mut()
                    && twins.len() < ANSWERS_MAX
                {
                    twins.push(twin);
                }
            }
            M::ResumeEnd => {
                if let Some((op, twins)) = self.twins.pop_front() {
                    cx.answer(op, Event::Twins(twins));
                }
            }
            M::Ready(offer) => {
                if let Some(op) = self.take_wanted(&offer.nick, &offer.name) {
                    cx.answer(op, Event::Offer(offer));
                }
            }
            M::Unavailable(nick, name)
            | M::UploadRefused(nick, name)
            | M::QueueLimit(nick, name, _, _) => match self.take_wanted(&nick, &name) {
                Some(op) => cx.answer(op, Event::Unavailable),
                None => cx.emit(Event::NotSent(nick, name)),
            },
            // Only what is in the table of shared files is ever sent (CVE-2000-0412).
            M::UploadRequest(nick, name) if self.shared.contains(&name) => {
                self.say(&ClientMessage::AcceptUpload(nick, name), cx);
            }
            M::UploadRequest(..) => {}
            M::Push(offer) if self.shared.contains(&offer.name) => cx.emit(Event::Push(offer)),
            M::Push(_) => {}
            M::PortError(nick) => cx.emit(Event::PortError(nick)),
            M::PingServer => self.say(&ClientMessage::PingServer, cx),
            M::Ping(nick) => self.say(&ClientMessage::Pong(nick), cx),
            other => cx.emit(Event::Said(other)),
        }
    }

    fn is_unknown_kind(&self, text: &Text) -> bool {
        let asked = self.searches.front();
        asked.is_some_and(|search| search.rest.is_none() && search.query.media.is_none())
            && text.to_string_lossy().contains("invalid type")
    }

    fn end_browse(&mut self, nick: &Nick, is_here: bool, cx: &mut Cx<'_, Self>) {
        let Some(at) = self.browses.iter().position(|(_, whose, _)| whose == nick) else { return };
        if let Some((op, _, files)) = self.browses.remove(at) {
            cx.answer(op, Event::Files(is_here.then_some(files)));
        }
    }

    /// The name it logs in with.
    #[must_use]
    pub fn nick(&self) -> &Nick {
        &self.credentials.nick
    }
}

impl<C: Contact> Machine for Client<C> {
    type Command = Command;
    type Event = Event;
    type Timer = ();
    type Effect = Effect;

    fn on_command(&mut self, op: OpId, command: Command, cx: &mut Cx<'_, Self>) {
        match command {
            Command::Share(files) => {
                for file in files {
                    if self.shared.insert(file.name.clone()) {
                        if self.is_up {
                            self.say(&ClientMessage::Share([file.clone()].into()), cx);
                        }
                        self.files.push(file);
                    }
                }
            }
            Command::Unshare(name) => {
                if self.shared.remove(&name) {
                    self.files.retain(|file| file.name != name);
                    if self.is_up {
                        self.say(&ClientMessage::Unshare(name), cx);
                    }
                }
            }
            _ if !self.is_up => cx.answer(op, Event::NotAsked),
            Command::Search(query) if self.searches.len() < QUESTIONS_MAX => {
                self.searches.push_back(Search { op, query, hits: Vec::new(), rest: None });
                if self.searches.len() == 1 {
                    self.ask_next(cx);
                }
            }
            Command::Browse(nick) if self.browses.len() < QUESTIONS_MAX => {
                self.browses.push_back((op, nick.clone(), Vec::new()));
                self.say(&ClientMessage::Browse(nick), cx);
            }
            Command::Twins(hash, size) if self.twins.len() < QUESTIONS_MAX => {
                self.twins.push_back((op, Vec::new()));
                self.say(&ClientMessage::Resume(hash, size), cx);
            }
            Command::Download(nick, name, true) => {
                self.say(&ClientMessage::DownloadPushed(nick, name), cx);
                cx.answer(op, Event::Asked);
            }
            Command::Download(nick, name, false) if self.wanted.len() < QUESTIONS_MAX => {
                self.wanted.push(Wanted { op, nick: nick.clone(), name: name.clone() });
                self.say(&ClientMessage::Download(nick, name), cx);
            }
            Command::Say(message) => self.say(&message, cx),
            _ => cx.answer(op, Event::NotAsked),
        }
    }

    fn on_timer(&mut self, (): (), _: &mut Cx<'_, Self>) {}
}

impl<C: Contact> StreamMachine for Client<C> {
    type Contact = C;
    type Frame = Frame;
    type CloseReason = ();

    fn on_open(&mut self, conn: ConnId, _: C, _: Side, cx: &mut Cx<'_, Self>) {
        self.conn = Some(conn);
        let credentials = self.credentials.clone();
        let login = if self.register {
            ClientMessage::Register(credentials)
        } else {
            ClientMessage::Login(credentials)
        };
        self.say(&login, cx);
    }

    fn on_frame(&mut self, conn: ConnId, frame: Frame, cx: &mut Cx<'_, Self>) {
        // What a server says that cannot be read is passed over: others read it, or nobody does.
        if self.conn == Some(conn)
            && let Ok(message) = ServerMessage::parse(&frame)
        {
            self.on_server(message, cx);
        }
    }

    fn on_close(&mut self, conn: ConnId, (): (), cx: &mut Cx<'_, Self>) {
        if self.conn != Some(conn) {
            return;
        }
        self.conn = None;
        self.is_up = false;
        let searches = self.searches.drain(..).map(|search| search.op);
        let browses = self.browses.drain(..).map(|(op, ..)| op);
        let twins = self.twins.drain(..).map(|(op, _)| op);
        let wanted = self.wanted.drain(..).map(|wanted| wanted.op);
        for op in searches.chain(browses).chain(twins).chain(wanted) {
            cx.answer(op, Event::NotAsked);
        }
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
