//! The receiving half of a connection.

use std::io::IoSliceMut;
use std::task::{Context, Poll, ready};

use bittorrent::id::Block;
use bittorrent::peer_wire::Frame;
use bittorrent::swarm::CloseReason;
use machine::{Decoded, Framing, Payload};

use super::Conn;
use crate::session::pieces::Landing;
use crate::session::stream::Stream;

/// Bytes of one read at most.
const READ_MAX: usize = 512 * 1024;
/// Blocks laid out in one read at most.
const AHEAD_MAX: usize = 30;
/// Bytes of a `piece` message before the block.
const HEAD_LEN: usize = 13;

/// What is known of the bytes that come next.
#[derive(Default)]
pub(super) struct Inbound {
    /// The beginning of a frame that is not whole yet.
    leftover: Vec<u8>,
    /// Bytes of that frame that are needed to go on.
    need: usize,
    /// A block that is under way.
    landing: Option<Under>,
    ahead: Vec<Block>,
    heads: Vec<[u8; HEAD_LEN]>,
}

/// A block that is under way.
enum Under {
    /// Into its piece.
    InPlace { block: Block, filled: usize },
    /// Into a buffer of its own.
    Apart { block: Block, bytes: Vec<u8> },
    /// Nobody wants it.
    Skip { left: usize },
}

fn head_of(block: Block) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..4].copy_from_slice(&(block.len + 9).to_be_bytes());
    head[4] = 7;
    head[5..9].copy_from_slice(&block.piece.0.to_be_bytes());
    head[9..].copy_from_slice(&block.begin.to_be_bytes());
    head
}

impl Conn {
    /// Reads once and handles what came. An error is why the connection ends.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CloseReason>> {
        if self.torrent.waits_for_memory(cx.waker()) {
            return Poll::Pending;
        }
        let torrent = self.torrent.clone();
        let (lane, session) = (&torrent.throttle.down, &torrent.limits().down);
        let granted = lane.take(session, READ_MAX as u64, &self.handle.down, cx.waker()) as usize;
        if granted == 0 {
            return Poll::Pending;
        }
        let direct = self.ciphers.is_none()
            && matches!(self.stream, Stream::Tcp(_))
            && self.inbound.leftover.is_empty()
            && self.lay_out(granted);
        let read = if direct { self.read_direct(cx) } else { self.read_plain(cx, granted) };
        let used = match read {
            Poll::Ready(Ok(used)) => used,
            _ => 0,
        };
        lane.settle(session, granted as u64, used as u64);
        match ready!(read) {
            Ok(_) => Poll::Ready(Ok(())),
            Err(why) => Poll::Ready(Err(why)),
        }
    }

    /// Chooses the blocks that the next read is laid out over; whether there are any.
    fn lay_out(&mut self, granted: usize) -> bool {
        let inbound = &mut self.inbound;
        inbound.ahead.clear();
        let mut room = granted;
        let mut last = match &inbound.landing {
            None => None,
            Some(Under::InPlace { block, filled }) => {
                room = room.saturating_sub(block.len as usize - filled);
                Some(*block)
            }
            Some(_) => return false,
        };
        let queue = self.handle.queue.borrow();
        let mut seen = last.iter().map(|block| block.piece).collect::<Vec<_>>();
        for &block in &queue.expected {
            if room == 0 || inbound.ahead.len() == AHEAD_MAX {
                break;
            }
            if Some(block) == last {
                continue;
            }
            // Within a piece upwards, and every piece once: the buffers must not overlap.
            match last {
                Some(before) if before.piece == block.piece => {
                    if block.begin < before.begin + before.len {
                        break;
                    }
                }
                _ if seen.contains(&block.piece) => break,
                _ => seen.push(block.piece),
            }
            if self.torrent.claim(self.handle.id, block) != Landing::InPlace {
                break;
            }
            room = room.saturating_sub(HEAD_LEN + block.len as usize);
            inbound.ahead.push(block);
            last = Some(block);
        }
        inbound.landing.is_some() || !inbound.ahead.is_empty()
    }

    /// Reads over the layout.
    fn read_direct(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, CloseReason>> {
        let torrent = self.torrent.clone();
        let first = match &self.inbound.landing {
            Some(Under::InPlace { block, filled }) => Some((*block, *filled)),
            _ => None,
        };
        if first.is_some_and(|(block, filled)| torrent.rest_is_gone(block, filled)) {
            // The piece was completed by somebody else meanwhile.
            let (block, filled) = first.unwrap_or_else(|| unreachable!());
            self.inbound.landing = Some(Under::Skip { left: block.len as usize - filled });
            return self.read_plain(cx, READ_MAX);
        }
        let Self { stream, inbound, .. } = self;
        inbound.heads.resize(inbound.ahead.len(), [0; HEAD_LEN]);
        let ahead = std::mem::take(&mut inbound.ahead);
        let read = torrent.pieces_mut(|pieces| {
            pieces.scatter(first, &ahead, &mut inbound.heads, |slices| stream.poll_read(cx, slices))
        });
        let handled = match ready_or(read) {
            Some(Ok(0)) | Some(Err(_)) => Poll::Ready(Err(CloseReason::Gone)),
            Some(Ok(read)) => Poll::Ready(self.walk(first, &ahead, read).map(|()| read)),
            None => Poll::Pending,
        };
        self.inbound.ahead = ahead;
        handled
    }

    /// Goes through what a laid-out read of `left` bytes brought.
    fn walk(
        &mut self,
        first: Option<(Block, usize)>,
        ahead: &[Block],
        mut left: usize,
    ) -> Result<(), CloseReason> {
        if let Some((block, filled)) = first {
            let came = left.min(block.len as usize - filled);
            left -= came;
            self.land(block, filled + came);
        }
        for (index, &block) in ahead.iter().enumerate() {
            if left == 0 || self.handle.is_closing() {
                break;
            }
            let head = self.inbound.heads[index];
            // Less than a head may be a whole frame of another kind.
            if left < HEAD_LEN || head != head_of(block) {
                let bytes = self.gather(index, ahead, left);
                return self.feed(&bytes);
            }
            left -= HEAD_LEN;
            let came = left.min(block.len as usize);
            left -= came;
            if self.torrent.payload_head(&self.handle, block) {
                self.land(block, came);
            } else {
                self.torrent.release(self.handle.id, block);
                self.inbound.landing = skip(block.len as usize - came);
            }
        }
        Ok(())
    }

    /// Copies out what a read brought from the head `index` on.
    fn gather(&mut self, index: usize, ahead: &[Block], mut left: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(left);
        for (head, &block) in self.inbound.heads[index..].iter().zip(&ahead[index..]) {
            let of_head = left.min(HEAD_LEN);
            bytes.extend_from_slice(&head[..of_head]);
            left -= of_head;
            let of_block = left.min(block.len as usize);
            self.torrent.pieces_mut(|pieces| {
                if let Some(room) = pieces.rest_of(block, 0) {
                    bytes.extend_from_slice(&room[..of_block]);
                }
            });
            left -= of_block;
        }
        bytes
    }

    /// A block has come to `filled` bytes, in place.
    fn land(&mut self, block: Block, filled: usize) {
        if filled < block.len as usize {
            self.inbound.landing = Some(Under::InPlace { block, filled });
        } else {
            self.inbound.landing = None;
            self.torrent.block_here(&self.handle, block, None);
        }
    }

    /// Reads into the shared buffer and parses from there.
    fn read_plain(
        &mut self,
        cx: &mut Context<'_>,
        granted: usize,
    ) -> Poll<Result<usize, CloseReason>> {
        let torrent = self.torrent.clone();
        let mut scratch = torrent.scratch_in();
        let room = scratch.len().min(granted);
        let mut slices = [IoSliceMut::new(&mut scratch[..room])];
        let read = match self.stream.poll_read(cx, &mut slices) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(CloseReason::Gone)),
            Poll::Ready(Ok(read)) => read,
        };
        if let Some(ciphers) = &mut self.ciphers {
            ciphers.decrypt.apply(&mut scratch[..read]);
        }
        Poll::Ready(self.feed(&scratch[..read]).map(|()| read))
    }

    /// Handles bytes that are in order and in the clear.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), CloseReason> {
        while !bytes.is_empty() && !self.handle.is_closing() {
            bytes = match self.inbound.landing.take() {
                Some(under) => self.feed_block(under, bytes),
                None => self.feed_frame(bytes)?,
            };
        }
        Ok(())
    }

    fn feed_block<'a>(&mut self, under: Under, bytes: &'a [u8]) -> &'a [u8] {
        match under {
            Under::Skip { left } => {
                let (_, rest) = bytes.split_at(left.min(bytes.len()));
                self.inbound.landing = skip(left - (bytes.len() - rest.len()));
                rest
            }
            Under::InPlace { block, filled } => {
                let (came, rest) = bytes.split_at(bytes.len().min(block.len as usize - filled));
                let kept = self.torrent.pieces_mut(|pieces| {
                    pieces.rest_of(block, filled).is_some_and(|room| {
                        room[..came.len()].copy_from_slice(came);
                        true
                    })
                });
                if kept {
                    self.land(block, filled + came.len());
                } else {
                    self.inbound.landing = skip(block.len as usize - filled - came.len());
                }
                rest
            }
            Under::Apart { block, bytes: mut gathered } => {
                let missing = block.len as usize - gathered.len();
                let (came, rest) = bytes.split_at(bytes.len().min(missing));
                gathered.extend_from_slice(came);
                if came.len() == missing {
                    self.torrent.block_here(&self.handle, block, Some(&gathered));
                } else {
                    self.inbound.landing = Some(Under::Apart { block, bytes: gathered });
                }
                rest
            }
        }
    }

    /// Parses one frame, or the head of a block; returns what is behind it.
    fn feed_frame<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], CloseReason> {
        let inbound = &mut self.inbound;
        let (decoded, rest) = if inbound.leftover.is_empty() {
            let decoded = self.handle.queue.borrow_mut().framing.decode(bytes);
            let decoded = decoded.map_err(|_| CloseReason::Protocol)?;
            let used = match &decoded {
                Decoded::Incomplete(need) => {
                    inbound.need = *need;
                    inbound.leftover.extend_from_slice(bytes);
                    bytes.len()
                }
                Decoded::Frame { used, .. } | Decoded::Payload { used, .. } => *used,
            };
            (decoded, &bytes[used..])
        } else {
            let missing = inbound.need.saturating_sub(inbound.leftover.len()).max(1);
            let (came, rest) = bytes.split_at(bytes.len().min(missing));
            inbound.leftover.extend_from_slice(came);
            if came.len() < missing {
                return Ok(rest);
            }
            let decoded = self.handle.queue.borrow_mut().framing.decode(&inbound.leftover);
            let decoded = decoded.map_err(|_| CloseReason::Protocol)?;
            match &decoded {
                Decoded::Incomplete(need) => inbound.need = *need,
                // What is needed is told exactly, so nothing is behind the frame.
                _ => inbound.leftover = Vec::new(),
            }
            (decoded, rest)
        };
        match decoded {
            Decoded::Incomplete(_) => {}
            Decoded::Frame { frame, .. } => self.frame_here(frame),
            Decoded::Payload { payload, .. } => self.head_here(payload),
        }
        Ok(rest)
    }

    fn frame_here(&mut self, frame: Frame<std::net::SocketAddr>) {
        if let Frame::Reject(block) = &frame {
            let mut queue = self.handle.queue.borrow_mut();
            queue.expected.retain(|other| other != block);
            drop(queue);
            self.torrent.release(self.handle.id, *block);
        }
        self.torrent.frame(&self.handle, frame);
    }

    fn head_here(&mut self, payload: Payload) {
        let block = Block::from(payload);
        let len = block.len as usize;
        self.inbound.landing = if !self.torrent.payload_head(&self.handle, block) {
            skip(len)
        } else {
            match self.torrent.claim(self.handle.id, block) {
                Landing::InPlace => Some(Under::InPlace { block, filled: 0 }),
                Landing::Apart => Some(Under::Apart { block, bytes: Vec::with_capacity(len) }),
            }
        };
    }

    /// Lets go of every claim on unfinished pieces.
    pub(super) fn release_all(&mut self) {
        let expected = std::mem::take(&mut self.handle.queue.borrow_mut().expected);
        for block in expected {
            self.torrent.release(self.handle.id, block);
        }
        if let Some(Under::InPlace { block, .. }) = self.inbound.landing.take() {
            self.torrent.release(self.handle.id, block);
        }
    }
}

fn skip(left: usize) -> Option<Under> {
    (left > 0).then_some(Under::Skip { left })
}

fn ready_or<T>(poll: Poll<T>) -> Option<T> {
    match poll {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
