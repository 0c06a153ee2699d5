//! What networks bring whose hosts give each other files by hash: their part of a download.

use std::future::Future;

use net::download::{Download, FetchError, Hashes, Tree, Want};

use super::running::Place;
use crate::fetch::{Contributor, Pending, Wanted, want};

/// A network whose hosts give each other files by hash.
pub(super) trait ByHash: Send + Sync + 'static {
    /// What people call it.
    const TITLE: &'static str;

    /// The tree of hashes of what is wanted, if somebody there gives it.
    fn tree(&self, want: &Want) -> impl Future<Output = Option<Tree>>;

    /// Brings blocks until all have come, or nobody there has more.
    fn bring(
        &self,
        want: &Want,
        download: &Download,
    ) -> impl Future<Output = Result<(), FetchError>>;
}

impl<T: ByHash> Contributor for Place<T> {
    fn hashes<'a>(&'a self, wanted: &'a Wanted) -> Pending<'a, Option<Hashes>> {
        Box::pin(async {
            let (running, want) = (self.running()?, want(wanted).ok()?);
            running.here(running.tree(&want)).await.map(Hashes::Tiger)
        })
    }

    fn contribute<'a>(
        &'a self,
        wanted: &'a Wanted,
        download: &'a Download,
    ) -> Pending<'a, Result<(), String>> {
        Box::pin(async {
            let off = || format!("this node is not part of {}", T::TITLE);
            let (running, want) = (self.running().ok_or_else(off)?, want(wanted)?);
            running.here(running.bring(&want, download)).await.map_err(|error| error.to_string())
        })
    }
}
