//! What the user wishes of a torrent while it runs: files that go before others, limits of its own,
//! and when it has shared enough.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use bittorrent::metainfo::Info;
use bittorrent::picker::Priority;
use bittorrent::swarm::Command;
use tokio::time::Instant;

use super::Torrent;
use crate::session::config::{SeedUntil, TorrentLimits};
use crate::session::picture::TorrentState;

/// Seeding limits are looked at this often while there are peers.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often while there are none: there may be thousands of such torrents.
const REST_MAX: Duration = Duration::from_secs(60);

/// How much each piece is wanted: as the one of its files that is wanted most. `selected` are the
/// files that are wanted at all, and `files` those that are not wanted as most.
fn levels(
    info: &Info,
    selected: impl Fn(usize) -> bool,
    files: &[(usize, Priority)],
) -> Vec<Priority> {
    if files.is_empty() {
        return Vec::new();
    }
    let files: BTreeMap<usize, Priority> = files.iter().copied().collect();
    let mut levels = vec![Priority::SKIP; info.piece_count() as usize];
    for (index, file) in info.files.iter().enumerate() {
        if file.len == 0 || file.padding || !selected(index) {
            continue;
        }
        let level = files.get(&index).copied().unwrap_or_default();
        let piece_len = u64::from(info.piece_len.max(1));
        let last = (file.offset + file.len - 1) / piece_len;
        for piece in file.offset / piece_len..=last {
            if let Some(known) = levels.get_mut(piece as usize) {
                *known = level.max(*known);
            }
        }
    }
    levels
}

impl Torrent {
    /// These files are wanted more or less than most from now on.
    pub(in crate::session) fn set_priorities(self: &Rc<Self>, files: Vec<(usize, Priority)>) {
        *self.priorities.borrow_mut() = files;
        self.prioritize();
    }

    /// Limits it anew.
    pub(in crate::session) fn set_limits(self: &Rc<Self>, limits: TorrentLimits) {
        self.throttle.set(limits);
        let connections = limits.connections.unwrap_or(self.shared.max_connections());
        self.command(Command::MaxConnections(connections));
    }

    /// Tells the machine how much pieces are wanted, once it is known which there are.
    pub(super) fn prioritize(self: &Rc<Self>) {
        let Some(info) = self.info.borrow().clone() else { return };
        let levels = {
            let selection = self.selection.borrow();
            let selection: Option<BTreeSet<usize>> =
                selection.as_ref().map(|files| files.iter().copied().collect());
            let selected =
                |index: usize| selection.as_ref().is_none_or(|files| files.contains(&index));
            levels(&info, selected, &self.priorities.borrow())
        };
        self.command(Command::Prioritize(levels));
    }

    /// Seeding ends at other limits from now on.
    pub(in crate::session) fn set_seed_until(&self, until: SeedUntil) {
        self.goals.set(until);
        self.goals_changed.notify_one();
    }

    /// Serves connections that wait for the torrent's own limits, for as long as it runs.
    pub(super) async fn run_throttle(self: Rc<Self>) {
        let left = self.left.notified();
        if self.stopped.get() {
            return;
        }
        tokio::select! {
            () = left => {}
            () = self.throttle.up.run() => {}
            () = self.throttle.down.run() => {}
        }
    }

    /// Watches the seeding limits.
    pub(super) async fn run_goals(self: Rc<Self>) {
        let mut sent = (0, Instant::now());
        loop {
            let (left, changed) = (self.left.notified(), self.state_changed.notified());
            if self.stopped.get() {
                return;
            }
            let Some(completed_at) = self.completed_at.get() else {
                sent.1 = Instant::now();
                tokio::select! {
                    () = left => return,
                    () = changed => continue,
                }
            };
            let goals = self.goals.get();
            let uploaded = self.core.borrow().swarm.totals().uploaded;
            if uploaded != sent.0 {
                sent = (uploaded, Instant::now());
            }
            let earlier = self.options.earlier;
            let total = self.info.borrow().as_ref().map_or(0, |info| info.total_len);
            let ratio = (earlier.uploaded + uploaded) as f64 / total.max(1) as f64;
            let since = earlier.seeding + (self.shared.clock.now() - completed_at);
            let idle = sent.1.elapsed();
            if goals.time.is_some_and(|limit| since >= limit)
                || goals.ratio.is_some_and(|limit| ratio >= limit)
                || goals.idle.is_some_and(|limit| idle >= limit)
            {
                self.set_state(TorrentState::Finished);
                return self.stop();
            }
            let until =
                |limit: Option<Duration>, passed| limit.map_or(REST_MAX, |end| end - passed);
            let pause = if self.conns.borrow().is_empty() {
                REST_MAX.min(until(goals.time, since)).min(until(goals.idle, idle))
            } else {
                INTERVAL
            };
            tokio::select! {
                () = left => return,
                () = self.goals_changed.notified() => {}
                () = tokio::time::sleep(pause), if goals != SeedUntil::default() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::info_of;

    #[test]
    fn a_piece_is_wanted_as_the_file_in_it_that_is_wanted_most() {
        let info = info_of(10, &[("a", 15), ("b", 10), ("c", 20), ("d", 0)]);
        let all = |files: &[(usize, Priority)]| levels(&info, |_| true, files);
        let (low, normal, high) = (Priority::LOW, Priority::NORMAL, Priority::HIGH);
        assert!(all(&[]).is_empty());
        assert_eq!(all(&[(0, high)]), [high, high, normal, normal, normal]);
        assert_eq!(all(&[(0, low), (1, low)]), [low, low, normal, normal, normal]);
        // Where nobody wants the other file, it does not count.
        let some = levels(&info, |index| index != 2, &[(0, low), (1, low)]);
        assert_eq!(some[..3], [low, low, low]);
    }
}
