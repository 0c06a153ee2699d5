//! The same files in tantivy, in memory: what an index of our own is measured beside. It answers by
//! words and bit rates alone; what a hit tells of a file is stored beside its words.

use std::time::{Duration, Instant};

use search::napster::index::words;
use search::napster::{Query, SharedFile};
use tantivy::collector::DocSetCollector;
use tantivy::directory::RamDirectory;
use tantivy::query::{BooleanQuery, Occur, Query as Asked, RangeQuery, TermQuery};
use tantivy::schema::{FAST, Field, INDEXED, IndexRecordOption, STORED, Schema};
use tantivy::schema::{TextFieldIndexing, TextOptions};
use tantivy::tokenizer::{TextAnalyzer, WhitespaceTokenizer};
use tantivy::{Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy};
use tantivy::{TantivyDocument, Term};

/// What new entries take before they are written.
const WRITER_BYTES: usize = 256 << 20;

pub struct Library {
    directory: RamDirectory,
    writer: IndexWriter,
    reader: IndexReader,
    name: Field,
    words: Field,
    owner: Field,
    hash: Field,
    size: Field,
    bitrate: Field,
}

impl Library {
    pub fn new() -> Self {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default()
            .set_tokenizer("words")
            .set_index_option(IndexRecordOption::Basic)
            .set_fieldnorms(false);
        let words =
            schema.add_text_field("words", TextOptions::default().set_indexing_options(indexing));
        let name = schema.add_bytes_field("name", STORED);
        let hash = schema.add_bytes_field("hash", STORED | INDEXED);
        let size = schema.add_u64_field("size", STORED);
        let bitrate = schema.add_u64_field("bitrate", STORED | FAST);
        let owner = schema.add_u64_field("owner", STORED | INDEXED);
        let directory = RamDirectory::create();
        let settings = IndexSettings::default();
        let index = Index::create(directory.clone(), schema.build(), settings).expect("an index");
        let analyzer = TextAnalyzer::builder(WhitespaceTokenizer::default()).build();
        index.tokenizers().register("words", analyzer);
        let writer = index.writer_with_num_threads(1, WRITER_BYTES).expect("a writer");
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
        let reader = reader.expect("a reader");
        Self { directory, writer, reader, name, words, owner, hash, size, bitrate }
    }

    /// Files of a user, which are found after the next [`Self::commit`].
    pub fn share(&mut self, owner: u64, files: &[SharedFile]) {
        for file in files {
            let mut text = String::new();
            words(file.name.as_bytes(), |word| {
                text.push_str(word);
                text.push(' ');
            });
            let mut document = TantivyDocument::new();
            document.add_text(self.words, text);
            document.add_bytes(self.name, file.name.as_bytes());
            document.add_bytes(self.hash, file.hash.as_bytes());
            document.add_u64(self.size, file.size);
            document.add_u64(self.bitrate, file.bitrate.into());
            document.add_u64(self.owner, owner);
            self.writer.add_document(document).expect("added");
        }
    }

    /// A user's files go.
    pub fn leave(&mut self, owner: u64) {
        self.writer.delete_term(Term::from_field_u64(self.owner, owner));
    }

    pub fn commit(&mut self) -> Duration {
        let began = Instant::now();
        self.writer.commit().expect("committed");
        self.reader.reload().expect("seen");
        began.elapsed()
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> usize {
        self.directory.total_mem_usage()
    }

    /// How many hits a search tells of, each read as a server must to tell of it.
    pub fn search(&self, query: &Query) -> usize {
        let searcher = self.reader.searcher();
        let word = |word: &String| -> (Occur, Box<dyn Asked>) {
            let term = Term::from_field_text(self.words, word);
            (Occur::Must, Box::new(TermQuery::new(term, IndexRecordOption::Basic)))
        };
        let mut clauses: Vec<_> = query.words.iter().map(word).collect();
        if !query.bitrate.is_open() {
            let least = Term::from_field_u64(self.bitrate, query.bitrate.min);
            let range =
                RangeQuery::new(std::ops::Bound::Included(least), std::ops::Bound::Unbounded);
            clauses.push((Occur::Must, Box::new(range)));
        }
        let found = searcher.search(&BooleanQuery::new(clauses), &DocSetCollector);
        let hits = found.expect("searched").into_iter().take(query.limit);
        let told: Vec<TantivyDocument> =
            hits.map(|hit| searcher.doc(hit).expect("a document")).collect();
        told.len()
    }
}
