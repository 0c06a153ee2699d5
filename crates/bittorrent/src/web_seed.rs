//! Where a web seed keeps the bytes of a torrent: the URL of each file (BEP 19), the query for a run
//! of a piece (BEP 17), and which reads answer a run of requests. No connections.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::Range;

use codec::percent::Encoded;

use crate::id::{Block, InfoHash, PieceIndex};
use crate::metainfo::Info;

/// The URL of a file (an index in [`Info::files`]) at a BEP 19 web seed.
///
/// A single file lies at `base` itself, or under its name if `base` ends in a slash; several lie in
/// a folder with the torrent's name below `base`. `None` if there is no such file, or its path is
/// not one that goes down from `base`.
#[must_use]
pub fn file_url(base: &str, info: &Info, file: usize) -> Option<String> {
    let file = info.files.get(file)?;
    let mut url = String::from(base.split('#').next()?);
    if info.single_file {
        if url.ends_with('/') {
            push_element(&mut url, &info.name)?;
        }
        return Some(url);
    }
    if !url.ends_with('/') {
        url.push('/');
    }
    push_element(&mut url, &info.name)?;
    for element in &file.path {
        url.push('/');
        push_element(&mut url, element)?;
    }
    Some(url)
}

/// Appends one element of a path, unless it would lead elsewhere than down.
fn push_element(url: &mut String, element: &str) -> Option<()> {
    if matches!(element, "" | "." | "..") {
        return None;
    }
    write!(url, "{}", Encoded(element.as_bytes())).ok()
}

/// The URL that asks a BEP 17 web seed for a piece, or for a run of its bytes.
#[must_use]
pub fn piece_url(base: &str, hash: InfoHash, piece: PieceIndex, run: Option<Range<u32>>) -> String {
    let base = base.split('#').next().unwrap_or(base);
    let joint = if base.contains('?') { '&' } else { '?' };
    let range = run.filter(|run| !run.is_empty()).map_or_else(String::new, |run| {
        // Both ends are counted in.
        alloc::format!("&ranges={}-{}", run.start, run.end - 1)
    });
    alloc::format!("{base}{joint}info_hash={}&piece={}{range}", Encoded(&hash.0), piece.0)
}

/// Whether a query (what follows the `?`) is one of [`piece_url`] and nothing besides.
#[must_use]
pub fn is_piece_query(query: &str) -> bool {
    let of = |value: &[u8], more: &[u8]| {
        !value.is_empty() && value.iter().all(|byte| byte.is_ascii_digit() || more.contains(byte))
    };
    let mut parameters = codec::percent::query(query.as_bytes());
    matches!(parameters.next(), Some((b"info_hash", hash)) if codec::percent::decode(hash).len() == 20)
        && matches!(parameters.next(), Some((b"piece", piece)) if of(piece, b""))
        && match parameters.next() {
            None => true,
            Some((key, ranges)) => key == b"ranges" && of(ranges, b"-,"),
        }
        && parameters.next().is_none()
}

/// How many of `blocks` lie one behind the other in the torrent, from the first on, in at most
/// `max_len` bytes; at least one if there is any.
#[must_use]
pub fn run_len(info: &Info, blocks: &[Block], max_len: u64) -> usize {
    let Some(first) = blocks.first() else { return 0 };
    let start = start_of(info, *first);
    let mut end = start + u64::from(first.len);
    let more = blocks.iter().skip(1).take_while(|block| {
        let joins = start_of(info, **block) == end;
        end = end.saturating_add(u64::from(block.len));
        joins && end - start <= max_len
    });
    1 + more.count()
}

fn start_of(info: &Info, block: Block) -> u64 {
    u64::from(block.piece.0) * u64::from(info.piece_len) + u64::from(block.begin)
}

/// Some bytes of a run, and where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// From where.
    pub from: Origin,
    /// How many bytes.
    pub len: u64,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a file (an index in [`Info::files`]), from this byte on.
    File(usize, u64),
    /// From nowhere: padding is zeros (BEP 47).
    Zeros,
}

/// The reads that together yield `blocks`, in their order; reads of one file that join are one.
#[must_use]
pub fn reads(info: &Info, blocks: &[Block]) -> Vec<Read> {
    let mut reads: Vec<Read> = Vec::new();
    for block in blocks {
        for span in info.file_spans(block.piece, block.begin, block.len) {
            let padding = info.files.get(span.file).is_none_or(|file| file.padding);
            let from = if padding { Origin::Zeros } else { Origin::File(span.file, span.offset) };
            let len = u64::from(span.len);
            match (reads.last_mut(), from) {
                (
                    Some(Read { from: Origin::File(file, offset), len: before }),
                    Origin::File(..),
                ) if *file == span.file && *offset + *before == span.offset => {
                    *before += len;
                }
                (Some(Read { from: Origin::Zeros, len: before }), Origin::Zeros) => *before += len,
                _ => reads.push(Read { from, len }),
            }
        }
    }
    reads
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::id::InfoHashes;
    use crate::metainfo::File;

    fn file(path: &[&str], offset: u64, len: u64, padding: bool) -> File {
        File {
            path: path.iter().map(ToString::to_string).collect(),
            disk_path: Vec::new(),
            offset,
            len,
            padding,
            symlink: false,
            executable: false,
            pieces_root: None,
        }
    }

    fn info(name: &str, single_file: bool, files: Vec<File>) -> Info {
        let total_len = files.last().map_or(0, |file| file.offset + file.len);
        Info {
            hashes: InfoHashes { v1: Some(InfoHash([0xab; 20])), v2: None },
            name: name.into(),
            piece_len: 65_536,
            private: false,
            single_file,
            files,
            total_len,
            v1_pieces: Some(Vec::new()),
        }
    }

    fn block(piece: u32, begin: u32, len: u32) -> Block {
        Block { piece: PieceIndex(piece), begin, len }
    }

    #[test]
    fn a_single_file_lies_at_the_url_or_below_it() {
        let info = info("a b/ü.iso", true, vec![file(&["a b/ü.iso"], 0, 10, false)]);
        for (base, url) in [
            ("http://m.example/x.iso", "http://m.example/x.iso"),
            ("http://m.example/pub/", "http://m.example/pub/a%20b%2F%C3%BC.iso"),
            ("http://m.example/get?f=x#top", "http://m.example/get?f=x"),
        ] {
            assert_eq!(file_url(base, &info, 0).as_deref(), Some(url), "{base}");
        }
        assert_eq!(file_url("http://m.example/", &info, 1), None);
    }

    #[test]
    fn several_files_lie_in_the_folder_of_the_torrent() {
        let files =
            vec![file(&["sub", "100%.txt"], 0, 10, false), file(&["..", "x"], 10, 1, false)];
        let info = info("set?", false, files);
        for base in ["http://m.example/pub/", "http://m.example/pub"] {
            let url = file_url(base, &info, 0);
            assert_eq!(
                url.as_deref(),
                Some("http://m.example/pub/set%3F/sub/100%25.txt"),
                "{base}"
            );
        }
        assert_eq!(file_url("http://m.example/pub/", &info, 1), None, "leads upwards");
    }

    #[test]
    fn a_piece_is_asked_for_by_query() {
        let hash = InfoHash(*b"\x00aaaaaaaaaaaaaaaaaa/");
        let whole = piece_url("http://m.example/seed.php", hash, PieceIndex(3), None);
        let query = "info_hash=%00aaaaaaaaaaaaaaaaaa%2F&piece=3";
        assert_eq!(whole, alloc::format!("http://m.example/seed.php?{query}"));
        let part = piece_url("http://m.example/s?k=v", hash, PieceIndex(3), Some(16_384..32_768));
        assert_eq!(part, alloc::format!("http://m.example/s?k=v&{query}&ranges=16384-32767"));
        for (query, is) in [
            (query.to_string(), true),
            (alloc::format!("{query}&ranges=0-5,7-9"), true),
            (alloc::format!("{query}&ranges=0-5&do=reboot"), false),
            (alloc::format!("{query}&do=reboot"), false),
            (alloc::format!("do=reboot&{query}"), false),
            ("info_hash=x&piece=3".into(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_piece_query(&query), is, "{query}");
        }
    }

    #[test]
    fn runs_end_at_gaps_and_at_the_bound() {
        let info = info("f", true, vec![file(&["f"], 0, 1 << 20, false)]);
        let blocks = [
            block(0, 32_768, 16_384),
            block(0, 49_152, 16_384),
            block(1, 0, 16_384),
            block(1, 32_768, 16_384),
        ];
        for (max, len) in [(1 << 20, 3), (32_768, 2), (40_000, 2), (1, 1)] {
            assert_eq!(run_len(&info, &blocks, max), len, "{max}");
        }
        assert_eq!(run_len(&info, &[], 1), 0);
    }

    #[test]
    fn reads_follow_files_and_leave_padding_out() {
        let files = vec![
            file(&["a"], 0, 70_000, false),
            file(&[".pad"], 70_000, 61_072, true),
            file(&["b"], 131_072, 10, false),
            file(&["c"], 131_082, 100, false),
        ];
        let info = info("set", false, files);
        let run = [block(1, 0, 16_384), block(1, 16_384, 49_152), block(2, 0, 110)];
        let read = |from, len| Read { from, len };
        let expected = [
            read(Origin::File(0, 65_536), 4_464),
            read(Origin::Zeros, 61_072),
            read(Origin::File(2, 0), 10),
            read(Origin::File(3, 0), 100),
        ];
        assert_eq!(reads(&info, &run), expected);
        let joined = [block(0, 0, 16_384), block(0, 16_384, 16_384)];
        assert_eq!(reads(&info, &joined), [read(Origin::File(0, 0), 32_768)]);
    }
}
