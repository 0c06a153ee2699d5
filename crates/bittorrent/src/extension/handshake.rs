//! The extension handshake (BEP 10).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use codec::bencode::Encoder;

use super::message::{ExtensionError, PeerNumbers, decode_dict};
use super::{Extension, ExtensionHandshake, Extensions};

/// Most characters kept of a program's name for itself.
pub const MAX_CLIENT_CHARS: usize = 64;

/// Reads a handshake. Fields that hold what they cannot are as good as absent.
pub(super) fn decode(
    content: &[u8],
    numbers: &mut PeerNumbers,
) -> Result<ExtensionHandshake, ExtensionError> {
    let (document, _) = decode_dict(content)?;
    let dict = document.dict().ok_or(ExtensionError::NotDict)?;
    if let Some(m) = dict.dict("m") {
        numbers.learn(&m);
    }
    Ok(ExtensionHandshake {
        extensions: numbers.extensions(),
        client: dict.bytes("v").and_then(clean_name),
        listen_port: positive(dict.int("p")),
        request_queue: positive(dict.int("reqq")),
        metadata_len: positive(dict.int("metadata_size")),
        upload_only: dict.int("upload_only").is_some_and(|only| only != 0),
        your_ip: dict.bytes("yourip").and_then(compact_ip),
    })
}

fn positive<T: TryFrom<i64>>(field: Option<i64>) -> Option<T> {
    T::try_from(field.filter(|value| *value > 0)?).ok()
}

fn compact_ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(IpAddr::from(v6).to_canonical())
}

/// A name fit to be shown: no control characters, no more than [`MAX_CLIENT_CHARS`], not empty.
fn clean_name(bytes: &[u8]) -> Option<String> {
    let bytes = &bytes[..bytes.len().min(4 * MAX_CLIENT_CHARS)];
    let text = String::from_utf8_lossy(bytes);
    let name: String = text.chars().filter(|c| !c.is_control()).take(MAX_CLIENT_CHARS).collect();
    (!name.is_empty()).then_some(name)
}

/// Appends a handshake. Extensions that were `offered` before and no longer are get number 0.
pub(super) fn encode(handshake: &ExtensionHandshake, offered: &Extensions, out: &mut Vec<u8>) {
    Encoder::new(out).dict(|dict| {
        dict.entry("m").dict(|m| {
            for extension in Extension::ALL {
                if handshake.extensions.contains(extension) {
                    m.entry(extension.name()).int(extension.number().into());
                } else if offered.contains(extension) {
                    m.entry(extension.name()).int(0);
                }
            }
        });
        if let Some(len) = handshake.metadata_len {
            dict.entry("metadata_size").int(len.into());
        }
        if let Some(port) = handshake.listen_port {
            dict.entry("p").int(port.into());
        }
        if let Some(queue) = handshake.request_queue {
            dict.entry("reqq").int(queue.into());
        }
        if handshake.upload_only {
            dict.entry("upload_only").int(1);
        }
        if let Some(client) = &handshake.client {
            dict.entry("v").bytes(client);
        }
        match handshake.your_ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => dict.entry("yourip").bytes(ip.octets()),
            Some(IpAddr::V6(ip)) => dict.entry("yourip").bytes(ip.octets()),
            None => {}
        }
    });
}
