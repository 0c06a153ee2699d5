//! The HTTP interfaces under attack: what strangers, other sites and slow clients get.

mod common;

use std::io::{BufReader, Read, Write};
use std::time::{Duration, Instant};

use common::http::{SOON, head};
use common::{Home, Served};
use node::api::{Api, ApiStartError, Listen, set_password};

/// Paths of each kind of route, with a method.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/health"),
    ("GET", "/metrics"),
    ("GET", "/api/v1/login"),
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/openapi.json"),
    ("POST", "/api/v1/transfers"),
    ("GET", "/stream/x/0"),
    ("GET", "/nothing/here"),
];

#[test]
fn a_page_whose_name_was_led_here_gets_nothing() {
    let served = Served::new();
    for (method, path) in ROUTES {
        for host in ["evil.example", "evil.example:7680", "127.0.0.1.evil.example", ""] {
            let answer = served.client.with("Host", host).request(method, path, b"");
            assert!(matches!(answer.status, 400 | 403), "{method} {path} {host}: {answer:?}");
        }
    }
    assert_eq!(served.client.with("Host", "localhost").get("/api/v1/status").status, 200);
}

#[test]
fn every_described_route_wants_a_login() {
    let served = Served::new();
    let description = served.client.get("/api/v1/openapi.json").json();
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() > 20, "only {}", paths.len());
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            if matches!(path.as_str(), "/api/v1/login" | "/health") {
                continue;
            }
            let path = path.replace("{id}", "1").replace("{name}", "x");
            let answer = served.stranger.request(&method.to_uppercase(), &path, b"");
            assert_eq!(answer.status, 401, "{method} {path}");
            let wrong = served.stranger.with("Authorization", "Bearer 123");
            let answer = wrong.request(&method.to_uppercase(), &path, b"");
            assert!(matches!(answer.status, 401 | 429), "{method} {path}");
        }
    }
}

#[test]
fn ap_02_other_sites_change_nothing() {
    let served = Served::new();
    let body = br#"{"source": "magnet:?xt=urn:btih:0123456789abcdef0123456789abcdef01234567"}"#;
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "null"),
        ("Origin", "http://evil.example"),
        ("Origin", "http://127.0.0.1:1"),
    ] {
        let client = served.client.with(name, value).with("Content-Type", "application/json");
        assert_eq!(
            client.request("POST", "/api/v1/transfers", body).status,
            403,
            "{name}: {value}"
        );
        assert_eq!(client.request("PATCH", "/api/v1/settings", b"{}").status, 403);
        assert_eq!(client.request("POST", "/api/v1/login", b"{}").status, 403);
        assert_eq!(client.get("/api/v1/status").status, 403, "nor do they read");
    }
    // What forms can send is not understood, whoever sends it.
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let client = served.client.with("Content-Type", kind);
        assert_eq!(client.request("POST", "/api/v1/transfers", body).status, 415, "{kind}");
    }
    assert!(served.node.transfers().is_empty());
    // A link from another site may lead to the page.
    assert_eq!(served.stranger.with("Sec-Fetch-Site", "cross-site").get("/").status, 200);
    // No CORS: nothing invites other sites.
    let answer = served.client.with("Origin", "http://evil.example").get("/api/v1/status");
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
}

#[test]
fn ap_02_a_cookie_alone_changes_nothing() {
    let served = Served::new();
    let token = served.client.headers[0].1.trim_start_matches("Bearer ").to_owned();
    let login = serde_json::json!({"token": token});
    let own = format!("http://{}", served.stranger.address);
    let answer = served.stranger.with("Origin", &own).json("POST", "/api/v1/login", &login);
    assert_eq!(answer.status, 204);
    let cookie = answer.header("set-cookie").expect("a cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let browser = served.stranger.with("Cookie", cookie.split(';').next().expect("a pair"));
    assert_eq!(browser.get("/api/v1/status").status, 200);
    assert_eq!(browser.json("PATCH", "/api/v1/settings", &serde_json::json!({})).status, 403);
    let same = browser.with("Origin", &own);
    assert_eq!(same.json("PATCH", "/api/v1/settings", &serde_json::json!({})).status, 200);
    assert_eq!(same.request("POST", "/api/v1/logout", b"").status, 204);
    assert_eq!(browser.get("/api/v1/status").status, 401, "logged out is logged out");
}

#[test]
fn ap_03_events_are_for_our_page_alone() {
    let served = Served::new();
    assert_eq!(served.stranger.get("/api/v1/events").status, 401);
    let foreign = served.client.with("Origin", "http://evil.example");
    assert_eq!(foreign.get("/api/v1/events").status, 403);
    let own = format!("http://{}", served.client.address);
    let stream = served.client.with("Origin", &own).send("GET", "/api/v1/events", b"");
    assert_eq!(head(&mut BufReader::new(stream)).0, 200);
}

#[test]
fn ap_05_guessing_is_slowed_down() {
    let home = Home::new();
    set_password(&home.path("state"), "a good password").expect("set");
    let served = Served::start(home);
    let mut slowed = 0;
    for attempt in 0..30 {
        let guess = serde_json::json!({"password": format!("guess {attempt}")});
        let answer = served.stranger.json("POST", "/api/v1/login", &guess);
        match answer.status {
            401 => {}
            429 => {
                slowed += 1;
                let wait: u64 = answer.header("retry-after").expect("told").parse().expect("secs");
                assert!(wait >= 1);
            }
            other => panic!("{other}"),
        }
    }
    assert!(slowed >= 20, "{slowed} of 30 were told to wait");
    assert_eq!(served.client.get("/api/v1/status").status, 200, "the token still works");
}

#[test]
fn ap_06_paths_lead_to_the_page_alone() {
    let served = Served::new();
    for path in [
        "/static/..%2f..%2fetc/passwd",
        "/..%5c..%5cetc%5cpasswd",
        "/../../etc/passwd",
        "/index.html%00.js",
        "/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/web/index.html",
        "/index.html/",
    ] {
        let answer = served.client.get(path);
        assert_eq!(answer.status, 404, "{path}");
    }
    let page = served.stranger.get("/");
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let etag = page.header("etag").expect("a tag").to_owned();
    let again = served.stranger.with("If-None-Match", &etag).get("/");
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[test]
fn ap_08_hostile_json_is_refused() {
    let served = Served::new();
    let deep = "[".repeat(10_000);
    let objects = format!("{}1", "{\"a\":".repeat(10_000));
    let client = served.client.with("Content-Type", "application/json");
    for (method, path) in [
        ("POST", "/api/v1/transfers"),
        ("PATCH", "/api/v1/settings"),
        ("POST", "/api/v1/lab/runs"),
        ("POST", "/api/v1/login"),
    ] {
        for body in [
            deep.as_str(),
            objects.as_str(),
            r#"{"source": 1e400, "seed": 1e400, "transfers.upload_limit": 1e400}"#,
            r#"{"source": "a", "source": "b"}"#,
            r#"{"transfers.upload_limit": 1, "transfers.upload_limit": 2}"#,
            r#"{"source": "\ud800"}"#,
            r#"{"no-such-field": 1}"#,
            "",
        ] {
            let answer = client.request(method, path, body.as_bytes());
            let start: String = body.chars().take(30).collect();
            assert_eq!(answer.status, 400, "{method} {path} {start}");
            assert!(answer.json()["error"]["message"].is_string());
        }
    }
    let large = format!("{{\"source\": \"{}\"}}", "a".repeat(3 << 20));
    assert_eq!(client.request("POST", "/api/v1/transfers", large.as_bytes()).status, 413);
}

#[test]
fn ap_09_files_are_put_only_where_they_may() {
    let served = Served::new();
    let outside = served.home.path("outside");
    std::fs::create_dir_all(&outside).expect("made");
    let downloads = served.home.downloads();
    std::fs::create_dir_all(&downloads).expect("made");
    std::os::unix::fs::symlink(&outside, downloads.join("link")).expect("linked");
    let hash = "0123456789abcdef0123456789abcdef01234567";
    let added = serde_json::json!({"source": hash, "paused": true});
    assert_eq!(served.client.json("POST", "/api/v1/transfers", &added).status, 201);
    for dir in [
        "/etc".to_owned(),
        "relative".to_owned(),
        format!("{}/../outside", downloads.display()),
        format!("{}/link", downloads.display()),
        format!("{}/link/deeper", downloads.display()),
        format!("{}x", downloads.display()),
    ] {
        let other = format!("magnet:?xt=urn:btih:{}", "ab".repeat(20));
        let add = serde_json::json!({"source": other, "dir": dir});
        assert_eq!(served.client.json("POST", "/api/v1/transfers", &add).status, 403, "{dir}");
        let to = serde_json::json!({"dir": dir});
        let path = format!("/api/v1/transfers/{hash}/move");
        assert_eq!(served.client.json("POST", &path, &to).status, 403, "{dir}");
    }
    assert_eq!(served.node.transfers().len(), 1);
}

#[test]
fn ap_11_idle_and_slow_clients_keep_nobody_out() {
    let served = Served::new();
    let idle: Vec<_> = (0..300).map(|_| served.stranger.connect()).collect();
    let began = Instant::now();
    assert_eq!(served.client.get("/api/v1/status").status, 200);
    assert!(began.elapsed() < SOON);
    // A head that does not end is cut off.
    let mut slow = served.stranger.connect();
    let began = Instant::now();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ").expect("sent");
    let mut rest = Vec::new();
    // Being cut off may show as an error.
    let _ = slow.read_to_end(&mut rest);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(40), "{took:?}");
    drop(idle);
}

#[test]
fn ap_12_no_answer_may_be_framed_or_run_foreign_scripts() {
    let served = Served::new();
    for client in [&served.client, &served.stranger] {
        for (method, path) in ROUTES {
            let stream = client.send(method, path, b"");
            let (status, headers) = head(&mut BufReader::new(stream));
            let header = |name: &str| {
                let found = headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
                found.map(|(_, value)| value.as_str()).unwrap_or_default()
            };
            let policy = header("content-security-policy");
            assert!(policy.contains("frame-ancestors 'none'"), "{method} {path} {status}");
            assert!(policy.contains("script-src 'self';") && !policy.contains("unsafe"));
            assert_eq!(header("x-frame-options"), "DENY");
            assert_eq!(header("x-content-type-options"), "nosniff");
        }
    }
}

#[test]
fn others_are_let_near_only_with_a_password() {
    let home = Home::new();
    let node = home.start();
    let everywhere = Listen::parse("0.0.0.0:0").expect("a place");
    let refused = Api::start(node.clone(), everywhere.clone());
    assert!(matches!(refused, Err(ApiStartError::NoPassword(_))));
    set_password(&home.path("state"), "a good password").expect("set");
    drop(Api::start(node.clone(), everywhere).expect("listens"));
    node.shutdown();
}

#[test]
fn a_unix_socket_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;

    let home = Home::new();
    let node = home.start();
    let path = home.path("api.sock");
    let listen = Listen::parse(&format!("unix:{}", path.display())).expect("a place");
    let api = Api::start(node.clone(), listen.clone()).expect("listens");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut stream = UnixStream::connect(&path).expect("connects");
    stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let taken = Api::start(node.clone(), listen.clone());
    assert!(matches!(taken, Err(ApiStartError::Listen { .. })), "it is in use");
    drop(api);
    assert!(!path.exists());
    // One that was left behind is not in use.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    drop(Api::start(node.clone(), listen).expect("listens"));
    node.shutdown();
}
