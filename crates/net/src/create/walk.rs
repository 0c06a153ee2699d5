//! Which files a torrent is made of: one file, or the regular files below a folder.

use std::fs::{self, Metadata};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bittorrent::metainfo::MAX_FILES;
use bittorrent::metainfo::create::{self, MAX_DEPTH};

use super::CreateError;

/// A file as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its path elements below the folder; its name alone if it is the only file.
    pub(super) path: Vec<String>,
    /// Where it is, links resolved.
    pub(super) disk_path: PathBuf,
    /// How long it was, and when it was changed last.
    pub(super) version: Version,
    /// Whether its owner may execute it.
    pub(super) executable: bool,
}

/// What tells that a file has been changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) len: u64,
    modified: Option<SystemTime>,
}

impl Version {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// All that is to be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    /// Name of the file or of the folder.
    pub(super) name: String,
    /// Whether it is one file without a folder.
    pub(super) single_file: bool,
    /// The files, in the order of their path elements as bytes: that of BEP 52.
    pub(super) files: Vec<Found>,
}

impl Tree {
    /// Bytes of all files.
    pub(super) fn total_len(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.version.len))
    }
}

/// Looks at `path`, which may be a link itself.
pub(super) fn walk(path: &Path) -> Result<Tree, CreateError> {
    let root = fs::canonicalize(path).map_err(|source| CreateError::io(path, source))?;
    // What the caller calls it, if that is a name at all (`..` is not).
    let name = path.file_name().or(root.file_name()).ok_or(CreateError::NoName)?;
    let name = text(name, path)?;
    let metadata = fs::metadata(&root).map_err(|source| CreateError::io(&root, source))?;
    if metadata.is_file() {
        let file = Found::new(vec![name.clone()], root, &metadata);
        return Ok(Tree { name, single_file: true, files: vec![file] });
    }
    if !metadata.is_dir() {
        return Err(CreateError::NotAFile { path: root });
    }
    let mut files = Vec::new();
    let mut folders = vec![(root.clone(), Vec::new())];
    while let Some((folder, below)) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|source| CreateError::io(&folder, source))? {
            let entry = entry.map_err(|source| CreateError::io(&folder, source))?;
            look(&root, &entry.path(), &below, &mut files, &mut folders)?;
        }
    }
    files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(Tree { name, single_file: false, files })
}

/// Puts an entry of a folder among the files or the folders, or leaves it out.
fn look(
    root: &Path,
    path: &Path,
    below: &[String],
    files: &mut Vec<Found>,
    folders: &mut Vec<(PathBuf, Vec<String>)>,
) -> Result<(), CreateError> {
    let fail = |source| CreateError::io(path, source);
    let kind = fs::symlink_metadata(path).map_err(fail)?.file_type();
    let element = || -> Result<Vec<String>, CreateError> {
        let mut elements = below.to_vec();
        elements.push(text(path.file_name().unwrap_or_default(), path)?);
        Ok(elements)
    };
    if kind.is_dir() {
        if below.len() + 1 == MAX_DEPTH {
            return Err(CreateError::TooDeep { path: path.to_owned() });
        }
        folders.push((path.to_owned(), element()?));
        return Ok(());
    }
    let target = if kind.is_symlink() {
        match fs::canonicalize(path) {
            Ok(target) if target.starts_with(root) && target.is_file() => target,
            _ => {
                tracing::warn!(path = %path.display(), "left out: a link out of the folder, to a folder, or to nothing");
                return Ok(());
            }
        }
    } else if kind.is_file() {
        path.to_owned()
    } else {
        tracing::warn!(path = %path.display(), "left out: not a regular file");
        return Ok(());
    };
    if files.len() == MAX_FILES {
        return Err(create::CreateError::TooManyFiles.into());
    }
    let metadata = fs::metadata(&target).map_err(fail)?;
    files.push(Found::new(element()?, target, &metadata));
    Ok(())
}

impl Found {
    fn new(path: Vec<String>, disk_path: PathBuf, metadata: &Metadata) -> Self {
        let executable = metadata.permissions().mode() & 0o100 != 0;
        Self { path, disk_path, version: Version::of(metadata), executable }
    }
}

fn text(name: &std::ffi::OsStr, path: &Path) -> Result<String, CreateError> {
    name.to_str()
        .map(str::to_owned)
        .ok_or_else(|| CreateError::NameNotUtf8 { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn paths(tree: &Tree) -> Vec<String> {
        tree.files.iter().map(|file| file.path.join("/")).collect()
    }

    #[test]
    fn files_are_in_the_order_of_bytes_of_their_elements() {
        let dir = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(dir.path().join("sub/deep")).expect("folders");
        for name in ["sub/x", "sub.y", "sub/deep/z", "Z", "a", ".hidden", "\u{e9}"] {
            fs::write(dir.path().join(name), name).expect("a file");
        }
        let tree = walk(dir.path()).expect("a tree");
        assert_eq!(paths(&tree), [".hidden", "Z", "a", "sub/deep/z", "sub/x", "sub.y", "\u{e9}"]);
        assert!(!tree.single_file);
        assert_eq!(tree.files[4].version.len, 5);
    }

    #[test]
    fn links_are_followed_to_files_of_the_folder_only() {
        let dir = tempfile::tempdir().expect("a folder");
        let outside = tempfile::NamedTempFile::new().expect("a file");
        let shared = dir.path().join("shared");
        fs::create_dir_all(shared.join("sub")).expect("folders");
        fs::write(shared.join("sub/file"), "text").expect("a file");
        symlink("sub/file", shared.join("inside")).expect("a link");
        symlink(outside.path(), shared.join("outside")).expect("a link");
        symlink("../shared", shared.join("loop")).expect("a link");
        symlink("nowhere", shared.join("broken")).expect("a link");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            shared.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .expect("a pipe");
        symlink(&shared, dir.path().join("alias")).expect("a link");
        let tree = walk(&dir.path().join("alias")).expect("a tree");
        assert_eq!(tree.name, "alias");
        assert_eq!(paths(&tree), ["inside", "sub/file"]);
    }

    #[test]
    fn a_file_alone_is_its_own_tree() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("tool");
        fs::write(&path, "#!").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("its mode");
        let tree = walk(&path).expect("a tree");
        assert_eq!((tree.name.as_str(), tree.single_file), ("tool", true));
        assert_eq!(paths(&tree), ["tool"]);
        assert!(tree.files[0].executable);
    }

    #[test]
    fn what_cannot_be_shared_is_named() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().expect("a folder");
        let missing = walk(&dir.path().join("missing")).expect_err("nothing there");
        assert!(missing.to_string().contains("missing"), "{missing}");
        assert!(matches!(walk(Path::new("/dev/null")), Err(CreateError::NotAFile { .. })));
        assert!(matches!(walk(Path::new("/")), Err(CreateError::NoName)));
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").expect("a file");
        assert!(matches!(walk(dir.path()), Err(CreateError::NameNotUtf8 { .. })));
    }
}
