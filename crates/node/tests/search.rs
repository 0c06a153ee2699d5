//! Searches over HTTP: at once, and as results come.

mod common;

use std::io::BufReader;

use common::http::{event, head};
use common::{Home, Served, publish};

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
