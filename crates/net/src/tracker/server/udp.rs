//! The UDP side: one thread around one socket, a batch of datagrams in, a batch of answers out.
//! Nothing is allocated for a request, and the clock is read once for a batch.

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
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
use nix::sys::socket::{MsgFlags, SockaddrIn, SockaddrIn6};

use super::state::{Origin, State};
use crate::datagram::batch::{BATCH, Family, Received, Sender};

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
        Ok(true) => serve_family::<SockaddrIn>(socket, state, stopped),
        Ok(false) => serve_family::<SockaddrIn6>(socket, state, stopped),
        Err(error) => tracing::error!(%error, "the UDP tracker cannot use its socket"),
    }
}

fn serve_family<S: Family>(socket: &UdpSocket, state: &State, stopped: impl Fn() -> bool) {
    let fd = socket.as_raw_fd();
    let mut rng = Rng::new(getrandom::u64().unwrap_or(1));
    let mut received = Received::<S>::new(MAX_REQUEST);
    let mut sender = Sender::new(socket);
    let mut answers: Vec<Vec<u8>> = (0..BATCH).map(|_| Vec::with_capacity(2_048)).collect();
    let mut to = [None; BATCH];
    while !stopped() {
        match received.receive(fd, MsgFlags::MSG_WAITFORONE) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(error) => {
                // Errors of earlier datagrams that the system reports here are no reason to stop.
                tracing::debug!(%error, "receiving datagrams");
                continue;
            }
        }
        let now = state.now();
        let mut tally = Tally::default();
        let mut filled = 0;
        for (from, request) in received.iter() {
            let answer = &mut answers[filled];
            answer.clear();
            answer_one(state, now, request, from.to_std(), &mut rng, answer, &mut tally);
            if !answer.is_empty() {
                to[filled] = Some(from);
                filled += 1;
            }
        }
        let slices: Vec<_> = answers[..filled].iter().map(|it| IoSlice::new(it)).collect();
        let mut done = 0;
        while done < filled {
            // The socket waits for room itself.
            let sent = sender.send(fd, &slices[done..], &to[done..filled], MsgFlags::empty());
            done += sent.unwrap_or(1);
        }
        count_in(state, tally);
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
