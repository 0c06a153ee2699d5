//! What is given beside files: a list of everything, and pushes passed on to leaves. Files themselves
//! are given by `http_swarm`.

use std::io;

use codec::zlib;
use search::gnutella::Guid;
use search::gnutella::servent::Command;
use tokio::net::TcpStream;

use super::Inner;
use super::driver::Input;
use crate::http_swarm::request::Request;
use crate::http_swarm::{send, simple};

/// Everything that is shared, as hits.
pub(super) async fn browse(
    inner: &Inner,
    stream: &mut TcpStream,
    request: &Request,
) -> io::Result<()> {
    // Lists are made and packed one after the other: each may take a while.
    let turn = inner.lists.acquire().await.map_err(io::Error::other)?;
    let mut bytes = inner.listing().await;
    let mut coding = "";
    if request.takes_deflate {
        let deflated = tokio::task::spawn_blocking(move || zlib::deflate(&bytes));
        bytes = deflated.await.map_err(io::Error::other)?;
        coding = "Content-Encoding: deflate\r\n";
    }
    drop(turn);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-gnutella-packets\r\n{coding}\
         Content-Length: {}\r\n\r\n",
        bytes.len()
    );
    send(stream, head.as_bytes()).await?;
    if request.head_only { Ok(()) } else { send(stream, &bytes).await }
}

/// Passes a push on to a leaf of ours.
pub(super) async fn relay(
    inner: &Inner,
    stream: &mut TcpStream,
    request: &Request,
    servent: Guid,
    index: u32,
) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    let (answers, mut answered) = tokio::sync::mpsc::channel(1);
    // The asker's own host, whatever it says: nobody else is led to.
    let node = request.node.filter(|node| node.ip() == peer.ip());
    if let (Some(to), Some(inputs)) = (node, inner.inputs.upgrade()) {
        let command = Command::RelayPush { servent, index, to };
        // The driver may have ended.
        let _ = inputs.send(Input::Command(command, Some(answers))).await;
    } else {
        drop(answers);
    }
    let relayed =
        matches!(answered.recv().await, Some(search::gnutella::servent::Event::Pushed(true)));
    let status = if relayed { "202 Push Message Sent" } else { "410 Not Connected" };
    simple(stream, status, "", request.keep_alive).await
}
