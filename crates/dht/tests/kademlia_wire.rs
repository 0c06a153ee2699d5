//! A small network whose messages all travel as datagrams: what the codec and the machine do
//! together, mainline's rules included.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dht::kademlia::krpc::Packet;
use dht::kademlia::{
    Command, Config, Event, Item, Kademlia, Message, Mutable, Peer, Refusal, Timer, bencoded,
    immutable_key, signed_bytes,
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
