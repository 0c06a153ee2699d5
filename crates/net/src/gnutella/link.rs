//! One connection of messages: bytes to frames and back. What frames mean is the machine's.

use std::net::SocketAddr;

use machine::{ConnId, Decoded, Framing, Side};
use search::gnutella::servent::CloseReason;
use search::gnutella::{Frame, GnutellaFraming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender};

use super::driver::Input;

/// Frames that wait to be written; whoever lets more wait is too slow.
pub(super) const FRAMES_MAX: usize = 1_024;
/// Frames that are written at once.
const BATCH: usize = 64;
/// Bytes that are read at once.
const READ: usize = 16 * 1024;
/// Most bytes that wait to become a frame.
const HELD_MAX: usize = 256 * 1024;

/// What the driver tells a connection.
#[derive(Debug)]
pub(super) enum Outgoing {
    Frame(Frame),
    /// Write what waits, then close.
    Close,
}

/// Carries frames until an end closes. `read` are bytes that came before.
pub(super) async fn run(
    conn: ConnId,
    peer: SocketAddr,
    side: Side,
    stream: TcpStream,
    read: Vec<u8>,
    to_driver: Sender<Input>,
    mut outgoing: Receiver<Outgoing>,
) {
    let (reader, writer) = stream.into_split();
    let mut link = Link { framing: GnutellaFraming::new(side), reader, writer, held: read };
    tracing::trace!(%peer, ?side, "connection");
    let why = link.carry(conn, &to_driver, &mut outgoing).await;
    outgoing.close();
    // The driver may have ended.
    let _ = to_driver.send(Input::Closed(conn, why)).await;
}

struct Link {
    framing: GnutellaFraming,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    held: Vec<u8>,
}

impl Link {
    async fn carry(
        &mut self,
        conn: ConnId,
        to_driver: &Sender<Input>,
        outgoing: &mut Receiver<Outgoing>,
    ) -> CloseReason {
        let mut buffer = vec![0; READ];
        let mut queued = Vec::new();
        loop {
            match self.frames(conn, to_driver).await {
                Ok(()) => {}
                Err(why) => return why,
            }
            tokio::select! {
                count = outgoing.recv_many(&mut queued, BATCH) => {
                    if count == 0 {
                        return CloseReason::Gone;
                    }
                    let closes = queued.iter().position(|one| matches!(one, Outgoing::Close));
                    let last = closes.unwrap_or(queued.len());
                    let frames = queued[..last].iter().filter_map(|one| match one {
                        Outgoing::Frame(frame) => Some(frame),
                        Outgoing::Close => None,
                    });
                    let mut bytes = Vec::new();
                    self.framing.encode_all(frames, &mut bytes);
                    queued.clear();
                    if self.writer.write_all(&bytes).await.is_err() || closes.is_some() {
                        // Whether it hears that no more comes, nobody needs to know.
                        let _ = self.writer.shutdown().await;
                        return CloseReason::Gone;
                    }
                }
                count = self.reader.read(&mut buffer) => match count {
                    Ok(0) | Err(_) => return CloseReason::Gone,
                    Ok(count) => self.held.extend_from_slice(&buffer[..count]),
                },
            }
        }
    }

    /// Hands all whole frames to the driver.
    async fn frames(&mut self, conn: ConnId, to_driver: &Sender<Input>) -> Result<(), CloseReason> {
        let mut at = 0;
        let result = loop {
            match self.framing.decode(&self.held[at..]) {
                Ok(Decoded::Frame { frame, used }) => {
                    at += used;
                    if to_driver.send(Input::Frame(conn, frame)).await.is_err() {
                        break Err(CloseReason::Gone);
                    }
                }
                Ok(Decoded::Incomplete(_)) if self.held.len() - at > HELD_MAX => {
                    break Err(CloseReason::Malformed);
                }
                Ok(Decoded::Incomplete(_)) => break Ok(()),
                Ok(Decoded::Payload { .. }) | Err(_) => break Err(CloseReason::Malformed),
            }
        };
        self.held.drain(..at);
        result
    }
}
