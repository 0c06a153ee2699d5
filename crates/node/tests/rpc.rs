//! The RPC of Transmission, as its front-ends speak it.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::http::Client;
use common::{Home, Served, await_that, publish};
use node::view::State;
use serde_json::{Value, json};

const RPC: &str = "/transmission/rpc";
const HASH: &str = "0123456789abcdef0123456789abcdef01234567";

/// A client that has shaken hands.
fn connected(served: &Served) -> Client {
    let first = served.client.request("POST", RPC, b"{}");
    assert_eq!(first.status, 409);
    let id = first.header("x-transmission-session-id").expect("an id").to_owned();
    assert!(String::from_utf8_lossy(&first.body).contains(&id), "some programs read it there");
    served.client.with("X-Transmission-Session-Id", &id)
}

fn call(client: &Client, method: &str, arguments: &Value) -> Result<Value, String> {
    let request = json!({"method": method, "arguments": arguments, "tag": 7});
    let answer = client.request("POST", RPC, request.to_string().as_bytes());
    assert_eq!(answer.status, 200);
    let mut answer = answer.json();
    assert_eq!(answer["tag"], 7);
    match answer["result"].as_str() {
        Some("success") => Ok(answer["arguments"].take()),
        why => Err(why.expect("words").to_owned()),
    }
}

fn one(client: &Client, id: &Value, fields: &[&str]) -> Value {
    let arguments = json!({"ids": id, "fields": fields});
    call(client, "torrent-get", &arguments).expect("got")["torrents"][0].take()
}

#[test]
fn nobody_gets_in_without_handshake_and_login() {
    let served = Served::new();
    for path in [RPC, "/transmission/rpc/"] {
        let stranger = served.stranger.request("POST", path, b"{}");
        assert_eq!(stranger.status, 401);
        assert!(stranger.header("www-authenticate").is_some_and(|how| how.starts_with("Basic")));
        assert_eq!(served.client.request("POST", path, b"{}").status, 409);
    }
    let token = served.client.headers[0].1.trim_start_matches("Bearer ").to_owned();
    let basic = format!("Basic {}", STANDARD.encode(format!("anyone:{token}")));
    let client = served.stranger.with("Authorization", &basic);
    assert_eq!(client.request("POST", RPC, b"{}").status, 409);
    let foreign = served.client.with("Origin", "http://evil.example");
    assert_eq!(foreign.request("POST", RPC, b"{}").status, 403);
    let wrong = served.client.with("X-Transmission-Session-Id", "guess");
    assert_eq!(wrong.request("POST", RPC, b"{}").status, 409);
}

#[test]
fn a_whole_session() {
    let giver = Home::new();
    giver.make_files("set", &[("a.bin", 100_000), ("b.bin", 200_000)]);
    let from = giver.start();
    let id = publish(&from, &giver.path("set"));
    let served = Served::new();
    let client = connected(&served);

    let metainfo = STANDARD.encode(from.metainfo(&id).expect("known").to_bytes());
    let add = json!({"metainfo": metainfo, "paused": true, "files-unwanted": [0], "labels": ["x"]});
    let added = call(&client, "torrent-add", &add).expect("added");
    assert_eq!(added["torrent-added"]["hashString"], json!(id));
    let number = &added["torrent-added"]["id"];
    let twice = call(&client, "torrent-add", &add).expect("answered");
    assert_eq!(twice["torrent-duplicate"]["id"], *number);

    let shares = ["bandwidthPriority", "peer-limit", "maxConnectedPeers", "isStalled"];
    let usual = served.node.config().transfers.max_connections;
    let first = one(&client, number, &shares);
    assert_eq!(
        first,
        json!({"bandwidthPriority": 0, "peer-limit": usual,
        "maxConnectedPeers": usual, "isStalled": false})
    );
    let wish = json!({"ids": number, "bandwidthPriority": 1, "peer-limit": 9});
    call(&client, "torrent-set", &wish).expect("set");
    let then = one(&client, number, &shares);
    assert_eq!((&then["bandwidthPriority"], &then["peer-limit"]), (&json!(1), &json!(9)));
    let high = json!({"ids": number, "bandwidthPriority": 2});
    assert!(call(&client, "torrent-set", &high).is_err());
    let nobody = json!({"ids": number, "peer-limit": 0});
    assert!(call(&client, "torrent-set", &nobody).is_err());

    let fields = ["id", "name", "status", "wanted", "priorities", "files", "labels", "totalSize"];
    let torrent = one(&client, number, &fields);
    assert_eq!((&torrent["name"], &torrent["status"]), (&json!("set"), &json!(0)));
    assert_eq!((&torrent["wanted"], &torrent["totalSize"]), (&json!([0, 1]), &json!(300_000)));
    assert_eq!(torrent["files"][1]["name"], "set/b.bin");
    let high = json!({"ids": [id], "priority-high": [1], "files-wanted": []});
    call(&client, "torrent-set", &high).expect("set");
    let torrent = one(&client, &json!([number]), &["wanted", "priorities"]);
    assert_eq!(torrent, json!({"wanted": [1, 1], "priorities": [0, 1]}));

    call(&client, "torrent-start", &json!({"ids": number})).expect("started");
    served.node.add_peers(&id, from.addresses().to_vec()).expect("told");
    await_that(&served.node, &id, |transfer| transfer.state == State::Seeding);
    let fields = ["status", "percentDone", "leftUntilDone", "haveValid", "pieces", "pieceCount"];
    let torrent = one(&client, &json!(id), &fields);
    assert_eq!((&torrent["status"], &torrent["percentDone"]), (&json!(6), &json!(1.0)));
    assert_eq!((&torrent["leftUntilDone"], &torrent["haveValid"]), (&json!(0), &json!(300_000)));
    let table = json!({"fields": ["id", "name"], "format": "table"});
    let table = call(&client, "torrent-get", &table).expect("got");
    assert_eq!(table["torrents"], json!([["id", "name"], [number, "set"]]));

    for method in ["torrent-stop", "torrent-verify", "torrent-reannounce", "torrent-start-now"] {
        call(&client, method, &json!({"ids": [number]})).expect(method);
    }
    await_that(&served.node, &id, |transfer| transfer.state == State::Seeding);
    let elsewhere = served.home.downloads().join("elsewhere");
    let to = json!({"ids": [number], "location": elsewhere, "move": true});
    call(&client, "torrent-set-location", &to).expect("moved");
    assert!(elsewhere.join("set/b.bin").exists());
    let name = json!({"ids": [number], "path": "set", "name": "renamed"});
    call(&client, "torrent-rename-path", &name).expect("renamed");
    assert_eq!(one(&client, number, &["name"])["name"], "renamed");
    let gone = json!({"ids": [number], "delete-local-data": true});
    call(&client, "torrent-remove", &gone).expect("removed");
    let recent = json!({"ids": "recently-active", "fields": ["id"]});
    let recent = call(&client, "torrent-get", &recent).expect("got");
    assert_eq!(recent, json!({"torrents": [], "removed": [number]}));
    assert!(!elsewhere.join("set").exists());
    from.shutdown();
}

#[test]
fn the_queue_is_moved() {
    let served = Served::new();
    let client = connected(&served);
    for digit in 1..=3 {
        let link = format!("magnet:?xt=urn:btih:{digit:040x}&dn=t{digit}");
        call(&client, "torrent-add", &json!({"filename": link, "paused": true})).expect("added");
    }
    let order = || -> Vec<String> {
        let all = served.node.transfers();
        all.into_iter().filter_map(|transfer| transfer.name).collect()
    };
    let id = format!("{:040x}", 1);
    for (method, expected) in [
        ("queue-move-bottom", ["t2", "t3", "t1"]),
        ("queue-move-up", ["t2", "t1", "t3"]),
        ("queue-move-top", ["t1", "t2", "t3"]),
        ("queue-move-down", ["t2", "t1", "t3"]),
    ] {
        call(&client, method, &json!({"ids": [id]})).expect(method);
        assert_eq!(order(), expected, "{method}");
    }
}

#[test]
fn the_session_is_looked_at_and_changed() {
    let served = Served::new();
    let client = connected(&served);
    let session = call(&client, "session-get", &json!({})).expect("got");
    assert_eq!(session["download-dir"], json!(served.home.downloads()));
    let change = json!({"speed-limit-up": 50, "speed-limit-up-enabled": true});
    call(&client, "session-set", &change).expect("set");
    assert_eq!(served.node.config().transfers.upload_limit, 50_000);
    let fields = json!({"fields": ["speed-limit-up", "speed-limit-up-enabled"]});
    let session = call(&client, "session-get", &fields).expect("got");
    assert_eq!(session, json!({"speed-limit-up": 50, "speed-limit-up-enabled": true}));
    call(&client, "session-set", &json!({"speed-limit-up-enabled": false})).expect("set");
    assert_eq!(served.node.config().transfers.upload_limit, 0);
    let change = json!({"queue-stalled-enabled": true, "queue-stalled-minutes": 5,
        "peer-limit-global": 77, "peer-limit-per-torrent": 33});
    call(&client, "session-set", &change).expect("set");
    let session = call(&client, "session-get", &json!({})).expect("got");
    for (name, value) in change.as_object().expect("an object") {
        assert_eq!(session[name], *value, "{name}");
    }
    let config = served.node.config();
    assert_eq!(config.transfers.queue_stalled, 300);
    assert_eq!((config.network.max_connections, config.transfers.max_connections), (77, 33));
    call(&client, "session-set", &json!({"queue-stalled-enabled": false})).expect("set");
    assert_eq!(served.node.config().transfers.queue_stalled, 0);
    let none = json!({"peer-limit-global": 0});
    assert!(call(&client, "session-set", &none).is_err(), "nobody could be met");
    assert!(call(&client, "session-stats", &json!({})).is_ok());
    let free = call(&client, "free-space", &json!({"path": served.home.downloads()}));
    assert!(free.expect("told")["size-bytes"].as_u64().is_some_and(|free| free > 0));
    assert!(call(&client, "port-test", &json!({})).is_ok());
    assert_eq!(
        call(&client, "no-such-method", &json!({})),
        Err("method name not recognized".into())
    );
}

#[test]
fn ap_08_hostile_requests_are_refused() {
    let served = Served::new();
    let client = connected(&served);
    let deep = format!("{{\"method\": \"session-get\", \"arguments\": {}", "[".repeat(10_000));
    for body in [
        deep.as_str(),
        r#"{"method": "session-get", "method": "session-stats"}"#,
        r#"{"method": "session-get", "arguments": {"a": 1, "a": 2}}"#,
        r#"{"method": "session-get", "arguments": {"a": 1e400}}"#,
        r#"{"method": "session-get", "arguments": {"a": "\ud800"}}"#,
        r#"{"arguments": {}}"#,
        "[]",
        "",
    ] {
        let start: String = body.chars().take(50).collect();
        assert_eq!(client.request("POST", RPC, body.as_bytes()).status, 400, "{start}");
    }
}

#[test]
fn ap_09_the_rpc_puts_files_only_where_it_may() {
    let served = Served::new();
    let client = connected(&served);
    let link = format!("magnet:?xt=urn:btih:{HASH}");
    let added = json!({"filename": link, "paused": true});
    call(&client, "torrent-add", &added).expect("added");
    let climbing = format!("{}/../..", served.home.downloads().display());
    for dir in ["/etc", "../x", "/", climbing.as_str()] {
        let other = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
        let add = json!({"filename": other, "download-dir": dir});
        assert!(call(&client, "torrent-add", &add).is_err(), "{dir}");
        for moves in [true, false] {
            let to = json!({"ids": [HASH], "location": dir, "move": moves});
            assert!(call(&client, "torrent-set-location", &to).is_err(), "{dir}");
        }
        let set = json!({"ids": [HASH], "location": dir});
        assert!(call(&client, "torrent-set", &set).is_err(), "{dir}");
        assert!(call(&client, "session-set", &json!({"download-dir": dir})).is_err(), "{dir}");
        assert!(call(&client, "free-space", &json!({"path": dir})).is_err(), "{dir}");
    }
    for name in ["../../etc/passwd", "..", "a/b", ""] {
        let rename = json!({"ids": [HASH], "path": HASH, "name": name});
        assert!(call(&client, "torrent-rename-path", &rename).is_err(), "{name}");
    }
    // Files of this machine are not read on a caller's word.
    assert!(call(&client, "torrent-add", &json!({"filename": "/etc/passwd"})).is_err());
}
