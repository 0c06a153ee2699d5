//! Where the files of a torrent are on disk, and whether they have other names there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use bittorrent::metainfo::Info;

use crate::exit::{Failure, bad_input};
use crate::text;

/// The folder in which a torrent's files lie, `path` being that folder or the payload itself.
/// If the payload has another name on disk, `info` is told so.
///
/// # Errors
/// When nothing of it is found.
pub fn locate(path: &Path, info: &mut Info) -> Result<PathBuf, Failure> {
    let written = info.files.iter().filter(|file| !file.padding);
    let Some(root) = written.clone().find_map(|file| file.disk_path.first()).cloned() else {
        return Err(bad_input("the torrent has no files"));
    };
    let parent = path.parent().unwrap_or(path);
    if path.join(&root).exists() {
        return Ok(path.to_owned());
    }
    if path.file_name().is_some_and(|name| name == root.as_str()) {
        return Ok(parent.to_owned());
    }
    let fits = if info.single_file {
        written.clone().all(|file| fs::metadata(path).is_ok_and(|found| found.len() == file.len))
            && path.is_file()
    } else {
        let below = |file: &[String]| path.join(file.iter().skip(1).collect::<PathBuf>());
        written.clone().any(|file| below(&file.disk_path).exists())
    };
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| fits);
    let Some(name) = name else {
        let path = path.display();
        return Err(bad_input(anyhow!("{path} neither is nor holds `{}`", text::plain(&root))));
    };
    for file in info.files.iter_mut().filter(|file| !file.padding) {
        name.clone_into(&mut file.disk_path[0]);
    }
    Ok(parent.to_owned())
}

#[cfg(test)]
mod tests {
    use bittorrent::id::InfoHashes;
    use bittorrent::metainfo::File;

    use super::*;
    use crate::exit::Exit;

    fn info(files: &[&[&str]]) -> Info {
        let file = |path: &&[&str]| File {
            path: path.iter().skip(1).map(|&part| part.to_owned()).collect(),
            disk_path: path.iter().map(|&part| part.to_owned()).collect(),
            offset: 0,
            len: 3,
            padding: path.is_empty(),
            symlink: false,
            executable: false,
            pieces_root: None,
        };
        Info {
            hashes: InfoHashes { v1: None, v2: None },
            name: "set".to_owned(),
            piece_len: 1 << 14,
            private: false,
            single_file: files.len() == 1,
            files: files.iter().map(file).collect(),
            total_len: 3,
            v1_pieces: None,
        }
    }

    #[test]
    fn payloads_are_found_by_their_folder_by_their_name_and_renamed() {
        let dir = tempfile::tempdir().expect("a folder");
        let at = |path: &str| dir.path().join(path);
        for folder in ["set/sub", "other/sub", "empty"] {
            fs::create_dir_all(at(folder)).expect("a folder");
        }
        for file in ["set/sub/a", "other/sub/a", "one", "uno"] {
            fs::write(at(file), "abc").expect("a file");
        }
        fs::write(at("four"), "abcd").expect("a file");

        let set: &[&[&str]] = &[&["set", "sub", "a"], &[], &["set", "b"]];
        let single: &[&[&str]] = &[&["one"]];
        for (files, path, found) in [
            (set, "", Some("set")),
            (set, "set", Some("set")),
            (set, "other", Some("other")),
            (set, "empty", None),
            (single, "", Some("one")),
            (single, "one", Some("one")),
            (single, "uno", Some("uno")),
            (single, "four", None),
            (single, "empty", None),
        ] {
            let mut info = info(files);
            let place = if path.is_empty() { dir.path().to_owned() } else { at(path) };
            match (locate(&place, &mut info), found) {
                (Ok(folder), Some(name)) => {
                    assert_eq!(folder, dir.path(), "{path}");
                    assert_eq!(info.files[0].disk_path[0], name, "{path}");
                    assert!(
                        info.files.iter().all(|file| file.padding || file.disk_path[0] == name)
                    );
                }
                (Err(failure), None) => assert_eq!(failure.exit, Exit::BadInput),
                (result, expected) => panic!("{path}: {result:?}, not {expected:?}"),
            }
        }
    }
}
