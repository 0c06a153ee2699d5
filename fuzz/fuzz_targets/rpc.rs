//! Requests to Transmission's RPC: each is answered by a result in words, or refused as malformed.
#![no_main]

#[path = "support/bench.rs"]
mod bench;

use bench::{Bench, with_bench};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

const METHODS: &[&str] = &[
    "torrent-get",
    "torrent-add",
    "torrent-set",
    "torrent-remove",
    "torrent-start",
    "torrent-start-now",
    "torrent-stop",
    "torrent-verify",
    "torrent-reannounce",
    "torrent-set-location",
    "torrent-rename-path",
    "queue-move-top",
    "queue-move-up",
    "queue-move-down",
    "queue-move-bottom",
    "session-get",
    "session-set",
    "session-stats",
    "free-space",
    "port-test",
];
const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

fn call(bench: &mut Bench, body: &[u8]) {
    bench.have(HASH);
    let session = bench.rpc_session();
    let headers = [("x-transmission-session-id", session.as_str())];
    let (status, answer) = bench.request("POST", "/transmission/rpc", &headers, body);
    match status {
        200 => {
            let answer: Value = serde_json::from_slice(&answer).expect("answers are JSON");
            assert!(answer["result"].is_string() && answer["arguments"].is_object(), "{answer}");
        }
        400 | 413 => {}
        _ => panic!("{status} {}", String::from_utf8_lossy(&answer)),
    }
    bench.stays_at_home();
}

fuzz_target!(|data: &[u8]| {
    if bench::names_a_place(data) {
        return;
    }
    with_bench(|bench| {
        // Any text as a whole request, or as the arguments of a method that there is.
        call(bench, data);
        if let Some((&method, arguments)) = data.split_first() {
            let method = METHODS[usize::from(method) % METHODS.len()];
            let mut body = format!("{{\"method\": \"{method}\", \"arguments\": ").into_bytes();
            body.extend_from_slice(arguments);
            body.push(b'}');
            call(bench, &body);
        }
    });
});
