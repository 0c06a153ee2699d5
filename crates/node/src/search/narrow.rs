//! What narrows a search, as people type it among the words: `type:video`, `size:1M..1G`, `-word`,
//! `network:gnutella`, `sources:3`. Finders are told what they understand; the rest is left out here,
//! so that every network is narrowed the same.

use super::{Hit, SearchResult};
use crate::library::{Query, kinds};

/// What belongs to a kind that is no class of MIME types, by the ends of names.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "document",
        &[
            "pdf", "epub", "mobi", "djvu", "doc", "docx", "odt", "rtf", "txt", "md", "ppt", "pptx",
            "xls", "xlsx", "ods", "tex",
        ],
    ),
    ("archive", &["zip", "gz", "tgz", "tar", "bz2", "xz", "zst", "7z", "rar", "iso", "cab"]),
    ("program", &["exe", "msi", "apk", "deb", "rpm", "dmg", "pkg", "appimage", "jar", "run", "sh"]),
];

/// A search, understood.
#[derive(Clone, Debug, Default)]
pub(super) struct Narrow {
    /// What finders are told: all but what only this module understands.
    pub(super) words: String,
    /// The words alone.
    pub(super) query: Query,
    /// Networks that are asked; none is all.
    networks: Vec<String>,
    /// Fewest sources.
    sources: u64,
}

impl Narrow {
    pub(super) fn parse(text: &str) -> Self {
        let (mut networks, mut sources, mut words) = (Vec::new(), 0, Vec::new());
        for part in text.split_whitespace() {
            if let Some(network) = part.strip_prefix("network:").filter(|name| !name.is_empty()) {
                networks.push(network.to_lowercase());
            } else if let Some(Ok(least)) = part.strip_prefix("sources:").map(str::parse) {
                sources = least;
            } else if let Some(ends) = part.strip_prefix("type:").and_then(group) {
                words.extend(ends.iter().map(|end| format!("type:{end}")));
            } else {
                words.push(part.to_owned());
            }
        }
        let words = words.join(" ");
        Self { query: Query::parse(&words), words, networks, sources }
    }

    /// Whether a network is asked.
    pub(super) fn asks(&self, network: &str) -> bool {
        self.networks.is_empty() || self.networks.iter().any(|name| name == network)
    }

    /// Whether this is what is looked for, for all that one network knows of it.
    pub(super) fn admits(&self, hit: &Hit) -> bool {
        let Query { without, kinds: wanted, len_min, len_max, .. } = &self.query;
        let words = || crate::library::name_words(&hit.name);
        len_min.is_none_or(|least| hit.length >= least)
            && len_max.is_none_or(|most| hit.length <= most)
            && (wanted.is_empty() || kinds(&hit.name).iter().any(|kind| wanted.contains(kind)))
            && (without.is_empty()
                || words().iter().all(|word| !without.iter().any(|not| word.starts_with(not))))
    }

    /// Whether enough is known to have it.
    pub(super) fn fits(&self, result: &SearchResult) -> bool {
        result.sources >= self.sources
    }
}

fn group(kind: &str) -> Option<&'static [&'static str]> {
    GROUPS.iter().find(|(name, _)| kind.eq_ignore_ascii_case(name)).map(|(_, ends)| *ends)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::ContentId;

    fn hit(name: &str, length: u64) -> Hit {
        Hit {
            name: name.to_owned(),
            length,
            mime: None,
            id: String::new(),
            sources: 1,
            content: ContentId::default(),
        }
    }

    #[test]
    fn what_is_typed_narrows_what_every_network_tells() {
        let (small, book, song) = (hit("Film.mkv", 10), hit("film.pdf", 5_000), hit("film.ogg", 9));
        let table: [(&str, [bool; 3]); 10] = [
            ("film", [true, true, true]),
            ("film type:video", [true, false, false]),
            ("film type:Document", [false, true, false]),
            ("film type:audio type:document", [false, true, true]),
            ("film size:>9", [true, true, false]),
            ("film size:10..4K", [true, false, false]),
            ("film size:..10", [true, false, true]),
            ("film size:1K..", [false, true, false]),
            ("film -pdf", [true, false, true]),
            ("film -fil", [false, false, false]),
        ];
        for (text, expected) in table {
            let narrow = Narrow::parse(text);
            assert_eq!([&small, &book, &song].map(|hit| narrow.admits(hit)), expected, "{text}");
        }
    }

    #[test]
    fn networks_and_sources_are_for_us_alone() {
        let narrow = Narrow::parse("film network:Gnutella sources:3 type:program -old");
        assert!(narrow.asks("gnutella") && !narrow.asks("library"));
        assert!(Narrow::parse("film").asks("library"));
        assert!(!narrow.words.contains("network:") && !narrow.words.contains("sources:"));
        assert!(narrow.words.starts_with("film type:exe") && narrow.words.ends_with("-old"));
        assert_eq!(narrow.query.words, ["film"]);
        assert_eq!(Narrow::parse("sources:x network:").query.words, ["sources", "x", "network"]);
    }
}
