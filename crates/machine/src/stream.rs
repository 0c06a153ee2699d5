//! Machines that hold connections: frames in order, and payload that they name but never see.

use crate::{ConnId, Contact, Cx, Machine};

/// A run of bytes of some object, named rather than carried: the driver moves the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Payload {
    /// Which object; in BitTorrent the index of a piece.
    pub object: u32,
    /// Where in the object the run begins, in bytes.
    pub offset: u32,
    /// How long it is, in bytes.
    pub len: u32,
}

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// We dialled it.
    Dialer,
    /// We accepted it.
    Listener,
}

/// A machine that speaks over connections.
///
/// Sending is an effect; the driver keeps each connection's queue and tells what became of queued
/// payload ([`on_sent`](Self::on_sent), [`on_dropped`](Self::on_dropped)).
pub trait StreamMachine: Machine {
    /// How it knows another node.
    type Contact: Contact;
    /// What it says and hears, payload aside.
    type Frame;
    /// Why a connection ended.
    type CloseReason;

    /// A connection is up.
    fn on_open(&mut self, conn: ConnId, peer: Self::Contact, side: Side, cx: &mut Cx<'_, Self>);
    /// A dial that this machine asked for came to nothing.
    fn on_dial_failed(&mut self, peer: Self::Contact, cx: &mut Cx<'_, Self>);
    /// A whole frame has arrived.
    fn on_frame(&mut self, conn: ConnId, frame: Self::Frame, cx: &mut Cx<'_, Self>);
    /// Payload has been announced by its head; whether its bytes should be kept when they come.
    fn on_payload_head(&mut self, conn: ConnId, payload: Payload, cx: &mut Cx<'_, Self>) -> bool;
    /// Payload that was wanted is here in full, not yet verified.
    fn on_payload(&mut self, conn: ConnId, payload: Payload, cx: &mut Cx<'_, Self>);
    /// Queued payload has left.
    fn on_sent(&mut self, conn: ConnId, payload: Payload, cx: &mut Cx<'_, Self>);
    /// Queued payload was dropped at this machine's own request, or because it could not be read.
    fn on_dropped(&mut self, conn: ConnId, payload: Payload, cx: &mut Cx<'_, Self>);
    /// An object that this machine asked to have verified is whole and stored, or is not.
    fn on_verified(&mut self, object: u32, ok: bool, cx: &mut Cx<'_, Self>);
    /// A connection is gone, whoever ended it.
    fn on_close(&mut self, conn: ConnId, why: Self::CloseReason, cx: &mut Cx<'_, Self>);
}
