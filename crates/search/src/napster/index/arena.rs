//! Room for records of any length, in segments: a record that is given up leaves a hole, and a
//! segment that is mostly holes is emptied into the one that is being filled, and used again.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

const SEGMENT: usize = 1 << 20;
/// Records begin at multiples of this many bytes.
const ALIGN: usize = 4;
const SEGMENT_UNITS: u32 = (SEGMENT / ALIGN) as u32;
/// Segments that a position can name.
const SEGMENTS_MAX: usize = u32::MAX as usize / SEGMENT_UNITS as usize - 1;

/// Where a record is; never 0.
pub(super) type Position = u32;

#[derive(Debug)]
struct Segment {
    bytes: Box<[u8]>,
    used: usize,
    live: usize,
}

/// Records.
#[derive(Debug, Default)]
pub(super) struct Arena {
    segments: Vec<Segment>,
    empty: Vec<usize>,
    filling: Option<usize>,
}

fn round(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

fn place(position: Position) -> (usize, usize) {
    let unit = position - 1;
    ((unit / SEGMENT_UNITS) as usize, (unit % SEGMENT_UNITS) as usize * ALIGN)
}

impl Arena {
    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes.len()).sum()
    }

    /// Keeps a record of at most 64 KiB; `None` when there is no room for any more.
    pub(super) fn keep(&mut self, record: &[u8]) -> Option<Position> {
        let room = round(record.len());
        let has_room = |segment: &Segment| segment.bytes.len() - segment.used >= room;
        let filling = match self.filling.filter(|at| has_room(&self.segments[*at])) {
            Some(at) => at,
            None => self.open()?,
        };
        self.filling = Some(filling);
        let segment = &mut self.segments[filling];
        let start = segment.used;
        segment.bytes[start..start + record.len()].copy_from_slice(record);
        segment.used += room;
        segment.live += room;
        Some(filling as u32 * SEGMENT_UNITS + (start / ALIGN) as u32 + 1)
    }

    fn open(&mut self) -> Option<usize> {
        if let Some(at) = self.empty.pop() {
            if self.segments[at].bytes.is_empty() {
                self.segments[at].bytes = vec![0; SEGMENT].into();
            }
            return Some(at);
        }
        if self.segments.len() == SEGMENTS_MAX {
            return None;
        }
        self.segments.push(Segment { bytes: vec![0; SEGMENT].into(), used: 0, live: 0 });
        Some(self.segments.len() - 1)
    }

    /// The record at `position` and what lies behind it in its segment.
    pub(super) fn at(&self, position: Position) -> &[u8] {
        let (segment, start) = place(position);
        &self.segments[segment].bytes[start..]
    }

    /// The same, to change.
    pub(super) fn at_mut(&mut self, position: Position) -> &mut [u8] {
        let (segment, start) = place(position);
        &mut self.segments[segment].bytes[start..]
    }

    /// Gives up a record of `len` bytes. Returns the segment if it should be emptied.
    pub(super) fn give_up(&mut self, position: Position, len: usize) -> Option<usize> {
        let (at, _) = place(position);
        let segment = &mut self.segments[at];
        segment.live -= round(len);
        (self.filling != Some(at) && segment.live * 2 < segment.used).then_some(at)
    }

    /// All records of a segment that was written, those included that were given up; `len` says how
    /// long the one is that lies at the front of these bytes.
    pub(super) fn records(
        &self,
        at: usize,
        len: impl Fn(&[u8]) -> usize,
    ) -> impl Iterator<Item = Position> {
        let segment = &self.segments[at];
        let mut start = 0;
        core::iter::from_fn(move || {
            if start >= segment.used {
                return None;
            }
            let position = at as u32 * SEGMENT_UNITS + (start / ALIGN) as u32 + 1;
            start += round(len(&segment.bytes[start..]));
            Some(position)
        })
    }

    /// A segment whose records lie elsewhere now: may be filled again, and takes no memory meanwhile.
    pub(super) fn recycle(&mut self, at: usize) {
        self.segments[at] = Segment { bytes: Box::default(), used: 0, live: 0 };
        self.empty.push(at);
    }
}
