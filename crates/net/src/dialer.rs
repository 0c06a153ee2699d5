//! Sockets of a session, those that listen and those that go out: every one of them, so that all traffic leaves by the interface and from the
//! addresses that the user chose.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// How long a TCP connection may take to be established.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 1_024;
/// Ports that the system is asked for until it names one that both TCP and UDP can have.
const PORTS_TRIED: u32 = 16;

/// Where outgoing sockets begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialer {
    /// The name of the network interface that all traffic must use. Sockets fail rather than use
    /// another.
    pub interface: Option<String>,
    /// The source address over IPv4.
    pub local_v4: Option<Ipv4Addr>,
    /// The source address over IPv6.
    pub local_v6: Option<Ipv6Addr>,
}

impl Dialer {
    /// A dialer whose sockets leave from the addresses that a program listens on, so that peers
    /// see it under the address that it announces.
    #[must_use]
    pub fn for_listeners(listens: &[SocketAddr], interface: Option<String>) -> Self {
        let mut dialer = Self { interface, ..Self::default() };
        for listen in listens.iter().filter(|listen| !listen.ip().is_unspecified()) {
            match listen.ip() {
                IpAddr::V4(ip) => dialer.local_v4 = dialer.local_v4.or(Some(ip)),
                IpAddr::V6(ip) => dialer.local_v6 = dialer.local_v6.or(Some(ip)),
            }
        }
        dialer
    }

    /// Connects, within [`CONNECT_TIMEOUT`], with small writes sent at once.
    ///
    /// # Errors
    /// As connecting and binding do; `TimedOut` after the timeout.
    pub async fn tcp(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        socket.bind_device(self.interface.as_ref().map(String::as_bytes))?;
        if let Some(local) = self.local(to) {
            socket.bind(local)?;
        }
        tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(to))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("connecting to {to}")))?
    }

    /// A datagram socket that speaks with one address only.
    ///
    /// # Errors
    /// As binding and connecting do.
    pub async fn udp(&self, to: SocketAddr) -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        socket.bind_device(self.interface.as_ref().map(String::as_bytes))?;
        let any: IpAddr =
            if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        socket.bind(&self.local(to).unwrap_or(SocketAddr::new(any, 0)).into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        socket.connect(to).await?;
        Ok(socket)
    }

    fn local(&self, to: SocketAddr) -> Option<SocketAddr> {
        let ip = match to {
            SocketAddr::V4(_) => self.local_v4.map(IpAddr::from),
            SocketAddr::V6(_) => self.local_v6.map(IpAddr::from),
        };
        ip.map(|ip| SocketAddr::new(ip, 0))
    }
}

/// Listens for connections and datagrams on one port, on an interface if one is named. Where the system chooses the port, one that
/// only one of the two can have is given back for another.
///
/// # Errors
/// As binding does.
pub fn listen(
    address: SocketAddr,
    interface: Option<&str>,
    tcp: bool,
    udp: bool,
) -> io::Result<(Option<TcpListener>, Option<UdpSocket>)> {
    let mut tries = if address.port() == 0 { PORTS_TRIED } else { 1 };
    loop {
        tries -= 1;
        let listener = tcp.then(|| listen_tcp(address, interface)).transpose()?;
        let bound = listener.as_ref().map_or(Ok(address), TcpListener::local_addr)?;
        match udp.then(|| bind_udp(bound, interface)).transpose() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            socket => return Ok((listener, socket?)),
        }
    }
}

fn bind_udp(address: SocketAddr, interface: Option<&str>) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind_device(interface.map(str::as_bytes))?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn listen_tcp(address: SocketAddr, interface: Option<&str>) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind_device(interface.map(str::as_bytes))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_leave_from_the_address_that_was_chosen() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let dialer = Dialer { local_v4: Some([127, 0, 0, 9].into()), ..Dialer::default() };
        let stream = dialer.tcp(listener.local_addr()?).await?;
        assert_eq!(stream.local_addr()?.ip(), IpAddr::from([127, 0, 0, 9]));
        let socket = dialer.udp(listener.local_addr()?).await?;
        assert_eq!(socket.local_addr()?.ip(), IpAddr::from([127, 0, 0, 9]));
        Ok(())
    }

    #[tokio::test]
    async fn a_chosen_port_serves_both() -> io::Result<()> {
        // An address of its own, where UDP has one port in fifty.
        let host = Ipv4Addr::new(127, 0, 0, 53);
        let taken: Vec<_> = (32_768..61_000)
            .step_by(51)
            .filter_map(|port| std::net::UdpSocket::bind((host, port)).ok())
            .collect();
        assert!(!taken.is_empty());
        for _ in 0..300 {
            let (tcp, udp) = listen(SocketAddr::from((host, 0)), None, true, true)?;
            let (tcp, udp) = (tcp.expect("asked for"), udp.expect("asked for"));
            assert_eq!(tcp.local_addr()?, udp.local_addr()?);
        }
        let busy = taken[0].local_addr()?;
        let refused = listen(busy, None, true, true).err().map(|error| error.kind());
        assert_eq!(refused, Some(io::ErrorKind::AddrInUse), "a port that was named");
        Ok(())
    }

    #[tokio::test]
    async fn an_interface_that_is_not_there_is_an_error() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let dialer = Dialer { interface: Some("absent0".into()), ..Dialer::default() };
        assert!(dialer.tcp(listener.local_addr()?).await.is_err());
        assert!(dialer.udp(listener.local_addr()?).await.is_err());
        Ok(())
    }
}
