//! Connections between peers: whoever waits greets, whoever dials says what he wants.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use search::napster::transfer::{
    Answer, DIGITS_MAX, GREETING, INVALID, NOT_SHARED, REQUEST_MAX, Request, parse_size,
};
use search::napster::{ClientMessage, Nick, Offer, Text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Shared;

/// Peers that are connected at once because they came.
const ACCEPTED_MAX: usize = 256;
/// How long a peer may take to greet, to ask and to answer.
pub(super) const TALK_TIME: Duration = Duration::from_secs(20);
/// How long a peer may take nothing, or send nothing.
pub(super) const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long nothing comes after a number until it is taken to be all of it: numbers have no end.
const QUIET: Duration = Duration::from_millis(40);
/// How long a peer waits for its turn.
const TURN_TIME: Duration = Duration::from_secs(300);
/// Bytes of a file that are read at once.
pub(super) const BLOCK: usize = 256 << 10;

/// Takes in peers.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(ACCEPTED_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    if let Err(error) = serve(&shared, stream).await {
                        tracing::debug!(%from, %error, "a peer goes");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting peers");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

async fn serve(shared: &Shared, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(&[GREETING]).await?;
    let request = match timeout(TALK_TIME, read_request(&mut stream)).await? {
        Ok(request) => request,
        Err(error) => {
            stream.write_all(INVALID).await?;
            return Err(error);
        }
    };
    match request {
        Request::Get { name, offset, .. } => {
            let opened = shared.shares.open(&name);
            let Some((file, size)) = opened?.filter(|(_, size)| offset <= *size) else {
                return stream.write_all(NOT_SHARED).await;
            };
            let slots = Arc::clone(&shared.shares.slots);
            let turn = timeout(TURN_TIME, slots.acquire_owned()).await?;
            shared.tell(ClientMessage::Uploading(true)).await;
            let sent = async {
                stream.write_all(size.to_string().as_bytes()).await?;
                send(&mut stream, file, offset, size).await
            };
            let sent = sent.await;
            shared.tell(ClientMessage::Uploading(false)).await;
            drop(turn);
            sent
        }
        Request::Send { nick, name, size } => {
            // Only what is waited for is taken.
            let waits = shared.pushes().remove(&(nick, name));
            match waits {
                // Whoever waited may have gone.
                Some(waits) => drop(waits.send((stream, size))),
                None => return Err(invalid("a file that nobody waits for")),
            }
            Ok(())
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> io::Result<Request> {
    let mut bytes = Vec::with_capacity(REQUEST_MAX);
    loop {
        let parsed = Request::parse(&bytes).map_err(|_| invalid("not a request"))?;
        let room = REQUEST_MAX.saturating_sub(bytes.len());
        let mut more = (&mut *stream).take(room as u64);
        let read = more.read_buf(&mut bytes);
        // Once it could be all of it, it is if no more comes.
        let read = match &parsed {
            None => read.await?,
            Some(_) => match timeout(QUIET, read).await {
                Ok(read) => read?,
                Err(_) => 0,
            },
        };
        match (read, parsed) {
            (0, Some(request)) => return Ok(request),
            (0, None) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
}

/// Sends a file from an offset to its end.
async fn send(stream: &mut TcpStream, file: File, offset: u64, size: u64) -> io::Result<()> {
    let file = Arc::new(file);
    let mut at = offset;
    while at < size {
        let len = usize::try_from(size - at).map_or(BLOCK, |left| left.min(BLOCK));
        let its = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || {
            let mut block = vec![0; len];
            its.read_exact_at(&mut block, at).map(|()| block)
        });
        let block = read.await.map_err(io::Error::other)??;
        timeout(IDLE_TIME, stream.write_all(&block)).await??;
        at += len as u64;
    }
    stream.shutdown().await
}

/// Sends a file to whoever cannot come for it.
pub(super) async fn push(shared: Arc<Shared>, offer: Offer) {
    if let Err(error) = try_push(&shared, &offer).await {
        tracing::debug!(to = %offer.nick, %error, "a file is not sent");
    }
}

async fn try_push(shared: &Shared, offer: &Offer) -> io::Result<()> {
    if !shared.may_dial(offer.address) {
        return Err(invalid("an address that is not dialled"));
    }
    let Some((file, size)) = shared.shares.open(&offer.name)? else {
        return Err(invalid("a file that is not shared"));
    };
    let slots = Arc::clone(&shared.shares.slots);
    let turn = timeout(TURN_TIME, slots.acquire_owned()).await?;
    let mut stream = dial(offer.address.into()).await?;
    let (nick, name) = (shared.config.nick.clone(), offer.name.clone());
    ask(&mut stream, &Request::Send { nick, name, size }).await?;
    let offset = read_offset(&mut stream).await?.filter(|offset| *offset <= size);
    let offset = offset.ok_or_else(|| invalid("not an offset"))?;
    shared.tell(ClientMessage::Uploading(true)).await;
    let sent = send(&mut stream, file, offset, size).await;
    shared.tell(ClientMessage::Uploading(false)).await;
    drop(turn);
    sent
}

async fn read_offset(stream: &mut TcpStream) -> io::Result<Option<u64>> {
    let mut digits = Vec::with_capacity(DIGITS_MAX + 1);
    while digits.len() <= DIGITS_MAX {
        let wait = if digits.is_empty() { TALK_TIME } else { QUIET };
        let Ok(read) = timeout(wait, stream.read_buf(&mut digits)).await else { break };
        if read? == 0 {
            break;
        }
    }
    let text = std::str::from_utf8(&digits).ok();
    Ok(text.and_then(|text| text.trim().parse().ok()))
}

/// Dials a peer and hears its greeting.
pub(super) async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let dialled = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        if stream.read_u8().await? != GREETING {
            return Err(invalid("not the greeting of a peer"));
        }
        Ok(stream)
    };
    timeout(TALK_TIME, dialled).await?
}

/// Says what is wanted: the verb goes in a packet of its own.
async fn ask(stream: &mut TcpStream, request: &Request) -> io::Result<()> {
    stream.write_all(request.verb()).await?;
    stream.write_all(&request.line()).await
}

/// Asks for a file from an offset on; returns its first bytes, which came with its size.
pub(super) async fn get(
    stream: &mut TcpStream,
    nick: &Nick,
    name: &Text,
    offset: u64,
    size: u64,
) -> io::Result<Vec<u8>> {
    let request = Request::Get { nick: nick.clone(), name: name.clone(), offset };
    ask(stream, &request).await?;
    let mut bytes = Vec::with_capacity(BLOCK);
    loop {
        match parse_size(&bytes, Some(size)) {
            Answer::Number(its, used) if its == size => return Ok(bytes.split_off(used)),
            Answer::Number(..) => return Err(invalid("a file of another length")),
            Answer::Refused => return Err(io::ErrorKind::PermissionDenied.into()),
            Answer::Incomplete => {}
        }
        if timeout(TURN_TIME, stream.read_buf(&mut bytes)).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
