//! Moving and deleting the files of a transfer that is out of the session. Paths come from the
//! sanitised names of the metainfo, beneath a folder that is allowed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bittorrent::metainfo::Info;

use super::NodeError;
use super::change::disk_path;

/// Bytes that are copied to another disk before somebody may cut it short.
const COPY_STEP: u64 = 16 << 20;

/// Moves the files of a torrent.
pub(super) struct Mover<'a> {
    /// As they are.
    pub(super) from: (&'a Info, &'a Path),
    /// As they will be.
    pub(super) to: (&'a Info, &'a Path),
}

impl Mover<'_> {
    /// Whether nothing is in the way.
    pub(super) fn check(&self) -> Result<(), NodeError> {
        let pairs = self.pairs();
        match pairs.iter().find(|(from, to)| from != to && from.exists() && to.exists()) {
            Some((_, taken)) => {
                Err(NodeError::Conflict(format!("{} is there already", taken.display())))
            }
            None => Ok(()),
        }
    }

    /// Moves all files that exist, or none. One that is in both places was copied to another disk
    /// before somebody cut the move short. `copied` hears of bytes that go to another disk, and may
    /// cut it short itself: then what was moved stays where it is for the next time.
    pub(super) fn run(
        &self,
        copied: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<(), NodeError> {
        let pairs = self.pairs();
        for (from, to) in &pairs {
            if let (Ok(old), Ok(new)) = (from.symlink_metadata(), to.symlink_metadata())
                && old.len() == new.len()
            {
                let removed = fs::remove_file(from);
                removed.map_err(|source| NodeError::File { path: from.clone(), source })?;
            }
        }
        self.check()?;
        for (moved, (from, to)) in pairs.iter().enumerate() {
            if let Err(source) = move_file(from, to, copied) {
                if source.kind() == io::ErrorKind::Interrupted {
                    return Err(NodeError::Ended);
                }
                for (from, to) in &pairs[..moved] {
                    if let Err(error) = move_file(to, from, &mut |_| ControlFlow::Continue(())) {
                        tracing::error!(path = %to.display(), %error, "cannot be moved back");
                    }
                }
                return Err(NodeError::File { path: from.clone(), source });
            }
        }
        remove_empty_folders(pairs.iter().map(|(from, _)| from.as_path()), self.from.1);
        Ok(())
    }

    fn pairs(&self) -> Vec<(PathBuf, PathBuf)> {
        let (from, to) = (self.from, self.to);
        let name = from.0.hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
        let parts = PathBuf::from(format!(".{name}.parts"));
        let files = from.0.files.iter().zip(&to.0.files);
        let files = files.filter(|(file, _)| !file.disk_path.is_empty());
        let pair = |(old, new)| (disk_path(from.1, old), disk_path(to.1, new));
        let pairs = files.map(pair).chain([(from.1.join(&parts), to.1.join(&parts))]);
        pairs.filter(|(from, to)| from != to).collect()
    }
}

/// Moves one file; one that does not exist is moved already.
fn move_file(
    from: &Path,
    to: &Path,
    copied: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> io::Result<()> {
    if from.symlink_metadata().is_err() {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            // To another name first, so that a copy cut short is never taken for the file.
            let mut unfinished = to.as_os_str().to_owned();
            unfinished.push(".moving");
            let unfinished = PathBuf::from(unfinished);
            if let Err(error) = copy(from, &unfinished, copied) {
                // Half a copy is of no use, and may be what filled the disk.
                let _ = fs::remove_file(&unfinished);
                return Err(error);
            }
            fs::rename(&unfinished, to)?;
            fs::remove_file(from)
        }
        other => other,
    }
}

/// Copies a file to another disk; when this returns it is there.
fn copy(from: &Path, to: &Path, copied: &mut dyn FnMut(u64) -> ControlFlow<()>) -> io::Result<()> {
    let (from, mut to) = (File::open(from)?, File::create(to)?);
    to.set_permissions(from.metadata()?.permissions())?;
    loop {
        let bytes = io::copy(&mut (&from).take(COPY_STEP), &mut to)?;
        if bytes == 0 {
            return to.sync_all();
        }
        if copied(bytes).is_break() {
            return Err(io::ErrorKind::Interrupted.into());
        }
    }
}

/// Deletes the files of a torrent, and folders that are empty then.
pub(super) fn delete_files(info: &Info, dir: &Path) -> Result<(), NodeError> {
    let name = info.hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
    let files = info.files.iter().filter(|file| !file.disk_path.is_empty());
    let mut paths: Vec<PathBuf> = files.map(|file| disk_path(dir, file)).collect();
    paths.push(dir.join(format!(".{name}.parts")));
    let mut failed = None;
    for path in &paths {
        match fs::remove_file(path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                failed = Some(NodeError::File { path: path.clone(), source });
            }
            _ => {}
        }
    }
    remove_empty_folders(paths.iter().map(PathBuf::as_path), dir);
    failed.map_or(Ok(()), Err)
}

/// Removes the folders above `paths` that are empty, up to `top`, which stays.
fn remove_empty_folders<'a>(paths: impl Iterator<Item = &'a Path>, top: &Path) {
    let mut folders: Vec<&Path> = paths
        .flat_map(|path| path.ancestors().skip(1).take_while(|folder| *folder != top))
        .collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(folder.components().count()));
    folders.dedup();
    for folder in folders {
        // One that is not empty stays, which is right.
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use bittorrent::metainfo::Metainfo;

    use super::*;

    fn info() -> Info {
        let torrent =
            b"d4:infod5:filesld6:lengthi1e4:pathl1:a1:xeed6:lengthi1e4:pathl1:beee4:name3:set\
            12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
        (*Metainfo::parse(torrent).expect("a torrent").info).clone()
    }

    fn go_on(_: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn write(path: PathBuf, bytes: &[u8]) {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, bytes).expect("written");
    }

    #[test]
    fn di_05_a_move_that_was_cut_short_is_completed() {
        let (from, to) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let info = info();
        let mover = Mover { from: (&info, from.path()), to: (&info, to.path()) };
        write(from.path().join("set/a/x"), b"1");
        write(to.path().join("set/a/x"), b"1");
        write(to.path().join("set/b.moving"), b"");
        write(from.path().join("set/b"), b"2");
        mover.run(&mut go_on).expect("completed");
        assert_eq!(fs::read(to.path().join("set/a/x")).expect("there"), b"1");
        assert_eq!(fs::read(to.path().join("set/b")).expect("there"), b"2");
        assert!(!from.path().join("set").exists());
        mover.run(&mut go_on).expect("nothing is left to do");
    }

    #[test]
    fn nothing_is_moved_over_what_is_there() {
        let (from, to) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let info = info();
        write(from.path().join("set/a/x"), b"1");
        write(from.path().join("set/b"), b"2");
        write(to.path().join("set/b"), b"mine");
        let mover = Mover { from: (&info, from.path()), to: (&info, to.path()) };
        assert!(matches!(mover.run(&mut go_on), Err(NodeError::Conflict(_))));
        assert!(from.path().join("set/a/x").exists() && from.path().join("set/b").exists());
        assert_eq!(fs::read(to.path().join("set/b")).expect("there"), b"mine");
    }

    #[test]
    fn a_copy_that_is_stopped_leaves_nothing_behind_and_is_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let bytes = vec![7; COPY_STEP as usize + 1];
        write(from.clone(), &bytes);
        let mut seen = 0;
        let stopped = copy(&from, &to, &mut |bytes| {
            seen += bytes;
            ControlFlow::Break(())
        });
        assert_eq!(stopped.expect_err("stopped").kind(), io::ErrorKind::Interrupted);
        assert_eq!(seen, COPY_STEP);
        copy(&from, &to, &mut go_on).expect("copied");
        assert!(fs::read(&to).expect("there") == bytes);
    }
}
