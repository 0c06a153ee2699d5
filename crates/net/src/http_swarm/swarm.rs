//! The hosts of one network that take part in a download: who is asked for which block, and when one
//! is given up.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use search::gnutella::servent::is_dialable;
use search::gnutella::{Guid, Sha1};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Network;
use super::fetch::connect;
use super::shares::lock;
use super::source::{Answer, Source};
use super::want::{FetchError, Fetched, From, Gave, KNOWN_MAX, Want};
use crate::download::{Claim, Download};

/// Sources that are used at once.
const SOURCES_MAX: usize = 8;
/// How often a source is tried.
const TRIES_MAX: u8 = 3;
/// How long a source is left alone that failed, or has not got what is missing.
const REST: Duration = Duration::from_secs(2);
/// How often a source may have nothing that is missing, in a row.
const IDLE_MAX: u8 = 15;
/// Alternate locations that are told with a request.
const ALTERNATES_TOLD: usize = 8;

/// What one network does for a download.
pub(super) struct Swarm<N> {
    network: Arc<N>,
    download: Download,
    sha1: Sha1,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(From, u8)>,
    known: HashSet<(SocketAddr, Option<Guid>)>,
    fetched: Fetched,
}

impl State {
    fn hear(&mut self, from: From, tries: u8) {
        if self.known.len() < KNOWN_MAX && self.known.insert(from.key()) {
            self.queue.push_back((from, tries));
        }
    }
}

impl<N: Network> Swarm<N> {
    pub(super) fn new(network: &Arc<N>, download: &Download, sha1: Sha1) -> Arc<Self> {
        let (network, download) = (network.clone(), download.clone());
        Arc::new(Self { network, download, sha1, state: Mutex::default() })
    }

    /// Lets sources work until everything is there, or none is left, in `want` or in the network.
    pub(super) async fn run(self: Arc<Self>, want: &Want) -> Result<Fetched, FetchError> {
        for from in &want.sources {
            lock(&self.state).hear(from.clone(), 0);
        }
        let mut asked = self.network.seek(want.sha1).await;
        let asked_until = Instant::now() + N::SEEKING;
        let mut workers = JoinSet::new();
        loop {
            let changed = self.download.changed();
            let (missing, blocks) = self.download.missing();
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
                // What was found counts before nothing more is waited for.
                biased;
                Some(worked) = workers.join_next() => match worked {
                    Ok(Ok(())) => {}
                    Ok(Err(source)) => {
                        return Err(FetchError::Disk { path: self.download.path(), source });
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
                // Others may bring the last block.
                () = changed, if !is_idle || asked.is_some() => {}
                else => return Err(FetchError::NoSource { missing, blocks }),
            }
        }
    }

    fn hear(&self, from: From, tries: u8) {
        if Some(from.addr) != self.network.exchange().node() || from.push.is_some() {
            lock(&self.state).hear(from, tries);
        }
    }

    /// Takes blocks from one source; an error is one of our own disk.
    async fn work(self: Arc<Self>, from: From, tries: u8) -> io::Result<()> {
        if tries > 0 {
            tokio::time::sleep(REST).await;
        }
        let result = match connect(&*self.network, &from).await {
            Ok(source) => {
                let _counted = self.download.take_part();
                self.take_from(source, &from).await
            }
            Err(error) => Err(Trouble::Source(error)),
        };
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
            let changed = self.download.changed();
            let Some(claim) = self.claim(&source, &lacks) else {
                if self.download.is_complete() || idle >= IDLE_MAX {
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
            let block = claim.block;
            match self.block(&mut source, block).await? {
                Got::Busy(wait) => {
                    // Others may fetch it meanwhile.
                    drop(claim);
                    self.await_turn(&mut source, from, wait).await?;
                }
                Got::All(bytes) => {
                    idle = 0;
                    let identity = source.identity;
                    let gave = Gave { addr: from.addr, identity, bytes: 0, took: began.elapsed() };
                    self.keep(claim, bytes, source.is_at(from.addr), gave).await?;
                }
                Got::Nothing => {
                    lacks.insert(block);
                }
            }
            for addr in source.alternates.drain(..) {
                if is_dialable(addr, self.network.exchange().local) {
                    self.hear(From { addr, push: None }, TRIES_MAX - 1);
                }
            }
        }
    }

    /// The first block that is missing and that a source may have.
    fn claim(&self, source: &Source, lacks: &HashSet<usize>) -> Option<Claim<'_>> {
        self.download.claim(|block| {
            let (start, end) = self.download.range(block);
            !lacks.contains(&block)
                && source
                    .available
                    .as_ref()
                    .is_none_or(|runs| runs.iter().any(|run| run.start <= start && end <= run.end))
        })
    }

    /// Waits until a source has a slot for us, or for the end of the download.
    async fn await_turn(
        &self,
        source: &mut Source,
        from: &From,
        wait: Duration,
    ) -> Result<(), Trouble> {
        let calls = &self.network.exchange().calls;
        let mut called = source.ticket().map(|(ticket, host)| calls.wait(ticket, host));
        let called = async {
            match &mut called {
                Some(called) => called.await.ok(),
                None => None,
            }
        };
        tokio::select! {
            Some((stream, read)) = called => source.move_to(stream, read),
            () = self.download.completed() => {}
            () = tokio::time::sleep(wait) => if source.is_over(wait) {
                let again = connect(&*self.network, from).await.map_err(Trouble::Source)?;
                let (stream, read) = again.into_given();
                source.move_to(stream, read);
            },
        }
        Ok(())
    }

    /// All bytes of a block, however many answers they take.
    async fn block(&self, source: &mut Source, block: usize) -> Result<Got, Trouble> {
        let (start, end) = self.download.range(block);
        let mut bytes = Vec::new();
        let mut told = self.download.share().map(|share| share.alternates()).unwrap_or_default();
        told.truncate(ALTERNATES_TOLD);
        while start + (bytes.len() as u64) < end {
            let at = start + bytes.len() as u64;
            match source.get(self.sha1, at..end, &told).await.map_err(Trouble::Source)? {
                Answer::Bytes { total, .. } if total.is_some_and(|n| n != self.download.len()) => {
                    return Err(Trouble::Liar);
                }
                Answer::Bytes { bytes: more, .. } if more.is_empty() => return Ok(Got::Nothing),
                Answer::Bytes { bytes: more, .. } => bytes.extend(more),
                Answer::Busy(wait) => return Ok(Got::Busy(wait)),
                Answer::Without => return Ok(Got::Nothing),
                Answer::Stranger => return Err(Trouble::Stranger),
            }
            told.clear();
        }
        Ok(Got::All(bytes))
    }

    async fn keep(
        &self,
        claim: Claim<'_>,
        bytes: Vec<u8>,
        is_open: bool,
        gave: Gave,
    ) -> Result<(), Trouble> {
        let (block, len) = (claim.block, bytes.len() as u64);
        let kept = self.download.keep(claim, bytes).await.map_err(Trouble::Disk)?;
        let mut state = lock(&self.state);
        if !kept {
            state.fetched.bad_blocks += 1;
            tracing::warn!(addr = %gave.addr, block, "a block that is not what it should be");
            return Err(Trouble::Liar);
        }
        if let (true, Some(share)) = (is_open, self.download.share()) {
            share.learn(gave.addr);
        }
        let from = &mut state.fetched.from;
        let at = from.iter().position(|all| all.addr == gave.addr).unwrap_or(from.len());
        if at == from.len() {
            from.push(Gave { took: Duration::ZERO, ..gave });
        }
        from[at].bytes += len;
        from[at].took += gave.took;
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

/// What a source gives of a block.
enum Got {
    All(Vec<u8>),
    /// It has not got it.
    Nothing,
    /// We have to wait for so long, or until we are called.
    Busy(Duration),
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
