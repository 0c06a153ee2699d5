//! Bytes of extension messages, behind the number of the message that carries them all.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::ops::RangeInclusive;

use codec::bencode::{self, BencodeError, Dict, Document, Limits};

use super::metadata::MAX_METADATA_MESSAGE_LEN;
use super::{Extended, Extension, Extensions, handshake, holepunch, metadata, pex};
use crate::id::PieceIndex;
use crate::peer_wire::{MAX_UNKNOWN_LEN, WireError};

/// The number of the extension handshake.
const HANDSHAKE: u8 = 0;

/// Bounds on dictionaries: the deepest one is a handshake, two levels and whatever is unknown. The
/// number of values is bounded by the length of messages.
const LIMITS: Limits = Limits { depth: 16, tokens: MAX_UNKNOWN_LEN as usize };

/// What is wrong with a message of an extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtensionError {
    /// It is not bencoded.
    #[error(transparent)]
    Bencode(#[from] BencodeError),
    /// It is not a dictionary.
    #[error("not a dictionary")]
    NotDict,
    /// A field is missing, or holds what it cannot.
    #[error("{0} is missing or out of range")]
    Field(&'static str),
}

/// The numbers under which a peer wants messages of extensions; 0 is not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PeerNumbers([u8; Extension::ALL.len()]);

impl PeerNumbers {
    /// The number under which to send a message, if the peer wants it.
    pub(crate) fn number_for(&self, message: &Extended<SocketAddr>) -> Option<u8> {
        match extension_of(message)? {
            None => Some(HANDSHAKE),
            Some(extension) => Some(self.0[extension as usize]).filter(|number| *number != 0),
        }
    }

    /// Which extensions the peer wants.
    pub(crate) fn extensions(&self) -> Extensions {
        Extension::ALL.into_iter().filter(|extension| self.0[*extension as usize] != 0).collect()
    }

    /// Learns from `m` of an extension handshake, which says only what is new. Numbers that do
    /// not fit a byte say nothing.
    pub(super) fn learn(&mut self, m: &Dict<'_>) {
        for extension in Extension::ALL {
            let number = m.int(extension.name()).and_then(|number| u8::try_from(number).ok());
            if let Some(number) = number {
                self.0[extension as usize] = number;
            }
        }
    }
}

/// Whose message it is: `Some(None)` is the handshake, `None` nobody's that we know.
fn extension_of<C>(message: &Extended<C>) -> Option<Option<Extension>> {
    Some(match message {
        Extended::Handshake(_) => None,
        Extended::Metadata(_) => Some(Extension::Metadata),
        Extended::Pex(_) => Some(Extension::Pex),
        Extended::Holepunch(_) => Some(Extension::Holepunch),
        Extended::DontHave(_) => Some(Extension::DontHave),
        Extended::UploadOnly(_) => Some(Extension::UploadOnly),
        Extended::Unknown(_) => return None,
    })
}

/// The extension that a peer means by `number`, given which ones we have offered.
fn offered_as(offered: &Extensions, number: u8) -> Option<Extension> {
    Extension::numbered(number).filter(|extension| offered.contains(*extension))
}

/// Checks the length of a message by its number.
pub(crate) fn check_len(offered: &Extensions, number: u8, len: u32) -> Result<(), WireError> {
    let extension = offered_as(offered, number);
    let bounds: RangeInclusive<u32> = match extension {
        // The handshake, messages with lists, and what will be ignored.
        None | Some(Extension::Pex) => 0..=MAX_UNKNOWN_LEN,
        Some(Extension::Metadata) => 0..=MAX_METADATA_MESSAGE_LEN,
        Some(Extension::Holepunch) => holepunch::MIN_LEN..=holepunch::MAX_LEN,
        Some(Extension::DontHave) => 4..=4,
        Some(Extension::UploadOnly) => 1..=1,
    };
    if bounds.contains(&len) { Ok(()) } else { Err(WireError::ExtensionLength { extension, len }) }
}

/// Reads the content of a message whose length [`check_len`] has passed.
pub(crate) fn decode(
    offered: &Extensions,
    numbers: &mut PeerNumbers,
    number: u8,
    content: &[u8],
) -> Result<Extended<SocketAddr>, WireError> {
    if number == HANDSHAKE {
        return handshake::decode(content, numbers)
            .map(Extended::Handshake)
            .map_err(|error| WireError::Extension { extension: None, error });
    }
    let Some(extension) = offered_as(offered, number) else {
        return Ok(Extended::Unknown(number));
    };
    // Messages of kinds that are yet to be invented are ignored, as BEP 9 demands.
    let decoded = match extension {
        Extension::Metadata => metadata::decode(content).map(|m| m.map(Extended::Metadata)),
        Extension::Pex => pex::decode(content).map(|pex| Some(Extended::Pex(pex))),
        Extension::Holepunch => holepunch::decode(content).map(|m| m.map(Extended::Holepunch)),
        Extension::DontHave => match content.first_chunk() {
            Some(piece) => Ok(Some(Extended::DontHave(PieceIndex(u32::from_be_bytes(*piece))))),
            None => Err(ExtensionError::Field("piece")),
        },
        Extension::UploadOnly => match content.first() {
            Some(&byte) => Ok(Some(Extended::UploadOnly(byte != 0))),
            None => Err(ExtensionError::Field("upload_only")),
        },
    };
    match decoded {
        Ok(message) => Ok(message.unwrap_or(Extended::Unknown(number))),
        Err(error) => Err(WireError::Extension { extension: Some(extension), error }),
    }
}

/// Appends the content of a message; `offered` is what the handshakes before it have offered.
pub(crate) fn encode(message: &Extended<SocketAddr>, offered: &Extensions, out: &mut Vec<u8>) {
    match message {
        Extended::Handshake(message) => handshake::encode(message, offered, out),
        Extended::Metadata(message) => metadata::encode(message, out),
        Extended::Pex(message) => pex::encode(message, out),
        Extended::Holepunch(message) => holepunch::encode(message, out),
        Extended::DontHave(piece) => out.extend_from_slice(&piece.0.to_be_bytes()),
        Extended::UploadOnly(yes) => out.push((*yes).into()),
        Extended::Unknown(_) => {}
    }
}

/// Reads a dictionary and, behind it, bytes that are not bencoded.
pub(super) fn decode_dict(content: &[u8]) -> Result<(Document<'_>, &[u8]), ExtensionError> {
    let document = bencode::decode_prefix_with(content, LIMITS)?;
    if document.dict().is_none() {
        return Err(ExtensionError::NotDict);
    }
    let rest = &content[document.raw().len()..];
    Ok((document, rest))
}
