//! Fetching one file from several networks at once: they share one download, in which each brings the
//! blocks that nobody else does, and the whole is verified by its SHA-1.

use std::future::{Future, poll_fn};
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use net::download::{Download, FetchError, Hashes, Want};
use net::gnutella::{Sha1, TigerRoot};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::{Brought, Wanted};

/// Between two times that it is told how far a fetch is.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// How long hashes of blocks are looked for before a file is fetched without them.
const HASHES_TIME: Duration = Duration::from_secs(20);

/// How long a network that has nothing more is left alone while others have: the first time, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1800));

/// Something that a network does, while others do the same. It is dropped when nobody wants it any
/// more. It may be polled outside of the network's own runtime.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// A network that brings part of a file, while others may bring the rest.
pub trait Contributor: Send + Sync {
    /// Hashes of the blocks of what is wanted, if somebody there gives them.
    fn hashes<'a>(&'a self, _: &'a Wanted) -> Pending<'a, Option<Hashes>> {
        Box::pin(async { None })
    }

    /// Brings blocks from the places of `wanted` and from whomever the network knows beside them,
    /// until all have come or nobody there has more, which is an error in words.
    fn contribute<'a>(
        &'a self,
        wanted: &'a Wanted,
        download: &'a Download,
    ) -> Pending<'a, Result<(), String>>;
}

/// What to ask for by hash, if that is known. Places that are no hosts of HTTP are left out.
pub(crate) fn want(wanted: &Wanted) -> Result<Want, String> {
    let sha1 = wanted.content.sha1.as_ref().and_then(codec::hex::decode::<20>);
    let sha1 = sha1.ok_or("it was found without a hash that could be verified")?;
    let tree = wanted.content.tth.as_ref();
    let tree = tree.and_then(|tth| codec::base32::decode(tth)?.try_into().ok());
    let (len, tree) = (wanted.length, tree.map(TigerRoot));
    let sources = wanted.ids.iter().filter_map(|id| id.parse().ok()).collect();
    Ok(Want { sha1: Sha1(sha1), len, tree, sources })
}

/// Why several networks did not bring a file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotBrought {
    /// All of it came, and it is something else.
    #[error("{}", FetchError::Corrupt)]
    Corrupt,
    /// In words.
    #[error("{0}")]
    Other(String),
}

impl From<String> for NotBrought {
    fn from(why: String) -> Self {
        Self::Other(why)
    }
}

/// Fetches a file to `to` by all of these networks, each with its own places; waits until that is
/// done. An early end, as `tell` wishes, is no error.
pub(crate) fn together(
    parts: &[(Wanted, &dyn Contributor)],
    to: &Path,
    tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
) -> Result<(), NotBrought> {
    let Some((wanted, _)) = parts.first() else {
        return Err("nobody brings it".to_owned().into());
    };
    let want = want(wanted)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let told = watch::Sender::default();
    let mut heard = told.subscribe();
    let fetch = async {
        let hashes = parts.iter().map(|(wanted, network)| network.hashes(wanted)).collect();
        // Nobody has to give any.
        let hashes = timeout(HASHES_TIME, first(hashes)).await.ok().flatten();
        let opened = Download::open(&want, hashes, to, told).await;
        let download = opened.map_err(|error| error.to_string())?;
        let going = Going::new(parts.len());
        let contributions = parts
            .iter()
            .map(|(wanted, network)| going.on(&download, || network.contribute(wanted, &download)));
        let ended = all(contributions.collect()).await;
        if !download.is_complete() {
            // Whoever was not told of any place is not to blame.
            let named = parts.iter().zip(&ended).filter(|((wanted, _), _)| !wanted.ids.is_empty());
            let mut why: Vec<String> = named.filter_map(|(_, ended)| ended.clone().err()).collect();
            if why.is_empty() {
                why = ended.into_iter().filter_map(Result::err).collect();
            }
            return Err(why.join("; ").into());
        }
        download.finish().await.map_err(|error| match error {
            FetchError::Corrupt => NotBrought::Corrupt,
            error => error.to_string().into(),
        })
    };
    runtime.block_on(async {
        let mut fetch = pin!(fetch);
        loop {
            tokio::select! {
                fetched = &mut fetch => return fetched,
                () = sleep(TELL_EVERY) => {
                    let now = *heard.borrow_and_update();
                    if tell(Brought { have: now.have, sources: now.sources }).is_break() {
                        return Ok(());
                    }
                }
            }
        }
    })
}

/// How many networks bring something now. One that has nothing more is asked again after a while, for as
/// long as any other has.
struct Going(watch::Sender<usize>);

impl Going {
    fn new(networks: usize) -> Self {
        Self(watch::Sender::new(networks))
    }

    /// Lets a network bring what it can, until all has come or nobody has more.
    fn on<'a>(
        &'a self,
        download: &'a Download,
        contribute: impl Fn() -> Pending<'a, Result<(), String>> + 'a,
    ) -> Pending<'a, Result<(), String>> {
        Box::pin(async move {
            let mut pause = AGAIN.0;
            loop {
                let brought = contribute().await;
                self.0.send_modify(|going| *going -= 1);
                if brought.is_ok() {
                    return brought;
                }
                let mut going = self.0.subscribe();
                tokio::select! {
                    // Nobody goes on: it ends, even if the pause does so now.
                    biased;
                    _ = going.wait_for(|going| *going == 0) => return brought,
                    () = download.completed() => return Ok(()),
                    () = sleep(pause) => self.0.send_modify(|going| *going += 1),
                }
                pause = (pause * 2).min(AGAIN.1);
            }
        })
    }
}

/// The first that is something; `None` if none is.
async fn first<T>(mut pending: Vec<Pending<'_, Option<T>>>) -> Option<T> {
    poll_fn(|cx| {
        let mut found = None;
        pending.retain_mut(|one| match (&found, one.as_mut().poll(cx)) {
            (None, Poll::Ready(Some(value))) => {
                found = Some(value);
                false
            }
            (_, Poll::Ready(_)) => false,
            (_, Poll::Pending) => true,
        });
        if found.is_some() || pending.is_empty() { Poll::Ready(found) } else { Poll::Pending }
    })
    .await
}

/// What becomes of all of them.
async fn all<T>(mut pending: Vec<Pending<'_, T>>) -> Vec<T> {
    let mut ended: Vec<Option<T>> = pending.iter().map(|_| None).collect();
    let step = |one: &mut Pending<'_, T>, ended: &mut Option<T>, cx: &mut Context<'_>| {
        if ended.is_none()
            && let Poll::Ready(value) = one.as_mut().poll(cx)
        {
            *ended = Some(value);
        }
        ended.is_some()
    };
    poll_fn(|cx| {
        let each = pending.iter_mut().zip(&mut ended);
        let over = each.filter_map(|(one, ended)| step(one, ended, cx).then_some(())).count();
        if over == pending.len() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ended.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_things_are_waited_for_at_once() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let after = |turns: usize, value: Option<u8>| -> Pending<'static, Option<u8>> {
            Box::pin(async move {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                value
            })
        };
        let three = || vec![after(3, Some(1)), after(1, None), after(2, Some(3))];
        assert_eq!(runtime.block_on(all(three())), [Some(1), None, Some(3)]);
        assert_eq!(runtime.block_on(first(three())), Some(3));
        assert_eq!(runtime.block_on(first(vec![after(1, None), after(0, None)])), None);
        assert_eq!(runtime.block_on(first::<u8>(Vec::new())), None);
    }
}
