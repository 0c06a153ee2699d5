//! Traces of the simulator: read to the end or refused, and turned into packets alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sim::trace::{Reader, pcap};

fuzz_target!(|bytes: &[u8]| {
    // The head is given, so that every input gets as far as the records.
    let trace = [b"shoal\0tr\0\x02\0\0\0\0\0\0\0\0", bytes].concat();
    let Ok(reader) = Reader::new(&*trace) else { panic!("the head is a good one") };
    let read = reader.filter(Result::is_ok).count() as u64;
    if let Ok(reader) = Reader::new(&*trace) {
        let packets = pcap::export(reader, std::io::sink());
        assert!(packets.is_err() || packets.is_ok_and(|packets| packets <= read));
    }
    if let Ok(reader) = Reader::new(bytes) {
        reader.for_each(drop);
    }
});
