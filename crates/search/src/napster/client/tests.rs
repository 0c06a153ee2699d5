//! A client between its user and a server that is played here.

use core::net::SocketAddr;
use std::string::ToString;
use std::vec;

use machine::{Instant, Outbox, Output, Rng};

use super::*;
use crate::napster::LinkSpeed;

const CONN: ConnId = ConnId(1);

struct World {
    client: Client<SocketAddr>,
    events: Vec<(Option<OpId>, Event)>,
    sent: Vec<ClientMessage>,
}

fn nick(name: &str) -> Nick {
    Nick::new(name.as_bytes()).expect("a name")
}

impl World {
    fn new() -> Self {
        let credentials = Credentials {
            nick: nick("me"),
            password: "pw".to_string(),
            port: 6_699,
            client: "test".into(),
            link: LinkSpeed::T3,
            email: None,
        };
        let client = Client::new(credentials);
        Self { client, events: Vec::new(), sent: Vec::new() }
    }

    fn up() -> Self {
        let mut world = Self::new();
        let server = SocketAddr::from(([10, 0, 0, 1], 8_888));
        world.input(|client, cx| client.on_open(CONN, server, Side::Dialer, cx));
        assert!(matches!(world.sent.remove(0), ClientMessage::Login(_)));
        world.hear(ServerMessage::LoggedIn("me@here".into()));
        world.events.clear();
        world
    }

    fn input(
        &mut self,
        act: impl FnOnce(&mut Client<SocketAddr>, &mut Cx<'_, Client<SocketAddr>>),
    ) {
        let (mut outbox, mut rng) = (Outbox::new(), Rng::new(1));
        act(&mut self.client, &mut Cx::new(Instant::ZERO, &mut rng, &mut outbox));
        for output in outbox.drain() {
            match output {
                Output::Event(op, event) => self.events.push((op, event)),
                Output::Effect(Effect::Send(_, frame)) => {
                    self.sent.push(ClientMessage::parse(&frame).expect("a message"));
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, op: u64, command: Command) {
        self.input(|client, cx| client.on_command(OpId(op), command, cx));
    }

    fn hear(&mut self, message: ServerMessage) {
        self.input(|client, cx| client.on_frame(CONN, message.frame(), cx));
    }
}

fn file(name: &str) -> SharedFile {
    SharedFile::new(name.into(), FileHash::Md5([1; 16]), 5, MediaType::Mp3)
}

fn hit(name: &str) -> Hit {
    let address = [10, 0, 0, 9].into();
    Hit { file: file(name), nick: nick("you"), address, link: LinkSpeed::T3 }
}

#[test]
fn answers_go_to_their_questions() {
    let mut world = World::up();
    world.ask(1, Command::Search(Query { media: Some(MediaType::Mp3), ..Query::new("one") }));
    world.ask(2, Command::Search(Query { media: Some(MediaType::Mp3), ..Query::new("two") }));
    assert_eq!(world.sent.len(), 1, "one search at a time, because answers are not told apart");
    world.hear(ServerMessage::Hit(hit("a")));
    world.hear(ServerMessage::SearchEnd);
    world.hear(ServerMessage::SearchEnd);
    world.ask(3, Command::Download(nick("you"), "a".into(), false));
    world.ask(4, Command::Download(nick("you"), "b".into(), false));
    world.hear(ServerMessage::Unavailable(nick("YOU"), "b".into()));
    let address = "10.0.0.9:1".parse().expect("an address");
    let offer =
        Offer { nick: nick("you"), address, name: "a".into(), hash: None, link: LinkSpeed::T3 };
    world.hear(ServerMessage::Ready(offer));
    world.ask(5, Command::Browse(nick("nobody")));
    world.hear(ServerMessage::SignOff(nick("nobody")));
    world.ask(6, Command::Twins(FileHash::Md5([1; 16]), 5));
    world.input(|client, cx| client.on_close(CONN, (), cx));
    world.ask(7, Command::Browse(nick("you")));
    let ops: Vec<_> = world.events.iter().filter_map(|(op, _)| op.map(|op| op.0)).collect();
    assert_eq!(ops, [1, 2, 4, 3, 5, 6, 7]);
    assert_eq!(world.events[0].1, Event::Hits(vec![hit("a")]));
    assert_eq!(world.events[2].1, Event::Unavailable);
    assert_eq!(world.events[4].1, Event::Files(None));
    assert_eq!(world.events[6].1, Event::NotAsked);
}

#[test]
fn a_server_that_knows_no_kinds_is_asked_for_each() {
    let mut world = World::up();
    world.ask(1, Command::Search(Query::new("one")));
    world.hear(ServerMessage::Notice("any: invalid type for search".into()));
    world.hear(ServerMessage::SearchEnd);
    for round in 0..MediaType::ALL.len() {
        assert!(world.events.is_empty(), "{round}");
        world.hear(ServerMessage::Hit(hit("a")));
        world.hear(ServerMessage::SearchEnd);
    }
    let kinds = world.sent.iter().map(|said| match said {
        ClientMessage::Search(query) => query.media,
        other => panic!("{other:?}"),
    });
    let mut kinds: Vec<_> = kinds.collect();
    kinds.sort();
    assert_eq!(kinds[0], None);
    assert_eq!(kinds[1..], MediaType::ALL.map(Some));
    assert!(matches!(&world.events[..], [(_, Event::Hits(hits))] if hits.len() == 6));
}

#[test]
fn na_01_only_what_is_shared_is_sent() {
    let mut world = World::up();
    world.ask(1, Command::Share(vec![file("C:\\a.mp3")]));
    assert!(matches!(world.sent.remove(0), ClientMessage::Share(_)));
    world.hear(ServerMessage::UploadRequest(nick("you"), "/etc/passwd".into()));
    let address = "10.0.0.9:1".parse().expect("an address");
    let name = Text::from("/etc/passwd");
    let offer = Offer { nick: nick("you"), address, name, hash: None, link: LinkSpeed::T3 };
    world.hear(ServerMessage::Push(offer.clone()));
    assert!(world.sent.is_empty() && world.events.is_empty());
    world.hear(ServerMessage::UploadRequest(nick("you"), "C:\\a.mp3".into()));
    assert_eq!(world.sent, [ClientMessage::AcceptUpload(nick("you"), "C:\\a.mp3".into())]);
    let good = Offer { name: "C:\\a.mp3".into(), ..offer };
    world.hear(ServerMessage::Push(good.clone()));
    assert_eq!(world.events, [(None, Event::Push(good))]);
    world.input(|client, cx| client.on_close(CONN, (), cx));
    world.sent.clear();
    let server = SocketAddr::from(([10, 0, 0, 1], 8_888));
    world.input(|client, cx| client.on_open(CONN, server, Side::Dialer, cx));
    world.hear(ServerMessage::LoggedIn("x".into()));
    assert!(matches!(&world.sent[..], [ClientMessage::Login(_), ClientMessage::Share(_)]));
}
