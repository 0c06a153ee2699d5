//! Asking a tracker by its URL, whatever its kind.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::tracker::http::{self, ResponseError};
use bittorrent::tracker::udp::Family;
use bittorrent::tracker::{AnnounceRequest, AnnounceResponse, Refusal, Retry, ScrapeEntry};
use tokio::time::timeout;
use url::{Host, Url};

use super::udp_client::UdpClient;
use crate::dialer::Dialer;
use crate::http_client::{self, Client, Get, HttpError};
use crate::url_policy::{self, Purpose, Refused};

/// Longest body of a tracker's response, in bytes: libtorrent's figure.
const MAX_RESPONSE: usize = 4 * 1024 * 204;
/// How long an announce or a scrape may take in all.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much longer the slower address family may take than the faster one.
const GRACE: Duration = Duration::from_secs(5);

/// Why a tracker did not do as it was asked.
#[derive(Debug, thiserror::Error)]
pub enum TrackerError {
    /// The URL is none, or against the rules.
    #[error("the tracker's URL {url:?} is of no use: {why}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// Its address is against the rules.
    #[error(transparent)]
    Address(#[from] Refused),
    /// HTTP did not work.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A status of failure, and no word why.
    #[error("the tracker answers with status {0}")]
    Status(u16),
    /// It said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it said cannot be understood.
    #[error(transparent)]
    Response(ResponseError),
    /// A socket did not work.
    #[error("the tracker cannot be reached: {0}")]
    Io(#[from] std::io::Error),
    /// It did not answer in time.
    #[error("the tracker does not answer")]
    NoAnswer,
    /// The URL is not one from which that of a scrape follows (BEP 48).
    #[error("the tracker cannot be scraped")]
    NoScrape,
    /// Too many torrents at once, or none.
    #[error("{0} torrents cannot be scraped at once")]
    ScrapeLen(usize),
}

impl TrackerError {
    /// When the tracker says it may be asked again (BEP 31).
    #[must_use]
    pub fn retry(&self) -> Option<Retry> {
        match self {
            Self::Refused(refusal) => refusal.retry,
            _ => None,
        }
    }
}

impl From<ResponseError> for TrackerError {
    fn from(error: ResponseError) -> Self {
        match error {
            ResponseError::Refused(refusal) => Self::Refused(refusal),
            error => Self::Response(error),
        }
    }
}

/// A client of trackers. It keeps connections, so share one.
pub struct TrackerClient {
    http: Client,
    udp: UdpClient,
}

/// A tracker's URL, read.
struct Tracker {
    url: Url,
    /// Where it is, if it speaks UDP.
    udp: Option<(Host, u16)>,
}

impl TrackerClient {
    /// A client whose sockets are made by `dialer`.
    #[must_use]
    pub fn new(dialer: Dialer) -> Self {
        Self::with_http(dialer.clone(), Client::new(dialer))
    }

    /// A client that shares the connections of an HTTP client.
    #[must_use]
    pub fn with_http(dialer: Dialer, http: Client) -> Self {
        Self { http, udp: UdpClient::new(dialer) }
    }

    /// Announces over both address families at once, as far as the tracker has both (BEP 7), and
    /// puts the peers together. An answer over one is enough.
    ///
    /// # Errors
    /// If neither family is answered; the error is that of the family that came further.
    pub async fn announce(
        &self,
        url: &str,
        request: &AnnounceRequest,
    ) -> Result<AnnounceResponse, TrackerError> {
        let v4 = self.announce_over(url, request, Family::V4);
        let v6 = self.announce_over(url, request, Family::V6);
        match both(v4, v6).await {
            (Some(Ok(mut v4)), Some(Ok(v6))) => {
                v4.peers.extend(v6.peers);
                Ok(v4)
            }
            (Some(Ok(one)), _) | (_, Some(Ok(one))) => Ok(one),
            (Some(Err(TrackerError::Http(HttpError::Resolve { .. }))), Some(Err(error)))
            | (Some(Err(error)), _)
            | (None, Some(Err(error))) => Err(error),
            (None, None) => Err(TrackerError::NoAnswer),
        }
    }

    /// Announces over one address family.
    ///
    /// # Errors
    /// If the URL is of no use, the tracker does not answer within a minute, or it refuses.
    pub async fn announce_over(
        &self,
        url: &str,
        request: &AnnounceRequest,
        family: Family,
    ) -> Result<AnnounceResponse, TrackerError> {
        let tracker = Tracker::read(url)?;
        let answer = async {
            match &tracker.udp {
                Some((host, port)) => {
                    let address = tracker.address(host, *port, Some(family)).await?;
                    let path = &tracker.url[url::Position::BeforePath..url::Position::AfterQuery];
                    self.udp.announce(address, request, path.as_bytes()).await
                }
                None => {
                    let url = http::announce_url(url, request);
                    let body = self.get(&url, Some(family)).await?;
                    interpret(body, http::parse_announce)
                }
            }
        };
        timeout(TIMEOUT, answer).await.map_err(|_| TrackerError::NoAnswer)?
    }

    /// Asks for the numbers of torrents. Those that the tracker does not know may be missing.
    ///
    /// # Errors
    /// If the URL is of no use or not one that can be scraped, the tracker does not answer within
    /// a minute, or it refuses.
    pub async fn scrape(
        &self,
        url: &str,
        hashes: &[InfoHash],
    ) -> Result<BTreeMap<InfoHash, ScrapeEntry>, TrackerError> {
        let tracker = Tracker::read(url)?;
        let answer = async {
            match &tracker.udp {
                Some((host, port)) => {
                    let address = tracker.address(host, *port, None).await?;
                    let entries = self.udp.scrape(address, hashes).await?;
                    Ok(hashes.iter().copied().zip(entries).collect())
                }
                None => {
                    let url = http::scrape_url(url, hashes).ok_or(TrackerError::NoScrape)?;
                    let body = self.get(&url, None).await?;
                    interpret(body, http::parse_scrape)
                }
            }
        };
        timeout(TIMEOUT, answer).await.map_err(|_| TrackerError::NoAnswer)?
    }

    async fn get(&self, url: &str, family: Option<Family>) -> Result<(u16, Vec<u8>), TrackerError> {
        let url = parse(url)?;
        let get = Get { purpose: Purpose::Tracker, range: None, family };
        let response = self.http.get(&url, get).await?;
        let status = response.status.as_u16();
        Ok((status, response.bytes(MAX_RESPONSE).await?))
    }
}

impl Tracker {
    fn read(text: &str) -> Result<Self, TrackerError> {
        let url = parse(text)?;
        url_policy::check_url(&url, Purpose::Tracker)?;
        // Hosts of schemes that the URL standard does not know are not normalised, so that
        // numbers stay text and names keep their capitals: read it as if it were HTTP.
        let udp = match text.get(..4) {
            _ if url.scheme() != "udp" => None,
            Some(_) => {
                let like_http = parse(&format!("http:{}", &text[4..]))?;
                let host = like_http.host().ok_or(Refused::NoHost)?.to_owned();
                Some((host, like_http.port_or_known_default().unwrap_or(80)))
            }
            None => return Err(Refused::NoHost.into()),
        };
        Ok(Self { url, udp })
    }

    /// The first address of the host that is allowed.
    async fn address(
        &self,
        host: &Host,
        port: u16,
        family: Option<Family>,
    ) -> Result<std::net::SocketAddr, TrackerError> {
        let mut refused = Refused::NoHost;
        for address in http_client::resolve(host, port, family).await? {
            match url_policy::check_address(&self.url, address.ip(), Purpose::Tracker, None) {
                Ok(()) => return Ok(address),
                Err(why) => refused = why,
            }
        }
        Err(refused.into())
    }
}

fn parse(url: &str) -> Result<Url, TrackerError> {
    url.trim()
        .parse()
        .map_err(|error| TrackerError::Url { url: url.to_owned(), why: format!("{error}") })
}

/// Reads a body. With a status of failure only a refusal counts.
fn interpret<T>(
    (status, body): (u16, Vec<u8>),
    parse: fn(&[u8]) -> Result<T, ResponseError>,
) -> Result<T, TrackerError> {
    match parse(&body) {
        Ok(response) if status == 200 => Ok(response),
        Err(ResponseError::Refused(refusal)) => Err(refusal.into()),
        Err(error) if status == 200 => Err(error.into()),
        _ => Err(TrackerError::Status(status)),
    }
}

/// Both results; of the slower only if it comes no more than [`GRACE`] after a success.
async fn both<T, E>(
    a: impl Future<Output = Result<T, E>>,
    b: impl Future<Output = Result<T, E>>,
) -> (Option<Result<T, E>>, Option<Result<T, E>>) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    tokio::select! {
        first = &mut a => {
            let second = if first.is_ok() { timeout(GRACE, b).await.ok() } else { Some(b.await) };
            (Some(first), second)
        }
        first = &mut b => {
            let second = if first.is_ok() { timeout(GRACE, a).await.ok() } else { Some(a.await) };
            (second, Some(first))
        }
    }
}

#[cfg(test)]
mod tests;
