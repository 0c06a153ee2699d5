//! From a fresh stream to a connection: obfuscation (MSE) and the handshake that names a torrent.

use std::io;
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::mse::{
    Ciphers, ENTROPY_LEN, Initiator, Methods, Progress, Responder, SkeyHash, looks_like_plain,
};
use bittorrent::peer_wire::{Frame, Handshake, PeerFraming};
use machine::{Decoded, Framing};

use super::config::Encryption;
use super::stream::Stream;

/// A stranger has this long from its first byte's arrival to a whole handshake.
pub(super) const GREETING_MAX: Duration = Duration::from_secs(10);

/// Bytes read at a time while greeting.
const CHUNK: usize = 1024;

/// A stream that is past obfuscation.
pub(super) struct Greeted {
    pub(super) stream: Stream,
    pub(super) ciphers: Option<Box<Ciphers>>,
    /// Bytes in the clear that have come already.
    pub(super) received: Vec<u8>,
}

/// An accepted stream whose handshake has been read.
pub(super) struct Accepted {
    pub(super) greeted: Greeted,
    pub(super) framing: PeerFraming,
    pub(super) handshake: Handshake,
}

/// Why a greeting came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error("network: {0}")]
    Io(#[from] io::Error),
    #[error("obfuscation: {0}")]
    Mse(#[from] bittorrent::mse::MseError),
    #[error("the other side is plain and encryption is required, or the other way round")]
    Refused,
    #[error("not a BitTorrent handshake")]
    NotBitTorrent,
    #[error("no handshake in time")]
    Late,
}

/// Obfuscates a stream that we dialled.
pub(super) async fn initiate(
    mut stream: Stream,
    torrent: InfoHash,
    provide: Methods,
) -> Result<Greeted, GreetingError> {
    let mut out = Vec::new();
    let mut initiator = Initiator::new(torrent, provide, &entropy()?, &[], &mut out);
    write_all(&mut stream, &out).await?;
    let mut chunk = [0; CHUNK];
    loop {
        let read = read_some(&mut stream, &mut chunk).await?;
        out.clear();
        let done = initiator.feed(&chunk[..read], &mut out)?;
        write_all(&mut stream, &out).await?;
        if let Some(done) = done {
            return Ok(Greeted { stream, ciphers: done.ciphers, received: done.received });
        }
    }
}

/// Reads a stranger's greeting, whatever its obfuscation. `find` resolves the torrent.
pub(super) async fn accept(
    stream: Stream,
    encryption: Encryption,
    find: impl Fn(SkeyHash) -> Option<InfoHash>,
) -> Result<Accepted, GreetingError> {
    tokio::time::timeout(GREETING_MAX, accept_unhurried(stream, encryption, find))
        .await
        .unwrap_or(Err(GreetingError::Late))
}

async fn accept_unhurried(
    mut stream: Stream,
    encryption: Encryption,
    find: impl Fn(SkeyHash) -> Option<InfoHash>,
) -> Result<Accepted, GreetingError> {
    let mut received = Vec::new();
    let mut chunk = [0; CHUNK];
    let plain = loop {
        let read = read_some(&mut stream, &mut chunk).await?;
        received.extend_from_slice(&chunk[..read]);
        if let Some(plain) = looks_like_plain(&received) {
            break plain;
        }
    };
    let refused = if plain { Encryption::Require } else { Encryption::Off };
    if encryption == refused {
        return Err(GreetingError::Refused);
    }
    let mut greeted = if plain {
        Greeted { stream, ciphers: None, received }
    } else {
        respond(stream, received, encryption, find).await?
    };
    let mut framing = PeerFraming::new();
    loop {
        match framing.decode(&greeted.received).map_err(|_| GreetingError::NotBitTorrent)? {
            Decoded::Frame { frame: Frame::Handshake(handshake), used } => {
                greeted.received.drain(..used);
                return Ok(Accepted { greeted, framing, handshake });
            }
            Decoded::Incomplete(_) => {}
            _ => return Err(GreetingError::NotBitTorrent),
        }
        let read = read_some(&mut greeted.stream, &mut chunk).await?;
        if let Some(ciphers) = &mut greeted.ciphers {
            ciphers.decrypt.apply(&mut chunk[..read]);
        }
        greeted.received.extend_from_slice(&chunk[..read]);
    }
}

async fn respond(
    mut stream: Stream,
    received: Vec<u8>,
    encryption: Encryption,
    find: impl Fn(SkeyHash) -> Option<InfoHash>,
) -> Result<Greeted, GreetingError> {
    let accept = if encryption == Encryption::Require { Methods::RC4 } else { Methods::ANY };
    let prefer_plain = encryption == Encryption::Allow;
    let mut responder = Responder::new(accept, &entropy()?).preferring_plain(prefer_plain);
    let mut out = Vec::new();
    let mut progress = responder.feed(&received, &mut out)?;
    let mut chunk = [0; CHUNK];
    loop {
        write_all(&mut stream, &out).await?;
        out.clear();
        progress = match progress {
            Progress::Done(done) => {
                return Ok(Greeted { stream, ciphers: done.ciphers, received: done.received });
            }
            Progress::NeedTorrent(hash) => {
                let torrent = find(hash).ok_or(bittorrent::mse::MseError::UnknownTorrent)?;
                responder.resolve(torrent, &mut out)?
            }
            Progress::NeedMore => {
                let read = read_some(&mut stream, &mut chunk).await?;
                responder.feed(&chunk[..read], &mut out)?
            }
        };
    }
}

fn entropy() -> io::Result<[u8; ENTROPY_LEN]> {
    let mut entropy = [0; ENTROPY_LEN];
    getrandom::fill(&mut entropy).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(entropy)
}

async fn read_some(stream: &mut Stream, chunk: &mut [u8]) -> io::Result<usize> {
    let read =
        std::future::poll_fn(|cx| stream.poll_read(cx, &mut [io::IoSliceMut::new(chunk)])).await?;
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(read) }
}

async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let wrote = std::future::poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
        bytes = &bytes[wrote..];
    }
    Ok(())
}

/// The ways to greet a peer that we dial, in the order in which to try them.
pub(super) fn ways(encryption: Encryption) -> &'static [Option<Methods>] {
    const PLAIN: Option<Methods> = None;
    match encryption {
        Encryption::Off => &[PLAIN],
        Encryption::Allow => &[PLAIN, Some(Methods::ANY)],
        Encryption::Prefer => &[Some(Methods::ANY), PLAIN],
        Encryption::Require => &[Some(Methods::RC4)],
    }
}
