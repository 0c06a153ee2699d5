//! What zlib writes, in one piece and as a stream, with bounds on what comes out. Where it is used
//! is told by others: GGEP values, patches of routing tables, whole connections.

use alloc::boxed::Box;
use alloc::vec::Vec;

use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::inflate::stream::InflateState;
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};

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

/// Decompresses a stream, about 43 KB of memory.
pub(super) struct Inflater(Box<InflateState>);

impl Inflater {
    pub(super) fn new() -> Self {
        Self(InflateState::new_boxed(DataFormat::Zlib))
    }

    /// Decompresses as much as there is and as fits; `None` if it is malformed.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Option<Step> {
        if output.is_empty() {
            return Some(Step { used: 0, made: 0, ended: false });
        }
        let result =
            miniz_oxide::inflate::stream::inflate(&mut self.0, input, output, MZFlush::None);
        let ended = match result.status {
            Ok(status) => status == MZStatus::StreamEnd,
            // No progress for want of input.
            Err(MZError::Buf) => false,
            Err(_) => return None,
        };
        Some(Step { used: result.bytes_consumed, made: result.bytes_written, ended })
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
}
