//! uTP packets: no datagram upsets the parser, and what it reads lies within the datagram.
#![no_main]

use bittorrent::utp::packet::{HEADER_LEN, Header};
use bittorrent::utp::{Packet, looks_like_utp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::parse(data) else { return };
    assert!(looks_like_utp(data));
    assert!(data.ends_with(packet.payload));
    assert!(packet.sack.distances().all(|distance| (2..2 + 255 * 8).contains(&distance)));
    let mut written = [0; HEADER_LEN];
    Header::write(&packet.header, &mut written);
    // All but the first extension's number, which only writers of extensions fill in.
    assert_eq!((written[0], &written[2..]), (data[0], &data[2..HEADER_LEN]));
});
