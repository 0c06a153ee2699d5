//! The sending half of a connection.

use std::io;
use std::task::{Context, Poll, ready};

use bittorrent::id::Block;
use machine::Framing;

use super::{Cold, Conn};
use crate::session::torrent::BlockRead;

/// Blocks put into one write at most.
const BATCH_MAX: usize = 16;
/// Bytes of a block's head and the longest block that a peer may ask for.
const BLOCK_ROOM: usize = 13 + 128 * 1024;

/// What has been taken from the queue and not been written.
pub(super) struct Outbound {
    bytes: Vec<u8>,
    written: usize,
    /// Blocks per write: grows while the socket takes all, shrinks when it does not.
    batch: usize,
    batch_blocks: Vec<Block>,
    /// Bytes granted by the limiter towards a block longer than its quantum.
    saved: u64,
}

impl Default for Outbound {
    fn default() -> Self {
        Self { bytes: Vec::new(), written: 0, batch: 2, batch_blocks: Vec::new(), saved: 0 }
    }
}

impl Conn {
    /// Whether anything waits to be sent that could be sent now.
    pub(super) fn has_output(&self) -> bool {
        let queue = self.handle.queue.borrow();
        !self.outbound.bytes.is_empty() || !queue.frames.is_empty()
    }

    /// Writes as much as the socket and the limit allow. Ready means that all is written.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while self.outbound.written < self.outbound.bytes.len() {
                let rest = &self.outbound.bytes[self.outbound.written..];
                let wrote = ready!(self.stream.poll_write(cx, rest))?;
                self.outbound.written += wrote;
            }
            self.outbound.bytes = Vec::new();
            self.outbound.written = 0;
            let torrent = self.torrent.clone();
            let mut scratch = torrent.scratch_out();
            scratch.clear();
            self.fill(&mut scratch, cx);
            if scratch.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Some(ciphers) = &mut self.ciphers {
                ciphers.encrypt.apply(&mut scratch);
            }
            match self.stream.poll_write(cx, &scratch) {
                Poll::Ready(Ok(wrote)) if wrote == scratch.len() => {
                    self.outbound.batch = (self.outbound.batch * 2).min(BATCH_MAX);
                }
                Poll::Ready(Ok(wrote)) => {
                    self.outbound.batch = (self.outbound.batch / 2).max(1);
                    self.outbound.bytes.extend_from_slice(&scratch[wrote..]);
                }
                Poll::Pending => self.outbound.bytes.extend_from_slice(&scratch),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
            drop(scratch);
            self.report_sent();
        }
    }

    /// Moves frames, then blocks, from the queue to `out`.
    fn fill(&mut self, out: &mut Vec<u8>, cx: &mut Context<'_>) {
        out.append(&mut self.handle.queue.borrow_mut().frames);
        for _ in 0..self.outbound.batch {
            let queue = self.handle.queue.borrow();
            let Some(&block) = queue.blocks.front() else { break };
            if matches!(queue.cold, Cold::Reading) || block.len as usize > BLOCK_ROOM {
                break;
            }
            drop(queue);
            let torrent = self.torrent.clone();
            let (lane, session) = (&torrent.throttle.up, &torrent.limits().up);
            let len = u64::from(block.len);
            let granted = lane.take(session, len, &self.handle.up, cx.waker());
            if granted == 0 {
                break;
            }
            let enough = granted >= len || !lane.is_limited(session);
            if !enough && !self.save_up(granted, block) {
                continue;
            }
            if !self.fill_block(out, block) {
                lane.give_back(session, len);
                break;
            }
        }
    }

    /// Collects small grants until they cover a block longer than the limiter's quantum.
    fn save_up(&mut self, granted: u64, block: Block) -> bool {
        self.outbound.saved += granted;
        let enough = self.outbound.saved >= u64::from(block.len);
        if enough {
            self.outbound.saved -= u64::from(block.len);
        }
        enough
    }

    /// Appends the front block of the queue to `out`; false if its bytes are not at hand.
    fn fill_block(&mut self, out: &mut Vec<u8>, block: Block) -> bool {
        let mut queue = self.handle.queue.borrow_mut();
        let begin = out.len();
        queue.framing.encode_payload_head(block.into(), out);
        let read = match std::mem::take(&mut queue.cold) {
            Cold::Ready(of, bytes) if of == block => {
                out.extend_from_slice(&bytes);
                BlockRead::Done
            }
            _ => self.torrent.read_block(&self.handle, block, out),
        };
        match read {
            BlockRead::Done => {
                queue.blocks.pop_front();
                self.outbound.batch_blocks.push(block);
                true
            }
            BlockRead::Later => {
                out.truncate(begin);
                queue.cold = Cold::Reading;
                false
            }
            BlockRead::Failed => {
                out.truncate(begin);
                queue.blocks.pop_front();
                drop(queue);
                self.torrent.block_dropped(self.handle.id, block);
                false
            }
        }
    }

    fn report_sent(&mut self) {
        let mut sent = std::mem::take(&mut self.outbound.batch_blocks);
        for block in sent.drain(..) {
            self.torrent.block_sent(self.handle.id, block);
        }
        self.outbound.batch_blocks = sent;
    }
}
