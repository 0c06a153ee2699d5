//! Items that can be stored (BEP 44): named by their content, or signed and replaceable.

use alloc::sync::Arc;
use alloc::vec::Vec;

use codec::bencode::{Cursor, Encoder};
use machine::dht::{Key, Value};
use sha1::{Digest, Sha1};

/// Longest value, in bytes of its bencoded form (BEP 44).
pub const VALUE_MAX: usize = 1_000;
/// Longest salt, in bytes (BEP 44).
pub const SALT_MAX: usize = 64;

/// An item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One that never changes: its value, bencoded where names are hashes.
    Immutable(Value),
    /// One that the holder of a key may replace.
    Mutable(Arc<Mutable>),
}

/// An item under a public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutable {
    /// The Ed25519 key it is verified with.
    pub public_key: [u8; 32],
    /// Tells items under one key apart; empty for the only one.
    pub salt: Value,
    /// Which version it is; later ones have greater numbers.
    pub seq: i64,
    /// The Ed25519 signature of [`signed_bytes`].
    pub signature: [u8; 64],
    /// The value, bencoded.
    pub value: Value,
}

impl Item {
    /// The value, bencoded where names are hashes.
    #[must_use]
    pub fn value(&self) -> &Value {
        match self {
            Self::Immutable(value) => value,
            Self::Mutable(item) => &item.value,
        }
    }

    /// Its version; `None` if it cannot change.
    #[must_use]
    pub fn seq(&self) -> Option<i64> {
        match self {
            Self::Immutable(_) => None,
            Self::Mutable(item) => Some(item.seq),
        }
    }

    /// The key that follows from what it is.
    #[must_use]
    pub fn target(&self) -> Key {
        match self {
            Self::Immutable(value) => immutable_key(value),
            Self::Mutable(item) => mutable_key(&item.public_key, &item.salt),
        }
    }
}

/// The key of an item that never changes: SHA-1 of its bencoded value.
#[must_use]
pub fn immutable_key(bencoded: &[u8]) -> Key {
    Key(Sha1::digest(bencoded).into())
}

/// The key of an item that can be replaced: SHA-1 of its public key, then its salt.
#[must_use]
pub fn mutable_key(public_key: &[u8; 32], salt: &[u8]) -> Key {
    Key(Sha1::new().chain_update(public_key).chain_update(salt).finalize().into())
}

/// What the signature of an item signs.
#[must_use]
pub fn signed_bytes(salt: &[u8], seq: i64, bencoded: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bencoded.len() + salt.len() + 40);
    if !salt.is_empty() {
        out.extend_from_slice(b"4:salt");
        Encoder::new(&mut out).bytes(salt);
    }
    out.extend_from_slice(b"3:seq");
    Encoder::new(&mut out).int(seq);
    out.extend_from_slice(b"1:v");
    out.extend_from_slice(bencoded);
    out
}

/// Bytes as the bencoded string that stands for them in an item.
#[must_use]
pub fn bencoded(bytes: &[u8]) -> Value {
    let mut out = Vec::with_capacity(bytes.len() + 5);
    Encoder::new(&mut out).bytes(bytes);
    out.into()
}

/// What [`bencoded`] was made of; another kind of value is left as it is.
#[must_use]
pub fn plain(bencoded: &Value) -> Value {
    let mut cursor = Cursor::new(bencoded);
    match cursor.string() {
        Ok(content) if cursor.is_at_end() => content.into(),
        _ => bencoded.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> Key {
        Key(codec::hex::decode(hex).unwrap())
    }

    #[test]
    fn keys_and_signed_bytes_are_the_published_ones() {
        let value = bencoded(b"Hello World!");
        assert_eq!(immutable_key(&value), key("e5f96f6f38320f0f33959cb4d3d656452117aadb"));
        let public: [u8; 32] =
            codec::hex::decode("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548")
                .unwrap();
        assert_eq!(mutable_key(&public, b""), key("4a533d47ec9c7d95b1ad75f576cffc641853b750"));
        assert_eq!(
            mutable_key(&public, b"foobar"),
            key("411eba73b6f087ca51a3795d9c8c938d365e32c1")
        );
        assert_eq!(signed_bytes(b"", 1, &value), b"3:seqi1e1:v12:Hello World!");
        assert_eq!(signed_bytes(b"foobar", 1, &value), b"4:salt6:foobar3:seqi1e1:v12:Hello World!");
    }

    #[test]
    fn strings_go_in_and_out() {
        for content in [&b""[..], b"x", b"i1e"] {
            assert_eq!(&*plain(&bencoded(content)), content);
        }
        let list: Value = (*b"l1:ae").into();
        assert_eq!(plain(&list), list);
    }
}
