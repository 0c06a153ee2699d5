//! The nodes that one begins with, by the names that users give them. A name may lead anywhere, so
//! where it leads is judged as it is for URLs of strangers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::url_policy::{Reach, reach};

/// Well-known nodes of the public mainline DHT. Nobody asks them unless the user wants the public
/// network.
pub const MAINLINE: &[&str] =
    &["router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "dht.libtorrent.org:25401"];

/// How long a name may take to resolve.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most addresses of one name.
const ADDRESSES_MAX: usize = 8;

/// Why a name is of no use.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// It is not a host and a port.
    #[error("`{0}` is not a host and a port such as 192.0.2.1:6881")]
    Form(String),
    /// It does not resolve.
    #[error("{name}: {error}")]
    Resolve {
        /// The name.
        name: String,
        /// What the resolver says.
        error: io::Error,
    },
    /// It leads nowhere that a node could be.
    #[error("{0} names no address of a host")]
    Address(String),
}

/// The addresses of a node that is named as `HOST:PORT`.
///
/// # Errors
/// If it has no such form, does not resolve, or leads only to link-local addresses, to those of no
/// host, or by a domain name to this very host.
pub async fn resolve(name: &str) -> Result<Vec<SocketAddr>, BootstrapError> {
    let form = || BootstrapError::Form(name.to_owned());
    if let Ok(address) = name.parse::<SocketAddr>() {
        return checked(name, vec![address], false);
    }
    let (host, port) = name.rsplit_once(':').ok_or_else(form)?;
    let port: u16 = port.parse().ok().filter(|&port| port > 0).ok_or_else(form)?;
    if host.is_empty() || host.contains([':', '/', '@']) {
        return Err(form());
    }
    let failed = |error| BootstrapError::Resolve { name: name.to_owned(), error };
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    checked(name, found.take(ADDRESSES_MAX).collect(), host != "localhost")
}

/// Those of `addresses` that may be asked. Names of others must not lead to this host.
fn checked(
    name: &str,
    mut addresses: Vec<SocketAddr>,
    is_remote: bool,
) -> Result<Vec<SocketAddr>, BootstrapError> {
    addresses.retain(|address| match reach(address.ip()) {
        Reach::LinkLocal | Reach::Nowhere => false,
        Reach::Loopback => !is_remote && address.port() > 0,
        Reach::Public | Reach::Private => address.port() > 0,
    });
    if addresses.is_empty() { Err(BootstrapError::Address(name.to_owned())) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_lead_to_hosts_or_are_refused() {
        for (name, leads) in [
            ("127.0.0.1:6881", true),
            ("[::1]:6881", true),
            ("192.0.2.1:1", true),
            ("localhost:6881", true),
            ("127.0.0.1:0", false),
            ("0.0.0.0:6881", false),
            ("224.0.0.1:6881", false),
            ("169.254.169.254:80", false),
            ("[fe80::1]:6881", false),
            ("localhost", false),
            (":6881", false),
            ("http://127.0.0.1:80", false),
            ("localhost:65536", false),
        ] {
            assert_eq!(resolve(name).await.is_ok(), leads, "{name}");
        }
    }

    #[test]
    fn names_of_others_do_not_lead_here() {
        let here = vec![SocketAddr::from(([127, 0, 0, 1], 6881))];
        assert!(checked("rebound.example:6881", here, true).is_err());
    }
}
