//! Files that lie elsewhere, or are called otherwise, than a torrent says. The new place is written
//! down before anything is moved, and the old one until all is: whatever is cut short is completed
//! when the transfer next begins.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bittorrent::metainfo::path::sanitize;
use bittorrent::metainfo::{Info, Metainfo};

use super::files::Mover;
use super::{Node, NodeError, lock, moves};
use crate::record::{Place, Record};
use crate::view::Transfer;

type Renames = BTreeMap<usize, Vec<String>>;

/// Puts files where they are called otherwise.
pub(super) fn put(metainfo: &mut Metainfo, renames: &Renames) {
    if !renames.is_empty() {
        metainfo.info = Arc::new(placed(&metainfo.info, renames));
    }
}

fn placed(info: &Info, renames: &Renames) -> Info {
    let mut info = info.clone();
    for (index, path) in renames {
        if let Some(file) = info.files.get_mut(*index).filter(|file| !file.disk_path.is_empty()) {
            file.disk_path.clone_from(path);
        }
    }
    info
}

/// A file's path as people see it: as its author wrote it, or as it was renamed.
pub(super) fn shown(info: &Info, index: usize, renames: &Renames) -> String {
    elements(info, index, renames).join("/")
}

fn elements(info: &Info, index: usize, renames: &Renames) -> Vec<String> {
    if let Some(renamed) = renames.get(&index) {
        return renamed.clone();
    }
    let mut path = vec![info.name.clone()];
    if let Some(file) = info.files.get(index).filter(|_| !info.single_file) {
        path.extend(file.path.iter().cloned());
    }
    path
}

/// The renames after what lies at `path` is called `name`: a file, or a folder with all that is in
/// it. `original` is the info dictionary without renames.
fn renamed(
    original: &Info,
    before: &Renames,
    path: &str,
    name: &str,
) -> Result<Renames, NodeError> {
    let invalid = |words: &str| NodeError::Invalid(words.to_owned());
    let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
    if !plain {
        return Err(invalid("a name is no path"));
    }
    let name = sanitize(name, "_");
    let wanted: Vec<&str> = path.split('/').collect();
    let depth = wanted.len() - 1;
    let mut after = before.clone();
    let mut target = None;
    for (index, file) in original.files.iter().enumerate() {
        let shown = elements(original, index, before);
        if file.disk_path.is_empty()
            || !shown.iter().map(String::as_str).take(depth + 1).eq(wanted.iter().copied())
        {
            continue;
        }
        let mut place = before.get(&index).unwrap_or(&file.disk_path).clone();
        // What was too deep for a disk has fewer elements there.
        let Some(element) = place.get_mut(depth) else {
            return Err(invalid("this folder is not on disk"));
        };
        element.clone_from(&name);
        target = Some(place[..=depth].to_vec());
        after.insert(index, place);
    }
    let Some(target) = target else {
        return Err(NodeError::NotFound(format!("{path} in this torrent")));
    };
    let place = |index: usize| after.get(&index).unwrap_or(&original.files[index].disk_path);
    for index in 0..original.files.len() {
        let moved = after.get(&index) != before.get(&index);
        if !moved && place(index).starts_with(&target) {
            return Err(NodeError::Conflict(format!("{} is there already", target.join("/"))));
        }
    }
    Ok(after)
}

impl Node {
    /// Gives the file or folder at `path`, which begins with the torrent's name, another name, on
    /// disk too.
    ///
    /// # Errors
    /// When there is none of this id or path, the name is no plain name, something has that name
    /// already, or it cannot be renamed; then it is called as before.
    pub fn rename_path(&self, id: &str, path: &str, name: &str) -> Result<Transfer, NodeError> {
        let turn = self.turn(id)?;
        let _turn = lock(&turn);
        let (before, published) =
            self.with(id, |entry| (entry.record.place(), entry.record.published))?;
        if published {
            return Err(NodeError::Conflict("your own files are not renamed".to_owned()));
        }
        let original = self.original_info(id)?;
        let renames = renamed(&original, &before.renames, path, name)?;
        self.replace_in_turn(id, Place { dir: before.dir, renames })?;
        if !path.contains('/') {
            self.with(id, |entry| {
                entry.record.name = Some(sanitize(name, "_"));
                entry.record.renamed = true;
            })?;
            self.save(id)?;
        }
        self.get(id)
    }

    /// The info dictionary as its author wrote it.
    fn original_info(&self, id: &str) -> Result<Info, NodeError> {
        let metainfo = Metainfo::parse(&self.torrent_file(id)?);
        let metainfo = metainfo.map_err(|error| NodeError::Invalid(error.to_string()))?;
        Ok((*metainfo.info).clone())
    }

    /// Moves a transfer's files to another place, and leaves and joins the torrent for that. To
    /// another file system they go in the background.
    pub(super) fn replace_in_turn(&self, id: &str, to: Place) -> Result<(), NodeError> {
        let (from, paused) = self.with(id, |entry| (entry.record.place(), entry.record.paused))?;
        if let Ok(original) = self.original_info(id) {
            let (old, new) = (placed(&original, &from.renames), placed(&original, &to.renames));
            Mover { from: (&old, &from.dir), to: (&new, &to.dir) }.check()?;
        }
        self.end_in_turn(id)?;
        let goes = |record: &mut Record, to: &Place, from: Option<Place>| {
            (record.dir, record.renames) = (to.dir.clone(), to.renames.clone());
            record.moving_from = from;
        };
        self.with(id, |entry| goes(&mut entry.record, &to, Some(from.clone())))?;
        self.save(id)?;
        if moves::are_apart(&from.dir, &to.dir) {
            return self.move_later(id, Some(from));
        }
        let record = self.with(id, |entry| entry.record.clone())?;
        let moved = self.finish_move(id, record);
        if moved.is_err() {
            self.with(id, |entry| goes(&mut entry.record, &from, None))?;
            self.save(id)?;
        }
        if !paused {
            self.begin_in_turn(id)?;
        }
        moved.map(|_| ())
    }

    /// Moves what is on its way from another place, and returns the record without that.
    pub(super) fn finish_move(&self, id: &str, record: Record) -> Result<Record, NodeError> {
        let Some(from) = &record.moving_from else { return Ok(record) };
        if let Ok(original) = self.original_info(id) {
            let (old, new) = (placed(&original, &from.renames), placed(&original, &record.renames));
            let mut bytes = 0;
            let mover = Mover { from: (&old, &from.dir), to: (&new, &record.dir) };
            mover.run(&mut |copied| {
                bytes += copied;
                // It may be that it is not in the background.
                let told = self.with(id, |entry| {
                    entry.moving = entry.moving.map(|_| bytes);
                });
                if told.is_err() || self.is_ending() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
        }
        let record = self.with(id, |entry| {
            entry.record.moving_from = None;
            entry.record.clone()
        })?;
        self.save(id)?;
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info() -> Info {
        let torrent =
            b"d4:infod5:filesld6:lengthi1e4:pathl1:a1:xeed6:lengthi1e4:pathl1:a1:yeed6:length\
            i1e4:pathl1:beee4:name3:set12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
        (*Metainfo::parse(torrent).expect("a torrent").info).clone()
    }

    fn shown_after(path: &str, name: &str, before: &Renames) -> Result<Vec<String>, NodeError> {
        let info = info();
        let renames = renamed(&info, before, path, name)?;
        Ok((0..3).map(|index| shown(&info, index, &renames)).collect())
    }

    #[test]
    fn files_and_folders_are_renamed_with_all_that_is_in_them() {
        let none = Renames::new();
        for (path, name, expected) in [
            ("set/a/x", "z", ["set/a/z", "set/a/y", "set/b"]),
            ("set/a", "c", ["set/c/x", "set/c/y", "set/b"]),
            ("set", "new", ["new/a/x", "new/a/y", "new/b"]),
        ] {
            assert_eq!(shown_after(path, name, &none).expect(path), expected);
        }
        let twice = renamed(&info(), &none, "set", "new").expect("renamed");
        let shown = shown_after("new/a", "c", &twice).expect("renamed again");
        assert_eq!(shown, ["new/c/x", "new/c/y", "new/b"]);
        assert!(shown_after("set/a", "c", &twice).is_err(), "it is not called so any more");
    }

    #[test]
    fn ap_09_names_are_no_paths_and_nothing_is_covered() {
        let none = Renames::new();
        for name in ["", ".", "..", "../x", "a/b", "/etc/passwd", "x\0y"] {
            assert!(shown_after("set/b", name, &none).is_err(), "{name:?}");
        }
        for (path, name) in
            [("set/b", "a"), ("set/a/x", "y"), ("set/c", "d"), ("", "x"), ("set/a/x/y", "x")]
        {
            assert!(shown_after(path, name, &none).is_err(), "{path} {name}");
        }
    }
}
