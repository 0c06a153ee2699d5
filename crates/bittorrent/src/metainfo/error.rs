//! What can be wrong with a metainfo file.

use codec::bencode::{BencodeError, ErrorKind};

/// Why a metainfo file or info dictionary was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem} at byte {at}")]
pub struct MetainfoError {
    problem: Problem,
    at: usize,
}

impl MetainfoError {
    pub(super) fn new(problem: Problem, at: usize) -> Self {
        Self { problem, at }
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> Problem {
        self.problem
    }

    /// A name of the problem for machines to read; it does not change.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.problem {
            Problem::Bencode(kind) => kind.name(),
            Problem::TooLarge { .. } => "too_large",
            Problem::Missing(_) => "missing_key",
            Problem::Type { .. } => "wrong_type",
            Problem::DuplicateKey => "duplicate_key",
            Problem::Version(_) => "unknown_version",
            Problem::PieceLen(_) => "piece_length",
            Problem::Pieces { .. } => "pieces",
            Problem::TooManyPieces => "too_many_pieces",
            Problem::TooManyFiles => "too_many_files",
            Problem::Len => "file_length",
            Problem::Empty => "empty",
            Problem::LengthAndFiles => "length_and_files",
            Problem::FileTree(_) => "file_tree",
            Problem::PiecesRoot => "pieces_root",
            Problem::PieceLayer(_) => "piece_layer",
            Problem::Hybrid(_) => "hybrid_mismatch",
        }
    }

    /// Where the problem is: an offset in the input, in bytes.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }
}

impl From<BencodeError> for MetainfoError {
    fn from(error: BencodeError) -> Self {
        Self::new(Problem::Bencode(error.kind), error.at)
    }
}

/// What is wrong with a metainfo file or info dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not bencode.
    #[error("{0}")]
    Bencode(ErrorKind),
    /// More bytes than are accepted.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// Most bytes.
        limit: usize,
    },
    /// A key that must be there is not.
    #[error("no `{0}`")]
    Missing(&'static str),
    /// A value of the wrong type.
    #[error("`{key}` is not {expected}")]
    Type {
        /// Whose value it is.
        key: &'static str,
        /// What it should be.
        expected: &'static str,
    },
    /// A key that is twice in one dictionary of the info dictionary.
    #[error("a key that was there before")]
    DuplicateKey,
    /// A `meta version` other than 2.
    #[error("`meta version` {0} is not known")]
    Version(i64),
    /// A `piece length` that is not possible.
    #[error("`piece length` {0} is not possible")]
    PieceLen(i64),
    /// `pieces` does not fit the files.
    #[error("`pieces` has {found} bytes, and the files need {needed}")]
    Pieces {
        /// Bytes of `pieces`.
        found: usize,
        /// Bytes that it should have.
        needed: u64,
    },
    /// More pieces than are accepted.
    #[error("too many pieces")]
    TooManyPieces,
    /// More files than are accepted.
    #[error("too many files")]
    TooManyFiles,
    /// A length that is negative, or too large together with the others.
    #[error("a file length that is not possible")]
    Len,
    /// No file has any content.
    #[error("a torrent without content")]
    Empty,
    /// Both `length` and `files`.
    #[error("both `length` and `files`")]
    LengthAndFiles,
    /// A malformed `file tree`.
    #[error("`file tree` with {0}")]
    FileTree(&'static str),
    /// A file with content whose `pieces root` is missing, zero, or not 32 bytes long.
    #[error("a file without a valid `pieces root`")]
    PiecesRoot,
    /// An entry of `piece layers` that fits no file.
    #[error("a piece layer {0}")]
    PieceLayer(&'static str),
    /// The v1 and v2 parts of a hybrid describe different content.
    #[error("v1 and v2 parts that differ in {0}")]
    Hybrid(&'static str),
}
