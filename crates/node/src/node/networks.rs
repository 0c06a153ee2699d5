//! The facade's networks: the state of each, joining and leaving, what pictures are drawn from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use net::dht::CHORD as CHORD_KIND;
use net::session::PeerStats;
use serde_json::json;

use super::{Node, NodeError};
use crate::fetch::Fetcher;
use crate::networks::{
    Edge, FileNetwork, Holdings, Joining, Network, NetworkError, OverlayWish, PEERS_MAX, Picture,
    Pictured, Standing, Swarm, SwarmNode, Verb, lock,
};
use crate::view::{NetworkState, Peer};

/// Peers in a picture.
const PICTURE_PEERS_MAX: usize = 500;

const BITTORRENT: &str = "bittorrent";
const KADEMLIA: &str = "kademlia";
const CHORD: &str = CHORD_KIND.name;
const DEMO: &str = "demo";

impl From<NetworkError> for NodeError {
    fn from(error: NetworkError) -> Self {
        match error {
            NetworkError::Bootstrap(_) | NetworkError::Invalid(_) => {
                Self::Invalid(error.to_string())
            }
            NetworkError::Ended => Self::Ended,
            _ => Self::Conflict(error.to_string()),
        }
    }
}

impl Node {
    /// All networks that it can be in, and how it stands with each.
    #[must_use]
    pub fn networks(&self) -> Vec<Network> {
        let shown = lock(&self.networks.shown).as_ref().map(|shown| shown.network.clone());
        let own = [self.bittorrent(), self.kademlia().network, self.chord().network];
        let files = self.networks.files.iter().map(|network| network.look().network);
        shown.into_iter().chain(own).chain(files).chain(self.overlays()).collect()
    }

    /// One network and what its picture is drawn from; of BitTorrent all swarms, or that of one
    /// transfer.
    ///
    /// # Errors
    /// When there is no such network or transfer.
    pub fn network(&self, name: &str, transfer: Option<&str>) -> Result<Pictured, NodeError> {
        match name {
            BITTORRENT => {
                let picture = Picture::Swarm(self.swarm(transfer)?);
                Ok(Pictured { network: self.bittorrent(), picture })
            }
            KADEMLIA => Ok(self.kademlia()),
            CHORD => Ok(self.chord()),
            DEMO => lock(&self.networks.shown).clone().ok_or_else(|| no_network(name)),
            _ => match self.file_network(name) {
                Some(network) => Ok(network.look()),
                None => self.overlay(name),
            },
        }
    }

    /// Becomes part of a network, beginning with `peers` (`HOST:PORT`); without any, with those of
    /// the settings, or in Chord as the first of a ring. That it does is remembered. `listen` is
    /// where a node with a socket of its own is; the others are where the session is.
    ///
    /// # Errors
    /// When there is no such network, a name leads nowhere, or the address cannot be used.
    pub fn join_network(
        &self,
        name: &str,
        peers: Vec<String>,
        listen: Option<SocketAddr>,
    ) -> Result<Network, NodeError> {
        if peers.len() > PEERS_MAX {
            return Err(NodeError::Invalid(format!("at most {PEERS_MAX} nodes to begin with")));
        }
        match name {
            KADEMLIA => {
                self.networks.resolve(peers.clone())?;
                let configured = || self.config().network.dht_bootstrap;
                let known = if peers.is_empty() { configured() } else { peers };
                self.session()?.join_dht(known)?;
                self.networks.kademlia.store(true, Ordering::Relaxed);
                self.remember(&[("network.dht", json!(true))]);
                Ok(self.kademlia().network)
            }
            CHORD => {
                let address = listen.map(|listen| listen.to_string()).unwrap_or_default();
                let kept = [
                    ("chord.join", json!(true)),
                    ("chord.listen", json!(address)),
                    ("chord.bootstrap", json!(peers)),
                ];
                let wish = OverlayWish { listen, known: peers };
                self.networks.overlays.join(&CHORD_KIND, wish)?;
                self.remember(&kept);
                Ok(self.chord().network)
            }
            BITTORRENT => Err(NodeError::Conflict("BitTorrent is joined already".to_owned())),
            _ => match self.file_network(name) {
                Some(network) => {
                    let kept = network.join(self.joining(peers, listen)?)?;
                    self.remember(&kept);
                    Ok(network.look().network)
                }
                None => self.join_overlay(name, peers, listen),
            },
        }
    }

    /// Leaves a network, with a goodbye; within seconds. That it does is remembered.
    ///
    /// # Errors
    /// When there is no such network, or it cannot be left.
    pub fn leave_network(&self, name: &str) -> Result<Network, NodeError> {
        match name {
            KADEMLIA => {
                self.session()?.leave_dht();
                self.networks.kademlia.store(false, Ordering::Relaxed);
                self.remember(&[("network.dht", json!(false))]);
                Ok(self.kademlia().network)
            }
            CHORD => {
                self.networks.overlays.leave(&CHORD_KIND);
                self.remember(&[("chord.join", json!(false))]);
                Ok(self.chord().network)
            }
            BITTORRENT => {
                let why = "BitTorrent is there as long as the node is: pause its transfers instead";
                Err(NodeError::Conflict(why.to_owned()))
            }
            _ => match self.file_network(name) {
                Some(network) => {
                    network.leave();
                    self.remember(&[(&format!("{name}.join"), json!(false))]);
                    Ok(network.look().network)
                }
                None => self.leave_overlay(name),
            },
        }
    }

    /// Shows a swarm of other nodes beside the networks of this one, under the name `demo`; each
    /// call replaces what is shown.
    pub fn show_swarm(
        &self,
        title: &str,
        is_running: bool,
        detail: serde_json::Value,
        swarm: Swarm,
    ) {
        let network = Network {
            name: DEMO,
            title: title.to_owned(),
            state: if is_running { Standing::Up } else { Standing::Off },
            error: None,
            addresses: Vec::new(),
            peers: swarm.nodes.len(),
            verbs: Vec::new(),
            can_join: false,
            can_leave: false,
            detail,
        };
        *lock(&self.networks.shown) = Some(Pictured { network, picture: Picture::Swarm(swarm) });
    }

    /// Joins what was joined when the node last ran.
    pub(super) fn resume_networks(&self) {
        for network in &self.networks.files {
            self.add_fetcher(network.clone());
            if !network.is_wanted(&self.config()) {
                continue;
            }
            let joining = self.joining(Vec::new(), None);
            if let Err(error) = joining.and_then(|joining| Ok(network.join(joining)?)) {
                tracing::warn!(%error, ?network, "a network is not joined");
            }
        }
        self.resume_overlays();
    }

    /// The networks in short.
    pub(super) fn network_states(&self) -> Vec<NetworkState> {
        let kademlia = if self.networks.has_kademlia() { Standing::Up } else { Standing::Off };
        let own = [
            NetworkState { name: BITTORRENT, state: Standing::Up },
            NetworkState { name: KADEMLIA, state: kademlia },
            NetworkState {
                name: CHORD,
                state: self.networks.overlays.status(&CHORD_KIND).standing,
            },
        ];
        let files = self.networks.files.iter();
        let files = files
            .map(|network| NetworkState { name: name_of(&**network), state: network.standing() });
        own.into_iter().chain(files).chain(self.overlay_states()).collect()
    }

    /// Settings that follow from what was done. That they cannot be kept does not undo it.
    fn remember(&self, changes: &[(impl AsRef<str>, serde_json::Value)]) {
        for (name, value) in changes {
            let change = (name.as_ref().to_owned(), Some(value.clone()));
            if let Err(error) = self.change_settings(&[change]) {
                tracing::warn!(%error, "this is not remembered for the next start");
            }
        }
    }

    /// What a network can do by itself, and by what was plugged in under its name.
    pub(super) fn verbs(&self, name: &str, own: &[Verb]) -> Vec<Verb> {
        let mut verbs = own.to_vec();
        let searches = super::lock(&self.finders).iter().any(|finder| finder.network() == name);
        let fetches = self.fetcher(name).is_some();
        for (verb, has) in [(Verb::Search, searches), (Verb::Fetch, fetches)] {
            if has && !verbs.contains(&verb) {
                verbs.push(verb);
            }
        }
        verbs
    }

    fn bittorrent(&self) -> Network {
        let status = self.status();
        Network {
            name: BITTORRENT,
            title: "BitTorrent".to_owned(),
            state: Standing::Up,
            error: None,
            addresses: status.addresses,
            peers: status.peers_connected,
            verbs: self.verbs(BITTORRENT, &[Verb::Publish, Verb::Fetch]),
            can_join: false,
            can_leave: false,
            detail: json!({
                "downloading": status.transfers.downloading,
                "seeding": status.transfers.seeding,
                "download_rate": status.download_rate,
                "upload_rate": status.upload_rate,
            }),
        }
    }

    fn kademlia(&self) -> Pictured {
        let nodes = self.session().map(|session| session.dht_nodes()).unwrap_or_default();
        let addresses: Vec<_> = nodes.iter().map(net::dht::KademliaNode::address).collect();
        let tables = self.networks.tables(nodes);
        let sum = |part: fn(&crate::networks::KademliaCounts) -> u64| -> u64 {
            tables.iter().map(|(_, counts)| part(counts)).sum()
        };
        let known = tables.iter().map(|(_, counts)| counts.nodes).sum();
        let is_up = !addresses.is_empty();
        let network = Network {
            name: KADEMLIA,
            title: "Kademlia (mainline DHT)".to_owned(),
            state: match (is_up, known) {
                (false, _) => Standing::Off,
                (true, 0) => Standing::Starting,
                (true, _) => Standing::Up,
            },
            error: None,
            addresses,
            peers: known,
            verbs: self.verbs(KADEMLIA, &[Verb::Join, Verb::Lookup]),
            can_join: true,
            can_leave: is_up,
            detail: json!({
                "values": sum(|counts| counts.values as u64),
                "torrents": sum(|counts| counts.torrents as u64),
                "announced": sum(|counts| counts.peers as u64),
                "received": sum(|counts| counts.received),
                "malformed": sum(|counts| counts.malformed),
                "sent": sum(|counts| counts.sent),
            }),
        };
        // Of the two IP versions, the one where more is known.
        let largest = tables.into_iter().max_by_key(|(_, counts)| counts.nodes);
        let picture = largest.map_or(Picture::None, |(table, _)| Picture::Kademlia(table));
        Pictured { network, picture }
    }

    /// The network of files of this name.
    fn file_network(&self, name: &str) -> Option<&Arc<dyn FileNetwork>> {
        self.networks.files.iter().find(|network| name_of(&***network) == name)
    }

    /// How a network of files is joined.
    fn joining(
        &self,
        peers: Vec<String>,
        listen: Option<SocketAddr>,
    ) -> Result<Joining, NodeError> {
        let library = Arc::downgrade(&self.library()?);
        let holdings = Holdings { library, torrents: self.networks.torrents.clone() };
        Ok(Joining { config: self.config(), peers, listen, holdings })
    }

    fn swarm(&self, transfer: Option<&str>) -> Result<Swarm, NodeError> {
        let transfers = match transfer {
            Some(id) => vec![self.get(id)?],
            None => self.transfers(),
        };
        let whole: u64 = transfers.iter().map(|transfer| transfer.progress.bytes_wanted).sum();
        let have: u64 = transfers.iter().map(|transfer| transfer.progress.bytes_have).sum();
        let mut peers: BTreeMap<String, (PeerStats, String)> = BTreeMap::new();
        for transfer in transfers.iter().filter(|transfer| transfer.peers_connected > 0) {
            for Peer { stats: peer, .. } in self.peers(&transfer.id)?.0 {
                if peers.len() >= PICTURE_PEERS_MAX {
                    break;
                }
                // One that is met in several swarms is one.
                let id = peer.listens.unwrap_or(peer.address).to_string();
                let (seen, _) =
                    peers.entry(id).or_insert_with(|| (blank(&peer), transfer.id.clone()));
                seen.downloaded += peer.downloaded;
                seen.uploaded += peer.uploaded;
                seen.download_rate += peer.download_rate;
                seen.upload_rate += peer.upload_rate;
            }
        }
        let me = SwarmNode {
            id: "me".to_owned(),
            label: net::CLIENT.to_owned(),
            progress: if whole == 0 { 0.0 } else { have as f32 / whole as f32 },
            ..SwarmNode::default()
        };
        let mut swarm = Swarm { nodes: vec![me], edges: Vec::new() };
        for (id, (peer, transfer)) in peers {
            let flows = [
                (id.as_str(), "me", peer.download_rate, peer.downloaded),
                ("me", id.as_str(), peer.upload_rate, peer.uploaded),
            ];
            for (from, to, rate, bytes) in flows.into_iter().filter(|flow| flow.3 > 0) {
                swarm.edges.push(Edge { from: from.to_owned(), to: to.to_owned(), rate, bytes });
            }
            swarm.nodes.push(SwarmNode {
                id,
                label: peer.client,
                transfer: Some(transfer),
                progress: peer.progress,
                transport: Some(peer.transport),
            });
        }
        Ok(swarm)
    }
}

fn name_of(network: &dyn FileNetwork) -> &'static str {
    Fetcher::network(network)
}

fn no_network(name: &str) -> NodeError {
    NodeError::NoNetwork(name.to_owned())
}

/// A peer that has done nothing yet.
fn blank(peer: &PeerStats) -> PeerStats {
    PeerStats { downloaded: 0, uploaded: 0, download_rate: 0, upload_rate: 0, ..peer.clone() }
}
