//! How the program ends: exit codes, and errors that carry one.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;

/// What the exit code says. The numbers are documented, and do not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Everything that was asked is done.
    Done = 0,
    /// It could not be done: the network, the disk, or bytes that are missing or wrong.
    Failed = 1,
    /// It was asked wrongly: bad arguments, or a file or link that cannot be understood.
    BadInput = 2,
    /// Nothing came for as long as `--timeout` allows; what is there is kept.
    GaveUp = 3,
    /// Stopped by a signal before it was done; what is there is kept.
    Interrupted = 130,
}

/// The same, for people: the end of every help text.
pub const EXIT_CODES_HELP: &str = "\
Exit codes:
    0  done
    1  failed: network, disk, or bytes that are missing or wrong
    2  bad input: arguments, or a file or link that cannot be understood
    3  gave up: nothing came for as long as --timeout allows (what is there is kept)
  130  stopped by a signal before it was done (what is there is kept)";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error and the exit code that goes with it.
#[derive(Debug)]
pub struct Failure {
    /// How to end.
    pub exit: Exit,
    /// What to say, outermost context first.
    pub error: anyhow::Error,
}

impl Failure {
    /// Whether this is only a reader of our output that went away, as `head` does.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.error.chain().any(|cause| {
            cause
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        })
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { exit: Exit::Failed, error }
    }
}

/// Marks errors as the fault of what the user gave.
pub trait BadInput<T> {
    /// Ends with [`Exit::BadInput`] instead of [`Exit::Failed`].
    ///
    /// # Errors
    /// If `self` is one.
    fn bad_input(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> BadInput<T> for Result<T, E> {
    fn bad_input(self) -> Result<T, Failure> {
        self.map_err(|error| Failure { exit: Exit::BadInput, error: error.into() })
    }
}

/// A failure that is the fault of what the user gave.
#[must_use]
pub fn bad_input(message: impl fmt::Display + fmt::Debug + Send + Sync + 'static) -> Failure {
    Failure { exit: Exit::BadInput, error: anyhow::Error::msg(message) }
}

/// Writes a line to standard output. Unlike `println!` it does not panic when nobody reads.
///
/// # Errors
/// When it cannot be written.
pub fn say(line: impl fmt::Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .context("cannot write to standard output")
        .map_err(Failure::from)
}
