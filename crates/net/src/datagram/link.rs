//! Where datagrams come from and go to: a socket of one's own.

use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::batch::{BATCH, Family, Received, Sender};
use super::outgoing::Outgoing;

/// What is asked of the system for each direction; it grants what its limits allow.
const SOCKET_BUFFER: usize = 4 << 20;

/// Both directions of the datagrams of one address.
pub(super) trait Link: 'static {
    /// Hands over what one turn brings, or registers for more.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnMut(SocketAddr, &[u8]),
    ) -> Poll<()>;

    /// Sends all that waits, or registers for room.
    fn poll_send(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<()>;
}

/// A socket of one's own.
pub(super) struct Socket<S> {
    socket: UdpSocket,
    received: Received<S>,
    sender: Sender<S>,
}

impl<S: Family> Socket<S> {
    /// `longest` is the longest datagram to tell from longer ones, in bytes.
    pub(super) fn new(socket: UdpSocket, longest: usize) -> Self {
        let reference = SockRef::from(&socket);
        // The system's own sizes do, only with more losses.
        let _ = reference.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = reference.set_send_buffer_size(SOCKET_BUFFER);
        let sender = Sender::new(&socket);
        Self { socket, received: Received::new(longest + 1), sender }
    }
}

impl<S: Family + 'static> Link for Socket<S> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mut take: impl FnMut(SocketAddr, &[u8]),
    ) -> Poll<()> {
        let Self { socket, received, .. } = self;
        let fd = socket.as_raw_fd();
        loop {
            if std::task::ready!(socket.poll_recv_ready(cx)).is_err() {
                return Poll::Pending;
            }
            let receive = || Ok(received.receive(fd, MsgFlags::MSG_DONTWAIT)?);
            match socket.try_io(Interest::READABLE, receive) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // An earlier datagram came back as unreachable: the protocol's timers tell.
                Err(_) => return Poll::Ready(()),
            }
        }
        received.iter().for_each(|(from, datagram)| take(from.to_std(), datagram));
        Poll::Ready(())
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, outgoing: &mut Outgoing) -> Poll<()> {
        let Self { socket, sender, .. } = self;
        let fd = socket.as_raw_fd();
        while !outgoing.is_empty() {
            outgoing.gather(BATCH);
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut to = [None; BATCH];
            let mut count = 0;
            for (slot, (address, datagram)) in outgoing.iter().take(BATCH).enumerate() {
                slices[slot] = IoSlice::new(datagram);
                // Without an address of its family the system refuses it, and it is lost.
                to[slot] = S::from_std(address);
                count += 1;
            }
            let (slices, to) = (&slices[..count], &to[..count]);
            let send = || Ok(sender.send(fd, slices, to, MsgFlags::MSG_DONTWAIT)?);
            match socket.try_io(Interest::WRITABLE, send) {
                Ok(done) => outgoing.pop(done),
                Err(error) if is_full(&error) => {
                    if std::task::ready!(socket.poll_send_ready(cx)).is_err() {
                        outgoing.pop(count);
                    }
                }
                Err(_) => outgoing.pop(count),
            }
        }
        Poll::Ready(())
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(Errno::EAGAIN as i32)
}
