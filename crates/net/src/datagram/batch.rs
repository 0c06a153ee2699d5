//! Several datagrams in one system call, in either direction (`recvmmsg`, `sendmmsg`). What is in
//! them is the caller's; so is waiting for the socket.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg,
};

/// Datagrams of one system call at most.
pub(crate) const BATCH: usize = 64;

/// The addresses of one IP version, as the system's calls take them.
pub(crate) trait Family: SockaddrLike + Copy {
    /// As everybody else writes it.
    fn to_std(self) -> SocketAddr;
    /// From what everybody else writes; `None` if it is of the other version.
    fn from_std(address: SocketAddr) -> Option<Self>;
}

impl Family for SockaddrIn {
    fn to_std(self) -> SocketAddr {
        SocketAddrV4::from(self).into()
    }

    fn from_std(address: SocketAddr) -> Option<Self> {
        match address {
            SocketAddr::V4(address) => Some(address.into()),
            SocketAddr::V6(_) => None,
        }
    }
}

impl Family for SockaddrIn6 {
    fn to_std(self) -> SocketAddr {
        SocketAddrV6::from(self).into()
    }

    fn from_std(address: SocketAddr) -> Option<Self> {
        match address {
            SocketAddr::V6(address) => Some(address.into()),
            SocketAddr::V4(_) => None,
        }
    }
}

/// The datagrams that the last call brought.
pub(crate) struct Received<S> {
    headers: MultiHeaders<S>,
    buffers: Box<[u8]>,
    /// Bytes of each buffer.
    size: usize,
    datagrams: Vec<(usize, S)>,
}

impl<S: Family> Received<S> {
    /// Room for datagrams of up to `size` bytes; longer ones are cut.
    pub(crate) fn new(size: usize) -> Self {
        Self {
            headers: MultiHeaders::preallocate(BATCH, None),
            buffers: vec![0; BATCH * size].into_boxed_slice(),
            size,
            datagrams: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what waits in the socket, up to [`BATCH`]; how many there were.
    pub(crate) fn receive(&mut self, socket: RawFd, flags: MsgFlags) -> nix::Result<usize> {
        self.datagrams.clear();
        let mut slices: Vec<_> = self
            .buffers
            .chunks_exact_mut(self.size)
            .map(|buffer| [IoSliceMut::new(buffer)])
            .collect();
        let messages = recvmmsg(socket, &mut self.headers, slices.iter_mut(), flags, None)?;
        // UDP names the sender of every datagram.
        self.datagrams
            .extend(messages.map_while(|message| Some((message.bytes, message.address?))));
        Ok(self.datagrams.len())
    }

    /// What came, in order, and from where.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (S, &[u8])> {
        let datagrams = self.datagrams.iter().zip(self.buffers.chunks_exact(self.size));
        datagrams.map(|(&(len, from), buffer)| (from, &buffer[..len.min(buffer.len())]))
    }
}

/// Room for the system's view of what is sent.
pub(crate) struct Headers<S>(MultiHeaders<S>);

impl<S: Family> Headers<S> {
    pub(crate) fn new() -> Self {
        Self(MultiHeaders::preallocate(BATCH, None))
    }

    /// Sends as much as the socket takes of `datagrams` to the addresses `to`; how many are done
    /// with. A datagram that cannot be sent at all is done with too: its loss is the protocol's.
    ///
    /// # Errors
    /// `EAGAIN` if the socket took none.
    pub(crate) fn send(
        &mut self,
        socket: RawFd,
        datagrams: &[[IoSlice<'_>; 1]],
        to: &[Option<S>],
        flags: MsgFlags,
    ) -> nix::Result<usize> {
        let mut done = 0;
        while done < datagrams.len() {
            let rest = (&datagrams[done..], &to[done..]);
            done += match sendmmsg(socket, &mut self.0, rest.0, rest.1, [], flags) {
                Ok(results) => results.count().max(1),
                Err(Errno::EINTR) => 0,
                Err(Errno::EAGAIN) if done > 0 => break,
                Err(Errno::EAGAIN) => return Err(Errno::EAGAIN),
                // For instance because there is no way to its address.
                Err(_) => 1,
            };
        }
        Ok(done)
    }
}
