//! Talking to the node that runs, over its HTTP interface: found through its state folder, on the
//! loopback address or its Unix socket.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Args;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use node::Config;
use node::api::{Endpoint, Listen};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{self, Runtime};
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::up::load;

const JSON: &str = "application/json";
/// An answer begins and ends within so long.
const ANSWER_MAX: Duration = Duration::from_secs(120);
/// Bytes of an answer that are read.
const ANSWER_LEN_MAX: usize = 64 << 20;
/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(200);

/// Which node.
#[derive(Args, Debug)]
pub struct NodeArgs {
    /// The node's configuration [default: ~/.config/shoal/config.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print lines of JSON
    #[arg(long)]
    pub json: bool,
}

impl NodeArgs {
    /// The configuration of the node.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn config(&self) -> Result<Config, Failure> {
        Ok(load(self.config.as_ref())?.config())
    }

    /// The node with this configuration, if it runs.
    ///
    /// # Errors
    /// When it runs and cannot be asked.
    pub fn client(&self) -> Result<Option<Client>, Failure> {
        Client::find(&self.config()?)
    }
}

/// A node that runs.
pub struct Client {
    runtime: Runtime,
    endpoint: Endpoint,
}

impl Client {
    /// The node with this configuration, if it runs.
    ///
    /// # Errors
    /// When it runs and cannot be asked.
    pub fn find(config: &Config) -> Result<Option<Self>, Failure> {
        let folder = &config.node.state_dir;
        let found = Endpoint::find(folder).with_context(|| folder.display().to_string())?;
        Ok(found.map(Self::new).transpose()?)
    }

    fn new(endpoint: Endpoint) -> anyhow::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self { runtime: runtime.context("cannot talk to the node")?, endpoint })
    }

    /// Asks for what is at `path`.
    ///
    /// # Errors
    /// When it is refused, or the node does not answer.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, None)
    }

    /// Asks for a change.
    ///
    /// # Errors
    /// When it is refused, or the node does not answer.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: Option<Value>) -> Result<T, Failure> {
        self.ask(Method::POST, path, body)
    }

    /// Asks to remove what is at `path`.
    ///
    /// # Errors
    /// When it is refused, or the node does not answer.
    pub fn delete(&self, path: &str) -> Result<(), Failure> {
        self.ask::<()>(Method::DELETE, path, None)
    }

    /// Sends JSON, and returns whatever the answer is.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn send_json(&self, method: Method, path: &str, body: Value) -> Result<Answer, Failure> {
        self.exchange(method, path, Some((JSON, body.to_string().into())))
    }

    /// Sends a .torrent file, and returns whatever the answer is.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn send_torrent(&self, path: &str, torrent: Vec<u8>) -> Result<Answer, Failure> {
        self.exchange(Method::POST, path, Some(("application/x-bittorrent", torrent.into())))
    }

    /// Asks for what is at `path`, which is no JSON.
    ///
    /// # Errors
    /// When it is refused, or the node does not answer.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        self.exchange(Method::GET, path, None)?.bytes()
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Failure> {
        let body = body.map(|body| (JSON, body.to_string().into()));
        self.exchange(method, path, body)?.read()
    }

    fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Answer, Failure> {
        let answer = self.runtime.block_on(async {
            timeout(ANSWER_MAX, async {
                let response = self.send(method, path, body).await?;
                let status = response.status();
                Ok::<_, Failure>(Answer { status, body: read(response).await? })
            })
            .await
        });
        answer.map_err(|_| anyhow!("the node does not answer"))?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response<Incoming>, Failure> {
        let (mut sender, host) = match &self.endpoint.place {
            Listen::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| unheard(&error))?;
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(anyhow::Error::from)?;
                tokio::spawn(connection);
                (sender, address.to_string())
            }
            Listen::Unix(path) => {
                let stream = UnixStream::connect(path).await.map_err(|error| unheard(&error))?;
                let (sender, connection) =
                    http1::handshake(TokioIo::new(stream)).await.map_err(anyhow::Error::from)?;
                tokio::spawn(connection);
                (sender, "localhost".to_owned())
            }
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, host)
            .header(AUTHORIZATION, format!("Bearer {}", self.endpoint.token));
        if let Some((kind, _)) = &body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let body = Full::new(body.map(|(_, body)| body).unwrap_or_default());
        let request = request.body(body).map_err(anyhow::Error::from)?;
        let response = sender.send_request(request).await;
        Ok(response.context("the node does not answer")?)
    }

    /// Follows what happens: as [`Self::stream`].
    ///
    /// # Errors
    /// When `each` fails, or the node ends.
    pub fn follow<T>(
        &self,
        each: impl FnMut(&str, &str) -> Result<ControlFlow<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.stream("/api/v1/events", each)
    }

    /// Reads the events at `path`: `each` is told the name and the data of every one, until it has
    /// enough or a signal comes, for which `None` is returned.
    ///
    /// # Errors
    /// When `each` fails, or the node ends.
    pub fn stream<T>(
        &self,
        path: &str,
        mut each: impl FnMut(&str, &str) -> Result<ControlFlow<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.runtime.block_on(async {
            let mut response = self.send(Method::GET, path, None).await?;
            if !response.status().is_success() {
                let status = response.status();
                return Err(refusal(status, &read(response).await?));
            }
            let mut lines = Lines::default();
            loop {
                if interrupt::wanted() {
                    return Ok(None);
                }
                let Ok(frame) = timeout(TICK, response.frame()).await else { continue };
                let frame = frame.ok_or_else(|| anyhow!("the node has ended"))?;
                let frame = frame.context("the node has ended")?;
                let Ok(bytes) = frame.into_data() else { continue };
                for (name, data) in lines.events(&bytes)? {
                    if let ControlFlow::Break(value) = each(&name, &data)? {
                        return Ok(Some(value));
                    }
                }
            }
        })
    }
}

/// What the node answered.
pub struct Answer {
    /// Whether it did what it was asked.
    pub status: StatusCode,
    body: Vec<u8>,
}

impl Answer {
    /// What it says, in whatever way it went.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// What it says, as it is.
    ///
    /// # Errors
    /// When it is a refusal.
    pub fn bytes(self) -> Result<Vec<u8>, Failure> {
        if self.status.is_success() { Ok(self.body) } else { Err(refusal(self.status, &self.body)) }
    }

    /// What it says.
    ///
    /// # Errors
    /// When it is a refusal, or cannot be understood.
    pub fn read<T: DeserializeOwned>(self) -> Result<T, Failure> {
        let bytes = self.bytes()?;
        // 204 has nothing to say.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        Ok(serde_json::from_slice(text).context("the node's answer cannot be understood")?)
    }
}

fn unheard(error: &std::io::Error) -> Failure {
    let why = match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => {
            "the node runs without its interfaces"
        }
        _ => "the node cannot be reached",
    };
    anyhow!("{why}: {error}").into()
}

async fn read(mut response: Response<Incoming>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(frame) = response.frame().await {
        let frame = frame.context("the node does not answer")?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > ANSWER_LEN_MAX {
                return Err(anyhow!("the node's answer is too long").into());
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// What the node says when it refuses.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &body["error"];
    let message = error["message"].as_str().unwrap_or("the node refuses");
    let error = match error["hint"].as_str() {
        Some(hint) => anyhow!("{message}. {hint}"),
        None => anyhow!("{message}"),
    };
    let exit = match status {
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::CONFLICT => Exit::BadInput,
        _ => Exit::Failed,
    };
    Failure { exit, error }
}

/// Server-sent events out of the bytes that carry them.
#[derive(Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    fn events(&mut self, bytes: &[u8]) -> Result<Vec<(String, String)>, Failure> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.windows(2).position(|pair| pair == b"\n\n") {
            let text: Vec<u8> = self.rest.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&text);
            let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
            if let (Some(name), Some(data)) = (field("event: "), field("data: ")) {
                events.push((name.to_owned(), data.to_owned()));
            }
        }
        if self.rest.len() > ANSWER_LEN_MAX {
            return Err(anyhow!("the node's answer is too long").into());
        }
        Ok(events)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_pieces() {
        let text = b":\n\nevent: a\ndata: {\"x\": 1}\n\nevent: b\ndata: 2\n\nevent: c";
        for len in 1..text.len() {
            let mut lines = Lines::default();
            let mut events = Vec::new();
            for part in text.chunks(len) {
                events.extend(lines.events(part).expect("short"));
            }
            let events: Vec<_> = events.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            assert_eq!(events, [("a", "{\"x\": 1}"), ("b", "2")], "{len} bytes at once");
        }
    }

    #[test]
    fn refusals_say_what_the_node_says() {
        let body = br#"{"error": {"message": "no", "hint": "Ask again"}}"#;
        let failure = refusal(StatusCode::NOT_FOUND, body);
        assert_eq!(failure.error.to_string(), "no. Ask again");
        assert_eq!(failure.exit, Exit::BadInput);
        assert_eq!(refusal(StatusCode::BAD_GATEWAY, b"<html>").exit, Exit::Failed);
    }
}
