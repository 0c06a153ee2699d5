//! Memory of unfinished pieces over all torrents of a session: who may begin another one. Torrents
//! that find no room queue up and take turns. Where the bytes lie is not here.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use bittorrent::picker::PieceMemory;
use bittorrent::swarm::Command;
use tokio::sync::Notify;

use super::shared::Shared;

/// So long the first of the queue waits for a piece to be done; then others give up what lies idle.
const PATIENCE: Duration = Duration::from_secs(1);

/// Names a torrent.
type Tag = u64;

/// The session's budget of bytes of pieces that are begun.
pub(super) struct Budget {
    table: RefCell<Table>,
    /// The first of the queue may find room.
    turn: Notify,
}

/// Who holds what, and who waits.
#[derive(Debug)]
struct Table {
    limit: u64,
    held: HashMap<Tag, Held>,
    total: u64,
    /// The most that `total` ever was.
    peak: u64,
    queue: VecDeque<Tag>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: u64,
    /// Pieces it has ever begun.
    begun: u64,
}

impl Budget {
    pub(super) fn new(limit: u64) -> Self {
        let (held, queue) = (HashMap::new(), VecDeque::new());
        let table = Table { limit, held, total: 0, peak: 0, queue };
        Self { table: RefCell::new(table), turn: Notify::new() }
    }

    /// Bytes that the pieces of `tag`, each `piece_len` long, may have now.
    pub(super) fn allowance(&self, tag: Tag, piece_len: u32) -> u64 {
        self.table.borrow().allowance(tag, piece_len)
    }

    /// What `tag` holds after an input that was given with this allowance.
    pub(super) fn settle(&self, tag: Tag, memory: PieceMemory) {
        if self.table.borrow_mut().settle(tag, memory) {
            self.turn.notify_one();
        }
    }

    /// `tag` is gone.
    pub(super) fn forget(&self, tag: Tag) {
        self.settle(tag, PieceMemory::default());
        self.table.borrow_mut().held.remove(&tag);
    }

    /// Bytes held now, and the most that ever were.
    pub(super) fn usage(&self) -> (u64, u64) {
        let table = self.table.borrow();
        (table.total, table.peak)
    }

    fn first(&self) -> Option<Tag> {
        self.table.borrow().queue.front().copied()
    }

    /// Whoever holds memory, those with the most first.
    fn holders(&self) -> Vec<Tag> {
        let table = self.table.borrow();
        let mut holders: Vec<_> = table.held.iter().map(|(tag, held)| (held.bytes, *tag)).collect();
        holders.retain(|(bytes, _)| *bytes > 0);
        holders.sort_unstable_by(|one, other| other.cmp(one));
        holders.into_iter().map(|(_, tag)| tag).collect()
    }
}

impl Table {
    fn allowance(&self, tag: Tag, piece_len: u32) -> u64 {
        let held = self.held.get(&tag).map_or(0, |held| held.bytes);
        match self.queue.front() {
            // It is another's turn: whoever goes on all the same would never let it in.
            Some(first) if *first != tag => 0,
            _ => {
                // As many as wait have as many shares; alone it may have one piece of any length.
                let piece_len = u64::from(piece_len);
                let share = piece_len.max(self.limit / self.queue.len().max(1) as u64);
                let most = held + share.min(self.limit.saturating_sub(self.total));
                if self.total == held { most.max(piece_len) } else { most }
            }
        }
    }

    /// Whether the first of the queue should look again.
    fn settle(&mut self, tag: Tag, PieceMemory { bytes, begun, lacks }: PieceMemory) -> bool {
        let before = self.held.get(&tag).copied().unwrap_or_default();
        if (before.bytes, before.begun) != (bytes, begun) {
            self.held.insert(tag, Held { bytes, begun });
        }
        self.total = self.total - before.bytes + bytes;
        self.peak = self.peak.max(self.total);
        let first = self.queue.front().copied();
        let mut at = self.queue.iter().position(|other| *other == tag);
        // Whoever has had its turn goes to the end.
        if let Some(place) = at.filter(|_| !lacks || begun > before.begun) {
            self.queue.remove(place);
            at = None;
        }
        let joins = lacks && at.is_none();
        if joins {
            self.queue.push_back(tag);
        }
        let now = self.queue.front().copied();
        // The first of the queue has just looked by itself if this was its input.
        let others = now.is_some_and(|now| now != tag);
        others && (joins || bytes < before.bytes || now != first)
    }
}

/// Lets those who wait look for room in turn; runs for as long as the session.
pub(super) async fn run(shared: Rc<Shared>) {
    let budget = &shared.budget;
    loop {
        let turn = budget.turn.notified();
        let Some(first) = budget.first() else {
            turn.await;
            continue;
        };
        match shared.torrent(first) {
            Some(torrent) => torrent.command(Command::TakeRoom),
            None => budget.forget(first),
        }
        if tokio::time::timeout(PATIENCE, turn).await.is_err() && budget.first() == Some(first) {
            reclaim(&shared, first);
        }
    }
}

/// Has one of the others give up a piece that nobody works on.
fn reclaim(shared: &Shared, first: Tag) {
    let before = shared.budget.usage().0;
    for tag in shared.budget.holders().into_iter().filter(|tag| *tag != first) {
        if let Some(torrent) = shared.torrent(tag) {
            torrent.command(Command::GiveRoom);
        }
        if shared.budget.usage().0 < before {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: u64 = 100;

    /// Torrents that want as many pieces as they can have, each of its own length.
    struct Session {
        budget: Budget,
        lens: Vec<u32>,
        /// Pieces that each has begun and not finished, and those it ever began.
        open: Vec<(u64, u64)>,
        wants: Vec<bool>,
    }

    impl Session {
        fn new(lens: &[u32]) -> Self {
            Self {
                budget: Budget::new(LIMIT),
                lens: lens.to_vec(),
                open: vec![(0, 0); lens.len()],
                wants: vec![true; lens.len()],
            }
        }

        fn bytes(&self, torrent: usize) -> u64 {
            self.open[torrent].0 * u64::from(self.lens[torrent])
        }

        /// An input of a torrent: it finishes `done` pieces and begins what it may.
        fn input(&mut self, torrent: usize, done: u64) {
            let allowance = self.budget.allowance(torrent as Tag, self.lens[torrent]);
            let len = u64::from(self.lens[torrent]);
            let (open, begun) = &mut self.open[torrent];
            *open -= done.min(*open);
            let mut lacks = false;
            if self.wants[torrent] {
                let room = allowance.saturating_sub(*open * len) / len;
                (*open, *begun) = (*open + room, *begun + room);
                lacks = true;
            }
            let (bytes, begun) = (self.bytes(torrent), self.open[torrent].1);
            self.budget.settle(torrent as Tag, PieceMemory { bytes, begun, lacks });
        }

        /// What the session's task does when it is told to.
        fn take_turns(&mut self) {
            while is_told(&self.budget) {
                let Some(first) = self.budget.first() else { return };
                self.input(first as usize, 0);
            }
        }
    }

    /// Whether the session's task was told to look.
    fn is_told(budget: &Budget) -> bool {
        let mut told = std::pin::pin!(budget.turn.notified());
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        told.as_mut().poll(&mut cx).is_ready()
    }

    #[test]
    fn alone_a_torrent_has_all_of_it_and_one_piece_of_any_length() {
        let mut session = Session::new(&[10, 300]);
        session.input(0, 0);
        assert_eq!(session.bytes(0), LIMIT);
        session.wants[0] = false;
        session.input(0, 10);
        session.input(1, 0);
        assert_eq!(session.bytes(1), 300);
        assert_eq!(session.budget.usage(), (300, 300));
    }

    #[test]
    fn who_waits_has_its_turn_and_nobody_goes_before_it() {
        let mut session = Session::new(&[10, 10, 60]);
        session.input(0, 0);
        session.input(1, 0);
        session.input(2, 0);
        assert_eq!([0, 1, 2].map(|at| session.bytes(at)), [100, 0, 0]);
        for _ in 0..60 {
            let most = (0..3).max_by_key(|at| session.bytes(*at)).unwrap();
            session.input(most, 1);
            session.take_turns();
            assert!(session.budget.usage().0 <= LIMIT);
        }
        let begun = [0, 1, 2].map(|at| session.open[at].1);
        assert!(begun.iter().all(|begun| *begun >= 4), "{begun:?}");
    }

    #[test]
    fn a_torrent_that_is_gone_holds_up_nobody() {
        let mut session = Session::new(&[100, 10]);
        session.input(0, 0);
        session.input(1, 0);
        assert_eq!(session.bytes(1), 0);
        session.budget.forget(0);
        session.take_turns();
        assert_eq!(session.bytes(1), LIMIT);
    }

    proptest! {
        #[test]
        fn never_more_than_the_limit_and_never_stuck(
            lens in prop::collection::vec(1u32..=120, 2..8),
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0u64..3, 0u8..8), 1..200),
        ) {
            let longest = u64::from(*lens.iter().max().unwrap());
            let mut session = Session::new(&lens);
            for (at, done, dice) in steps {
                let at = at.index(lens.len());
                session.wants[at] = dice != 0;
                session.input(at, done);
                session.take_turns();
                let total: u64 = (0..lens.len()).map(|at| session.bytes(at)).sum();
                prop_assert_eq!(session.budget.usage().0, total);
                prop_assert!(total <= LIMIT.max(longest));
            }
            // Whoever wants more gets something, if what is begun comes to its end.
            session.wants.fill(true);
            let begun: Vec<u64> = session.open.iter().map(|(_, begun)| *begun).collect();
            for _ in 0..2 * lens.len() {
                for at in 0..lens.len() {
                    session.input(at, u64::MAX);
                    session.take_turns();
                }
            }
            for (at, begun) in begun.iter().enumerate() {
                prop_assert!(session.open[at].1 > *begun, "torrent {at} starves");
            }
        }
    }
}
