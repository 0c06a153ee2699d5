//! Contents of extension messages, sound and otherwise.

use core::net::SocketAddr;
use std::format;
use std::vec::Vec;

use codec::bencode;
use proptest::prelude::*;

use super::*;
use crate::peer_wire::WireError;

/// Reads a message under our own number of `extension`; `None` is the handshake.
fn read(extension: Option<Extension>, content: &[u8]) -> Result<Extended<SocketAddr>, WireError> {
    let number = extension.map_or(0, Extension::number);
    check_len(&Extensions::ALL, number, content.len() as u32)?;
    decode(&Extensions::ALL, &mut PeerNumbers::default(), number, content)
}

fn read_handshake(content: &[u8]) -> ExtensionHandshake {
    match read(None, content) {
        Ok(Extended::Handshake(handshake)) => handshake,
        other => panic!("{:?} was read as {other:?}", content.escape_ascii()),
    }
}

fn read_pex(content: &[u8]) -> Pex<SocketAddr> {
    match read(Some(Extension::Pex), content) {
        Ok(Extended::Pex(pex)) => pex,
        other => panic!("{:?} was read as {other:?}", content.escape_ascii()),
    }
}

#[test]
fn handshakes_of_the_field_are_read() {
    let handshake = read_handshake(
        b"d12:complete_agoi5e1:ei1e4:ipv416:xxxxxxxxxxxxxxxx1:md11:upload_onlyi3e\
          12:ut_holepunchi4e11:ut_metadatai2e6:ut_pexi1ee13:metadata_sizei31235e1:pi6881e\
          4:reqqi500e11:upload_onlyi1e1:v13:\xc2\xb5Torrent 1.26:yourip4:\x50\x04\x04\xc8e",
    );
    let expected = ExtensionHandshake {
        extensions: Extensions { dont_have: false, ..Extensions::ALL },
        client: Some("µTorrent 1.2".into()),
        listen_port: Some(6881),
        request_queue: Some(500),
        metadata_len: Some(31235),
        upload_only: true,
        your_ip: Some([80, 4, 4, 200].into()),
    };
    assert_eq!(handshake, expected);
    assert_eq!(read_handshake(b"de"), ExtensionHandshake::default());
}

#[test]
fn fields_that_cannot_be_are_as_good_as_absent() {
    let cases: [&[u8]; 12] = [
        b"d1:mi1ee",
        b"d1:mlee",
        b"d1:md6:ut_pex1:1ee",
        b"d13:metadata_sizei-1ee",
        b"d13:metadata_sizei4294967296ee",
        b"d1:pi0ee",
        b"d1:pi65536ee",
        b"d1:pi-1ee",
        b"d4:reqqi-5ee",
        b"d11:upload_only1:1e",
        b"d1:v0:e",
        b"d6:yourip5:12345e",
    ];
    for content in cases {
        let shown = content.escape_ascii();
        assert_eq!(read_handshake(content), ExtensionHandshake::default(), "{shown}");
    }
    let malformed: [&[u8]; 5] = [b"", b"le", b"i1e", b"d1:m", b"d1:pi99999999999999999999ee"];
    for content in malformed {
        assert!(matches!(read(None, content), Err(WireError::Extension { extension: None, .. })));
    }
}

#[test]
fn names_of_clients_are_cut_and_cleaned() {
    let name = |v: &[u8]| {
        let content = bencode::encode(|value| value.dict(|dict| dict.entry("v").bytes(v)));
        read_handshake(&content).client
    };
    assert_eq!(name(b"ab\x00\x1b[31m\r\nc\x7f").as_deref(), Some("ab[31mc"));
    assert_eq!(name("\u{85}é".as_bytes()).as_deref(), Some("é"));
    assert_eq!(name(b"\xff\xfe").as_deref(), Some("\u{fffd}\u{fffd}"));
    assert_eq!(name(b"\n").as_deref(), None);
    let long = name("☂".repeat(1000).as_bytes()).unwrap();
    assert_eq!(long.chars().count(), MAX_CLIENT_CHARS);
}

#[test]
fn be_02_nested_dictionaries_are_errors_or_the_right_tree() {
    // Dictionaries where numbers should be, keys of one level repeated in the next, levels left open.
    let inner = read_handshake(b"d1:md1:md6:ut_pexi9eee1:pi7ee");
    assert_eq!(inner.extensions, Extensions::default(), "ut_pex of another level does not count");
    assert_eq!(inner.listen_port, Some(7), "what follows the nested level does");
    let shadowed = read_handshake(b"d1:md6:ut_pexd6:ut_pexi1ee11:ut_metadatai2ee1:vd1:v1:xee");
    assert_eq!(shadowed.extensions, Extensions { metadata: true, ..Extensions::default() });
    assert_eq!(shadowed.client, None);
    let cases: [&[u8]; 5] =
        [b"d1:md6:ut_pexi1e", b"d1:md6:ut_pexi1ee", b"d1:md6:ut_pexde", b"d1:m", b"d1:mdi1ei2eee"];
    for content in cases {
        let read = read(None, content);
        assert!(matches!(read, Err(WireError::Extension { .. })), "{}", content.escape_ascii());
    }
    let deep = [b"d1:m".repeat(10_000), b"e".repeat(10_000)].concat();
    assert!(matches!(read(None, &deep), Err(WireError::Extension { .. })), "no stack is used up");
}

#[test]
fn pw_12_numbers_and_keys_beyond_reason_are_ignored() {
    for number in ["256", "-1", "65537", "9223372036854775807", "-9223372036854775808"] {
        let content = format!("d1:md11:ut_metadatai3e6:ut_pexi{number}eee");
        let extensions = read_handshake(content.as_bytes()).extensions;
        assert_eq!(extensions, Extensions { metadata: true, ..Extensions::default() }, "{number}");
    }
    let many = bencode::encode(|value| {
        value.dict(|dict| {
            dict.entry("m").dict(|m| {
                for i in 0..10_000 {
                    m.entry(format!("a{i:05}")).int(1);
                }
                m.entry("ut_pex").int(1);
            });
        });
    });
    assert!(many.len() > 100_000);
    assert!(read_handshake(&many).extensions.pex, "10,000 names unknown to us are no harm");
    let len = 128 * 1024 + 1;
    let error = WireError::ExtensionLength { extension: None, len };
    assert_eq!(check_len(&Extensions::ALL, 0, len), Err(error));
}

#[test]
fn pw_14_peer_exchange_is_filtered_and_bounded() {
    let entry = |ip: [u8; 4], port: u16| [&ip[..], &port.to_be_bytes()].concat();
    let nobody = [
        entry([1, 2, 3, 4], 0),
        entry([0, 0, 0, 0], 6881),
        entry([224, 0, 0, 1], 6881),
        entry([255, 255, 255, 255], 6881),
    ]
    .concat();
    let somebody = entry([127, 0, 0, 1], 6881);
    let mut many: Vec<u8> = nobody.clone();
    many.extend_from_slice(&somebody);
    for i in 0..10_000u16 {
        many.extend_from_slice(&entry([8, 8, (i >> 8) as u8, i as u8], 6881));
    }
    let message = |added: &[u8], flags: &[u8], dropped: &[u8]| {
        bencode::encode(|value| {
            value.dict(|dict| {
                dict.entry("added").bytes(added);
                dict.entry("added.f").bytes(flags);
                dict.entry("dropped").bytes(dropped);
            });
        })
    };
    let pex = read_pex(&message(&many, &[], &many));
    assert_eq!((pex.added.len(), pex.dropped.len()), (MAX_PEX_PEERS, MAX_PEX_PEERS));
    assert_eq!(pex.added[0].0, "127.0.0.1:6881".parse().unwrap(), "for the driver to decide on");
    assert_eq!(pex.added[1].0, "8.8.0.0:6881".parse().unwrap());
    assert!(
        pex.added
            .iter()
            .all(|(peer, _)| !crate::peer_address::is_dialable(peer, false) || peer.port() == 6881)
    );
    // Flags stay with their peers while others are left out; too few of them are none.
    let flags = [1, 2, 3, 4, PexFlags::SEED];
    let five = [nobody, somebody].concat();
    assert_eq!(read_pex(&message(&five, &flags, &[])).added[0].1, PexFlags(PexFlags::SEED));
    assert_eq!(read_pex(&message(&five, &flags[..4], &[])).added[0].1, PexFlags(0));
    // A hundred thousand are not even waited for.
    let error = WireError::ExtensionLength { extension: Some(Extension::Pex), len: 700_000 };
    assert_eq!(check_len(&Extensions::ALL, Extension::Pex.number(), 700_000), Err(error));
    // Half an address, and IPv4 in disguise.
    assert_eq!(read_pex(b"d5:added5:abcdee"), Pex::default());
    let mapped = b"d6:added618:\0\0\0\0\0\0\0\0\0\0\xff\xff\x08\x08\x04\x04\x1a\xe1e";
    assert_eq!(read_pex(mapped).added[0].0, "8.8.4.4:6881".parse().unwrap());
}

#[test]
fn metadata_messages_are_read_and_checked() {
    let read = |content: &[u8]| read(Some(Extension::Metadata), content);
    let request = b"d8:msg_typei0e5:piecei3ee";
    assert_eq!(read(request), Ok(Extended::Metadata(MetadataMessage::Request(3))));
    let reject = b"d8:msg_typei2e5:piecei3ee";
    assert_eq!(read(reject), Ok(Extended::Metadata(MetadataMessage::Reject(3))));
    let data = b"d8:msg_typei1e5:piecei0e10:total_sizei5eehello";
    let bytes = b"hello".to_vec();
    let message = MetadataMessage::Data { part: 0, total_len: 5, bytes };
    assert_eq!(read(data), Ok(Extended::Metadata(message)));
    let unknown = Ok(Extended::Unknown(Extension::Metadata.number()));
    assert_eq!(read(b"d8:msg_typei3ee"), unknown, "kinds to come are ignored");
    let cases: [&[u8]; 10] = [
        b"de",
        b"d8:msg_typei0ee",
        b"d8:msg_typei0e5:piecei-1ee",
        b"d8:msg_typei0e5:piecei4294967296ee",
        b"d8:msg_typei1e5:piecei0eehello",
        b"d8:msg_typei1e5:piecei0e10:total_sizei0ee",
        b"d8:msg_typei1e5:piecei0e10:total_sizei2147483648eehello",
        b"d8:msg_typei1e5:piecei0e10:total_sizei6eehello",
        b"d8:msg_typei1e5:piecei1e10:total_sizei5eehello",
        b"d8:msg_typei1e5:piecei4294967295e10:total_sizei5eehello",
    ];
    for content in cases {
        let read = read(content);
        assert!(matches!(read, Err(WireError::Extension { .. })), "{}", content.escape_ascii());
    }
    let len = 17 * 1024 + 1;
    let error = WireError::ExtensionLength { extension: Some(Extension::Metadata), len };
    assert_eq!(check_len(&Extensions::ALL, Extension::Metadata.number(), len), Err(error));
}

#[test]
fn holepunch_messages_of_the_field_are_read() {
    let read = |content: &[u8]| read(Some(Extension::Holepunch), content);
    let peer: SocketAddr = "80.4.4.200:6881".parse().unwrap();
    let addr = [80, 4, 4, 200, 0x1a, 0xe1];
    let short = [&[1, 0][..], &addr].concat();
    let long = [&short[..], &[0; 4]].concat();
    let connect = Ok(Extended::Holepunch(Holepunch::Connect(peer)));
    assert_eq!(read(&short), connect, "without an error code, as some send it");
    assert_eq!(read(&long), connect);
    let error = [&[2, 0][..], &addr, &[0, 0, 0, 2]].concat();
    let expected = Holepunch::Error(peer, HolepunchError::NotConnected);
    assert_eq!(read(&error), Ok(Extended::Holepunch(expected)));
    let unknown = Ok(Extended::Unknown(Extension::Holepunch.number()));
    for (at, byte) in [(0, 3), (1, 2), (11, 0), (11, 5)] {
        let mut odd = error.clone();
        odd[at] = byte;
        assert_eq!(read(&odd), unknown, "byte {at} is {byte}");
    }
    for content in
        [&error[..8], &error[..11], &[&long[..], &[0]].concat(), &[0, 1, 0, 0, 0, 0, 0, 0]]
    {
        assert!(matches!(read(content), Err(WireError::Extension { .. })), "{content:?}");
    }
    for len in [0, 7, 25] {
        assert!(check_len(&Extensions::ALL, Extension::Holepunch.number(), len).is_err(), "{len}");
    }
}

proptest! {
    #[test]
    fn strangers_bytes_never_panic(
        number in 0..6u8,
        content in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if check_len(&Extensions::ALL, number, content.len() as u32).is_ok() {
            let _ = decode(&Extensions::ALL, &mut PeerNumbers::default(), number, &content);
        }
    }
}
