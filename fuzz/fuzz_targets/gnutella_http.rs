//! What strangers say by HTTP in Gnutella: requests, and the words of sources. Nothing that is asked
//! for is ever a path, and what is read is within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use net::gnutella::From;
use net::gnutella::request::{HEAD_LIMITS, Request, Wanted};

fuzz_target!(|data: &[u8]| {
    match Request::parse(data) {
        Ok(Some((request, used))) => {
            assert!(used <= data.len() && used <= HEAD_LIMITS.bytes);
            assert!(request.alternates.len() <= 32);
            if let Wanted::Run(range) = request.wanted
                && let Some(run) = range.resolve(1_000)
            {
                assert!(run.start < run.end && run.end <= 1_000);
            }
        }
        Ok(None) => assert!(data.len() <= HEAD_LIMITS.bytes),
        Err(_) => {}
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(from) = text.parse::<From>()
    {
        assert_eq!(from.to_string().parse(), Ok(from));
    }
});
