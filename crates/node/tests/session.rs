//! A session over HTTP as the page has it: log in, add, watch, look, change, play, remove.

mod common;

use std::io::BufReader;
use std::time::Instant;

use common::http::{SOON, event, head};
use common::{Home, Served, await_that, magnet_to, publish};
use serde_json::json;

#[test]
fn a_browser_logs_in_by_its_link_once() {
    let served = Served::new();
    let link = served.api.as_ref().expect("runs").login_link().expect("made");
    let (_, code) = link.split_once("#code=").expect("a code");
    let state = served.stranger.get("/api/v1/login").json();
    assert_eq!(state, json!({"authenticated": false, "methods": ["token"]}));
    let answer = served.stranger.json("POST", "/api/v1/login", &json!({"code": code}));
    assert_eq!(answer.status, 204);
    let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().expect("a pair");
    let browser = served.stranger.with("Cookie", cookie);
    assert_eq!(browser.get("/api/v1/login").json()["authenticated"], true);
    assert_eq!(served.stranger.json("POST", "/api/v1/login", &json!({"code": code})).status, 401);
}

#[test]
fn what_is_added_is_watched_played_and_removed() {
    let giver = Home::new();
    let made = giver.make_files("set", &[("film.mp4", 2_000_000), ("notes.html", 1_000)]);
    let from = giver.start();
    let id = publish(&from, &giver.path("set"));
    let served = Served::new();
    let client = &served.client;

    let mut events = BufReader::new(client.send("GET", "/api/v1/events", b""));
    assert_eq!(head(&mut events).0, 200);
    let status = event(&mut events, |name, _| name == "status");
    assert_eq!((&status["first_start"], &status["transfers"]["total"]), (&json!(true), &json!(0)));
    let all = event(&mut events, |name, _| name == "transfers");
    assert_eq!(all["all"], true);

    let source = magnet_to(&from, &id);
    let added = client.json("POST", "/api/v1/transfers", &json!({"source": source}));
    assert_eq!((added.status, &added.json()["id"]), (201, &json!(id)));
    let twice = client.json("POST", "/api/v1/transfers", &json!({"source": source}));
    assert_eq!((twice.status, &twice.json()["error"]["id"]), (409, &json!(id)));
    let notice = event(&mut events, |name, _| name == "notice");
    assert_eq!(notice["transfer"], json!(id));
    event(&mut events, |name, data| {
        let all = data["transfers"].as_array();
        name == "transfers"
            && all.is_some_and(|all| all.iter().any(|one| one["state"] == "seeding"))
    });

    let files = client.get(&format!("/api/v1/transfers/{id}/files")).json();
    let film = files["files"]
        .as_array()
        .expect("files")
        .iter()
        .find(|file| file["path"] == "set/film.mp4");
    let film = film.expect("the film");
    assert_eq!((&film["bytes_have"], &film["type"]), (&json!(2_000_000), &json!("video/mp4")));
    let stream = film["stream"].as_str().expect("it can be played");
    // Players send no cookie: the link itself opens this file, and no other.
    let whole = served.stranger.get(stream);
    assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));
    assert!(whole.body == made[0].1);
    let part = served.stranger.with("Range", "bytes=1000000-1000009").get(stream);
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-range"), Some("bytes 1000000-1000009/2000000"));
    assert!(part.body == made[0].1[1_000_000..1_000_010]);
    let head_only = served.stranger.request("HEAD", stream, b"");
    assert_eq!(head_only.header("content-length"), Some("2000000"));
    let past = served.stranger.with("Range", "bytes=2000000-").get(stream);
    assert_eq!((past.status, past.header("content-range")), (416, Some("bytes */2000000")));
    let other = stream.replace(&format!("/{}?", film["index"]), "/99?");
    assert_eq!(served.stranger.get(&other).status, 401);
    // What may hold a script is saved, not shown.
    let notes = files["files"]
        .as_array()
        .expect("files")
        .iter()
        .find(|file| file["path"] == "set/notes.html");
    let notes = client.get(notes.expect("notes")["stream"].as_str().expect("a link"));
    assert_eq!(notes.header("content-disposition"), Some("attachment"));
    assert_eq!(notes.header("content-type"), Some("application/octet-stream"));

    let pieces = client.get(&format!("/api/v1/transfers/{id}/pieces")).json();
    assert!(pieces["pieces_total"].as_u64().is_some_and(|total| total > 0));
    for part in ["peers", "trackers", "torrent"] {
        assert_eq!(client.get(&format!("/api/v1/transfers/{id}/{part}")).status, 200, "{part}");
    }
    let patch = json!({"labels": ["a"], "seed_ratio": 2, "paused": true});
    let patched = client.json("PATCH", &format!("/api/v1/transfers/{id}"), &patch).json();
    assert_eq!((&patched["state"], &patched["seed_ratio"]), (&json!("paused"), &json!(2.0)));
    let cleared = json!({"seed_ratio": null});
    let patched = client.json("PATCH", &format!("/api/v1/transfers/{id}"), &cleared).json();
    assert_eq!((&patched["seed_ratio"], &patched["labels"]), (&json!(null), &json!(["a"])));
    let path = format!("/api/v1/transfers/{id}/resume");
    assert_eq!(client.request("POST", &path, b"").status, 202);
    let gone = client.request("DELETE", &format!("/api/v1/transfers/{id}?data=true"), b"");
    assert_eq!(gone.status, 204);
    event(&mut events, |name, data| name == "transfers" && data["removed"] == json!([id]));
    assert_eq!(client.get(&format!("/api/v1/transfers/{id}")).status, 404);
    from.shutdown();
}

#[test]
fn a_film_plays_from_where_one_seeks_while_it_comes() {
    const LEN: usize = 16 << 20;
    let giver = Home::new();
    let made = giver.make_files("films", &[("film.mp4", LEN)]);
    let from = giver.start();
    let id = publish(&from, &giver.path("films/film.mp4"));
    // All of it takes eight seconds.
    from.change_settings(&[("transfers.upload_limit".into(), Some((2 << 20).into()))])
        .expect("set");
    let served = Served::new();
    let source = magnet_to(&from, &id);
    let added = served.client.json("POST", "/api/v1/transfers", &json!({"source": source}));
    assert_eq!(added.status, 201);
    await_that(&served.node, &id, |transfer| transfer.files > 0 && transfer.peers_connected > 0);
    let files = served.client.get(&format!("/api/v1/transfers/{id}/files")).json();
    let stream = files["files"][0]["stream"].as_str().expect("it can be played").to_owned();
    let began = Instant::now();
    for start in [LEN - 200_000, LEN / 2] {
        let range = format!("bytes={start}-{}", start + 99_999);
        let part = served.stranger.with("Range", &range).get(&stream);
        assert_eq!(part.status, 206);
        assert!(part.body == made[0].1[start..start + 100_000], "at {start}");
    }
    let seen = served.node.get(&id).expect("there");
    assert!(began.elapsed() < SOON);
    assert!(
        seen.progress.bytes_have < LEN as u64 * 3 / 4,
        "nothing was played before it was all there"
    );
    from.shutdown();
}

#[test]
fn settings_log_lab_and_metrics_answer() {
    let served = Served::new();
    let client = &served.client;
    let changed =
        client.json("PATCH", "/api/v1/settings", &json!({"transfers.upload_limit": 5000}));
    assert_eq!(changed.status, 200);
    assert_eq!(client.get("/api/v1/status").json()["upload_limit"], 5000);
    let wrong = client.json("PATCH", "/api/v1/settings", &json!({"transfers.upload_limit": "x"}));
    assert_eq!(wrong.status, 400);
    let settings = client.get("/api/v1/settings").json();
    let limit = settings["settings"]
        .as_array()
        .expect("all")
        .iter()
        .find(|one| one["name"] == "transfers.upload_limit");
    assert_eq!(limit.expect("there")["source"], "runtime");

    assert_eq!(client.get("/api/v1/log?level=info").status, 200);
    assert_eq!(client.get("/api/v1/log?level=loud").status, 400);
    let metrics = String::from_utf8(client.get("/metrics").body).expect("text");
    assert!(
        metrics.contains("# TYPE shoal_transfers gauge\nshoal_transfers{state=\"metadata\"} 0")
    );
    assert_eq!(served.stranger.get("/health").json(), json!({"status": "ok"}));
    let networks = client.get("/api/v1/networks").json();
    assert_eq!(networks["networks"][0]["name"], "bittorrent");
    let picture = client.get("/api/v1/networks/bittorrent").json();
    assert_eq!(picture["picture"]["nodes"][0]["id"], "me");
    assert_eq!(client.get("/api/v1/networks/none").status, 404);

    let claims = client.get("/api/v1/lab/claims").json();
    let claims = claims["claims"].as_array().expect("claims");
    let quick = claims.iter().min_by_key(|claim| claim["seconds"].as_u64()).expect("a claim");
    let run = client.json("POST", "/api/v1/lab/runs", &json!({"claim": quick["id"]}));
    assert_eq!(run.status, 202, "{run:?}");
    let id = &run.json()["id"];
    assert_eq!(client.get(&format!("/api/v1/lab/runs/{id}")).status, 200);
    assert_eq!(client.request("DELETE", &format!("/api/v1/lab/runs/{id}"), b"").status, 204);
    assert_eq!(client.json("POST", "/api/v1/lab/runs", &json!({"claim": "none"})).status, 404);
}

#[test]
fn a_torrent_file_is_uploaded_and_own_files_are_published() {
    let served = Served::new();
    served.home.make_files("shared/set", &[("a.bin", 50_000)]);
    let path = served.home.path("shared/set");
    let begun = served.client.json("POST", "/api/v1/transfers", &json!({"source": path}));
    assert_eq!((begun.status, &begun.json()["state"]), (201, &json!("hashing")));
    let deadline = Instant::now() + SOON;
    let mut events = served.node.subscribe();
    let id = loop {
        let all = served.client.get("/api/v1/transfers").json();
        let seeding =
            all["transfers"].as_array().expect("all").iter().find(|one| one["state"] == "seeding");
        if let Some(transfer) = seeding {
            break transfer["id"].as_str().expect("an id").to_owned();
        }
        assert!(Instant::now() < deadline, "{all}");
        let _ = events.blocking_recv();
    };
    let torrent = served.client.get(&format!("/api/v1/transfers/{id}/torrent")).body;
    let other = Served::new();
    let upload = other.client.with("Content-Type", "application/x-bittorrent");
    let added = upload.request("POST", "/api/v1/transfers?paused=true", &torrent);
    assert_eq!((added.status, &added.json()["state"]), (201, &json!("paused")));
    assert_eq!(added.json()["files"], 1);
    assert_eq!(upload.request("POST", "/api/v1/transfers", b"not a torrent").status, 400);
    let large = vec![b'x'; bittorrent::metainfo::MAX_METAINFO_LEN + 1];
    assert_eq!(upload.request("POST", "/api/v1/transfers", &large).status, 413);
}
