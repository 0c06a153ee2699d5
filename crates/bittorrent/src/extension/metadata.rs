//! Messages that carry the info dictionary (BEP 9).

use alloc::vec::Vec;

use codec::bencode::Encoder;

use super::MetadataMessage;
use super::message::{ExtensionError, decode_dict};

/// Bytes of a part of the info dictionary; only the last one may be shorter.
pub const METADATA_PART_LEN: u32 = 16 * 1024;

/// Most bytes of an info dictionary that is taken from peers.
pub const MAX_METADATA_LEN: u32 = 30 * 1024 * 1024;

/// Most bytes of a message: a part, and a dictionary before it.
pub(super) const MAX_METADATA_MESSAGE_LEN: u32 = METADATA_PART_LEN + 1024;

const REQUEST: i64 = 0;
const DATA: i64 = 1;
const REJECT: i64 = 2;

/// Reads a message; `None` if it is of a kind that does not exist yet.
pub(super) fn decode(content: &[u8]) -> Result<Option<MetadataMessage>, ExtensionError> {
    let (document, bytes) = decode_dict(content)?;
    let dict = document.dict().ok_or(ExtensionError::NotDict)?;
    let kind = dict.int("msg_type").ok_or(ExtensionError::Field("msg_type"))?;
    if !matches!(kind, REQUEST | DATA | REJECT) {
        return Ok(None);
    }
    let part = dict.int("piece").and_then(|part| u32::try_from(part).ok());
    let part = part.ok_or(ExtensionError::Field("piece"))?;
    Ok(Some(match kind {
        REQUEST => MetadataMessage::Request(part),
        REJECT => MetadataMessage::Reject(part),
        _ => {
            let total_len = dict.int("total_size").and_then(|len| u32::try_from(len).ok());
            let total_len = total_len
                .filter(|len| (1..=MAX_METADATA_LEN).contains(len))
                .ok_or(ExtensionError::Field("total_size"))?;
            let begin = part
                .checked_mul(METADATA_PART_LEN)
                .filter(|begin| *begin < total_len)
                .ok_or(ExtensionError::Field("piece"))?;
            if bytes.len() != (total_len - begin).min(METADATA_PART_LEN) as usize {
                return Err(ExtensionError::Field("data"));
            }
            MetadataMessage::Data { part, total_len, bytes: bytes.to_vec() }
        }
    }))
}

/// Appends a message.
pub(super) fn encode(message: &MetadataMessage, out: &mut Vec<u8>) {
    let (kind, part) = match message {
        MetadataMessage::Request(part) => (REQUEST, *part),
        MetadataMessage::Data { part, .. } => (DATA, *part),
        MetadataMessage::Reject(part) => (REJECT, *part),
    };
    Encoder::new(out).dict(|dict| {
        dict.entry("msg_type").int(kind);
        dict.entry("piece").int(part.into());
        if let MetadataMessage::Data { total_len, .. } = message {
            dict.entry("total_size").int((*total_len).into());
        }
    });
    if let MetadataMessage::Data { bytes, .. } = message {
        out.extend_from_slice(bytes);
    }
}
