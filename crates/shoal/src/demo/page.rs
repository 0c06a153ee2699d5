//! The page of the demo: a node of its own, which takes no part in the swarm and shows it, with who
//! sends what to whom.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use node::api::{Api, Listen};
use node::networks::{Edge, Swarm, SwarmNode};
use node::{Layers, Node};
use serde_json::{Value, json};

use super::check::Comparison;
use super::matrix::{Member, giver};
use super::summary::Summary;
use crate::exit::Failure;
use crate::up::open_link;
use crate::{interrupt, units};

/// How often the picture is renewed.
const EVERY: Duration = Duration::from_millis(250);
/// How often signals are looked at once all is done.
const TICK: Duration = Duration::from_millis(200);
/// The view that the link leads to.
const VIEW: &str = "networks/demo";
const TITLE: &str = "Demo";

/// A page that is up.
pub struct Page {
    node: Arc<Node>,
    api: Option<Api>,
    shown: Cell<Option<Instant>>,
}

/// When a picture is from.
pub enum Moment<'a> {
    /// The swarm runs; its peers have been fetching since then.
    During(Option<Instant>),
    /// All have everything, and it was compared.
    After(&'a Summary, &'a Comparison),
}

impl Page {
    /// Starts a page whose node lives in `folder`, and opens it in a browser; says where it is.
    ///
    /// # Errors
    /// When the node cannot start.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let config = folder.join("config.toml");
        let place = |name: &str| Value::from(folder.join(name).display().to_string());
        let text = format!(
            "[node]\nstate_dir = {}\n[network]\nlisten = [\"127.0.0.1:0\"]\nlsd = false\n\
             dht = false\n[transfers]\ndownload_dir = {}\n",
            place("state"),
            place("downloads"),
        );
        fs::write(&config, text).with_context(|| config.display().to_string())?;
        let layers = Layers::load(Some(&config), []).context("the page's node")?;
        let node = Node::start(layers, None).context("cannot start the page's node")?;
        let listen = Listen::parse("127.0.0.1:0").context("no loopback address")?;
        let api = match Api::start(node.clone(), listen) {
            Ok(api) => api,
            Err(error) => {
                node.shutdown();
                return Err(anyhow::Error::new(error).context("cannot start the page").into());
            }
        };
        let link = api.login_link_to(VIEW).context("cannot make a login")?;
        node.show_swarm(TITLE, true, json!({}), Swarm::default());
        // Standard output is the demo's.
        eprintln!("Page    {link}");
        if let Err(error) = open_link(&link) {
            tracing::info!(%error, "no browser can be opened");
        }
        Ok(Self { node, api: Some(api), shown: Cell::new(None) })
    }

    /// Shows the swarm as it is now, but not more often than people can see.
    pub fn show(&self, members: &[Member], moment: Moment<'_>) {
        let is_running = matches!(moment, Moment::During(_));
        if is_running && self.shown.get().is_some_and(|at| at.elapsed() < EVERY) {
            return;
        }
        self.shown.set(Some(Instant::now()));
        let swarm = picture(members, is_running);
        let sum: u64 = swarm.edges.iter().map(|edge| edge.rate).sum();
        let detail = match moment {
            Moment::During(since) => json!({
                "seconds": since.map_or(0.0, |since| since.elapsed().as_secs_f64()),
                "moving": sum,
            }),
            Moment::After(summary, compared) => after(summary, compared),
        };
        self.node.show_swarm(TITLE, is_running, detail, swarm);
    }

    /// Waits for Ctrl-C, so that the page can be looked at.
    ///
    /// # Errors
    /// When the system gives no randomness for another login.
    pub fn stay(&self) -> Result<(), Failure> {
        if let Some(api) = &self.api {
            let link = api.login_link_to(VIEW).context("cannot make a login")?;
            eprintln!("Page    {link}\n        (it stays until Ctrl-C)");
        }
        while !interrupt::wanted() {
            std::thread::park_timeout(TICK);
        }
        Ok(())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(self.api.take());
        self.node.shutdown();
    }
}

/// What it came to.
fn after(summary: &Summary, compared: &Comparison) -> Value {
    let rates = &summary.rates;
    json!({
        "seconds": summary.took.as_secs_f64(),
        "least_with_peers": rates.peer_to_peer().as_secs_f64(),
        "least_without_peers": rates.client_server().as_secs_f64(),
        "from_peers": summary.matrix.passed_on(),
        "verified": units::size(compared.bytes),
        "whole": compared.is_whole(),
    })
}

/// Everybody, with what they receive from each other.
fn picture(members: &[Member], is_running: bool) -> Swarm {
    let name = |at: usize| members[at].name.clone();
    let mut swarm = Swarm::default();
    for (at, member) in members.iter().enumerate() {
        let had = &member.last.progress;
        let share = had.bytes_have as f32 / had.bytes_wanted.max(1) as f32;
        swarm.nodes.push(SwarmNode {
            id: name(at),
            label: name(at),
            // The source has had everything from the beginning.
            progress: if at == 0 { 1.0 } else { share },
            ..SwarmNode::default()
        });
        let peers = &member.last;
        let now = peers.peers.iter().map(|peer| (peer, peer.download_rate));
        let past = peers.peers_past.iter().map(|peer| (peer, 0));
        let mut got: Vec<(u64, u64)> = vec![(0, 0); members.len()];
        for (peer, rate) in now.chain(past) {
            if let Some(giver) = giver(members, peer) {
                got[giver].0 += if is_running { rate } else { 0 };
                got[giver].1 += peer.downloaded;
            }
        }
        for (giver, (rate, bytes)) in got.into_iter().enumerate().filter(|(_, got)| got.1 > 0) {
            swarm.edges.push(Edge { from: name(giver), to: name(at), rate, bytes });
        }
    }
    swarm
}
