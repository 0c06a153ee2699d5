//! One uTP connection as a stream of bytes.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bittorrent::utp::{CloseReason, Connection, Handle};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::endpoint::Shared;

/// A uTP connection. Dropping it delivers what was written, and reads no more.
pub struct UtpStream {
    shared: Rc<Shared>,
    handle: Handle,
    peer: SocketAddr,
}

impl fmt::Debug for UtpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UtpStream").field("peer", &self.peer).finish_non_exhaustive()
    }
}

fn error(why: CloseReason) -> io::Error {
    let kind = match why {
        CloseReason::Finished => ErrorKind::BrokenPipe,
        CloseReason::Reset => ErrorKind::ConnectionReset,
        CloseReason::TimedOut => ErrorKind::TimedOut,
        CloseReason::Aborted => ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, why)
}

impl UtpStream {
    pub(super) fn new(shared: Rc<Shared>, handle: Handle, peer: SocketAddr) -> Self {
        Self { shared, handle, peer }
    }

    /// The other end.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// This end.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr()
    }

    fn with<R>(&self, act: impl FnOnce(&mut Connection) -> R) -> io::Result<R> {
        let result = self.shared.mux.borrow_mut().with(self.handle, act);
        self.shared.kick();
        result.ok_or_else(|| error(CloseReason::Finished))
    }

    pub(super) fn poll_connected(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let (open, closed) = self.with(|c| (c.is_open(), c.close_reason()))?;
        match closed {
            Some(why) => Poll::Ready(Err(error(why))),
            None if open => Poll::Ready(Ok(())),
            None => {
                self.shared.wait_writable(self.handle, cx);
                Poll::Pending
            }
        }
    }

    /// Reads what has arrived. Zero is the end of the stream.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if nothing waits; otherwise why the connection is over.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.with(|connection| {
            let count = connection.read(buffer);
            match connection.close_reason() {
                _ if count > 0 || buffer.is_empty() || connection.at_end() => Ok(count),
                Some(CloseReason::Finished) => Ok(0),
                Some(why) => Err(error(why)),
                None => Err(ErrorKind::WouldBlock.into()),
            }
        })?
    }

    /// Writes as much as there is room for.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if there is no room; otherwise why the connection is over.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.with(|connection| {
            let count = connection.write(data);
            match connection.close_reason() {
                _ if count > 0 || data.is_empty() => Ok(count),
                Some(why) => Err(error(why)),
                None if connection.is_shut_down() => Err(ErrorKind::BrokenPipe.into()),
                None => Err(ErrorKind::WouldBlock.into()),
            }
        })?
    }

    /// Whether [`try_read`](Self::try_read) has an answer; registers the task if not.
    pub fn poll_read_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let ready =
            self.with(|c| !c.readable().0.is_empty() || c.at_end() || c.close_reason().is_some());
        if ready.unwrap_or(true) {
            return Poll::Ready(());
        }
        self.shared.wait_readable(self.handle, cx);
        Poll::Pending
    }

    /// Whether [`try_write`](Self::try_write) has an answer; registers the task if not.
    pub fn poll_write_ready(&self, cx: &Context<'_>) -> Poll<()> {
        let ready =
            self.with(|c| c.poll_writable() || c.is_shut_down() || c.close_reason().is_some());
        if ready.unwrap_or(true) {
            return Poll::Ready(());
        }
        self.shared.wait_writable(self.handle, cx);
        Poll::Pending
    }

    /// Ends the connection at once, undelivered bytes and all, and tells the other end.
    pub fn abort(&self) {
        // A connection that is gone needs no end.
        let _ = self.with(Connection::abort);
    }
}

impl AsyncRead for UtpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.try_read(buffer.initialize_unfilled()) {
            Ok(count) => {
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.shared.wait_readable(self.handle, cx);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl AsyncWrite for UtpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.try_write(data) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.shared.wait_writable(self.handle, cx);
                Poll::Pending
            }
            result => Poll::Ready(result),
        }
    }

    /// Everything written is on its way as soon as the path allows.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the outgoing stream, and waits until the other end has acknowledged all of it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.with(|connection| {
            connection.shutdown();
            (connection.is_flushed(), connection.close_reason())
        });
        match state {
            Err(_) | Ok((true, _) | (_, Some(CloseReason::Finished))) => Poll::Ready(Ok(())),
            Ok((_, Some(why))) => Poll::Ready(Err(error(why))),
            Ok(_) => {
                self.shared.wait_writable(self.handle, cx);
                Poll::Pending
            }
        }
    }
}

impl Drop for UtpStream {
    fn drop(&mut self) {
        self.shared.release(self.handle);
    }
}
