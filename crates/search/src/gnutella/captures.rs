//! What a real gtk-gnutella said, read and written back to the byte. The recordings lie in
//! `tests/data`; its README tells how they were made.

use alloc::vec::Vec;
use std::string::String;

use codec::hex;
use machine::Wire;

use super::qrp::{QrpMessage, Receiver, Table, update};
use super::{
    Bye, Descriptor, Extension, Extensions, HitFlags, Kind, MinSpeed, Pong, Push, Query, QueryHit,
    Urn, Vendor, VendorMessage,
};

/// The messages of both directions of two connections.
const MESSAGES: [&str; 4] = [
    include_str!("../../tests/data/leaf_sharing.c2s.messages.jsonl"),
    include_str!("../../tests/data/leaf_sharing.s2c.messages.jsonl"),
    include_str!("../../tests/data/leaf_searching.c2s.messages.jsonl"),
    include_str!("../../tests/data/leaf_searching.s2c.messages.jsonl"),
];

const DATAGRAMS: &str = include_str!("../../tests/data/udp.jsonl");

const SHA1: &str = "EPAJIOF3H3HR6AJ5NJMSDBPJZSVSJLRI";

/// The value of a field of one line of JSON.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line.split_once(&std::format!("\"{name}\": ")).expect("the field");
    let rest = rest.trim_start_matches('"');
    &rest[..rest.find(['"', ',', '}']).expect("its end")]
}

fn bytes(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| hex::decode::<1>(pair).expect("digits")[0]).collect()
}

/// What the lines of a recording say.
pub(super) fn recorded(lines: &str) -> Vec<Descriptor> {
    let message = |line: &str| {
        let kind = match field(line, "type") {
            "PING" => 0x00u8,
            "PONG" => 0x01,
            "QRP" => 0x30,
            "VMSG" => 0x31,
            "QUERY" => 0x80,
            "QUERYHIT" => 0x81,
            "0xcd" => 0xcd,
            other => panic!("{other}"),
        };
        let number = |name| field(line, name).parse::<u8>().expect("a number");
        let mut wire = bytes(field(line, "guid"));
        wire.extend_from_slice(&[kind, number("ttl"), number("hops")]);
        let payload = bytes(field(line, "payload"));
        assert_eq!(field(line, "len"), std::format!("{}", payload.len()));
        wire.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        wire.extend_from_slice(&payload);
        let message = Descriptor::decode(&wire).expect("a sound message");
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(again, wire);
        message
    };
    lines.lines().map(message).collect()
}

fn of_kind(lines: &str, kind: Kind) -> Vec<Descriptor> {
    recorded(lines).into_iter().filter(|message| message.header.kind == kind).collect()
}

/// Reads a payload as what it is, and writes it again.
fn rewritten(kind: Kind, payload: &[u8]) -> Vec<u8> {
    match kind {
        Kind::Pong => Pong::parse(payload).unwrap().to_vec(),
        Kind::Bye => Bye::parse(payload).unwrap().to_vec().unwrap(),
        Kind::Qrp => QrpMessage::parse(payload).unwrap().to_vec(),
        Kind::Vendor | Kind::StandardVendor => VendorMessage::parse(payload).unwrap().to_vec(),
        Kind::Push => Push::parse(payload).unwrap().to_vec(),
        Kind::Query => Query::parse(payload).unwrap().to_vec().unwrap(),
        Kind::QueryHit => QueryHit::parse(payload).unwrap().to_vec(),
        Kind::Ping | Kind::Hsep | Kind::Other(_) => payload.to_vec(),
    }
}

#[test]
fn every_message_is_read_and_written_back_to_the_byte() {
    let mut count = 0;
    for message in MESSAGES.iter().flat_map(|lines| recorded(lines)) {
        assert_eq!(rewritten(message.header.kind, &message.payload), *message.payload);
        count += 1;
    }
    assert_eq!(count, 32);
    for line in DATAGRAMS.lines() {
        let wire = bytes(field(line, "hex"));
        let message = Descriptor::decode(&wire).unwrap();
        assert_eq!(rewritten(message.header.kind, &message.payload), *message.payload);
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(again, wire);
    }
}

#[test]
fn the_table_of_the_leaf_that_shares_is_ours_of_the_same_name() {
    let mut receiver = Receiver::new();
    for message in of_kind(MESSAGES[0], Kind::Qrp) {
        assert_eq!(receiver.on_message(&QrpMessage::parse(&message.payload).unwrap()), Ok(true));
    }
    let theirs = receiver.table().unwrap();
    assert_eq!(theirs.len(), 16_384);
    let slots: Vec<_> = theirs.filled_slots().collect();
    assert_eq!(slots, [2709, 4218, 4511, 5546, 5553, 6962, 7671, 9465]);
    let mut ours = Table::new(16_384).unwrap();
    ours.insert_name("golden reef atlas vol1.txt");
    assert_eq!(&ours, theirs);
    // The reset is the same. The patch comes out of another compressor: 65 bytes, theirs has 56.
    let sent = update(None, &ours, 4);
    let heard = of_kind(MESSAGES[0], Kind::Qrp);
    assert_eq!(sent[0], *heard[0].payload);
    assert!(sent[1].len() <= 65, "{} bytes", sent[1].len());
}

#[test]
fn the_leaf_that_searches_has_an_empty_table() {
    let mut receiver = Receiver::new();
    for message in of_kind(MESSAGES[2], Kind::Qrp) {
        receiver.on_message(&QrpMessage::parse(&message.payload).unwrap()).unwrap();
    }
    assert!(receiver.table().unwrap().is_empty());
}

#[test]
fn the_query_says_what_it_wants() {
    let queries = of_kind(MESSAGES[2], Kind::Query);
    let query = Query::parse(&queries[0].payload).unwrap();
    assert_eq!(query.criteria, b"golden reef");
    assert_eq!(query.speed.0, 0xb900);
    assert!(query.speed.has(MinSpeed::XML.with(MinSpeed::LEAF_GUIDED).with(MinSpeed::GGEP_H)));
    assert!(query.extensions().item(b"PR").unwrap().value().unwrap().is_empty());
    // Relayed, it has lived one hop longer and is otherwise the same.
    let relayed = of_kind(MESSAGES[1], Kind::Query);
    assert_eq!((relayed[0].header.guid, relayed[0].header.hops), (queries[0].header.guid, 1));
    assert_eq!(relayed[0].payload, queries[0].payload);
}

#[test]
fn the_hit_names_the_file_by_its_hashes() {
    let hits = of_kind(MESSAGES[0], Kind::QueryHit);
    let hit = QueryHit::parse(&hits[0].payload).unwrap();
    assert_eq!(hit.addr, "127.0.0.22:6346".parse().unwrap());
    let [record] = hit.records.collect::<Vec<_>>()[..] else { panic!("one file") };
    assert_eq!(record.name, b"golden reef atlas vol1.txt");
    assert_eq!((record.index, record.len()), (1, 1_000_000));
    let tiger = "NZMSGIMECPPYP7GDLZWYGX254H5XFCH4TKDMK2Q";
    let bitprint = Urn::parse(std::format!("urn:bitprint:{SHA1}.{tiger}").as_bytes()).unwrap();
    assert_eq!(record.urns().collect::<Vec<_>>(), [bitprint]);
    // The time of the file holds a zero, which COBS took out.
    let time = record.extensions().item(b"CT").unwrap();
    assert_eq!(time.value().unwrap()[..], [0xa4, 0xe0, 0x00, 0x6b][..]);
    let trailer = hit.trailer.unwrap();
    assert_eq!(trailer.vendor, Vendor(*b"GTKG"));
    let known = Some(false);
    let flags = HitFlags { push: known, busy: known, uploaded: known, measured: None, ggep: true };
    assert_eq!(trailer.flags(), Some(flags));
    assert_eq!(flags.to_bytes(), trailer.open);
    assert!(trailer.extensions().unwrap().item(b"GTKGV").is_some());
    assert!(trailer.extensions().unwrap().item(b"BH").is_some());
    let greeted = "9d4c31029a167c60a35f8f382cd90069";
    assert_eq!(std::format!("{}", hit.servent), greeted);
}

#[test]
fn pings_pongs_and_vendor_messages_say_what_they_do() {
    let pings = of_kind(MESSAGES[0], Kind::Ping);
    let block = Extensions::new(&pings[0].payload).next().unwrap();
    assert!(matches!(block, Extension::Ggep(block) if block.get(b"SCP").is_some()));
    let pongs = of_kind(MESSAGES[1], Kind::Pong);
    let pong = Pong::parse(&pongs[0].payload).unwrap();
    assert_eq!(pong.addr, "127.0.0.21:6346".parse().unwrap());
    let names: Vec<_> = pong
        .extensions()
        .filter_map(|extension| match extension {
            Extension::Ggep(block) => Some(block),
            _ => None,
        })
        .flat_map(|block| block.items())
        .map(|item| String::from_utf8_lossy(item.id).into_owned())
        .collect();
    assert_eq!(names, ["VC", "GUE", "UP", "DU"]);
    let vendor = of_kind(MESSAGES[0], Kind::Vendor);
    let supported = VendorMessage::parse(&vendor[0].payload).unwrap();
    let kinds: Vec<_> = supported.supported().unwrap().unwrap().collect();
    assert_eq!(kinds.len(), 26);
    assert_eq!(VendorMessage::supported_to_vec(&kinds).unwrap(), *vendor[0].payload);
}
