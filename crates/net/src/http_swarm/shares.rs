//! What is shared and what is being fetched, by hash: where it lies, which of it is there, and who
//! else has it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hash::{Digest, Sha1 as Hasher};
use search::gnutella::Sha1;
use search::gnutella::servent::{NAME_MAX, SharedFile};

use super::tiger_tree::{TigerTree, slice_hash, slice_of};

/// Others that are remembered of one file.
const ALTERNATES_MAX: usize = 32;

/// One file: whole, or as much of it as is verified.
#[derive(Debug)]
pub(crate) struct Share {
    pub(crate) path: PathBuf,
    pub(crate) file: SharedFile,
    /// It is being fetched: hits do not name it.
    pub(super) is_part: bool,
    tree: OnceLock<TigerTree>,
    /// Which bytes are there, in order and apart; whole files have one run.
    pub(super) there: Mutex<Vec<Range<u64>>>,
    alternates: Mutex<VecDeque<SocketAddr>>,
}

impl Share {
    fn new(path: PathBuf, file: SharedFile, tree: Option<TigerTree>, whole: bool) -> Self {
        let there = whole.then_some(0..file.len).into_iter().collect();
        let (there, alternates) = (Mutex::new(there), Mutex::default());
        let tree = tree.map_or_else(OnceLock::new, OnceLock::from);
        Self { path, file, is_part: !whole, tree, there, alternates }
    }

    /// A whole file whose hashes are known. Its tree is made when somebody asks for it.
    pub(crate) fn known(path: PathBuf, file: SharedFile) -> Self {
        Self::new(path, file, None, true)
    }

    /// A file of which nothing is there yet.
    pub(crate) fn partial(path: PathBuf, file: SharedFile, tree: Option<TigerTree>) -> Self {
        Self::new(path, file, tree, false)
    }

    /// Reads a file once, for all of its hashes. Takes as long as that takes.
    pub(crate) fn hash(path: &Path) -> io::Result<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.filter(|name| name.len() <= NAME_MAX && !name.contains('\0'));
        let name = name.ok_or_else(|| bad("a name that cannot be shared"))?.to_owned();
        let mut sha1 = Hasher::new();
        let (len, tree) = read_tree(path, |slice| sha1.update(slice))?;
        let sha1 = Sha1(sha1.finalize().into());
        let file = SharedFile { name, len, sha1, tree: Some(tree.root()) };
        Ok(Self::new(path.to_owned(), file, Some(tree), true))
    }

    /// Whether others can have the tree.
    pub(super) fn has_tree(&self) -> bool {
        self.file.tree.is_some() && (self.tree.get().is_some() || self.is_whole())
    }

    /// The tree of its hashes, made from the file if need be. Takes as long as that takes.
    pub(super) fn make_tree(&self) -> io::Result<&TigerTree> {
        if let Some(tree) = self.tree.get() {
            return Ok(tree);
        }
        let (_, tree) = read_tree(&self.path, |_| {})?;
        if Some(tree.root()) != self.file.tree {
            return Err(bad("not what its hash says"));
        }
        Ok(self.tree.get_or_init(|| tree))
    }

    pub(super) fn is_whole(&self) -> bool {
        matches!(&lock(&self.there)[..], [all] if *all == (0..self.file.len))
    }

    /// More of it is there.
    pub(crate) fn add(&self, range: Range<u64>) {
        let mut there = lock(&self.there);
        let at = there.partition_point(|run| run.end < range.start);
        let mut all = range;
        while let Some(run) = there.get(at).filter(|run| run.start <= all.end) {
            all = run.start.min(all.start)..run.end.max(all.end);
            there.remove(at);
        }
        there.insert(at, all);
    }

    /// As much of a range as is there, from its first byte.
    pub(super) fn has(&self, range: &Range<u64>) -> Option<Range<u64>> {
        let there = lock(&self.there);
        let run = there.iter().find(|run| run.contains(&range.start))?;
        Some(range.start..range.end.min(run.end))
    }

    /// Somebody else has it.
    pub(super) fn learn(&self, addr: SocketAddr) {
        let mut alternates = lock(&self.alternates);
        alternates.retain(|known| *known != addr);
        alternates.push_back(addr);
        if alternates.len() > ALTERNATES_MAX {
            alternates.pop_front();
        }
    }

    /// Others that have it.
    pub(super) fn alternates(&self) -> Vec<SocketAddr> {
        lock(&self.alternates).iter().copied().collect()
    }
}

/// The length of a file and the tree of its hashes; `each` sees all of its bytes in order.
fn read_tree(path: &Path, mut each: impl FnMut(&[u8])) -> io::Result<(u64, TigerTree)> {
    let mut from = File::open(path)?;
    let expected = from.metadata()?.len();
    let size = slice_of(expected);
    let (mut slices, mut len, mut slice) = (Vec::new(), 0, Vec::new());
    loop {
        slice.clear();
        (&mut from).take(size).read_to_end(&mut slice)?;
        if slice.is_empty() && len > 0 {
            break;
        }
        each(&slice);
        slices.push(slice_hash(&slice));
        len += slice.len() as u64;
        if len > expected || (slice.len() as u64) < size {
            break;
        }
    }
    if len != expected {
        return Err(bad("it changed while it was read"));
    }
    Ok((len, TigerTree::new(size, slices)))
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// All files by hash and by number.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    by_sha1: BTreeMap<Sha1, Arc<Share>>,
    by_index: BTreeMap<u32, Sha1>,
}

impl Shares {
    pub(crate) fn insert(&mut self, share: Arc<Share>) {
        self.by_sha1.insert(share.file.sha1, share);
    }

    pub(crate) fn number(&mut self, index: u32, sha1: Sha1) {
        self.by_index.insert(index, sha1);
    }

    pub(crate) fn remove(&mut self, sha1: Sha1) {
        self.by_sha1.remove(&sha1);
        self.by_index.retain(|_, of| *of != sha1);
    }

    /// A part is offered no longer; a whole file that took its place is.
    pub(super) fn remove_partial(&mut self, sha1: Sha1) {
        if self.by_sha1.get(&sha1).is_some_and(|share| share.is_part) {
            self.remove(sha1);
        }
    }

    pub(crate) fn get(&self, sha1: Sha1) -> Option<Arc<Share>> {
        self.by_sha1.get(&sha1).cloned()
    }

    pub(crate) fn at(&self, index: u32) -> Option<Arc<Share>> {
        self.get(*self.by_index.get(&index)?)
    }
}

/// A poisoned lock guards data that is whole between statements.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_touch_become_one() {
        let file = SharedFile { name: "x".into(), len: 100, sha1: Sha1([0; 20]), tree: None };
        let share = Share::partial(PathBuf::new(), file, None);
        for range in [40..50, 0..10, 60..70, 50..60, 10..11] {
            share.add(range);
        }
        assert_eq!(*lock(&share.there), [0..11, 40..70]);
        assert_eq!(share.has(&(45..90)), Some(45..70));
        assert_eq!(share.has(&(20..90)), None);
        share.add(5..100);
        assert!(share.is_whole());
    }

    #[test]
    fn a_file_is_read_once_for_all_hashes() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("golden reef atlas vol1.txt");
        std::fs::write(&path, b"reef ".repeat(200_000))?;
        let share = Share::hash(&path)?;
        assert_eq!(format!("{:?}", share.file.sha1), "EPAJIOF3H3HR6AJ5NJMSDBPJZSVSJLRI");
        let root = share.file.tree.expect("a tree");
        assert_eq!(format!("{root:?}"), "NZMSGIMECPPYP7GDLZWYGX254H5XFCH4TKDMK2Q");
        assert!(share.is_whole());
        std::fs::write(&path, b"")?;
        assert_eq!(Share::hash(&path)?.file.len, 0);
        Ok(())
    }
}
