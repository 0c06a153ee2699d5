//! A network that always finds the same: for tests from inside and outside of the crate, whose names
//! it takes from whoever includes it.

use std::ops::ControlFlow;

use super::{Finder, Hit, SearchQuery};

/// Its name, and what it finds.
pub(super) struct Fixed(pub(super) &'static str, pub(super) Vec<Hit>);

impl Finder for Fixed {
    fn network(&self) -> &'static str {
        self.0
    }

    fn find(
        &self,
        _: &SearchQuery,
        tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
    ) -> Result<(), String> {
        // Whoever has enough says so.
        let _ = self.1.iter().cloned().try_for_each(tell);
        Ok(())
    }
}
