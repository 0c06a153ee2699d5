//! x
use std::rc::Rc;
use super::Torrent;
impl Torrent { pub(super) fn spawn_web_seeds(self: &Rc<Self>) {} }
