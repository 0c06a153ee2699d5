//! Web seeds (BEP 17, 19): HTTP servers that take part as peers which have everything and never
//! choke. The machine asks them for blocks as it asks any peer; this file opens such a peer for
//! each URL, closes it, and decides when to try again. How requests become reads is in [`link`].

mod link;

use std::net::{Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bittorrent::extension::{Extended, ExtensionHandshake};
use bittorrent::id::PeerId;
use bittorrent::metainfo::Info;
use bittorrent::peer_wire::{Frame, Handshake, PeerFraming, Reserved};
use bittorrent::swarm::CloseReason;
use codec::bitfield::Bitfield;
use machine::{Side, StreamMachine};
use url::Url;

use super::Torrent;
use crate::http_client::{self, HttpError};
use crate::session::conn::ConnHandle;
use crate::session::picture::Transport;
use crate::url_policy::Purpose;
use link::Link;

/// Web seeds of one torrent at most.
const SEEDS_MAX: usize = 20;
/// Pause after the first failure, doubled by each further one.
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// Longest pause, whoever asks for it.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// Failures in a row, without a block between them, after which a URL is given up.
const FAILURES_MAX: u32 = 8;

/// What a URL leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// The files (BEP 19).
    Files,
    /// A script that knows the torrent (BEP 17).
    Pieces,
}

/// Why fetching from a web seed has ended.
#[derive(Debug)]
enum Failure {
    /// The URL is of no use.
    Useless(String),
    /// It may be of use later, perhaps after a pause that the server named.
    Later(String, Option<Duration>),
    /// The machine closed it.
    Closed(CloseReason),
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Refused { .. } | HttpError::Url(_) => Self::Useless(error.to_string()),
            _ => Self::Later(error.to_string(), None),
        }
    }
}

/// One URL of a torrent.
struct WebSeed {
    torrent: Rc<Torrent>,
    info: Arc<Info>,
    url: Url,
    style: Style,
    purpose: Purpose,
    /// What the machine knows it by.
    contact: SocketAddr,
}

impl Torrent {
    /// Opens the web seeds that the user and the torrent name.
    pub(super) fn spawn_web_seeds(self: &Rc<Self>) {
        let (Some(metainfo), Some(info)) =
            (self.metainfo.borrow().clone(), self.info.borrow().clone())
        else {
            return;
        };
        // A session that does not leave this host may ask its services; others do only for users.
        let listens = &self.shared.listens;
        let confined = !listens.is_empty() && listens.iter().all(|at| at.ip().is_loopback());
        let named = if confined { Purpose::Content } else { Purpose::WebSeed };
        let of_user =
            self.options.web_seeds.iter().map(|url| (url, Style::Files, Purpose::Content));
        let of_torrent = metainfo.web_seeds.iter().map(|url| (url, Style::Files, named));
        let of_scripts = metainfo.http_seeds.iter().map(|url| (url, Style::Pieces, named));
        let mut urls: Vec<(Url, Style)> = Vec::new();
        for (text, style, purpose) in of_user.chain(of_torrent).chain(of_scripts) {
            let Ok(url) = Url::parse(text) else { continue };
            let usable = matches!(url.scheme(), "http" | "https");
            if !usable || urls.contains(&(url.clone(), style)) || urls.len() >= SEEDS_MAX {
                continue;
            }
            urls.push((url.clone(), style));
            let seed = WebSeed {
                torrent: self.clone(),
                info: info.clone(),
                contact: contact(urls.len()),
                url,
                style,
                purpose,
            };
            tokio::task::spawn_local(seed.run());
        }
    }
}

/// An address that no peer has (RFC 6666): each web seed is judged alone, whatever host it shares
/// with others.
fn contact(index: usize) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::from_bits(0x100 << 112 | index as u128), 80))
}

impl WebSeed {
    /// Fetches for as long as that makes sense.
    async fn run(self) {
        let mut failures = 0;
        while !self.torrent.stopped.get() && !self.torrent.core.borrow().swarm.is_complete() {
            let (failure, blocks) = self.take_part().await;
            if blocks > 0 {
                failures = 0;
            }
            failures += 1;
            let pause = match failure {
                Failure::Useless(why) => {
                    return tracing::warn!(url = %self.url, why, "web seed given up");
                }
                Failure::Closed(CloseReason::Idle | CloseReason::Full) => None,
                Failure::Closed(why) => {
                    return tracing::debug!(url = %self.url, ?why, "web seed closed");
                }
                Failure::Later(why, pause) => {
                    tracing::debug!(url = %self.url, why, "web seed failed");
                    pause
                }
            };
            if failures > FAILURES_MAX {
                return tracing::warn!(url = %self.url, "web seed given up: it keeps failing");
            }
            let pause = pause.unwrap_or(PAUSE_MIN * (1 << (failures - 1)));
            tokio::time::sleep(pause.min(PAUSE_MAX)).await;
        }
    }

    /// Is a peer until something ends it; returns what, and how many blocks came.
    async fn take_part(&self) -> (Failure, u64) {
        let shared = &self.torrent.shared;
        if !shared.has_room() {
            return (Failure::Closed(CloseReason::Full), 0);
        }
        let address = match self.address().await {
            Ok(address) => address,
            Err(failure) => return (failure, 0),
        };
        let handle = self.open(address);
        let link = Link::new(self, &handle);
        let failure = link.run().await;
        let why = match failure {
            Failure::Closed(why) => why,
            _ => CloseReason::Gone,
        };
        self.torrent.closed(&handle, why);
        (failure, link.blocks())
    }

    /// An address of its host, to be shown; requests resolve it anew, and check it.
    async fn address(&self) -> Result<SocketAddr, Failure> {
        let (Some(host), Some(port)) = (self.url.host(), self.url.port_or_known_default()) else {
            return Err(Failure::Useless("no host".into()));
        };
        let found = http_client::resolve(&host.to_owned(), port, None).await?;
        found.first().copied().ok_or_else(|| Failure::Later("no address".into(), None))
    }

    /// Introduces it to the machine: as one who came to us, so that nobody dials its contact or
    /// hears of it.
    fn open(&self, address: SocketAddr) -> Rc<ConnHandle> {
        let torrent = &self.torrent;
        let id = torrent.shared.next_conn();
        let encrypted = self.url.scheme() == "https";
        let framing = PeerFraming::new();
        let handle = ConnHandle::new(id, address, Transport::Http, encrypted, None, framing);
        torrent.conns.borrow_mut().insert(id, handle.clone());
        torrent.input(|swarm, cx| swarm.on_open(id, self.contact, Side::Listener, cx));
        let mut peer_id = *b"-WS0000-............";
        torrent.core.borrow_mut().rng.fill(&mut peer_id[8..]);
        let peer_id = PeerId(peer_id);
        if let Some(info_hash) = torrent.hashes.primary() {
            // Without the fast extension a cancelled request is owed no answer.
            let reserved = Reserved::default();
            torrent.frame(&handle, Frame::Handshake(Handshake { reserved, info_hash, peer_id }));
        }
        let host = self.url.host_str().unwrap_or_default();
        let client = Some(format!("HTTP {host}"));
        let said = ExtensionHandshake { client, ..ExtensionHandshake::default() };
        torrent.frame(&handle, Frame::Extended(Extended::Handshake(said)));
        let all = Bitfield::full(self.info.piece_count()).to_wire();
        torrent.frame(&handle, Frame::Bitfield(all));
        torrent.frame(&handle, Frame::Unchoke);
        handle
    }
}
