//! The driver with a machine that only sends what it is told to.

use super::*;

const BLOCK: u32 = 16 * 1024;

/// Which node, as machines of this test know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Node(u32);

impl machine::Contact for Node {
    type Host = u32;

    fn host(&self) -> u32 {
        self.0
    }
}

/// Sends some blocks to each of some nodes.
#[derive(Default)]
struct Source {
    targets: Vec<(u32, u32)>,
    got: Vec<(u32, Instant)>,
    closed: u32,
    failed: u32,
}

enum Effect {
    Dial(u32),
    Block(ConnId, Payload),
}

impl Machine for Source {
    type Command = (u32, u32);
    type Event = (u32, u32);
    type Timer = ();
    type Effect = Effect;

    fn on_command(&mut self, _op: OpId, target: (u32, u32), cx: &mut Cx<'_, Self>) {
        self.targets.push(target);
        cx.effect(Effect::Dial(target.0));
    }

    fn on_timer(&mut self, (): (), _cx: &mut Cx<'_, Self>) {}
}

impl StreamMachine for Source {
    type Contact = Node;
    type Frame = ();
    type CloseReason = ();

    fn on_open(&mut self, conn: ConnId, peer: Node, side: Side, cx: &mut Cx<'_, Self>) {
        if side == Side::Dialer {
            let blocks = self.targets.iter().find(|(to, _)| *to == peer.0).map_or(0, |(_, n)| *n);
            for object in 0..blocks {
                cx.effect(Effect::Block(conn, Payload { object, offset: 0, len: BLOCK }));
            }
        }
    }

    fn on_dial_failed(&mut self, _peer: Node, _cx: &mut Cx<'_, Self>) {
        self.failed += 1;
    }

    fn on_frame(&mut self, _conn: ConnId, (): (), _cx: &mut Cx<'_, Self>) {}

    fn on_payload_head(&mut self, _: ConnId, _: Payload, _cx: &mut Cx<'_, Self>) -> bool {
        true
    }

    fn on_payload(&mut self, conn: ConnId, _payload: Payload, cx: &mut Cx<'_, Self>) {
        self.got.push((conn.0, cx.now()));
    }

    fn on_sent(&mut self, _conn: ConnId, _payload: Payload, _cx: &mut Cx<'_, Self>) {}

    fn on_dropped(&mut self, _conn: ConnId, _payload: Payload, _cx: &mut Cx<'_, Self>) {}

    fn on_verified(&mut self, _object: u32, _ok: bool, _cx: &mut Cx<'_, Self>) {}

    fn on_close(&mut self, _conn: ConnId, (): (), _cx: &mut Cx<'_, Self>) {
        self.closed += 1;
    }
}

struct Plain;

impl Adapter for Plain {
    type Machine = Source;

    fn contact(&self, node: u32) -> Node {
        Node(node)
    }

    fn node(&self, contact: Node) -> u32 {
        contact.0
    }

    fn act(&mut self, _node: u32, effect: Effect) -> Act<Source> {
        match effect {
            Effect::Dial(to) => Act::Dial(Node(to)),
            Effect::Block(conn, payload) => Act::SendPayload(conn, payload),
        }
    }

    fn on_event(&mut self, _node: u32, _event: (u32, u32), _now: Instant) {}

    fn gone(&self) {}
}

/// A block per second.
const RATE: u64 = BLOCK as u64;

fn net(access: &[Access]) -> StreamNet<Plain> {
    let config = Config {
        seed: 1,
        latency: Duration::from_millis(10),
        verifying: Duration::ZERO,
        window: 4,
    };
    let mut net = StreamNet::new(config, Plain);
    for access in access {
        net.add(Source::default(), *access);
    }
    net
}

fn up(blocks_per_second: u64) -> Access {
    Access { up: Some(blocks_per_second * RATE), down: None }
}

fn run(net: &mut StreamNet<Plain>) {
    while net.step(Instant::ZERO + Duration::from_secs(1_000)) {}
}

/// When a node got its last block, in whole seconds.
fn last(net: &StreamNet<Plain>, node: u32) -> u64 {
    net.machine(node).got.last().map_or(0, |(_, at)| at.since(Instant::ZERO).as_secs())
}

#[test]
fn connections_take_turns_on_an_uplink() {
    let mut net = net(&[up(1), up(1), up(1)]);
    net.command(0, (1, 10));
    net.command(0, (2, 10));
    run(&mut net);
    // The first was alone when its second block took its place in line.
    assert_eq!((last(&net, 1), last(&net, 2)), (18, 20));
    assert_eq!(net.moved(0).0, 20 * RATE);
    assert_eq!(net.moved(2).1, 10 * RATE);
}

#[test]
fn a_slow_receiver_leaves_the_uplink_to_others() {
    let slow = Access { up: None, down: Some(RATE) };
    let mut net = net(&[up(4), slow, Access::default()]);
    net.command(0, (1, 20));
    net.command(0, (2, 60));
    run(&mut net);
    // Max-min: 1 block a second for the slow one, 3 for the other.
    assert_eq!((last(&net, 1), last(&net, 2)), (20, 20));
}

#[test]
fn senders_share_a_downlink() {
    let mut net = net(&[up(5), up(5), Access { up: None, down: Some(2 * RATE) }]);
    net.command(0, (2, 10));
    net.command(1, (2, 10));
    run(&mut net);
    let got = &net.machine(2).got;
    assert_eq!(last(&net, 2), 10);
    let by = |conn: u32| got[..10].iter().filter(|(from, _)| *from == conn).count();
    assert!((4..=6).contains(&by(1)), "{got:?}");
}

#[test]
fn who_is_gone_is_neither_reached_nor_heard() {
    let mut net = net(&[up(1), up(1), up(1)]);
    net.command(0, (1, 10));
    for _ in 0..20 {
        net.step(Instant::ZERO + Duration::from_secs(5));
    }
    net.crash(1);
    net.command(2, (1, 1));
    run(&mut net);
    assert!(net.machine(1).got.len() < 6);
    assert_eq!((net.machine(0).closed, net.machine(2).failed), (1, 1));
}

#[test]
fn equal_seeds_give_equal_traces() {
    let trace = |blocks| {
        let mut net = net(&[up(3), up(1), Access { up: None, down: Some(RATE) }]);
        net.command(0, (1, blocks));
        net.command(0, (2, 7));
        run(&mut net);
        net.trace()
    };
    assert_eq!(trace(10), trace(10));
    assert_ne!(trace(10), trace(11));
}
