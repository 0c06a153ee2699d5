//! Who has which words: neighbours' tables in, ours out.

use alloc::vec::Vec;

use machine::{ConnId, Instant};

use super::super::Kind;
use super::super::handshake::Role;
use super::super::qrp::{QrpMessage, Table, update};
use super::message::{CloseReason, Effect};
use super::{Address, Ctx, Servent};

/// Between tables to one neighbour.
const PAUSE: core::time::Duration = core::time::Duration::from_secs(10);

impl<C: Address> Servent<C> {
    pub(super) fn on_table(&mut self, conn: ConnId, payload: &[u8], cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        let done = QrpMessage::parse(payload).map(|message| peer.table.on_message(&message));
        if !matches!(done, Ok(Ok(_))) {
            self.counters.dropped += 1;
            cx.effect(Effect::Close(conn, CloseReason::Protocol));
        }
    }

    /// The words behind us, for a neighbour: our own, and for ultrapeers those of our leaves too.
    fn table_for(&mut self, is_ultrapeer: bool) -> Option<Table> {
        if self.words.is_none() {
            self.words = self.library.table(self.config.slots);
        }
        let mut table = self.words.clone()?;
        if is_ultrapeer && self.role == Role::Ultrapeer {
            for leaf in self.peers.values().filter(|peer| peer.is_leaf()) {
                if let Some(words) = leaf.table.table() {
                    table.merge(words);
                }
            }
        }
        Some(table)
    }

    /// Tells a neighbour what changed since it was told last.
    pub(super) fn tell_table(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let Some(peer) = self.peers.get(&conn) else { return };
        let Some(agreement) = peer.agreement().filter(|agreement| agreement.tables) else { return };
        let both_ultrapeers = agreement.ours == Role::Ultrapeer;
        let Some(table) = self.table_for(both_ultrapeers) else { return };
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.told_at = cx.now();
        let payloads = update(peer.told.as_ref(), &table, 4);
        if payloads.is_empty() {
            return;
        }
        peer.told = Some(table);
        for payload in payloads {
            self.say(conn, Kind::Qrp, 1, payload, cx);
        }
    }

    /// Tells those who have not been told for a while.
    pub(super) fn tell_tables(&mut self, now: Instant, cx: &mut Ctx<'_, C>) {
        let due = self.peers.iter().filter(|(_, peer)| {
            peer.agreement().is_some_and(|agreement| agreement.tables)
                && (now - peer.told_at >= PAUSE || (self.words.is_none() && peer.told.is_some()))
        });
        let due: Vec<ConnId> = due.map(|(conn, _)| *conn).collect();
        for conn in due {
            self.tell_table(conn, cx);
        }
    }
}
