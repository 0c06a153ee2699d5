//! A torrent and its storage: opening, checking, verifying, reading, journalling.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::id::{BLOCK_LEN, Block, PieceIndex};
use bittorrent::merkle::{FileShape, FileTree};
use bittorrent::metainfo::Metainfo;
use bittorrent::peer_wire::HashRange;
use bittorrent::swarm::{Command, Content};
use codec::bitfield::Bitfield;
use machine::{ConnId, StreamMachine};

use super::{BlockRead, Torrent};
use crate::disk::{DiskEvent, DiskJob, PieceData, Recheck, Verdict};
use crate::session::SessionError;
use crate::session::config::Source;
use crate::session::conn::{Cold, ConnHandle};
use crate::session::picture::TorrentState;
use crate::store::{Journal, Resume, Store, StoreError, StoreOptions, Totals};

/// How often the journal is asked whether it wants to be brought up to date.
const JOURNAL_INTERVAL: Duration = Duration::from_millis(500);

/// What is known of the files before the swarm begins.
pub(super) struct Checking {
    have: Bitfield,
    bytes: u64,
    job: Option<Arc<Recheck>>,
}

impl Checking {
    /// Bytes hashed so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Stops it; what is found good so far counts.
    pub(super) fn cancel(&self) {
        if let Some(job) = &self.job {
            job.cancel();
        }
    }
}

/// A digest of each block of a piece.
fn block_digests(piece: &[u8]) -> Vec<[u8; 20]> {
    let blocks: Vec<&[u8]> = piece.chunks(BLOCK_LEN as usize).collect();
    let mut digests = vec![[0; 20]; blocks.len()];
    hash::sha1_many(&blocks, &mut digests);
    digests
}

impl Torrent {
    /// Begins: at once if the content is known, else by asking for it.
    pub(in crate::session) fn begin(self: &Rc<Self>) -> Result<(), SessionError> {
        match &self.options.source {
            Source::Metainfo(metainfo) => self.load(Arc::new((**metainfo).clone()))?,
            Source::Magnet(magnet) => {
                if let Some(info_bytes) = Journal::info_bytes(&self.journal_path(), &self.hashes) {
                    self.metadata_here(Arc::from(info_bytes));
                }
                let mut peers = magnet.peers.clone();
                peers.extend_from_slice(&self.options.peers);
                self.resolve_peers(magnet.peer_hosts.clone());
                self.add_peers(peers);
                self.spawn_upkeep();
                return Ok(());
            }
        }
        self.add_peers(self.options.peers.clone());
        self.spawn_upkeep();
        Ok(())
    }

    /// Opens storage for content that is known now, and checks what is there.
    pub(super) fn load(self: &Rc<Self>, metainfo: Arc<Metainfo>) -> Result<(), SessionError> {
        let info = metainfo.info.clone();
        let selection = self.selection.borrow();
        let selection = selection.as_deref();
        let options = StoreOptions { read_only: self.options.read_only, selection };
        let store = Arc::new(Store::open(info.clone(), &self.options.dir, options)?);
        store.set_piece_layers(&metainfo.piece_layers);
        // A piece being filled, one being verified and one more must fit, however long they are.
        self.pool.raise_limit(3 * info.piece_len as usize);
        self.piece_len.set(info.piece_len);
        *self.info.borrow_mut() = Some(info.clone());
        *self.metainfo.borrow_mut() = Some(metainfo.clone());
        *self.store.borrow_mut() = Some(store.clone());

        let count = info.piece_count();
        self.count_bytes(&Bitfield::new(count), &self.wanted());
        self.set_state(TorrentState::Checking);
        if self.options.trusted {
            self.check(Bitfield::full(count), Vec::new());
        } else if self.options.read_only {
            self.check(Bitfield::new(count), (0..count).map(PieceIndex).collect());
        } else {
            let (tag, journal) = (self.disk_tag(None), self.journal_path());
            self.submit(DiskJob::Prepare { store, tag, journal });
        }
        Ok(())
    }

    /// The journal is open: what it vouches for is had, the rest is looked at.
    fn prepared(self: &Rc<Self>, journal: Journal, resume: Resume) {
        if let Some(metainfo) = &*self.metainfo.borrow() {
            journal.set_info_bytes(metainfo.info_bytes.clone());
        }
        *self.journal.borrow_mut() = Some(Arc::new(journal));
        let Resume { have, recheck, totals, layers, origin } = resume;
        tracing::debug!(?origin, have = have.count_ones(), unsure = recheck.len(), "resuming");
        self.earlier.set(totals);
        self.take_layers(layers);
        self.check(have, recheck);
    }

    /// Hashes what nobody vouches for, then begins.
    fn check(self: &Rc<Self>, have: Bitfield, unsure: Vec<PieceIndex>) {
        let store = self.store.borrow().clone();
        let job = store.filter(|_| !unsure.is_empty());
        let job = job.map(|store| Recheck::of(store, self.disk_tag(None), unsure));
        *self.checking.borrow_mut() = Some(Checking { have, bytes: 0, job: job.clone() });
        match job {
            Some(job) => self.submit(DiskJob::Recheck(job)),
            None => self.checked(),
        }
    }

    fn journal_path(&self) -> std::path::PathBuf {
        let folder = self.options.state_dir.as_ref().unwrap_or(&self.options.dir);
        Journal::path_in(folder, &self.hashes)
    }

    /// The files are checked: the swarm can begin.
    fn checked(self: &Rc<Self>) {
        let Some(checking) = self.checking.borrow_mut().take() else { return };
        let Some(metainfo) = self.metainfo.borrow().clone() else { return };
        let info = metainfo.info.clone();
        self.set_state(TorrentState::Downloading);
        if let (Some(_), Some(journal)) = (&checking.job, &*self.journal.borrow()) {
            journal.record(&checking.have.ones().map(PieceIndex).collect::<Vec<_>>());
            self.journal_told.notify_one();
        }
        let wanted = self.wanted();
        self.count_bytes(&checking.have, &wanted);
        self.prioritize();
        let content = Content {
            wanted,
            info,
            info_bytes: metainfo.info_bytes.clone(),
            piece_layers: metainfo.piece_layers.clone(),
            have: checking.have,
        };
        self.command(Command::Begin(Box::new(content)));
        self.pieces_known();
        self.spawn_web_seeds();
    }

    /// Others bring these pieces: they are not fetched from now on. Replaces what was said before.
    pub(in crate::session) fn leave(self: &Rc<Self>, pieces: Bitfield) {
        *self.elsewhere.borrow_mut() = Some(pieces);
        // What is not known yet is wanted when it is.
        let Some(have) = self.have() else { return };
        let wanted = self.wanted();
        self.count_bytes(&have, &wanted);
        self.command(Command::Want(wanted));
    }

    /// Pieces of the selected files that nobody else brings.
    fn wanted(&self) -> Bitfield {
        let mut wanted = self.selected();
        if let Some(elsewhere) = self.elsewhere.borrow().as_ref() {
            for piece in elsewhere.ones() {
                wanted.clear(piece);
            }
        }
        wanted
    }

    /// Pieces of the selected files.
    fn selected(&self) -> Bitfield {
        let info = self.info.borrow();
        let Some(info) = info.as_ref() else { return Bitfield::new(0) };
        let selection = self.selection.borrow();
        let Some(selection) = selection.as_ref() else {
            return Bitfield::full(info.piece_count());
        };
        let mut wanted = Bitfield::new(info.piece_count());
        for file in selection.iter().filter_map(|&index| info.files.get(index)) {
            let piece_len = u64::from(info.piece_len);
            if file.len > 0 {
                let last = (file.offset + file.len - 1) / piece_len;
                for piece in file.offset / piece_len..=last {
                    wanted.set(piece as u32);
                }
            }
        }
        wanted
    }

    /// The info dictionary has come from peers, or from the journal.
    pub(super) fn metadata_here(self: &Rc<Self>, info_bytes: Arc<[u8]>) {
        let Source::Magnet(magnet) = &self.options.source else { return };
        let trackers = magnet.trackers.iter().map(|url| vec![url.clone()]).collect();
        match Metainfo::from_info(info_bytes, trackers, magnet.web_seeds.clone()) {
            Ok(metainfo) if self.options.hold => {
                *self.info.borrow_mut() = Some(metainfo.info.clone());
                *self.metainfo.borrow_mut() = Some(Arc::new(metainfo));
                self.set_state(TorrentState::Selecting);
            }
            Ok(metainfo) => self.load_or_fail(Arc::new(metainfo)),
            Err(error) => self.fail_for(&error),
        }
    }

    fn load_or_fail(self: &Rc<Self>, metainfo: Arc<Metainfo>) {
        if let Err(error) = self.load(metainfo) {
            self.fail_for(&error);
        }
    }

    /// The files of a torrent that waited for this are chosen.
    pub(in crate::session) fn select(self: &Rc<Self>, files: Vec<usize>) {
        if self.state() != TorrentState::Selecting || self.stopped.get() {
            return;
        }
        *self.selection.borrow_mut() = Some(files);
        let metainfo = self.metainfo.borrow().clone();
        if let Some(metainfo) = metainfo {
            self.load_or_fail(metainfo);
        }
    }

    /// A v2 piece layer has come from peers.
    pub(super) fn layer_here(&self, file: usize, layer: &[[u8; 32]]) {
        if let Some(store) = &*self.store.borrow() {
            store.set_piece_layer(file, layer);
            self.news.send_replace(());
        }
        if let Some(journal) = &*self.journal.borrow() {
            journal.set_piece_layer(file, layer);
        }
        let mut metainfo = self.metainfo.borrow_mut();
        if let Some(metainfo) = metainfo.as_mut()
            && let Some(known) = Arc::make_mut(metainfo).piece_layers.get_mut(file)
        {
            *known = layer.to_vec();
        }
    }

    pub(super) fn verify(self: &Rc<Self>, piece: PieceIndex) {
        let data = self.pieces.borrow_mut().take(piece);
        let (Some(data), Some(store)) = (data, self.store.borrow().clone()) else { return };
        self.verifying.set(self.verifying.get() + 1);
        // The good bytes of a piece that failed before tell who lied; later they are gone.
        if self.core.borrow().swarm.suspects(piece) {
            self.suspects.borrow_mut().insert(piece, block_digests(&data));
        }
        let data = PieceData::Memory(data);
        self.submit(DiskJob::Verify { store, tag: self.disk_tag(None), piece, data });
    }

    fn submit(self: &Rc<Self>, job: DiskJob) {
        if let Err(job) = self.shared.disk.submit(job) {
            // The queue is full: it goes in as soon as an answer has come out.
            self.shared.waiting_jobs.borrow_mut().push_back(job);
        }
    }

    /// A tag by which answers find this torrent, and a connection of it.
    fn disk_tag(&self, conn: Option<ConnId>) -> u64 {
        self.tag << 32 | conn.map_or(0, |conn| u64::from(conn.0))
    }

    /// An answer from a disk thread. `tag` is what came back with it.
    pub(in crate::session) fn on_disk(self: &Rc<Self>, event: DiskEvent) {
        match event {
            DiskEvent::Verified { piece, result, data, .. } => {
                self.verifying.set(self.verifying.get() - 1);
                let digests = self.suspects.borrow_mut().remove(&piece);
                let good = matches!(result, Ok(Verdict::Good));
                let bad = data.filter(|_| matches!(result, Ok(Verdict::Bad { .. })));
                if let Some(digests) = bad.as_deref().map(block_digests).or(digests)
                    && result.is_ok()
                {
                    self.input(|swarm, cx| swarm.judge(piece, good, &digests, cx));
                }
                drop(bad);
                for waker in self.memory_waiters.borrow_mut().drain(..) {
                    waker.wake();
                }
                match result {
                    Ok(verdict) => {
                        let ok = matches!(verdict, Verdict::Good);
                        self.input(|swarm, cx| swarm.on_verified(piece.0, ok, cx));
                    }
                    Err(error) => {
                        self.input(|swarm, cx| swarm.on_verified(piece.0, false, cx));
                        self.fail_for(&error);
                        self.command(Command::Stop);
                    }
                }
                if self.stopped.get() {
                    // The journal waits for what is being verified.
                    self.journal_told.notify_one();
                }
            }
            DiskEvent::Rechecked { good, bad, .. } => {
                let info = self.info.borrow().clone();
                let (Some(info), Some(checking)) = (info, &mut *self.checking.borrow_mut()) else {
                    return;
                };
                for piece in good.iter().chain(&bad) {
                    checking.bytes += u64::from(info.piece_size(*piece));
                }
                good.iter().for_each(|piece| _ = checking.have.set(piece.0));
                self.shared.changed(self.tag);
            }
            DiskEvent::RecheckDone { error, .. } => {
                if let Some(error) = error {
                    tracing::warn!(%error, "while checking");
                }
                self.checked();
            }
            DiskEvent::Read { tag, piece, begin, result, data } => {
                let conn = ConnId(tag as u32);
                let block = Block { piece, begin, len: data.len() as u32 };
                self.cold_read(conn, block, result.map(|()| data.to_vec()));
            }
            DiskEvent::Leaves { tag, result, piece } => {
                let conn = ConnId(tag as u32);
                let asked = self.leaf_reads.borrow_mut().remove(&(conn, piece));
                for range in asked.unwrap_or_default() {
                    let leaves = result.as_ref().ok().cloned();
                    self.command(Command::Leaves(conn, range, leaves));
                }
            }
            DiskEvent::Prepared { result, .. } => match result {
                Ok(prepared) => {
                    let (journal, resume) = *prepared;
                    self.prepared(journal, resume);
                }
                Err(error) => self.fail(&error),
            },
            DiskEvent::Flushed { result, .. } => {
                if let Err(error) = result {
                    for &piece in &error.lost {
                        self.discount_piece(piece);
                        self.command(Command::Lost(piece));
                    }
                    self.fail(&error.source);
                }
                self.flushed.notify_one();
            }
            DiskEvent::Written { .. } => {}
        }
    }

    fn cold_read(self: &Rc<Self>, conn: ConnId, block: Block, result: Result<Vec<u8>, StoreError>) {
        let mut failed = None;
        self.with_conn(conn, |handle| {
            let mut queue = handle.queue.borrow_mut();
            match result {
                Ok(bytes) => queue.cold = Cold::Ready(block, bytes),
                Err(error) => {
                    queue.cold = Cold::None;
                    queue.blocks.retain(|other| *other != block);
                    failed = Some(error);
                }
            }
        });
        if let Some(error) = failed {
            self.lost(block.piece, &error);
            self.block_dropped(conn, block);
        }
    }

    /// Appends a block of ours to `out`, unless its bytes are cold: then a disk thread reads it.
    pub(in crate::session) fn read_block(
        self: &Rc<Self>,
        handle: &ConnHandle,
        block: Block,
        out: &mut Vec<u8>,
    ) -> BlockRead {
        let Some(store) = self.store.borrow().clone() else { return BlockRead::Failed };
        let begin = out.len();
        out.resize(begin + block.len as usize, 0);
        match store.read_cached(block.piece, block.begin, &mut out[begin..]) {
            Ok(true) => BlockRead::Done,
            Ok(false) => {
                let Some(data) = self.read_pool.try_take(block.len as usize) else {
                    return BlockRead::Failed;
                };
                let tag = self.disk_tag(Some(handle.id));
                let Block { piece, begin, .. } = block;
                self.submit(DiskJob::Read { store, tag, piece, begin, data });
                BlockRead::Later
            }
            Err(error) => {
                self.lost(block.piece, &error);
                BlockRead::Failed
            }
        }
    }

    /// A stored piece cannot be read any more.
    fn lost(self: &Rc<Self>, piece: PieceIndex, error: &StoreError) {
        tracing::warn!(piece = piece.0, %error, "a stored piece is gone");
        self.discount_piece(piece);
        self.command(Command::Lost(piece));
        if self.options.read_only {
            self.fail_for(&error);
        }
    }

    /// Fetches leaf hashes for a peer (BEP 52).
    pub(super) fn read_leaves(self: &Rc<Self>, conn: ConnId, range: HashRange, piece: PieceIndex) {
        let Some(store) = self.store.borrow().clone() else { return };
        let mut reads = self.leaf_reads.borrow_mut();
        let asked = reads.entry((conn, piece)).or_default();
        asked.push(range);
        if asked.len() == 1 {
            self.submit(DiskJob::Leaves { store, tag: self.disk_tag(Some(conn)), piece });
        }
    }

    fn fail(self: &Rc<Self>, error: &StoreError) {
        tracing::error!(%error, "storage failed");
        self.fail_for(&error);
        self.command(Command::Stop);
    }

    /// Brings verified pieces into the journal as they become due, and at the end.
    pub(super) async fn run_journal(self: Rc<Self>) {
        while !(self.stopped.get() && self.verifying.get() == 0) {
            // Most torrents have nothing to write most of the time.
            let due = async {
                self.journal_told.notified().await;
                tokio::time::sleep(JOURNAL_INTERVAL).await;
            };
            tokio::select! {
                () = due => {}
                () = self.stopping.notified() => {}
            }
            let journal = self.journal.borrow().clone();
            if journal.is_some_and(|journal| journal.is_due(std::time::Instant::now())) {
                // Nothing is written any more once all is here: then there is nothing left to say at
                // the end, when thousands would want to say it at once.
                let whole = self.state() == TorrentState::Seeding && self.verifying.get() == 0;
                self.flush_journal(whole).await;
            } else {
                self.journal_told.notify_one();
            }
        }
        self.flush_journal(true).await;
        self.journalled.set(true);
        self.shared.settled.notify_waiters();
    }

    async fn flush_journal(self: &Rc<Self>, close: bool) {
        let (Some(journal), Some(store)) =
            (self.journal.borrow().clone(), self.store.borrow().clone())
        else {
            return;
        };
        let earlier = self.earlier.get();
        let totals = self.core.borrow().swarm.totals();
        journal.set_totals(Totals {
            downloaded: earlier.downloaded + totals.downloaded,
            uploaded: earlier.uploaded + totals.uploaded,
        });
        self.submit(DiskJob::Flush { store, tag: self.disk_tag(None), journal, close });
        self.flushed.notified().await;
    }

    /// Takes in piece layers that the journal remembers, as far as they match their roots.
    fn take_layers(&self, layers: Vec<(usize, Vec<[u8; 32]>)>) {
        let Some(info) = self.info.borrow().clone() else { return };
        for (index, layer) in layers {
            let shape = info
                .files
                .get(index)
                .and_then(|file| FileShape::new(file.pieces_root?, file.len, info.piece_len));
            if shape.is_some_and(|shape| FileTree::new(shape, &layer).is_some()) {
                self.layer_here(index, &layer);
            }
        }
    }
}
