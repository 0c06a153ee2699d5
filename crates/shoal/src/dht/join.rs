//! `shoal dht join`: run a node until a signal.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use machine::dht::Key;
use net::datagram::Counters;
use serde::Serialize;

use super::node::{Node, Wishes};
use super::{TICK, WhereArgs, block_on};
use crate::exit::{Exit, Failure, say};
use crate::interrupt;
use crate::report::say_json;
use crate::units::parse_duration;

/// How often whom the node met is noted.
const SAVE_EVERY: Duration = Duration::from_secs(5 * 60);
/// The pause before nodes that did not answer are asked again.
const REJOIN_AFTER: Duration = Duration::from_secs(10);

/// Options of `shoal dht join`.
#[derive(Args, Debug)]
pub struct JoinArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// Answer so many queries of one host in a second; 0 is no limit (Kademlia)
    #[arg(long, value_name = "N", default_value_t = 50)]
    queries_per_host: u32,
    /// Be so many nodes of the ring (Chord)
    #[arg(long, value_name = "N", default_value_t = 1)]
    vnodes: u8,
    /// Print counts so often
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    report: Option<Duration>,
    /// Print lines of JSON
    #[arg(long)]
    json: bool,
    /// The folder of what nodes keep from one run to the next [default: the user's state folder]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Stop when standard input ends, as after a signal: for programs that start this one
    #[arg(long)]
    stop_at_eof: bool,
}

/// One line of `shoal dht join --json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    /// The node is up.
    Listening {
        /// Where.
        address: SocketAddr,
        /// Its place among the keys, in hexadecimal.
        id: String,
    },
    /// It is part of the network, or the first of one.
    Joined {
        /// Whether it found others.
        others: bool,
    },
    /// What it has counted.
    Counts(Counts),
}

/// What a node knows, holds and has seen.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Nodes it knows.
    pub nodes: usize,
    /// Values it holds for others.
    pub values: usize,
    /// Torrents it lists peers of.
    pub torrents: usize,
    /// Peers of these.
    pub peers: usize,
    /// Datagrams received.
    pub received: u64,
    /// Of those, malformed.
    pub malformed: u64,
    /// Datagrams sent.
    pub sent: u64,
}

/// Runs a node.
///
/// # Errors
/// When an address or a name is no good, or the system refuses.
pub fn run(args: &JoinArgs) -> Result<Exit, Failure> {
    if args.stop_at_eof {
        interrupt::heed_end_of_input()?;
    }
    block_on(args.stay())
}

impl JoinArgs {
    async fn stay(&self) -> Result<Exit, Failure> {
        let wishes = Wishes {
            stays: true,
            queries_per_host: Some(self.queries_per_host),
            vnodes: self.vnodes,
            state: self.state.clone(),
        };
        let (node, known) = Node::start(&self.place, &wishes).await?;
        self.say_listening(node.address(), node.id())?;
        let mut others = node.join(&known).await?;
        let alone = !others && node.join(&[]).await?;
        self.say_joined(others && !known.is_empty(), alone)?;
        let mut ticks = tokio::time::interval(TICK);
        let (mut reported, mut saved, mut tried) = (Instant::now(), Instant::now(), Instant::now());
        while !interrupt::wanted() {
            ticks.tick().await;
            if self.report.is_some_and(|every| reported.elapsed() >= every) {
                reported = Instant::now();
                self.say_counts(counts(&node).await)?;
            }
            if !others && tried.elapsed() >= REJOIN_AFTER {
                tried = Instant::now();
                others = node.join(&known).await?;
            }
            if saved.elapsed() >= SAVE_EVERY {
                saved = Instant::now();
                node.save().await?;
            }
        }
        self.say_counts(counts(&node).await)?;
        node.save().await?;
        node.leave().await;
        Ok(Exit::Done)
    }

    fn say_listening(&self, address: SocketAddr, id: Key) -> Result<(), Failure> {
        if self.json {
            return say_json(&Event::Listening { address, id: id.to_string() });
        }
        say(format_args!("Address  {address}\nNode     {id}"))
    }

    fn say_joined(&self, others: bool, alone: bool) -> Result<(), Failure> {
        if self.json {
            return say_json(&Event::Joined { others });
        }
        match (others, alone) {
            (true, _) => say("Joined"),
            (false, true) => say("Nobody answers yet: others may begin with this node"),
            (false, false) => say("The first of its network"),
        }
    }

    fn say_counts(&self, counts: Counts) -> Result<(), Failure> {
        if self.json {
            return say_json(&Event::Counts(counts));
        }
        let Counts { nodes, values, torrents, peers, received, malformed, sent } = counts;
        say(format_args!(
            "{nodes} nodes known, {values} values held, {peers} peers of {torrents} torrents; \
             {received} datagrams received, {malformed} malformed, {sent} sent"
        ))
    }
}

/// What the node has counted.
pub async fn counts(node: &Node) -> Counts {
    let with = |counts: Counts, socket: &Counters| Counts {
        received: socket.received,
        malformed: socket.malformed,
        sent: socket.sent,
        ..counts
    };
    let counted = match node {
        Node::Overlay(node) => node.state().await.map(|state| Counts {
            nodes: state.known.len(),
            values: state.values,
            received: state.received,
            malformed: state.malformed,
            sent: state.sent,
            ..Counts::default()
        }),
        Node::Chord(node) => {
            let look = node.handle().look(move |vnodes, socket| {
                let mut known: Vec<_> = vnodes
                    .iter()
                    .flat_map(|node| node.fingers().iter().chain(node.successors()))
                    .collect();
                known.sort();
                known.dedup();
                let values = vnodes.iter().map(|node| node.keys().count()).sum();
                with(Counts { nodes: known.len(), values, ..Counts::default() }, socket)
            });
            look.await
        }
        Node::Kademlia(node, _) => {
            let look = node.handle().look(move |nodes, socket| {
                let Some(node) = nodes.first() else { return Counts::default() };
                let (torrents, peers) = node.torrents();
                let (nodes, values) = (node.table().len(), node.stored().count());
                with(Counts { nodes, values, torrents, peers, ..Counts::default() }, socket)
            });
            look.await
        }
    };
    counted.unwrap_or_default()
}
