//! Several datagrams in one system call, in either direction (`recvmmsg`, `sendmmsg`), those to one
//! address as one message that the kernel cuts (UDP GSO). What is in them is the caller's; so is
//! waiting for the socket.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::sockopt::UdpGsoSegment;
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    sendmmsg, setsockopt,
};

/// Datagrams of one system call at most.
pub(crate) const BATCH: usize = 64;

/// The addresses of one IP version, as the system's calls take them.
pub(crate) trait Family: SockaddrLike + Copy + PartialEq {
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

/// The longest datagrams that the kernel cuts, in bytes: those that every path of IPv6 carries.
const SEGMENT_MAX: usize = 1_232;
/// Bytes of a message that it cuts, at most; they must fit an IP packet.
const RUN_MAX: usize = 60_000;

/// Room for the system's view of what is sent.
pub(crate) struct Sender<S> {
    headers: MultiHeaders<S>,
    /// The same with room for the size of what is cut; `None` if the kernel does not cut.
    cutting: Option<MultiHeaders<S>>,
}

impl<S: Family> Sender<S> {
    /// For this socket.
    pub(crate) fn new(socket: &impl AsFd) -> Self {
        // Kernels that do not know this option would send what they should cut as it is.
        let cuts = setsockopt(socket, UdpGsoSegment, &0).is_ok();
        let control = nix::cmsg_space!(u16);
        let cutting = cuts.then(|| MultiHeaders::preallocate(BATCH, Some(control)));
        Self { headers: MultiHeaders::preallocate(BATCH, None), cutting }
    }

    /// Sends as much as the socket takes of `datagrams` (at most [`BATCH`]) to the addresses `to`;
    /// how many are done with. A datagram that cannot be sent at all is done with too: its loss is
    /// the protocol's.
    ///
    /// # Errors
    /// `EAGAIN` if the socket took none.
    pub(crate) fn send(
        &mut self,
        socket: RawFd,
        datagrams: &[IoSlice<'_>],
        to: &[Option<S>],
        flags: MsgFlags,
    ) -> nix::Result<usize> {
        let mut done = 0;
        let mut segment = segment(datagrams, to).filter(|_| self.cutting.is_some());
        while done < datagrams.len() {
            let (rest, to) = (&datagrams[done..], &to[done..]);
            let runs = Runs::new(rest, to, segment);
            let (runs, to) = (&runs.all[..runs.count], &runs.to[..runs.count]);
            let sent = match (&mut self.cutting, segment) {
                (Some(headers), Some(segment)) => {
                    let size = [ControlMessage::UdpGsoSegments(&segment)];
                    sendmmsg(socket, headers, runs, to, size, flags).map(Iterator::count)
                }
                _ => sendmmsg(socket, &mut self.headers, runs, to, [], flags).map(Iterator::count),
            };
            done += match sent {
                Ok(sent) => runs[..sent.max(1)].iter().map(|run| run.len()).sum(),
                Err(Errno::EINTR) => 0,
                Err(Errno::EAGAIN) if done > 0 => break,
                Err(Errno::EAGAIN) => return Err(Errno::EAGAIN),
                // Not every way carries what is to be cut; one by one they may go.
                Err(_) if runs[0].len() > 1 => {
                    segment = None;
                    0
                }
                // For instance because there is no way to its address.
                Err(_) => 1,
            };
        }
        Ok(done)
    }
}

/// The size into which messages are cut, if any two datagrams in a row can be one message: that of
/// the longest.
fn segment<S: Family>(datagrams: &[IoSlice<'_>], to: &[Option<S>]) -> Option<u16> {
    let longest = datagrams.iter().map(|datagram| datagram.len()).max()?;
    let mut pairs = datagrams.iter().zip(to.windows(2));
    let any = pairs.any(|(first, to)| first.len() == longest && to[0] == to[1]);
    u16::try_from(longest).ok().filter(|_| any && (1..=SEGMENT_MAX).contains(&longest))
}

/// Datagrams in a row to one address, all of one size except that the last may be shorter, as one
/// message each.
struct Runs<'a, 'b, S> {
    all: [&'b [IoSlice<'a>]; BATCH],
    to: [Option<S>; BATCH],
    count: usize,
}

impl<'a, 'b, S: Family> Runs<'a, 'b, S> {
    /// Of `segment` bytes, or each datagram by itself.
    fn new(mut rest: &'b [IoSlice<'a>], to: &[Option<S>], segment: Option<u16>) -> Self {
        let segment = segment.map_or(usize::MAX, usize::from);
        let longest = (RUN_MAX / segment).max(1);
        let mut runs = Self { all: [&[]; BATCH], to: [None; BATCH], count: 0 };
        let mut at = 0;
        while !rest.is_empty() && runs.count < BATCH {
            let full = rest.iter().zip(&to[at..]).take(longest - 1);
            let full = full.take_while(|(it, theirs)| it.len() == segment && **theirs == to[at]);
            let len = full.count();
            // One more, whatever its size, if it goes there: the first of all, or the last.
            let len = len + usize::from(to.get(at + len).is_some_and(|theirs| *theirs == to[at]));
            let (run, others) = rest.split_at(len);
            (runs.all[runs.count], runs.to[runs.count]) = (run, to[at]);
            runs.count += 1;
            (rest, at) = (others, at + len);
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;

    use super::*;

    /// What is sent of datagrams so long to so numbered receivers: how long the messages are.
    fn runs(said: &[(usize, usize)]) -> (Option<u16>, Vec<usize>) {
        let bytes = [0; 70_000];
        let datagrams: Vec<_> = said.iter().map(|&(_, len)| IoSlice::new(&bytes[..len])).collect();
        let to: Vec<_> = said.iter().map(|&(port, _)| Some(address(port as u16))).collect();
        let segment = segment(&datagrams, &to);
        let runs = Runs::new(&datagrams, &to, segment);
        (segment, runs.all[..runs.count].iter().map(|run| run.len()).collect())
    }

    fn address(port: u16) -> SockaddrIn {
        SockaddrIn::new(127, 0, 0, 1, port)
    }

    #[test]
    fn only_equal_datagrams_to_one_address_are_one_message() {
        for (said, segment, lengths) in [
            (&[(1, 300), (1, 300), (1, 300)][..], Some(300), &[3][..]),
            (&[(1, 300), (1, 300), (1, 200), (1, 300)], Some(300), &[3, 1]),
            (&[(1, 200), (1, 300), (1, 300), (2, 300)], Some(300), &[1, 2, 1]),
            (&[(1, 300), (2, 300), (3, 300)], None, &[1, 1, 1]),
            // Only those as long as the longest.
            (&[(1, 100), (1, 100), (2, 300)], None, &[1, 1, 1]),
            (&[(1, 100), (1, 100), (2, 300), (2, 10)], Some(300), &[1, 1, 2]),
            (&[(1, 1_400), (1, 1_400)], None, &[1, 1]),
            (&[(1, 0), (1, 0)], None, &[1, 1]),
            (&[(1, 1_200); 64], Some(1_200), &[50, 14]),
        ] {
            assert_eq!(runs(said), (segment, lengths.to_vec()), "{said:?}");
        }
    }

    #[test]
    fn what_leaves_as_one_message_arrives_as_it_was_said() {
        let receivers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket"));
        let ports = receivers.each_ref().map(|it| it.local_addr().expect("an address").port());
        let mut said: Vec<(u16, Vec<u8>)> = Vec::new();
        for number in 0..40_u8 {
            let len = if number % 20 == 19 { 5 } else { 300 };
            said.push((ports[usize::from(number / 20)], vec![number; len]));
        }
        // Nobody can send to port 0: that alone is lost.
        said.insert(20, (0, vec![99; 300]));
        said.insert(21, (0, vec![99; 300]));
        let datagrams: Vec<_> = said.iter().map(|(_, bytes)| IoSlice::new(bytes)).collect();
        let to: Vec<_> = said.iter().map(|(port, _)| Some(address(*port))).collect();

        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let mut sender = Sender::new(&socket);
        assert!(sender.cutting.is_some(), "a kernel of today cuts");
        let sent = sender.send(socket.as_raw_fd(), &datagrams, &to, MsgFlags::empty());
        assert_eq!(sent, Ok(said.len()));

        let mut buffer = [0; 1_000];
        for (port, bytes) in said.iter().filter(|(port, _)| *port != 0) {
            let receiver = &receivers[usize::from(*port != ports[0])];
            let len = receiver.recv(&mut buffer).expect("a datagram");
            assert_eq!(&buffer[..len], bytes);
        }
    }
}
