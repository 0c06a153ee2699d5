//! `shoal dht lookup` and `shoal dht status`: who is responsible, who shares a torrent, and how
//! the network looks from here.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ::dht::kademlia::{Command, Event};
use anyhow::Context;
use clap::Args;
use machine::dht::{Cost, Key, Report};
use net::dht::Saved;
use serde_json::json;

use super::join::{Counts, counts};
use super::node::{Node, Place, Wishes, state_path};
use super::{ShortArgs, cost, parse_key};
use crate::exit::{Exit, Failure, bad_input, say};
use crate::report::say_json;

/// Options of `shoal dht lookup`.
#[derive(Args, Debug)]
pub struct LookupArgs {
    /// The key: 40 hexadecimal digits, or any text
    #[arg(value_parser = parse_key)]
    key: Key,
    /// The key is an infohash: find the torrent's peers (Kademlia)
    #[arg(long)]
    peers: bool,
    #[command(flatten)]
    short: ShortArgs,
}

/// Options of `shoal dht status`.
#[derive(Args, Debug)]
pub struct StatusArgs {
    #[command(flatten)]
    short: ShortArgs,
}

impl LookupArgs {
    /// When to give up.
    pub fn timeout(&self) -> Duration {
        self.short.timeout
    }

    fn say_nodes(&self, nodes: &[Place], took: Cost) -> Result<(), Failure> {
        if self.short.json {
            let nodes: Vec<_> = nodes
                .iter()
                .map(|node| json!({"id": node.id.to_string(), "address": node.address}))
                .collect();
            return say_json(&json!({
                "key": self.key.to_string(), "nodes": nodes, "hops": took.hops,
                "requests": took.messages, "unanswered": took.timeouts,
            }));
        }
        nodes.iter().try_for_each(|node| say(format_args!("{}  {}", node.id, node.address)))?;
        tracing::info!("{}", cost(took));
        Ok(())
    }

    fn say_peers(&self, peers: &BTreeSet<SocketAddr>) -> Result<(), Failure> {
        if self.short.json {
            return say_json(&json!({"key": self.key.to_string(), "peers": peers}));
        }
        peers.iter().try_for_each(say)
    }
}

/// Looks a key up.
///
/// # Errors
/// When the way is lost.
pub async fn lookup(args: &LookupArgs) -> Result<Exit, Failure> {
    let wishes = Wishes { state: args.short.state.clone(), ..Wishes::default() };
    let node = match Node::joined(&args.short.place, &wishes).await? {
        Ok(node) => node,
        Err(exit) => return Ok(exit),
    };
    let said = match (&node, args.peers) {
        (Node::Chord(_) | Node::Overlay(_), true) => {
            Err(bad_input("peers of torrents are Kademlia's"))
        }
        (Node::Kademlia(kademlia, _), true) => {
            let find = Command::GetPeers { info_hash: args.key };
            let mut answers = kademlia.handle().ask(find).await.context("cannot look up")?;
            let mut peers = BTreeSet::new();
            while let Some(event) = answers.next().await {
                if let Event::Peers(some) = event {
                    peers.extend(some);
                }
            }
            args.say_peers(&peers)
        }
        (_, false) => match node.lookup(args.key).await? {
            Report::Located { nodes, cost } => args.say_nodes(&nodes, cost),
            _ => Err(anyhow::anyhow!("the way was lost").into()),
        },
    };
    node.leave().await;
    said.map(|()| Exit::Done)
}

impl StatusArgs {
    /// When to give up.
    pub fn timeout(&self) -> Duration {
        self.short.timeout
    }
}

/// Says how the network looks.
///
/// # Errors
/// When an address or a name is no good, or the system refuses.
pub async fn status(args: &StatusArgs) -> Result<Exit, Failure> {
    let place = &args.short.place;
    let path = state_path(place, args.short.state.as_deref());
    let saved = path.as_deref().map(Saved::read).transpose().context("cannot read what is kept")?;
    let saved = saved.unwrap_or_default();
    let wishes = Wishes { state: args.short.state.clone(), ..Wishes::default() };
    let (node, known) = Node::start(place, &wishes).await?;
    let joined = node.join(&known).await?;
    let located = match node.lookup(node.id()).await? {
        Report::Located { nodes, .. } if joined => nodes,
        _ => Vec::new(),
    };
    let Counts { nodes, .. } = counts(&node).await;
    let size = estimate(node.id(), &located);
    let seen_at = match &node {
        Node::Kademlia(node, _) => node.seen_at(),
        Node::Chord(_) | Node::Overlay(_) => None,
    };
    if args.short.json {
        say_json(&json!({
            "joined": joined, "address": node.address(), "seen_at": seen_at, "nodes": nodes,
            "network_size": size, "saved_id": saved.id.map(|id| id.to_string()),
            "saved_nodes": saved.nodes.len(),
        }))?;
    } else {
        say(format_args!("Joined        {}", if joined { "yes" } else { "no: nobody answers" }))?;
        say(format_args!("Address       {}", node.address()))?;
        if let Some(seen_at) = seen_at {
            say(format_args!("Seen at       {seen_at}"))?;
        }
        say(format_args!("Nodes met     {nodes}"))?;
        if let Some(size) = size {
            say(format_args!("Network size  about {size:.0}"))?;
        }
        if let Some(id) = saved.id {
            say(format_args!("Kept          node {id}, {} others", saved.nodes.len()))?;
        }
    }
    node.leave().await;
    Ok(if joined { Exit::Done } else { Exit::GaveUp })
}

/// How many nodes there are, from how close the closest ones to `id` are: of N even ones the i-th
/// is at i/N of the whole. In small networks everybody is close, and counted.
fn estimate(id: Key, closest: &[Place]) -> Option<f64> {
    let far = closest.iter().map(|node| id.xor(&node.id).front()).max()?;
    let share = (far >> 64) as f64 / u64::MAX as f64;
    (share > 0.0).then_some((closest.len() as f64 / share).max(closest.len() as f64))
}
