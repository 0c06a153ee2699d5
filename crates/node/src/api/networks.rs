//! Networks: the state of each, and what its picture is drawn from.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use net::session::Transport;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::{ApiError, ErrorBody};
use super::extract::Params;
use super::{Ctx, Shared};
use crate::node::{Node, NodeError};
use crate::view::{Peer, Status};

/// Peers in a picture.
const PICTURE_PEERS_MAX: usize = 500;

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get))
}

/// A network.
#[derive(Serialize, ToSchema)]
struct Network {
    name: &'static str,
    title: &'static str,
    /// `up`, `starting`, `off` or `failed`
    state: &'static str,
    error: Option<String>,
    #[schema(value_type = Vec<String>)]
    addresses: Vec<SocketAddr>,
    peers: usize,
    /// Numbers for people.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// All networks.
#[derive(Serialize, ToSchema)]
struct Networks {
    networks: Vec<Network>,
}

/// A network and what its picture is drawn from.
#[derive(Serialize, ToSchema)]
struct Pictured {
    #[serde(flatten)]
    network: Network,
    picture: Swarm,
}

/// Who sends to whom.
#[derive(Serialize, ToSchema)]
struct Swarm {
    /// `swarm`
    kind: &'static str,
    nodes: Vec<SwarmNode>,
    edges: Vec<Edge>,
}

/// Somebody in a swarm; `me` is this node.
#[derive(Serialize, ToSchema)]
struct SwarmNode {
    id: String,
    /// Its program, as it calls itself.
    label: String,
    transfer: Option<String>,
    /// Pieces it has, as a share from 0 to 1.
    progress: f32,
    transport: Option<Transport>,
}

/// Bytes that flow.
#[derive(Serialize, ToSchema)]
struct Edge {
    from: String,
    to: String,
    /// Bytes per second.
    rate: u64,
}

fn bittorrent(status: &Status) -> Network {
    let detail = serde_json::json!({
        "downloading": status.transfers.downloading,
        "seeding": status.transfers.seeding,
        "download_rate": status.download_rate,
        "upload_rate": status.upload_rate,
    });
    Network {
        name: "bittorrent",
        title: "BitTorrent",
        state: "up",
        error: None,
        addresses: status.addresses.clone(),
        peers: status.peers_connected,
        detail,
    }
}

fn kademlia(node: &Node) -> Network {
    let addresses = node.dht_addresses();
    let on = node.began_with().network.dht;
    let state = match (on, addresses.is_empty()) {
        (false, _) => "off",
        (true, true) => "starting",
        (true, false) => "up",
    };
    Network {
        name: "kademlia",
        title: "Kademlia (mainline DHT)",
        state,
        error: None,
        addresses,
        peers: 0,
        detail: serde_json::json!({}),
    }
}

#[utoipa::path(get, path = "/api/v1/networks", tag = "networks",
    responses((status = 200, body = Networks), (status = 401, body = ErrorBody)))]
async fn list(State(shared): Ctx) -> Result<axum::Json<Networks>, ApiError> {
    let networks = shared.run(|node| Ok(vec![bittorrent(&node.status()), kademlia(node)])).await?;
    Ok(axum::Json(Networks { networks }))
}

/// Which part.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PictureQuery {
    /// Only the swarm of this transfer.
    transfer: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/networks/{name}", tag = "networks",
    params(("name" = String, Path), PictureQuery),
    responses((status = 200, body = Pictured), (status = 400, body = ErrorBody),
        (status = 401, body = ErrorBody), (status = 404, body = ErrorBody)))]
async fn get(
    State(shared): Ctx,
    Path(name): Path<String>,
    Params(query): Params<PictureQuery>,
) -> Result<axum::Json<Pictured>, ApiError> {
    let none = || ApiError::new(StatusCode::NOT_FOUND, "there is no such network");
    let pictured = shared.run(move |node| {
        Ok(match name.as_str() {
            "bittorrent" => {
                let picture = swarm(node, query.transfer.as_deref())?;
                Some(Pictured { network: bittorrent(&node.status()), picture })
            }
            "kademlia" => {
                let picture = Swarm { kind: "none", nodes: Vec::new(), edges: Vec::new() };
                Some(Pictured { network: kademlia(node), picture })
            }
            _ => None,
        })
    });
    Ok(axum::Json(pictured.await?.ok_or_else(none)?))
}

fn swarm(node: &Arc<Node>, transfer: Option<&str>) -> Result<Swarm, NodeError> {
    let transfers = match transfer {
        Some(id) => vec![node.get(id)?],
        None => node.transfers(),
    };
    let whole: u64 = transfers.iter().map(|transfer| transfer.progress.bytes_wanted).sum();
    let have: u64 = transfers.iter().map(|transfer| transfer.progress.bytes_have).sum();
    let progress = if whole == 0 { 0.0 } else { have as f32 / whole as f32 };
    let me = SwarmNode {
        id: "me".to_owned(),
        label: net::CLIENT.to_owned(),
        transfer: None,
        progress,
        transport: None,
    };
    let mut picture = Swarm { kind: "swarm", nodes: vec![me], edges: Vec::new() };
    for transfer in transfers.iter().filter(|transfer| transfer.peers_connected > 0) {
        for peer in node.peers(&transfer.id)?.0 {
            if picture.nodes.len() > PICTURE_PEERS_MAX {
                return Ok(picture);
            }
            picture.add(peer, &transfer.id);
        }
    }
    Ok(picture)
}

impl Swarm {
    fn add(&mut self, Peer { stats: peer, .. }: Peer, transfer: &str) {
        let id = peer.address.to_string();
        let me = || "me".to_owned();
        if peer.download_rate > 0 {
            self.edges.push(Edge { from: id.clone(), to: me(), rate: peer.download_rate });
        }
        if peer.upload_rate > 0 {
            self.edges.push(Edge { from: me(), to: id.clone(), rate: peer.upload_rate });
        }
        self.nodes.push(SwarmNode {
            id,
            label: peer.client,
            transfer: Some(transfer.to_owned()),
            progress: peer.progress,
            transport: Some(peer.transport),
        });
    }
}
