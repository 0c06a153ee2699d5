//! x
use super::Torrent;
use std::rc::Rc;
impl Torrent {
    pub(super) fn spawn_web_seeds(self: &Rc<Self>) {}
}
