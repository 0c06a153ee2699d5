//! Bytes of pieces to and from the files of a store, and where they are.

use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::AsFd;

use bittorrent::id::PieceIndex;
use rustix::fs::{Advice, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use super::layout::Segment;
use super::{Handle, Op, Span, Store, StoreError, error};

/// How far apart [`Store::is_cached`] looks; the least read-ahead of Linux.
const PROBE_STEP: u64 = 128 * 1024;
/// Most slices in one vectored write (`IOV_MAX` of Linux).
const MAX_SLICES: usize = 1024;

impl Store {
    /// Writes `data` at `begin` of `piece`.
    ///
    /// # Errors
    /// Of the system, or if the piece has no such range. What was written before stays written.
    pub fn write(&self, piece: PieceIndex, begin: u32, data: &[u8]) -> Result<(), StoreError> {
        self.write_vectored(piece, begin, &[IoSlice::new(data)])
    }

    /// Writes `data`, one slice after the other, at `begin` of `piece`.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub fn write_vectored(
        &self,
        piece: PieceIndex,
        begin: u32,
        data: &[IoSlice<'_>],
    ) -> Result<(), StoreError> {
        let total = data.iter().map(|slice| slice.len()).sum();
        let mut slices = data.iter().map(|slice| &**slice).filter(|slice| !slice.is_empty());
        let mut current: &[u8] = &[];
        let mut gathered: Vec<&[u8]> = Vec::with_capacity(data.len());
        for segment in self.segments(piece, begin, total)? {
            gathered.clear();
            let mut wanted = segment.len;
            while wanted > 0 {
                if current.is_empty() {
                    current = slices.next().unwrap_or_default();
                }
                let (taken, rest) = current.split_at(wanted.min(current.len()));
                gathered.push(taken);
                wanted -= taken.len();
                current = rest;
            }
            self.write_segment(segment, &mut gathered)?;
        }
        Ok(())
    }

    pub(super) fn write_segment(
        &self,
        segment: Segment,
        data: &mut [&[u8]],
    ) -> Result<(), StoreError> {
        let Some((key, offset)) = self.locate(segment) else { return Ok(()) };
        let handle = self.handle(key, true)?;
        let result = self.write_all(key, &handle, offset, data);
        // After the write: a sync that runs meanwhile must not believe that it has seen it.
        self.state().dirty.insert(key);
        result
    }

    fn write_all(
        &self,
        key: usize,
        handle: &Handle,
        mut offset: u64,
        data: &mut [&[u8]],
    ) -> Result<(), StoreError> {
        let failed = |source: io::Error| StoreError::new(Op::Write, self.path_of(key), source);
        let mut rest = data;
        while let Some(first) = rest.first() {
            let written = if rest.len() == 1 {
                rustix::io::pwrite(handle, first, offset)
            } else {
                let slices: Vec<IoSlice<'_>> =
                    rest.iter().take(MAX_SLICES).map(|slice| IoSlice::new(slice)).collect();
                rustix::io::pwritev(handle, &slices, offset)
            };
            let mut written = match written {
                Ok(0) => return Err(failed(io::ErrorKind::WriteZero.into())),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(failed(errno.into())),
            };
            offset += written as u64;
            while let Some(first) = rest.first_mut().filter(|_| written > 0) {
                let whole = written.min(first.len());
                *first = &first[whole..];
                written -= whole;
                if first.is_empty() {
                    rest = &mut rest[1..];
                }
            }
        }
        Ok(())
    }

    /// Fills `out` with what is at `begin` of `piece`.
    ///
    /// # Errors
    /// Of the system, if a file ends too early, or if the piece has no such range.
    pub fn read(&self, piece: PieceIndex, begin: u32, out: &mut [u8]) -> Result<(), StoreError> {
        self.read_by(piece, begin, out, false).map(|_| ())
    }

    /// As [`Store::read`], but only what the system has in memory: `false` if it would have to wait
    /// for the disk, and then what is in `out` is of no use.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub fn read_cached(
        &self,
        piece: PieceIndex,
        begin: u32,
        out: &mut [u8],
    ) -> Result<bool, StoreError> {
        self.read_by(piece, begin, out, !self.in_memory)
    }

    fn read_by(
        &self,
        piece: PieceIndex,
        begin: u32,
        out: &mut [u8],
        only_cached: bool,
    ) -> Result<bool, StoreError> {
        let mut only_cached = only_cached;
        let mut rest = out;
        for segment in self.segments(piece, begin, rest.len())? {
            let (mut here, next) = rest.split_at_mut(segment.len);
            rest = next;
            let Some((key, mut offset)) = self.locate(segment) else {
                here.fill(0);
                continue;
            };
            let handle = self.handle(key, false)?;
            while !here.is_empty() {
                let read = if only_cached {
                    let slices = &mut [IoSliceMut::new(here)];
                    rustix::io::preadv2(&*handle, slices, offset, ReadWriteFlags::NOWAIT)
                } else {
                    rustix::io::pread(&*handle, &mut *here, offset)
                };
                match read {
                    Err(Errno::AGAIN) => return Ok(false),
                    // A file system that cannot tell; reading may wait then.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) if only_cached => only_cached = false,
                    Ok(0) => {
                        return Err(StoreError::new(
                            Op::Read,
                            self.path_of(key),
                            error::truncated(),
                        ));
                    }
                    Ok(read) => {
                        offset += read as u64;
                        here = &mut here[read..];
                    }
                    Err(Errno::INTR) => {}
                    Err(errno) => {
                        return Err(StoreError::new(Op::Read, self.path_of(key), errno));
                    }
                }
            }
        }
        Ok(true)
    }

    /// Where `len` bytes at `begin` of `piece` are, so that the system can send them from there.
    ///
    /// # Errors
    /// If the piece has no such range. Each item fails if its file cannot be opened.
    pub fn spans(
        &self,
        piece: PieceIndex,
        begin: u32,
        len: usize,
    ) -> Result<impl Iterator<Item = Result<Span, StoreError>> + '_, StoreError> {
        Ok(self.segments(piece, begin, len)?.map(|segment| {
            let Some((key, offset)) = self.locate(segment) else {
                return Ok(Span::Zeros(segment.len));
            };
            let handle = self.handle(key, false)?;
            Ok(Span::File { handle, file: segment.file, offset, len: segment.len })
        }))
    }

    /// Whether reading these bytes would not wait for a disk, as far as a few probes can tell.
    #[must_use]
    pub fn is_cached(&self, handle: &Handle, offset: u64, len: usize) -> bool {
        if self.in_memory || len == 0 {
            return true;
        }
        let end = offset.saturating_add(len as u64);
        let last = std::iter::once(end - 1);
        (offset..end).step_by(PROBE_STEP as usize).chain(last).all(|probe| {
            let mut byte = [0];
            let mut slices = [IoSliceMut::new(&mut byte)];
            // No byte there at all is found out by whoever reads in earnest, without waiting.
            rustix::io::preadv2(handle, &mut slices, probe, ReadWriteFlags::NOWAIT).is_ok()
        })
    }

    /// Whether nothing was ever written to a piece, as far as the file system can tell: it reads as
    /// zeros.
    #[must_use]
    pub(crate) fn is_hole(&self, piece: PieceIndex) -> bool {
        let len = self.info.piece_size(piece) as usize;
        let Ok(mut segments) = self.segments(piece, 0, len) else { return false };
        segments.all(|segment| {
            let Some((key, offset)) = self.locate(segment) else { return true };
            let Ok(handle) = self.handle(key, false) else { return false };
            let end = offset + segment.len as u64;
            match rustix::fs::seek(&*handle, SeekFrom::Data(offset)) {
                Ok(data) => data >= end,
                // No data up to the end of the file, which must not be before the hole's.
                Err(Errno::NXIO) => {
                    rustix::fs::fstat(&*handle).is_ok_and(|stat| stat.st_size as u64 >= end)
                }
                Err(_) => false,
            }
        })
    }

    /// Asks the system to read these bytes soon; does not wait for them.
    pub fn readahead(&self, handle: &Handle, offset: u64, len: usize) {
        // A hint that is not taken costs nothing but time.
        let _ = rustix::fs::fadvise(
            handle.as_fd(),
            offset,
            NonZeroU64::new(len as u64),
            Advice::WillNeed,
        );
    }
}
