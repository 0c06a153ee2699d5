//! The RC4 stream cipher as MSE uses it: first kilobyte of keystream thrown away.

use core::fmt;
use core::mem;

/// Bytes of keystream that are never used: the first ones betray the key.
const DISCARD: usize = 1024;

/// One direction of an obfuscated stream. Enciphering and deciphering are the same operation.
#[derive(Clone)]
pub struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

impl Rc4 {
    /// The cipher for `key`, its first 1024 bytes of keystream already discarded.
    pub(super) fn new(key: &[u8; 20]) -> Self {
        let mut cipher = Self::schedule(key);
        for _ in 0..DISCARD {
            cipher.next_byte();
        }
        cipher
    }

    fn schedule(key: &[u8]) -> Self {
        let mut state: [u8; 256] = core::array::from_fn(|i| i as u8);
        let mut j = 0u8;
        for (i, k) in (0..256).zip(key.iter().cycle()) {
            j = j.wrapping_add(state[i]).wrapping_add(*k);
            state.swap(i, usize::from(j));
        }
        Self { state, i: 0, j: 0 }
    }

    #[inline(always)]
    fn next_byte(&mut self) -> u8 {
        self.i = self.i.wrapping_add(1);
        let a = self.state[usize::from(self.i)];
        self.j = self.j.wrapping_add(a);
        let b = mem::replace(&mut self.state[usize::from(self.j)], a);
        self.state[usize::from(self.i)] = b;
        self.state[usize::from(a.wrapping_add(b))]
    }

    /// Enciphers or deciphers the next bytes of the stream in place.
    pub fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte ^= self.next_byte();
        }
    }
}

impl fmt::Debug for Rc4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rc4(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keystream_is_the_one_of_rfc_6229() {
        // Key 0x0102030405: keystream at offsets 0 and 1024.
        let mut cipher = Rc4::schedule(&[1, 2, 3, 4, 5]);
        let mut stream = [0u8; 1040];
        cipher.apply(&mut stream);
        assert_eq!(stream[..4], [0xb2, 0x39, 0x63, 0x05]);
        assert_eq!(stream[1024..1028], [0x30, 0xab, 0xbc, 0xc7]);
    }

    #[test]
    fn the_first_kilobyte_is_discarded() {
        let key = [7; 20];
        let mut whole = [0u8; DISCARD + 16];
        Rc4::schedule(&key).apply(&mut whole);
        let mut rest = [0u8; 16];
        Rc4::new(&key).apply(&mut rest);
        assert_eq!(rest, whole[DISCARD..]);
    }
}
