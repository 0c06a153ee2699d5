//! The thread of an index: questions come in order, and are answered in order.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use search::napster::index::{Counts, Index, MemoryIndex, Owner};
use search::napster::server::{Ask, Command, Indexed, answer};
use search::napster::{FileHash, Hit, Nick, Query, SharedFile, Text, Twin};
use tokio::sync::mpsc;

use super::database::{DatabaseError, DatabaseIndex};
use super::log::Log;
use super::{Input, LogError, ServerConfig, ServerError};

/// How often what was written is made to reach the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

type Asked = (u64, Ask);

/// The thread, from outside.
pub(super) struct IndexThread {
    asks: Option<Sender<Asked>>,
    thread: Option<JoinHandle<()>>,
}

impl IndexThread {
    pub(super) async fn start(
        config: &ServerConfig,
        inputs: mpsc::Sender<Input>,
    ) -> Result<Self, ServerError> {
        let (asks, asked) = channel();
        let config = config.clone();
        // A long log takes its time, and so may a database.
        let opened = tokio::task::spawn_blocking(move || open(&config, asked, inputs)).await;
        let serve = opened.map_err(|error| ServerError::Start(io::Error::other(error)))??;
        let thread = std::thread::Builder::new().name("napster-index".into()).spawn(serve);
        let thread = thread.map_err(ServerError::Start)?;
        Ok(Self { asks: Some(asks), thread: Some(thread) })
    }

    pub(super) fn ask(&self, question: u64, ask: Ask) {
        // If the thread has ended, so does the server.
        let _ = self.asks.as_ref().map(|asks| asks.send((question, ask)));
    }

    /// Lets it finish, and reach the disk.
    pub(super) async fn end(mut self) {
        self.asks.take();
        let thread = self.thread.take();
        let joined = tokio::task::spawn_blocking(move || thread.map(JoinHandle::join)).await;
        if matches!(joined, Ok(Some(Err(_)))) {
            tracing::error!("the thread of the index panicked");
        }
    }
}

/// Opens what a server is to have for an index. What comes back serves it.
fn open(
    config: &ServerConfig,
    asked: Receiver<Asked>,
    inputs: mpsc::Sender<Input>,
) -> Result<Box<dyn FnOnce() + Send>, ServerError> {
    let until = Instant::now() + config.grace;
    Ok(match &config.database {
        Some(url) => {
            let mut index = DatabaseIndex::open(url, &config.name)?;
            let remembered = index.owners()?.into_iter().collect();
            Box::new(move || serve(index, Remembered { nicks: remembered, until }, &asked, &inputs))
        }
        None => {
            let index = Logged::open(config.state.as_deref())?;
            let remembered = index.owners();
            Box::new(move || serve(index, Remembered { nicks: remembered, until }, &asked, &inputs))
        }
    })
}

/// Users of an earlier run, who have not come back yet.
struct Remembered {
    nicks: BTreeSet<Nick>,
    until: Instant,
}

impl Remembered {
    /// Puts a question, and forgets first whoever comes back: he says anew what he shares.
    fn answer<I: Index>(&mut self, index: &mut I, ask: Ask) -> Result<Indexed, I::Error> {
        if let Ask::Enter(owner) = &ask
            && self.nicks.remove(&owner.nick)
        {
            index.leave(&owner.nick)?;
        }
        answer(index, ask)
    }

    /// Gives up those who have had their time.
    fn expire<I: Index>(&mut self, index: &mut I) -> Result<(), I::Error> {
        if Instant::now() < self.until {
            return Ok(());
        }
        while let Some(nick) = self.nicks.pop_first() {
            index.leave(&nick)?;
        }
        Ok(())
    }
}

/// What an index does when nobody asks.
trait Upkeep: Index {
    fn upkeep(&mut self) -> Result<(), Self::Error>;
}

impl Upkeep for DatabaseIndex {
    /// The database looks after itself.
    fn upkeep(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }
}

fn serve<I>(
    mut index: I,
    mut remembered: Remembered,
    asked: &Receiver<Asked>,
    inputs: &mpsc::Sender<Input>,
) where
    I: Upkeep,
    I::Error: std::fmt::Display,
{
    let mut kept = Instant::now();
    loop {
        let next = asked.recv_timeout(SYNC_EVERY.saturating_sub(kept.elapsed()));
        if kept.elapsed() >= SYNC_EVERY || matches!(next, Err(RecvTimeoutError::Disconnected)) {
            kept = Instant::now();
            let done = remembered.expire(&mut index).and_then(|()| index.upkeep());
            if let Err(error) = done {
                tracing::error!(%error, "keeping the index");
            }
        }
        match next {
            Ok((question, ask)) => {
                let said = remembered.answer(&mut index, ask).unwrap_or_else(|error| {
                    tracing::error!(%error, "asking the index");
                    Indexed::Failed
                });
                let command = Command::Indexed(question, said);
                // When the server ends, what is still asked must nevertheless be done.
                let _ = inputs.blocking_send(Input::Command(command));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// An index in memory and its log.
struct Logged {
    index: MemoryIndex,
    log: Option<Log>,
}

impl Logged {
    fn open(folder: Option<&Path>) -> Result<Self, ServerError> {
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| ServerError::Start(error.into()))?;
        let mut index = MemoryIndex::new(u64::from_le_bytes(seed));
        let opened = folder.map(|folder| Log::open(folder, &mut index));
        let log = opened.transpose().map_err(|error: LogError| ServerError::Log(error))?;
        Ok(Self { index, log })
    }

    fn owners(&self) -> BTreeSet<Nick> {
        self.index.owners().map(|owner| owner.nick.clone()).collect()
    }

    fn logged(&mut self, write: impl FnOnce(&mut Log) -> io::Result<()>) -> io::Result<()> {
        self.log.as_mut().map_or(Ok(()), write)
    }
}

impl Upkeep for Logged {
    fn upkeep(&mut self) -> io::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        log.sync()?;
        log.tidy(&mut self.index)
    }
}

impl Index for Logged {
    type Error = io::Error;

    fn enter(&mut self, owner: &Owner) -> io::Result<()> {
        self.logged(|log| log.enter(owner))?;
        let Ok(()) = self.index.enter(owner);
        Ok(())
    }

    fn leave(&mut self, nick: &Nick) -> io::Result<()> {
        self.logged(|log| log.leave(nick))?;
        let Ok(()) = self.index.leave(nick);
        Ok(())
    }

    fn share(&mut self, nick: &Nick, files: &[SharedFile]) -> io::Result<u32> {
        let mut new = 0;
        for file in files {
            let Ok(added) = self.index.share(nick, std::slice::from_ref(file));
            if added > 0 {
                self.logged(|log| log.share(nick, file))?;
                new += added;
            }
        }
        self.logged(Log::flush)?;
        Ok(new)
    }

    fn unshare(&mut self, nick: &Nick, name: &Text) -> io::Result<bool> {
        self.logged(|log| log.unshare(nick, name))?;
        let Ok(was) = self.index.unshare(nick, name);
        Ok(was)
    }

    fn search(&mut self, query: &Query) -> io::Result<Vec<Hit>> {
        let Ok(hits) = self.index.search(query);
        Ok(hits)
    }

    fn browse(&mut self, nick: &Nick, limit: usize) -> io::Result<Vec<SharedFile>> {
        let Ok(files) = self.index.browse(nick, limit);
        Ok(files)
    }

    fn file(&mut self, nick: &Nick, name: &Text) -> io::Result<Option<(Owner, SharedFile)>> {
        let Ok(found) = self.index.file(nick, name);
        Ok(found)
    }

    fn twins(&mut self, hash: &FileHash, size: u64, limit: usize) -> io::Result<Vec<Twin>> {
        let Ok(twins) = self.index.twins(hash, size, limit);
        Ok(twins)
    }

    fn counts(&mut self) -> io::Result<Counts> {
        Ok(self.index.totals())
    }
}
