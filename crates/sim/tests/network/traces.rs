//! Traces: written, read, replayed, turned into packets; and read when they are none.

use std::cell::RefCell;
use std::io::Cursor;
use std::rc::Rc;

use crate::probe::{Load, Probe, at, millis, probes};
use machine::OpId;
use proptest::prelude::*;
use sim::trace::{PAYLOAD_MAX, Reader, Record, Replay, TraceError, VERSION, What, Writer, pcap};
use sim::{Cut, Link, World};

/// A little of everything that a trace can hold.
fn play(world: &mut World<Probe>, odd: u32) {
    let nodes: Vec<_> = (0..3).filter_map(|slot| world.occupant(slot)).collect();
    let alone = nodes[2];
    world.cut(Cut::between(at(50)..at(60), move |node| node == alone));
    for number in 0..20 {
        let to = nodes[number as usize % 3];
        let load = Load { number: if number == 13 { odd } else { number }, bytes: 0 };
        world.command_at(at(u64::from(number) * 5), nodes[0], OpId(number.into()), (to, load));
    }
    world.crash_at(at(70), nodes[1]);
    world.start_at(at(80), nodes[1], Probe, None);
    world.run_until(at(200));
}

fn trace(odd: u32) -> Vec<u8> {
    let (mut world, _) = probes(9, Link::constant(millis(10)), 3);
    let writer = Rc::new(RefCell::new(Writer::new(&world, Vec::new())));
    world.observe(Rc::clone(&writer));
    play(&mut world, odd);
    drop(world);
    let writer = Rc::into_inner(writer).expect("the world is gone").into_inner();
    writer.finish().expect("memory takes all")
}

fn read(bytes: &[u8]) -> Result<Vec<Record>, TraceError> {
    Reader::new(bytes)?.collect()
}

#[test]
fn traces_tell_what_happened() {
    let bytes = trace(13);
    assert_eq!(Reader::new(&*bytes).expect("a trace").seed(), 9);
    let records = read(&bytes).expect("a trace");
    let count = |kind: fn(&What) -> bool| records.iter().filter(|r| kind(&r.what)).count();
    assert_eq!(count(|what| matches!(what, What::Command { .. })), 20);
    assert_eq!(count(|what| matches!(what, What::Sent { .. })), 20);
    assert_eq!(count(|what| matches!(what, What::Sent { after: None, .. })), 1);
    assert_eq!(count(|what| matches!(what, What::Crash)), 1);
    assert_eq!(count(|what| matches!(what, What::Start)), 1);
    // One was cut off, one came between crash and restart.
    assert_eq!(count(|what| matches!(what, What::Heard { .. })), 18);
    assert_eq!(count(|what| matches!(what, What::Told { op: None, .. })), 18);
    assert!(records.is_sorted_by_key(|record| record.at));
    let sent = records.iter().find_map(|record| match &record.what {
        What::Sent { after, message, .. } => Some((*after, message.clone())),
        _ => None,
    });
    assert_eq!(sent, Some((Some(10_000_000), vec![0; 8])));
    let told = records.iter().find_map(|record| match &record.what {
        What::Told { event, .. } => Some(event.to_string()),
        _ => None,
    });
    assert!(told.is_some_and(|told| told.ends_with(", 0)")));
}

#[test]
fn replays_find_the_first_difference() {
    let bytes = trace(13);
    let replay = |odd| {
        let (mut world, _) = probes(9, Link::constant(millis(10)), 3);
        let trace = Reader::new(Cursor::new(bytes.clone())).expect("a trace");
        let replay = Rc::new(RefCell::new(Replay::new(trace)));
        world.observe(Rc::clone(&replay));
        play(&mut world, odd);
        drop(world);
        Rc::into_inner(replay).expect("the world is gone").into_inner().finish()
    };
    assert!(replay(13).is_none());
    let found = replay(666).expect("another message");
    let Some(Record { at: when, what: What::Command { op: OpId(13), command }, .. }) =
        &found.happened
    else {
        panic!("{found}")
    };
    assert!(*when == at(65) && command.to_string().contains("number: 666"), "{found}");
    assert!(found.after > 13 && found.to_string().contains("number: 13"), "{found}");
}

#[test]
fn whatever_is_no_trace_is_refused_with_its_place() {
    let bytes = trace(13);
    let mut other = bytes.clone();
    other[0] = b'S';
    assert!(matches!(read(&other), Err(TraceError::Magic(_))));
    let mut other = bytes.clone();
    other[9] += 1;
    assert!(matches!(read(&other), Err(TraceError::Version(version)) if version == VERSION + 1));
    let mut cut = 0;
    for end in 0..bytes.len() {
        match read(&bytes[..end]) {
            Ok(_) => {}
            Err(TraceError::Truncated { at }) => {
                assert!(at <= end as u64);
                cut += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(cut > bytes.len() / 2);

    let head = &bytes[..18];
    let with = |record: &[u8]| read(&[head, record].concat());
    assert!(matches!(with(&[99, 0, 0]), Err(TraceError::Kind { at: 18, kind: 99 })));
    assert!(matches!(
        with(&[[0xff; 11].as_slice(), &[0]].concat()),
        Err(TraceError::Number { .. })
    ));
    // A node that does not fit 32 bits.
    let node = [0, 0, 0xff, 0xff, 0xff, 0xff, 0x1f];
    assert!(matches!(with(&node), Err(TraceError::Number { at: 18 })));
    // Time that runs over.
    let late = [[0].as_slice(), &[0xff; 9], &[1, 0]].concat();
    assert!(with(&late).is_ok());
    assert!(matches!(with(&[late, vec![0, 1, 0]].concat()), Err(TraceError::Number { at: 30 })));
    // A message longer than any datagram.
    let long = [2, 0, 0, 0, 0xe4, 0xff, 0x03];
    let len = PAYLOAD_MAX as u64 + 1;
    assert!(matches!(with(&long), Err(TraceError::Payload { len: found, .. }) if found == len));
}

#[test]
fn packets_are_ipv4_and_udp() {
    let bytes = trace(13);
    let mut out = Vec::new();
    let packets = pcap::export(Reader::new(&*bytes).expect("a trace"), &mut out).expect("memory");
    assert_eq!(packets, 20);
    assert_eq!(out.len(), 24 + 20 * (16 + 20 + 8 + 8));
    assert_eq!(out[..4], 0xa1b2_3c4du32.to_be_bytes());
    let packet = &out[24 + 16..][..36];
    let sum: u32 =
        packet[..20].chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the checksum of the head");
    assert_eq!((packet[0], packet[9], packet[3]), (0x45, 17, 36));
    assert_eq!(packet[12..15], [10, 0, 0]);
    assert_eq!(u16::from_be_bytes([packet[24], packet[25]]), 16);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let head = &trace_head();
        if let Ok(reader) = Reader::new(&*[head.as_slice(), &bytes].concat()) {
            prop_assert!(reader.take(300).filter(Result::is_err).count() <= 1);
        }
    }
}

fn trace_head() -> Vec<u8> {
    let (world, _) = probes(1, Link::default(), 0);
    Writer::new(&world, Vec::new()).finish().expect("memory takes all")
}
