//! The file lists of v1 and v2 info dictionaries, and whether those of a hybrid agree.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use codec::bencode::{Dict, Value};

use super::parse::{DICT, MAX_FILES, missing, no_duplicates, optional_int, wrong_type};
use super::{File, MetainfoError, Problem};
use crate::merkle::Hash;

/// The files of a torrent in order.
pub(super) struct FileList {
    pub(super) files: Vec<File>,
    pub(super) single_file: bool,
    pub(super) total_len: u64,
}

impl FileList {
    fn new(single_file: bool) -> Self {
        Self { files: Vec::new(), single_file, total_len: 0 }
    }

    /// Appends a file that begins at `offset`; `dict` describes it.
    fn push(
        &mut self,
        dict: Dict<'_>,
        path: Vec<String>,
        offset: u64,
    ) -> Result<&mut File, MetainfoError> {
        let fail = |problem| MetainfoError::new(problem, dict.value().at());
        if self.files.len() == MAX_FILES {
            return Err(fail(Problem::TooManyFiles));
        }
        let attributes = dict.bytes("attr").unwrap_or_default();
        let symlink = attributes.contains(&b'l');
        let len = match optional_int(dict, "length")? {
            None if symlink => 0,
            None => return Err(missing("length", dict)),
            Some(len) => u64::try_from(len).map_err(|_| fail(Problem::Len))?,
        };
        if symlink && len > 0 {
            return Err(fail(Problem::Len));
        }
        let end = offset.checked_add(len).filter(|end| i64::try_from(*end).is_ok());
        self.total_len = end.ok_or(fail(Problem::Len))?;
        let mut file = File::new(path, offset, len);
        file.symlink = symlink;
        file.padding = symlink;
        file.executable = attributes.contains(&b'x');
        self.files.push(file);
        self.files.last_mut().ok_or(fail(Problem::Empty))
    }
}

/// `length` or `files` (BEP 3, 47).
pub(super) fn v1(info: Dict<'_>, disorder: bool, name: &str) -> Result<FileList, MetainfoError> {
    let Some(files) = info.get("files") else {
        let mut list = FileList::new(true);
        list.push(info, [name.to_string()].into(), 0)?;
        return Ok(list);
    };
    if info.get("length").is_some() {
        return Err(MetainfoError::new(Problem::LengthAndFiles, files.at()));
    }
    let files = files.as_list().ok_or(wrong_type(files, "files", "a list"))?;
    let mut list = FileList::new(false);
    for value in files.iter() {
        let dict = value.as_dict().ok_or(wrong_type(value, "files", DICT))?;
        if disorder {
            no_duplicates(dict)?;
        }
        let padding = dict.bytes("attr").is_some_and(|attributes| attributes.contains(&b'p'));
        let path = match dict.get("path.utf-8").or_else(|| dict.get("path")) {
            Some(path) => v1_path(path)?,
            None if padding => Vec::new(),
            None => return Err(missing("path", dict)),
        };
        let offset = list.total_len;
        list.push(dict, path, offset)?.padding |= padding;
    }
    Ok(list)
}

fn v1_path(value: Value<'_>) -> Result<Vec<String>, MetainfoError> {
    let elements = value.as_list().ok_or(wrong_type(value, "path", "a list"))?;
    let mut path = Vec::with_capacity(elements.iter().count());
    for element in elements.iter() {
        let bytes = element.as_bytes().ok_or(wrong_type(element, "path", "a string"))?;
        path.push(String::from_utf8_lossy(bytes).into_owned());
    }
    Ok(path)
}

/// `file tree` (BEP 52).
pub(super) fn v2(
    info: Dict<'_>,
    disorder: bool,
    name: &str,
    piece_len: u32,
) -> Result<FileList, MetainfoError> {
    let fail = |what, value: Value<'_>| MetainfoError::new(Problem::FileTree(what), value.at());
    let tree = info.get("file tree").ok_or(missing("file tree", info))?;
    let root = tree.as_dict().ok_or(wrong_type(tree, "file tree", DICT))?;
    if properties(root).is_some() {
        return Err(fail("a file for its root", tree));
    }
    let mut list = FileList::new(true);
    // Folders that are being walked over, from the outermost to the innermost.
    if disorder {
        no_duplicates(root)?;
    }
    let mut folders = Vec::from([root.iter()]);
    let mut path: Vec<&[u8]> = Vec::new();
    while let Some(folder) = folders.last_mut() {
        let Some((name, value)) = folder.next() else {
            folders.pop();
            path.pop();
            continue;
        };
        if name.is_empty() {
            continue;
        }
        let entry = value.as_dict().ok_or(wrong_type(value, "file tree", DICT))?;
        if disorder {
            no_duplicates(entry)?;
        }
        path.push(name);
        let Some(file) = properties(entry) else {
            folders.push(entry.iter());
            continue;
        };
        if entry.iter().count() > 1 {
            return Err(fail("a file that is also a folder", value));
        }
        if disorder {
            no_duplicates(file)?;
        }
        let is_empty = file.int("length").unwrap_or(0) == 0;
        let end = list.total_len;
        let offset = if is_empty { end } else { end.next_multiple_of(u64::from(piece_len)) };
        let names = path.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        let placed = list.push(file, names, offset)?;
        if !is_empty {
            placed.pieces_root = Some(pieces_root(file)?);
        }
        path.pop();
    }
    // One file with the name of the torrent; with another name it lies in the torrent's folder.
    list.single_file = matches!(&list.files[..], [file] if file.path == [name]);
    Ok(list)
}

/// What is said of the path that `entry` stands for, if it is a file.
fn properties(entry: Dict<'_>) -> Option<Dict<'_>> {
    let properties = entry.dict("")?;
    let is_link = properties.bytes("attr").is_some_and(|attributes| attributes.contains(&b'l'));
    (is_link || properties.get("length").is_some()).then_some(properties)
}

fn pieces_root(file: Dict<'_>) -> Result<Hash, MetainfoError> {
    let root = file.bytes("pieces root").and_then(|root| Hash::try_from(root).ok());
    root.filter(|root| *root != [0; 32])
        .ok_or(MetainfoError::new(Problem::PiecesRoot, file.value().at()))
}

/// The list of a hybrid: that of v1 with the roots of v2, once it is clear that they agree.
pub(super) fn hybrid(
    mut v1: FileList,
    v2: &FileList,
    piece_len: u32,
    info: Dict<'_>,
) -> Result<FileList, MetainfoError> {
    let check = |agrees: bool, what| {
        let error = MetainfoError::new(Problem::Hybrid(what), info.value().at());
        if agrees { Ok(()) } else { Err(error) }
    };
    let mut expected = v2.files.iter();
    for file in v1.files.iter_mut().filter(|file| !file.padding || file.symlink) {
        let other = expected.next();
        check(other.is_some(), "the number of files")?;
        let Some(other) = other else { break };
        check(file.path == other.path, "a file's path")?;
        check(file.len == other.len, "a file's length")?;
        check(file.symlink == other.symlink, "a file's type")?;
        check(file.len == 0 || file.offset == other.offset, "a file's alignment")?;
        file.pieces_root = other.pieces_root;
        file.executable |= other.executable;
    }
    check(expected.next().is_none(), "the number of files")?;
    check(v1.single_file <= v2.single_file, "the kind of torrent")?;
    let pieces = |list: &FileList| list.total_len.div_ceil(u64::from(piece_len));
    check(pieces(&v1) == pieces(v2), "the number of pieces")?;
    Ok(v1)
}
