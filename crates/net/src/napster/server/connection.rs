//! One connection of a server: a task that reads frames, as many at a time as the machine has taken
//! in, and writes what waits.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use machine::{ConnId, Decoded, Framing};
use search::napster::{BODY_MAX, Frame, HEAD_LEN, NapsterFraming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::Input;

/// Frames that are handed to the machine at once.
const BATCH_MAX: usize = 64;
/// Bytes that wait to be sent to one user; whoever reads no faster is let go.
const OUTGOING_MAX: usize = 512 << 10;
/// How long one write may take.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// A connection, as the machine's task sees it.
pub(super) struct Connection {
    pub(super) remote: Remote,
    /// What was read and not handed to the machine yet.
    pub(super) held: VecDeque<Frame>,
    /// Whether the machine wants no more for the moment.
    pub(super) paused: bool,
}

impl Connection {
    pub(super) fn new(remote: Remote) -> Self {
        Self { remote, held: VecDeque::new(), paused: false }
    }
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    closing: bool,
    overflown: bool,
}

#[derive(Default)]
struct Shared {
    outgoing: Mutex<Outgoing>,
    write: Notify,
    read: Notify,
}

impl Shared {
    fn outgoing(&self) -> std::sync::MutexGuard<'_, Outgoing> {
        self.outgoing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task of a connection, from outside; it ends when this is dropped.
pub(super) struct Remote {
    shared: Arc<Shared>,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.close();
    }
}

impl Remote {
    pub(super) fn start(conn: ConnId, stream: TcpStream, inputs: mpsc::Sender<Input>) -> Self {
        let shared = Arc::new(Shared::default());
        let its = Arc::clone(&shared);
        tokio::spawn(async move {
            let (reader, writer) = stream.into_split();
            tokio::select! {
                read = read(conn, reader, &its, &inputs) => {
                    if let Err(error) = read {
                        tracing::debug!(%error, "a user's connection ends");
                    }
                }
                written = write(writer, &its) => {
                    if let Err(error) = written {
                        tracing::debug!(%error, "a user takes nothing");
                    }
                }
            }
            // If the machine has ended, it has forgotten all connections.
            let _ = inputs.send(Input::Closed(conn)).await;
        });
        Self { shared }
    }

    /// Queues a message; too many of them end the connection.
    pub(super) fn send(&self, frame: &Frame) {
        let mut outgoing = self.shared.outgoing();
        if outgoing.closing || outgoing.overflown {
            return;
        }
        if outgoing.bytes.len() > OUTGOING_MAX {
            outgoing.overflown = true;
        } else {
            frame.encode(&mut outgoing.bytes);
        }
        drop(outgoing);
        self.shared.write.notify_one();
    }

    /// Closes it once what waits has left.
    pub(super) fn close(&self) {
        self.shared.outgoing().closing = true;
        self.shared.write.notify_one();
    }

    /// The machine has taken in all that was read.
    pub(super) fn read_on(&self) {
        self.shared.read.notify_one();
    }
}

async fn read(
    conn: ConnId,
    mut reader: OwnedReadHalf,
    shared: &Shared,
    inputs: &mpsc::Sender<Input>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    loop {
        let mut frames = Vec::new();
        let mut start = 0;
        while frames.len() < BATCH_MAX {
            match NapsterFraming.decode(&bytes[start..]) {
                Ok(Decoded::Frame { frame, used }) => {
                    frames.push(frame);
                    start += used;
                }
                Ok(_) => break,
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
        bytes.drain(..start);
        if frames.is_empty() {
            bytes.reserve(HEAD_LEN + BODY_MAX);
            if reader.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            continue;
        }
        if inputs.send(Input::Frames(conn, frames)).await.is_err() {
            return Ok(());
        }
        shared.read.notified().await;
    }
}

async fn write(mut writer: OwnedWriteHalf, shared: &Shared) -> io::Result<()> {
    loop {
        let (bytes, closing) = {
            let mut outgoing = shared.outgoing();
            if outgoing.overflown {
                return Err(io::ErrorKind::WriteZero.into());
            }
            (std::mem::take(&mut outgoing.bytes), outgoing.closing)
        };
        if !bytes.is_empty() {
            timeout(WRITE_TIME, writer.write_all(&bytes)).await.map_err(io::Error::from)??;
        } else if closing {
            return writer.shutdown().await;
        } else {
            shared.write.notified().await;
        }
    }
}
