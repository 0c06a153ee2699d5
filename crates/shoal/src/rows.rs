//! What the last search found, by number, so that `shoal fetch NUMBER` knows what is meant; and other
//! names of contents that are no torrents.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use node::{Config, ContentId, SearchResult};

use crate::exit::{Failure, bad_input};

/// Rows that are kept.
const ROWS_MAX: usize = 1_000;

/// What `shoal fetch` is to have a node fetch.
#[derive(Debug)]
pub enum Named {
    /// Something that was found.
    Row(Box<SearchResult>),
    /// What a URN or a magnet link names, which may be a torrent, too.
    Link(String),
}

fn path(config: &Config) -> PathBuf {
    config.node.state_dir.join("last-search.json")
}

/// Keeps what was found, for the next command.
pub fn keep(config: &Config, rows: &BTreeMap<usize, SearchResult>) {
    let rows: BTreeMap<usize, &SearchResult> =
        rows.iter().take(ROWS_MAX).map(|(number, row)| (number + 1, row)).collect();
    let path = path(config);
    let written = serde_json::to_vec(&rows).map_err(std::io::Error::from);
    let written = written.and_then(|bytes| std::fs::write(&path, bytes));
    if let Err(error) = written {
        // The node may belong to somebody else.
        tracing::debug!(path = %path.display(), %error, "what was found is not kept");
    }
}

/// What `name` is, if it is more than a torrent: a URN or a magnet link with digests of the file, or the
/// number of a row of the last search, unless there is a file of that name.
///
/// # Errors
/// When the last search has no such row.
pub fn named(
    name: &str,
    config: impl FnOnce() -> Result<Config, Failure>,
) -> Result<Option<Named>, Failure> {
    if ContentId::parse(name).is_some() {
        return Ok(Some(Named::Link(name.to_owned())));
    }
    let Some(number) = name.parse::<usize>().ok().filter(|_| !Path::new(name).exists()) else {
        return Ok(None);
    };
    let rows = std::fs::read(path(&config()?)).unwrap_or_default();
    let mut rows: BTreeMap<usize, SearchResult> = serde_json::from_slice(&rows).unwrap_or_default();
    let row = rows.remove(&number);
    let row = row.ok_or_else(|| bad_input(anyhow!("the last search has no result {number}")))?;
    Ok(Some(Named::Row(Box::new(row))))
}
