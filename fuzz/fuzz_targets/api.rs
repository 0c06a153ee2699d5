//! Bodies and queries of `/api/v1`: whatever comes is answered, in JSON, and never by a failure of the
//! node. What names a place elsewhere is left out, so that nothing is asked of the network.
#![no_main]

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, with_bench};
use libfuzzer_sys::fuzz_target;

const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

/// Method, path and type of what is asked for.
const ROUTES: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/transfers", "application/json"),
    ("POST", "/api/v1/transfers", "application/x-bittorrent"),
    ("PATCH", "/api/v1/transfers/{id}", "application/json"),
    ("POST", "/api/v1/transfers/{id}/move", "application/json"),
    ("POST", "/api/v1/transfers/{id}/rename", "application/json"),
    ("POST", "/api/v1/transfers/{id}/peers", "application/json"),
    ("PATCH", "/api/v1/settings", "application/json"),
    ("POST", "/api/v1/login", "application/json"),
    ("GET", "/api/v1/transfers?", ""),
    ("GET", "/api/v1/log?", ""),
    ("GET", "/api/v1/search?", ""),
    ("GET", "/api/v1/transfers/", ""),
    ("GET", "/stream/", ""),
];

fn ask(bench: &mut Bench, route: u8, bytes: &[u8]) {
    let (method, path, kind) = ROUTES[usize::from(route) % ROUTES.len()];
    bench.have(HASH);
    let mut path = path.replace("{id}", HASH);
    let body = if kind.is_empty() {
        // What a URL may hold; the rest is for the parser of heads.
        let allowed = |byte: &&u8| byte.is_ascii_alphanumeric() || b"=&%-_./+".contains(byte);
        path.extend(bytes.iter().filter(allowed).map(|byte| char::from(*byte)));
        &[][..]
    } else {
        bytes
    };
    let (status, answer) = bench.request(method, &path, &[("content-type", kind)], body);
    assert!(status < 500, "{method} {path}: {status} {}", String::from_utf8_lossy(&answer));
    // Outside the API, what leads nowhere is a page.
    if status >= 400 && path.starts_with("/api/") {
        let error: serde_json::Value = serde_json::from_slice(&answer).expect("errors are JSON");
        assert!(error["error"]["message"].is_string());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&route, bytes)) = data.split_first() else { return };
    if !bench::names_a_place(bytes) {
        with_bench(|bench| ask(bench, route, bytes));
    }
});
