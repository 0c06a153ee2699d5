//! Peer exchange (BEP 11): four lists of addresses, two of them with flags.

use alloc::vec::Vec;
use core::net::SocketAddr;

use codec::bencode::{Dict, Encoder};

use super::message::{ExtensionError, decode_dict};
use super::{Pex, PexFlags};
use crate::peer_address::{Compact, V4_LEN, V6_LEN, compact_v4, compact_v6, is_dialable};

/// Most peers kept of each list of a message, and most sent.
pub const MAX_PEX_PEERS: usize = 50;

/// Reads a message. Addresses that nobody should dial are left out; loopback is for the driver to
/// decide on.
pub(super) fn decode(content: &[u8]) -> Result<Pex<SocketAddr>, ExtensionError> {
    let (document, _) = decode_dict(content)?;
    let dict = document.dict().ok_or(ExtensionError::NotDict)?;
    let v4 = with_flags(&dict, "added", "added.f", compact_v4);
    let v6 = with_flags(&dict, "added6", "added6.f", compact_v6);
    let mut added = Vec::new();
    added.extend(v4.take(MAX_PEX_PEERS));
    added.extend(v6.take(MAX_PEX_PEERS));
    let v4 = addresses(&dict, "dropped", compact_v4);
    let v6 = addresses(&dict, "dropped6", compact_v6);
    let mut dropped = Vec::new();
    dropped.extend(v4.take(MAX_PEX_PEERS));
    dropped.extend(v6.take(MAX_PEX_PEERS));
    Ok(Pex { added, dropped })
}

fn chunks<'a, const N: usize>(dict: &Dict<'a>, key: &str) -> &'a [[u8; N]] {
    dict.bytes(key).unwrap_or_default().as_chunks().0
}

fn addresses<'a, const N: usize>(
    dict: &Dict<'a>,
    key: &str,
    read: fn(&[u8; N]) -> SocketAddr,
) -> impl Iterator<Item = SocketAddr> + use<'a, N> {
    chunks(dict, key).iter().map(read).filter(|addr| is_dialable(addr, true))
}

/// Addresses with their flags; without any, if there is not one for each address.
fn with_flags<'a, const N: usize>(
    dict: &Dict<'a>,
    key: &str,
    flags_key: &str,
    read: fn(&[u8; N]) -> SocketAddr,
) -> impl Iterator<Item = (SocketAddr, PexFlags)> + use<'a, N> {
    let peers = chunks(dict, key);
    let flags = dict.bytes(flags_key).filter(|flags| flags.len() == peers.len()).unwrap_or(&[]);
    let flags = flags.iter().copied().chain(core::iter::repeat(0)).map(PexFlags);
    peers.iter().map(read).zip(flags).filter(|(addr, _)| is_dialable(addr, true))
}

/// A list of one family of addresses, in compact form.
struct List<const LEN: usize> {
    bytes: [[u8; LEN]; MAX_PEX_PEERS],
    flags: [u8; MAX_PEX_PEERS],
    len: usize,
}

impl<const LEN: usize> List<LEN> {
    fn new() -> Self {
        Self { bytes: [[0; LEN]; MAX_PEX_PEERS], flags: [0; MAX_PEX_PEERS], len: 0 }
    }

    fn push(&mut self, address: [u8; LEN], flags: PexFlags) {
        if let (Some(slot), Some(flag)) =
            (self.bytes.get_mut(self.len), self.flags.get_mut(self.len))
        {
            *slot = address;
            *flag = flags.0;
            self.len += 1;
        }
    }

    fn addresses(&self) -> &[u8] {
        self.bytes[..self.len].as_flattened()
    }

    fn flags(&self) -> &[u8] {
        &self.flags[..self.len]
    }
}

/// Both families of a list.
fn by_family(peers: impl Iterator<Item = (SocketAddr, PexFlags)>) -> (List<V4_LEN>, List<V6_LEN>) {
    let (mut v4, mut v6) = (List::new(), List::new());
    for (peer, flags) in peers {
        match Compact::from(peer) {
            Compact::V4(bytes) => v4.push(bytes, flags),
            Compact::V6(bytes) => v6.push(bytes, flags),
        }
    }
    (v4, v6)
}

/// Appends a message.
pub(super) fn encode(pex: &Pex<SocketAddr>, out: &mut Vec<u8>) {
    let (added, added6) = by_family(pex.added.iter().copied());
    let no_flags = PexFlags::default();
    let (dropped, dropped6) = by_family(pex.dropped.iter().map(|peer| (*peer, no_flags)));
    Encoder::new(out).dict(|dict| {
        // BEP 11 wants at least one list, even if nothing has changed.
        dict.entry("added").bytes(added.addresses());
        dict.entry("added.f").bytes(added.flags());
        if added6.len > 0 {
            dict.entry("added6").bytes(added6.addresses());
            dict.entry("added6.f").bytes(added6.flags());
        }
        if dropped.len > 0 {
            dict.entry("dropped").bytes(dropped.addresses());
        }
        if dropped6.len > 0 {
            dict.entry("dropped6").bytes(dropped6.addresses());
        }
    });
}
