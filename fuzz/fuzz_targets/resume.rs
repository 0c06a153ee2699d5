//! Journals of finished pieces: any bytes are read or refused, and what is read is bounded by them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::store::{Contents, with_checksums};

fuzz_target!(|bytes: &[u8]| {
    let _ = Contents::parse(bytes);
    // Checksums hide the records from a fuzzer: these bytes are records with good ones.
    let _ = Contents::parse(&with_checksums(bytes));
});
