//! Which hash tables the node is in and whom it met there, from one run to the next: a file that is
//! replaced whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::{OverlayWish, lock};

/// Its name in the folder of the state.
const FILE: &str = "hash-tables.json";
/// Longest that is read, in bytes.
const FILE_MAX: u64 = 256 * 1024;
/// Most nodes of one network that are kept.
const MET_MAX: usize = 32;

/// One network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// Where its user wanted it to listen.
    pub(super) listen: Option<SocketAddr>,
    /// Whom its user named, as `HOST:PORT`.
    pub(super) known: Vec<String>,
    /// Where it was.
    pub(super) address: Option<SocketAddr>,
    /// Whom it met.
    pub(super) met: Vec<SocketAddr>,
}

impl Kept {
    pub(super) fn wish(&self) -> OverlayWish {
        OverlayWish { listen: self.listen, known: self.known.clone() }
    }
}

/// All of them, by name.
pub(super) struct KeptFile {
    path: PathBuf,
    all: Mutex<BTreeMap<String, Kept>>,
}

impl KeptFile {
    /// What is kept in `folder`. A file that cannot be understood is as good as none.
    pub(super) fn open(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let all = read(&path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "hash tables are not joined again");
            BTreeMap::new()
        });
        Self { path, all: Mutex::new(all) }
    }

    pub(super) fn names(&self) -> Vec<String> {
        lock(&self.all).keys().cloned().collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<Kept> {
        lock(&self.all).get(name).cloned()
    }

    /// A network is joined by its user's will: whom it met in another of that name does not count.
    pub(super) fn joined(&self, name: &str, wish: &OverlayWish) {
        let OverlayWish { listen, known } = wish.clone();
        self.change(|all| {
            all.insert(name.to_owned(), Kept { listen, known, ..Kept::default() });
        });
    }

    pub(super) fn left(&self, name: &str) {
        self.change(|all| drop(all.remove(name)));
    }

    /// Where the node is, and whom it knows. Whoever knows nobody for the moment keeps those before.
    pub(super) fn met(&self, name: &str, address: SocketAddr, mut met: Vec<SocketAddr>) {
        met.retain(|&other| other != address);
        met.truncate(MET_MAX);
        self.change(|all| {
            let Some(kept) = all.get_mut(name) else { return };
            kept.address = Some(address);
            if !met.is_empty() {
                kept.met = met;
            }
        });
    }

    /// That it cannot be kept undoes nothing.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Kept>)) {
        let mut all = lock(&self.all);
        let before = all.clone();
        change(&mut all);
        if *all != before
            && let Err(error) = write(&self.path, &all)
        {
            tracing::warn!(path = %self.path.display(), %error, "hash tables are not kept");
        }
    }
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Kept>> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn write(path: &Path, all: &BTreeMap<String, Kept>) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, serde_json::to_vec_pretty(all)?)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn what_is_joined_and_met_is_there_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = KeptFile::open(folder.path());
        assert!(file.names().is_empty());
        let wish = OverlayWish { listen: Some(address(1)), known: vec!["a:1".to_owned()] };
        file.joined("can", &wish);
        file.joined("pastry", &OverlayWish::default());
        file.met("can", address(1), (1..100).map(address).collect());
        file.met("can", address(1), Vec::new());
        file.met("kelips", address(1), vec![address(2)]);
        file.left("pastry");
        let again = KeptFile::open(folder.path());
        assert_eq!(again.names(), ["can"]);
        let kept = again.get("can").expect("it is kept");
        assert_eq!((kept.wish(), kept.address), (wish.clone(), Some(address(1))));
        assert_eq!((kept.met.len(), kept.met[0]), (MET_MAX, address(2)), "not itself");
        again.joined("can", &wish);
        assert!(again.get("can").expect("it is kept").met.is_empty(), "another network");
    }

    #[test]
    fn a_damaged_file_is_as_good_as_none() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "{\"can\": 7").expect("written");
        assert!(KeptFile::open(folder.path()).names().is_empty());
    }
}
