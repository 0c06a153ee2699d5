//! Options that several commands share, and the session they describe.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use bittorrent::peer_address::is_dialable;
use clap::{Args, ValueEnum};
use net::dht::MAINLINE;
use net::session::{DhtConfig, Encryption, SessionConfig};

use crate::units::{RateLimit, parse_rate};

/// Regular upload slots per torrent.
const UPLOAD_SLOTS: usize = 4;

/// Connections at once, unless it is said otherwise.
const CONNECTIONS: usize = 200;

/// How to meet other peers.
#[derive(Args, Debug)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Accept peers here, over TCP and uTP; a port alone means every address of this machine.
    /// May be repeated [default: a free port on every address]
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
    pub listen: Vec<Listen>,
    /// Send and receive through this network interface only
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Most bytes of payload sent per second, such as 500K or 2MiB; 0 is no limit
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub up: RateLimit,
    /// Most bytes of payload received per second; 0 is no limit
    #[arg(long, value_name = "RATE", value_parser = parse_rate, default_value = "0")]
    pub down: RateLimit,
    /// Whether connections are obfuscated
    #[arg(long, value_name = "WHEN", value_enum, default_value = "allow")]
    pub encryption: EncryptionArg,
    /// Use TCP only
    #[arg(long, conflicts_with = "no_tcp")]
    pub no_utp: bool,
    /// Use uTP only
    #[arg(long)]
    pub no_tcp: bool,
    /// Do not look for peers on the local network
    #[arg(long)]
    pub no_lsd: bool,
    /// Do not exchange addresses of peers with other peers
    #[arg(long)]
    pub no_pex: bool,
    /// Begin the distributed hash table with this node; may be repeated
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "no_dht")]
    pub dht_bootstrap: Vec<String>,
    /// Begin the distributed hash table with the well-known nodes of the public network
    #[arg(long, conflicts_with = "no_dht")]
    pub public_dht: bool,
    /// Do without the distributed hash table
    #[arg(long)]
    pub no_dht: bool,
    /// Ask the router to let peers in, by PCP, NAT-PMP or UPnP
    #[arg(long, conflicts_with = "interface")]
    pub map_ports: bool,
    /// Ask no tracker
    #[arg(long)]
    pub no_tracker: bool,
    /// Most connections at once
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS, value_parser = connections)]
    pub max_connections: usize,
    /// Dial this peer at once; may be repeated
    #[arg(long = "peer", value_name = "ADDR:PORT", value_parser = parse_peer)]
    pub peers: Vec<Peers>,
    /// Stop when standard input ends, as after a signal: for programs that start this one
    #[arg(long)]
    pub stop_at_eof: bool,
}

/// A place to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// One address.
    At(SocketAddr),
    /// Every address of the machine.
    Port(u16),
}

/// The addresses that one `--peer` stands for.
#[derive(Clone, Debug)]
pub struct Peers(pub Vec<SocketAddr>);

/// [`Encryption`], as an option.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EncryptionArg {
    /// Plain connections only
    Off,
    /// Dial plain, fall back to obfuscated, accept both
    Allow,
    /// Dial obfuscated, fall back to plain, accept both
    Prefer,
    /// Obfuscated connections only
    Require,
}

impl NetworkArgs {
    /// The session that these options describe.
    #[must_use]
    pub fn session(&self) -> SessionConfig {
        SessionConfig {
            listen: listen_addresses(&self.listen),
            interface: self.interface.clone(),
            upload_limit: self.up.0,
            download_limit: self.down.0,
            encryption: match self.encryption {
                EncryptionArg::Off => Encryption::Off,
                EncryptionArg::Allow => Encryption::Allow,
                EncryptionArg::Prefer => Encryption::Prefer,
                EncryptionArg::Require => Encryption::Require,
            },
            tcp: !self.no_tcp,
            utp: !self.no_utp,
            lsd: !self.no_lsd,
            pex: !self.no_pex,
            dht: (!self.no_dht).then(|| DhtConfig { bootstrap: self.dht_nodes(), state: None }),
            port_mapping: self.map_ports,
            max_connections: self.max_connections,
            upload_slots: UPLOAD_SLOTS,
            ..SessionConfig::default()
        }
    }

    /// Whether these options say of a session what the node that runs has its own mind about. It
    /// can be told of peers and of limits.
    #[must_use]
    pub fn need_own_session(&self) -> bool {
        let lists = !self.listen.is_empty() || !self.dht_bootstrap.is_empty();
        let switches = [
            self.no_utp,
            self.no_tcp,
            self.no_lsd,
            self.no_pex,
            self.no_dht,
            self.no_tracker,
            self.public_dht,
            self.map_ports,
            self.stop_at_eof,
        ];
        lists
            || self.interface.is_some()
            || !matches!(self.encryption, EncryptionArg::Allow)
            || self.max_connections != CONNECTIONS
            || switches.contains(&true)
    }

    fn dht_nodes(&self) -> Vec<String> {
        let public = if self.public_dht { MAINLINE } else { &[] };
        let public = public.iter().map(|&name| name.to_owned());
        self.dht_bootstrap.iter().cloned().chain(public).collect()
    }

    /// All addresses of `--peer`.
    #[must_use]
    pub fn peer_addresses(&self) -> Vec<SocketAddr> {
        self.peers.iter().flat_map(|peers| &peers.0).copied().collect()
    }
}

/// What to bind for `listen`; a free port on every address if it is empty.
#[must_use]
pub fn listen_addresses(listen: &[Listen]) -> Vec<SocketAddr> {
    let listen = if listen.is_empty() { &[Listen::Port(0)] } else { listen };
    let mut addresses = Vec::new();
    for place in listen {
        match *place {
            Listen::At(address) => addresses.push(address),
            Listen::Port(port) => {
                addresses.push((Ipv4Addr::UNSPECIFIED, port).into());
                if has_ipv6() {
                    addresses.push((Ipv6Addr::UNSPECIFIED, port).into());
                }
            }
        }
    }
    addresses
}

fn has_ipv6() -> bool {
    UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// Reads a place to listen: `127.0.0.1:6881`, `[::1]:6881`, `6881`.
///
/// # Errors
/// In words, for the user.
pub fn parse_listen(text: &str) -> Result<Listen, String> {
    if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
        return Ok(Listen::Port(port));
    }
    let address = text.parse().map_err(|_| {
        format!("`{text}` is not an address and a port such as 192.0.2.1:6881, [::1]:6881 or 6881")
    })?;
    Ok(Listen::At(address))
}

/// Reads a peer's address, by name or by number.
fn parse_peer(text: &str) -> Result<Peers, String> {
    let addresses: Vec<_> = text.to_socket_addrs().map_err(|error| error.to_string())?.collect();
    let usable = |address| is_dialable(address, true);
    if addresses.is_empty() || !addresses.iter().all(usable) {
        return Err("a peer has a unicast address and a port above 0".to_owned());
    }
    Ok(Peers(addresses))
}

fn connections(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&count| count > 0).ok_or_else(|| "at least 1 is needed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_to_listen_are_addresses_or_ports() {
        assert_eq!(parse_listen("6881"), Ok(Listen::Port(6881)));
        assert_eq!(parse_listen(":6881"), Ok(Listen::Port(6881)));
        let address = "[::1]:0".parse().expect("an address");
        assert_eq!(parse_listen("[::1]:0"), Ok(Listen::At(address)));
        for text in ["", "65536", "127.0.0.1", "localhost:80", "[::1]"] {
            assert!(parse_listen(text).is_err(), "{text}");
        }
        assert_eq!(listen_addresses(&[Listen::At(address)]), [address]);
        assert_eq!(listen_addresses(&[])[0], "0.0.0.0:0".parse().expect("an address"));
    }

    #[test]
    fn ma_04_peers_have_unicast_addresses_and_ports() {
        assert!(parse_peer("127.0.0.1:6881").is_ok());
        assert!(parse_peer("[2001:db8::1]:6881").is_ok());
        for text in
            ["127.0.0.1:0", "224.0.0.1:80", "0.0.0.0:80", "[ff02::1]:80", "255.255.255.255:1"]
        {
            assert!(parse_peer(text).is_err(), "{text}");
        }
    }
}
