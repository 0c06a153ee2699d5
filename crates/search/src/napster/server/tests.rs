//! A server between users who are played here, with an index in memory and accounts in a map.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use core::time::Duration;
use std::vec;

use machine::{Outbox, Output, Rng};

use super::*;
use crate::napster::index::MemoryIndex;

struct World {
    server: Server<SocketAddr>,
    index: MemoryIndex,
    accounts: BTreeMap<Nick, (String, String)>,
    now: Instant,
    rng: Rng,
    next: u32,
    /// What each connection was told, in order.
    heard: BTreeMap<ConnId, Vec<ServerMessage>>,
    closed: Vec<ConnId>,
    reachable: bool,
}

impl World {
    fn new(limits: Limits) -> Self {
        let mut world = Self {
            server: Server::new("test", "hello\nthere", limits),
            index: MemoryIndex::new(3),
            accounts: BTreeMap::new(),
            now: Instant::ZERO,
            rng: Rng::new(1),
            next: 0,
            heard: BTreeMap::new(),
            closed: Vec::new(),
            reachable: true,
        };
        world.input(|server, cx| server.on_start(cx));
        world
    }

    fn input(
        &mut self,
        act: impl FnOnce(&mut Server<SocketAddr>, &mut Cx<'_, Server<SocketAddr>>),
    ) {
        let mut outbox = Outbox::new();
        act(&mut self.server, &mut Cx::new(self.now, &mut self.rng, &mut outbox));
        let effects: Vec<_> = outbox.drain().collect();
        for output in effects {
            let Output::Effect(effect) = output else { continue };
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send(conn, frame) => {
                let message = ServerMessage::parse(&frame).expect("a message that can be read");
                self.heard.entry(conn).or_default().push(message);
            }
            Effect::Close(conn) => {
                self.closed.push(conn);
                self.input(|server, cx| server.on_close(conn, (), cx));
            }
            Effect::Ask(question, ask) => {
                let said = self.index(ask);
                let command = Command::Indexed(question, said);
                self.input(|server, cx| server.on_command(OpId(0), command, cx));
            }
            Effect::AskAccount(conn, ask) => {
                let account = self.account(ask);
                let command = Command::Account(conn, account);
                self.input(|server, cx| server.on_command(OpId(0), command, cx));
            }
            Effect::Probe(conn, address) => {
                let command = Command::Probed(conn, address.port(), self.reachable);
                self.input(|server, cx| server.on_command(OpId(0), command, cx));
            }
            Effect::Read(..) => {}
        }
    }

    fn index(&mut self, ask: Ask) -> Indexed {
        answer(&mut self.index, ask).unwrap_or_else(|never| match never {})
    }

    fn account(&mut self, ask: AskAccount) -> Account {
        let known = |accounts: &BTreeMap<Nick, (String, String)>, nick: &Nick| {
            accounts.get(nick).map(|(_, email)| Account::Known(email.clone(), 7))
        };
        match ask {
            AskAccount::IsTaken(nick) | AskAccount::LastSeen(nick) => {
                known(&self.accounts, &nick).unwrap_or(Account::Free)
            }
            AskAccount::Check(nick, password) => match self.accounts.get(&nick) {
                Some((right, _)) if *right != password => Account::Denied,
                _ => known(&self.accounts, &nick).unwrap_or(Account::Free),
            },
            AskAccount::Register(nick, password, email) => {
                if self.accounts.contains_key(&nick) {
                    return Account::Denied;
                }
                self.accounts.insert(nick, (password, email.clone()));
                Account::Known(email, 7)
            }
            AskAccount::ChangePassword(nick, password) => {
                let Some(account) = self.accounts.get_mut(&nick) else { return Account::Free };
                account.0 = password;
                Account::Known(account.1.clone(), 7)
            }
            AskAccount::ChangeEmail(nick, _) => {
                known(&self.accounts, &nick).unwrap_or(Account::Free)
            }
        }
    }

    /// Somebody connects, from the host with this number.
    fn connect(&mut self, host: u8) -> ConnId {
        self.next += 1;
        let conn = ConnId(self.next);
        let peer = SocketAddr::from(([10, 0, 0, host], 40_000));
        self.input(|server, cx| server.on_open(conn, peer, Side::Listener, cx));
        conn
    }

    fn say(&mut self, conn: ConnId, kind: u16, body: &str) -> Vec<ServerMessage> {
        let frame = Frame { kind, body: body.as_bytes().to_vec() };
        self.input(|server, cx| server.on_frame(conn, frame, cx));
        self.heard(conn)
    }

    fn heard(&mut self, conn: ConnId) -> Vec<ServerMessage> {
        self.heard.remove(&conn).unwrap_or_default()
    }

    fn user(&mut self, nick: &str, port: u16) -> ConnId {
        let conn = self.connect(nick.len() as u8);
        let said = self.say(conn, 2, &format!("{nick} pw {port} \"test\" 4"));
        assert!(matches!(said[0], ServerMessage::LoggedIn(_)), "{said:?}");
        conn
    }

    fn share(&mut self, conn: ConnId, name: &str) {
        let said =
            self.say(conn, 100, &format!("\"{name}\" {} 1000 128 44100 60", "ab".repeat(16)));
        assert_eq!(said, []);
    }
}

fn nick(name: &str) -> Nick {
    Nick::new(name.as_bytes()).expect("a name")
}

#[test]
fn users_share_and_find() {
    let mut world = World::new(Limits::default());
    let alice = world.user("alice", 6_699);
    let bob = world.user("bob", 6_700);
    world.share(alice, "C:\\Music\\Sneaker Pimps - 6 Underground.mp3");
    let found = world.say(bob, 200, "FILENAME CONTAINS \"sneaker\" MAX_RESULTS 10");
    let [ServerMessage::Hit(hit), ServerMessage::SearchEnd] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((hit.nick.as_str(), hit.address), ("alice", [10, 0, 0, 5].into()));
    let bounds = "FILENAME CONTAINS \"sneaker\" MAX_RESULTS 10 BITRATE \"AT LEAST\" \"160\"";
    assert_eq!(world.say(bob, 200, bounds), [ServerMessage::SearchEnd]);
    let browsed = world.say(bob, 211, "ALICE");
    assert!(matches!(&browsed[..], [ServerMessage::Browsed(..), ServerMessage::BrowseEnd(_)]));
    let twins = world.say(bob, 215, &format!("{} 1000", "ab".repeat(16)));
    assert!(
        matches!(&twins[..], [ServerMessage::Twin(twin), ServerMessage::ResumeEnd] if twin.address.port() == 6_699)
    );
    world.say(alice, 102, "\"C:\\Music\\Sneaker Pimps - 6 Underground.mp3\"");
    assert_eq!(world.say(bob, 200, "FILENAME CONTAINS \"sneaker\""), [ServerMessage::SearchEnd]);
    world.share(alice, "again.mp3");
    world.input(|server, cx| server.on_close(alice, (), cx));
    assert_eq!(world.say(bob, 200, "FILENAME CONTAINS \"again\""), [ServerMessage::SearchEnd]);
}

#[test]
fn downloads_are_arranged_with_the_owner() {
    let mut world = World::new(Limits::default());
    let (alice, bob) = (world.user("alice", 6_699), world.user("bob", 6_700));
    world.share(alice, "a b.mp3");
    assert_eq!(world.say(bob, 203, "alice \"a b.mp3\""), []);
    let asked = world.heard(alice);
    assert_eq!(asked, [ServerMessage::UploadRequest(nick("bob"), "a b.mp3".into())]);
    world.say(alice, 608, "bob \"a b.mp3\"");
    let ready = world.heard(bob);
    assert!(matches!(&ready[..], [ServerMessage::Ready(offer)] if offer.address.port() == 6_699));
    world.say(alice, 619, "bob \"a b.mp3\" 2");
    let limited = ServerMessage::QueueLimit(nick("alice"), "a b.mp3".into(), 1_000, 2);
    assert_eq!(world.heard(bob), [limited]);
    world.say(bob, 626, "alice");
    assert_eq!(world.heard(alice), [ServerMessage::PortError(nick("bob"))]);
}

#[test]
fn files_are_pushed_by_whoever_is_behind_a_firewall() {
    let mut world = World::new(Limits::default());
    let (alice, bob) = (world.user("alice", 0), world.user("bob", 6_700));
    let carol = world.user("carols", 0);
    world.share(alice, "a.mp3");
    let ready = world.say(bob, 203, "alice \"a.mp3\"");
    assert!(matches!(&ready[..], [ServerMessage::Ready(offer)] if offer.address.port() == 0));
    world.say(bob, 500, "alice \"a.mp3\"");
    assert!(matches!(&world.heard(alice)[..], [ServerMessage::UploadRequest(..)]));
    let push = world.say(alice, 608, "bob \"a.mp3\"");
    let [ServerMessage::Push(offer)] = &push[..] else { panic!("{push:?}") };
    assert_eq!(offer.address, "10.0.0.3:6700".parse().expect("an address"));
    let refused = world.say(carol, 500, "alice \"a.mp3\"");
    assert!(matches!(&refused[..], [ServerMessage::Notice(_), ServerMessage::Unavailable(..)]));
}

#[test]
fn a_port_that_cannot_be_reached_is_pushed_from_when_asked_to() {
    let mut world = World::new(Limits::default());
    world.reachable = false;
    let (alice, bob) = (world.user("alice", 6_699), world.user("bob", 6_700));
    assert!(world.heard(alice).is_empty(), "it was told in answer to its login");
    world.share(alice, "a.mp3");
    world.say(bob, 500, "alice \"a.mp3\"");
    world.heard(alice);
    assert!(matches!(&world.say(alice, 608, "bob \"a.mp3\"")[..], [ServerMessage::Push(_)]));
}

#[test]
fn na_01_only_what_is_shared_can_be_asked_for() {
    let mut world = World::new(Limits::default());
    let (alice, bob) = (world.user("alice", 6_699), world.user("bob", 6_700));
    world.share(alice, "C:\\Music\\a.mp3");
    for name in ["C:\\Windows\\win.ini", "a.mp3", "/etc/passwd"] {
        let said = world.say(bob, 203, &format!("alice \"{name}\""));
        assert_eq!(said, [ServerMessage::Unavailable(nick("alice"), name.into())]);
        let said = world.say(alice, 608, &format!("bob \"{name}\""));
        assert!(matches!(&said[..], [ServerMessage::Notice(_)]), "{said:?}");
    }
    assert!(world.heard(alice).is_empty());
}

#[test]
fn na_03_malformed_messages_change_nothing() {
    let mut world = World::new(Limits::default());
    let alice = world.user("alice", 6_699);
    world.share(alice, "a.mp3");
    let before = world.index.totals();
    let hash = "ab".repeat(16);
    for (kind, body) in [
        (100, format!("\"b.mp3 {hash} 1 128 44100 60")),
        (100, format!("\"b.mp3\" {hash} -5 128 44100 60")),
        (100, format!("\"b.mp3\" {hash} 1 high 44100 60")),
        (100, format!("\"b.mp3\" {hash}")),
        (200, "BITRATE \"AT LEAST\" high".to_string()),
        (102, "\"a.mp".to_string() + "\u{1}\""),
    ] {
        let said = world.say(alice, kind, &body);
        assert!(matches!(said[0], ServerMessage::Notice(_)), "{body}: {said:?}");
    }
    assert_eq!(world.index.totals(), before);
    assert!(world.closed.is_empty());
}

#[test]
fn na_04_logins_out_of_place_end_the_connection() {
    let mut world = World::new(Limits::default());
    let early = world.connect(1);
    let said = world.say(early, 200, "FILENAME CONTAINS \"a\"");
    assert!(matches!(&said[..], [ServerMessage::Error(_), ServerMessage::Disconnecting]));
    let twice = world.user("alice", 0);
    let said = world.say(twice, 2, "alice pw 0 \"test\" 4");
    assert!(matches!(&said[..], [ServerMessage::Notice(_), ServerMessage::Disconnecting]));
    let mut bad = Vec::new();
    for name in ["\"a b\"", "a\u{1}b", "#room", &"n".repeat(1_024)] {
        let conn = world.connect(2);
        let said = world.say(conn, 2, &format!("{name} pw 0 \"test\" 4"));
        assert_eq!(said.last(), Some(&ServerMessage::Disconnecting), "{said:?}");
        bad.push(conn);
    }
    assert_eq!(world.closed, [vec![early, twice], bad].concat());
    assert_eq!(world.server.status().users, 0);
}

#[test]
fn na_06_searches_are_rationed() {
    let mut world = World::new(Limits::default());
    let alice = world.user("alice", 6_699);
    for number in 0..150 {
        world.share(alice, &format!("song {number}.mp3"));
    }
    let all = "FILENAME CONTAINS \"song\" MAX_RESULTS 5000";
    assert_eq!(world.say(alice, 200, all).len(), 101);
    world.now = world.now + Duration::from_secs(60);
    let answered = (0..100).filter(|_| world.say(alice, 200, all).len() == 101).count();
    assert_eq!(answered, 50, "a burst of ten seconds' worth");
    world.now = world.now + Duration::from_secs(1);
    assert_eq!(world.say(alice, 200, all).len(), 101);
}

#[test]
fn names_belong_to_whoever_registered_them() {
    let mut world = World::new(Limits::default());
    let conn = world.connect(1);
    assert_eq!(world.say(conn, 7, "alice"), [ServerMessage::NickFree]);
    assert_eq!(world.say(conn, 7, "a b"), [ServerMessage::NickInvalid]);
    let said = world.say(conn, 6, "alice secret 0 \"test\" 4 a@b.c");
    assert_eq!(said[0], ServerMessage::LoggedIn("a@b.c".into()));
    let thief = world.connect(2);
    assert_eq!(world.say(thief, 7, "Alice"), [ServerMessage::NickTaken]);
    let said = world.say(thief, 2, "Alice guess 0 \"test\" 4");
    assert_eq!(
        said,
        [ServerMessage::Error("Invalid Password".into()), ServerMessage::Disconnecting]
    );
    world.say(conn, 701, "newer");
    let back = world.connect(3);
    let said = world.say(back, 2, "alice newer 0 \"test\" 4");
    assert!(matches!(said[0], ServerMessage::LoggedIn(_)), "{said:?}");
    assert!(world.heard(conn).contains(&ServerMessage::Ghost));
    assert!(world.closed.contains(&conn));
    assert_eq!(world.server.status().users, 1);
    let other = world.user("bob", 0);
    let squatter = world.connect(9);
    let said = world.say(squatter, 2, "bob x 0 \"test\" 4");
    assert!(matches!(said[0], ServerMessage::Error(_)), "a name in use elsewhere: {said:?}");
    assert!(!world.closed.contains(&other));
}

#[test]
fn people_talk() {
    let mut world = World::new(Limits::default());
    let alice = world.user("alice", 0);
    assert_eq!(world.say(alice, 207, "bob"), [ServerMessage::HotlistAdded(nick("bob"))]);
    let bob = world.user("bob", 0);
    let link = crate::napster::LinkSpeed::new(4).expect("a speed");
    assert_eq!(world.heard(alice), [ServerMessage::SignOn(nick("bob"), link)]);
    world.say(bob, 205, "alice how \"are\" you");
    assert_eq!(world.heard(alice), [ServerMessage::Private(nick("bob"), "how \"are\" you".into())]);
    let said = world.say(alice, 400, "Lobby");
    assert!(matches!(said[0], ServerMessage::Joined(_)));
    world.say(bob, 400, "lobby");
    assert!(matches!(&world.heard(alice)[..], [ServerMessage::UserJoined(..)]));
    let said = ServerMessage::Public("Lobby".into(), nick("bob"), "hi all".into());
    assert_eq!(world.say(bob, 402, "LOBBY hi all"), core::slice::from_ref(&said));
    assert_eq!(world.heard(alice), [said]);
    let listed = world.say(bob, 830, "lobby");
    assert_eq!(listed.len(), 3);
    let channels = world.say(bob, 617, "");
    assert!(matches!(&channels[..], [ServerMessage::Channel(_, 2, _), ServerMessage::ChannelsEnd]));
    let card = world.say(bob, 603, "alice");
    assert!(matches!(&card[..], [ServerMessage::Whois(card)] if card.channels == "lobby".into()));
    assert!(matches!(&world.say(bob, 603, "nobody")[..], [ServerMessage::Notice(_)]));
    world.input(|server, cx| server.on_close(bob, (), cx));
    let heard = world.heard(alice);
    assert!(matches!(&heard[..], [ServerMessage::UserParted(..), ServerMessage::SignOff(_)]));
    world.say(alice, 401, "lobby");
    assert_eq!(world.server.status().channels, 0);
    assert!(world.server.watchers.len() == 1);
    world.input(|server, cx| server.on_close(alice, (), cx));
    assert!(world.server.watchers.is_empty() && world.server.hosts.is_empty());
}

#[test]
fn what_users_may_have_is_bounded() {
    let limits = Limits { files: 3, per_host: 2, hotlist: 1, ..Limits::default() };
    let mut world = World::new(limits);
    let alice = world.user("alice", 0);
    for name in ["a", "b", "c"] {
        world.share(alice, name);
    }
    let said = world.say(alice, 100, &format!("\"d\" {} 1 1 1 1", "ab".repeat(16)));
    assert!(matches!(&said[..], [ServerMessage::Notice(_)]));
    world.say(alice, 207, "x");
    assert_eq!(world.say(alice, 207, "y"), [ServerMessage::HotlistError(nick("y"))]);
    world.connect(5);
    let third = world.connect(5);
    assert!(world.closed.contains(&third));
    let idle = world.connect(7);
    world.now = world.now + Duration::from_secs(61);
    world.input(|server, cx| server.on_timer(Timer::Tick, cx));
    assert!(world.closed.contains(&idle));
    world.input(|server, cx| {
        for _ in 0..3_000 {
            server.on_frame(alice, Frame { kind: 214, body: Vec::new() }, cx);
        }
    });
    assert!(world.closed.contains(&alice), "a flood");
}
