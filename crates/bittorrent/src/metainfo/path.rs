//! Names on disk: what strangers call their files, made safe for every file system.
//!
//! Odd names are changed, never refused: people want the content. Nothing here touches a disk;
//! who does must still open files so that links on the way are not followed.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::File;

/// Longest element in bytes; most file systems take 255, and suffixes need some room.
pub const MAX_ELEMENT_LEN: usize = 240;
/// Longest path below the download folder in bytes, separators counted.
pub const MAX_PATH_LEN: usize = 1024;

/// Longest extension that is kept when a name is cut, in bytes.
const MAX_EXTENSION_LEN: usize = 32;

/// A safe file name for `name`; `fallback` if nothing of it is left.
#[must_use]
pub fn sanitize(name: &str, fallback: &str) -> String {
    element(name).unwrap_or_else(|| String::from(fallback))
}

/// Gives each file its place on disk, in `folder` if there is one.
pub(super) fn assign(files: &mut [File], folder: Option<&str>, fallback: &str) {
    let folder = folder.map(|folder| sanitize(folder, fallback));
    let mut names = Names::default();
    for file in files.iter_mut().filter(|file| !file.padding) {
        let fallback = if folder.is_none() { fallback } else { "_" };
        file.disk_path = place(&file.path, folder.as_deref(), fallback, &mut names);
    }
}

fn place(path: &[String], folder: Option<&str>, fallback: &str, names: &mut Names) -> Vec<String> {
    let (last, parents) = path.split_last().map_or(("", &[][..]), |(last, rest)| (last, rest));
    let last = sanitize(last, fallback);
    let mut room = MAX_PATH_LEN - MAX_ELEMENT_LEN;
    let mut parent = 0;
    let mut disk_path = Vec::with_capacity(path.len() + usize::from(folder.is_some()));
    disk_path.extend(folder.map(String::from));
    room -= folder.map_or(0, str::len);
    for name in parents.iter().filter_map(|name| element(name)) {
        // Too deep: the rest of the folders is left out.
        let Some(rest) = room.checked_sub(name.len() + 8) else { break };
        room = rest;
        let (id, name) = names.folder(parent, name);
        parent = id;
        disk_path.push(name);
    }
    disk_path.push(names.file(parent, last));
    disk_path
}

/// The names that are taken, in folders by number; the torrent's own folder is 0.
#[derive(Default)]
struct Names {
    /// Taken names, and the number to try next should one be asked for again.
    taken: BTreeMap<(u32, u64), u32>,
    /// Folders by the names they were asked for.
    folders: BTreeMap<(u32, u64), (u32, String)>,
}

impl Names {
    fn folder(&mut self, parent: u32, name: String) -> (u32, String) {
        let key = (parent, fold(&name));
        if let Some(known) = self.folders.get(&key) {
            return known.clone();
        }
        let id = u32::try_from(self.folders.len() + 1).unwrap_or(u32::MAX);
        let folder = (id, self.free(parent, name));
        self.folders.insert(key, folder.clone());
        folder
    }

    fn file(&mut self, parent: u32, name: String) -> String {
        self.free(parent, name)
    }

    /// `name`, or the first of `name (2)`, `name (3)`.. that is free in the folder.
    fn free(&mut self, parent: u32, name: String) -> String {
        let key = (parent, fold(&name));
        let Some(&next) = self.taken.get(&key) else {
            self.taken.insert(key, 2);
            return name;
        };
        let (stem, extension) = split_extension(&name);
        for number in next.. {
            let candidate = format!("{stem} ({number}){extension}");
            let other = (parent, fold(&candidate));
            if let Entry::Vacant(entry) = self.taken.entry(other) {
                entry.insert(2);
                self.taken.insert(key, number + 1);
                return candidate;
            }
        }
        name
    }
}

/// A number that is the same for names that some file system takes for the same, by ignoring case
/// or how accents are composed: FNV-1a over the folded name. Names that share a number by chance
/// only get a suffix that they did not need.
fn fold(name: &str) -> u64 {
    let lower = name.chars().flat_map(char::to_lowercase);
    if name.is_ascii() {
        return fnv(lower);
    }
    fnv(DecomposingNormalizerBorrowed::new_nfd().normalize_iter(lower))
}

fn fnv(text: impl Iterator<Item = char>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut utf8 = [0; 4];
    for c in text {
        for byte in c.encode_utf8(&mut utf8).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// A safe element of a path, or `None` if nothing is left of it.
fn element(raw: &str) -> Option<String> {
    let visible = raw.chars().filter(|c| !is_bidi_control(*c));
    let mut name: String = visible.map(|c| if is_forbidden(c) { '_' } else { c }).collect();
    trim(&mut name);
    cut(&mut name);
    // What is only now in sight: cutting and trimming can uncover it.
    if let [letter, b':'] | [letter, b':', b'_', ..] = name.as_bytes()
        && letter.is_ascii_alphabetic()
    {
        name.replace_range(1..2, "_");
    }
    if is_reserved(&name) {
        name.insert(0, '_');
        cut(&mut name);
    }
    (!name.is_empty()).then_some(name)
}

/// Takes off dots and spaces at the end, as Windows does.
fn trim(name: &mut String) {
    name.truncate(name.trim_end_matches(['.', ' ']).len());
}

/// Cuts a name that is too long, in front of its extension.
fn cut(name: &mut String) {
    if name.len() > MAX_ELEMENT_LEN {
        let (stem, extension) = split_extension(name);
        let stem = &stem[..stem.floor_char_boundary(MAX_ELEMENT_LEN - extension.len())];
        *name = format!("{stem}{extension}");
        trim(name);
    }
}

/// The name in front of its extension, and the extension with its dot, if it has a short one.
fn split_extension(name: &str) -> (&str, &str) {
    let dot = name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= MAX_EXTENSION_LEN);
    name.split_at(dot.unwrap_or(name.len()))
}

fn is_forbidden(c: char) -> bool {
    let in_windows_names = cfg!(windows) && matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*');
    matches!(c, '/' | '\\') || c.is_control() || in_windows_names
}

/// Characters that show the rest of a name in another order: `gpj.exe` as `exe.jpg`.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether Windows takes the name for a device, whatever its extension.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let is = |device: &str| stem.eq_ignore_ascii_case(device);
    let numbered = |device: &str| {
        let prefix = stem.get(..device.len()).is_some_and(|p| p.eq_ignore_ascii_case(device));
        let number = stem.get(device.len()..).unwrap_or_default();
        prefix
            && matches!(
                number,
                "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
            )
    };
    ["con", "prn", "aux", "nul", "conin$", "conout$"].into_iter().any(is)
        || ["com", "lpt"].into_iter().any(numbered)
}
