//! What people search for, in words: `big bunny type:video size:>100M -trailer`. Every word must
//! begin a word of the name, or of the folders on the way to it.

use icu_normalizer::ComposingNormalizerBorrowed;
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, SimpleTokenizer, TextAnalyzer, TokenStream,
};

/// Words of a query that count.
const WORDS_MAX: usize = 16;
/// Bytes of a query that are read.
const QUERY_LEN_MAX: usize = 1000;

/// A query, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Beginnings of words that must be there.
    pub(crate) words: Vec<String>,
    /// Beginnings of words that must not.
    pub(crate) without: Vec<String>,
    /// Kinds, one of which it must be: `video`, `mp4`, `video/mp4`.
    pub(crate) kinds: Vec<String>,
    /// Fewest bytes.
    pub(crate) len_min: Option<u64>,
    /// Most bytes.
    pub(crate) len_max: Option<u64>,
}

impl Query {
    /// Reads what somebody typed. Everything means something.
    pub(crate) fn parse(text: &str) -> Self {
        let text = &text[..text.floor_char_boundary(QUERY_LEN_MAX)];
        let mut query = Self::default();
        for part in text.split_whitespace() {
            if let Some(kind) = part.strip_prefix("type:").filter(|kind| !kind.is_empty()) {
                query.kinds.push(kind.trim_start_matches('.').to_lowercase());
            } else if let Some(len) = part.strip_prefix("size:>").and_then(size) {
                query.len_min = Some(len.saturating_add(1).max(query.len_min.unwrap_or(0)));
            } else if let Some(len) = part.strip_prefix("size:<").and_then(size) {
                query.len_max = Some(len.saturating_sub(1).min(query.len_max.unwrap_or(u64::MAX)));
            } else if let Some((least, most)) = part.strip_prefix("size:").and_then(range) {
                query.len_min = least.max(query.len_min);
                query.len_max = match (most, query.len_max) {
                    (Some(most), Some(other)) => Some(most.min(other)),
                    (most, other) => most.or(other),
                };
            } else if let Some(word) = part.strip_prefix('-').filter(|word| !word.is_empty()) {
                query.without.extend(plain_words(word));
            } else {
                query.words.extend(plain_words(part));
            }
        }
        query.words.truncate(WORDS_MAX);
        query.without.truncate(WORDS_MAX);
        query.kinds.truncate(WORDS_MAX);
        query
    }
}

/// Fewest and most bytes, one of which may be left out: `1M..1G`.
fn range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let end = |text: &str| if text.is_empty() { Some(None) } else { size(text).map(Some) };
    let (least, most) = text.split_once("..")?;
    let both = (end(least)?, end(most)?);
    (both != (None, None)).then_some(both)
}

/// A number of bytes with `K` or `KiB` behind it, powers of 1,024, or `KB`, powers of 1,000; so for
/// `M`, `G` and `T`.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let power = match unit.chars().next() {
        None | Some('b') => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some(_) => return None,
    };
    let base: f64 = match unit.get(usize::from(power > 0)..)? {
        "" | "ib" => 1024.0,
        "b" => 1000.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    // Saturates, which is what is wanted.
    Some((number * base.powi(power)) as u64)
}

/// Words of a query: lower case, without accents.
fn plain_words(text: &str) -> Vec<String> {
    let text = ComposingNormalizerBorrowed::new_nfc().normalize(text);
    let mut analyzer = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter)
        .build();
    let mut stream = analyzer.token_stream(&text);
    let mut words = Vec::new();
    while stream.advance() {
        words.push(stream.token().text.clone());
    }
    words
}

/// Words by which a name is found: those that stand alone, and those that only a capital letter
/// sets apart (`BigBuckBunny`).
pub(crate) fn name_words(name: &str) -> Vec<String> {
    let mut words = plain_words(name);
    let mut apart = String::with_capacity(name.len() + 8);
    let mut lower = false;
    for c in name.chars() {
        if lower && c.is_uppercase() {
            apart.push(' ');
        }
        lower = c.is_lowercase();
        apart.push(c);
    }
    if apart.len() > name.len() {
        words.extend(plain_words(&apart));
    }
    words
}

/// What kind of file it is, as `type:` takes it.
pub(crate) fn kinds(name: &str) -> Vec<String> {
    let mime = crate::mime::of_name(name);
    let mime = mime.split(';').next().unwrap_or(mime);
    let mut kinds = vec![mime.to_owned()];
    if let Some((major, _)) = mime.split_once('/').filter(|(major, _)| *major != "application") {
        kinds.push(major.to_owned());
    }
    if let Some((_, end)) = name.rsplit_once('.').filter(|(_, end)| !end.is_empty()) {
        kinds.push(end.to_lowercase());
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_words_and_what_narrows_them() {
        let query = Query::parse("Café  BIG-buck -Trailer.old type:.MKV size:>1.5K size:<2MiB");
        assert_eq!(query.words, ["cafe", "big", "buck"]);
        assert_eq!(query.without, ["trailer", "old"]);
        assert_eq!(query.kinds, ["mkv"]);
        assert_eq!((query.len_min, query.len_max), (Some(1537), Some((2 << 20) - 1)));
        for (text, bytes) in [("7", 7), ("7b", 7), ("2KB", 2000), ("2k", 2048), ("1GiB", 1 << 30)] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for text in ["", "x", "1x", "1kx", "1..2", "ib", "1ib", "é"] {
            assert_eq!(size(text), None, "{text}");
        }
        for (text, least, most) in [
            ("size:1K..1M", Some(1 << 10), Some(1 << 20)),
            ("size:7..", Some(7), None),
            ("size:..7", None, Some(7)),
            ("size:5.. size:>9 size:..1K size:<20", Some(10), Some(19)),
            ("size:.. size:x..1", None, None),
        ] {
            let query = Query::parse(text);
            assert_eq!((query.len_min, query.len_max), (least, most), "{text}");
        }
        for text in ["", "   ", "--- ... \u{301}", "size:>", "size:>x", "type:"] {
            let query = Query::parse(text);
            assert_eq!((query.len_min, query.kinds.len()), (None, 0), "{text:?}");
        }
        // Letters and accents that come apart (as macOS writes names) are one word.
        assert_eq!(Query::parse("re\u{301}sume\u{301}").words, ["resume"]);
        assert_eq!(Query::parse(&"é ".repeat(100_000)).words.len(), WORDS_MAX);
        assert_eq!(Query::parse("size:>99999999999999999999T").len_min, Some(u64::MAX));
    }

    #[test]
    fn names_are_found_by_their_parts() {
        assert_eq!(name_words("a_b.C-d"), ["a", "b", "c", "d"].map(str::to_owned).to_vec());
        let words = name_words("BigBuckBunny (2008).mp4");
        for word in ["bigbuckbunny", "big", "buck", "bunny", "2008", "mp4"] {
            assert!(words.iter().any(|it| it == word), "{word} of {words:?}");
        }
    }

    #[test]
    fn kinds_are_the_type_its_class_and_the_end_of_the_name() {
        assert_eq!(kinds("a.MP4"), ["video/mp4", "video", "mp4"]);
        assert_eq!(kinds("a.tar.gz"), ["application/gzip", "gz"]);
        assert_eq!(kinds("README"), ["application/octet-stream"]);
        assert_eq!(kinds("x.html"), ["text/html", "text", "html"]);
    }
}
