//! A swarm machine among scripted peers: the bench on which the tests below it run. It does what
//! a driver does, synchronously, and keeps what the machine wanted done.

mod download;
mod exchange;
mod handshake;
mod hashes;
mod interest;
mod metadata;
mod pieces;
mod silence;
mod upload;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use codec::bitfield::Bitfield;
use machine::{
    ConnId, Cx, Instant, Machine, OpId, Outbox, Output, Payload, Rng, Side, StreamMachine,
};

use super::{
    CloseReason, Command, Content, DialHint, Effect, Event, Swarm, SwarmConfig, Timer, limits,
};
use crate::extension::{Extended, ExtensionHandshake, Extensions};
use crate::id::{BLOCK_LEN, Block, InfoHash, InfoHashes, PeerId, PieceIndex};
use crate::metainfo::{File, Info};
use crate::peer_wire::{Frame, Handshake, Reserved};
use crate::picker::PieceOrder;

/// Blocks of a piece on the bench.
const BLOCKS: u32 = 4;
const PIECE_LEN: u32 = BLOCKS * BLOCK_LEN;
const TORRENT: InfoHash = InfoHash([7; 20]);
const OURSELVES: PeerId = PeerId(*b"-SH0001-ourselves000");

type Wire = Frame<SocketAddr>;
type Live = Swarm<SocketAddr>;

fn config() -> SwarmConfig {
    SwarmConfig {
        hashes: InfoHashes { v1: Some(TORRENT), v2: None },
        peer_id: OURSELVES,
        client: "bench".to_string(),
        listen_port: Some(6881),
        dht_port: Some(6881),
        max_connections: 50,
        upload_slots: 4,
        pex: true,
        piece_order: PieceOrder::RarestFirst,
        super_seeding: false,
        partial_bytes_max: u64::MAX,
    }
}

/// The one-file torrent of so many pieces that tests exchange.
fn info(pieces: u32) -> Info {
    let len = u64::from(pieces) * u64::from(PIECE_LEN);
    Info {
        hashes: config().hashes,
        name: "file".to_string(),
        piece_len: PIECE_LEN,
        private: false,
        single_file: true,
        files: vec![File {
            path: vec!["file".to_string()],
            disk_path: vec!["file".to_string()],
            offset: 0,
            len,
            padding: false,
            symlink: false,
            executable: false,
            pieces_root: None,
        }],
        total_len: len,
        v1_pieces: Some(vec![[0; 20]; pieces as usize]),
    }
}

fn bits(pieces: u32, ones: &[u32]) -> Bitfield {
    let mut bits = Bitfield::new(pieces);
    ones.iter().for_each(|&piece| _ = bits.set(piece));
    bits
}

fn content(info: Info, have: Bitfield) -> Content {
    let pieces = info.piece_count();
    Content {
        piece_layers: vec![Vec::new(); info.files.len()],
        info: Arc::new(info),
        info_bytes: Arc::from(&b"de"[..]),
        have,
        wanted: Bitfield::full(pieces),
    }
}

fn block(piece: u32, index: u32) -> Block {
    Block { piece: PieceIndex(piece), begin: index * BLOCK_LEN, len: BLOCK_LEN }
}

/// The peer behind connection `n` of a bench: an address of its own, reached by dialling.
fn address(n: u32) -> SocketAddr {
    SocketAddr::from(([198, 18, (n >> 8) as u8, n as u8], 6881))
}

fn peer_id(n: u32) -> PeerId {
    let mut id = *b"-TR4060-000000000000";
    id[16..].copy_from_slice(&n.to_be_bytes());
    PeerId(id)
}

/// What a scripted peer can do.
#[derive(Clone, Copy)]
struct Skills {
    fast: bool,
    extended: bool,
    v2: bool,
}

const MODERN: Skills = Skills { fast: true, extended: true, v2: true };
const PLAIN: Skills = Skills { fast: false, extended: false, v2: false };

fn greeting(id: PeerId, skills: Skills) -> Wire {
    let mut reserved = Reserved::default();
    if skills.fast {
        reserved = reserved.with_fast();
    }
    if skills.extended {
        reserved = reserved.with_extensions();
    }
    if skills.v2 {
        reserved = reserved.with_v2();
    }
    Frame::Handshake(Handshake { reserved, info_hash: TORRENT, peer_id: id })
}

/// An extension handshake of a peer that speaks everything.
fn abilities() -> ExtensionHandshake {
    ExtensionHandshake {
        extensions: Extensions {
            metadata: true,
            pex: true,
            holepunch: true,
            dont_have: true,
            upload_only: true,
        },
        ..ExtensionHandshake::default()
    }
}

/// A machine, its clock, and what it has wanted done.
struct Bench {
    swarm: Live,
    now: Instant,
    rng: Rng,
    tick_at: Option<Instant>,
    conns: u32,
    /// Frames not looked at yet.
    sent: Vec<(ConnId, Wire)>,
    /// Blocks that wait to be sent.
    queued: Vec<(ConnId, Block)>,
    dials: Vec<(SocketAddr, DialHint)>,
    closed: BTreeMap<ConnId, CloseReason>,
    events: Vec<Event<SocketAddr>>,
    /// `Verify`, `Forget` and `ReadLeaves`.
    asked: Vec<Effect<SocketAddr>>,
}

impl Bench {
    /// A machine that does not know its content yet.
    fn magnet(config: SwarmConfig) -> Self {
        Self {
            swarm: Swarm::new(config),
            now: Instant::ZERO,
            rng: Rng::new(42),
            tick_at: None,
            conns: 0,
            sent: Vec::new(),
            queued: Vec::new(),
            dials: Vec::new(),
            closed: BTreeMap::new(),
            events: Vec::new(),
            asked: Vec::new(),
        }
    }

    fn with(config: SwarmConfig, content: Content) -> Self {
        let mut bench = Self::magnet(config);
        bench.command(Command::Begin(Box::new(content)));
        bench
    }

    /// Has nothing of so many pieces.
    fn leecher(pieces: u32) -> Self {
        Self::with(config(), content(info(pieces), Bitfield::new(pieces)))
    }

    /// Has all of so many pieces.
    fn seed(pieces: u32) -> Self {
        Self::with(config(), content(info(pieces), Bitfield::full(pieces)))
    }

    fn input(&mut self, input: impl FnOnce(&mut Live, &mut Cx<'_, Live>)) {
        let mut outbox = Outbox::new();
        input(&mut self.swarm, &mut Cx::new(self.now, &mut self.rng, &mut outbox));
        let outputs: Vec<_> = outbox.drain().collect();
        for output in outputs {
            match output {
                Output::Event(_, event) => self.events.push(event),
                Output::Timer(at, Timer::Tick) => {
                    assert!(self.tick_at.is_none(), "two ticks under way");
                    self.tick_at = Some(at);
                }
                Output::Effect(effect) => self.act(effect),
            }
        }
    }

    fn act(&mut self, effect: Effect<SocketAddr>) {
        match effect {
            Effect::Dial(contact, hint) => self.dials.push((contact, hint)),
            Effect::Send(conn, frame) => self.sent.push((conn, frame)),
            Effect::SendBlock(conn, block) => self.queued.push((conn, block)),
            Effect::DropBlock(conn, block) => self.drop_queued(conn, |queued| queued == block),
            Effect::DropBlocks(conn, except) => {
                self.drop_queued(conn, |queued| !except.contains(&queued.piece));
            }
            Effect::Close(conn, why) => {
                if !self.closed.contains_key(&conn) {
                    self.close(conn, why);
                }
            }
            effect @ (Effect::Verify(_) | Effect::Forget(_) | Effect::ReadLeaves(..)) => {
                self.asked.push(effect);
            }
        }
    }

    fn drop_queued(&mut self, conn: ConnId, wanted: impl Fn(Block) -> bool) {
        let (dropped, kept) =
            self.queued.drain(..).partition(|&(of, block)| of == conn && wanted(block));
        self.queued = kept;
        let dropped: Vec<_> = dropped;
        for (conn, block) in dropped {
            self.input(|swarm, cx| swarm.on_dropped(conn, block.into(), cx));
        }
    }

    /// The connection ends, by either side.
    fn close(&mut self, conn: ConnId, why: CloseReason) {
        self.closed.insert(conn, why);
        self.queued.retain(|(of, _)| *of != conn);
        self.input(|swarm, cx| swarm.on_close(conn, why, cx));
    }

    fn command(&mut self, command: Command<SocketAddr>) {
        self.input(|swarm, cx| swarm.on_command(OpId(0), command, cx));
    }

    /// A connection with the peer of the next number comes up.
    fn open(&mut self, side: Side) -> ConnId {
        self.open_to(address(self.conns), side)
    }

    fn open_to(&mut self, contact: SocketAddr, side: Side) -> ConnId {
        let conn = ConnId(self.conns);
        self.conns += 1;
        self.input(|swarm, cx| swarm.on_open(conn, contact, side, cx));
        conn
    }

    fn frame(&mut self, conn: ConnId, frame: Wire) {
        if !self.closed.contains_key(&conn) {
            self.input(|swarm, cx| swarm.on_frame(conn, frame, cx));
        }
    }

    fn extended(&mut self, conn: ConnId, message: Extended<SocketAddr>) {
        self.frame(conn, Frame::Extended(message));
    }

    /// A peer that dials us, through its handshake; it has said nothing of pieces.
    fn greet(&mut self, skills: Skills) -> ConnId {
        let conn = self.open(Side::Listener);
        self.frame(conn, greeting(peer_id(conn.0), skills));
        if skills.extended {
            self.extended(conn, Extended::Handshake(abilities()));
        }
        conn
    }

    /// A peer with these pieces; what we said so far is forgotten.
    fn join(&mut self, skills: Skills, has: &[u32]) -> ConnId {
        let conn = self.greet(skills);
        let pieces = self.swarm.have().expect("content is known").len();
        self.frame(conn, Frame::Bitfield(bits(pieces, has).to_wire()));
        self.sent.retain(|(to, _)| *to != conn);
        conn
    }

    /// A peer with these pieces that serves us; its first requests.
    fn server(&mut self, skills: Skills, has: &[u32]) -> (ConnId, Vec<Block>) {
        let conn = self.join(skills, has);
        self.frame(conn, Frame::Unchoke);
        let requests = self.requests(conn);
        (conn, requests)
    }

    /// Lets so many seconds pass.
    fn wait(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        while let Some(at) = self.tick_at.filter(|at| *at <= end) {
            self.now = at;
            self.tick_at = None;
            self.input(|swarm, cx| swarm.on_timer(Timer::Tick, cx));
        }
        self.now = end;
    }

    /// Takes the frames sent to a peer.
    fn take(&mut self, conn: ConnId) -> Vec<Wire> {
        let (of, rest) = self.sent.drain(..).partition(|(to, _)| *to == conn);
        self.sent = rest;
        let of: Vec<(ConnId, Wire)> = of;
        of.into_iter().map(|(_, frame)| frame).collect()
    }

    /// Takes the requests sent to a peer; other frames stay.
    fn requests(&mut self, conn: ConnId) -> Vec<Block> {
        let mut requests = Vec::new();
        self.sent.retain(|(to, frame)| match frame {
            Frame::Request(block) if *to == conn => {
                requests.push(*block);
                false
            }
            _ => true,
        });
        requests
    }

    /// A block comes from a peer; whether it was wanted.
    fn deliver(&mut self, conn: ConnId, block: Block) -> bool {
        let (payload, mut wanted) = (Payload::from(block), false);
        if !self.closed.contains_key(&conn) {
            self.input(|swarm, cx| wanted = swarm.on_payload_head(conn, payload, cx));
            if wanted {
                self.input(|swarm, cx| swarm.on_payload(conn, payload, cx));
            }
        }
        wanted
    }

    /// A peer answers all that we ask of it, until we ask no more; how many blocks that were.
    fn serve_all(&mut self, conn: ConnId) -> usize {
        let mut served = 0;
        let mut requests = self.requests(conn);
        while !requests.is_empty() {
            for block in requests {
                served += usize::from(self.deliver(conn, block));
            }
            requests = self.requests(conn);
        }
        served
    }

    /// Pieces that wait to be verified.
    fn awaiting_verification(&mut self) -> Vec<PieceIndex> {
        let mut pieces = Vec::new();
        self.asked.retain(|effect| match effect {
            Effect::Verify(piece) => {
                pieces.push(*piece);
                false
            }
            _ => true,
        });
        pieces
    }

    fn verified(&mut self, piece: u32, ok: bool) {
        self.input(|swarm, cx| swarm.on_verified(piece, ok, cx));
    }

    fn why(&self, conn: ConnId) -> Option<CloseReason> {
        self.closed.get(&conn).copied()
    }
}

/// Frames in short, to compare a conversation at a glance.
fn names(frames: &[Wire]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| match frame {
            Frame::Extended(Extended::Handshake(_)) => "ExtensionHandshake".into(),
            Frame::Handshake(_) => "Handshake".into(),
            Frame::AllowedFast(_) => "AllowedFast".into(),
            Frame::Bitfield(_) => "Bitfield".into(),
            frame => alloc::format!("{frame:?}"),
        })
        .collect()
}
