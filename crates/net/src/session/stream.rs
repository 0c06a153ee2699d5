//! A byte stream to a peer, whatever carries it.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::picture::Transport;
use crate::utp::UtpStream;

/// TCP or uTP.
pub(super) enum Stream {
    Tcp(TcpStream),
    Utp(UtpStream),
}

impl Stream {
    pub(super) fn transport(&self) -> Transport {
        match self {
            Self::Tcp(_) => Transport::Tcp,
            Self::Utp(_) => Transport::Utp,
        }
    }

    /// Reads into several buffers in order; only TCP fills more than the first.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => loop {
                match stream.try_read_vectored(bufs) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(stream.poll_read_ready(cx))?;
                    }
                    result => return Poll::Ready(result),
                }
            },
            Self::Utp(stream) => {
                let Some(first) = bufs.first_mut() else { return Poll::Ready(Ok(0)) };
                let mut buf = ReadBuf::new(first);
                ready!(Pin::new(stream).poll_read(cx, &mut buf))?;
                Poll::Ready(Ok(buf.filled().len()))
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => loop {
                match stream.try_write(bytes) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(stream.poll_write_ready(cx))?;
                    }
                    result => return Poll::Ready(result),
                }
            },
            Self::Utp(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
}
