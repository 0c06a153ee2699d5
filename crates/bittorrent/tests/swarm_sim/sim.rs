//! A small driver in virtual time: nodes with limited uplinks, connections with latency, nothing
//! serialised. Peers are numbers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::id::{BLOCK_LEN, Block, InfoHash, InfoHashes, PeerId};
use bittorrent::metainfo::{File, Info};
use bittorrent::peer_wire::Frame;
use bittorrent::picker::PieceOrder;
use bittorrent::swarm::{
    CloseReason, Command, Content, Effect, Event, PeerContact, PeerSource, Swarm, SwarmConfig,
    Timer, Totals,
};
use codec::bitfield::Bitfield;
use machine::{
    ConnId, Contact, Cx, Instant, Machine, OpId, Outbox, Output, Rng, Side, StreamMachine,
};

/// Blocks of a piece.
const BLOCKS: u32 = 4;
const PIECE_LEN: u32 = BLOCKS * BLOCK_LEN;
/// How long hashing a piece takes.
const HASHING: Duration = Duration::from_millis(1);
/// Nobody takes longer than this.
const END: Duration = Duration::from_secs(3_600);

/// A node, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

impl Contact for Node {
    type Host = u32;

    fn host(&self) -> u32 {
        self.0
    }
}

impl PeerContact for Node {
    fn with_port(&self, _port: u16) -> Self {
        *self
    }

    fn ip(&self) -> Option<IpAddr> {
        None
    }

    fn from_ip(_ip: IpAddr, _port: u16) -> Option<Self> {
        None
    }

    fn priority(&self, other: &Self) -> u32 {
        self.0 ^ other.0
    }

    fn is_dialable(&self, _allow_loopback: bool) -> bool {
        true
    }

    fn is_loopback(&self) -> bool {
        false
    }
}

/// What is simulated: node 0 is a seed, then leechers, then free riders.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What all randomness follows from.
    pub seed: u64,
    pub pieces: u32,
    pub leechers: u32,
    /// Leechers that serve nobody.
    pub riders: u32,
    /// Bytes per second that each leecher can send.
    pub uplink: u64,
    /// The seed's.
    pub seed_uplink: u64,
    /// One way.
    pub latency: Duration,
    /// Whether the seed leaves when the leechers have one copy between them.
    pub seed_leaves: bool,
}

/// What came of it.
pub struct Outcome {
    /// When each node was done.
    pub done: Vec<Option<Duration>>,
    pub totals: Vec<Totals>,
    /// Connections that were closed because somebody did wrong.
    pub blamed: Vec<(Node, Node, CloseReason)>,
    /// Of everything that happened.
    pub hash: u64,
}

/// A connection as one of its ends knows it.
#[derive(Clone, Copy)]
struct End {
    node: usize,
    conn: ConnId,
}

#[derive(Hash)]
enum Happening {
    Dialled {
        by: usize,
        to: usize,
    },
    Frame {
        conn: ConnId,
        what: Box<Said>,
    },
    Block {
        conn: ConnId,
        block: Block,
    },
    /// The uplink is free again.
    Left {
        conn: ConnId,
        block: Block,
    },
    Closed {
        conn: ConnId,
    },
    Verified {
        piece: u32,
    },
    Tick,
}

/// A frame, hashed by what it prints.
struct Said(Frame<Node>);

impl Hash for Said {
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{:?}", self.0).hash(state);
    }
}

struct Host {
    swarm: Swarm<Node>,
    rng: Rng,
    rides: bool,
    gone: bool,
    peers: BTreeMap<ConnId, End>,
    queued: BTreeMap<ConnId, VecDeque<Block>>,
    /// The connection whose block is on the uplink.
    sending: Option<ConnId>,
    /// The connection whose turn is next.
    turn: ConnId,
    done: Option<Duration>,
}

struct World {
    scenario: Scenario,
    now: Instant,
    hosts: Vec<Host>,
    events: BinaryHeap<Reverse<(Instant, u64)>>,
    happenings: BTreeMap<u64, (usize, Happening)>,
    made: u64,
    conns: u32,
    blamed: Vec<(Node, Node, CloseReason)>,
    hasher: DefaultHasher,
}

fn info(pieces: u32) -> Info {
    let len = u64::from(pieces) * u64::from(PIECE_LEN);
    let path = vec!["file".to_string()];
    Info {
        hashes: InfoHashes { v1: Some(InfoHash([7; 20])), v2: None },
        name: "file".to_string(),
        piece_len: PIECE_LEN,
        private: false,
        single_file: true,
        files: vec![File {
            path: path.clone(),
            disk_path: path,
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

impl Scenario {
    pub fn total_len(&self) -> u64 {
        u64::from(self.pieces) * u64::from(PIECE_LEN)
    }

    /// Runs until everybody is done, or much too long.
    pub fn run(self) -> Outcome {
        let mut world = World::new(self);
        world.begin();
        while let Some(Reverse((at, which))) = world.events.pop() {
            let finished = world.hosts.iter().all(|host| host.done.is_some());
            if finished || at - Instant::ZERO > END {
                break;
            }
            world.now = at;
            if let Some((node, happening)) = world.happenings.remove(&which) {
                (at.as_nanos(), node, &happening).hash(&mut world.hasher);
                world.happen(node, happening);
            }
        }
        Outcome {
            done: world.hosts.iter().map(|host| host.done).collect(),
            totals: world.hosts.iter().map(|host| host.swarm.totals()).collect(),
            blamed: world.blamed,
            hash: world.hasher.finish(),
        }
    }
}

impl World {
    fn new(scenario: Scenario) -> Self {
        let count = 1 + scenario.leechers + scenario.riders;
        let mut rng = Rng::new(scenario.seed);
        let hosts = (0..count).map(|node| {
            let mut id = [0; 20];
            rng.fill(&mut id);
            Host {
                swarm: Swarm::new(SwarmConfig {
                    hashes: info(1).hashes,
                    peer_id: PeerId(id),
                    client: "sim".to_string(),
                    listen_port: Some(1),
                    dht_port: None,
                    max_connections: 50,
                    upload_slots: 4,
                    pex: true,
                    piece_order: PieceOrder::RarestFirst,
                    super_seeding: false,
                    partial_bytes_max: u64::MAX,
                }),
                rng: Rng::new(rng.next_u64()),
                rides: node > scenario.leechers,
                gone: false,
                peers: BTreeMap::new(),
                queued: BTreeMap::new(),
                sending: None,
                turn: ConnId(0),
                done: (node == 0).then_some(Duration::ZERO),
            }
        });
        Self {
            hosts: hosts.collect(),
            scenario,
            now: Instant::ZERO,
            events: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            made: 0,
            conns: 0,
            blamed: Vec::new(),
            hasher: DefaultHasher::new(),
        }
    }

    fn begin(&mut self) {
        let pieces = self.scenario.pieces;
        let info = Arc::new(info(pieces));
        for node in 0..self.hosts.len() {
            let have = if node == 0 { Bitfield::full(pieces) } else { Bitfield::new(pieces) };
            let content = Content {
                info: info.clone(),
                info_bytes: Arc::from(&b"de"[..]),
                piece_layers: vec![Vec::new()],
                have,
                wanted: Bitfield::full(pieces),
            };
            self.command(node, Command::Begin(Box::new(content)));
        }
        // As from a tracker: everybody knows everybody, and dials at once.
        let all: Vec<Node> = (0..self.hosts.len() as u32).map(Node).collect();
        for node in 0..self.hosts.len() {
            let others = all.iter().copied().filter(|other| other.0 as usize != node).collect();
            self.command(node, Command::AddPeers(others, PeerSource::Tracker));
        }
    }

    fn after(&mut self, delay: Duration, node: usize, happening: Happening) {
        self.made += 1;
        self.events.push(Reverse((self.now + delay, self.made)));
        self.happenings.insert(self.made, (node, happening));
    }

    fn command(&mut self, node: usize, command: Command<Node>) {
        self.input(node, |swarm, cx| swarm.on_command(OpId(0), command, cx));
    }

    fn input(
        &mut self,
        node: usize,
        input: impl FnOnce(&mut Swarm<Node>, &mut Cx<'_, Swarm<Node>>),
    ) {
        let mut outbox = Outbox::new();
        let host = &mut self.hosts[node];
        input(&mut host.swarm, &mut Cx::new(self.now, &mut host.rng, &mut outbox));
        let outputs: Vec<_> = outbox.drain().collect();
        for output in outputs {
            match output {
                Output::Event(_, Event::Complete) => {
                    self.hosts[node].done.get_or_insert(self.now - Instant::ZERO);
                }
                Output::Event(..) => {}
                Output::Timer(at, Timer::Tick) => self.after(at - self.now, node, Happening::Tick),
                Output::Effect(effect) => self.act(node, effect),
            }
        }
    }

    fn act(&mut self, node: usize, effect: Effect<Node>) {
        let latency = self.scenario.latency;
        match effect {
            Effect::Dial(to, _) => {
                let dialled = Happening::Dialled { by: node, to: to.0 as usize };
                self.after(2 * latency, node, dialled);
            }
            // Who rides for free never lets anybody ask.
            Effect::Send(_, Frame::Unchoke) if self.hosts[node].rides => {}
            Effect::Send(conn, frame) => {
                if let Some(&end) = self.hosts[node].peers.get(&conn) {
                    let what = Box::new(Said(frame));
                    self.after(latency, end.node, Happening::Frame { conn: end.conn, what });
                }
            }
            Effect::SendBlock(conn, block) => {
                if self.hosts[node].peers.contains_key(&conn) {
                    self.hosts[node].queued.entry(conn).or_default().push_back(block);
                    self.send_next(node);
                }
            }
            Effect::DropBlock(conn, block) => self.drop_queued(node, conn, |other| other == block),
            Effect::DropBlocks(conn, except) => {
                self.drop_queued(node, conn, |block| !except.contains(&block.piece));
            }
            Effect::Close(conn, why) => self.close(node, conn, why),
            Effect::Verify(piece) => {
                self.after(HASHING, node, Happening::Verified { piece: piece.0 });
            }
            Effect::Forget(_) | Effect::ReadLeaves(..) => {}
        }
    }

    fn drop_queued(&mut self, node: usize, conn: ConnId, which: impl Fn(Block) -> bool) {
        let Some(queue) = self.hosts[node].queued.get_mut(&conn) else { return };
        let (dropped, kept) = queue.drain(..).partition(|block| which(*block));
        *queue = kept;
        let dropped: VecDeque<Block> = dropped;
        for block in dropped {
            self.input(node, |swarm, cx| swarm.on_dropped(conn, block.into(), cx));
        }
    }

    fn close(&mut self, node: usize, conn: ConnId, why: CloseReason) {
        let host = &mut self.hosts[node];
        let Some(end) = host.peers.remove(&conn) else { return };
        host.queued.remove(&conn);
        if matches!(why, CloseReason::Protocol | CloseReason::Banned | CloseReason::WrongTorrent) {
            self.blamed.push((Node(node as u32), Node(end.node as u32), why));
        }
        self.after(self.scenario.latency, end.node, Happening::Closed { conn: end.conn });
        self.input(node, |swarm, cx| swarm.on_close(conn, why, cx));
    }

    /// Puts the next block on the uplink, connections in turns.
    fn send_next(&mut self, node: usize) {
        let host = &mut self.hosts[node];
        if host.sending.is_some() {
            return;
        }
        let waits =
            |(conn, queue): (&ConnId, &VecDeque<Block>)| (!queue.is_empty()).then_some(*conn);
        let next = host.queued.range(host.turn..).find_map(waits);
        let Some(conn) = next.or_else(|| host.queued.iter().find_map(waits)) else { return };
        host.turn = ConnId(conn.0 + 1);
        let Some(block) = host.queued.get_mut(&conn).and_then(VecDeque::pop_front) else { return };
        host.sending = Some(conn);
        let uplink = if node == 0 { self.scenario.seed_uplink } else { self.scenario.uplink };
        let takes = Duration::from_secs(1) * block.len / uplink as u32;
        self.after(takes, node, Happening::Left { conn, block });
    }

    fn happen(&mut self, node: usize, happening: Happening) {
        match happening {
            Happening::Dialled { by, to } => self.dialled(by, to),
            Happening::Tick => self.input(node, |swarm, cx| swarm.on_timer(Timer::Tick, cx)),
            Happening::Frame { conn, what } => {
                if self.hosts[node].peers.contains_key(&conn) {
                    self.input(node, |swarm, cx| swarm.on_frame(conn, what.0, cx));
                }
            }
            Happening::Block { conn, block } => {
                if self.hosts[node].peers.contains_key(&conn) {
                    let mut wanted = false;
                    self.input(node, |swarm, cx| {
                        wanted = swarm.on_payload_head(conn, block.into(), cx);
                    });
                    if wanted {
                        self.input(node, |swarm, cx| swarm.on_payload(conn, block.into(), cx));
                    }
                }
            }
            Happening::Left { conn, block } => {
                self.hosts[node].sending = None;
                if let Some(&end) = self.hosts[node].peers.get(&conn) {
                    let arrives = Happening::Block { conn: end.conn, block };
                    self.after(self.scenario.latency, end.node, arrives);
                    self.input(node, |swarm, cx| swarm.on_sent(conn, block.into(), cx));
                }
                self.send_next(node);
            }
            Happening::Closed { conn } => {
                let host = &mut self.hosts[node];
                if host.peers.remove(&conn).is_some() {
                    host.queued.remove(&conn);
                    self.input(node, |swarm, cx| swarm.on_close(conn, CloseReason::Gone, cx));
                }
            }
            Happening::Verified { piece } => {
                self.input(node, |swarm, cx| swarm.on_verified(piece, true, cx));
                self.let_seed_go();
            }
        }
    }

    fn dialled(&mut self, by: usize, to: usize) {
        if self.hosts[to].gone || self.hosts[by].gone {
            let contact = Node(to as u32);
            return self.input(by, |swarm, cx| swarm.on_dial_failed(contact, cx));
        }
        let (ours, theirs) = (ConnId(self.conns), ConnId(self.conns + 1));
        self.conns += 2;
        self.hosts[by].peers.insert(ours, End { node: to, conn: theirs });
        self.hosts[to].peers.insert(theirs, End { node: by, conn: ours });
        let (caller, called) = (Node(by as u32), Node(to as u32));
        self.input(to, |swarm, cx| swarm.on_open(theirs, caller, Side::Listener, cx));
        self.input(by, |swarm, cx| swarm.on_open(ours, called, Side::Dialer, cx));
    }

    fn let_seed_go(&mut self) {
        if !self.scenario.seed_leaves || self.hosts[0].gone {
            return;
        }
        let has = |host: &Host, piece| host.swarm.have().is_some_and(|have| have.get(piece));
        let leechers = &self.hosts[1..];
        if (0..self.scenario.pieces).all(|piece| leechers.iter().any(|host| has(host, piece))) {
            self.hosts[0].gone = true;
            self.command(0, Command::Stop);
        }
    }
}
