//! Requests of the machine as reads of HTTP: runs of blocks that lie one behind the other become one
//! `GET`, and its body becomes blocks again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use bittorrent::id::Block;
use bittorrent::peer_wire::Frame;
use bittorrent::swarm::CloseReason;
use bittorrent::web_seed::{self, Origin};
use hyper::StatusCode;
use url::Url;

use super::{Failure, Style, WebSeed};
use crate::http_client::{Get, Response};
use crate::session::conn::ConnHandle;
use crate::session::throttle::Turns;

/// Bytes of one run at most.
const RUN_MAX: u64 = 4 * 1024 * 1024;
/// Bytes that must be asked for besides the run under way, for a second one to begin beside it: it
/// hides the round trip between two responses.
const SECOND_MIN: u64 = 1024 * 1024;
/// Bytes that are read and thrown away where a server sends a file from its beginning.
const SKIP_MAX: u64 = 1024 * 1024;
/// A quiet web seed counts as alive; the machine hears so this often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(60);
/// Pause when a BEP 17 server is busy and does not say for how long.
const BUSY_PAUSE: Duration = Duration::from_secs(30);
/// Bytes of a number of seconds in words.
const SECONDS_LEN: usize = 64;

/// A web seed while it is a peer.
pub(super) struct Link<'a> {
    seed: &'a WebSeed,
    handle: &'a Rc<ConnHandle>,
    /// Blocks of runs under way.
    claimed: RefCell<BTreeSet<Block>>,
    failure: RefCell<Option<Failure>>,
    blocks: Cell<u64>,
}

impl<'a> Link<'a> {
    pub(super) fn new(seed: &'a WebSeed, handle: &'a Rc<ConnHandle>) -> Self {
        let (claimed, failure) = (RefCell::default(), RefCell::default());
        Self { seed, handle, claimed, failure, blocks: Cell::new(0) }
    }

    /// How many blocks have come.
    pub(super) fn blocks(&self) -> u64 {
        self.blocks.get()
    }

    /// Serves requests until something ends it.
    pub(super) async fn run(&self) -> Failure {
        let (_, _, why) = tokio::join!(self.lane(0), self.lane(SECOND_MIN), self.stay_alive());
        self.failure.borrow_mut().take().unwrap_or(Failure::Closed(why))
    }

    /// Fetches one run after the other, each when at least `min` bytes of requests are open.
    async fn lane(&self, min: u64) {
        let turns = Turns::default();
        while let Some(run) = self.next_run(min).await {
            let fetched = tokio::select! {
                _ = self.closed() => return,
                fetched = self.fetch(&run, &turns) => fetched,
            };
            let mut claimed = self.claimed.borrow_mut();
            run.iter().for_each(|block| _ = claimed.remove(block));
            drop(claimed);
            if let Err(failure) = fetched {
                // Lanes end together.
                self.failure.borrow_mut().get_or_insert(failure);
                return self.handle.close(CloseReason::Gone);
            }
        }
    }

    async fn closed(&self) -> CloseReason {
        poll_fn(|cx| {
            self.handle.set_waker(cx.waker());
            self.handle.closing().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    async fn stay_alive(&self) -> CloseReason {
        loop {
            tokio::select! {
                why = self.closed() => return why,
                () = tokio::time::sleep(ALIVE_INTERVAL) => {
                    self.seed.torrent.frame(self.handle, Frame::KeepAlive);
                }
            }
        }
    }

    /// Waits for requests; `None` when the peer is to end.
    async fn next_run(&self, min: u64) -> Option<Vec<Block>> {
        poll_fn(|cx| {
            self.handle.set_waker(cx.waker());
            if self.handle.is_closing() {
                return Poll::Ready(None);
            }
            self.take_run(min).map_or(Poll::Pending, |run| Poll::Ready(Some(run)))
        })
        .await
    }

    /// The oldest open request and those that join it.
    fn take_run(&self, min: u64) -> Option<Vec<Block>> {
        let queue = &mut *self.handle.queue.borrow_mut();
        // Nobody reads what is said to a web seed; its requests are in `expected`.
        queue.frames.clear();
        let mut claimed = self.claimed.borrow_mut();
        let unclaimed = |block: &&Block| !claimed.contains(*block);
        let mut open: Vec<Block> = queue.expected.iter().filter(unclaimed).copied().collect();
        let first = *open.first()?;
        if open.iter().map(|block| u64::from(block.len)).sum::<u64>() < min {
            return None;
        }
        open.sort_unstable();
        open.dedup();
        let at = open.binary_search(&first).ok()?;
        let mut run = open.split_off(at);
        if self.seed.style == Style::Pieces {
            run.retain(|block| block.piece == first.piece);
        }
        run.truncate(web_seed::run_len(&self.seed.info, &run, RUN_MAX));
        claimed.extend(run.iter().copied());
        Some(run)
    }

    async fn fetch(&self, run: &[Block], turns: &Turns) -> Result<(), Failure> {
        let mut sink = Sink { link: self, run, gathered: Vec::new() };
        if self.seed.style == Style::Pieces {
            return self.fetch_piece(&mut sink, turns).await;
        }
        for read in web_seed::reads(&self.seed.info, run) {
            match read.from {
                Origin::Zeros => {
                    self.memory().await;
                    sink.push_zeros(read.len);
                }
                Origin::File(file, offset) => {
                    self.fetch_file(file, offset, read.len, &mut sink, turns).await?;
                }
            }
            if !sink.is_wanted() {
                break;
            }
        }
        Ok(())
    }

    /// Reads a range of a file (BEP 19).
    async fn fetch_file(
        &self,
        file: usize,
        offset: u64,
        len: u64,
        sink: &mut Sink<'_>,
        turns: &Turns,
    ) -> Result<(), Failure> {
        let useless = |why: &str| Failure::Useless(why.to_owned());
        let info = &self.seed.info;
        let url = web_seed::file_url(self.seed.url.as_str(), info, file);
        let url = url.ok_or_else(|| useless("a file has a path that no URL can have"))?;
        let whole = info.files.get(file).map_or(0, |file| file.len);
        let mut response = self.get(&url, Some((offset, len))).await?;
        let skip = match response.status {
            StatusCode::PARTIAL_CONTENT => {
                let Some((first, said)) = response.range else {
                    return Err(useless("a part without Content-Range"));
                };
                if said.is_some_and(|said| said != whole) {
                    return Err(useless("a file of another length"));
                }
                if first != offset {
                    return Err(useless("another part than asked for"));
                }
                0
            }
            StatusCode::OK => {
                if response.body_len().is_some_and(|said| said != whole) {
                    return Err(useless("a file of another length"));
                }
                if offset > SKIP_MAX {
                    return Err(useless("the server sends no parts"));
                }
                offset
            }
            status => return Err(refusal(status, response.retry_after)),
        };
        self.read_body(&mut response, skip, len, sink, turns).await
    }

    /// Reads a run of a piece (BEP 17).
    async fn fetch_piece(&self, sink: &mut Sink<'_>, turns: &Turns) -> Result<(), Failure> {
        let (Some(first), Some(last)) = (sink.run.first(), sink.run.last()) else { return Ok(()) };
        let hash = self.seed.torrent.hashes.primary();
        let hash = hash.ok_or_else(|| Failure::Useless("a torrent without a name".into()))?;
        let run: Range<u32> = first.begin..last.begin + last.len;
        let whole = 0..self.seed.info.piece_size(first.piece);
        let part = (run != whole).then(|| run.clone());
        let url = web_seed::piece_url(self.seed.url.as_str(), hash, first.piece, part);
        let mut response = self.get(&url, None).await?;
        match response.status {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => return Err(busy(response).await),
            status => return Err(refusal(status, response.retry_after)),
        }
        let len = run.len() as u64;
        if response.body_len().is_some_and(|said| said != len) {
            return Err(Failure::Useless("another number of bytes than asked for".into()));
        }
        self.read_body(&mut response, 0, len, sink, turns).await
    }

    async fn get(&self, url: &str, range: Option<(u64, u64)>) -> Result<Response, Failure> {
        let url = Url::parse(url).map_err(|error| Failure::Useless(format!("{url}: {error}")))?;
        let get = Get { purpose: self.seed.purpose, range, family: None };
        Ok(self.seed.torrent.shared.http.get(&url, get).await?)
    }

    /// Reads `len` bytes of a body behind `skip` others, within the download limit.
    async fn read_body(
        &self,
        response: &mut Response,
        mut skip: u64,
        len: u64,
        sink: &mut Sink<'_>,
        turns: &Turns,
    ) -> Result<(), Failure> {
        let rest_follows = response.body_len() != Some(skip + len);
        let mut left = len;
        while left > 0 {
            self.memory().await;
            let Some(chunk) = response.chunk().await? else {
                return Err(Failure::Later("the response ended early".into(), None));
            };
            self.spend(chunk.len() as u64, turns).await;
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let bytes = &chunk[skipped as usize..];
            let taken = left.min(bytes.len() as u64);
            left -= taken;
            sink.push(&bytes[..taken as usize]);
            if left > 0 && !sink.is_wanted() {
                return Ok(());
            }
        }
        if !rest_follows {
            // Having seen the end, the connection can be used again.
            response.chunk().await?;
        }
        Ok(())
    }

    /// Waits until pieces being verified leave room for more.
    async fn memory(&self) {
        let torrent = &self.seed.torrent;
        poll_fn(|cx| match torrent.waits_for_memory(cx.waker()) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// Waits until the download limit allows what has been read, so that no more is read before.
    async fn spend(&self, mut bytes: u64, turns: &Turns) {
        let torrent = &self.seed.torrent;
        let (lane, session) = (&torrent.throttle.down, &torrent.limits().down);
        while bytes > 0 {
            bytes -= poll_fn(|cx| match lane.take(session, bytes, turns, cx.waker()) {
                0 => Poll::Pending,
                granted => Poll::Ready(granted),
            })
            .await;
        }
    }
}

/// What becomes of a web seed that answers by a status of failure.
fn refusal(status: StatusCode, retry_after: Option<Duration>) -> Failure {
    let passing = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if passing {
        Failure::Later(status.to_string(), retry_after)
    } else {
        Failure::Useless(status.to_string())
    }
}

/// A BEP 17 server is busy: its body says for how many seconds.
async fn busy(response: Response) -> Failure {
    let pause = response.retry_after.unwrap_or(BUSY_PAUSE);
    let body = response.bytes(SECONDS_LEN).await.unwrap_or_default();
    let said = std::str::from_utf8(&body).ok().and_then(|text| text.trim().parse().ok());
    Failure::Later("busy".into(), Some(said.map_or(pause, Duration::from_secs)))
}

/// Cuts bytes into the blocks of a run.
struct Sink<'a> {
    link: &'a Link<'a>,
    /// The rest of it.
    run: &'a [Block],
    /// The beginning of its first block.
    gathered: Vec<u8>,
}

impl Sink<'_> {
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some((&block, rest)) = self.run.split_first() {
            let missing = block.len as usize - self.gathered.len();
            let Some((came, more)) = bytes.split_at_checked(missing) else {
                return self.gathered.extend_from_slice(bytes);
            };
            self.run = rest;
            bytes = more;
            if self.gathered.is_empty() {
                self.link.deliver(block, came);
            } else {
                self.gathered.extend_from_slice(came);
                self.link.deliver(block, &self.gathered);
                self.gathered.clear();
            }
        }
    }

    fn push_zeros(&mut self, mut len: u64) {
        let zeros = [0; 4096];
        while len > 0 {
            let some = len.min(zeros.len() as u64);
            self.push(&zeros[..some as usize]);
            len -= some;
        }
    }

    /// Whether any block of the rest is still asked for.
    fn is_wanted(&self) -> bool {
        let queue = self.link.handle.queue.borrow();
        self.run.iter().any(|block| queue.expected.contains(block))
    }
}

impl Link<'_> {
    /// Hands in a block, unless it has been cancelled meanwhile.
    fn deliver(&self, block: Block, bytes: &[u8]) {
        let torrent = &self.seed.torrent;
        self.claimed.borrow_mut().remove(&block);
        let asked = self.handle.queue.borrow().expected.contains(&block);
        if asked && !self.handle.is_closing() && torrent.payload_head(self.handle, block) {
            self.blocks.set(self.blocks.get() + 1);
            torrent.block_here(self.handle, block, Some(bytes));
        }
    }
}
