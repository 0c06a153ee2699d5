//! The file that names the torrents a tracker serves.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bittorrent::id::InfoHash;

/// Why an allow-list is not read.
#[derive(Debug, thiserror::Error)]
pub enum AllowListError {
    /// The file cannot be read.
    #[error("the allow-list {}: {error}", path.display())]
    Io {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A line is no infohash.
    #[error("the allow-list {}, line {line}: not 40 or 64 hexadecimal digits", path.display())]
    Line {
        /// Its path.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

/// Reads one infohash a line, of v1 (40 digits) or v2 (64, of which trackers see the first 40).
/// Empty lines and what follows a `#` do not count.
pub(super) fn read(path: &Path) -> Result<HashSet<InfoHash>, AllowListError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| AllowListError::Io { path: path.to_owned(), error })?;
    let mut hashes = HashSet::new();
    for (at, line) in text.lines().enumerate() {
        let digits = line.split('#').next().unwrap_or_default().trim();
        if !digits.is_empty() {
            let hash = info_hash(digits)
                .ok_or_else(|| AllowListError::Line { path: path.to_owned(), line: at + 1 })?;
            hashes.insert(hash);
        }
    }
    Ok(hashes)
}

fn info_hash(digits: &str) -> Option<InfoHash> {
    let all_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !all_hex || !matches!(digits.len(), 40 | 64) {
        return None;
    }
    let mut hash = [0; 20];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(InfoHash(hash))
}
