//! Contents of extension messages: the first byte says whose, the rest is the content.
#![no_main]

use core::net::SocketAddr;

use bittorrent::extension::{
    Extended, ExtensionHandshake, Extensions, MAX_CLIENT_CHARS, MAX_PEX_PEERS,
};
use bittorrent::id::{InfoHash, PeerId};
use bittorrent::peer_address::is_dialable;
use bittorrent::peer_wire::{Frame, Handshake, PeerFraming, Reserved};
use libfuzzer_sys::fuzz_target;
use machine::{Decoded, Framing};

/// Sends `frame` from `from` to `to`.
fn tell(
    from: &mut PeerFraming,
    to: &mut PeerFraming,
    frame: &Frame<SocketAddr>,
) -> Frame<SocketAddr> {
    let mut bytes = Vec::new();
    from.encode(frame, &mut bytes);
    match to.decode(&bytes) {
        Ok(Decoded::Frame { frame, used }) if used == bytes.len() => frame,
        other => panic!("{frame:?} was heard as {other:?}"),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&number, content)) = data.split_first() else { return };
    let (mut a, mut b) = (PeerFraming::new(), PeerFraming::new());
    let hello = Frame::Handshake(Handshake {
        reserved: Reserved::default().with_extensions(),
        info_hash: InfoHash([1; 20]),
        peer_id: PeerId([2; 20]),
    });
    let extensions =
        ExtensionHandshake { extensions: Extensions::ALL, ..ExtensionHandshake::default() };
    for frame in [hello, Frame::Extended(Extended::Handshake(extensions))] {
        // Bits first: without them neither side has the other's word for the second frame.
        let mut bytes = [Vec::new(), Vec::new()];
        a.encode(&frame, &mut bytes[0]);
        b.encode(&frame, &mut bytes[1]);
        b.decode(&bytes[0]).expect("sound");
        a.decode(&bytes[1]).expect("sound");
    }
    let mut bytes = (content.len() as u32 + 2).to_be_bytes().to_vec();
    bytes.extend_from_slice(&[20, number % 7]);
    bytes.extend_from_slice(content);
    let Ok(Decoded::Frame { frame, .. }) = b.decode(&bytes) else { return };
    match &frame {
        Frame::Extended(Extended::Handshake(handshake)) => {
            let client = handshake.client.as_deref().unwrap_or_default();
            assert!(client.chars().count() <= MAX_CLIENT_CHARS);
            assert!(!client.chars().any(char::is_control));
            return;
        }
        Frame::Extended(Extended::Pex(pex)) => {
            assert!(pex.added.len() <= 2 * MAX_PEX_PEERS);
            assert!(pex.dropped.len() <= 2 * MAX_PEX_PEERS);
            assert!(pex.added.iter().all(|(peer, _)| is_dialable(peer, true)));
            // An IPv4 address in the list of IPv6 ones moves to its own, perhaps too full for it.
            if pex.added.len() + pex.dropped.len() > MAX_PEX_PEERS || pex_is_mixed(pex) {
                return;
            }
        }
        Frame::Extended(Extended::Unknown(_)) => return,
        _ => {}
    }
    assert_eq!(tell(&mut a, &mut b, &frame), frame);
});

/// Whether addresses of one family stand behind those of the other, out of the order of lists.
fn pex_is_mixed(pex: &bittorrent::extension::Pex<SocketAddr>) -> bool {
    let added = pex.added.iter().map(|(peer, _)| peer.is_ipv6());
    !added.is_sorted() || !pex.dropped.iter().map(SocketAddr::is_ipv6).is_sorted()
}
