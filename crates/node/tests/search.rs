//! Searches over HTTP: at once, and as results come.

mod common;
#[path = "common/fixed.rs"]
mod fixed;

use std::collections::BTreeSet;
use std::io::BufReader;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use common::http::{event, head};
use common::{Home, Served, publish};
use fixed::Fixed;
use node::{ContentId, Event, Finder, Hit, SearchQuery};
use serde_json::json;
use url::form_urlencoded;

fn hit(name: &str, content: ContentId) -> Hit {
    let id = name.to_owned();
    Hit { name: name.to_owned(), length: 700, mime: None, id, sources: 1, content }
}

#[test]
fn results_come_as_they_are_found() {
    let home = Home::new();
    home.make_files("shared", &[("film.mp4", 70_000), ("other.txt", 10)]);
    let served = Served::start(home);
    publish(&served.node, &served.home.path("shared/film.mp4"));
    let all = served.client.get("/api/v1/search?q=film");
    assert_eq!((all.status, all.json()["total"].as_u64()), (200, Some(1)));
    assert_eq!(all.json()["networks"].as_array().map(Vec::len), Some(2), "{}", all.json());

    let stream = served.client.send("GET", "/api/v1/search?q=film&stream=true", b"");
    let mut reader = BufReader::new(stream);
    let (status, headers) = head(&mut reader);
    assert_eq!(status, 200);
    let kind = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    assert_eq!(kind.map(|(_, kind)| kind.as_str()), Some("text/event-stream"));
    let result = event(&mut reader, |name, _| name == "result");
    assert_eq!((&result["number"], &result["name"]), (&0.into(), &"film.mp4".into()), "{result}");
    let asked = event(&mut reader, |name, _| name == "network");
    assert_eq!(asked["state"], "done", "{asked}");
    assert_eq!(event(&mut reader, |name, _| name == "done")["total"], 1);

    assert_eq!(served.client.get("/api/v1/search?stream=true").status, 400);
    assert_eq!(served.stranger.get("/api/v1/search?q=film&stream=true").status, 401);
}

#[test]
fn what_the_library_knows_makes_results_of_several_networks_one() {
    let home = Home::new();
    home.make_files("shared", &[("mine.mp4", 700)]);
    let served = Served::start(home);
    served.node.library_add(&served.home.path("shared")).expect("shared");
    let library = served.node.library().expect("a library");
    let whole = |status: &node::LibraryStatus| status.files_hashed == 1;
    assert!(library.wait_until(Duration::from_secs(60), whole));
    let mine = library.files(&node::FileQuery::default()).expect("listed").files.remove(0);
    let by_sha1 = ContentId { sha1: mine.sha1, ..ContentId::default() };
    let by_infohash = ContentId { infohash_v2: mine.infohash_v2, ..ContentId::default() };
    let other = ContentId { sha1: Some("ab".repeat(20)), ..ContentId::default() };
    // Neither name has anything of the file's own, so that the library itself finds nothing.
    served.node.add_finder(Arc::new(Fixed("torrents", vec![hit("film (torrent)", by_infohash)])));
    let found = vec![hit("film.avi", by_sha1), hit("film.avi.exe", other)];
    served.node.add_finder(Arc::new(Fixed("strangers", found)));
    let query = SearchQuery { words: "film".to_owned(), limit: 10 };
    let (results, _) = served.node.search(&query, &mut |_| ControlFlow::Continue(())).expect("ran");
    assert_eq!(results.len(), 2, "{results:?}");
    let places: BTreeSet<_> = results[0].found.iter().map(|found| found.network.as_str()).collect();
    assert_eq!(places, BTreeSet::from(["library", "strangers", "torrents"]));
    for (words, count) in [
        ("film type:program", 1),
        ("film type:audio", 0),
        ("film network:torrents", 1),
        ("film sources:2", 1),
        ("film size:1..", 2),
        ("film size:..1K -exe", 1),
        ("film size:2K..", 0),
    ] {
        let q: String = form_urlencoded::byte_serialize(words.as_bytes()).collect();
        let answer = served.client.get(&format!("/api/v1/search?q={q}")).json();
        assert_eq!(answer["total"], count, "{words}: {answer}");
    }
}

#[test]
fn saved_searches_tell_what_is_new_also_after_a_restart() {
    let mut served = Served::new();
    let mut events = served.node.subscribe();
    let id = |text: &str| ContentId { sha1: Some(text.repeat(20)), ..ContentId::default() };
    let first = Arc::new(Fixed("strangers", vec![hit("film", id("aa"))]));
    served.node.add_finder(first);
    let words = json!({"words": "film"});
    let saved = served.client.json("PUT", "/api/v1/searches/some%20films", &words);
    assert_eq!((saved.status, &saved.json()["fresh"]), (200, &0.into()), "{}", saved.json());
    for (path, body, status) in [
        ("/api/v1/searches/x", json!({"words": " "}), 400),
        ("/api/v1/searches/%20", words.clone(), 400),
    ] {
        assert_eq!(served.client.json("PUT", path, &body).status, status, "{path}");
    }
    // The node asks by itself.
    let fresh = loop {
        match events.blocking_recv().expect("events") {
            Event::Searches(saved) if saved[0].fresh > 0 => break saved[0].fresh,
            _ => {}
        }
    };
    assert_eq!(fresh, 1);
    let unseen = "/api/v1/search?saved=some%20films&unseen=true";
    assert_eq!(served.client.get(unseen).json()["total"], 1);
    assert_eq!(served.client.get(unseen).json()["total"], 0);
    assert_eq!(served.client.get("/api/v1/search?saved=some%20films").json()["total"], 1);
    assert_eq!(served.client.get("/api/v1/search?saved=none").status, 404);
    assert_eq!(served.client.get("/api/v1/search").status, 400);

    let home = std::mem::replace(&mut served.home, Home::new());
    drop(served);
    let served = Served::start(home);
    assert_eq!(served.client.get("/api/v1/searches").json()[0]["words"], "film");
    let more = vec![hit("film", id("aa")), hit("film 2", id("bb"))];
    served.node.add_finder(Arc::new(Fixed("strangers", more)));
    let found = served.client.get(unseen).json();
    assert_eq!((&found["total"], &found["results"][0]["name"]), (&1.into(), &"film 2".into()));
    assert_eq!(served.client.request("DELETE", "/api/v1/searches/some%20films", b"").status, 204);
    assert_eq!(served.client.request("DELETE", "/api/v1/searches/some%20films", b"").status, 404);
}
