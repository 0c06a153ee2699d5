//! Query hits: no bytes upset the reader, and a hit is written back to the byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use search::gnutella::{HitFlags, QueryHit, Urn};

fuzz_target!(|data: &[u8]| {
    let Ok(hit) = QueryHit::parse(data) else { return };
    assert_eq!(hit.records.count(), usize::from(hit.count));
    for record in hit.records {
        let _ = record.len();
        for urn in record.urns() {
            assert_eq!(Urn::parse(urn.to_text().as_bytes()), Some(urn));
        }
    }
    if let Some(trailer) = hit.trailer {
        if let Some(flags) = trailer.flags() {
            assert_eq!(HitFlags::from_bytes(flags.to_bytes()), flags);
        }
        let _ = trailer.extensions().map(Iterator::count);
    }
    assert_eq!(hit.to_vec(), data);
    assert_eq!(QueryHit::servent(data), Some(hit.servent));
});
