//! How programs of the same user find the node that runs: a file in its state folder says where its
//! interfaces are, beside the token that opens them.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Listen;
use super::auth::{TOKEN_FILE, read_text};

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
        let path = folder.join(ADDRESS_FILE);
        // After a sudden end somebody else may listen where the node was, who must not get the
        // token. The file is locked for as long as the node is there.
        match File::open(&path) {
            Ok(file) if matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => return Ok(None),
        }
        let place = read_text(&path)?;
        let token = read_text(&folder.join(TOKEN_FILE))?;
        let (Some(place), Some(token)) = (place, token) else { return Ok(None) };
        Ok(Listen::parse(&place).map(|place| Self { place, token }))
    }
}

/// The file that says where the interfaces are, while they are there.
pub(super) struct Notice {
    path: PathBuf,
    /// Locked until it is closed.
    _file: File,
}

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
        let fresh = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.try_lock()?;
        writeln!(file, "{place}")?;
        fs::rename(&fresh, &path)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // A stale one says only where nobody answers.
        let _ = fs::remove_file(&self.path);
    }
}

/// Where this machine's own programs reach what listens on `address`.
#[must_use]
pub fn reachable(address: SocketAddr) -> SocketAddr {
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
        // A node that ended suddenly has left it behind.
        std::fs::write(folder.join(ADDRESS_FILE), "127.0.0.1:7\n").expect("written");
        assert!(Endpoint::find(folder).expect("readable").is_none());
    }
}
