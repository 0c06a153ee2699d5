//! What one query costs an ultrapeer: the whole machine with its leaves' tables, from the frame that
//! comes to the frames that go. `cargo bench -p shoal-search --bench ultrapeer`. Times are of the
//! processor, so that a busy machine changes little.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use machine::{ConnId, Cx, Instant, Outbox, Output, Rng, Side, StreamMachine, Wire};
use search::gnutella::handshake::{Profile, Role, Room};
use search::gnutella::qrp::{Table, update};
use search::gnutella::servent::{Config, Effect, Mode, Servent};
use search::gnutella::{Descriptor, Frame, Guid, Header, Kind, MinSpeed, Query};

type S = Servent<SocketAddr>;

/// Words that names are made of.
const WORDS: u64 = 20_000;
/// Files of one leaf.
const FILES: usize = 200;
const QUERIES: usize = 200_000;

fn word(number: u64) -> String {
    format!("w{:05x}", number.wrapping_mul(0x9e37_79b9) & 0xf_ffff)
}

/// Numbers of four words; small numbers are frequent ones.
fn name(rng: &mut Rng) -> [u64; 4] {
    [(); 4].map(|()| {
        let most = 1 + rng.below(WORDS);
        rng.below(most)
    })
}

struct Hub {
    servent: S,
    rng: Rng,
    outbox: Outbox<S>,
}

impl Hub {
    fn new(leaves: usize) -> Self {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 6_346)));
        let config = Config {
            local: true,
            listen,
            deflate: false,
            leaves_max: leaves,
            ..Config::new(Mode::Ultrapeer, Guid([200; 16]))
        };
        Self { servent: Servent::new(config), rng: Rng::new(1), outbox: Outbox::new() }
    }

    fn input(&mut self, input: impl FnOnce(&mut S, &mut Cx<'_, S>)) {
        input(&mut self.servent, &mut Cx::new(Instant::ZERO, &mut self.rng, &mut self.outbox));
    }

    fn meet(&mut self, number: u32, role: Role) {
        let [.., third, last] = number.to_be_bytes();
        let contact = SocketAddr::from(([127, 1, third, last], 6_346));
        let mut guid = [7; 16];
        guid[..4].copy_from_slice(&number.to_be_bytes());
        let profile = Profile {
            role,
            room: Room { leaves: true, ultrapeers: true },
            yielding: false,
            user_agent: "Other".to_owned(),
            guid: Guid(guid),
            listen: Some(contact),
            deflate: false,
            degree: 32,
            max_ttl: 4,
        };
        let (conn, open) = (ConnId(number), profile.open(contact.ip()));
        self.input(|servent, cx| {
            servent.on_open(conn, contact, Side::Listener, cx);
            servent.on_frame(conn, Frame::Block(open), cx);
        });
        let mut blocks = self.outbox.drain().filter_map(|output| match output {
            Output::Effect(Effect::Send(_, Frame::Block(block))) => Some(block),
            _ => None,
        });
        let confirm = profile.confirm(&blocks.next().expect("an answer")).expect("a yes");
        drop(blocks);
        self.input(|servent, cx| servent.on_frame(conn, Frame::Block(confirm), cx));
        self.outbox.drain().for_each(drop);
    }

    fn hear(&mut self, conn: u32, header: Header, payload: Vec<u8>) {
        let frame = Frame::Message(Descriptor::new(header, payload).expect("short"));
        self.input(|servent, cx| servent.on_frame(ConnId(conn), frame, cx));
    }
}

/// Nanoseconds that this process has had a processor.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0)
}

fn measure(leaves: usize, slots: u32) {
    let mut rng = Rng::new(7);
    let mut hub = Hub::new(leaves);
    hub.meet(1, Role::Ultrapeer);
    let mut has: Vec<Vec<BTreeSet<u64>>> = Vec::new();
    for leaf in 0..leaves {
        let conn = 10 + leaf as u32;
        hub.meet(conn, Role::Leaf);
        let mut table = Table::new(slots).expect("a possible size");
        let mut files = Vec::new();
        for _ in 0..FILES {
            let numbers = name(&mut rng);
            table.insert_name(&numbers.map(word).join(" "));
            files.push(numbers.into_iter().collect());
        }
        has.push(files);
        for payload in update(None, &table, 4) {
            hub.hear(conn, Header::new(Guid([9; 16]), Kind::Qrp, 1), payload);
        }
        hub.outbox.drain().for_each(drop);
    }
    let mut asked = Vec::new();
    let mut queries = Vec::new();
    for number in 0..QUERIES as u64 {
        let [first, second, ..] = name(&mut rng);
        let criteria = format!("{} {}", word(first), word(second));
        let query =
            Query { speed: MinSpeed::MARK, criteria: criteria.as_bytes(), extra: b"\xc3\x82PR@" };
        let mut guid = [3; 16];
        guid[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        let header = Header { hops: 2, ..Header::new(Guid(guid), Kind::Query, 1) };
        let message = Descriptor::new(header, query.to_vec().expect("no zeros")).expect("short");
        asked.push([first, second]);
        queries.push(Frame::Message(message));
    }
    let (mut sent, mut bytes) = (Vec::with_capacity(QUERIES * 2), 0_u64);
    let began = cpu_nanos();
    for (number, frame) in queries.into_iter().enumerate() {
        hub.input(|servent, cx| servent.on_frame(ConnId(1), frame, cx));
        for output in hub.outbox.drain() {
            if let Output::Effect(Effect::Send(conn, Frame::Message(message))) = output {
                sent.push((number, conn.0, message));
            }
        }
    }
    let nanos = (cpu_nanos() - began).max(1);
    let mut wrong = 0_u64;
    let mut buffer = Vec::new();
    for (number, conn, message) in &sent {
        let [first, second] = asked[*number];
        let files = &has[*conn as usize - 10];
        if !files.iter().any(|file| file.contains(&first) && file.contains(&second)) {
            wrong += 1;
        }
        buffer.clear();
        message.encode(&mut buffer);
        bytes += buffer.len() as u64;
    }
    let false_pairs = (QUERIES * leaves) as f64 - (sent.len() as u64 - wrong) as f64;
    println!(
        "{leaves:>4} leaves, {slots:>6} slots: {:>9.0} queries/CPU s, {:>6.0} ns and {:>6.1} bytes \
         a query, {:.3} leaves told, {:.5} of those without it told all the same",
        QUERIES as f64 * 1e9 / nanos as f64,
        nanos as f64 / QUERIES as f64,
        bytes as f64 / QUERIES as f64,
        sent.len() as f64 / QUERIES as f64,
        wrong as f64 / false_pairs,
    );
}

fn main() {
    for leaves in [30, 300] {
        for slots in [1 << 14, 1 << 16] {
            measure(leaves, slots);
        }
    }
}
