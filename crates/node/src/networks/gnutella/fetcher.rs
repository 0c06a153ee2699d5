//! What searches found in Gnutella is brought from all of its sources there.

use std::ops::ControlFlow;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use net::gnutella::{Sha1, TigerRoot, Want};
use tokio::sync::watch;

use super::{Gnutella, NAME};
use crate::fetch::{Brought, Fetcher, Wanted};

/// Between two times that it is told how far a fetch is.
const TELL_EVERY: Duration = Duration::from_millis(500);

impl Fetcher for Gnutella {
    fn network(&self) -> &'static str {
        NAME
    }

    fn fetch(
        &self,
        wanted: &Wanted,
        to: &Path,
        tell: &mut dyn FnMut(Brought) -> ControlFlow<()>,
    ) -> Result<(), String> {
        let running = self.running().ok_or("this node is not part of Gnutella")?;
        let want = want(wanted).ok_or("its SHA-1 is not known")?;
        let told = watch::Sender::default();
        let mut progress = told.subscribe();
        running.handle.block_on(async {
            let mut fetch = pin!(running.node.fetch(want, to, told));
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
        })
    }
}

/// What to ask for: sources that are malformed are left out, and the network is asked for others.
fn want(wanted: &Wanted) -> Option<Want> {
    let sha1 = codec::hex::decode::<20>(wanted.content.sha1.as_ref()?)?;
    let tree =
        wanted.content.tth.as_ref().and_then(|tth| codec::base32::decode(tth)?.try_into().ok());
    Some(Want {
        sha1: Sha1(sha1),
        len: wanted.length,
        tree: tree.map(TigerRoot),
        sources: wanted.ids.iter().filter_map(|id| id.parse().ok()).collect(),
    })
}
