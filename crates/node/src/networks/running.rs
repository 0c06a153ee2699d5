//! A network of files that runs on a thread of its own, and its place in the node: how one begins and
//! ends, where it listens, and what it keeps from one run to the next. Here is no network's own rule.

use std::fmt;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::sync::{Arc, Mutex};

use net::dht::resolve;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::shares::{self, Holdings, Shares};
use super::{NetworkError, lock};

/// Addresses of one run that the next begins with.
const KEPT_MAX: usize = 200;
/// Most bytes of a file in which a network has kept something.
const TEXT_MAX: u64 = 64 * 1024;

/// A network that runs. Searches and fetches under way keep it for a moment longer.
pub(super) struct Running<T> {
    network: T,
    handle: Handle,
    _stop: oneshot::Sender<()>,
    /// Tells the thread that shares the library.
    _ends: Sender<()>,
}

impl<T> Deref for Running<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.network
    }
}

impl<T> Running<T> {
    /// Something that the network does, for whoever polls it on another runtime.
    pub(super) fn here<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        let mut future = Box::pin(future);
        poll_fn(move |cx| {
            let _entered = self.handle.enter();
            future.as_mut().poll(cx)
        })
    }

    /// Waits for something that the network does.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.handle.block_on(future)
    }
}

/// The place of a network in a node, empty while it does not run; a clone is the same.
pub(super) struct Place<T>(Arc<Mutex<Option<Arc<Running<T>>>>>);

impl<T> Clone for Place<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_running() { "running" } else { "off" })
    }
}

impl<T> Place<T> {
    /// The network, if it runs.
    pub(super) fn running(&self) -> Option<Arc<Running<T>>> {
        lock(&self.0).clone()
    }

    pub(super) fn is_running(&self) -> bool {
        lock(&self.0).is_some()
    }

    /// Empties the place. The network ends when nobody holds it any more.
    pub(super) fn take(&self) -> Option<Arc<Running<T>>> {
        lock(&self.0).take()
    }
}

impl<T: Send + Sync + 'static> Place<T>
where
    Running<T>: Shares,
{
    /// Runs what `begin` starts, in a `LocalSet` of a thread of its own, and shares the library there.
    pub(super) fn start<F: Future<Output = Result<T, NetworkError>>>(
        &self,
        name: &'static str,
        holdings: Holdings,
        begin: impl FnOnce() -> F + Send + 'static,
    ) -> Result<(), NetworkError> {
        let mut place = lock(&self.0);
        if place.is_some() {
            return Err(NetworkError::Joined);
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(NetworkError::Start)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = sync_channel(1);
        let run = move || {
            let tasks = LocalSet::new();
            let begun = tasks.block_on(&runtime, begin());
            let runs = begun.is_ok();
            // Whoever asked waits for this, and the end is the end of the last handle.
            if tell.send(begun).is_ok() && runs {
                let _ = tasks.block_on(&runtime, stopped);
            }
        };
        let thread = std::thread::Builder::new().name(format!("shoal-{name}"));
        thread.spawn(run).map_err(NetworkError::Start)?;
        let network = told.recv().map_err(|_| NetworkError::Ended)??;
        let (ends, ended) = channel();
        let running = Arc::new(Running { network, handle, _stop: stop, _ends: ends });
        shares::share(Arc::downgrade(&running), holdings, ended).map_err(NetworkError::Start)?;
        *place = Some(running);
        Ok(())
    }
}

/// Where all of these names lead, and the addresses that an earlier run has kept.
pub(super) async fn known(names: &[String], hosts: &Path) -> Result<Vec<SocketAddr>, NetworkError> {
    let mut known = Vec::new();
    for name in names {
        known.extend(resolve(name).await?);
    }
    let parse = |line: &str| line.parse::<SocketAddr>().ok();
    known.extend(kept(hosts).lines().take(KEPT_MAX).filter_map(parse));
    Ok(known)
}

/// Where a network listens: as was wished, if others can be told that address, or at the address
/// that leads to the first of `known`.
pub(super) async fn address(
    listen: Option<SocketAddr>,
    known: &[SocketAddr],
) -> Result<SocketAddr, NetworkError> {
    let port = listen.map_or(0, |listen| listen.port());
    Ok(match (listen, known.first()) {
        (Some(listen), _) if !listen.ip().is_unspecified() => listen,
        (_, Some(&first)) => SocketAddr::new(super::towards(first).await?, port),
        (_, None) => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
    })
}

/// What [`keep`] has written down, as far as it is text; nothing at the first start.
pub(super) fn kept(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(TEXT_MAX).read_to_string(&mut text));
    match read {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "what a network knew is lost");
            String::new()
        }
        _ => text,
    }
}

/// Writes down what the next start begins with, such as addresses, one a line; nothing if there is none.
pub(super) fn keep(what: impl AsRef<[u8]>, path: &Path) {
    if what.as_ref().is_empty() {
        return;
    }
    let new = path.with_extension("new");
    // At most a thousand short lines, or less.
    let written = std::fs::write(&new, what).and_then(|()| std::fs::rename(&new, path));
    if let Err(error) = written {
        tracing::warn!(path = %path.display(), %error, "what is known of a network is not kept");
    }
}
