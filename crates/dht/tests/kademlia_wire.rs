//! A small network whose messages all travel as datagrams: what the codec and the machine do
//! together, mainline's rules included.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dht::kademlia::krpc::Packet;
use dht::kademlia::{
    Body, Command, Config, Event, Item, Kademlia, Message, Mutable, Peer, Query, Refusal, Reply,
    Timer, Token, Transaction, Want, bencoded, immutable_key, signed_bytes,
};
use machine::dht::{Command as Dht, Key, Report, Value};
use machine::{Cx, DatagramMachine, Instant, Machine, OpId, Outbox, Output, Rng, Wire};

type Node = Kademlia<Peer>;

enum Input {
    Datagram(SocketAddr, Vec<u8>),
    Timer(Timer),
}

/// Nodes on loopback addresses and what is on its way to them.
struct Net {
    nodes: BTreeMap<SocketAddr, Node>,
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    inputs: BTreeMap<u64, (SocketAddr, Input)>,
    events: Vec<(SocketAddr, Option<OpId>, Event<Peer>)>,
    now: Instant,
    rng: Rng,
    sent: u64,
}

fn addr(n: u16) -> SocketAddr {
    ([127, 0, 0, 1], 10_000 + n).into()
}

impl Net {
    fn new(nodes: u16, config: Config<Peer>) -> Self {
        let mut net = Self {
            nodes: BTreeMap::new(),
            queue: BinaryHeap::new(),
            inputs: BTreeMap::new(),
            events: Vec::new(),
            now: Instant::ZERO,
            rng: Rng::new(1),
            sent: 0,
        };
        let config = Arc::new(config);
        for n in 0..nodes {
            net.add(n, config.clone());
        }
        for n in 1..nodes {
            net.join(n, n - 1);
            net.run(Duration::from_secs(2));
        }
        net.run(Duration::from_secs(120));
        net
    }

    fn add(&mut self, n: u16, config: Arc<Config<Peer>>) {
        let mut id = [0; 20];
        self.rng.fill(&mut id);
        let me = Peer { id: Key(id), addr: addr(n) };
        self.nodes.insert(addr(n), Kademlia::new(me, config, [n as u8; 16]));
        self.with(addr(n), |node, cx| node.on_start(cx));
    }

    fn join(&mut self, n: u16, known: u16) {
        let known = vec![Peer::unnamed(addr(known))];
        self.command(n, Command::Dht(Dht::Join { known }));
    }

    fn command(&mut self, n: u16, command: Command<Peer>) {
        self.with(addr(n), |node, cx| node.on_command(OpId(n.into()), command, cx));
    }

    /// The events of a command, once the network has been quiet for a while.
    fn ask(&mut self, n: u16, command: Command<Peer>) -> Vec<Event<Peer>> {
        self.events.clear();
        self.command(n, command);
        self.run(Duration::from_secs(30));
        let ours = |(at, op, _): &(SocketAddr, Option<OpId>, _)| *at == addr(n) && op.is_some();
        self.events.drain(..).filter(ours).map(|(_, _, event)| event).collect()
    }

    fn with(&mut self, at: SocketAddr, input: impl FnOnce(&mut Node, &mut Cx<'_, Node>)) {
        let Some(node) = self.nodes.get_mut(&at) else { return };
        let id = node.me().id;
        let mut outbox = Outbox::new();
        input(node, &mut Cx::new(self.now, &mut self.rng, &mut outbox));
        for output in outbox.drain() {
            match output {
                Output::Event(op, event) => self.events.push((at, op, event)),
                Output::Timer(when, timer) => self.push(when, at, Input::Timer(timer)),
                Output::Effect(send) => {
                    let mut bytes = Vec::new();
                    Packet::new(id, send.to.addr, send.message).encode(&mut bytes);
                    let when = self.now + Duration::from_millis(10 + self.rng.below(40));
                    self.push(when, send.to.addr, Input::Datagram(at, bytes));
                }
            }
        }
    }

    fn push(&mut self, when: Instant, at: SocketAddr, input: Input) {
        self.sent += 1;
        self.queue.push(Reverse((when, self.sent)));
        self.inputs.insert(self.sent, (at, input));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((when, number))) = self.queue.peek().copied() {
            if when > end {
                break;
            }
            self.queue.pop();
            self.now = when;
            let (at, input) = self.inputs.remove(&number).unwrap();
            match input {
                Input::Timer(timer) => self.with(at, |node, cx| node.on_timer(timer, cx)),
                Input::Datagram(from, bytes) => {
                    let packet = Packet::decode(&bytes).unwrap();
                    let from = packet.from(from);
                    let message: Message<Peer> = packet.message;
                    self.with(at, |node, cx| node.on_message(from, message, cx));
                }
            }
        }
        self.now = end;
    }
}

fn config() -> Config<Peer> {
    Config { host_rate: None, ..Config::mainline(|item| item.signature == signature(item)) }
}

/// What stands in for cryptography: something that follows from all that is signed.
fn signature(item: &Mutable) -> [u8; 64] {
    let signed = signed_bytes(&item.salt, item.seq, &item.value);
    std::array::from_fn(|at| signed.iter().skip(at).step_by(64).fold(1, |sum, byte| sum ^ byte))
}

fn mutable(seq: i64, salt: &[u8], text: &[u8]) -> Item {
    let (public_key, signature) = ([3; 32], [0; 64]);
    let mut item = Mutable { public_key, salt: salt.into(), seq, signature, value: bencoded(text) };
    item.signature = self::signature(&item);
    Item::Mutable(item.into())
}

#[test]
fn a_network_stores_and_finds() {
    let mut net = Net::new(40, config());
    assert!(net.nodes.values().skip(1).all(|node| node.is_joined() && node.table().len() >= 8));

    let value: Value = (*b"hello").into();
    let key = immutable_key(&bencoded(&value));
    let stored = net.ask(3, Command::Dht(Dht::Put { key, value: value.clone() }));
    assert!(
        matches!(stored[..], [Event::Report(Report::Stored { copies: 8.., .. })]),
        "{stored:?}"
    );
    for n in 0..40 {
        let found = net.ask(n, Command::Dht(Dht::Get { key }));
        let is_it = |event: &Event<_>| matches!(event, Event::Report(Report::Found { value: found, .. }) if *found == value);
        assert!(is_it(&found[0]), "node {n}: {found:?}");
    }
    let nothing = net.ask(5, Command::Dht(Dht::Get { key: Key::new(9, 9) }));
    assert!(matches!(nothing[..], [Event::Report(Report::NotFound { .. })]), "{nothing:?}");
    let misnamed = net.ask(5, Command::Dht(Dht::Put { key: Key::new(9, 9), value }));
    assert!(matches!(misnamed[..], [Event::Report(Report::Failed { .. })]), "{misnamed:?}");
}

#[test]
fn a_network_finds_peers() {
    let mut net = Net::new(30, config());
    let info_hash = Key::new(77, 7);
    for (n, port) in [(4, Some(6_881)), (5, None)] {
        let announced = net.ask(n, Command::Announce { info_hash, port });
        assert!(
            matches!(announced.last(), Some(Event::Report(Report::Stored { copies: 8, .. }))),
            "{announced:?}"
        );
    }
    let events = net.ask(20, Command::GetPeers { info_hash });
    let mut peers: Vec<_> = events
        .iter()
        .flat_map(|event| match event {
            Event::Peers(peers) => peers.clone(),
            _ => Vec::new(),
        })
        .collect();
    peers.sort();
    peers.dedup();
    assert_eq!(peers, [([127, 0, 0, 1], 6_881).into(), addr(5)]);
    let events = net.ask(21, Command::Sample { target: info_hash });
    let sampled = events.iter().any(|event| {
        matches!(event, Event::Samples { samples, .. } if samples.info_hashes.contains(&info_hash))
    });
    assert!(sampled, "{events:?}");
}

#[test]
fn kr_10_items_are_replaced_by_later_ones_alone() {
    let mut net = Net::new(20, config());
    let target = mutable(5, b"salt", b"five").target();
    let mut put = |item, cas| net.ask(1, Command::PutItem { item, cas }).pop().unwrap();
    let is_stored = |event: &Event<_>| matches!(event, Event::Report(Report::Stored { .. }));
    let refusal = |event: Event<Peer>| match event {
        Event::Refused { refusal, .. } => refusal,
        event => panic!("{event:?}"),
    };
    assert!(is_stored(&put(mutable(5, b"salt", b"five"), None)));
    assert_eq!(refusal(put(mutable(4, b"salt", b"four"), None)), Refusal::Seq);
    assert_eq!(refusal(put(mutable(6, b"salt", b"six"), Some(4))), Refusal::Cas);
    assert!(is_stored(&put(mutable(6, b"salt", b"six"), Some(5))));
    assert!(is_stored(&put(mutable(6, b"salt", b"six"), None)), "again is no rollback");
    assert_eq!(refusal(put(mutable(6, b"salt", b"other"), None)), Refusal::Seq);
    assert_eq!(refusal(put(mutable(7, b"salt", &[0; 1_000]), None)), Refusal::TooBig);
    assert_eq!(refusal(put(mutable(7, &[0; 65], b"seven"), None)), Refusal::Salt);
    let Item::Mutable(right) = mutable(9, b"salt", b"right") else { unreachable!() };
    let forged = Mutable { value: bencoded(b"forged"), ..(*right).clone() };
    assert_eq!(refusal(put(Item::Mutable(forged.into()), None)), Refusal::Signature);
    let found = net.ask(15, Command::GetItem { target, salt: (*b"salt").into() });
    let [Event::Item { item, .. }] = &found[..] else { panic!("{found:?}") };
    assert_eq!(*item, mutable(6, b"salt", b"six"));
}

/// What one node makes of one message.
fn tell(
    node: &mut Node,
    from: Peer,
    body: Body<Peer>,
    transaction: &[u8],
    now: Instant,
) -> Vec<(SocketAddr, Message<Peer>)> {
    let transaction = Transaction::new(transaction).unwrap();
    let mut outbox = Outbox::new();
    let mut rng = Rng::new(5);
    let mut cx = Cx::new(now, &mut rng, &mut outbox);
    node.on_message(from, Message { transaction, body }, &mut cx);
    let sent = outbox.drain().filter_map(|output| match output {
        Output::Effect(send) => Some((send.to.addr, send.message)),
        _ => None,
    });
    sent.collect()
}

fn query(query: Query) -> Body<Peer> {
    Body::Query { read_only: false, query }
}

fn peer(n: u8) -> Peer {
    Peer { id: Key([n; 20]), addr: ([8, n, 8, 8], 6_881).into() }
}

fn node(config: Config<Peer>) -> Node {
    Kademlia::new(peer(1), Arc::new(config), [7; 16])
}

#[test]
fn kr_03_only_who_was_asked_can_answer() {
    let mut node = node(config());
    // Whoever asks is pinged, and is nobody until it answers.
    let sent = tell(&mut node, peer(2), query(Query::Ping), b"aa", Instant::ZERO);
    assert_eq!((sent.len(), node.table().len()), (2, 0));
    assert_eq!(sent[0].1.transaction.as_slice(), b"aa");
    let ping = sent[1].1.transaction;
    let pong = || Body::Reply(Reply::plain());
    tell(&mut node, peer(2), pong(), b"what", Instant::ZERO);
    tell(&mut node, peer(3), pong(), ping.as_slice(), Instant::ZERO);
    assert_eq!(node.table().len(), 0);
    tell(&mut node, peer(2), pong(), ping.as_slice(), Instant::ZERO);
    assert_eq!(node.table().nodes().collect::<Vec<_>>(), [peer(2)]);
    // Nor can it answer twice, under another name.
    let renamed = Peer { id: Key([9; 20]), ..peer(2) };
    tell(&mut node, renamed, pong(), ping.as_slice(), Instant::ZERO);
    assert_eq!(node.table().nodes().map(|node| node.id).collect::<Vec<_>>(), [peer(2).id]);
}

#[test]
fn transactions_of_any_length_are_echoed() {
    let mut node = node(config());
    for length in 0..=16 {
        let transaction = vec![b'x'; length];
        let sent = tell(&mut node, peer(2), query(Query::Ping), &transaction, Instant::ZERO);
        assert_eq!(sent[0].1.transaction.as_slice(), transaction);
    }
}

#[test]
fn kr_06_announces_need_a_token_of_their_own_host_and_hour() {
    let mut node = node(config());
    let info_hash = Key::new(5, 5);
    let minutes = |minutes: u64| Instant::ZERO + Duration::from_secs(60 * minutes);
    let get = query(Query::GetPeers { info_hash, want: Want::Same });
    let Body::Reply(reply) = &tell(&mut node, peer(2), get, b"t", minutes(1))[0].1.body else {
        panic!("no reply")
    };
    let token = *reply.token.clone().unwrap();
    let mut announce = |from, token, now| {
        let announce = Query::AnnouncePeer { info_hash, token: Box::new(token), port: Some(80) };
        tell(&mut node, from, query(announce), b"t", now)[0].1.body.clone()
    };
    let refused = Body::Refusal(Refusal::Protocol);
    assert_eq!(announce(peer(2), Token::new(b"forged").unwrap(), minutes(1)), refused);
    assert_eq!(announce(peer(3), token, minutes(1)), refused, "another host");
    assert_eq!(announce(peer(2), token, minutes(11)), refused, "stale");
    assert_eq!(announce(peer(2), token, minutes(9)), Body::Reply(Reply::plain()));
    assert_eq!(node.torrents(), (1, 1));
}

#[test]
fn kr_09_a_flood_from_one_address_is_answered_at_its_rate_alone() {
    let mut node = node(Config::mainline(|_| true));
    let mut sent = 0;
    for millisecond in 0..5_000 {
        let now = Instant::ZERO + Duration::from_millis(millisecond);
        let get = Query::GetPeers { info_hash: Key::new(5, 5), want: Want::Same };
        let body = Body::Query { read_only: true, query: get };
        sent += tell(&mut node, peer(2), body, b"t", now).len();
    }
    assert!((400..=460).contains(&sent), "{sent} of 5 s x 50 and what was saved up");
}

#[test]
fn read_only_nodes_are_answered_and_not_kept_and_do_not_answer() {
    let mut normal = node(config());
    let body = Body::Query { read_only: true, query: Query::Ping };
    let sent = tell(&mut normal, peer(2), body.clone(), b"t", Instant::ZERO);
    assert_eq!(sent.len(), 1, "a reply, and no ping");
    let mut quiet = node(Config { read_only: true, ..config() });
    assert_eq!(tell(&mut quiet, peer(2), body, b"t", Instant::ZERO), []);
    let (mut rng, mut outbox) = (Rng::new(1), Outbox::new());
    let ping = Command::Ping { contact: peer(2) };
    quiet.on_command(OpId(1), ping, &mut Cx::new(Instant::ZERO, &mut rng, &mut outbox));
    let asks = outbox.drain().any(|output| {
        matches!(output, Output::Effect(send)
            if matches!(send.message.body, Body::Query { read_only: true, .. }))
    });
    assert!(asks);
}

#[test]
fn nodes_of_the_other_family_are_named_to_those_who_want_them() {
    let mut node = node(config());
    let foreign = Peer { id: Key([6; 20]), addr: "[2a00::1]:6881".parse().unwrap() };
    let (mut rng, mut outbox) = (Rng::new(1), Outbox::new());
    let command = Command::Foreign { nodes: vec![foreign] };
    node.on_command(OpId(1), command, &mut Cx::new(Instant::ZERO, &mut rng, &mut outbox));
    for (want, expected) in [(Want::Same, 0), (Want::V4, 0), (Want::V6, 1), (Want::Both, 1)] {
        let find = query(Query::FindNode { target: Key::default(), want });
        let Body::Reply(reply) = &tell(&mut node, peer(2), find, b"t", Instant::ZERO)[0].1.body
        else {
            panic!("no reply")
        };
        assert_eq!(reply.nodes.len(), expected, "{want:?}");
    }
}

#[test]
fn a_node_with_another_id_is_found_under_it_and_keeps_what_it_has() {
    let mut net = Net::new(40, config());
    let value: Value = (*b"kept").into();
    let key = immutable_key(&bencoded(&value));
    net.ask(3, Command::Dht(Dht::Put { key, value }));
    let holder = (0..40)
        .find(|&n| net.nodes[&addr(n)].stored().any(|(stored, ..)| stored == key))
        .expect("somebody keeps it");
    let known = net.nodes[&addr(holder)].table().len();
    let id = Key(net.nodes[&addr(holder)].me().id.0.map(|byte| !byte));
    let me = Peer { id, addr: addr(holder) };
    net.ask(holder, Command::Rename { me });
    let node = &net.nodes[&addr(holder)];
    assert_eq!(node.me().id, id);
    assert!(node.table().len() * 2 > known && node.table().depth() > 1);
    assert!(node.stored().any(|(stored, ..)| stored == key));
    for asking in [0, 17, 39] {
        let events = net.ask(asking, Command::Dht(Dht::Lookup { key: id }));
        let Some(Event::Report(Report::Located { nodes, .. })) = events.last() else {
            panic!("{events:?}")
        };
        if asking != holder {
            assert_eq!(nodes.first().map(|node| (node.id, node.addr)), Some((id, addr(holder))));
        }
    }
}
