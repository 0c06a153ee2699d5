//! Making torrents, but for the hashing: [`Builder::layout`] says what to hash, [`Builder::build`]
//! takes the hashes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use codec::bencode::{self, DictEncoder, ListEncoder};

use super::{File, Info, MAX_FILES, MAX_PIECE_LEN, MAX_PIECES, Metainfo, MetainfoError, path};
use crate::id::{BLOCK_LEN, InfoHashes};
use crate::merkle::{self, Hash};

/// Most elements of a path; readers stop at 100 levels, of which a torrent needs some itself.
pub const MAX_DEPTH: usize = 64;

/// Most pieces that [`default_piece_len`] aims at.
const PREFERRED_PIECES: u64 = 2000;
/// Longest pieces that [`default_piece_len`] chooses, in bytes.
const MAX_DEFAULT_PIECE_LEN: u32 = 16 << 20;

/// A piece length for so many bytes of content: a power of two from 16 KiB to 16 MiB, such that
/// there are 1000 to 2000 pieces if the content is neither small nor huge.
#[must_use]
pub fn default_piece_len(total_len: u64) -> u32 {
    let fair = total_len.div_ceil(PREFERRED_PIECES).max(1).checked_next_power_of_two();
    let fair = fair.and_then(|len| u32::try_from(len).ok()).unwrap_or(MAX_DEFAULT_PIECE_LEN);
    fair.clamp(BLOCK_LEN, MAX_DEFAULT_PIECE_LEN)
}

/// Which protocol versions a torrent is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// BEP 3.
    V1,
    /// BEP 52.
    V2,
    /// Both, with padding that aligns the files for v1.
    #[default]
    Hybrid,
}

impl Version {
    fn has_v1(self) -> bool {
        self != Self::V2
    }

    fn has_v2(self) -> bool {
        self != Self::V1
    }
}

/// A file to share.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceFile {
    /// Path elements below the shared folder; the name alone of a single file.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Whether to mark it executable.
    pub executable: bool,
}

/// The hashes of all pieces, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PieceHashes {
    /// SHA-1 of each piece, padding included; empty if the torrent is v2 only.
    pub v1: Vec<[u8; 20]>,
    /// Root over the leaves of each piece, as wide as [`Info::v2_piece`] says; empty if the
    /// torrent is v1 only.
    pub v2: Vec<Hash>,
}

/// Why a torrent cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// No file has any content.
    #[error("nothing to share: no file has any content")]
    Empty,
    /// More than [`MAX_FILES`] files.
    #[error("too many files: more than {MAX_FILES}")]
    TooManyFiles,
    /// More than [`MAX_PIECES`] pieces.
    #[error("too many pieces of {0} bytes: choose a larger piece length")]
    TooManyPieces(u32),
    /// A piece length that is not possible.
    #[error("piece length {0} is not a power of two from 16 KiB to 512 MiB")]
    PieceLen(u32),
    /// A name or path that cannot be in a torrent.
    #[error("the name {0:?} cannot be in a torrent")]
    Name(String),
    /// Two files with the same path, or a file and a folder.
    #[error("{0:?} is there twice")]
    Duplicate(String),
    /// More or fewer hashes than pieces.
    #[error("{found} piece hashes where {needed} are needed")]
    Hashes {
        /// Hashes that were there.
        found: usize,
        /// Hashes that are needed.
        needed: usize,
    },
    /// The result is not one that would be read again.
    #[error("the torrent would not be readable: {0}")]
    Unreadable(#[from] MetainfoError),
}

/// A torrent in the making. The public fields may be changed up to [`Builder::build`].
#[derive(Clone, Debug)]
pub struct Builder {
    name: String,
    piece_len: u32,
    version: Version,
    single_file: bool,
    files: Vec<SourceFile>,
    /// Tiers of tracker URLs.
    pub trackers: Vec<Vec<String>>,
    /// URLs of web seeds (BEP 19).
    pub web_seeds: Vec<String>,
    /// Whether peers come from the trackers alone (BEP 27).
    pub private: bool,
    /// A tag in the info dictionary, by which private trackers tell their torrents apart.
    pub source: Option<String>,
    /// Free text.
    pub comment: Option<String>,
    /// The program that makes it.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub created_at: Option<i64>,
}

impl Builder {
    /// A torrent of one file.
    ///
    /// # Errors
    /// If the name is impossible, the file is empty, or the piece length is not possible.
    pub fn single_file(
        file: SourceFile,
        piece_len: u32,
        version: Version,
    ) -> Result<Self, CreateError> {
        let name = file.path.last().cloned().unwrap_or_default();
        let file = SourceFile { path: vec![name.clone()], ..file };
        Self::new(name, vec![file], true, piece_len, version)
    }

    /// A torrent of a folder with this name. The files are sorted by path.
    ///
    /// # Errors
    /// If a name is impossible or there twice, there are too many files or pieces, no file has
    /// content, or the piece length is not possible.
    pub fn folder(
        name: impl Into<String>,
        files: Vec<SourceFile>,
        piece_len: u32,
        version: Version,
    ) -> Result<Self, CreateError> {
        Self::new(name.into(), files, false, piece_len, version)
    }

    fn new(
        name: String,
        mut files: Vec<SourceFile>,
        single_file: bool,
        piece_len: u32,
        version: Version,
    ) -> Result<Self, CreateError> {
        files.sort_unstable();
        check_name(&name)?;
        for file in &files {
            if file.path.is_empty() || file.path.len() > MAX_DEPTH {
                return Err(CreateError::Name(file.path.join("/")));
            }
            file.path.iter().try_for_each(|element| check_name(element))?;
        }
        // In this order, what lies in a folder follows the folder's name at once.
        if let Some(pair) = files.windows(2).find(|pair| pair[1].path.starts_with(&pair[0].path)) {
            return Err(CreateError::Duplicate(pair[0].path.join("/")));
        }
        if !piece_len.is_power_of_two() || !(BLOCK_LEN..=MAX_PIECE_LEN).contains(&piece_len) {
            return Err(CreateError::PieceLen(piece_len));
        }
        let builder = Self {
            name,
            piece_len,
            version,
            single_file,
            files,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            source: None,
            comment: None,
            created_by: None,
            created_at: None,
        };
        let layout = builder.layout();
        if layout.total_len == 0 {
            return Err(CreateError::Empty);
        }
        if layout.files.len() > MAX_FILES {
            return Err(CreateError::TooManyFiles);
        }
        if layout.piece_count() > MAX_PIECES {
            return Err(CreateError::TooManyPieces(piece_len));
        }
        Ok(builder)
    }

    /// The files in the order of the torrent, padding left out.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The torrent without its hashes, where zeros stand: which bytes lie in which piece. Files
    /// that are not padding are those of [`Builder::files`].
    #[must_use]
    pub fn layout(&self) -> Info {
        let align = u64::from(self.piece_len);
        let mut files: Vec<File> = Vec::with_capacity(self.files.len());
        let mut end: u64 = 0;
        for source in &self.files {
            let aligned = end.checked_next_multiple_of(align).unwrap_or(u64::MAX);
            if source.len > 0 && self.version.has_v2() && aligned > end {
                if self.version == Version::Hybrid {
                    let len = aligned - end;
                    let path = vec![".pad".to_string(), len.to_string()];
                    files.push(File { padding: true, ..File::new(path, end, len) });
                }
                end = aligned;
            }
            let mut file = File::new(source.path.clone(), end, source.len);
            file.executable = source.executable;
            file.pieces_root = (self.version.has_v2() && source.len > 0).then_some([0; 32]);
            files.push(file);
            end = end.saturating_add(source.len);
        }
        path::assign(&mut files, (!self.single_file).then_some(&*self.name), "_");
        let mut info = Info {
            hashes: InfoHashes { v1: None, v2: None },
            name: self.name.clone(),
            piece_len: self.piece_len,
            private: self.private,
            single_file: self.single_file,
            files,
            total_len: end,
            v1_pieces: None,
        };
        let pieces = info.piece_count().min(MAX_PIECES) as usize;
        info.v1_pieces = self.version.has_v1().then(|| vec![[0; 20]; pieces]);
        info
    }

    /// Makes the torrent.
    ///
    /// # Errors
    /// If there are more or fewer hashes than pieces.
    pub fn build(&self, hashes: &PieceHashes) -> Result<Metainfo, CreateError> {
        let layout = self.layout();
        let pieces = layout.piece_count() as usize;
        let check = |wanted: bool, found: usize| {
            let needed = if wanted { pieces } else { 0 };
            (found == needed).then_some(()).ok_or(CreateError::Hashes { found, needed })
        };
        check(self.version.has_v1(), hashes.v1.len())?;
        check(self.version.has_v2(), hashes.v2.len())?;
        let layer = merkle::piece_layer(self.piece_len);
        let mut layers = vec![Vec::new(); layout.files.len()];
        let mut roots = Vec::with_capacity(self.files.len());
        for (index, file) in layout.files.iter().enumerate().filter(|(_, file)| !file.padding) {
            let range = layout.file_pieces(index);
            let own = hashes.v2.get(range.start as usize..range.end as usize).unwrap_or_default();
            if own.len() > 1 {
                layers[index] = own.to_vec();
            }
            let root =
                if own.len() > 1 { Some(merkle::root(own, layer)) } else { own.first().copied() };
            roots.push(root.filter(|_| file.pieces_root.is_some()));
        }
        let info_bytes = self.info_bytes(&layout, hashes, &roots);
        let info = Info::parse(&info_bytes)?;
        Ok(Metainfo {
            info: Arc::new(info),
            info_bytes: info_bytes.into(),
            trackers: self.trackers.clone(),
            web_seeds: self.web_seeds.clone(),
            http_seeds: Vec::new(),
            comment: self.comment.clone(),
            created_by: self.created_by.clone(),
            created_at: self.created_at,
            piece_layers: layers,
        })
    }

    fn info_bytes(&self, layout: &Info, hashes: &PieceHashes, roots: &[Option<Hash>]) -> Vec<u8> {
        let first = &self.files[..1.min(self.files.len())];
        bencode::encode(|info| {
            info.dict(|info| {
                if self.single_file && self.version.has_v1() {
                    first.iter().for_each(|file| write_attributes(info, file.executable, false));
                }
                if self.version.has_v2() {
                    let files: Vec<_> = self.files.iter().zip(roots).collect();
                    info.entry("file tree").dict(|tree| write_tree(tree, &files, 0));
                }
                if self.version.has_v1() && self.single_file {
                    first.iter().for_each(|file| info.entry("length").int(signed(file.len)));
                } else if self.version.has_v1() {
                    info.entry("files").list(|list| write_files(list, &layout.files));
                }
                if self.version.has_v2() {
                    info.entry("meta version").int(2);
                }
                info.entry("name").bytes(&self.name);
                info.entry("piece length").int(i64::from(self.piece_len));
                if self.version.has_v1() {
                    info.entry("pieces").bytes(hashes.v1.as_flattened());
                }
                if self.private {
                    info.entry("private").int(1);
                }
                if let Some(source) = &self.source {
                    info.entry("source").bytes(source);
                }
            });
        })
    }
}

fn write_files(list: &mut ListEncoder<'_>, files: &[File]) {
    for file in files {
        list.item().dict(|dict| {
            write_attributes(dict, file.executable, file.padding);
            dict.entry("length").int(signed(file.len));
            dict.entry("path").list(|path| {
                file.path.iter().for_each(|element| path.item().bytes(element));
            });
        });
    }
}

/// Writes the files of one folder, `depth` levels down; the levels are ours, and bounded.
fn write_tree(tree: &mut DictEncoder<'_>, files: &[(&SourceFile, &Option<Hash>)], depth: usize) {
    for group in files.chunk_by(|(a, _), (b, _)| a.path.get(depth) == b.path.get(depth)) {
        let Some(((file, root), name)) = group.first().map(|first| (first, &first.0.path[depth]))
        else {
            continue;
        };
        if file.path.len() > depth + 1 {
            tree.entry(name).dict(|folder| write_tree(folder, group, depth + 1));
            continue;
        }
        tree.entry(name).dict(|entry| {
            entry.entry("").dict(|dict| {
                write_attributes(dict, file.executable, false);
                dict.entry("length").int(signed(file.len));
                if let Some(root) = root {
                    dict.entry("pieces root").bytes(root);
                }
            });
        });
    }
}

/// `attr` (BEP 47).
fn write_attributes(dict: &mut DictEncoder<'_>, executable: bool, padding: bool) {
    let attributes =
        format!("{}{}", if padding { "p" } else { "" }, if executable { "x" } else { "" });
    if !attributes.is_empty() {
        dict.entry("attr").bytes(attributes);
    }
}

/// A length as bencode has it. Lengths whose sum is too large are refused when the result is read.
fn signed(len: u64) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn check_name(name: &str) -> Result<(), CreateError> {
    let impossible = matches!(name, "" | "." | "..") || name.contains(['/', '\0']);
    if impossible { Err(CreateError::Name(name.to_string())) } else { Ok(()) }
}
