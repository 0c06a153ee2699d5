//! Writing traces.

use std::io::{self, Write};

use machine::{Instant, Wire};

use super::format::{MAGIC, Record, Traced, VERSION, What};
use crate::observer::{Input, Made, Observer};
use crate::{Node, Simulated, World};

/// Appends a message to bytes.
pub(super) type Encode<M> = fn(&<M as machine::DatagramMachine>::Message, &mut Vec<u8>);

/// Observes a world and writes down what it sees.
pub struct Writer<M: Simulated, W> {
    out: W,
    encode: Encode<M>,
    before: Instant,
    line: Vec<u8>,
    failed: Option<io::Error>,
}

impl<M: Simulated<Message: Wire>, W: Write> Writer<M, W> {
    /// Writes to `out` what happens in `world` from now on, messages in their wire format. Each
    /// record is one write, so `out` is best buffered.
    pub fn new(world: &World<M>, out: W) -> Self {
        Self::with(world, out, Wire::encode)
    }
}

impl<M: Simulated, W: Write> Writer<M, W> {
    /// The same for messages that have no wire format: `encode` appends one to bytes.
    pub fn with(world: &World<M>, mut out: W, encode: Encode<M>) -> Self {
        let mut head = Vec::from(MAGIC);
        head.extend(VERSION.to_be_bytes());
        head.extend(world.seed().to_be_bytes());
        let failed = out.write_all(&head).err();
        Self { out, encode, before: Instant::ZERO, line: Vec::new(), failed }
    }

    /// Gives back what was written to.
    ///
    /// # Errors
    /// The first error that writing met with; nothing was written after it.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    /// Sees to it that everything has been written.
    ///
    /// # Errors
    /// The first error that writing met with; nothing was written after it.
    pub fn flush(&mut self) -> io::Result<()> {
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.out.flush(),
        }
    }

    fn write(&mut self, at: Instant, node: Node, what: What) {
        if self.failed.is_some() {
            return;
        }
        self.line.clear();
        Record { at, node, what }.encode(self.before, &mut self.line);
        self.before = at;
        self.failed = self.out.write_all(&self.line).err();
    }
}

impl<M: Traced, W: Write> Observer<M> for Writer<M, W> {
    fn input(&mut self, at: Instant, node: Node, input: Input<'_, M>) {
        self.write(at, node, What::of_input(&input, self.encode));
    }

    fn made(&mut self, at: Instant, node: Node, made: Made<'_, M>) {
        self.write(at, node, What::of_made(at, &made, self.encode));
    }
}
