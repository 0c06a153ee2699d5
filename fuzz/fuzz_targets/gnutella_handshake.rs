//! A connection of Gnutella from its first byte: frames come out the same however the bytes are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machine::{Decoded, Framing, Side};
use search::gnutella::handshake::Block;
use search::gnutella::{Frame, FramingError, GnutellaFraming};

/// Reads `data` as it would come off a socket, in pieces of `step`.
fn listen(side: Side, data: &[u8], step: usize) -> (Vec<Frame>, Option<FramingError>) {
    let mut framing = GnutellaFraming::new(side);
    let (mut frames, mut at, mut end, mut need) = (Vec::new(), 0, 0usize, 0usize);
    loop {
        if end - at < need || end == at {
            if end == data.len() {
                return (frames, None);
            }
            end = end.saturating_add(step).min(data.len());
            continue;
        }
        need = 0;
        match framing.decode(&data[at..end]) {
            Ok(Decoded::Incomplete(more)) => {
                assert!(more > end - at, "asks for what it has");
                need = more;
            }
            Ok(Decoded::Frame { frame, used }) => {
                assert!(used <= end - at);
                frames.push(frame);
                at += used;
            }
            Ok(Decoded::Payload { .. }) => panic!("no payload here"),
            Err(error) => return (frames, Some(error)),
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, data)) = data.split_first() else { return };
    let side = if seed & 1 == 0 { Side::Dialer } else { Side::Listener };
    let (frames, error) = listen(side, data, usize::MAX);
    let (others, other_error) = listen(side, data, usize::from(seed >> 1) + 1);
    assert_eq!(frames, others);
    // Of two faults in one block, which is seen first may depend on how much of it is there.
    assert_eq!(error.is_some(), other_error.is_some(), "{error:?} {other_error:?}");
    for frame in frames {
        let Frame::Block(block) = frame else { continue };
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        // Fields may grow by a space each, beyond what a block may hold.
        if let Ok(again) = Block::parse(&bytes) {
            assert_eq!(again, Some((block, bytes.len())));
        }
        let _ = Block::parse(&bytes)
            .map(|block| block.map(|(block, _)| block.try_ultrapeers().count()));
    }
});
