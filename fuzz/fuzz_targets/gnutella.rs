//! Gnutella messages in a stream, and their payloads: what is read is written back to the byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use machine::{Decoded, Wire};
use search::gnutella::qrp::{QrpMessage, QueryHashes};
use search::gnutella::{Bye, Descriptor, Kind, Pong, Push, Query, QueryHit, VendorMessage};

fuzz_target!(|data: &[u8]| {
    let mut at = 0;
    let mut hashes = QueryHashes::default();
    while let Ok(Decoded::Frame { frame: message, used }) = Descriptor::read(&data[at..]) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        assert_eq!(bytes, data[at..at + used]);
        if let Some(header) = message.header.within(7) {
            assert!(header.ttl + header.hops <= 7);
        }
        at += used;
        let payload = &message.payload[..];
        let written = match message.header.kind {
            Kind::Pong => Pong::parse(payload).ok().map(|pong| pong.to_vec()),
            Kind::Push => Push::parse(payload).ok().map(|push| push.to_vec()),
            Kind::Qrp => match QrpMessage::parse(payload) {
                // A reset may be followed by bytes that nobody knows.
                Ok(patch @ QrpMessage::Patch(_)) => Some(patch.to_vec()),
                _ => None,
            },
            Kind::Query => Query::parse(payload).ok().map(|query| {
                hashes.set(&query);
                let _ = query.extensions().count();
                query.to_vec().expect("no zeros in the words")
            }),
            Kind::QueryHit => QueryHit::parse(payload).ok().map(|hit| hit.to_vec()),
            Kind::Vendor | Kind::StandardVendor => {
                VendorMessage::parse(payload).ok().map(|vendor| {
                    if let Ok(Some(kinds)) = vendor.supported() {
                        assert!(8 * kinds.count() <= payload.len());
                    }
                    vendor.to_vec()
                })
            }
            Kind::Bye => {
                let _ = Bye::parse(payload);
                None
            }
            _ => None,
        };
        if let Some(written) = written {
            assert_eq!(written, payload);
        }
    }
});
