//! What a user names a torrent by: a file, standard input, a magnet link, a URL, an infohash.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use bittorrent::magnet::{Magnet, MagnetError};
use bittorrent::metainfo::{MAX_METAINFO_LEN, Metainfo, MetainfoError};
use net::dialer::Dialer;
use net::http_client::{Client, Get};
use net::session::Source;
use net::url_policy::Purpose;
use tokio::runtime;
use url::Url;

use crate::exit::{Exit, Failure};

/// Why a torrent is not understood.
#[derive(Debug)]
pub enum Refused {
    /// Its bytes cannot be read at all.
    Unreadable(anyhow::Error),
    /// A metainfo file that is malformed.
    Metainfo(MetainfoError),
    /// A magnet link that is malformed.
    Magnet(MagnetError),
}

impl Refused {
    /// A name of the problem for machines to read.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::Metainfo(error) => error.kind(),
            Self::Magnet(error) => error.kind(),
        }
    }

    /// Where the problem is, in bytes from the beginning.
    #[must_use]
    pub fn at(&self) -> Option<usize> {
        match self {
            Self::Metainfo(error) => Some(error.at()),
            Self::Unreadable(_) | Self::Magnet(_) => None,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Unreadable(error) => format!("{error:#}"),
            Self::Metainfo(error) => error.to_string(),
            Self::Magnet(error) => error.to_string(),
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self { exit: Exit::BadInput, error: anyhow::Error::msg(refused.message()) }
    }
}

/// Finds out what `name` names, and reads it; a URL through `interface`, if one is given.
///
/// # Errors
/// When it cannot be read or is malformed.
pub fn load(name: &str, interface: Option<&str>) -> Result<Source, Refused> {
    if let Some(link) = as_magnet(name) {
        let magnet = Magnet::parse(&link).map_err(Refused::Magnet)?;
        return Ok(Source::Magnet(Box::new(magnet)));
    }
    let bytes = match name {
        "-" => read_all(io::stdin().lock()).context("standard input"),
        url if is_url(url) => download(url, interface),
        path => read_file(Path::new(path)),
    };
    parse(&bytes.map_err(Refused::Unreadable)?)
}

/// Reads a metainfo file, and nothing else.
///
/// # Errors
/// When it cannot be read or is malformed.
pub fn load_file(path: &Path) -> Result<Metainfo, Refused> {
    let bytes = if path == Path::new("-") {
        read_all(io::stdin().lock()).context("standard input")
    } else {
        read_file(path)
    };
    Metainfo::parse(&bytes.map_err(Refused::Unreadable)?).map_err(Refused::Metainfo)
}

fn parse(bytes: &[u8]) -> Result<Source, Refused> {
    // A magnet link that was put in a file, or piped in.
    if let Some(link) = std::str::from_utf8(bytes).ok().and_then(|text| as_magnet(text.trim())) {
        let magnet = Magnet::parse(&link).map_err(Refused::Magnet)?;
        return Ok(Source::Magnet(Box::new(magnet)));
    }
    let metainfo = Metainfo::parse(bytes).map_err(Refused::Metainfo)?;
    Ok(Source::Metainfo(Box::new(metainfo)))
}

/// The magnet link that `name` is, or stands for by being an infohash.
fn as_magnet(name: &str) -> Option<String> {
    let scheme = name.get(..8)?;
    if scheme.eq_ignore_ascii_case("magnet:?") {
        return Some(name.to_owned());
    }
    let hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (name.len(), hexadecimal) {
        (40, true) => Some(format!("magnet:?xt=urn:btih:{name}")),
        // A multihash: function 0x12 (SHA-256), 0x20 bytes long (BEP 52).
        (64, true) => Some(format!("magnet:?xt=urn:btmh:1220{name}")),
        _ => None,
    }
}

fn is_url(name: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| {
        name.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    })
}

/// Downloads a metainfo file, through `interface` if one is given.
fn download(url: &str, interface: Option<&str>) -> anyhow::Result<Vec<u8>> {
    let parsed = Url::parse(url).with_context(|| url.to_owned())?;
    let dialer = Dialer { interface: interface.map(str::to_owned), ..Dialer::default() };
    let get = Get { purpose: Purpose::Content, range: None, family: None };
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let response = Client::new(dialer).get(&parsed, get).await?;
        if !response.status.is_success() {
            return Err(anyhow!("{url}: the server says {}", response.status));
        }
        Ok(response.bytes(MAX_METAINFO_LEN).await?)
    })
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    read_all(file).with_context(|| path.display().to_string())
}

fn read_all(source: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(MAX_METAINFO_LEN as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_METAINFO_LEN {
        return Err(anyhow!("too large for a torrent: more than {MAX_METAINFO_LEN} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infohashes_stand_for_magnet_links() {
        let (v1, v2) = ("ab".repeat(20), "CD".repeat(32));
        for (name, link) in [
            (v1.as_str(), Some(format!("magnet:?xt=urn:btih:{v1}"))),
            (v2.as_str(), Some(format!("magnet:?xt=urn:btmh:1220{v2}"))),
            ("MAGNET:?xt=x", Some("MAGNET:?xt=x".to_owned())),
            ("a.torrent", None),
            ("ééééééé", None),
            ("", None),
        ] {
            assert_eq!(as_magnet(name), link, "{name}");
        }
        assert!(is_url("HTTPS://example.org/x.torrent"));
        assert!(!is_url("http.torrent"));
    }
}
