//! Values as the nodes of a ring or an overlay hold them: how new each is, which of two wins, what
//! of an offer is wanted, and how they look in datagrams. Not here: who may store what, and where
//! copies go.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use codec::datagram::{Malformed, Reader};
use machine::Instant;
use machine::dht::{Key, Value};

use crate::store::Store;

/// Longest value that is stored, in bytes.
pub const VALUE_MAX: usize = 1_000;
/// Most keys in one offer.
pub const OFFER_MAX: usize = 32;
/// What a value takes in a datagram beside its bytes: key, version, lifetime, length.
pub(crate) const ITEM_HEAD: usize = 20 + 8 + 4 + 2;

/// How new a value is: of two under one key, the greater wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// How often the key was put; 0 for never.
    pub number: u32,
    /// A digest of the value, so that all agree which of two concurrent ones wins.
    pub digest: u32,
}

impl Version {
    /// The `number`th version of a key, which is `value`.
    #[must_use]
    pub fn new(number: u32, value: &[u8]) -> Self {
        Self { number, digest: digest(value) }
    }
}

/// A digest of `value` (FNV-1a, 32 bits), which decides between versions of one number.
fn digest(value: &[u8]) -> u32 {
    value.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// A value under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub key: Key,
    /// How new it is.
    pub version: Version,
    /// Seconds until it expires.
    pub seconds_left: u32,
    /// The bytes.
    pub value: Value,
}

/// A value that is stored here.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) version: Version,
    pub(crate) value: Value,
    /// When another node that holds it last said so, or when it came.
    pub(crate) confirmed: Instant,
}

/// What became of a value that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// It is here now.
    Taken,
    /// A newer one is.
    Newer,
    /// Neither is: it is too long, or there is no room.
    Refused,
}

/// An offer, compared with what is here.
#[derive(Debug)]
pub(crate) struct Compared {
    /// Bit `i` says whether the `i`th offered key is wanted.
    pub(crate) bits: u32,
    /// The number of the version that is held of the first key; 0 if there is none.
    pub(crate) number: u32,
    /// Of what a newer version is here.
    pub(crate) newer: Vec<(Key, Version)>,
}

impl Compared {
    /// Compares. All is wanted of a user who puts; of a node that repairs, what is new. What it
    /// holds too is thereby confirmed.
    pub(crate) fn new(
        mut store: Option<&mut Store<Held>>,
        put: bool,
        offered: &[(Key, Version)],
        now: Instant,
    ) -> Self {
        let mut compared = Self { bits: 0, number: 0, newer: Vec::new() };
        for (index, (key, version)) in offered.iter().take(OFFER_MAX).enumerate() {
            let held = store.as_mut().and_then(|store| store.get_mut(key, now));
            if let (0, Some(held)) = (index, &held) {
                compared.number = held.version.number;
            }
            match held {
                Some(held) if !put && held.version >= *version => {
                    held.confirmed = now;
                    if held.version > *version {
                        compared.newer.push((*key, held.version));
                    }
                }
                _ => compared.bits |= 1 << index,
            }
        }
        compared
    }
}

/// The keys of an offer that `bits` say are wanted.
pub(crate) fn wanted(offered: &[(Key, Version)], bits: u32) -> Vec<Key> {
    let offered = offered.iter().take(OFFER_MAX).enumerate();
    offered.filter(|(at, _)| bits >> at & 1 == 1).map(|(_, (key, _))| *key).collect()
}

impl Store<Held> {
    /// The number of the version that is held; 0 for none.
    pub(crate) fn number(&self, key: &Key, now: Instant) -> u32 {
        self.get(key, now).map_or(0, |(held, _)| held.version.number)
    }

    /// What is held under `key`, to be sent.
    pub(crate) fn item(&self, key: &Key, now: Instant) -> Option<Item> {
        let (held, expires) = self.get(key, now)?;
        let seconds_left = u32::try_from((expires - now).as_secs()).unwrap_or(u32::MAX);
        let value = held.value.clone();
        Some(Item { key: *key, version: held.version, seconds_left, value })
    }

    /// Stores a value for `lifetime` at the most, unless a newer one is there.
    pub(crate) fn keep(&mut self, item: &Item, lifetime: Duration, now: Instant) -> Kept {
        if item.value.len() > VALUE_MAX {
            return Kept::Refused;
        }
        let version = Version::new(item.version.number, &item.value);
        let life = Duration::from_secs(item.seconds_left.into()).min(lifetime);
        if let Some(held) = self.get_mut(&item.key, now)
            && held.version > version
        {
            held.confirmed = now;
            return Kept::Newer;
        }
        let held = Held { version, value: item.value.clone(), confirmed: now };
        match self.insert(item.key, held, now + life, now) {
            Ok(()) => Kept::Taken,
            Err(_) => Kept::Refused,
        }
    }
}

fn write_version(version: Version, out: &mut Vec<u8>) {
    out.extend(version.number.to_be_bytes());
    out.extend(version.digest.to_be_bytes());
}

/// Appends a value.
pub(crate) fn write_item(item: &Item, out: &mut Vec<u8>) {
    let value = &item.value[..item.value.len().min(VALUE_MAX)];
    out.extend(item.key.0);
    write_version(item.version, out);
    out.extend(item.seconds_left.to_be_bytes());
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
}

/// Appends an offer.
pub(crate) fn write_offer(put: bool, keys: &[(Key, Version)], out: &mut Vec<u8>) {
    let keys = &keys[..keys.len().min(OFFER_MAX)];
    out.extend([u8::from(put), keys.len() as u8]);
    for (key, version) in keys {
        out.extend(key.0);
        write_version(*version, out);
    }
}

/// Whether a user puts, and what is offered.
type Offer = (bool, Box<[(Key, Version)]>);

/// Reading what is written above.
pub(crate) trait Fields {
    fn key(&mut self) -> Result<Key, Malformed>;
    fn version(&mut self) -> Result<Version, Malformed>;
    fn item(&mut self) -> Result<Box<Item>, Malformed>;
    fn offer(&mut self) -> Result<Offer, Malformed>;
}

impl Fields for Reader<'_> {
    fn key(&mut self) -> Result<Key, Malformed> {
        self.array("a key").map(Key)
    }

    fn version(&mut self) -> Result<Version, Malformed> {
        Ok(Version { number: self.u32("a version")?, digest: self.u32("a version")? })
    }

    fn item(&mut self) -> Result<Box<Item>, Malformed> {
        let (key, version) = (self.key()?, self.version()?);
        let seconds_left = self.u32("a lifetime")?;
        let length = self.u16("the length of a value")?;
        if usize::from(length) > VALUE_MAX {
            return Err(Malformed::Range { what: "the length of a value", value: length.into() });
        }
        let value = self.bytes(length.into(), "a value")?.into();
        Ok(Box::new(Item { key, version, seconds_left, value }))
    }

    fn offer(&mut self) -> Result<Offer, Malformed> {
        let put = self.flag("the put flag")?;
        let count = self.count("keys", OFFER_MAX)?;
        let keys = (0..count).map(|_| Ok((self.key()?, self.version()?)));
        Ok((put, keys.collect::<Result<_, Malformed>>()?))
    }
}
