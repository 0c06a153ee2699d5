//! The Diffie–Hellman exchange of MSE: generator 2 modulo the 768-bit prime of Oakley group 1.

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{U192, U768, const_monty_params};

/// Bytes of a public key and of the shared secret.
pub(super) const KEY_LEN: usize = 96;
/// Bytes of a private key: 160 bits are as strong as this group gets.
pub(super) const PRIVATE_LEN: usize = 20;

const_monty_params!(
    Oakley1,
    U768,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74\
     020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437\
     4FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563"
);
type Element = ConstMontyForm<Oakley1, { U768::LIMBS }>;

/// A private key.
pub(super) struct PrivateKey(U192);

impl PrivateKey {
    pub(super) fn new(bytes: &[u8; PRIVATE_LEN]) -> Self {
        let mut wide = [0; 24];
        wide[4..].copy_from_slice(bytes);
        Self(U192::from_be_slice(&wide))
    }

    /// What to send to the other side.
    pub(super) fn public(&self) -> [u8; KEY_LEN] {
        self.raise(&U768::from_u8(2))
    }

    /// The secret shared with the holder of `public`; `None` if that is no key that an exchange
    /// can produce: 0, 1 and p - 1 fix the secret, and p or more is not reduced.
    pub(super) fn shared(&self, public: &[u8; KEY_LEN]) -> Option<[u8; KEY_LEN]> {
        let public = U768::from_be_slice(public);
        let last = Oakley1::PARAMS.modulus().get().wrapping_sub(&U768::ONE);
        (public > U768::ONE && public < last).then(|| self.raise(&public))
    }

    fn raise(&self, base: &U768) -> [u8; KEY_LEN] {
        let power = Element::new(base).pow_bounded_exp(&self.0, 8 * PRIVATE_LEN as u32);
        let mut bytes = [0; KEY_LEN];
        bytes.copy_from_slice(power.retrieve().to_be_bytes().as_ref());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_share_one_secret() {
        let (a, b) = (PrivateKey::new(&[0x5a; 20]), PrivateKey::new(&[0xff; 20]));
        assert_eq!(a.shared(&b.public()), b.shared(&a.public()));
        assert_ne!(a.public(), b.public());
    }

    #[test]
    fn small_powers_are_right() {
        let mut ten = [0; PRIVATE_LEN];
        ten[19] = 10;
        let mut expected = [0; KEY_LEN];
        expected[94] = 4;
        assert_eq!(PrivateKey::new(&ten).public(), expected, "2^10 = 0x0400");
        // 2^768 mod p = 2^768 - p, for p has 768 bits.
        ten[18..].copy_from_slice(&768u16.to_be_bytes());
        let p = Oakley1::PARAMS.modulus().get();
        let wrapped = U768::ZERO.wrapping_sub(&p).to_be_bytes();
        assert_eq!(PrivateKey::new(&ten).public().as_slice(), wrapped.as_ref());
    }

    #[test]
    fn keys_that_fix_the_secret_are_refused() {
        let key = PrivateKey::new(&[3; 20]);
        let p = Oakley1::PARAMS.modulus().get();
        for bad in [U768::ZERO, U768::ONE, p.wrapping_sub(&U768::ONE), p, U768::MAX] {
            let mut bytes = [0; KEY_LEN];
            bytes.copy_from_slice(bad.to_be_bytes().as_ref());
            assert_eq!(key.shared(&bytes), None, "{bad}");
        }
    }
}
