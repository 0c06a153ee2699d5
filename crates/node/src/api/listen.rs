//! Where the HTTP interfaces are reached.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// Reads `ADDR:PORT`, a port alone on the loopback address, or `unix:/path`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return path.starts_with('/').then(|| Self::Unix(path.into()));
        }
        let port = text.parse().ok().map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)));
        port.or_else(|| text.parse().ok()).map(Self::Tcp)
    }

    /// Whether others than this machine's users can reach it.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_and_unix_sockets_are_not_public() {
        for (text, public) in [
            ("127.0.0.1:7680", Some(false)),
            ("7680", Some(false)),
            ("[::1]:1", Some(false)),
            ("[::ffff:127.0.0.1]:1", Some(false)),
            ("unix:/run/shoal.sock", Some(false)),
            ("0.0.0.0:1", Some(true)),
            ("[::]:1", Some(true)),
            ("192.0.2.1:1", Some(true)),
            ("unix:relative", None),
            ("localhost:1", None),
            ("", None),
        ] {
            assert_eq!(Listen::parse(text).map(|listen| listen.is_public()), public, "{text}");
        }
    }
}
