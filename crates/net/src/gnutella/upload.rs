//! What is given beside files: a list of everything, and pushes passed on to leaves. Files themselves
//! are given by `http_swarm`.

use std::io;

use codec::zlib;
use machine::Wire;
use search::gnutella::servent::{Command, SharedFile};
use search::gnutella::{
    Descriptor, Guid, Header, HitBuilder, HitFlags, Kind, Record, Trailer, Urn,
};
use tokio::net::TcpStream;

use super::Inner;
use super::driver::Input;
use crate::http_swarm::request::Request;
use crate::http_swarm::{send, simple};

/// Files in one hit of an answer to browsing.
const BROWSED: usize = 64;

/// Everything that is shared, as hits.
pub(super) async fn browse(
    inner: &Inner,
    stream: &mut TcpStream,
    request: &Request,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    for files in inner.browse().await.chunks(BROWSED) {
        if let Ok(message) = hit(inner, files) {
            message.encode(&mut bytes);
        }
    }
    let mut coding = "";
    if request.takes_deflate {
        // Long lists take a while.
        let deflated = tokio::task::spawn_blocking(move || zlib::deflate(&bytes));
        bytes = deflated.await.map_err(io::Error::other)?;
        coding = "Content-Encoding: deflate\r\n";
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-gnutella-packets\r\n{coding}\
         Content-Length: {}\r\n\r\n",
        bytes.len()
    );
    send(stream, head.as_bytes()).await?;
    if request.head_only { Ok(()) } else { send(stream, &bytes).await }
}

fn hit(
    inner: &Inner,
    files: &[(u32, SharedFile)],
) -> Result<Descriptor, search::gnutella::WireError> {
    let mut builder = HitBuilder::new(inner.v4(), 1_000);
    for (index, file) in files {
        let urn = Urn::Sha1(file.sha1).to_text();
        builder.add(&Record {
            index: *index,
            size: u32::try_from(file.len).unwrap_or(u32::MAX),
            name: file.name.as_bytes(),
            extra: urn.as_bytes(),
        })?;
    }
    let open = HitFlags { push: Some(inner.firewalled), ..HitFlags::default() }.to_bytes();
    let trailer = Trailer { vendor: inner.vendor, open: &open, private: &[] };
    let payload = builder.finish(Some(&trailer), inner.guid);
    Descriptor::new(Header::new(Guid::default(), Kind::QueryHit, 1), payload)
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
