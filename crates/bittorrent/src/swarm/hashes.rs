//! Hashes of v2 files (BEP 52): piece layers that a magnet link lacks, asked of peers, and hashes
//! that peers ask of us.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use machine::{ConnId, Instant};

use super::message::{Content, Effect, Event};
use super::{Ctx, PeerContact, Swarm};
use crate::id::PieceIndex;
use crate::merkle::{FileShape, FileTree, LayerAssembler};
use crate::metainfo::Info;
use crate::peer_wire::{Frame, HashRange};

/// Hash requests open with one peer at once.
const OPEN_MAX: u32 = 4;
/// A run not delivered for so long is asked of another peer too.
const PATIENCE: Duration = Duration::from_secs(10);
/// Trees of files kept to answer hash requests; the oldest by file order goes.
const TREES_MAX: usize = 16;

/// Piece layers that are missing, and the trees from which requests are answered.
pub(super) struct LayerFetch {
    /// By file index.
    missing: BTreeMap<usize, LayerAssembler>,
    /// Runs asked for, of whom and when.
    asked: Vec<(ConnId, HashRange, Instant)>,
    trees: BTreeMap<usize, FileTree>,
    /// Pieces of files whose layers are missing: first and count, by file index.
    unverifiable: BTreeMap<usize, (u32, u32)>,
}

fn shape(info: &Info, file: usize) -> Option<FileShape> {
    let file = info.files.get(file)?;
    FileShape::new(file.pieces_root?, file.len, info.piece_len)
}

impl LayerFetch {
    pub(super) fn new(content: &Content) -> Self {
        let info = &content.info;
        let mut fetch = Self {
            missing: BTreeMap::new(),
            asked: Vec::new(),
            trees: BTreeMap::new(),
            unverifiable: BTreeMap::new(),
        };
        for (index, file) in info.files.iter().enumerate() {
            let known = content.piece_layers.get(index).is_some_and(|layer| !layer.is_empty());
            let assembler = shape(info, index).filter(|_| !known).and_then(LayerAssembler::new);
            let Some(assembler) = assembler else { continue };
            // A hybrid's pieces can be verified by their v1 hashes meanwhile.
            if info.v1_pieces.is_none() {
                let first = (file.offset / u64::from(info.piece_len)) as u32;
                let count = file.len.div_ceil(u64::from(info.piece_len)) as u32;
                fetch.unverifiable.insert(index, (first, count));
            }
            fetch.missing.insert(index, assembler);
        }
        fetch
    }

    /// Whether a piece's hash is known.
    pub(super) fn can_verify(&self, piece: PieceIndex) -> bool {
        !self.unverifiable.values().any(|&(first, count)| (first..first + count).contains(&piece.0))
    }

    /// Whether every piece's hash is known.
    pub(super) fn is_done(&self) -> bool {
        self.unverifiable.is_empty()
    }
}

impl<C: PeerContact> Swarm<C> {
    /// Asks a peer for runs of missing piece layers.
    pub(super) fn ask_layers(&mut self, conn: ConnId, cx: &mut Ctx<'_, C>) {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return;
        };
        let (layers, now) = (&mut content.layers, cx.now());
        if layers.missing.is_empty() || !peer.v2 || peer.hashes_refused || !peer.is_ready() {
            return;
        }
        let mut wanted = Vec::new();
        for range in layers.missing.values().flat_map(LayerAssembler::missing) {
            if peer.hashes_asked + wanted.len() as u32 >= OPEN_MAX {
                break;
            }
            let is_asked = layers
                .asked
                .iter()
                .any(|&(of, asked, at)| asked == range && (of == conn || now - at < PATIENCE));
            if !is_asked {
                wanted.push(range);
            }
        }
        for range in wanted {
            peer.hashes_asked += 1;
            layers.asked.push((conn, range, now));
            cx.effect(Effect::Send(conn, Frame::HashRequest(range)));
        }
    }

    pub(super) fn on_hashes(
        &mut self,
        conn: ConnId,
        range: HashRange,
        hashes: &[[u8; 32]],
        cx: &mut Ctx<'_, C>,
    ) {
        if !self.hashes_answered(conn, &range) {
            return self.offence(conn, cx);
        }
        let Some(content) = &mut self.content else { return };
        let file = content.info.files.iter().position(|f| f.pieces_root == Some(range.pieces_root));
        let Some(file) = file else { return };
        let Some(assembler) = content.layers.missing.get_mut(&file) else { return };
        match assembler.feed(&range, hashes) {
            Err(_) => {
                // It sent hashes that its own root does not prove.
                if let Some(peer) = self.peers.get_mut(&conn) {
                    peer.hashes_refused = true;
                }
                self.offence(conn, cx);
            }
            Ok(false) => self.ask_layers(conn, cx),
            Ok(true) => {
                let whole = content.layers.missing.remove(&file).and_then(LayerAssembler::finish);
                if let Some(layer) = whole {
                    self.layer_known(file, layer, cx);
                }
                self.ask_layers(conn, cx);
            }
        }
    }

    /// A file's piece layer is known now: its pieces can be verified.
    pub(super) fn layer_known(&mut self, file: usize, layer: Vec<[u8; 32]>, cx: &mut Ctx<'_, C>) {
        let Some(content) = &mut self.content else { return };
        content.layers.missing.remove(&file);
        content.layers.unverifiable.remove(&file);
        cx.emit(Event::Layers(file, layer.clone()));
        if let Some(known) = content.piece_layers.get_mut(file) {
            *known = layer;
        }
        self.refresh_wanted(cx);
    }

    pub(super) fn on_hash_reject(&mut self, conn: ConnId, range: HashRange, cx: &mut Ctx<'_, C>) {
        if !self.hashes_answered(conn, &range) {
            return self.offence(conn, cx);
        }
        if let Some(peer) = self.peers.get_mut(&conn) {
            peer.hashes_refused = true;
        }
    }

    /// Strikes an open request out; whether there was one.
    fn hashes_answered(&mut self, conn: ConnId, range: &HashRange) -> bool {
        let (Some(content), Some(peer)) = (&mut self.content, self.peers.get_mut(&conn)) else {
            return false;
        };
        let asked = &mut content.layers.asked;
        let Some(at) = asked.iter().position(|(of, asked, _)| *of == conn && asked == range) else {
            return false;
        };
        asked.swap_remove(at);
        peer.hashes_asked = peer.hashes_asked.saturating_sub(1);
        true
    }

    pub(super) fn layers_peer_gone(&mut self, conn: ConnId) {
        if let Some(content) = &mut self.content {
            content.layers.asked.retain(|(of, ..)| *of != conn);
        }
    }

    /// A peer asks for hashes: from the piece layer at once, from the leaves by way of the driver.
    pub(super) fn on_hash_request(&mut self, conn: ConnId, range: HashRange, cx: &mut Ctx<'_, C>) {
        let Some((file, needed)) = self.tree_for(&range) else {
            return cx.effect(Effect::Send(conn, Frame::HashReject(range)));
        };
        let Some(of_file) = needed else { return self.answer_hashes(conn, file, range, &[], cx) };
        let Some(content) = &self.content else { return };
        let first = content.info.files[file].offset / u64::from(content.info.piece_len);
        let piece = PieceIndex((first as u32).saturating_add(of_file));
        if content.have.get(piece.0) {
            cx.effect(Effect::ReadLeaves(conn, range, piece));
        } else {
            cx.effect(Effect::Send(conn, Frame::HashReject(range)));
        }
    }

    /// Leaf hashes that the driver was asked for.
    pub(super) fn on_leaves(
        &mut self,
        conn: ConnId,
        range: HashRange,
        leaves: Option<Vec<[u8; 32]>>,
        cx: &mut Ctx<'_, C>,
    ) {
        match (self.tree_for(&range), leaves) {
            (Some((file, _)), Some(leaves)) => self.answer_hashes(conn, file, range, &leaves, cx),
            _ => cx.effect(Effect::Send(conn, Frame::HashReject(range))),
        }
    }

    fn answer_hashes(
        &mut self,
        conn: ConnId,
        file: usize,
        range: HashRange,
        leaves: &[[u8; 32]],
        cx: &mut Ctx<'_, C>,
    ) {
        let tree = self.content.as_ref().and_then(|content| content.layers.trees.get(&file));
        let frame = match tree.and_then(|tree| tree.answer(&range, leaves)) {
            Some(hashes) => Frame::Hashes(range, hashes),
            None => Frame::HashReject(range),
        };
        cx.effect(Effect::Send(conn, frame));
    }

    /// The file that a range is of, its tree built, and the piece of it whose leaves are needed.
    fn tree_for(&mut self, range: &HashRange) -> Option<(usize, Option<u32>)> {
        let content = self.content.as_mut()?;
        let files = &content.info.files;
        let file = files.iter().position(|file| file.pieces_root == Some(range.pieces_root))?;
        let shape = shape(&content.info, file)?;
        shape.check(range).ok()?;
        let trees = &mut content.layers.trees;
        if !trees.contains_key(&file) {
            let tree = FileTree::new(shape, content.piece_layers.get(file)?)?;
            if trees.len() >= TREES_MAX {
                trees.pop_first();
            }
            trees.insert(file, tree);
        }
        Some((file, trees.get(&file)?.leaves_needed(range)))
    }
}
