//! How programs of the same user find the node that runs: a file in its state folder says where its
//! interfaces are, beside the token that opens them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Listen;
use super::auth::{TOKEN_FILE, read_text, write_private};
use crate::state::State;

/// The file, in the state folder.
const ADDRESS_FILE: &str = "api-address";

/// Where the interfaces of a node are, and what opens them.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The place to connect to.
    pub place: Listen,
    /// What requests give as `Authorization: Bearer TOKEN`.
    pub token: String,
}

impl Endpoint {
    /// Finds the node that runs with its state in `folder`.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn find(folder: &Path) -> io::Result<Option<Self>> {
        // After a sudden end somebody else may listen where the node was, who must not get the
        // token: nobody but a node keeps its state locked.
        if !State::is_in_use(folder) {
            return Ok(None);
        }
        let place = read_text(&folder.join(ADDRESS_FILE))?;
        let token = read_text(&folder.join(TOKEN_FILE))?;
        let (Some(place), Some(token)) = (place, token) else { return Ok(None) };
        Ok(Listen::parse(&place).map(|place| Self { place, token }))
    }
}

/// The file that says where the interfaces are, while they are there.
pub(super) struct Notice(PathBuf);

impl Notice {
    /// Writes it.
    pub(super) fn post(
        folder: &Path,
        listen: &Listen,
        address: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let place = match (listen, address) {
            (Listen::Tcp(_), Some(address)) => reachable(address).to_string(),
            (Listen::Tcp(address), None) => reachable(*address).to_string(),
            (Listen::Unix(path), _) => format!("unix:{}", std::path::absolute(path)?.display()),
        };
        let path = folder.join(ADDRESS_FILE);
        write_private(&path, &format!("{place}\n"))?;
        Ok(Self(path))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // A stale one says only where nobody answers.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where this machine's own programs reach what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_found_while_it_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::write(folder.join(TOKEN_FILE), "secret\n").expect("written");
        let state = State::open(folder).expect("opens");
        assert!(Endpoint::find(folder).expect("readable").is_none());
        for (listen, bound, place) in [
            ("0.0.0.0:0", Some("0.0.0.0:5"), "127.0.0.1:5"),
            ("[::]:0", Some("[::]:5"), "[::1]:5"),
            ("127.0.0.1:7", Some("127.0.0.1:7"), "127.0.0.1:7"),
            ("unix:/run/it", None, "unix:/run/it"),
        ] {
            let listen = Listen::parse(listen).expect("good");
            let bound = bound.map(|address| address.parse().expect("an address"));
            let notice = Notice::post(folder, &listen, bound).expect("written");
            let found = Endpoint::find(folder).expect("readable").expect("there");
            assert_eq!(Some(found.place), Listen::parse(place));
            assert_eq!(found.token, "secret");
            drop(notice);
            assert!(Endpoint::find(folder).expect("readable").is_none());
        }
        let _stale = Notice::post(folder, &Listen::Unix("/run/it".into()), None).expect("written");
        assert!(Endpoint::find(folder).expect("readable").is_some());
        drop(state);
        assert!(Endpoint::find(folder).expect("readable").is_none());
    }
}
