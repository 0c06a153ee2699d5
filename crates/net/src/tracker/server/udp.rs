//! The UDP side: one thread around one socket, a batch of datagrams in, a batch of answers out.
//! Nothing is allocated for a request, and the clock is read once for a batch.

use std::io::{IoSlice, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::tracker::table::Counts;
use bittorrent::tracker::udp::{
    ANNOUNCE_HEAD_LEN, Request, announce_head, write_connect, write_error, write_scrape,
};
use machine::{Instant, Rng};
use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg,
};

use super::state::{Origin, State};

/// Datagrams taken at once.
const BATCH: usize = 64;
/// Longest datagram that is read: a scrape of 74 torrents has 1496 bytes.
const MAX_REQUEST: usize = 2_048;
/// Most peers in one datagram of either family, so that it fits the packets of IPv6 without being
/// taken apart; IPv4 has more room than anybody asks for.
const MAX_V4: usize = 200;
const MAX_V6: usize = (1_280 - 48 - ANNOUNCE_HEAD_LEN) / 18;
/// How often an idle thread looks whether it is to end.
const IDLE: Duration = Duration::from_millis(250);

/// What one batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) connects: u64,
    pub(super) announces: u64,
    pub(super) scrapes: u64,
    pub(super) refused: u64,
    pub(super) dropped: u64,
}

/// Serves one socket until `stopped`.
pub(super) fn serve(socket: &UdpSocket, state: &State, stopped: impl Fn() -> bool) {
    let family = socket.local_addr().and_then(|address| {
        socket.set_read_timeout(Some(IDLE))?;
        Ok(address.is_ipv4())
    });
    match family {
        Ok(true) => {
            serve_family(socket, state, stopped, |from: SockaddrIn| SocketAddrV4::from(from).into())
        }
        Ok(false) => serve_family(socket, state, stopped, |from: SockaddrIn6| {
            SocketAddrV6::from(from).into()
        }),
        Err(error) => tracing::error!(%error, "the UDP tracker cannot use its socket"),
    }
}

fn serve_family<S: SockaddrLike + Copy>(
    socket: &UdpSocket,
    state: &State,
    stopped: impl Fn() -> bool,
    to_std: fn(S) -> SocketAddr,
) {
    let fd = socket.as_raw_fd();
    let mut rng = Rng::new(getrandom::u64().unwrap_or(1));
    let mut received = MultiHeaders::<S>::preallocate(BATCH, None);
    let mut sent = MultiHeaders::<S>::preallocate(BATCH, None);
    let mut requests = vec![[0; MAX_REQUEST]; BATCH];
    let mut senders = [(0, None); BATCH];
    let mut answers: Vec<Vec<u8>> = (0..BATCH).map(|_| Vec::with_capacity(2_048)).collect();
    let mut to = [None; BATCH];
    while !stopped() {
        let count = match receive(fd, &mut received, &mut requests, &mut senders) {
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => {
                // Errors of earlier datagrams that the system reports here are no reason to stop.
                tracing::debug!(%error, "receiving datagrams");
                continue;
            }
        };
        let now = state.now();
        let mut tally = Tally::default();
        let mut filled = 0;
        for (request, &(len, from)) in requests.iter().zip(&senders).take(count) {
            let Some(from) = from else { continue };
            let answer = &mut answers[filled];
            answer.clear();
            answer_one(state, now, &request[..len], to_std(from), &mut rng, answer, &mut tally);
            if !answer.is_empty() {
                to[filled] = Some(from);
                filled += 1;
            }
        }
        send(fd, &mut sent, &answers[..filled], &to[..filled]);
        count_in(state, tally);
    }
}

fn receive<S: SockaddrLike + Copy>(
    fd: i32,
    headers: &mut MultiHeaders<S>,
    requests: &mut [[u8; MAX_REQUEST]],
    senders: &mut [(usize, Option<S>); BATCH],
) -> nix::Result<usize> {
    let mut slices: Vec<_> = requests.iter_mut().map(|to| [IoSliceMut::new(to)]).collect();
    let results = recvmmsg(fd, headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
    let mut count = 0;
    for (sender, message) in senders.iter_mut().zip(results) {
        *sender = (message.bytes, message.address);
        count += 1;
    }
    Ok(count)
}

fn send<S: SockaddrLike + Copy>(
    fd: i32,
    headers: &mut MultiHeaders<S>,
    answers: &[Vec<u8>],
    to: &[Option<S>],
) {
    let slices: Vec<_> = answers.iter().map(|answer| [IoSlice::new(answer)]).collect();
    let mut done = 0;
    while done < slices.len() {
        let results = sendmmsg(fd, headers, &slices[done..], &to[done..], [], MsgFlags::empty());
        done += match results {
            Ok(results) => results.count().max(1),
            Err(Errno::EINTR) => 0,
            // That one cannot be sent, for instance because there is no way to its address.
            Err(_) => 1,
        };
    }
}

/// Appends the answer to one datagram, if it deserves one.
pub(super) fn answer_one(
    state: &State,
    now: Instant,
    datagram: &[u8],
    from: SocketAddr,
    rng: &mut Rng,
    answer: &mut Vec<u8>,
    tally: &mut Tally,
) {
    let ip = from.ip();
    match Request::decode(datagram) {
        Ok(Request::Connect { transaction }) => {
            write_connect(answer, transaction, state.connection_id(ip, now));
            tally.connects += 1;
        }
        Ok(Request::Announce { connection, transaction, announce, .. })
            if state.is_good_id(connection, ip, now) =>
        {
            let most = if ip.is_ipv4() { MAX_V4 } else { MAX_V6 };
            let origin = Origin { source: ip, claimed: announce.ipv4.map(Into::into) };
            answer.resize(ANNOUNCE_HEAD_LEN, 0);
            match state.announce(now, origin, &announce, most, rng, answer) {
                Ok(Counts { seeders, leechers }) => {
                    let head = announce_head(transaction, state.interval_secs, leechers, seeders);
                    answer[..ANNOUNCE_HEAD_LEN].copy_from_slice(&head);
                    tally.announces += 1;
                }
                Err(refused) => {
                    answer.clear();
                    write_error(answer, transaction, &refused.to_string());
                    tally.refused += 1;
                }
            }
        }
        Ok(Request::Scrape { connection, transaction, hashes })
            if state.is_good_id(connection, ip, now) =>
        {
            let entries = hashes.iter().map(|hash| state.scrape(&InfoHash(*hash)));
            write_scrape(answer, transaction, entries);
            tally.scrapes += 1;
        }
        _ => tally.dropped += 1,
    }
}

fn count_in(state: &State, tally: Tally) {
    let counters = &state.counters;
    counters.udp_connects.fetch_add(tally.connects, Ordering::Relaxed);
    counters.udp_announces.fetch_add(tally.announces, Ordering::Relaxed);
    counters.udp_scrapes.fetch_add(tally.scrapes, Ordering::Relaxed);
    counters.udp_refused.fetch_add(tally.refused, Ordering::Relaxed);
    counters.udp_dropped.fetch_add(tally.dropped, Ordering::Relaxed);
}
