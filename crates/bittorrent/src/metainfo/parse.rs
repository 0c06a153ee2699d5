//! Reading metainfo files and info dictionaries.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use codec::bencode::{self, Dict, Value};
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::{File, Info, Metainfo, MetainfoError, Problem, files, path};
use crate::id::{BLOCK_LEN, InfoHash, InfoHashV2, InfoHashes};
use crate::{merkle, url};

/// Most bytes of a metainfo file.
pub const MAX_METAINFO_LEN: usize = 100 << 20;
/// Most bytes of an info dictionary, from a file or from peers.
pub const MAX_INFO_LEN: usize = 30 << 20;
/// Most files, padding included.
pub const MAX_FILES: usize = 500_000;
/// Most pieces.
pub const MAX_PIECES: u32 = 0x20_0000;
/// Most bytes of a piece.
pub const MAX_PIECE_LEN: u32 = 512 << 20;

/// Most trackers that are kept, and most seeds of each kind.
const MAX_URLS: usize = 256;

impl Metainfo {
    /// Reads a metainfo file.
    ///
    /// Unlike BEP 52 asks, piece layers may be missing: peers have them. Those that are there must
    /// be right. What is odd outside of the info dictionary is left out.
    ///
    /// # Errors
    /// If the file is malformed, contradicts itself, or exceeds a limit of this module.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        check_len(bytes, MAX_METAINFO_LEN)?;
        let document = bencode::decode(bytes)?;
        let root = document.dict().ok_or(wrong_type(document.root(), "metainfo", DICT))?;
        let info_value = root.get("info").ok_or(missing("info", root))?;
        let info_dict = info_value.as_dict().ok_or(wrong_type(info_value, "info", DICT))?;
        check_len(info_value.raw(), MAX_INFO_LEN)?;
        let info = parse_info(info_dict, document.disorder().is_some())?;
        let piece_layers = match root.get("piece layers") {
            Some(layers) if info.hashes.v2.is_some() => parse_layers(layers, &info)?,
            _ => alloc::vec![Vec::new(); info.files.len()],
        };
        Ok(Self {
            info: Arc::new(info),
            info_bytes: info_value.raw().into(),
            trackers: trackers(root),
            web_seeds: urls(root.get("url-list")),
            http_seeds: urls(root.get("httpseeds")),
            comment: text(root, "comment.utf-8", "comment"),
            created_by: text(root, "created by.utf-8", "created by"),
            created_at: root.int("creation date"),
            piece_layers,
        })
    }

    /// A metainfo file around an info dictionary that came from elsewhere (BEP 9). Piece layers
    /// are not known.
    ///
    /// # Errors
    /// As [`Info::parse`].
    pub fn from_info(
        info_bytes: impl Into<Arc<[u8]>>,
        trackers: Vec<Vec<String>>,
        web_seeds: Vec<String>,
    ) -> Result<Self, MetainfoError> {
        let info_bytes = info_bytes.into();
        let info = Info::parse(&info_bytes)?;
        Ok(Self {
            piece_layers: alloc::vec![Vec::new(); info.files.len()],
            info: Arc::new(info),
            info_bytes,
            trackers,
            web_seeds,
            http_seeds: Vec::new(),
            comment: None,
            created_by: None,
            created_at: None,
        })
    }

    /// Writes the metainfo file; the info dictionary keeps its bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let strings = |urls: &[String], out: bencode::Encoder<'_>| {
            out.list(|list| urls.iter().for_each(|url| list.item().bytes(url)));
        };
        bencode::encode(|file| {
            file.dict(|dict| {
                if let Some(first) = self.trackers.first().and_then(|tier| tier.first()) {
                    dict.entry("announce").bytes(first);
                }
                if self.trackers.iter().map(Vec::len).sum::<usize>() > 1 {
                    dict.entry("announce-list").list(|tiers| {
                        self.trackers.iter().for_each(|tier| strings(tier, tiers.item()));
                    });
                }
                if let Some(comment) = &self.comment {
                    dict.entry("comment").bytes(comment);
                }
                if let Some(created_by) = &self.created_by {
                    dict.entry("created by").bytes(created_by);
                }
                if let Some(created_at) = self.created_at {
                    dict.entry("creation date").int(created_at);
                }
                if !self.http_seeds.is_empty() {
                    strings(&self.http_seeds, dict.entry("httpseeds"));
                }
                dict.entry("info").raw(&self.info_bytes);
                if self.info.hashes.v2.is_some() {
                    // Files with the same content have one entry.
                    let layers: BTreeMap<_, _> = (self.info.files.iter().zip(&self.piece_layers))
                        .filter(|(_, layer)| !layer.is_empty())
                        .filter_map(|(file, layer)| Some((file.pieces_root?, layer)))
                        .collect();
                    dict.entry("piece layers").dict(|dict| {
                        for (root, layer) in layers {
                            dict.entry(root).bytes(layer.as_flattened());
                        }
                    });
                }
                if !self.web_seeds.is_empty() {
                    strings(&self.web_seeds, dict.entry("url-list"));
                }
            });
        })
    }
}

impl Info {
    /// Reads an info dictionary.
    ///
    /// # Errors
    /// If it is malformed, contradicts itself, or exceeds a limit of this module.
    pub fn parse(bytes: &[u8]) -> Result<Self, MetainfoError> {
        check_len(bytes, MAX_INFO_LEN)?;
        let document = bencode::decode(bytes)?;
        let dict = document.dict().ok_or(wrong_type(document.root(), "info", DICT))?;
        parse_info(dict, document.disorder().is_some())
    }
}

fn parse_info(info: Dict<'_>, disorder: bool) -> Result<Info, MetainfoError> {
    let fail = |problem, value: Value<'_>| Err(MetainfoError::new(problem, value.at()));
    if disorder {
        no_duplicates(info)?;
    }
    // First of all, as BEP 52 asks: a later version may change everything else.
    let version = optional_int(info, "meta version")?;
    let is_v2 = match version {
        None | Some(1) => false,
        Some(2) => true,
        Some(version) => return fail(Problem::Version(version), info.value()),
    };
    let name = text(info, "name.utf-8", "name").ok_or(missing("name", info))?;
    let piece_len = piece_len(info, is_v2)?;
    let private = info.int("private") == Some(1);

    let pieces = info.get("pieces");
    let is_v1 = pieces.is_some() || !is_v2;
    let mut hashes = InfoHashes { v1: None, v2: None };
    let raw = info.value().raw();
    if is_v1 {
        hashes.v1 = Some(InfoHash(Sha1::digest(raw).into()));
    }
    if is_v2 {
        hashes.v2 = Some(InfoHashV2(Sha256::digest(raw).into()));
    }

    let v2 = is_v2.then(|| files::v2(info, disorder, &name, piece_len)).transpose()?;
    let v1 = is_v1.then(|| files::v1(info, disorder, &name)).transpose()?;
    let mut list = match (v1, v2) {
        (Some(v1), Some(v2)) => files::hybrid(v1, &v2, piece_len, info)?,
        (Some(list), None) | (None, Some(list)) => list,
        (None, None) => return Err(missing("pieces", info)),
    };
    if list.total_len == 0 {
        return fail(Problem::Empty, info.value());
    }
    let count = list.total_len.div_ceil(u64::from(piece_len));
    if count > u64::from(MAX_PIECES) {
        return fail(Problem::TooManyPieces, info.value());
    }
    let v1_pieces = is_v1.then(|| v1_pieces(info, count)).transpose()?;
    let folder = (!list.single_file).then_some(&*name);
    let fallback = hashes.primary().map(|hash| hash.to_string()).unwrap_or_default();
    list.files.shrink_to_fit();
    path::assign(&mut list.files, folder, &fallback);
    Ok(Info {
        hashes,
        name,
        piece_len,
        private,
        single_file: list.single_file,
        files: list.files,
        total_len: list.total_len,
        v1_pieces,
    })
}

fn piece_len(info: Dict<'_>, is_v2: bool) -> Result<u32, MetainfoError> {
    const KEY: &str = "piece length";
    let value = info.get(KEY).ok_or(missing(KEY, info))?;
    let int = value.as_int().ok_or(wrong_type(value, KEY, "an integer"))?;
    u32::try_from(int)
        .ok()
        .filter(|len| (1..=MAX_PIECE_LEN).contains(len))
        .filter(|len| !is_v2 || (len.is_power_of_two() && *len >= BLOCK_LEN))
        .ok_or(MetainfoError::new(Problem::PieceLen(int), value.at()))
}

fn v1_pieces(info: Dict<'_>, count: u64) -> Result<Vec<[u8; 20]>, MetainfoError> {
    let value = info.get("pieces").ok_or(missing("pieces", info))?;
    let bytes = value.as_bytes().ok_or(wrong_type(value, "pieces", "a string"))?;
    let (hashes, rest) = bytes.as_chunks::<20>();
    if !rest.is_empty() || hashes.len() as u64 != count {
        let problem = Problem::Pieces { found: bytes.len(), needed: count * 20 };
        return Err(MetainfoError::new(problem, value.at()));
    }
    Ok(hashes.to_vec())
}

/// The layer of each file, checked against its root.
fn parse_layers(value: Value<'_>, info: &Info) -> Result<Vec<Vec<merkle::Hash>>, MetainfoError> {
    let fail = |what, value: Value<'_>| MetainfoError::new(Problem::PieceLayer(what), value.at());
    let dict = value.as_dict().ok_or(wrong_type(value, "piece layers", DICT))?;
    let piece_len = u64::from(info.piece_len);
    let mut by_root: BTreeMap<merkle::Hash, Vec<usize>> = BTreeMap::new();
    for (index, file) in info.files.iter().enumerate() {
        if let Some(root) = file.pieces_root.filter(|_| file.len > piece_len) {
            by_root.entry(root).or_default().push(index);
        }
    }
    let mut layers = alloc::vec![Vec::new(); info.files.len()];
    for (root, layer) in dict.iter() {
        let indices = root.try_into().ok().and_then(|root: merkle::Hash| by_root.get(&root));
        let indices = indices.ok_or(fail("of no file", layer))?;
        let bytes = layer.as_bytes().ok_or(wrong_type(layer, "piece layers", "a string"))?;
        let (hashes, rest) = bytes.as_chunks::<32>();
        for &index in indices {
            let count = info.files[index].len.div_ceil(piece_len);
            if !rest.is_empty() || hashes.len() as u64 != count {
                return Err(fail("of the wrong size", layer));
            }
        }
        if merkle::root(hashes, merkle::piece_layer(info.piece_len)) != root {
            return Err(fail("that does not match its root", layer));
        }
        for &index in indices {
            layers[index] = hashes.to_vec();
        }
    }
    Ok(layers)
}

fn trackers(root: Dict<'_>) -> Vec<Vec<String>> {
    let mut room = MAX_URLS;
    let mut tiers = Vec::new();
    for tier in root.list("announce-list").iter().flat_map(|tiers| tiers.iter()) {
        let mut tier = urls(Some(tier));
        tier.truncate(room);
        room -= tier.len();
        if !tier.is_empty() {
            tiers.push(tier);
        }
    }
    if tiers.is_empty() {
        tiers.extend(root.bytes("announce").and_then(url::clean).map(|url| alloc::vec![url]));
    }
    tiers
}

/// One URL or a list of them.
fn urls(value: Option<Value<'_>>) -> Vec<String> {
    let Some(value) = value else { return Vec::new() };
    let one = value.as_bytes().and_then(url::clean);
    let many = value.as_list().into_iter().flat_map(|list| list.iter());
    let many = many.filter_map(|item| item.as_bytes().and_then(url::clean));
    one.into_iter().chain(many).take(MAX_URLS).collect()
}

/// Text under a key that says it is UTF-8, or else under one that should be.
pub(super) fn text(dict: Dict<'_>, utf8_key: &str, key: &str) -> Option<String> {
    let bytes = dict.bytes(utf8_key).or_else(|| dict.bytes(key))?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}

pub(super) fn optional_int(
    dict: Dict<'_>,
    key: &'static str,
) -> Result<Option<i64>, MetainfoError> {
    let value = dict.get(key);
    value.map(|value| value.as_int().ok_or(wrong_type(value, key, "an integer"))).transpose()
}

pub(super) fn no_duplicates(dict: Dict<'_>) -> Result<(), MetainfoError> {
    let duplicate = dict.duplicate();
    duplicate.map_or(Ok(()), |twice| Err(MetainfoError::new(Problem::DuplicateKey, twice.at())))
}

pub(super) const DICT: &str = "a dictionary";

pub(super) fn wrong_type(
    value: Value<'_>,
    key: &'static str,
    expected: &'static str,
) -> MetainfoError {
    MetainfoError::new(Problem::Type { key, expected }, value.at())
}

pub(super) fn missing(key: &'static str, dict: Dict<'_>) -> MetainfoError {
    MetainfoError::new(Problem::Missing(key), dict.value().at())
}

fn check_len(bytes: &[u8], limit: usize) -> Result<(), MetainfoError> {
    let fits = bytes.len() <= limit;
    fits.then_some(()).ok_or(MetainfoError::new(Problem::TooLarge { limit }, limit))
}

impl File {
    /// A file as its author described it, not placed yet.
    pub(super) fn new(path: Vec<String>, offset: u64, len: u64) -> Self {
        Self {
            path,
            disk_path: Vec::new(),
            offset,
            len,
            padding: false,
            symlink: false,
            executable: false,
            pieces_root: None,
        }
    }
}
