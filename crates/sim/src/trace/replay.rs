//! Comparing a run with the trace of another.

use core::fmt;
use std::io::Read;

use machine::{Instant, Wire};

use super::format::{Record, Traced, What};
use super::reader::{Reader, TraceError};
use super::writer::Encode;
use crate::observer::{Input, Made, Observer};
use crate::{Node, Simulated};

/// Observes a world and compares what it sees with a trace, up to the first difference.
pub struct Replay<M: Simulated, R> {
    trace: Reader<R>,
    encode: Encode<M>,
    matched: u64,
    found: Option<Divergence>,
}

/// Where a run and a trace part.
#[derive(Debug)]
pub struct Divergence {
    /// How many records agreed before.
    pub after: u64,
    /// What the trace has there; `None` if it ends.
    pub expected: Option<Result<Record, TraceError>>,
    /// What happened instead; `None` if the run ended.
    pub happened: Option<Record>,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after {} records that agree, ", self.after)?;
        match &self.expected {
            Some(Ok(record)) => write!(f, "the trace has {record:?}")?,
            Some(Err(error)) => write!(f, "the trace cannot be read: {error}")?,
            None => write!(f, "the trace ends")?,
        }
        match &self.happened {
            Some(record) => write!(f, " and what happened is {record:?}"),
            None => write!(f, " and the run ended"),
        }
    }
}

impl<M: Simulated<Message: Wire>, R: Read> Replay<M, R> {
    /// Compares with a trace whose messages are in their wire format.
    pub fn new(trace: Reader<R>) -> Self {
        Self::with(trace, Wire::encode)
    }
}

impl<M: Simulated, R: Read> Replay<M, R> {
    /// The same for a trace whose messages were encoded by `encode`.
    pub fn with(trace: Reader<R>, encode: Encode<M>) -> Self {
        Self { trace, encode, matched: 0, found: None }
    }

    /// How many records have agreed so far.
    #[must_use]
    pub const fn matched(&self) -> u64 {
        self.matched
    }

    /// The first difference so far. The run may be shorter than the trace.
    #[must_use]
    pub const fn divergence(&self) -> Option<&Divergence> {
        self.found.as_ref()
    }

    /// The first difference, now that the run is over: a trace that goes on is one too.
    #[must_use]
    pub fn finish(mut self) -> Option<Divergence> {
        self.found.or_else(|| {
            let expected = Some(self.trace.next()?);
            Some(Divergence { after: self.matched, expected, happened: None })
        })
    }

    fn compare(&mut self, at: Instant, node: Node, what: impl FnOnce(Encode<M>) -> What) {
        if self.found.is_some() {
            return;
        }
        let record = Record { at, node, what: what(self.encode) };
        let expected = self.trace.next();
        if matches!(&expected, Some(Ok(expected)) if *expected == record) {
            self.matched += 1;
        } else {
            let (after, happened) = (self.matched, Some(record));
            self.found = Some(Divergence { after, expected, happened });
        }
    }
}

impl<M: Traced, R: Read> Observer<M> for Replay<M, R> {
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, M>) {
        self.compare(at, node, |encode| What::of_input(&input, encode));
    }

    fn made(&mut self, at: Instant, node: Node, made: Made<'_, M>) {
        self.compare(at, node, |encode| What::of_made(at, &made, encode));
    }
}
