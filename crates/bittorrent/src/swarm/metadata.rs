//! The info dictionary from peers (BEP 9): collecting its parts, and giving them.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use machine::{ConnId, Instant};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::message::{CloseReason, Effect, Event, limits};
use super::{Ctx, PeerContact, Swarm};
use crate::extension::{Extended, MetadataMessage};
use crate::id::InfoHashes;
use crate::peer_wire::Frame;

/// Parts asked of one peer at once.
const PARTS_OPEN_MAX: u32 = 4;
/// A part not delivered in this many seconds may be asked of another peer.
const PART_PATIENCE_SECS: u64 = 10;
/// A fetch without a new part for this many seconds gives way to what another peer says.
const FETCH_PATIENCE_SECS: u64 = 20;

/// A fetch under way.
pub(super) struct Fetch {
    bytes: Vec<u8>,
    /// Per part: done, or when and of whom it was last asked.
    parts: Vec<Part>,
    missing: usize,
    /// Who sent parts.
    from: BTreeSet<ConnId>,
    /// The one peer that is asked, once parts of several did not fit together: so that who lies is
    /// known.
    sole: Option<ConnId>,
    /// When the last part came.
    progress: Instant,
}

#[derive(Clone, Copy)]
enum Part {
    Missing,
    Asked(Instant, ConnId),
    Done,
}

impl Fetch {
    fn new(len: u32, sole: Option<ConnId>, now: Instant) -> Self {
        let parts = len.div_ceil(limits::METADATA_PART) as usize;
        Self {
            bytes: vec![0; len as usize],
            parts: vec![Part::Missing; parts],
            missing: parts,
            from: BTreeSet::new(),
            sole,
            progress: now,
        }
    }

    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn next(&mut self, conn: ConnId, now: Instant) -> Option<u32> {
        let wanted = |part: &Part| match *part {
            Part::Missing => true,
            Part::Asked(at, of) => of != conn && (now - at).as_secs() >= PART_PATIENCE_SECS,
            Part::Done => false,
        };
        let index = self.parts.iter().position(wanted)?;
        self.parts[index] = Part::Asked(now, conn);
        Some(index as u32)
    }

    /// Keeps a part; whether it was of use.
    fn put(&mut self, part: u32, bytes: &[u8]) -> bool {
        let begin = part as usize * limits::METADATA_PART as usize;
        let Some(state @ (Part::Missing | Part::Asked(..))) = self.parts.get_mut(part as usize)
        else {
            return false;
        };
        let end = (begin + limits::METADATA_PART as usize).min(self.bytes.len());
        if bytes.len() != end - begin {
            return false;
        }
        *state = Part::Done;
        self.bytes[begin..end].copy_from_slice(bytes);
        self.missing -= 1;
        true
    }

    fn give_back(&mut self, conn: ConnId) {
        for part in &mut self.parts {
            if matches!(part, Part::Asked(_, of) if *of == conn) {
                *part = Part::Missing;
            }
        }
    }
}

/// Whether `info_bytes` is what every given hash names.
fn matches(hashes: &InfoHashes, info_bytes: &[u8]) -> bool {
    let v1 = hashes.v1.is_none_or(|hash| Sha1::digest(info_bytes)[..] == hash.0);
    let v2 = hashes.v2.is_none_or(|hash| Sha256::digest(info_bytes)[..] == hash.0);
    v1 && v2
}

impl<C: PeerContact> Swarm<C> {
    /// A peer has said how long the info dictionary is.
    pub(super) fn metadata_offered(&mut self, conn: ConnId, len: u32, cx: &mut Ctx<'_, C>) {
        if self.content.is_some() || len == 0 || len > limits::METADATA_LEN_MAX {
            return;
        }
        let Some(peer) = self.peers.get_mut(&conn) else { return };
        peer.metadata_len = Some(len);
        // The first length named is tried first.
        self.metadata.get_or_insert_with(|| Fetch::new(len, None, cx.now()));
        self.ask_metadata(conn, cx);
    }

    /// Begins anew with what one peer says if nothing comes of the fetch; called at every tick.
    pub(super) fn metadata_upkeep(&mut self, cx: &mut Ctx<'_, C>) {
        let Some(fetch) = &self.metadata else { return };
        if (cx.now() - fetch.progress).as_secs() >= FETCH_PATIENCE_SECS {
            let (len, sole) = (fetch.len(), fetch.sole);
            self.fetch_metadata_anew(
                |conn, said| said != len || sole.is_some_and(|s| s != conn),
                cx,
            );
        }
    }

    /// Begins anew with one peer alone, if there is one that will do.
    fn fetch_metadata_anew(&mut self, will_do: impl Fn(ConnId, u32) -> bool, cx: &mut Ctx<'_, C>) {
        let offers: Vec<(ConnId, u32)> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.extensions.metadata && !peer.metadata_refused)
            .filter_map(|(&conn, peer)| Some((conn, peer.metadata_len?)))
            .filter(|&(conn, len)| will_do(conn, len))
            .collect();
        let Some(&(conn, len)) = cx.rng().pick(&offers) else { return };
        for peer in self.peers.values_mut() {
            peer.metadata_asked = 0;
        }
        self.metadata = Some(Fetch::new(len, Some(conn), cx.now()));
        self.ask_metadata(conn, cx);
    }

    /// Asks a peer for parts that are missing.
    pub(super) fn ask_metadata(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let (Some(fetch), Some(peer)) = (&mut self.metadata, self.peers.get_mut(&conn)) else {
            return;
        };
        let is_asked = fetch.sole.is_none_or(|sole| sole == conn);
        let fits = peer.metadata_len == Some(fetch.len());
        if !peer.extensions.metadata || peer.metadata_refused || !is_asked || !fits {
            return;
        }
        while peer.metadata_asked < PARTS_OPEN_MAX {
            let Some(part) = fetch.next(conn, cx.now()) else { break };
            peer.metadata_asked += 1;
            let request = Extended::Metadata(MetadataMessage::Request(part));
            cx.effect(Effect::Send(conn, Frame::Extended(request)));
        }
    }

    pub(super) fn on_metadata(
        &mut self,
        conn: ConnId,
        message: MetadataMessage,
        cx: &mut Ctx<'_, C>,
    ) {
        match message {
            MetadataMessage::Request(part) => self.give_metadata(conn, part, cx),
            MetadataMessage::Reject(_) => {
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.metadata_asked = 0;
                    peer.metadata_refused = true;
                }
                self.metadata_peer_gone(conn, cx);
            }
            MetadataMessage::Data { part, total_len, bytes } => {
                let Some(fetch) = &mut self.metadata else { return };
                let Some(peer) = self.peers.get_mut(&conn) else { return };
                if peer.metadata_asked == 0 || total_len != fetch.len() {
                    return self.offence(conn, cx);
                }
                peer.metadata_asked -= 1;
                if !fetch.put(part, &bytes) {
                    return self.offence(conn, cx);
                }
                fetch.from.insert(conn);
                fetch.progress = cx.now();
                if fetch.missing == 0 {
                    self.metadata_whole(cx);
                } else {
                    self.ask_metadata(conn, cx);
                }
            }
        }
    }

    fn metadata_whole(&mut self, cx: &mut Ctx<'_, C>) {
        let Some(fetch) = self.metadata.take() else { return };
        for peer in self.peers.values_mut() {
            peer.metadata_asked = 0;
        }
        if matches(&self.config.hashes, &fetch.bytes) {
            return cx.emit(Event::Metadata(Arc::from(fetch.bytes)));
        }
        // Somebody lied about a part or the length; who, is certain only if one sent all of them.
        if let (1, Some(&liar)) = (fetch.from.len(), fetch.from.first()) {
            if let Some(peer) = self.peers.get_mut(&liar) {
                peer.metadata_refused = true;
            }
            self.close(liar, CloseReason::Protocol, cx);
        }
        self.fetch_metadata_anew(|_, _| true, cx);
    }

    /// A peer with open metadata requests is gone or refuses.
    pub(super) fn metadata_peer_gone(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let Some(fetch) = &mut self.metadata else { return };
        fetch.give_back(conn);
        if fetch.sole == Some(conn) {
            self.metadata = None;
            self.fetch_metadata_anew(|_, _| true, cx);
        }
    }

    fn give_metadata(&mut self, conn: ConnId, part: u32, cx: &mut Ctx<'_, C>) {
        let begin = part as usize * limits::METADATA_PART as usize;
        let answer = match &self.content {
            Some(content) if begin < content.info_bytes.len() => {
                let all = &content.info_bytes;
                let end = (begin + limits::METADATA_PART as usize).min(all.len());
                let total_len = all.len() as u32;
                MetadataMessage::Data { part, total_len, bytes: all[begin..end].to_vec() }
            }
            _ => MetadataMessage::Reject(part),
        };
        cx.effect(Effect::Send(conn, Frame::Extended(Extended::Metadata(answer))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::InfoHash;

    #[test]
    fn parts_are_asked_once_and_again_of_others_after_patience() {
        let mut fetch = Fetch::new(limits::METADATA_PART + 1, None, Instant::ZERO);
        let (a, b) = (ConnId(1), ConnId(2));
        assert_eq!(fetch.next(a, Instant::ZERO), Some(0));
        assert_eq!(fetch.next(b, Instant::ZERO), Some(1));
        assert_eq!(fetch.next(b, Instant::ZERO), None);
        let later = Instant::from_nanos(11_000_000_000);
        assert_eq!(fetch.next(b, later), Some(0), "asked of another after patience");
        assert!(!fetch.put(1, &[0; 2]), "wrong length");
        assert!(fetch.put(1, &[7]));
        assert!(!fetch.put(1, &[7]), "twice");
        assert!(!fetch.put(9, &[7]), "past the end");
        assert!(fetch.put(0, &[1; limits::METADATA_PART as usize]));
        assert_eq!(fetch.missing, 0);
    }

    #[test]
    fn only_matching_bytes_are_believed() {
        let hash = InfoHash(Sha1::digest(b"abc").into());
        let hashes = InfoHashes { v1: Some(hash), v2: None };
        assert!(matches(&hashes, b"abc") && !matches(&hashes, b"abd"));
    }
}
