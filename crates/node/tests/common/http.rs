//! A plain HTTP client for tests, which sends exactly what it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// Sends requests to one address.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: SocketAddr,
    /// Headers of every request.
    pub headers: Vec<(String, String)>,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self { address, headers: Vec::new() }
    }

    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        client.headers.push((name.to_owned(), value.to_owned()));
        client
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub fn send(&self, method: &str, path: &str, body: &[u8]) -> TcpStream {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head += &format!("Host: {}\r\n", self.address);
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method != "GET" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut stream = self.connect();
        stream.write_all(format!("{head}\r\n").as_bytes()).expect("sent");
        // It may be refused before all of it is read.
        let _ = stream.write_all(body);
        stream
    }

    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let mut reader = BufReader::new(self.send(method, path, body));
        let (status, headers) = head(&mut reader);
        let mut answer = Answer { status, headers, body: Vec::new() };
        if method != "HEAD" {
            let chunked = answer.header("transfer-encoding") == Some("chunked");
            let len = answer.header("content-length").and_then(|len| len.parse().ok());
            match len {
                Some(len) => {
                    answer.body.resize(len, 0);
                    reader.read_exact(&mut answer.body).expect("the body");
                }
                None if chunked => panic!("chunked answers are read by `head` and line by line"),
                None => _ = reader.read_to_end(&mut answer.body).expect("the body"),
            }
        }
        answer
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, b"")
    }

    pub fn json(&self, method: &str, path: &str, body: &serde_json::Value) -> Answer {
        let client = self.with("Content-Type", "application/json");
        client.request(method, path, body.to_string().as_bytes())
    }
}

/// Reads the head of an answer.
pub fn head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a header");
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
            None => return (status, headers),
        }
    }
}

/// Reads server-sent events, out of their chunks, until one is as `wanted` says.
pub fn event(
    reader: &mut impl BufRead,
    wanted: impl Fn(&str, &serde_json::Value) -> bool,
) -> serde_json::Value {
    let (mut name, deadline) = (String::new(), Instant::now() + PATIENCE);
    loop {
        // A status comes every few seconds, whatever else does not.
        assert!(Instant::now() < deadline, "it never came; the last was {name}");
        let mut line = String::new();
        assert!(reader.read_line(&mut line).expect("a line") > 0, "the stream ended");
        if let Some(event) = line.trim_end().strip_prefix("event: ") {
            event.clone_into(&mut name);
        } else if let Some(data) = line.trim_end().strip_prefix("data: ") {
            let data = serde_json::from_str(data).expect("JSON");
            if wanted(&name, &data) {
                return data;
            }
        }
    }
}

/// A wait that no test should need to the full.
pub const SOON: Duration = Duration::from_secs(20);
