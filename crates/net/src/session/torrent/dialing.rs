//! Dials that the machine asks for: which transport, which obfuscation, and what to try next.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bittorrent::id::InfoHash;
use bittorrent::mse::Methods;
use bittorrent::peer_wire::PeerFraming;
use bittorrent::swarm::DialHint;
use machine::StreamMachine;

use super::Torrent;
use crate::session::conn::ConnHandle;
use crate::session::greeting::{self, GREETING_MAX, Greeted, GreetingError};
use crate::session::picture::Transport;
use crate::session::stream::Stream;
use crate::utp::Endpoint;

/// One way to reach a peer.
#[derive(Clone, Copy)]
struct Way {
    transport: Transport,
    /// Ciphers to offer; `None` begins in the clear.
    obfuscation: Option<Methods>,
    /// Which of the torrent's hashes to ask for.
    hash: InfoHash,
}

impl Torrent {
    /// Dials a peer, and tells the machine what became of it.
    pub(super) fn dial(self: &Rc<Self>, contact: SocketAddr, hint: DialHint) {
        self.dial_ways(contact, self.ways(contact, hint.holepunch));
    }

    /// After a connection was cut before its handshake: the other side may insist on obfuscation,
    /// or on uTP, or know the torrent by its other hash. The machine takes a connection that it did not ask for again.
    pub(super) fn dial_otherwise(self: &Rc<Self>, handle: &ConnHandle) {
        let mut ways = self.ways(handle.address, false);
        let tried = |way: &Way| {
            way.transport == handle.transport
                && way.obfuscation.is_some() == handle.encrypted
                && Some(way.hash) == handle.dialled
        };
        let Some(tried) = ways.iter().position(tried) else { return };
        ways.drain(..=tried);
        if !ways.is_empty() && !self.stopped.get() {
            self.dial_ways(handle.address, ways);
        }
    }

    /// The ways to reach a peer, in the order in which to try them: TCP first, and each by
    /// both hashes, which costs less than obfuscation.
    fn ways(&self, contact: SocketAddr, holepunch: bool) -> Vec<Way> {
        let tcp = self.shared.config.tcp && !holepunch;
        let utp = self.utp_endpoint(contact).is_some();
        let transports = [(Transport::Tcp, tcp), (Transport::Utp, utp)];
        let obfuscations = greeting::ways(self.shared.config.encryption);
        let usable = transports.into_iter().filter(|(_, usable)| *usable);
        let mut ways = Vec::new();
        for (transport, _) in usable {
            for &obfuscation in obfuscations {
                let hashes = self.hashes.handshake_hashes();
                ways.extend(hashes.map(|hash| Way { transport, obfuscation, hash }));
            }
        }
        ways
    }

    fn dial_ways(self: &Rc<Self>, contact: SocketAddr, ways: Vec<Way>) {
        let torrent = self.clone();
        tokio::task::spawn_local(async move {
            torrent.shared.dial_turn().await;
            let greeted = torrent.try_ways(contact, &ways).await;
            torrent.shared.dialled();
            match greeted {
                Ok((greeted, hash)) if !torrent.stopped.get() && torrent.shared.has_room() => {
                    torrent.open(greeted, PeerFraming::new(), contact, Some(hash), None);
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
        ways: &[Way],
    ) -> Result<(Greeted, InfoHash), GreetingError> {
        let mut last = GreetingError::from(io::Error::from(io::ErrorKind::Unsupported));
        let mut unreachable = None;
        for &Way { transport, obfuscation, hash } in ways {
            if unreachable == Some(transport) {
                continue;
            }
            let stream = match self.connect(contact, transport).await {
                Ok(stream) => stream,
                Err(error) => {
                    unreachable = Some(transport);
                    last = error.into();
                    continue;
                }
            };
            let Some(methods) = obfuscation else {
                return Ok((Greeted { stream, ciphers: None, received: Vec::new() }, hash));
            };
            let greeting = greeting::initiate(stream, hash, methods);
            match tokio::time::timeout(GREETING_MAX, greeting).await {
                Ok(Ok(greeted)) => return Ok((greeted, hash)),
                Ok(Err(error)) => last = error,
                Err(_) => last = GreetingError::Late,
            }
        }
        Err(last)
    }

    async fn connect(&self, contact: SocketAddr, transport: Transport) -> io::Result<Stream> {
        if transport == Transport::Tcp {
            let stream = self.shared.dialer.tcp(contact).await?;
            stream.set_nodelay(true)?;
            return Ok(Stream::Tcp(stream));
        }
        match self.utp_endpoint(contact) {
            Some(endpoint) => Ok(Stream::Utp(endpoint.connect(contact).await?)),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The socket that speaks uTP with addresses of this family.
    fn utp_endpoint(&self, contact: SocketAddr) -> Option<&Rc<Endpoint>> {
        let same_family =
            |endpoint: &&Rc<Endpoint>| endpoint.local_addr().is_ipv4() == contact.is_ipv4();
        self.shared.utp.iter().find(same_family)
    }
}
