//! The UDP socket: runs of datagrams in one system call each, where the kernel cuts and joins them
//! (UDP GSO and GRO).

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};
use std::task::{Context, Poll};

use bittorrent::utp::{Batch, Run};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, ip_mtu, ipv6_mtu, set_ip_mtu_discover,
    set_ipv6_mtu_discover,
};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// What is asked of the system for each direction; it grants what its limits allow.
const SOCKET_BUFFER: usize = 8 << 20;
/// The largest UDP payload, and so the most that joined datagrams take.
const RECEIVE_BUFFER: usize = 65_535;

/// A socket without blocking calls.
#[derive(Debug)]
pub(super) struct Udp {
    socket: UdpSocket,
    /// Whether the kernel cuts runs; turned off at the first sign that it does not.
    segmentation: bool,
    ipv6: bool,
    buffer: Box<[u8]>,
    control: Vec<u8>,
    /// How many runs of the batch have been sent.
    sent_runs: usize,
}

/// Datagrams from one address, all of one size except that the last may be shorter.
pub(super) struct Received<'a> {
    pub from: SocketAddr,
    pub datagrams: std::slice::Chunks<'a, u8>,
}

impl Udp {
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        let reference = SockRef::from(&socket);
        // The system's own sizes do, only more slowly.
        let _ = reference.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = reference.set_send_buffer_size(SOCKET_BUFFER);
        let _ = setsockopt(&socket, UdpGroSegment, &true);
        // Kernels that do not know this option would send runs as they are.
        let segmentation = setsockopt(&socket, UdpGsoSegment, &0).is_ok();
        let ipv6 = socket.local_addr()?.is_ipv6();
        let udp = Self {
            socket,
            segmentation,
            ipv6,
            buffer: vec![0; RECEIVE_BUFFER].into_boxed_slice(),
            control: nix::cmsg_space!(i32),
            sent_runs: 0,
        };
        let _ = udp.forbid_fragments(false);
        Ok(udp)
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether datagrams may be cut on the way; probes must not be.
    fn forbid_fragments(&self, forbid: bool) -> io::Result<()> {
        let (v4, v6) = if forbid {
            (Ipv4PathMtuDiscovery::PROBE, Ipv6PathMtuDiscovery::PROBE)
        } else {
            (Ipv4PathMtuDiscovery::DONT, Ipv6PathMtuDiscovery::DONT)
        };
        if self.ipv6 {
            set_ipv6_mtu_discover(&self.socket, v6)?;
        }
        // An IPv6 socket may carry IPv4 as well.
        match set_ip_mtu_discover(&self.socket, v4) {
            Err(_) if self.ipv6 => Ok(()),
            result => Ok(result?),
        }
    }

    /// Receives what one call brings, or registers for more.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received<'_>>> {
        let (from, len, segment) = loop {
            std::task::ready!(self.socket.poll_recv_ready(cx))?;
            let Self { socket, buffer, control, .. } = self;
            let fd = socket.as_raw_fd();
            match socket.try_io(Interest::READABLE, || receive(fd, buffer, control)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(received) => break received,
            }
        };
        let bytes = self.buffer.get(..len).unwrap_or_default();
        Poll::Ready(Ok(Received { from, datagrams: bytes.chunks(segment.max(1)) }))
    }

    /// Sends one datagram if the socket takes it now.
    pub(super) fn try_send(&self, bytes: &[u8], to: SocketAddr) -> io::Result<usize> {
        // Past the runtime, which takes a socket that it has not polled yet for a full one.
        SockRef::from(&self.socket).send_to(bytes, &to.into())
    }

    /// Sends the rest of `batch` and clears it, or registers for room in the socket.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>, batch: &mut Batch) -> Poll<()> {
        while let Some(run) = batch.runs().get(self.sent_runs) {
            if let Err(error) = self.send_run(batch, run) {
                if error.kind() == ErrorKind::WouldBlock {
                    match self.socket.poll_send_ready(cx) {
                        Poll::Ready(Ok(())) => continue,
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => return Poll::Pending,
                    }
                } else if self.segmentation && run.datagrams() > 1 && refuses_to_cut(&error) {
                    self.segmentation = false;
                    continue;
                }
                // Whatever else went wrong is a loss to the protocol, which will try again.
            }
            self.sent_runs += 1;
        }
        self.sent_runs = 0;
        batch.clear();
        Poll::Ready(())
    }

    fn send_run(&self, batch: &Batch, run: &Run) -> io::Result<()> {
        let bytes = batch.bytes(run);
        let fd = self.socket.as_raw_fd();
        let to = SockaddrStorage::from(run.to);
        if run.probe {
            self.forbid_fragments(true)?;
        }
        let result = self.socket.try_io(Interest::WRITABLE, || {
            if run.datagrams() == 1 {
                return send(fd, bytes, &[], &to);
            }
            if self.segmentation {
                let size = u16::try_from(run.segment).unwrap_or(u16::MAX);
                return send(fd, bytes, &[ControlMessage::UdpGsoSegments(&size)], &to);
            }
            bytes.chunks(run.segment).try_for_each(|datagram| send(fd, datagram, &[], &to))
        });
        if run.probe {
            self.forbid_fragments(false)?;
        }
        result
    }
}

/// Bytes of the largest IP packet that the interface towards `peer` carries, as the system's routes
/// say; Ethernet's if they do not.
pub(super) fn interface_mtu(peer: SocketAddr) -> usize {
    let known = || {
        let any: SocketAddr = match peer {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        // Nothing is sent: connecting a UDP socket only looks up the route.
        let socket = std::net::UdpSocket::bind(any).ok()?;
        socket.connect(peer).ok()?;
        let mtu = if peer.is_ipv4() { ip_mtu(&socket) } else { ipv6_mtu(&socket) };
        usize::try_from(mtu.ok()?).ok()
    };
    known().unwrap_or(1_500)
}

/// Whether an error of a segmented send says that the kernel or the interface cannot do it.
fn refuses_to_cut(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE | Errno::EOPNOTSUPP))
}

fn send(
    fd: RawFd,
    bytes: &[u8],
    cmsgs: &[ControlMessage<'_>],
    to: &SockaddrStorage,
) -> io::Result<()> {
    sendmsg(fd, &[IoSlice::new(bytes)], cmsgs, MsgFlags::MSG_DONTWAIT, Some(to))?;
    Ok(())
}

/// The sender, how many bytes, and the size of each of the datagrams that were joined in them.
fn receive(
    fd: RawFd,
    buffer: &mut [u8],
    control: &mut Vec<u8>,
) -> io::Result<(SocketAddr, usize, usize)> {
    let mut slices = [IoSliceMut::new(buffer)];
    control.resize(control.capacity(), 0);
    let message =
        recvmsg::<SockaddrStorage>(fd, &mut slices, Some(control), MsgFlags::MSG_DONTWAIT)?;
    let mut segment = message.bytes;
    for cmsg in message.cmsgs()? {
        if let ControlMessageOwned::UdpGroSegments(size) = cmsg {
            segment = usize::try_from(size).unwrap_or(segment);
        }
    }
    let from = message.address.as_ref().and_then(address).ok_or(ErrorKind::InvalidData)?;
    Ok((from, message.bytes, segment))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddrV4::from(*v4).into());
    }
    storage.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into())
}
