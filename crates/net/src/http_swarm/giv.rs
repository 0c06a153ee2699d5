//! Connections that hosts open because they were asked to: they begin with `GIV index:name/file`, and
//! whoever opened them then answers requests. Asking is the network's.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use search::gnutella::Guid;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::upload::{send, serve};
use super::{Given, Network, lock};

/// What such a connection begins with.
pub(super) const VERB: &[u8] = b"GIV ";
/// Longest line of whoever opens one.
const LINE_MAX: usize = 1_024;
/// How long it may take to say it.
const WITHIN: Duration = Duration::from_secs(15);
/// Connections that are waited for at once.
const AWAITED_MAX: usize = 256;
/// How long a host that was asked may take to connect.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that we open at once because we were asked to.
const GIVING_MAX: usize = 16;

/// Who waits for a connection by which name, and how many we open.
#[derive(Debug)]
pub(crate) struct Givs {
    awaited: Mutex<HashMap<Guid, oneshot::Sender<Given>>>,
    giving: Arc<Semaphore>,
}

impl Default for Givs {
    fn default() -> Self {
        Self { awaited: Mutex::default(), giving: Arc::new(Semaphore::new(GIVING_MAX)) }
    }
}

impl Givs {
    /// The connection that names `name`, once somebody has been asked for it.
    pub(crate) async fn wait(
        &self,
        name: Guid,
        asked: impl Future<Output = ()>,
    ) -> io::Result<Given> {
        let (given, waiting) = oneshot::channel();
        {
            let mut awaited = lock(&self.awaited);
            awaited.retain(|_, given| !given.is_closed());
            if awaited.len() < AWAITED_MAX {
                awaited.insert(name, given);
            }
        }
        asked.await;
        timeout(PATIENCE, waiting).await?.map_err(|_| io::ErrorKind::NotConnected.into())
    }

    /// Hands a connection that begins with [`VERB`] to whoever waits for it.
    pub(super) async fn take(&self, mut stream: TcpStream, mut read: Vec<u8>) -> io::Result<()> {
        let line = async {
            loop {
                if let Some(end) = read.windows(2).position(|pair| pair == b"\n\n") {
                    return Ok(end);
                }
                if read.len() > LINE_MAX || stream.read_buf(&mut read).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
            }
        };
        let end = timeout(WITHIN, line).await??;
        let line = String::from_utf8_lossy(&read[VERB.len()..end]).to_lowercase();
        let name = line.split_once(':').and_then(|(_, rest)| rest.split('/').next());
        let name = name.and_then(codec::hex::decode::<16>).map(Guid);
        let given = name.and_then(|name| lock(&self.awaited).remove(&name));
        if let Some(given) = given {
            // Whoever waited may have given up.
            let _ = given.send((stream, read.split_off(end + 2)));
        }
        Ok(())
    }
}

/// Connects to somebody who asked for that, offers what is shared by this number under this name,
/// and answers requests; not if too many such connections are open.
pub(crate) fn give<N: Network>(network: &Arc<N>, to: SocketAddr, index: u32, name: Guid) {
    let network = network.clone();
    let Ok(permit) = network.exchange().givs.giving.clone().try_acquire_owned() else { return };
    tokio::spawn(async move {
        let given = async {
            let exchange = network.exchange();
            let mut stream = exchange.dialer.tcp(to).await?;
            let file = lock(&exchange.shares).at(index).map(|share| share.file.name.clone());
            let (name, file) = (name.to_string().to_uppercase(), file.unwrap_or_default());
            send(&mut stream, format!("GIV {index}:{name}/{file}\n\n").as_bytes()).await?;
            serve(&network, stream, to, Vec::new()).await
        };
        if let Err(error) = given.await {
            tracing::debug!(%to, %error, "giving");
        }
        drop(permit);
    });
}
