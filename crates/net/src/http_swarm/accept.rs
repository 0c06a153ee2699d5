//! Connections of strangers: how many there may be at once.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Connections that have not said what they are, or transfer files, at once.
const STRANGERS_MAX: usize = 256;
/// How long nothing is accepted after the system had nothing to accept with.
const PAUSE: Duration = Duration::from_millis(100);

/// Has connections to `listener` served by `greet`, each by a task of its own, until `stop`.
pub(crate) async fn accept<F: Future<Output = io::Result<()>> + Send + 'static>(
    listener: TcpListener,
    mut stop: watch::Receiver<()>,
    greet: impl Fn(TcpStream, SocketAddr) -> F,
) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let accepted = tokio::select! {
            _ = stop.changed() => return,
            accepted = listener.accept() => accepted,
        };
        // Out of descriptors, most likely: one may be free a moment later.
        let Ok((stream, peer)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Whom there is no room for hears nothing.
        let Ok(permit) = strangers.clone().try_acquire_owned() else { continue };
        let greeted = greet(stream, peer);
        tokio::spawn(async move {
            if let Err(error) = greeted.await {
                tracing::debug!(%peer, %error, "connection");
            }
            drop(permit);
        });
    }
}
