//! Peers on the local network (BEP 14): says which torrents are here and hears who has the same.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use bittorrent::id::InfoHash;
use bittorrent::lsd::{GROUP_V4, GROUP_V6, HASHES_MAX, MESSAGE_MAX, Search};
use bittorrent::swarm::{Command, PeerSource};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use super::shared::Shared;

/// How often everything is said again (BEP 14).
const INTERVAL: Duration = Duration::from_secs(5 * 60);
/// New torrents are said this soon, and not more often than this.
const SOON: Duration = Duration::from_secs(1);

/// Runs for as long as the session; without multicast it ends at once.
pub(super) async fn run(shared: Rc<Shared>) {
    let mut sockets = Vec::new();
    for listen in &shared.listens {
        match join(listen.ip()) {
            Ok(socket) => sockets.push((socket, *listen)),
            Err(error) => tracing::debug!(%listen, %error, "no local service discovery"),
        }
    }
    let Ok(cookie) = getrandom::u32() else { return };
    let cookie = format!("{cookie:08x}");
    for (socket, listen) in sockets {
        let (shared, cookie) = (shared.clone(), cookie.clone());
        let socket = Rc::new(socket);
        tokio::task::spawn_local(hear(shared.clone(), socket.clone(), cookie.clone()));
        tokio::task::spawn_local(say(shared, socket, listen, cookie));
    }
}

/// A socket in the group, on the interface that has the address `local`.
fn join(local: IpAddr) -> io::Result<UdpSocket> {
    let (domain, group) = match local {
        IpAddr::V4(_) => (Domain::IPV4, GROUP_V4),
        IpAddr::V6(_) => (Domain::IPV6, GROUP_V6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    match (local, group.ip()) {
        (IpAddr::V4(local), IpAddr::V4(group_ip)) => {
            socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, group.port())).into())?;
            socket.join_multicast_v4(&group_ip, &local)?;
            socket.set_multicast_if_v4(&local)?;
            socket.set_multicast_loop_v4(true)?;
        }
        (IpAddr::V6(_), IpAddr::V6(group_ip)) => {
            socket.set_only_v6(true)?;
            socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, group.port())).into())?;
            socket.join_multicast_v6(&group_ip, 0)?;
            socket.set_multicast_loop_v6(true)?;
        }
        _ => return Err(io::ErrorKind::Unsupported.into()),
    }
    UdpSocket::from_std(socket.into())
}

async fn say(shared: Rc<Shared>, socket: Rc<UdpSocket>, listen: SocketAddr, cookie: String) {
    let group = if listen.is_ipv4() { GROUP_V4 } else { GROUP_V6 };
    let mut said: HashMap<InfoHash, tokio::time::Instant> = HashMap::new();
    loop {
        tokio::time::sleep(SOON).await;
        let now = tokio::time::Instant::now();
        said.retain(|_, at| now - *at < INTERVAL);
        let due: Vec<InfoHash> = shared
            .torrents()
            .iter()
            .filter(|torrent| torrent.is_public() && !torrent.stopped.get())
            .flat_map(|torrent| torrent.hashes.handshake_hashes())
            .filter(|hash| !said.contains_key(hash))
            .take(HASHES_MAX)
            .collect();
        if due.is_empty() {
            continue;
        }
        said.extend(due.iter().map(|hash| (*hash, now)));
        let search = Search { port: listen.port(), info_hashes: due, cookie: Some(cookie.clone()) };
        if let Err(error) = socket.send_to(&search.encode(group), group).await {
            tracing::debug!(%error, "local service discovery: cannot send");
        }
    }
}

async fn hear(shared: Rc<Shared>, socket: Rc<UdpSocket>, cookie: String) {
    let mut buffer = [0; MESSAGE_MAX + 1];
    loop {
        let (len, from) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => return tracing::debug!(%error, "local service discovery ended"),
        };
        let Some(search) = Search::decode(&buffer[..len]) else { continue };
        if search.cookie.as_ref() == Some(&cookie) {
            continue;
        }
        let peer = SocketAddr::new(from.ip(), search.port);
        for hash in search.info_hashes {
            if let Some(torrent) = shared.by_hash(hash).filter(|torrent| torrent.is_public()) {
                torrent.command(Command::AddPeers(vec![peer], PeerSource::Lsd));
            }
        }
    }
}
