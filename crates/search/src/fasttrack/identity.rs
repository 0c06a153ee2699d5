//! Who somebody is, for good: a key that signs. Which signatures these are is the driver's choice;
//! live it is Ed25519. Where somebody is reached is a contact's to say, not an identity's.

use core::fmt;

use codec::hex::Hex;
use sha2::{Digest, Sha256};

/// A public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub [u8; 32]);

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Hex(&self.0[..8]))
    }
}

/// A signature under some text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", Hex(&self.0[..8]))
    }
}

/// A node's own key, and the judgement of what others have signed.
pub trait Identity {
    /// The public half.
    fn id(&self) -> Id;
    /// Signs a text.
    fn sign(&self, text: &[u8]) -> Signature;
    /// Whether `id` has signed `text`.
    fn verify(id: &Id, text: &[u8], signature: &Signature) -> bool;
}

/// An identity for simulators: a number, and signatures that anybody could make and nobody does
/// but its owner. A simulated forger makes wrong ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nominal(pub u64);

impl Nominal {
    fn seal(id: &Id, text: &[u8]) -> Signature {
        let digest = Sha256::new().chain_update(id.0).chain_update(text).finalize();
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&digest);
        Signature(signature)
    }
}

impl Identity for Nominal {
    fn id(&self) -> Id {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.0.to_be_bytes());
        Id(id)
    }

    fn sign(&self, text: &[u8]) -> Signature {
        Self::seal(&self.id(), text)
    }

    fn verify(id: &Id, text: &[u8], signature: &Signature) -> bool {
        Self::seal(id, text) == *signature
    }
}
