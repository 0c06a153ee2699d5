//! The blocks of one file, from many hosts at once: who gives which, and what is believed.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use search::gnutella::Guid;
use search::gnutella::servent::is_dialable;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Network;
use super::fetch::connect;
use super::shares::{Share, lock};
use super::source::{Answer, Source};
use super::want::{FetchError, Fetched, From, Gave, KNOWN_MAX, Progress, Want};

/// Sources that are used at once.
const SOURCES_MAX: usize = 8;
/// How often a source is tried.
const TRIES_MAX: u8 = 3;
/// How long a source is left alone that failed, or has not got what is missing.
const REST: Duration = Duration::from_secs(2);
/// How often a source may have nothing that is missing, in a row.
const IDLE_MAX: u8 = 15;
/// How long the network is asked for sources when there are none.
const ASKING: Duration = Duration::from_secs(10);
/// Alternate locations that are told with a request.
const ALTERNATES_TOLD: usize = 8;

/// One fetch, as its sources see it.
pub(super) struct Swarm<N> {
    network: Arc<N>,
    share: Arc<Share>,
    part: File,
    block: u64,
    blocks: usize,
    state: Mutex<State>,
    changed: Notify,
    told: watch::Sender<Progress>,
}

#[derive(Default)]
struct State {
    /// Blocks that nobody has or fetches.
    missing: BTreeSet<usize>,
    done: usize,
    queue: VecDeque<(From, u8)>,
    known: HashSet<(SocketAddr, Option<Guid>)>,
    fetched: Fetched,
    progress: Progress,
}

impl State {
    fn hear(&mut self, from: From, tries: u8) {
        if self.known.len() < KNOWN_MAX && self.known.insert(from.key()) {
            self.queue.push_back((from, tries));
        }
    }
}

impl<N: Network> Swarm<N> {
    /// A file in blocks of `block` bytes, of which those in `kept` are there.
    pub(super) fn new(
        network: &Arc<N>,
        share: Arc<Share>,
        part: File,
        block: u64,
        blocks: usize,
        kept: &[usize],
        told: watch::Sender<Progress>,
    ) -> Arc<Self> {
        let mut missing: BTreeSet<usize> = (0..blocks).collect();
        for index in kept {
            missing.remove(index);
        }
        let have = share.there_bytes();
        let progress = Progress { have, sources: 0 };
        let state = State { missing, done: kept.len(), progress, ..State::default() };
        let (network, state, changed) = (network.clone(), Mutex::new(state), Notify::new());
        Arc::new(Self { network, share, part, block, blocks, state, changed, told })
    }

    /// Lets sources work until everything is there, or none is left, in `want` or in the network.
    pub(super) async fn run(self: Arc<Self>, want: &Want) -> Result<Fetched, FetchError> {
        for from in &want.sources {
            lock(&self.state).hear(from.clone(), 0);
        }
        let mut asked = self.network.seek(want.sha1).await;
        let mut asked_until = Instant::now() + ASKING;
        let mut workers = JoinSet::new();
        loop {
            self.tell(|_| {});
            let missing = self.blocks - lock(&self.state).done;
            if missing == 0 {
                return Ok(lock(&self.state).fetched.clone());
            }
            while workers.len() < SOURCES_MAX {
                let Some((from, tries)) = lock(&self.state).queue.pop_front() else { break };
                let swarm = self.clone();
                workers.spawn(async move { swarm.work(from, tries).await });
            }
            let is_idle = workers.is_empty();
            tokio::select! {
                Some(worked) = workers.join_next() => match worked {
                    Ok(Ok(())) => asked_until = Instant::now() + ASKING,
                    Ok(Err(source)) => {
                        return Err(FetchError::Disk { path: self.share.path.clone(), source });
                    }
                    Err(error) => tracing::error!(%error, "a source's task"),
                },
                found = next::<N>(&mut asked, want), if asked.is_some() => match found {
                    Some(from) => self.hear(from, 0),
                    None => asked = None,
                },
                () = tokio::time::sleep_until(asked_until), if is_idle && asked.is_some() => {
                    asked = None;
                }
                else => return Err(FetchError::NoSource { missing, blocks: self.blocks }),
            }
        }
    }

    fn hear(&self, from: From, tries: u8) {
        if Some(from.addr) != self.network.exchange().node() || from.push.is_some() {
            lock(&self.state).hear(from, tries);
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        let progress = {
            let mut state = lock(&self.state);
            change(&mut state.progress);
            state.progress
        };
        self.told.send_replace(progress);
    }

    /// Takes blocks from one source; an error is one of our own disk.
    async fn work(self: Arc<Self>, from: From, tries: u8) -> io::Result<()> {
        if tries > 0 {
            tokio::time::sleep(REST).await;
        }
        let result = match connect(&*self.network, &from).await {
            Ok(source) => {
                self.tell(|progress| progress.sources += 1);
                let result = self.take_from(source, &from).await;
                self.tell(|progress| progress.sources -= 1);
                result
            }
            Err(error) => Err(Trouble::Source(error)),
        };
        self.changed.notify_waiters();
        match result {
            Ok(()) | Err(Trouble::Liar | Trouble::Stranger) => Ok(()),
            Err(Trouble::Disk(error)) => Err(error),
            Err(Trouble::Source(error)) => {
                tracing::debug!(addr = %from.addr, %error, "source");
                if tries + 1 < TRIES_MAX {
                    lock(&self.state).queue.push_back((from, tries + 1));
                }
                Ok(())
            }
        }
    }

    async fn take_from(&self, mut source: Source, from: &From) -> Result<(), Trouble> {
        let mut lacks = HashSet::new();
        let mut idle = 0;
        loop {
            let changed = self.changed.notified();
            let (claim, is_over) = self.claim(&source, &lacks);
            let Some(claim) = claim else {
                if is_over || idle >= IDLE_MAX {
                    return Ok(());
                }
                if lacks.is_empty() && source.available.is_none() {
                    // Others fetch what is missing; one of them may give up.
                    changed.await;
                } else {
                    idle += 1;
                    tokio::time::sleep(REST).await;
                    lacks.clear();
                    source.available = None;
                }
                continue;
            };
            let began = Instant::now();
            match self.block(&mut source, claim.block).await? {
                Some(bytes) => {
                    idle = 0;
                    let identity = source.identity;
                    let gave = Gave { addr: from.addr, identity, bytes: 0, took: began.elapsed() };
                    self.keep(claim, bytes, from, gave).await?;
                }
                None => {
                    lacks.insert(claim.block);
                }
            }
            for addr in source.alternates.drain(..) {
                if is_dialable(addr, self.network.exchange().local) {
                    self.hear(From { addr, push: None }, TRIES_MAX - 1);
                }
            }
        }
    }

    /// The first block that is missing and that a source may have; and whether nothing is missing
    /// any more.
    fn claim(&self, source: &Source, lacks: &HashSet<usize>) -> (Option<Claim<'_, N>>, bool) {
        let mut state = lock(&self.state);
        let has = |block: &&usize| {
            let (start, end) = self.range(**block);
            !lacks.contains(*block)
                && source
                    .available
                    .as_ref()
                    .is_none_or(|runs| runs.iter().any(|run| run.start <= start && end <= run.end))
        };
        let block = state.missing.iter().find(has).copied();
        let is_over = state.done == self.blocks;
        let claim = block.map(|block| {
            state.missing.remove(&block);
            Claim { swarm: self, block, kept: false }
        });
        (claim, is_over)
    }

    fn range(&self, block: usize) -> (u64, u64) {
        let start = block as u64 * self.block;
        (start, self.share.file.len.min(start + self.block))
    }

    /// All bytes of a block, however many answers they take; `None` if the source has not got them.
    async fn block(&self, source: &mut Source, block: usize) -> Result<Option<Vec<u8>>, Trouble> {
        let (start, end) = self.range(block);
        let mut bytes = Vec::new();
        let mut told = self.share.alternates();
        told.truncate(ALTERNATES_TOLD);
        while start + (bytes.len() as u64) < end {
            let at = start + bytes.len() as u64;
            match source.get(self.share.file.sha1, at..end, &told).await.map_err(Trouble::Source)? {
                Answer::Bytes { total, .. } if total.is_some_and(|n| n != self.share.file.len) => {
                    return Err(Trouble::Liar);
                }
                Answer::Bytes { bytes: more, .. } if more.is_empty() => return Ok(None),
                Answer::Bytes { bytes: more, .. } => bytes.extend(more),
                Answer::Busy(wait) => tokio::time::sleep(wait).await,
                Answer::Without => return Ok(None),
                Answer::Stranger => return Err(Trouble::Stranger),
            }
            told.clear();
        }
        Ok(Some(bytes))
    }

    async fn keep(
        &self,
        mut claim: Claim<'_, N>,
        bytes: Vec<u8>,
        from: &From,
        gave: Gave,
    ) -> Result<(), Trouble> {
        let block = claim.block;
        let (start, end) = self.range(block);
        let share = self.share.clone();
        let part = self.part.try_clone().map_err(Trouble::Disk)?;
        let kept = tokio::task::spawn_blocking(move || {
            if share.tree().is_some_and(|tree| !tree.verifies(block, &bytes)) {
                return Ok(false);
            }
            part.write_all_at(&bytes, start)?;
            Ok::<_, io::Error>(true)
        });
        let kept = kept.await.map_err(|error| Trouble::Disk(io::Error::other(error)))?;
        if !kept.map_err(Trouble::Disk)? {
            lock(&self.state).fetched.bad_blocks += 1;
            tracing::warn!(addr = %from.addr, block, "a block that is not what it should be");
            return Err(Trouble::Liar);
        }
        claim.kept = true;
        self.share.add(start..end);
        if from.push.is_none() {
            self.share.learn(from.addr);
        }
        {
            let mut state = lock(&self.state);
            state.done += 1;
            let from = &mut state.fetched.from;
            let at = from.iter().position(|all| all.addr == gave.addr).unwrap_or(from.len());
            if at == from.len() {
                from.push(Gave { took: Duration::ZERO, ..gave });
            }
            from[at].bytes += end - start;
            from[at].took += gave.took;
        }
        self.tell(|progress| progress.have += end - start);
        self.changed.notify_waiters();
        Ok(())
    }
}

/// The next that a search finds; never, without one.
async fn next<N: Network>(asked: &mut Option<N::Seek>, want: &Want) -> Option<From> {
    match asked {
        Some(asked) => N::next(asked, want).await,
        None => std::future::pending().await,
    }
}

/// Why no more is taken from a source.
enum Trouble {
    Source(io::Error),
    /// It gave what is not the file.
    Liar,
    /// It has nothing of the file.
    Stranger,
    /// Our own disk.
    Disk(io::Error),
}

/// A block that one source fetches; missing again unless it is kept.
struct Claim<'a, N> {
    swarm: &'a Swarm<N>,
    block: usize,
    kept: bool,
}

impl<N> Drop for Claim<'_, N> {
    fn drop(&mut self) {
        if !self.kept {
            lock(&self.swarm.state).missing.insert(self.block);
            self.swarm.changed.notify_waiters();
        }
    }
}
