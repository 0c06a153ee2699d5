//! What strangers say by HTTP in Gnutella: requests, packed bodies, and the words of sources. Nothing
//! that is asked for is ever a path, and what is read is within its bounds.
#![no_main]

use codec::http::ContentCoding;
use libfuzzer_sys::fuzz_target;
use net::gnutella::From;
use net::gnutella::request::{HEAD_LIMITS, Request, Wanted};

/// Most bytes that come out of a packed body.
const PLAIN_MAX: usize = 1 << 16;

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
    for coding in [ContentCoding::Identity, ContentCoding::Deflate, ContentCoding::Gzip] {
        let Ok(plain) = coding.decode(data.to_vec(), PLAIN_MAX) else { continue };
        assert!(plain.len() <= PLAIN_MAX);
        if coding == ContentCoding::Deflate {
            let again = codec::zlib::deflate(&plain);
            assert_eq!(coding.decode(again, plain.len()), Ok(plain));
        }
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(from) = text.parse::<From>()
    {
        assert_eq!(from.to_string().parse(), Ok(from));
    }
});
