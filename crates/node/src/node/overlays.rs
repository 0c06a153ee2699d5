//! The facade's hash tables beside Kademlia: how it stands with each, joining and leaving.

use std::net::SocketAddr;

use net::dht::{CHORD, OVERLAYS, OverlayKind, OverlayState};
use serde_json::json;

use super::{Node, NodeError};
use crate::networks::overlays::{Looked, kind};
use crate::networks::{Network, OverlayWish, Picture, Pictured, Verb, overlaid, ring};
use crate::view::NetworkState;

impl Node {
    /// The one called `name`, and what its picture is drawn from.
    pub(super) fn overlay(&self, name: &str) -> Result<Pictured, NodeError> {
        Ok(self.pictured(known(name)?))
    }

    /// Chord, and what its picture is drawn from.
    pub(super) fn chord(&self) -> Pictured {
        self.pictured(&CHORD)
    }

    /// All others.
    pub(super) fn overlays(&self) -> impl Iterator<Item = Network> + '_ {
        OVERLAYS.iter().map(|kind| self.pictured(kind).network)
    }

    /// Becomes part of one, as its first node if nobody is named.
    pub(super) fn join_overlay(
        &self,
        name: &str,
        peers: Vec<String>,
        listen: Option<SocketAddr>,
    ) -> Result<Network, NodeError> {
        let kind = known(name)?;
        self.networks.overlays.join(kind, OverlayWish { listen, known: peers })?;
        Ok(self.pictured(kind).network)
    }

    /// Leaves one, with a goodbye.
    pub(super) fn leave_overlay(&self, name: &str) -> Result<Network, NodeError> {
        let kind = known(name)?;
        self.networks.overlays.leave(kind);
        Ok(self.pictured(kind).network)
    }

    /// Becomes part of those again that it was in when it last ran.
    pub(super) fn resume_overlays(&self) {
        let chord = self.config().chord;
        let mut all = self.networks.overlays.were_joined();
        if chord.join {
            let wish = OverlayWish { listen: chord.address(), known: chord.bootstrap };
            all.push((&CHORD, wish));
        }
        for (kind, wish) in all {
            if let Err(error) = self.networks.overlays.resume(kind, wish) {
                tracing::warn!(%error, "{} is not joined", kind.title);
            }
        }
    }

    /// They in short.
    pub(super) fn overlay_states(&self) -> impl Iterator<Item = NetworkState> + '_ {
        let state = |kind| self.networks.overlays.status(kind).standing;
        OVERLAYS.iter().map(move |kind| NetworkState { name: kind.name, state: state(kind) })
    }

    fn pictured(&self, kind: &'static OverlayKind) -> Pictured {
        let status = self.networks.overlays.status(kind);
        let looked = self.networks.overlays.look(kind);
        let is_there = looked.is_some();
        let (state, picture) = match looked {
            None => (OverlayState::default(), Picture::None),
            Some(Looked { me, sketch, state }) if kind == &CHORD => {
                (state, Picture::Chord(ring(me, &sketch)))
            }
            Some(Looked { me, sketch, state }) => {
                (state, Picture::Overlay(overlaid(kind.name, me, sketch)))
            }
        };
        let network = Network {
            name: kind.name,
            title: kind.title.to_owned(),
            state: status.standing,
            error: status.error,
            addresses: status.address.into_iter().collect(),
            peers: state.known.len(),
            verbs: self.verbs(kind.name, &[Verb::Join, Verb::Lookup]),
            can_join: !is_there,
            can_leave: is_there,
            detail: json!({
                "values": state.values,
                "received": state.received,
                "malformed": state.malformed,
                "sent": state.sent,
            }),
        };
        Pictured { network, picture }
    }
}

fn known(name: &str) -> Result<&'static OverlayKind, NodeError> {
    kind(name).ok_or_else(|| NodeError::NoNetwork(name.to_owned()))
}
