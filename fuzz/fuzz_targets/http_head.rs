//! HTTP heads, what their fields say, and chunked bodies: in one step and byte by byte alike.
#![no_main]

use codec::http::{ChunkedDecoder, ContentRange, Head, HttpError, Limits, Range};
use libfuzzer_sys::fuzz_target;

fn body(data: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), HttpError> {
    let mut decoder = ChunkedDecoder::new(1 << 16);
    let (mut content, mut at) = (Vec::new(), 0);
    while at < data.len() {
        let chunk = decoder.decode(&data[at..data.len().min(at.saturating_add(step))])?;
        content.extend_from_slice(chunk.content);
        at += chunk.used;
        if chunk.done {
            return Ok((content, at, true));
        }
    }
    Ok((content, at, false))
}

fuzz_target!(|data: &[u8]| {
    let limits = Limits { bytes: 4096, headers: 32 };
    if let Ok(Some(head)) = Head::parse(data, limits) {
        assert!(head.len <= data.len().min(limits.bytes));
        assert!(head.headers.iter().count() <= limits.headers);
        let _ = (head.request(), head.status(), head.headers.body_len());
        if let Some(range) = head.headers.get("Range").and_then(Range::parse) {
            assert_eq!(Range::parse(&range.to_string()), Some(range));
            if let Some(run) = range.resolve(1000) {
                assert!(run.start < run.end && run.end <= 1000);
            }
        }
        if let Some(range) = head.headers.get("Content-Range").and_then(ContentRange::parse) {
            assert_eq!(ContentRange::parse(&range.to_string()), Some(range));
        }
        // A head that is complete is not complete before its last byte.
        assert_eq!(Head::parse(&data[..head.len - 1], limits), Ok(None));
    }
    assert_eq!(body(data, usize::MAX), body(data, 1));
});
