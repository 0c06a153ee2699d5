//! What a search asks: words, and bounds on what is told of a file and its owner's line.

use alloc::string::String;
use alloc::vec::Vec;

use super::field::{Line, number};
use super::{FieldError, Fields, LinkSpeed, MediaType, SharedFile};

/// Hits of one search, however many are asked for.
pub const RESULTS_MAX: usize = 100;
/// Words of one search.
pub const WORDS_MAX: usize = 16;
const PHRASE_MAX: usize = 256;

/// How a number is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// No less.
    AtLeast,
    /// No more.
    AtBest,
    /// The same.
    EqualTo,
}

/// The numbers that will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The least.
    pub min: u64,
    /// The greatest.
    pub max: u64,
}

impl Default for Filter {
    fn default() -> Self {
        Self { min: 0, max: u64::MAX }
    }
}

impl Filter {
    /// Whether `number` will do.
    #[must_use]
    pub fn admits(&self, number: u64) -> bool {
        (self.min..=self.max).contains(&number)
    }

    /// Whether every number will do.
    #[must_use]
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }

    /// Takes one more condition in.
    pub fn narrow(&mut self, how: Compare, number: u64) {
        if how != Compare::AtBest {
            self.min = self.min.max(number);
        }
        if how != Compare::AtLeast {
            self.max = self.max.min(number);
        }
    }

    fn write(&self, name: &str, mut line: Line) -> Line {
        if self.min == self.max {
            return line.word(name).quoted(b"EQUAL TO").word(self.min);
        }
        if self.min > 0 {
            line = line.word(name).quoted(b"AT LEAST").word(self.min);
        }
        if self.max < u64::MAX {
            line = line.word(name).quoted(b"AT BEST").word(self.max);
        }
        line
    }
}

/// Why a search cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// A field is not as it should be.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// There is no such condition.
    #[error("a condition that is not known")]
    Condition,
    /// There is no such comparison.
    #[error("a comparison that is not known")]
    Compare,
    /// There is no such kind of file.
    #[error("invalid type for search")]
    Type,
}

/// A search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What names must hold: words, in lower case, as [`words`](super::index::words) cuts them.
    pub words: Vec<String>,
    /// Hits that are enough, at most [`RESULTS_MAX`].
    pub limit: usize,
    /// Kinds of files; `None` is any.
    pub media: Option<MediaType>,
    /// Kilobits per second.
    pub bitrate: Filter,
    /// Hertz.
    pub frequency: Filter,
    /// Bytes.
    pub size: Filter,
    /// [`LinkSpeed::number`] of the owner.
    pub link: Filter,
}

impl Query {
    /// Files of any kind whose names hold these words.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut query = Self {
            words: Vec::new(),
            limit: RESULTS_MAX,
            media: None,
            bitrate: Filter::default(),
            frequency: Filter::default(),
            size: Filter::default(),
            link: Filter::default(),
        };
        query.require(text.as_bytes());
        query
    }

    fn require(&mut self, text: &[u8]) {
        super::index::words(text, |word| {
            if self.words.len() < WORDS_MAX && !self.words.iter().any(|known| known == word) {
                self.words.push(word.into());
            }
        });
    }

    /// Reads a search (message 200). Without `TYPE` it is for music, as it was before there were
    /// types; `TYPE any` is for everything.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn parse(body: &[u8]) -> Result<Self, QueryError> {
        let mut fields = Fields::new(body);
        let mut query = Self { media: Some(MediaType::Mp3), ..Self::new("") };
        while let Some(name) = fields.optional("condition")? {
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            if is("FILENAME") {
                if !fields.field("CONTAINS")?.eq_ignore_ascii_case(b"CONTAINS") {
                    return Err(QueryError::Compare);
                }
                query.require(fields.text("words", PHRASE_MAX)?.as_bytes());
            } else if is("MAX_RESULTS") {
                query.limit = number::<usize>(fields.field("MAX_RESULTS")?, "MAX_RESULTS")?;
                query.limit = query.limit.min(RESULTS_MAX);
            } else if is("TYPE") {
                let word = fields.field("TYPE")?;
                let is_any = word.eq_ignore_ascii_case(b"any");
                let named = || MediaType::parse(word).ok_or(QueryError::Type);
                query.media = if is_any { None } else { Some(named()?) };
            } else if is("LINESPEED") {
                condition(&mut fields, &mut query.link)?;
            } else if is("BITRATE") {
                condition(&mut fields, &mut query.bitrate)?;
            } else if is("FREQ") {
                condition(&mut fields, &mut query.frequency)?;
            } else if is("SIZE") {
                condition(&mut fields, &mut query.size)?;
            } else if is("LOCAL_ONLY") {
                // There are no other servers behind this one.
            } else {
                return Err(QueryError::Condition);
            }
        }
        Ok(query)
    }

    /// Writes it as the body of message 200.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut line = Line::new();
        if !self.words.is_empty() {
            line = line.word("FILENAME").word("CONTAINS").quoted(self.words.join(" ").as_bytes());
        }
        line = line.word("MAX_RESULTS").word(self.limit);
        match self.media {
            Some(MediaType::Mp3) => {}
            Some(media) => line = line.word("TYPE").word(media.name()),
            None => line = line.word("TYPE").word("any"),
        }
        line = self.link.write("LINESPEED", line);
        line = self.bitrate.write("BITRATE", line);
        line = self.frequency.write("FREQ", line);
        self.size.write("SIZE", line).end()
    }

    /// Whether what is told of a file will do, its words aside.
    #[must_use]
    pub fn admits(&self, file: &SharedFile, link: LinkSpeed) -> bool {
        self.admits_measures(file.media, file.size, file.bitrate, file.frequency)
            && self.link.admits(link.number().into())
    }

    pub(crate) fn admits_measures(
        &self,
        media: MediaType,
        size: u64,
        bitrate: u32,
        frequency: u32,
    ) -> bool {
        self.media.is_none_or(|wanted| wanted == media)
            && self.size.admits(size)
            && self.bitrate.admits(bitrate.into())
            && self.frequency.admits(frequency.into())
    }
}

fn condition(fields: &mut Fields<'_>, filter: &mut Filter) -> Result<(), QueryError> {
    let word = fields.field("comparison")?;
    let is = |known: &str| word.eq_ignore_ascii_case(known.as_bytes());
    let how = if is("AT LEAST") {
        Compare::AtLeast
    } else if is("AT BEST") {
        Compare::AtBest
    } else if is("EQUAL TO") {
        Compare::EqualTo
    } else {
        return Err(QueryError::Compare);
    };
    filter.narrow(how, fields.number("number")?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_are_read() {
        let query = Query::parse(
            b"FILENAME CONTAINS \"Sneaker Pimps\" MAX_RESULTS 75 FILENAME CONTAINS \
              \"tesko suicide\" BITRATE \"AT LEAST\" \"128\"",
        )
        .expect("a search");
        assert_eq!(query.words, ["sneaker", "pimps", "tesko", "suicide"]);
        assert_eq!((query.limit, query.bitrate.min), (75, 128));
        let query = Query::parse(
            b"MAX_RESULTS 100 FILENAME CONTAINS \"Ventolin\" LINESPEED \"EQUAL TO\" 10",
        )
        .expect("a search");
        assert_eq!(query.link, Filter { min: 10, max: 10 });
        assert_eq!(query.media, Some(MediaType::Mp3));
        assert_eq!(Query::parse(&query.encode()), Ok(query));
    }

    #[test]
    fn na_03_malformed_searches_are_errors() {
        for body in [
            &b"FILENAME CONTAINS \"a \"quoted\" string\" MAX_RESULTS 100"[..],
            b"FILENAME CONTAINS",
            b"FILENAME IS \"a\"",
            b"MAX_RESULTS -1",
            b"BITRATE \"AT LEAST\" fast",
            b"BITRATE \"ABOUT\" 128",
            b"TYPE smell",
            b"DROP TABLE",
        ] {
            assert!(Query::parse(body).is_err(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn na_06_no_more_than_a_hundred_hits_are_asked_for() {
        let query = Query::parse(b"MAX_RESULTS 4000000000").expect("a search");
        assert_eq!(query.limit, RESULTS_MAX);
    }
}
