//! What zlib and gzip write, in one piece and as a stream, with bounds on what comes out. Where it is
//! used is told by others: GGEP values, patches of routing tables, whole connections, bodies of HTTP.

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::MZFlush;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{
    DecompressorOxide, TINFL_LZ_DICT_SIZE, decompress, inflate_flags,
};

/// Bits of a gzip head that say what else stands in it (RFC 1952, section 2.3.1).
const HEAD_SUM: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

/// Compresses in one piece, as small as it gets.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9)
}

/// Decompresses in one piece; `None` if it is malformed or more than `max` bytes come out.
#[must_use]
pub fn inflate(bytes: &[u8], max: usize) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, max).ok()
}

/// Decompresses what gzip has written (RFC 1952), one member; `None` if it is malformed or more than
/// `max` bytes come out.
#[must_use]
pub fn gunzip(bytes: &[u8], max: usize) -> Option<Vec<u8>> {
    let (&[0x1f, 0x8b, 8, flags, ..], mut rest) = bytes.split_first_chunk::<10>()? else {
        return None;
    };
    if flags & RESERVED != 0 {
        return None;
    }
    if flags & EXTRA != 0 {
        let (len, after) = rest.split_first_chunk()?;
        rest = after.get(usize::from(u16::from_le_bytes(*len))..)?;
    }
    for _ in 0..(flags & (NAME | COMMENT)).count_ones() {
        let end = rest.iter().position(|byte| *byte == 0)?;
        rest = &rest[end + 1..];
    }
    if flags & HEAD_SUM != 0 {
        rest = rest.get(2..)?;
    }
    let (packed, [a, b, c, d, len @ ..]) = rest.split_last_chunk::<8>()?;
    let plain = miniz_oxide::inflate::decompress_to_vec_with_limit(packed, max).ok()?;
    let is_whole = plain.len() as u32 == u32::from_le_bytes(*len)
        && crc32fast::hash(&plain) == u32::from_le_bytes([*a, *b, *c, *d]);
    is_whole.then_some(plain)
}

/// What came of a step of an [`Inflater`].
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Bytes taken from the input.
    pub used: usize,
    /// Bytes put into the output.
    pub made: usize,
    /// Whether the stream has ended.
    pub ended: bool,
}

/// Decompresses a stream, about 43 KB of memory. Everything that a malformed stream holds before
/// its fault comes out.
pub struct Inflater {
    core: Box<DecompressorOxide>,
    /// The window, in a ring: what comes out is copied from here.
    window: Box<[u8]>,
    /// Where in the window the bytes begin that have not come out.
    at: usize,
    /// How many there are.
    ready: usize,
    status: TINFLStatus,
}

impl Default for Inflater {
    /// At the beginning of a stream.
    fn default() -> Self {
        Self {
            core: Box::default(),
            window: alloc::vec![0; TINFL_LZ_DICT_SIZE].into(),
            at: 0,
            ready: 0,
            status: TINFLStatus::NeedsMoreInput,
        }
    }
}

impl Inflater {
    /// Decompresses as much as there is and as fits; `None` once a malformed stream has given all.
    pub fn step(&mut self, input: &[u8], output: &mut [u8]) -> Option<Step> {
        const FLAGS: u32 = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32
            | inflate_flags::TINFL_FLAG_HAS_MORE_INPUT;
        let mut used = 0;
        let is_over = self.status == TINFLStatus::Done || (self.status as i32) < 0;
        if self.ready == 0 && !is_over && !output.is_empty() {
            let window = &mut self.window;
            let (status, taken, made) = decompress(&mut self.core, input, window, self.at, FLAGS);
            (self.status, used, self.ready) = (status, taken, made);
        }
        let made = self.ready.min(output.len());
        output[..made].copy_from_slice(&self.window[self.at..self.at + made]);
        self.at = (self.at + made) % TINFL_LZ_DICT_SIZE;
        self.ready -= made;
        if made == 0 && self.ready == 0 && (self.status as i32) < 0 {
            return None;
        }
        Some(Step { used, made, ended: self.status == TINFLStatus::Done && self.ready == 0 })
    }
}

/// Compresses a stream.
pub struct Deflater(Box<CompressorOxide>);

impl Default for Deflater {
    /// At the beginning of a stream.
    fn default() -> Self {
        // Level 6, a window of 32 KiB with zlib's head, no special strategy.
        Self(Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(6, 15, 0))))
    }
}

impl Deflater {
    /// Compresses all of `input`, so that whoever reads `out` has all of it.
    pub fn write(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        let mut chunk = [0; 4096];
        loop {
            let result = miniz_oxide::deflate::stream::deflate(
                &mut self.0,
                input,
                &mut chunk,
                MZFlush::Sync,
            );
            out.extend_from_slice(&chunk[..result.bytes_written]);
            input = &input[result.bytes_consumed..];
            // An output that is not full has been given everything.
            if result.status.is_err() || (input.is_empty() && result.bytes_written < chunk.len()) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn streams_come_out_as_they_went_in(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9_000), 1..4),
            repeat in 1usize..4,
            step in 1usize..5_000,
        ) {
            let (mut deflater, mut inflater) = (Deflater::default(), Inflater::default());
            for part in parts {
                let part = part.repeat(repeat);
                let mut packed = Vec::new();
                deflater.write(&part, &mut packed);
                let (mut plain, mut at) = (Vec::new(), 0);
                let mut output = alloc::vec![0; step];
                loop {
                    let result = inflater.step(&packed[at..], &mut output).unwrap();
                    plain.extend_from_slice(&output[..result.made]);
                    at += result.used;
                    if result.made == 0 && at == packed.len() {
                        break;
                    }
                }
                prop_assert_eq!(plain, part);
            }
        }
    }

    /// A member of gzip around what [`deflate`] packs, without zlib's head and sum.
    fn gzip(flags: u8, fields: &[u8], plain: &[u8]) -> Vec<u8> {
        let zlib = deflate(plain);
        let packed = &zlib[2..zlib.len() - 4];
        let sum = crc32fast::hash(plain).to_le_bytes();
        let len = (plain.len() as u32).to_le_bytes();
        [&[0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3], fields, packed, &sum, &len].concat()
    }

    #[test]
    fn gzip_is_read_whatever_stands_in_its_head() {
        // Written by gzip 1.12.
        let real = b"\x1f\x8b\x08\x08\x65\x3b\x02\x6b\0\x03reef.txt\0\
                     \x4b\xcf\xcf\x49\x49\xcd\x53\x28\x4a\x4d\x4d\x03\0\
                     \x64\xa9\xb2\xc5\x0b\0\0\0";
        assert_eq!(gunzip(real, 99).as_deref(), Some(&b"golden reef"[..]));
        for (flags, fields) in [
            (0, &b""[..]),
            (NAME, b"reef\0"),
            (NAME | COMMENT, b"reef\0atlas\0"),
            (EXTRA | HEAD_SUM, b"\x03\0abc\x01\x02"),
            (EXTRA | NAME | COMMENT | HEAD_SUM, b"\0\0\0\0\x01\x02"),
        ] {
            let packed = gzip(flags, fields, b"golden reef");
            assert_eq!(gunzip(&packed, 11).as_deref(), Some(&b"golden reef"[..]), "{flags:b}");
            assert_eq!(gunzip(&packed, 10), None, "too long");
            for end in 0..packed.len() {
                assert_eq!(gunzip(&packed[..end], 99), None, "{flags:b} cut at {end}");
            }
        }
    }

    #[test]
    fn gzip_that_lies_is_refused() {
        let sound = gzip(0, b"", &[7; 5_000]);
        assert_eq!(gunzip(&sound, 5_000).map(|plain| plain.len()), Some(5_000));
        let end = sound.len();
        for (at, what) in [(0, "magic"), (2, "method"), (end - 8, "sum"), (end - 4, "length")] {
            let mut bad = sound.clone();
            bad[at] ^= 1;
            assert_eq!(gunzip(&bad, 5_000), None, "{what}");
        }
        for (flags, fields) in [(RESERVED, &b""[..]), (EXTRA, b"\xff\xff"), (NAME, b"")] {
            assert_eq!(gunzip(&gzip(flags, fields, b""), 99), None, "{flags:b}");
        }
        let bomb = gzip(0, b"", &[0; 1 << 20]);
        assert!(bomb.len() < 2_000 && gunzip(&bomb, 1 << 16).is_none());
    }

    #[test]
    fn what_stands_before_a_fault_comes_out_however_it_is_cut() {
        let mut packed = deflate(&[7; 70_000]);
        let sum = packed.len() - 1;
        packed[sum] ^= 1;
        for (step, room) in [(1, 1), (1, 5_000), (packed.len(), 1), (packed.len(), 100_000)] {
            let (mut inflater, mut made, mut at) = (Inflater::default(), 0, 0);
            let mut output = alloc::vec![0; room];
            loop {
                let input = &packed[at..(at + step).min(packed.len())];
                let Some(result) = inflater.step(input, &mut output) else { break };
                assert!(!result.ended);
                made += result.made;
                at += result.used;
            }
            assert_eq!(made, 70_000, "{step} bytes in, {room} out");
        }
    }
}
