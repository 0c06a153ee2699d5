//! The obfuscated handshake, both sides: a whole exchange whose bytes the input corrupts and cuts.
//!
//! RC4 lets single plaintext bits be flipped, so corrupting a real exchange reaches the fields
//! behind the cipher, which bytes from nowhere never would.
#![no_main]

use bittorrent::id::InfoHash;
use bittorrent::mse::{ENTROPY_LEN, Initiator, Methods, Progress, Responder};
use libfuzzer_sys::fuzz_target;

const TORRENT: InfoHash = InfoHash([7; 20]);

/// Takes small numbers off the input until it is used up.
struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// Cuts some bytes off `wire`, perhaps with one of them changed.
    fn deliver(&mut self, wire: &mut Vec<u8>) -> Vec<u8> {
        let len = self.next().map_or(usize::MAX, |n| usize::from(n) * 3).min(wire.len());
        let mut chunk: Vec<u8> = wire.drain(..len).collect();
        if let Some(at) = self.next().filter(|at| at % 4 == 0)
            && let Some(mask) = self.next()
            && let Some(byte) = chunk.get_mut(usize::from(at))
        {
            *byte ^= mask;
        }
        chunk
    }
}

fuzz_target!(|data: &[u8]| {
    let mut script = Script(data);
    let mut entropy = [0x35; ENTROPY_LEN];
    for byte in &mut entropy[18..24] {
        *byte = script.next().unwrap_or(0);
    }
    let (mut to_a, mut to_b) = (Vec::new(), Vec::new());
    let methods = |n: u8| [Methods::ANY, Methods::RC4, Methods::PLAIN][usize::from(n % 3)];
    let provide = methods(script.next().unwrap_or(0));
    let mut a = Initiator::new(TORRENT, provide, &entropy, b"handshake", &mut to_b);
    entropy[0] ^= 1;
    let mut b = Responder::new(methods(script.next().unwrap_or(0)), &entropy);
    // The input itself, as sent by a stranger.
    let stranger = script.next().is_some_and(|n| n == 0);
    if stranger {
        to_b = script.0.to_vec();
        to_a = script.0.to_vec();
    }
    let (mut a_ended, mut b_ended) = (false, false);
    for _ in 0..4096 {
        if !b_ended {
            let chunk = script.deliver(&mut to_b);
            let mut progress = b.feed(&chunk, &mut to_a);
            if let Ok(Progress::NeedTorrent(_)) = progress {
                progress = b.resolve(TORRENT, &mut to_a);
            }
            b_ended = matches!(progress, Err(_) | Ok(Progress::Done(_)));
        }
        if !a_ended {
            let chunk = script.deliver(&mut to_a);
            a_ended = !matches!(a.feed(&chunk, &mut to_b), Ok(None));
        }
        if (a_ended || to_a.is_empty()) && (b_ended || to_b.is_empty()) {
            break;
        }
    }
});
