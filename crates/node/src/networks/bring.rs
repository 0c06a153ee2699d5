//! Bringing a file by its hash from hosts that give it by HTTP, as several networks do: what is asked
//! for, and telling how far it is.

use std::fmt::Display;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::time::Duration;

use net::gnutella::{Fetched, Progress, Sha1, TigerRoot, Want};
use tokio::sync::watch;

use crate::fetch::{Brought, Wanted};

/// Between two times that it is told how far a fetch is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// What to ask for, if its SHA-1 is known. Sources that are malformed are left out.
pub(super) fn want(wanted: &Wanted) -> Result<Want, String> {
    let sha1 = wanted.content.sha1.as_ref().and_then(codec::hex::decode::<20>);
    let sha1 = sha1.ok_or("its SHA-1 is not known")?;
    let tree =
        wanted.content.tth.as_ref().and_then(|tth| codec::base32::decode(tth)?.try_into().ok());
    Ok(Want {
        sha1: Sha1(sha1),
        len: wanted.length,
        tree: tree.map(TigerRoot),
        sources: wanted.ids.iter().filter_map(|id| id.parse().ok()).collect(),
    })
}

/// Waits for a fetch, which is handed where to tell how far it is; an early end is no error.
pub(super) async fn bring<E: Display, F: Future<Output = Result<Fetched, E>>>(
    fetch: impl FnOnce(watch::Sender<Progress>) -> F,
    tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
) -> Result<(), String> {
    let told = watch::Sender::default();
    let mut progress = told.subscribe();
    let mut fetch = pin!(fetch(told));
    loop {
        tokio::select! {
            fetched = &mut fetch => {
                return fetched.map(drop).map_err(|error| error.to_string());
            }
            () = tokio::time::sleep(TELL_EVERY) => {
                let now = *progress.borrow_and_update();
                if tell(Brought { have: now.have, sources: now.sources }).is_break() {
                    return Ok(());
                }
            }
        }
    }
}
