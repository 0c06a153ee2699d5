//! A small swarm in virtual time that runs the picker, the choker and the request queue as they
//! are, over links that are limited at the uploader and 1 ms long. No sockets, bytes or hashes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use bittorrent::choker::{self, Choker, Config};
use bittorrent::id::{Block, PieceIndex};
use bittorrent::picker::{Layout, PeerView, Picker, PieceSet, Received};
use bittorrent::rate::Rate;
use bittorrent::request_queue::{DEFAULT_MAX_DEPTH, RequestQueue};
use machine::{ConnId, Instant, Rng};

const LATENCY: Duration = Duration::from_millis(1);

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Bytes shared.
    pub total: u64,
    /// Bytes per piece.
    pub piece_len: u32,
    /// The seed's uplink, bytes per second.
    pub seed_up: u64,
    /// Each leecher's uplink, bytes per second; zero is a free rider.
    pub leecher_up: Vec<u64>,
    /// Whether leechers leave as soon as they are done.
    pub leave: bool,
    /// Slots.
    pub config: Config,
    /// What all randomness follows from.
    pub seed: u64,
}

/// When each leecher was done, in seconds, and how many blocks came twice.
pub struct Outcome {
    /// Seconds, leecher by leecher.
    pub done: Vec<f64>,
    /// Blocks that arrived though they were there already.
    pub wasted: u64,
    /// Bytes each node sent, the seed first.
    pub sent: Vec<u64>,
}

impl Scenario {
    /// The least time in which all could be done: what a fluid would need.
    pub fn fluid_bound(&self) -> f64 {
        let total = self.total as f64;
        let all = (self.seed_up + self.leecher_up.iter().sum::<u64>()) as f64;
        (total / self.seed_up as f64).max(self.leecher_up.len() as f64 * total / all)
    }
}

enum Message {
    Interested(bool),
    Choke,
    Unchoke,
    Have(PieceIndex),
    Request(Block),
    Cancel(Block),
    Block(Block),
}

enum Event {
    Deliver { from: usize, to: usize, message: Message },
    Sent { from: usize, to: usize, block: Block },
    Rechoke { node: usize },
    Tick { node: usize },
}

struct Link {
    up: bool,
    has: Vec<u8>,
    has_count: u32,
    is_seed: bool,
    /// It is interested in us; we serve it.
    interested: bool,
    unchoked: bool,
    unchoked_at: Option<Instant>,
    /// We are interested in it; it serves us.
    we_want: bool,
    unchokes_us: bool,
    received: Rate,
    sent: Rate,
    received_total: u64,
    sent_total: u64,
    queue: RequestQueue,
    /// Blocks asked of it, and when.
    outstanding: Vec<(Block, Instant)>,
    to_send: VecDeque<Block>,
}

struct Node {
    up: u64,
    picker: Picker,
    choker: Choker,
    rng: Rng,
    links: Vec<Link>,
    sending: bool,
    turn: usize,
    done: Option<Instant>,
    gone: bool,
}

/// The whole swarm; node 0 is the seed.
pub struct Swarm {
    nodes: Vec<Node>,
    queue: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    events: Vec<Option<Event>>,
    order: u64,
    now: Instant,
    scenario: Scenario,
    wasted: u64,
    sent: Vec<u64>,
}

fn set_bit(bytes: &mut [u8], piece: PieceIndex) {
    bytes[(piece.0 / 8) as usize] |= 0x80 >> (piece.0 % 8);
}

impl Swarm {
    /// Everyone is connected to everyone at time zero.
    pub fn new(scenario: Scenario) -> Self {
        let mut rng = Rng::new(scenario.seed);
        let layout = Layout::new(scenario.piece_len, scenario.total);
        let count = scenario.leecher_up.len() + 1;
        let bytes = layout.piece_count().div_ceil(8) as usize;
        let nodes = (0..count)
            .map(|node| {
                let mut picker = Picker::new(layout.clone(), &mut rng);
                if node == 0 {
                    (0..layout.piece_count()).for_each(|piece| picker.set_have(PieceIndex(piece)));
                } else {
                    picker.seed_joined();
                    (2..count).for_each(|_| picker.peer_joined(&[]));
                }
                let links = (0..count)
                    .map(|peer| Link {
                        up: peer != node,
                        has: vec![0; bytes],
                        has_count: 0,
                        is_seed: peer == 0,
                        interested: false,
                        unchoked: false,
                        unchoked_at: None,
                        we_want: false,
                        unchokes_us: false,
                        received: Rate::new(Instant::ZERO),
                        sent: Rate::new(Instant::ZERO),
                        received_total: 0,
                        sent_total: 0,
                        queue: RequestQueue::new(Instant::ZERO, DEFAULT_MAX_DEPTH),
                        outstanding: Vec::new(),
                        to_send: VecDeque::new(),
                    })
                    .collect();
                let up = if node == 0 { scenario.seed_up } else { scenario.leecher_up[node - 1] };
                Node {
                    up,
                    picker,
                    choker: Choker::new(scenario.config),
                    rng: Rng::new(rng.next_u64()),
                    links,
                    sending: false,
                    turn: 0,
                    done: (node == 0).then_some(Instant::ZERO),
                    gone: false,
                }
            })
            .collect();
        Self {
            nodes,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            order: 0,
            now: Instant::ZERO,
            wasted: 0,
            sent: vec![0; count],
            scenario,
        }
    }

    /// Runs until every leecher is done, or `limit` has passed.
    pub fn run(mut self, limit: Duration) -> Outcome {
        for node in 0..self.nodes.len() {
            if node > 0 {
                let jitter = Duration::from_millis(self.nodes[node].rng.below(50));
                self.nodes[node].links[0].we_want = true;
                let message = Message::Interested(true);
                self.at(jitter + LATENCY, Event::Deliver { from: node, to: 0, message });
            }
            let offset = Duration::from_millis(self.nodes[node].rng.below(1_000));
            self.at(choker::RECHOKE_INTERVAL + offset, Event::Rechoke { node });
            self.at(Duration::from_secs(1) + offset, Event::Tick { node });
        }
        while let Some(Reverse((at, _, slot))) = self.queue.pop() {
            self.now = at;
            if at > Instant::ZERO + limit || self.nodes.iter().all(|node| node.done.is_some()) {
                break;
            }
            if let Some(event) = self.events[slot].take() {
                self.handle(event);
            }
        }
        let seconds = |node: &Node| {
            node.done.map_or(f64::INFINITY, |at| at.since(Instant::ZERO).as_secs_f64())
        };
        Outcome {
            done: self.nodes[1..].iter().map(seconds).collect(),
            wasted: self.wasted,
            sent: self.sent,
        }
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.order += 1;
        self.events.push(Some(event));
        self.queue.push(Reverse((self.now + after, self.order, self.events.len() - 1)));
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        self.at(LATENCY, Event::Deliver { from, to, message });
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                if !self.nodes[from].gone && !self.nodes[to].gone {
                    self.deliver(from, to, message);
                }
            }
            Event::Sent { from, to, block } => {
                self.nodes[from].sending = false;
                if !self.nodes[from].gone {
                    let bytes = u64::from(block.len);
                    let now = self.now;
                    let link = &mut self.nodes[from].links[to];
                    link.sent.add(now, bytes);
                    link.sent_total += bytes;
                    self.sent[from] += bytes;
                    self.send(from, to, Message::Block(block));
                    self.serve(from);
                }
            }
            Event::Rechoke { node } => {
                self.choke(node, false);
                self.at(choker::RECHOKE_INTERVAL, Event::Rechoke { node });
            }
            Event::Tick { node } => {
                self.choke(node, true);
                for peer in 0..self.nodes.len() {
                    self.request(node, peer);
                }
                self.at(Duration::from_secs(1), Event::Tick { node });
            }
        }
    }

    fn deliver(&mut self, from: usize, to: usize, message: Message) {
        let now = self.now;
        let node = &mut self.nodes[to];
        let link = &mut node.links[from];
        match message {
            Message::Interested(interested) => {
                link.interested = interested;
                self.choke(to, true);
            }
            Message::Choke => {
                link.unchokes_us = false;
                for (block, _) in std::mem::take(&mut link.outstanding) {
                    node.picker.unrequest(block, ConnId(from as u32));
                }
                self.request_all(to);
            }
            Message::Unchoke => {
                link.unchokes_us = true;
                link.queue.on_idle_end(now);
                self.request(to, from);
            }
            Message::Have(piece) => {
                set_bit(&mut link.has, piece);
                link.has_count += 1;
                node.picker.peer_has(piece);
                if link.has_count == node.picker.layout().piece_count() {
                    node.picker.peer_left(&link.has);
                    node.picker.seed_joined();
                    link.is_seed = true;
                }
                if !link.we_want && node.picker.wanted_missing(piece) {
                    link.we_want = true;
                    self.send(to, from, Message::Interested(true));
                }
                self.request(to, from);
            }
            Message::Request(block) => {
                if link.unchoked {
                    link.to_send.push_back(block);
                    self.serve(to);
                }
            }
            Message::Cancel(block) => link.to_send.retain(|queued| *queued != block),
            Message::Block(block) => self.receive(to, from, block),
        }
    }

    fn receive(&mut self, to: usize, from: usize, block: Block) {
        let now = self.now;
        let node = &mut self.nodes[to];
        let link = &mut node.links[from];
        link.received.add(now, u64::from(block.len));
        link.received_total += u64::from(block.len);
        if let Some(at) = link.outstanding.iter().position(|(asked, _)| *asked == block) {
            let (_, asked_at) = link.outstanding.swap_remove(at);
            link.queue.on_block(now, block.len, Some(now.since(asked_at)));
        }
        match node.picker.received(block, ConnId(from as u32)) {
            Received::Accepted { piece_complete, others } => {
                for other in others.iter() {
                    let other = other.0 as usize;
                    let link = &mut self.nodes[to].links[other];
                    link.outstanding.retain(|(asked, _)| *asked != block);
                    self.send(to, other, Message::Cancel(block));
                }
                if piece_complete {
                    self.complete(to, block.piece);
                }
            }
            _ => self.wasted += 1,
        }
        self.request(to, from);
    }

    fn complete(&mut self, to: usize, piece: PieceIndex) {
        self.nodes[to].picker.on_verified(piece, true);
        let complete = self.nodes[to].picker.is_complete();
        for peer in 0..self.nodes.len() {
            if !self.nodes[to].links[peer].up {
                continue;
            }
            self.send(to, peer, Message::Have(piece));
            let node = &mut self.nodes[to];
            let link = &mut node.links[peer];
            let set = if link.is_seed { PieceSet::All } else { PieceSet::Bits(&link.has) };
            if link.we_want && !node.picker.is_interesting(set) {
                link.we_want = false;
                self.send(to, peer, Message::Interested(false));
            }
        }
        if complete && self.nodes[to].done.is_none() {
            self.nodes[to].done = Some(self.now);
            if self.scenario.leave || self.nodes[to].up == 0 {
                self.leave(to);
            }
        }
    }

    fn leave(&mut self, gone: usize) {
        self.nodes[gone].gone = true;
        for peer in 0..self.nodes.len() {
            if peer == gone || self.nodes[peer].gone {
                continue;
            }
            let node = &mut self.nodes[peer];
            let link = &mut node.links[gone];
            link.up = false;
            link.interested = false;
            link.unchoked = false;
            link.unchokes_us = false;
            link.to_send.clear();
            for (block, _) in std::mem::take(&mut link.outstanding) {
                node.picker.unrequest(block, ConnId(gone as u32));
            }
            if link.is_seed {
                node.picker.seed_left();
            } else {
                node.picker.peer_left(&link.has);
            }
            self.choke(peer, true);
            self.request_all(peer);
        }
    }

    fn request_all(&mut self, node: usize) {
        for peer in 0..self.nodes.len() {
            self.request(node, peer);
        }
    }

    fn request(&mut self, at: usize, from: usize) {
        let now = self.now;
        let node = &mut self.nodes[at];
        let link = &mut node.links[from];
        if !link.up || !link.unchokes_us {
            return;
        }
        let outstanding = link.outstanding.len();
        let want = link.queue.target_depth(now, outstanding).saturating_sub(outstanding);
        if want == 0 {
            return;
        }
        let has = if link.is_seed { PieceSet::All } else { PieceSet::Bits(&link.has) };
        let rate = link.received.per_second(now);
        let view = PeerView {
            speed: bittorrent::request_queue::speed(rate, self.scenario.piece_len),
            ..PeerView::unchoking(ConnId(from as u32), has)
        };
        let mut blocks = Vec::new();
        let _ = node.picker.pick(&view, want, &mut blocks);
        if outstanding == 0 && !blocks.is_empty() {
            link.queue.on_idle_end(now);
        }
        link.outstanding.extend(blocks.iter().map(|block| (*block, now)));
        for block in blocks {
            self.send(at, from, Message::Request(block));
        }
    }

    /// Sends the next block, peer after peer.
    fn serve(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.sending || node.up == 0 {
            return;
        }
        let count = node.links.len();
        for step in 1..=count {
            let to = (node.turn + step) % count;
            if let Some(block) = node.links[to].to_send.pop_front() {
                node.turn = to;
                node.sending = true;
                let nanos = u64::from(block.len) * 1_000_000_000 / node.up;
                self.at(Duration::from_nanos(nanos), Event::Sent { from: at, to, block });
                return;
            }
        }
    }

    fn choke(&mut self, at: usize, fill: bool) {
        let now = self.now;
        let node = &mut self.nodes[at];
        if node.gone || node.up == 0 {
            return;
        }
        let views: Vec<_> = (0..)
            .zip(&node.links)
            .filter(|(_, link)| link.up)
            .map(|(peer, link)| choker::PeerView {
                conn: ConnId(peer),
                interested: link.interested,
                unchoked: link.unchoked,
                unchokes_us: link.unchokes_us,
                connected_at: Instant::ZERO,
                unchoked_at: link.unchoked_at,
                received_rate: link.received.per_second(now),
                sent_rate: link.sent.per_second(now),
                received: link.received_total,
                sent: link.sent_total,
                snubbed: false,
            })
            .collect();
        let seeding = node.picker.is_complete();
        let changes = if fill {
            node.choker.fill(now, seeding, &views, &mut node.rng)
        } else {
            node.choker.rechoke(now, seeding, &views, &mut node.rng)
        };
        for conn in changes.choke {
            let link = &mut self.nodes[at].links[conn.0 as usize];
            link.unchoked = false;
            link.to_send.clear();
            self.send(at, conn.0 as usize, Message::Choke);
        }
        for conn in changes.unchoke {
            let link = &mut self.nodes[at].links[conn.0 as usize];
            link.unchoked = true;
            link.unchoked_at = Some(now);
            self.send(at, conn.0 as usize, Message::Unchoke);
        }
    }
}
