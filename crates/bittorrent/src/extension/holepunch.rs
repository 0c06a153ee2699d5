//! Messages of the holepunch extension (BEP 55): binary, not bencoded.

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::message::ExtensionError;
use super::{Holepunch, HolepunchError};
use crate::peer_address::{Compact, V4_LEN, V6_LEN, compact_v4, compact_v6};

/// Bytes of the kind and the address family.
const HEAD_LEN: usize = 2;
/// Bytes of the error code. Some programs leave it out where there is no error.
const CODE_LEN: usize = 4;
/// Least bytes of a message.
pub(super) const MIN_LEN: u32 = (HEAD_LEN + V4_LEN) as u32;
/// Most bytes of a message.
pub(super) const MAX_LEN: u32 = (HEAD_LEN + V6_LEN + CODE_LEN) as u32;

const RENDEZVOUS: u8 = 0;
const CONNECT: u8 = 1;
const ERROR: u8 = 2;

const V4: u8 = 0;
const V6: u8 = 1;

/// Reads a message; `None` if its kind, family or error does not exist yet. Whether its address
/// makes sense is for the reader to check: a relay has to answer either way.
pub(super) fn decode(content: &[u8]) -> Result<Option<Holepunch<SocketAddr>>, ExtensionError> {
    let (&[kind, family], rest) =
        content.split_first_chunk().ok_or(ExtensionError::Field("msg_type"))?;
    let address = ExtensionError::Field("addr");
    let (peer, code) = match family {
        V4 => rest
            .split_first_chunk()
            .map(|(bytes, rest)| (compact_v4(bytes), rest))
            .ok_or(address)?,
        V6 => rest
            .split_first_chunk()
            .map(|(bytes, rest)| (compact_v6(bytes), rest))
            .ok_or(address)?,
        _ => return Ok(None),
    };
    let code = match (kind, code) {
        (RENDEZVOUS | CONNECT, &[]) => 0,
        (_, &[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
        _ => return Err(ExtensionError::Field("err_code")),
    };
    Ok(match kind {
        RENDEZVOUS => Some(Holepunch::Rendezvous(peer)),
        CONNECT => Some(Holepunch::Connect(peer)),
        ERROR => HolepunchError::from_code(code).map(|error| Holepunch::Error(peer, error)),
        _ => None,
    })
}

/// Appends a message.
pub(super) fn encode(message: &Holepunch<SocketAddr>, out: &mut Vec<u8>) {
    let (kind, peer, code) = match message {
        Holepunch::Rendezvous(peer) => (RENDEZVOUS, peer, 0),
        Holepunch::Connect(peer) => (CONNECT, peer, 0),
        Holepunch::Error(peer, error) => (ERROR, peer, error.code()),
    };
    out.push(kind);
    match Compact::from(*peer) {
        Compact::V4(bytes) => {
            out.push(V4);
            out.extend_from_slice(&bytes);
        }
        Compact::V6(bytes) => {
            out.push(V6);
            out.extend_from_slice(&bytes);
        }
    }
    out.extend_from_slice(&code.to_be_bytes());
}

impl HolepunchError {
    const fn code(self) -> u32 {
        match self {
            Self::NoSuchPeer => 1,
            Self::NotConnected => 2,
            Self::NoSupport => 3,
            Self::NoSelf => 4,
        }
    }

    fn from_code(code: u32) -> Option<Self> {
        [Self::NoSuchPeer, Self::NotConnected, Self::NoSupport, Self::NoSelf]
            .into_iter()
            .find(|error| error.code() == code)
    }
}
