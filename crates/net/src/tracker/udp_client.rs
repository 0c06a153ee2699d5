//! The client's side of UDP trackers (BEP 15): connection ids, repetition, and the choice of which
//! datagrams to believe. A request has a socket of its own, connected to the tracker, so that the
//! system drops what comes from elsewhere; sockets and ids are used again for a minute.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::tracker::udp::{
    self, ConnectionId, Family, Response, TransactionId, decode_response,
};
use bittorrent::tracker::{AnnounceRequest, AnnounceResponse, Refusal, ScrapeEntry};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use super::client::TrackerError;
use crate::dialer::Dialer;

/// How long a connection id is of use after it came (BEP 15).
const ID_LIFETIME: Duration = Duration::from_secs(60);
/// How long to wait for the first answer; twice as long for each further one (BEP 15).
const FIRST_WAIT: Duration = Duration::from_secs(15);
/// How often a request is sent at most. BEP 15 would go on for hours; by then the next announce
/// is due, or another tracker has answered.
const ATTEMPTS: u32 = 3;
/// Most connection ids that are kept.
const MAX_KEPT: usize = 64;
/// Longest datagram that is read, in bytes: 900 IPv6 peers.
const MAX_DATAGRAM: usize = 16 * 1024;

pub(super) struct UdpClient {
    dialer: Dialer,
    first_wait: Duration,
    kept: Mutex<Vec<Connection>>,
}

/// A socket and the id that a tracker gave to its address.
struct Connection {
    to: SocketAddr,
    socket: UdpSocket,
    id: Option<(ConnectionId, Instant)>,
}

impl UdpClient {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, first_wait: FIRST_WAIT, kept: Mutex::default() }
    }

    /// Announces; `url` is path and query of the tracker's URL.
    pub(super) async fn announce(
        &self,
        to: SocketAddr,
        request: &AnnounceRequest,
        url: &[u8],
    ) -> Result<AnnounceResponse, TrackerError> {
        let encode = |id, transaction| udp::encode_announce(id, transaction, request, url);
        let pick = |response| match response {
            Response::Announce(response) => Some(response),
            _ => None,
        };
        self.ask(to, encode, pick).await
    }

    /// Scrapes; the numbers come in the order of the torrents.
    pub(super) async fn scrape(
        &self,
        to: SocketAddr,
        hashes: &[InfoHash],
    ) -> Result<Vec<ScrapeEntry>, TrackerError> {
        if hashes.is_empty() || hashes.len() > udp::MAX_SCRAPE {
            return Err(TrackerError::ScrapeLen(hashes.len()));
        }
        // The length is checked, so that nothing empty is ever sent.
        let encode =
            |id, transaction| udp::encode_scrape(id, transaction, hashes).unwrap_or_default();
        let pick = |response| match response {
            Response::Scrape(entries) => Some(entries),
            _ => None,
        };
        self.ask(to, encode, pick).await
    }

    /// Sends what `encode` makes until something comes of which `pick` makes an answer.
    async fn ask<T>(
        &self,
        to: SocketAddr,
        encode: impl Fn(ConnectionId, TransactionId) -> Vec<u8>,
        pick: impl Fn(Response) -> Option<T>,
    ) -> Result<T, TrackerError> {
        let mut connection = match self.take(to) {
            Some(connection) => connection,
            None => Connection { to, socket: self.dialer.udp(to).await?, id: None },
        };
        let mut id_is_old = connection.id.is_some();
        let mut attempt = 0;
        while attempt < ATTEMPTS {
            let wait = self.first_wait * (1 << attempt);
            let Some(id) = connection.id(wait).await? else {
                attempt += 1;
                continue;
            };
            let transaction = transaction()?;
            connection.socket.send(&encode(id, transaction)).await?;
            match connection.answer(transaction, wait, &pick).await? {
                // A tracker that has begun anew knows nothing of ids it gave before.
                Some(Err(_)) if id_is_old => {
                    id_is_old = false;
                    connection.id = None;
                }
                Some(answer) => {
                    self.keep(connection);
                    return Ok(answer?);
                }
                None => attempt += 1,
            }
        }
        Err(TrackerError::NoAnswer)
    }

    fn take(&self, to: SocketAddr) -> Option<Connection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(Connection::is_fresh);
        let at = kept.iter().position(|connection| connection.to == to)?;
        Some(kept.swap_remove(at))
    }

    fn keep(&self, connection: Connection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(connection);
        }
    }
}

impl Connection {
    fn is_fresh(&self) -> bool {
        self.id.is_some_and(|(_, since)| since.elapsed() < ID_LIFETIME)
    }

    /// The connection id, asked for if there is none that is fresh; `None` if no answer came.
    async fn id(&mut self, wait: Duration) -> Result<Option<ConnectionId>, TrackerError> {
        if let Some((id, _)) = self.id.filter(|_| self.is_fresh()) {
            return Ok(Some(id));
        }
        let transaction = transaction()?;
        self.socket.send(&udp::encode_connect(transaction)).await?;
        let pick = |response| match response {
            Response::Connect(id) => Some(id),
            _ => None,
        };
        let id = self.answer(transaction, wait, pick).await?.transpose()?;
        self.id = id.map(|id| (id, Instant::now()));
        Ok(id)
    }

    /// Waits for the answer to a transaction, or a refusal, and drops whatever else comes.
    async fn answer<T>(
        &self,
        transaction: TransactionId,
        wait: Duration,
        pick: impl Fn(Response) -> Option<T>,
    ) -> io::Result<Option<Result<T, Refusal>>> {
        let family = if self.to.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut buffer = vec![0; MAX_DATAGRAM];
        let received = async {
            loop {
                let len = self.socket.recv(&mut buffer).await?;
                let answer = match decode_response(&buffer[..len], family) {
                    Ok((id, Response::Error(refusal))) if id == transaction => Some(Err(refusal)),
                    Ok((id, response)) if id == transaction => pick(response).map(Ok),
                    _ => None,
                };
                if let Some(answer) = answer {
                    return Ok(answer);
                }
            }
        };
        timeout(wait, received).await.ok().transpose()
    }
}

/// A number nobody else can know, so that nobody else can answer.
fn transaction() -> io::Result<TransactionId> {
    Ok(TransactionId(getrandom::u32().map_err(io::Error::other)?))
}

#[cfg(test)]
mod tests;
