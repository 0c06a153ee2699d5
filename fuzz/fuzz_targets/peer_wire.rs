//! What follows a handshake: frames must come out the same however the bytes are cut, and say the
//! same once written and read again.
#![no_main]

use core::net::SocketAddr;

use bittorrent::extension::{Extended, ExtensionHandshake, Extensions};
use bittorrent::id::{InfoHash, PeerId};
use bittorrent::peer_wire::{Frame, Handshake, PeerFraming, Reserved, WireError};
use libfuzzer_sys::fuzz_target;
use machine::{Decoded, Framing, Payload};

type PeerFrame = Frame<SocketAddr>;

/// An end that has said and heard handshakes of both kinds.
fn connected() -> PeerFraming {
    let hello = Frame::Handshake(Handshake {
        reserved: Reserved::default().with_extensions().with_fast(),
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
    });
    let extensions =
        ExtensionHandshake { extensions: Extensions::ALL, ..ExtensionHandshake::default() };
    let extensions = Frame::Extended(Extended::Handshake(extensions));
    let (mut framing, mut bytes) = (PeerFraming::new(), Vec::new());
    for frame in [hello, extensions] {
        bytes.clear();
        framing.encode(&frame, &mut bytes);
        framing.decode(&bytes).expect("our own handshake is sound");
    }
    framing
}

#[derive(Debug, PartialEq)]
enum Heard {
    Frame(PeerFrame),
    Payload(Payload),
    Error(WireError),
}

/// Reads `data` as it would come off a socket, cut by `cut`.
fn listen(data: &[u8], mut cut: impl FnMut() -> usize) -> Vec<Heard> {
    let mut framing = connected();
    let (mut heard, mut at, mut end, mut need) = (Vec::new(), 0, 0usize, 0usize);
    loop {
        if end - at < need || end == at {
            if end >= data.len() {
                return heard;
            }
            end = (end + cut().max(1)).min(data.len());
            continue;
        }
        need = 0;
        match framing.decode(&data[at..end]) {
            Ok(Decoded::Incomplete(n)) => {
                assert!(n > end - at, "asks for what it has");
                need = n;
            }
            Ok(Decoded::Frame { frame, used }) => {
                assert!(used <= end - at);
                heard.push(Heard::Frame(frame));
                at += used;
            }
            Ok(Decoded::Payload { payload, used }) => {
                heard.push(Heard::Payload(payload));
                at = (at + used + payload.len as usize).min(data.len());
                end = end.max(at);
            }
            Err(error) => {
                heard.push(Heard::Error(error));
                return heard;
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&seed, data)) = data.split_first() else { return };
    let whole = listen(data, || data.len());
    let step = usize::from(seed % 16) + 1;
    let mut turn = 0;
    let pieces = listen(data, || {
        turn += 1;
        1 + (turn * step) % 23
    });
    assert_eq!(whole, pieces);
    for heard in whole {
        let Heard::Frame(frame) = heard else { continue };
        let mut framing = connected();
        let mut bytes = Vec::new();
        framing.encode(&frame, &mut bytes);
        if bytes.is_empty() {
            assert!(!framing.can_encode(&frame));
            continue;
        }
        match framing.decode(&bytes) {
            Ok(Decoded::Frame { frame: again, used }) => {
                assert_eq!(used, bytes.len());
                // Handshakes tell of those before them too; the lists of peer exchange are sorted
                // anew. The target of extensions looks closer.
                let loose =
                    matches!(frame, Frame::Extended(Extended::Handshake(_) | Extended::Pex(_)));
                if !loose {
                    assert_eq!(frame, again);
                }
            }
            other => panic!("{frame:?} was written as {other:?}"),
        }
    }
});
