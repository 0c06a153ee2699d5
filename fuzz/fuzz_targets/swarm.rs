//! A torrent among peers that say anything, in any order: no panic, no second word of the same, and
//! queues within their limits.
#![no_main]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bittorrent::id::{InfoHash, PeerId, PieceIndex};
use bittorrent::merkle;
use bittorrent::metainfo::create::{Builder, PieceHashes, SourceFile, Version};
use bittorrent::peer_wire::{Frame, Handshake, PeerFraming, Reserved};
use bittorrent::picker::PieceOrder;
use bittorrent::swarm::{
    CloseReason, Command, Content, Effect, PeerSource, Swarm, SwarmConfig, Timer, limits,
};
use codec::bitfield::Bitfield;
use libfuzzer_sys::fuzz_target;
use machine::{
    ConnId, Cx, Decoded, Framing, Instant, Machine, OpId, Outbox, Output, Payload, Rng, Side,
    StreamMachine,
};

const CONNECTIONS: usize = 4;
const PIECES: u32 = 5;

type Live = Swarm<SocketAddr>;

/// A torrent of two files and five pieces, the first four in one.
fn content(version: Version, seed: bool, layers: bool) -> Content {
    let file = |name: &str, len| SourceFile { path: vec![name.into()], len, executable: false };
    let files = vec![file("a", 120_000), file("b", 20_000)];
    let builder = Builder::folder("set", files, 32_768, version).expect("sound");
    let (v1, v2) = (version != Version::V2, version != Version::V1);
    let leaf = merkle::root(&[[1; 32], [2; 32]], 0);
    let hashes = PieceHashes {
        v1: if v1 { vec![[1; 20]; PIECES as usize] } else { Vec::new() },
        v2: if v2 { vec![leaf; PIECES as usize] } else { Vec::new() },
    };
    let mut metainfo = builder.build(&hashes).expect("sound");
    assert_eq!(metainfo.info.piece_count(), PIECES);
    if !layers {
        metainfo.piece_layers.iter_mut().for_each(Vec::clear);
    }
    Content {
        have: if seed { Bitfield::full(PIECES) } else { Bitfield::new(PIECES) },
        wanted: Bitfield::full(PIECES),
        info: metainfo.info,
        info_bytes: Arc::from(&metainfo.info_bytes[..]),
        piece_layers: metainfo.piece_layers,
    }
}

struct Conn {
    framing: PeerFraming,
    queued: Vec<Payload>,
    interested: bool,
}

struct Bench {
    swarm: Live,
    hash: InfoHash,
    now: Instant,
    tick: Option<Instant>,
    rng: Rng,
    opened: u32,
    conns: BTreeMap<ConnId, Conn>,
    verify: Vec<PieceIndex>,
    dials: Vec<SocketAddr>,
}

impl Bench {
    fn new(choice: u8) -> Self {
        let version = [Version::V1, Version::V2, Version::Hybrid][usize::from(choice % 3)];
        let content = content(version, choice & 4 != 0, choice & 8 != 0);
        let hashes = content.info.hashes;
        let config = SwarmConfig {
            hashes,
            peer_id: PeerId([9; 20]),
            client: "fuzz".into(),
            listen_port: Some(6_881),
            max_connections: CONNECTIONS,
            upload_slots: 2,
            pex: true,
            dht_port: (choice & 2 != 0).then_some(6_881),
            piece_order: if choice & 16 != 0 {
                PieceOrder::Sequential
            } else {
                PieceOrder::RarestFirst
            },
            super_seeding: choice & 32 != 0,
            partial_bytes_max: if choice & 64 != 0 { 40_000 } else { u64::MAX },
        };
        let mut bench = Self {
            swarm: Swarm::new(config),
            hash: hashes.primary().expect("there is one"),
            now: Instant::from_nanos(1_000_000_000),
            tick: None,
            rng: Rng::new(1),
            opened: 0,
            conns: BTreeMap::new(),
            verify: Vec::new(),
            dials: Vec::new(),
        };
        // Otherwise the content must come from peers.
        if choice & 128 == 0 {
            bench.command(Command::Begin(Box::new(content)));
        }
        bench
    }

    fn input(&mut self, input: impl FnOnce(&mut Live, &mut Cx<'_, Live>)) {
        let mut outbox = Outbox::new();
        input(&mut self.swarm, &mut Cx::new(self.now, &mut self.rng, &mut outbox));
        let outputs: Vec<_> = outbox.drain().collect();
        assert!(outputs.len() < 100_000, "one input has that many outputs");
        for output in outputs {
            match output {
                Output::Timer(at, Timer::Tick) => self.tick = Some(at),
                Output::Event(..) => {}
                Output::Effect(effect) => self.act(effect),
            }
        }
    }

    fn act(&mut self, effect: Effect<SocketAddr>) {
        match effect {
            Effect::Dial(contact, _) => self.dials.push(contact),
            Effect::Send(conn, frame) => {
                let Some(conn) = self.conns.get_mut(&conn) else { return };
                match frame {
                    Frame::Interested => assert!(!std::mem::replace(&mut conn.interested, true)),
                    Frame::NotInterested => {
                        assert!(std::mem::replace(&mut conn.interested, false));
                    }
                    _ => {}
                }
                conn.framing.encode(&frame, &mut Vec::new());
            }
            Effect::SendBlock(conn, block) => {
                let Some(conn) = self.conns.get_mut(&conn) else { return };
                conn.queued.push(block.into());
                assert!(conn.queued.len() <= limits::REQUESTS_IN_MAX);
            }
            Effect::DropBlock(conn, block) => {
                self.drop_queued(conn, |payload| payload == block.into());
            }
            Effect::DropBlocks(conn, except) => {
                self.drop_queued(conn, |payload| !except.contains(&PieceIndex(payload.object)));
            }
            Effect::Close(conn, why) => self.close(conn, why),
            Effect::Verify(piece) => self.verify.push(piece),
            Effect::Forget(piece) => self.verify.retain(|waiting| *waiting != piece),
            Effect::ReadLeaves(conn, range, _) => {
                let leaves = vec![[1; 32]; range.length as usize];
                self.command(Command::Leaves(conn, range, Some(leaves)));
            }
        }
    }

    fn drop_queued(&mut self, id: ConnId, is_dropped: impl Fn(Payload) -> bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let (dropped, kept): (Vec<_>, Vec<_>) =
            conn.queued.drain(..).partition(|payload| is_dropped(*payload));
        conn.queued = kept;
        for payload in dropped {
            self.input(|swarm, cx| swarm.on_dropped(id, payload, cx));
        }
    }

    fn close(&mut self, conn: ConnId, why: CloseReason) {
        if self.conns.remove(&conn).is_some() {
            self.input(|swarm, cx| swarm.on_close(conn, why, cx));
        }
    }

    fn command(&mut self, command: Command<SocketAddr>) {
        self.input(|swarm, cx| swarm.on_command(OpId(0), command, cx));
    }

    fn open(&mut self, host: u8) {
        if self.conns.len() > CONNECTIONS {
            return;
        }
        let (conn, dialled) = (ConnId(self.opened), self.dials.pop());
        self.opened += 1;
        let side = if dialled.is_some() { Side::Dialer } else { Side::Listener };
        let peer = dialled.unwrap_or((Ipv4Addr::new(198, 51, 100, host), 6_881).into());
        let framing = PeerFraming::new();
        self.conns.insert(conn, Conn { framing, queued: Vec::new(), interested: false });
        self.input(|swarm, cx| swarm.on_open(conn, peer, side, cx));
    }

    /// Bytes arrive on a connection.
    fn hear(&mut self, id: ConnId, mut bytes: &[u8]) {
        while let Some(conn) = self.conns.get_mut(&id).filter(|_| !bytes.is_empty()) {
            match conn.framing.decode(bytes) {
                Ok(Decoded::Incomplete(_)) => return,
                Ok(Decoded::Frame { frame, used }) => {
                    bytes = &bytes[used..];
                    self.input(|swarm, cx| swarm.on_frame(id, frame, cx));
                }
                Ok(Decoded::Payload { payload, used }) => {
                    bytes = &bytes[used..];
                    let mut wanted = false;
                    self.input(|swarm, cx| wanted = swarm.on_payload_head(id, payload, cx));
                    if wanted && self.conns.contains_key(&id) {
                        self.input(|swarm, cx| swarm.on_payload(id, payload, cx));
                    }
                }
                Err(_) => return self.close(id, CloseReason::Protocol),
            }
        }
    }

    fn wait(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        while let Some(at) = self.tick.filter(|at| *at <= end) {
            (self.now, self.tick) = (at, None);
            self.input(|swarm, cx| swarm.on_timer(Timer::Tick, cx));
        }
        self.now = end;
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, mut rest)) = data.split_first() else { return };
    let mut bench = Bench::new(choice);
    while let [step, argument, len, tail @ ..] = rest {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = tail;
        let conn = bench.conns.keys().nth(usize::from(step >> 4) % CONNECTIONS).copied();
        match (step & 15, conn) {
            (0, _) => bench.open(*argument),
            (1, Some(conn)) => {
                let mut reserved = Reserved::default();
                if argument & 1 != 0 {
                    reserved = reserved.with_fast();
                }
                if argument & 2 != 0 {
                    reserved = reserved.with_extensions();
                }
                if argument & 4 != 0 {
                    reserved = reserved.with_v2();
                }
                let peer_id = PeerId([*argument; 20]);
                let hello = Handshake { reserved, info_hash: bench.hash, peer_id };
                let mut bytes = Vec::new();
                PeerFraming::new().encode(&Frame::<SocketAddr>::Handshake(hello), &mut bytes);
                bench.hear(conn, &bytes);
            }
            (2, Some(conn)) => bench.hear(conn, body),
            (3..=7, Some(conn)) => {
                let mut bytes = (body.len() as u32 + 1).to_be_bytes().to_vec();
                bytes.push(*argument);
                bytes.extend_from_slice(body);
                bench.hear(conn, &bytes);
            }
            (8, Some(conn)) => {
                let sent = bench.conns.get_mut(&conn).and_then(|conn| conn.queued.pop());
                if let Some(payload) = sent {
                    bench.input(|swarm, cx| swarm.on_sent(conn, payload, cx));
                }
            }
            (9, _) => {
                if let Some(piece) = bench.verify.pop() {
                    bench.input(|swarm, cx| swarm.on_verified(piece.0, argument % 4 != 0, cx));
                }
            }
            (10, _) => bench.wait(u64::from(*argument)),
            (11, Some(conn)) => bench.close(conn, CloseReason::Gone),
            (12, _) => {
                let mut wanted = Bitfield::new(PIECES);
                (0..PIECES).filter(|at| argument >> at & 1 != 0).for_each(|at| _ = wanted.set(at));
                bench.command(Command::Want(wanted));
            }
            (13, _) => bench.command(Command::Lost(PieceIndex(u32::from(*argument)))),
            (14, _) => {
                let peer = (Ipv4Addr::new(203, 0, 113, *argument), 6_881).into();
                bench.command(Command::AddPeers(vec![peer], PeerSource::Tracker));
            }
            (15, _) => {
                if let Some(peer) = bench.dials.pop() {
                    bench.input(|swarm, cx| swarm.on_dial_failed(peer, cx));
                }
            }
            _ => {}
        }
        assert!(bench.swarm.peers().count() <= CONNECTIONS + 1);
    }
});
