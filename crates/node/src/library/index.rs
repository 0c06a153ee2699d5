//! Files by words: a full-text index beside the tables. It holds nothing that the tables do not:
//! when it is damaged, it is made anew.

use std::fs;
use std::io;
use std::ops::Bound;
use std::path::Path;

use tantivy::collector::{Count, TopDocs};
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, FuzzyTermQuery, Occur, Query as Asked,
    RangeQuery, TermQuery,
};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, Term};

use super::query::{Query, kinds, name_words};
use super::store::{FileId, FolderId, Known};

/// Bytes that new entries take in memory before they are written: the least there can be.
const WRITER_BYTES: usize = 15_000_000;
/// Results that may be left out at the beginning.
const OFFSET_MAX: usize = 100_000;
/// How much a word in the name counts more than one in a folder.
const NAME_BOOST: f32 = 3.0;
/// Our tokenizer's name.
const WORDS: &str = "words";

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its folder cannot be made or emptied.
    #[error(transparent)]
    Folder(#[from] io::Error),
    /// Something in it.
    #[error(transparent)]
    Index(#[from] tantivy::TantivyError),
}

#[derive(Clone, Copy, Debug)]
struct Fields {
    file: Field,
    folder: Field,
    name: Field,
    dir: Field,
    kind: Field,
    len: Field,
}

/// The index, open.
pub(super) struct Index {
    fields: Fields,
    index: tantivy::Index,
    reader: IndexReader,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let indexing = |option| {
        let indexing = TextFieldIndexing::default().set_tokenizer(WORDS).set_index_option(option);
        TextOptions::default().set_indexing_options(indexing)
    };
    let fields = Fields {
        file: schema.add_u64_field("file", FAST | INDEXED),
        folder: schema.add_u64_field("folder", INDEXED),
        name: schema.add_text_field("name", indexing(IndexRecordOption::Basic)),
        dir: schema.add_text_field("dir", indexing(IndexRecordOption::Basic)),
        kind: schema.add_text_field("kind", indexing(IndexRecordOption::Basic)),
        len: schema.add_u64_field("len", FAST),
    };
    (schema.build(), fields)
}

impl Index {
    /// Opens the index in `folder`, or makes it. One that cannot be read is removed first.
    pub(super) fn open(folder: &Path) -> Result<Self, IndexError> {
        match Self::open_or_create(folder) {
            Ok(index) => return Ok(index),
            Err(error) => tracing::warn!(%error, "the index is made anew"),
        }
        fs::remove_dir_all(folder)?;
        Self::open_or_create(folder)
    }

    fn open_or_create(folder: &Path) -> Result<Self, IndexError> {
        fs::create_dir_all(folder)?;
        let (schema, fields) = schema();
        let directory =
            tantivy::directory::MmapDirectory::open(folder).map_err(tantivy::TantivyError::from)?;
        let index = tantivy::Index::open_or_create(directory, schema)?;
        let words = TextAnalyzer::builder(WhitespaceTokenizer::default()).build();
        index.tokenizers().register(WORDS, words);
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { fields, index, reader })
    }

    /// How many files it has.
    pub(super) fn len(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Begins to change it. Memory is taken until it is committed.
    pub(super) fn change(&self) -> Result<Update<'_>, IndexError> {
        Ok(Update { index: self, writer: self.index.writer_with_num_threads(1, WRITER_BYTES)? })
    }

    /// The best files for a query, and how many there are in all.
    pub(super) fn search(
        &self,
        query: &Query,
        folder: Option<FolderId>,
        offset: usize,
        limit: usize,
    ) -> Result<(Vec<FileId>, u64), IndexError> {
        let searcher = self.reader.searcher();
        let asked = self.fields.ask(query, folder);
        let total = searcher.search(&asked, &Count)? as u64;
        if limit == 0 || offset > OFFSET_MAX {
            return Ok((Vec::new(), total));
        }
        let best = TopDocs::with_limit(limit).and_offset(offset).order_by_score();
        let mut found = Vec::new();
        for (_, address) in searcher.search(&asked, &best)? {
            let segment = searcher.segment_reader(address.segment_ord);
            found.extend(segment.fast_fields().u64("file")?.first(address.doc_id));
        }
        Ok((found, total))
    }
}

impl Fields {
    fn ask(self, query: &Query, folder: Option<FolderId>) -> BooleanQuery {
        type Clause = (Occur, Box<dyn Asked>);
        let begins = |word: &str| -> Box<dyn Asked> {
            let prefix = |field, boost| -> Clause {
                let term = Term::from_field_text(field, word);
                let begins = FuzzyTermQuery::new_prefix(term.clone(), 0, true);
                let whole = TermQuery::new(term, IndexRecordOption::Basic);
                let whole = ConstScoreQuery::new(Box::new(whole), 1.0);
                let either = BooleanQuery::union(vec![Box::new(begins), Box::new(whole)]);
                (Occur::Should, Box::new(BoostQuery::new(Box::new(either), boost)))
            };
            Box::new(BooleanQuery::new(vec![prefix(self.name, NAME_BOOST), prefix(self.dir, 1.0)]))
        };
        let unscored = |asked: Box<dyn Asked>| Box::new(ConstScoreQuery::new(asked, 0.0));
        // Something must be there for what narrows it.
        let mut clauses: Vec<Clause> = vec![(Occur::Must, unscored(Box::new(AllQuery)))];
        clauses.extend(query.words.iter().map(|word| (Occur::Must, begins(word))));
        clauses.extend(query.without.iter().map(|word| (Occur::MustNot, begins(word))));
        if !query.kinds.is_empty() {
            let kinds = query.kinds.iter().map(|kind| -> Box<dyn Asked> {
                let term = Term::from_field_text(self.kind, kind);
                Box::new(TermQuery::new(term, IndexRecordOption::Basic))
            });
            let one_of = BooleanQuery::union(kinds.collect());
            clauses.push((Occur::Must, unscored(Box::new(one_of))));
        }
        if let Some(folder) = folder {
            let term = Term::from_field_u64(self.folder, folder.into());
            let within = TermQuery::new(term, IndexRecordOption::Basic);
            clauses.push((Occur::Must, unscored(Box::new(within))));
        }
        if query.len_min.is_some() || query.len_max.is_some() {
            let bound = |len: Option<u64>| {
                let term = |len| Bound::Included(Term::from_field_u64(self.len, len));
                len.map_or(Bound::Unbounded, term)
            };
            let range = RangeQuery::new(bound(query.len_min), bound(query.len_max));
            clauses.push((Occur::Must, unscored(Box::new(range))));
        }
        BooleanQuery::new(clauses)
    }
}

/// Changes that nobody sees yet.
pub(super) struct Update<'a> {
    index: &'a Index,
    writer: IndexWriter,
}

impl Update<'_> {
    /// Puts a file in as it is now, or takes it out.
    pub(super) fn set(&self, id: FileId, file: Option<&Known>) -> Result<(), IndexError> {
        let fields = self.index.fields;
        self.writer.delete_term(Term::from_field_u64(fields.file, id));
        let Some(file) = file else { return Ok(()) };
        let (name, dir) = (String::from_utf8_lossy(&file.name), String::from_utf8_lossy(&file.dir));
        let mut document = TantivyDocument::new();
        document.add_u64(fields.file, id);
        document.add_u64(fields.folder, file.folder.into());
        document.add_text(fields.name, name_words(&name).join(" "));
        document.add_text(fields.dir, name_words(&dir).join(" "));
        document.add_text(fields.kind, kinds(&name).join(" "));
        document.add_u64(fields.len, file.stamp.len);
        self.writer.add_document(document)?;
        Ok(())
    }

    /// Shows the changes, and keeps them.
    pub(super) fn commit(mut self) -> Result<(), IndexError> {
        self.writer.commit()?;
        self.index.reader.reload()?;
        self.writer.wait_merging_threads()?;
        Ok(())
    }
}
