//! Any frame that a connected end can say and that its peer hears unchanged.

use core::net::{IpAddr, SocketAddr};
use std::vec;

use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;

use super::PeerFrame;
use crate::extension::*;
use crate::id::{Block, PieceIndex};
use crate::peer_wire::*;

fn peers(max: usize) -> impl Strategy<Value = Vec<SocketAddr>> {
    let port = 1u16..;
    let v4 =
        (any::<[u8; 4]>(), port.clone()).prop_map(|(ip, port)| SocketAddr::new(ip.into(), port));
    let v6 = (any::<[u8; 16]>(), port)
        .prop_map(|(ip, port)| SocketAddr::new(IpAddr::from(ip).to_canonical(), port));
    let sorted = |strategy: BoxedStrategy<SocketAddr>| {
        list(
            strategy.prop_filter("dialable", |a| crate::peer_address::is_dialable(a, true)),
            0..max,
        )
    };
    (sorted(v4.boxed()), sorted(v6.boxed())).prop_map(|(mut v4, mut v6)| {
        v6.retain(SocketAddr::is_ipv6);
        v4.append(&mut v6);
        v4
    })
}

pub(super) fn blocks() -> impl Strategy<Value = Block> {
    (any::<u32>(), 0..u32::MAX - MAX_BLOCK_LEN, 1..=MAX_BLOCK_LEN)
        .prop_map(|(piece, begin, len)| Block { piece: PieceIndex(piece), begin, len })
}

fn ranges() -> impl Strategy<Value = HashRange> {
    (any::<[u8; 32]>(), 0..24u32, 0..100u32, 0..6u32, 0..24u32).prop_map(
        |(pieces_root, base_layer, nth, log, proof_layers)| HashRange {
            pieces_root,
            base_layer,
            index: nth << log,
            length: 1 << log,
            proof_layers,
        },
    )
}

fn hashes() -> impl Strategy<Value = PeerFrame> {
    (ranges(), any::<u8>(), any::<u32>()).prop_map(|(range, fill, spare)| {
        let count = range.length + spare % (range.proof_len() + 1);
        Frame::Hashes(range, vec![[fill; 32]; count as usize])
    })
}

fn metadata() -> impl Strategy<Value = MetadataMessage> {
    let data = (0..3u32, 0..2u32, 1..METADATA_PART_LEN).prop_map(|(part, more, last)| {
        let total_len = (part + more) * METADATA_PART_LEN + last;
        let len = if more == 0 { last } else { METADATA_PART_LEN };
        MetadataMessage::Data { part, total_len, bytes: vec![b'd'; len as usize] }
    });
    prop_oneof![
        any::<u32>().prop_map(MetadataMessage::Request),
        any::<u32>().prop_map(MetadataMessage::Reject),
        data,
    ]
}

fn extension_handshakes() -> impl Strategy<Value = ExtensionHandshake> {
    (
        proptest::sample::subsequence(Extension::ALL.to_vec(), 0..=5),
        option::of("[ -~µ☂]{1,64}"),
        option::of(1u16..),
        option::of(1u32..),
        option::of(1u32..),
        any::<bool>(),
        option::of(prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(|ip| IpAddr::from(ip).to_canonical()),
        ]),
    )
        .prop_map(
            |(
                extensions,
                client,
                listen_port,
                request_queue,
                metadata_len,
                upload_only,
                your_ip,
            )| {
                ExtensionHandshake {
                    extensions: extensions.into_iter().collect(),
                    client,
                    listen_port,
                    request_queue,
                    metadata_len,
                    upload_only,
                    your_ip,
                }
            },
        )
}

fn pex() -> impl Strategy<Value = Pex<SocketAddr>> {
    (peers(MAX_PEX_PEERS), peers(MAX_PEX_PEERS), any::<u8>()).prop_map(|(added, dropped, flags)| {
        let flag = |(i, peer)| (peer, PexFlags(flags.wrapping_add(i as u8)));
        Pex { added: added.into_iter().enumerate().map(flag).collect(), dropped }
    })
}

fn holepunch() -> impl Strategy<Value = Holepunch<SocketAddr>> {
    let peer = (any::<IpAddr>(), any::<u16>())
        .prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port));
    let error = prop_oneof![
        Just(HolepunchError::NoSuchPeer),
        Just(HolepunchError::NotConnected),
        Just(HolepunchError::NoSupport),
        Just(HolepunchError::NoSelf),
    ];
    (peer, error, 0..3u8).prop_map(|(peer, error, kind)| match kind {
        0 => Holepunch::Rendezvous(peer),
        1 => Holepunch::Connect(peer),
        _ => Holepunch::Error(peer, error),
    })
}

pub(super) fn frames() -> impl Strategy<Value = PeerFrame> {
    let piece = || any::<u32>().prop_map(PieceIndex);
    prop_oneof![
        prop_oneof![
            Just(Frame::KeepAlive),
            Just(Frame::Choke),
            Just(Frame::Unchoke),
            Just(Frame::Interested),
            Just(Frame::NotInterested),
            Just(Frame::HaveAll),
            Just(Frame::HaveNone),
        ],
        piece().prop_map(Frame::Have),
        list(any::<u8>(), 1..2000).prop_map(Frame::Bitfield),
        blocks().prop_map(Frame::Request),
        blocks().prop_map(Frame::Cancel),
        blocks().prop_map(Frame::Reject),
        any::<u16>().prop_map(Frame::Port),
        piece().prop_map(Frame::Suggest),
        piece().prop_map(Frame::AllowedFast),
        ranges().prop_map(Frame::HashRequest),
        ranges().prop_map(Frame::HashReject),
        hashes(),
        prop_oneof![
            extension_handshakes().prop_map(Extended::Handshake),
            metadata().prop_map(Extended::Metadata),
            pex().prop_map(Extended::Pex),
            holepunch().prop_map(Extended::Holepunch),
            piece().prop_map(Extended::DontHave),
            any::<bool>().prop_map(Extended::UploadOnly),
        ]
        .prop_map(Frame::Extended),
    ]
}
