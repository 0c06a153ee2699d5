//! Tokens (BEP 5): a node may store something here only after it has been heard asking from the
//! same host. They follow from a secret, the host and the time, so none is remembered.

use core::hash::{Hash, Hasher};
use core::time::Duration;

use machine::Instant;

use super::bytes::Token;

/// How long a token is handed out; it is accepted for as long again.
pub const TOKEN_ROTATION: Duration = Duration::from_secs(300);

/// A key that only this node knows.
#[derive(Clone, Copy)]
pub(super) struct Secret([u64; 2]);

impl Secret {
    pub(super) fn new(bytes: [u8; 16]) -> Self {
        let both = u128::from_le_bytes(bytes);
        Self([both as u64, (both >> 64) as u64])
    }

    /// The token for a host.
    pub(super) fn token(&self, host: &impl Hash, now: Instant) -> Token {
        self.token_of(host, epoch(now))
    }

    /// Whether a token is the host's, from now or a while ago.
    pub(super) fn accepts(&self, token: &Token, host: &impl Hash, now: Instant) -> bool {
        let epoch = epoch(now);
        *token == self.token_of(host, epoch)
            || epoch > 0 && *token == self.token_of(host, epoch - 1)
    }

    /// A number that outsiders cannot predict, for tables that they fill.
    pub(super) fn hash(&self, value: &impl Hash) -> u64 {
        let mut hasher = SipHasher::new(self.0);
        value.hash(&mut hasher);
        hasher.finish()
    }

    fn token_of(&self, host: &impl Hash, epoch: u64) -> Token {
        Token::new(&self.hash(&(epoch, host)).to_be_bytes()).unwrap_or_default()
    }
}

fn epoch(now: Instant) -> u64 {
    now.as_nanos() / TOKEN_ROTATION.as_nanos() as u64
}

/// SipHash-2-4 (Aumasson and Bernstein 2012).
struct SipHasher {
    v: [u64; 4],
    /// Bytes that do not fill a word yet, the first one lowest.
    tail: u64,
    len: u64,
}

impl SipHasher {
    fn new([k0, k1]: [u64; 2]) -> Self {
        let v = [
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ];
        Self { v, tail: 0, len: 0 }
    }

    fn round(v: &mut [u64; 4]) {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    }

    fn word(v: &mut [u64; 4], word: u64) {
        v[3] ^= word;
        Self::round(v);
        Self::round(v);
        v[0] ^= word;
    }
}

impl Hasher for SipHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.tail |= u64::from(byte) << (8 * (self.len % 8));
            self.len += 1;
            if self.len.is_multiple_of(8) {
                Self::word(&mut self.v, core::mem::take(&mut self.tail));
            }
        }
    }

    fn finish(&self) -> u64 {
        let mut v = self.v;
        Self::word(&mut v, self.tail | self.len << 56);
        v[2] ^= 0xff;
        (0..4).for_each(|_| Self::round(&mut v));
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_published_one() {
        let mut hasher = SipHasher::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        let input: [u8; 15] = core::array::from_fn(|at| at as u8);
        hasher.write(&input);
        assert_eq!(hasher.finish(), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn kr_06_tokens_are_good_for_two_rotations_and_one_host() {
        let secret = Secret::new([7; 16]);
        let start = Instant::ZERO + 10 * TOKEN_ROTATION;
        let token = secret.token(&1, start);
        assert!(secret.accepts(&token, &1, start));
        assert!(!secret.accepts(&token, &2, start));
        assert!(!secret.accepts(&Token::default(), &1, start));
        let nearly = start + (2 * TOKEN_ROTATION - Duration::from_nanos(1));
        assert!(secret.accepts(&token, &1, nearly));
        assert!(!secret.accepts(&token, &1, start + 2 * TOKEN_ROTATION));
        assert!(!Secret::new([8; 16]).accepts(&token, &1, start));
    }
}
