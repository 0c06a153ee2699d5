//! Ed25519 (RFC 8032): the key that a node signs with, in a file that only its owner reads, and the
//! judgement of the signatures of others. What is signed is the networks' to say.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dht::kademlia::{Item, Mutable, bencoded, signed_bytes};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

/// Bytes of the secret that a key follows from.
const SEED_LEN: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its file cannot be read or written.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others can read the file.
    #[error("{} can be read by others: chmod 600 it, or remove it if they may have", .0.display())]
    Exposed(PathBuf),
    /// The file holds something else.
    #[error("{} does not hold a key: 64 hexadecimal digits", .0.display())]
    Form(PathBuf),
    /// The system gives no randomness.
    #[error("no randomness: {0}")]
    Random(String),
}

/// A key that signs.
pub struct SigningKey(Ed25519KeyPair);

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", codec::hex::Hex(&self.public()))
    }
}

impl SigningKey {
    /// The key that follows from a secret; every secret has one, whatever the types say.
    fn from_seed(seed: &[u8; SEED_LEN]) -> Option<Self> {
        Ed25519KeyPair::from_seed_unchecked(seed).ok().map(Self)
    }

    /// The key in the file at `path`; a new one in a new file, if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or made, can be read by others, or holds no key.
    pub fn load_or_make(path: &Path) -> Result<Self, IdentityError> {
        let failed = |error| IdentityError::File { path: path.to_owned(), error };
        match OpenOptions::new().read(true).open(path) {
            Ok(file) => {
                let mode = file.metadata().map_err(failed)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(IdentityError::Exposed(path.to_owned()));
                }
                let mut text = String::new();
                file.take(1_024).read_to_string(&mut text).map_err(failed)?;
                codec::hex::decode::<SEED_LEN>(text.trim())
                    .and_then(|seed| Self::from_seed(&seed))
                    .ok_or_else(|| IdentityError::Form(path.to_owned()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut seed = [0; SEED_LEN];
                getrandom::fill(&mut seed)
                    .map_err(|error| IdentityError::Random(error.to_string()))?;
                if let Some(folder) = path.parent() {
                    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
                }
                let mut options = OpenOptions::new();
                let options = options.write(true).create_new(true).mode(0o600);
                let written = options.open(path).and_then(|mut file| {
                    writeln!(file, "{}", codec::hex::Hex(&seed))?;
                    file.sync_all()
                });
                match written {
                    // Another process has made one meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        Self::load_or_make(path)
                    }
                    Err(error) => {
                        // Half a key is worse than none.
                        let _ = fs::remove_file(path);
                        Err(failed(error))
                    }
                    Ok(()) => {
                        Self::from_seed(&seed).ok_or_else(|| IdentityError::Form(path.to_owned()))
                    }
                }
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        let mut public = [0; 32];
        public.copy_from_slice(self.0.public_key().as_ref());
        public
    }

    /// The signature of this key under a text.
    #[must_use]
    pub(crate) fn sign(&self, text: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.0.sign(text).as_ref());
        signature
    }

    /// An item of this key: `content` as a string under `salt`, at version `seq` (BEP 44).
    #[must_use]
    pub fn item(&self, content: &[u8], salt: &[u8], seq: i64) -> Item {
        let value = bencoded(content);
        let signature = self.sign(&signed_bytes(salt, seq, &value));
        let public_key = self.public();
        Item::Mutable(Mutable { public_key, salt: salt.into(), seq, signature, value }.into())
    }
}

/// Whether an item is signed by the key that it names.
#[must_use]
pub fn is_signed(item: &Mutable) -> bool {
    let signed = signed_bytes(&item.salt, item.seq, &item.value);
    has_signed(&item.public_key, &signed, &item.signature)
}

/// Whether the key of which `public` is the public half has signed a text.
pub(crate) fn has_signed(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(text, signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(hex: &str) -> SigningKey {
        let seed = codec::hex::decode(hex).expect("a seed");
        SigningKey::from_seed(&seed).expect("a key")
    }

    /// RFC 8032, section 7.1, the first test.
    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

    #[test]
    fn public_keys_are_the_published_ones() {
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(codec::hex::Hex(&key(SEED).public()).to_string(), public);
    }

    #[test]
    fn kr_10_what_is_signed_is_so_until_it_is_touched() {
        let Item::Mutable(item) = key(SEED).item(b"content", b"salt", 7) else { unreachable!() };
        assert!(is_signed(&item));
        let item = &*item;
        for touched in [
            Mutable { seq: 8, ..item.clone() },
            Mutable { salt: b"sal"[..].into(), ..item.clone() },
            Mutable { value: bencoded(b"other"), ..item.clone() },
            Mutable { public_key: [1; 32], ..item.clone() },
            Mutable { signature: [0; 64], ..item.clone() },
        ] {
            assert!(!is_signed(&touched));
        }
    }

    #[test]
    fn a_key_stays_and_others_cannot_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/key");
        let made = SigningKey::load_or_make(&path).expect("a new key").public();
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o600);
        assert_eq!(SigningKey::load_or_make(&path).expect("the same key").public(), made);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
        assert!(matches!(SigningKey::load_or_make(&path), Err(IdentityError::Exposed(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
        fs::write(&path, "not a key").expect("written");
        assert!(matches!(SigningKey::load_or_make(&path), Err(IdentityError::Form(_))));
    }
}
