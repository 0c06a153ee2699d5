//! What zlib writes, in one piece and as a stream, with bounds on what comes out. Where it is used
//! is told by others: GGEP values, patches of routing tables, whole connections.

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::MZFlush;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{
    DecompressorOxide, TINFL_LZ_DICT_SIZE, decompress, inflate_flags,
};

/// Compresses in one piece.
pub(super) fn deflate(bytes: &[u8]) -> Vec<u8> {
    miniz_oxide::deflate::compress_to_vec_zlib(bytes, 9)
}

/// Decompresses in one piece; `None` if it is malformed or more than `max` bytes come out.
pub(super) fn inflate(bytes: &[u8], max: usize) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, max).ok()
}

/// What came of a step of an [`Inflater`].
pub(super) struct Step {
    /// Bytes taken from the input.
    pub(super) used: usize,
    /// Bytes put into the output.
    pub(super) made: usize,
    /// Whether the stream has ended.
    pub(super) ended: bool,
}

/// Decompresses a stream, about 43 KB of memory. Everything that a malformed stream holds before
/// its fault comes out.
pub(super) struct Inflater {
    core: Box<DecompressorOxide>,
    /// The window, in a ring: what comes out is copied from here.
    window: Box<[u8]>,
    /// Where in the window the bytes begin that have not come out.
    at: usize,
    /// How many there are.
    ready: usize,
    status: TINFLStatus,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            core: Box::default(),
            window: alloc::vec![0; TINFL_LZ_DICT_SIZE].into(),
            at: 0,
            ready: 0,
            status: TINFLStatus::NeedsMoreInput,
        }
    }

    /// Decompresses as much as there is and as fits; `None` once a malformed stream has given all.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Option<Step> {
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
pub(super) struct Deflater(Box<CompressorOxide>);

impl Deflater {
    pub(super) fn new() -> Self {
        // Level 6, a window of 32 KiB with zlib's head, no special strategy.
        Self(Box::new(CompressorOxide::new(create_comp_flags_from_zip_params(6, 15, 0))))
    }

    /// Compresses all of `input`, so that whoever reads `out` has all of it.
    pub(super) fn write(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
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
            let (mut deflater, mut inflater) = (Deflater::new(), Inflater::new());
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

    #[test]
    fn what_stands_before_a_fault_comes_out_however_it_is_cut() {
        let mut packed = deflate(&[7; 70_000]);
        let sum = packed.len() - 1;
        packed[sum] ^= 1;
        for (step, room) in [(1, 1), (1, 5_000), (packed.len(), 1), (packed.len(), 100_000)] {
            let (mut inflater, mut made, mut at) = (Inflater::new(), 0, 0);
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
