//! Dials that the machine asks for: which transport, which obfuscation, and what to try next.

use std::net::SocketAddr;
use std::rc::Rc;

use bittorrent::mse::Methods;
use bittorrent::peer_wire::PeerFraming;
use bittorrent::swarm::DialHint;
use machine::{Side, StreamMachine};

use super::Torrent;
use crate::session::conn::ConnHandle;
use crate::session::greeting::{self, GREETING_MAX, Greeted, GreetingError};
use crate::session::stream::Stream;

impl Torrent {
    /// Dials a peer, and tells the machine what became of it.
    pub(super) fn dial(self: &Rc<Self>, contact: SocketAddr, hint: DialHint) {
        let ways = greeting::ways(self.shared.config.encryption);
        self.dial_ways(contact, hint, ways);
    }

    /// After a plain connection was cut before its handshake: the other side may insist on
    /// obfuscation. The machine takes a connection that it did not ask for again.
    pub(super) fn dial_otherwise(self: &Rc<Self>, handle: &ConnHandle) {
        let ways = greeting::ways(self.shared.config.encryption);
        if ways.len() > 1 && ways[0].is_none() && !handle.encrypted && !self.stopped.get() {
            self.dial_ways(handle.address, DialHint::default(), &ways[1..]);
        }
    }

    fn dial_ways(
        self: &Rc<Self>,
        contact: SocketAddr,
        hint: DialHint,
        ways: &'static [Option<Methods>],
    ) {
        let torrent = self.clone();
        tokio::task::spawn_local(async move {
            torrent.shared.dial_turn().await;
            let greeted = torrent.try_ways(contact, hint, ways).await;
            torrent.shared.dialled();
            match greeted {
                Ok(greeted) if !torrent.stopped.get() && torrent.shared.has_room() => {
                    torrent.open(greeted, PeerFraming::new(), contact, Side::Dialer, None);
                }
                Ok(_) => torrent.input(|swarm, cx| swarm.on_dial_failed(contact, cx)),
                Err(error) => {
                    tracing::debug!(peer = %contact, %error, "dial failed");
                    torrent.input(|swarm, cx| swarm.on_dial_failed(contact, cx));
                }
            }
        });
    }

    async fn try_ways(
        &self,
        contact: SocketAddr,
        hint: DialHint,
        ways: &[Option<Methods>],
    ) -> Result<Greeted, GreetingError> {
        let mut last = GreetingError::Refused;
        for &way in ways {
            let stream = self.connect(contact, hint).await?;
            let Some(methods) = way else {
                return Ok(Greeted { stream, ciphers: None, received: Vec::new() });
            };
            let Some(hash) = self.hashes.primary() else { break };
            let greeting = greeting::initiate(stream, hash, methods);
            match tokio::time::timeout(GREETING_MAX, greeting).await {
                Ok(Ok(greeted)) => return Ok(greeted),
                Ok(Err(error)) => last = error,
                Err(_) => last = GreetingError::Late,
            }
        }
        Err(last)
    }

    /// Connects by TCP or, where that is off or fails, by uTP.
    async fn connect(&self, contact: SocketAddr, hint: DialHint) -> Result<Stream, GreetingError> {
        let config = &self.shared.config;
        let mut failed = std::io::Error::from(std::io::ErrorKind::Unsupported);
        if config.tcp && !hint.holepunch {
            match self.shared.dialer.tcp(contact).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Stream::Tcp(stream));
                }
                Err(error) => failed = error,
            }
        }
        let same_family = |endpoint: &&Rc<crate::utp::Endpoint>| {
            endpoint.local_addr().is_ipv4() == contact.is_ipv4()
        };
        match self.shared.utp.iter().find(same_family) {
            Some(endpoint) => Ok(Stream::Utp(endpoint.connect(contact).await?)),
            None => Err(failed.into()),
        }
    }
}
