//! SipHash (Aumasson and Bernstein, 2012): a keyed hash for tables that strangers fill and for
//! stateless connection ids. Short, and unpredictable without the key.

/// A secret key; from the operating system's randomness.
#[derive(Clone, Copy)]
pub struct SipKey(pub [u64; 2]);

impl SipKey {
    /// SipHash-2-4: the full strength, for values that a stranger gets to see.
    #[must_use]
    pub fn mac(&self, bytes: &[u8]) -> u64 {
        self.hash::<2, 4>(bytes)
    }

    /// SipHash-1-3: for places in a table, which a stranger never sees.
    #[must_use]
    pub fn place(&self, bytes: &[u8]) -> u64 {
        self.hash::<1, 3>(bytes)
    }

    #[inline]
    fn hash<const WORD_ROUNDS: usize, const LAST_ROUNDS: usize>(&self, bytes: &[u8]) -> u64 {
        let [k0, k1] = self.0;
        let mut v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            absorb::<WORD_ROUNDS>(&mut v, u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        last[7] = bytes.len() as u8;
        absorb::<WORD_ROUNDS>(&mut v, u64::from_le_bytes(last));
        v[2] ^= 0xff;
        for _ in 0..LAST_ROUNDS {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline]
fn absorb<const ROUNDS: usize>(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    for _ in 0..ROUNDS {
        round(v);
    }
    v[0] ^= word;
}

#[inline]
fn round([a, b, c, d]: &mut [u64; 4]) {
    *a = a.wrapping_add(*b);
    *b = b.rotate_left(13) ^ *a;
    *a = a.rotate_left(32);
    *c = c.wrapping_add(*d);
    *d = d.rotate_left(16) ^ *c;
    *a = a.wrapping_add(*d);
    *d = d.rotate_left(21) ^ *a;
    *c = c.wrapping_add(*b);
    *b = b.rotate_left(17) ^ *c;
    *c = c.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_vectors() {
        // The paper's key 00 01 … 0f; messages are 00 01 … of the given length (appendix A and
        // the first vectors of the reference implementation).
        let key = SipKey([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        let message: [u8; 15] = core::array::from_fn(|i| i as u8);
        assert_eq!(key.mac(&message), 0xa129_ca61_49be_45e5);
        assert_eq!(key.mac(&[]), 0x726f_db47_dd0e_0e31);
        assert_eq!(key.mac(&message[..8]), 0x93f5_f579_9a93_2462);
    }

    #[test]
    #[expect(deprecated, reason = "the standard library's SipHash-2-4 is the second opinion")]
    fn agrees_with_the_standard_library() {
        use core::hash::{Hasher, SipHasher};
        let bytes: [u8; 40] = core::array::from_fn(|i| (i * 37) as u8);
        for len in 0..=bytes.len() {
            let mut theirs = SipHasher::new_with_keys(1, 2);
            theirs.write(&bytes[..len]);
            assert_eq!(SipKey([1, 2]).mac(&bytes[..len]), theirs.finish());
        }
    }
}
