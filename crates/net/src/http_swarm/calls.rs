//! Calls from hosts whose queues we are in: once it is our turn they connect to us and say
//! `QUEUE ticket address` (PARQ, section 4), and we ask again on that connection.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Given, lock};

/// What a call begins with.
pub(super) const VERB: &[u8] = b"QUEUE ";
/// Calls that are waited for at once.
const AWAITED_MAX: usize = 256;
/// Longest line of whoever calls.
const LINE_MAX: usize = 256;
/// How long it may take to say it.
const WITHIN: Duration = Duration::from_secs(15);

/// Who waits for which ticket, and whose it is.
#[derive(Debug, Default)]
pub(super) struct Calls(Mutex<HashMap<String, (IpAddr, oneshot::Sender<Given>)>>);

impl Calls {
    /// The connection by which `host` calls for a ticket of his.
    pub(super) fn wait(&self, ticket: &str, host: IpAddr) -> oneshot::Receiver<Given> {
        let (given, waiting) = oneshot::channel();
        let mut awaited = lock(&self.0);
        awaited.retain(|_, (_, given)| !given.is_closed());
        if awaited.len() < AWAITED_MAX {
            awaited.insert(ticket.to_owned(), (host, given));
        }
        waiting
    }

    /// Hands a connection that begins with [`VERB`] to whoever waits for it.
    pub(super) async fn take(&self, mut stream: TcpStream, mut read: Vec<u8>) -> io::Result<()> {
        let line = async {
            loop {
                if let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                    return Ok(end);
                }
                if read.len() > LINE_MAX || stream.read_buf(&mut read).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
            }
        };
        let end = timeout(WITHIN, line).await??;
        let line = String::from_utf8_lossy(&read[VERB.len()..end]).into_owned();
        let ticket = line.split_ascii_whitespace().next().unwrap_or_default();
        let host = stream.peer_addr()?.ip();
        let waiting = {
            let mut awaited = lock(&self.0);
            let is_his = awaited.get(ticket).is_some_and(|(whose, _)| *whose == host);
            if is_his { awaited.remove(ticket) } else { None }
        };
        if let Some((_, given)) = waiting {
            let rest = read.split_off(end + 1);
            let rest = rest.trim_ascii_start().to_vec();
            // Whoever waited may have given up.
            let _ = given.send((stream, rest));
        }
        Ok(())
    }
}
