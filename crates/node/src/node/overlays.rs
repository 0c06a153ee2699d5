//! The facade's hash tables beside Kademlia and Chord: how it stands with each, joining and leaving.

use std::net::SocketAddr;

use net::dht::{OVERLAYS, OverlayKind};
use serde_json::json;

use super::{Node, NodeError};
use crate::networks::overlays::kind;
use crate::networks::{ChordWish, Network, Picture, Pictured, Verb};
use crate::view::NetworkState;

impl Node {
    /// The one called `name`, and what its picture is drawn from.
    pub(super) fn overlay(&self, name: &str) -> Result<Pictured, NodeError> {
        Ok(self.pictured(known(name)?))
    }

    /// All of them.
    pub(super) fn overlays(&self) -> impl Iterator<Item = Network> + '_ {
        OVERLAYS.iter().map(|kind| self.pictured(kind).network)
    }

    /// Becomes part of one, as its first node if nobody is named. It is not remembered for the next
    /// start.
    pub(super) fn join_overlay(
        &self,
        name: &str,
        peers: Vec<String>,
        listen: Option<SocketAddr>,
    ) -> Result<Network, NodeError> {
        let kind = known(name)?;
        self.networks.overlays.join(kind, ChordWish { listen, known: peers })?;
        Ok(self.pictured(kind).network)
    }

    /// Leaves one, with a goodbye.
    pub(super) fn leave_overlay(&self, name: &str) -> Result<Network, NodeError> {
        let kind = known(name)?;
        self.networks.overlays.leave(kind);
        Ok(self.pictured(kind).network)
    }

    /// They in short.
    pub(super) fn overlay_states(&self) -> impl Iterator<Item = NetworkState> + '_ {
        let state = |kind| self.networks.overlays.status(kind).standing;
        OVERLAYS.iter().map(move |kind| NetworkState { name: kind.name, state: state(kind) })
    }

    fn pictured(&self, kind: &'static OverlayKind) -> Pictured {
        let status = self.networks.overlays.status(kind);
        let (drawn, state) = self.networks.overlays.look(kind).unzip();
        let state = state.unwrap_or_default();
        let network = Network {
            name: kind.name,
            title: kind.title.to_owned(),
            state: status.standing,
            error: status.error,
            addresses: status.address.into_iter().collect(),
            peers: state.known.len(),
            verbs: self.verbs(kind.name, &[Verb::Join, Verb::Lookup]),
            can_join: drawn.is_none(),
            can_leave: drawn.is_some(),
            detail: json!({
                "values": state.values,
                "received": state.received,
                "malformed": state.malformed,
                "sent": state.sent,
            }),
        };
        Pictured { network, picture: drawn.map_or(Picture::None, Picture::Overlay) }
    }
}

fn known(name: &str) -> Result<&'static OverlayKind, NodeError> {
    kind(name).ok_or_else(|| NodeError::NoNetwork(name.to_owned()))
}
