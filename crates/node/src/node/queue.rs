//! The queue: how many transfers fetch, and how many share, at once. Those that are in front run; the
//! others wait, and those that were told to start now neither wait nor take a place. Nor do those take
//! one that run and have moved nothing for long.

use std::collections::BTreeSet;
use std::time::Duration;

use super::transfers::{Entry, Transfers};
use super::{Node, NodeError, lock};
use crate::view::State;

/// Most that run at once; `None` is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Places {
    fetching: Option<usize>,
    sharing: Option<usize>,
    /// Who has moved nothing for so long takes no place; `None` is never.
    stalled: Option<Duration>,
}

impl Places {
    fn is_limited(self) -> bool {
        self.fetching.is_some() || self.sharing.is_some()
    }
}

/// Whether a transfer is complete, as far as it is known.
fn is_complete(entry: &Entry) -> bool {
    let seen = &entry.record.seen;
    let whole = seen.bytes_wanted > 0 && seen.bytes_have >= seen.bytes_wanted;
    matches!(entry.state().0, State::Seeding) || entry.record.published || whole
}

/// Those that may run.
fn who_runs(transfers: &Transfers, places: Places) -> BTreeSet<String> {
    let mut waiting: Vec<(&String, &Entry)> = transfers
        .iter()
        .filter(|(_, entry)| {
            let away = matches!(entry.state().0, State::Finished | State::Failed | State::Moving);
            !entry.record.paused && !away
        })
        .collect();
    waiting.sort_by_key(|(_, entry)| entry.record.rules.queue_position);
    let (mut fetching, mut sharing) = (places.fetching, places.sharing);
    let mut runs = BTreeSet::new();
    for (id, entry) in waiting {
        let left = if is_complete(entry) { &mut sharing } else { &mut fetching };
        let has_place = match left {
            _ if entry.record.rules.forced || entry.is_stalled(places.stalled) => true,
            None => true,
            Some(0) => false,
            Some(places) => {
                *places -= 1;
                true
            }
        };
        if has_place {
            runs.insert(id.clone());
        }
    }
    runs
}

impl Node {
    fn places(&self) -> Places {
        let config = self.config().transfers;
        let some = |count: usize| (count > 0).then_some(count);
        let stalled = (config.queue_stalled > 0).then(|| Duration::from_secs(config.queue_stalled));
        Places { fetching: some(config.download_queue), sharing: some(config.seed_queue), stalled }
    }

    /// Whether a transfer runs and has moved nothing for as long as the settings say.
    ///
    /// # Errors
    /// When there is none of this id.
    pub fn is_stalled(&self, id: &str) -> Result<bool, NodeError> {
        let limit = self.places().stalled;
        let transfers = self.lock_transfers();
        let entry = transfers.get(id).ok_or_else(|| NodeError::NotFound(id.to_owned()))?;
        Ok(entry.is_stalled(limit))
    }

    /// Whether a transfer that is to begin need not wait.
    pub(super) fn has_its_turn(&self, id: &str) -> bool {
        let places = self.places();
        if !places.is_limited() {
            return true;
        }
        let transfers = self.lock_transfers();
        // What failed is tried again outside of the queue.
        let failed = transfers.get(id).is_some_and(|entry| entry.state().0 == State::Failed);
        failed || who_runs(&transfers, places).contains(id)
    }

    /// Begins those whose turn has come, and lets the others wait.
    pub(super) fn serve_the_queue(&self) {
        let places = self.places();
        let (mut begin, mut end) = (Vec::new(), Vec::new());
        {
            let transfers = self.lock_transfers();
            if !places.is_limited() && !transfers.iter().any(|(_, entry)| entry.queued) {
                return;
            }
            let runs = who_runs(&transfers, places);
            for (id, entry) in transfers.iter() {
                let waits_in_vain = entry.queued && runs.contains(id);
                let done = matches!(entry.state().0, State::Finished | State::Failed);
                if waits_in_vain {
                    begin.push(id.clone());
                } else if entry.torrent.is_some() && !done && !runs.contains(id) {
                    end.push(id.clone());
                }
            }
        }
        for id in end {
            self.let_wait(&id);
        }
        for id in begin {
            if let Err(error) = self.begin(&id) {
                tracing::error!(%id, %error, "a transfer whose turn has come cannot begin");
            }
        }
    }

    fn let_wait(&self, id: &str) {
        let Ok(turn) = self.turn(id) else { return };
        let _turn = lock(&turn);
        // Meanwhile it may have been paused, or told to start now.
        if self.has_its_turn(id) || self.with(id, |entry| entry.record.paused).unwrap_or(true) {
            return;
        }
        let waits = self.end_in_turn(id).and_then(|()| self.with(id, |entry| entry.queued = true));
        if let Err(error) = waits {
            tracing::debug!(%id, %error, "a transfer is gone that was to wait");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    /// Transfers in the order of the queue: `d` fetches, `s` is complete, `p` is paused, `D` and `S`
    /// are forced. Returns those that run.
    fn running(queue: &str, fetching: usize, sharing: usize) -> String {
        let mut transfers = Transfers::default();
        for (place, kind) in queue.chars().enumerate() {
            let mut record = Record { paused: kind == 'p', ..Record::default() };
            record.rules.forced = kind.is_uppercase();
            record.seen.bytes_wanted = 1;
            record.seen.bytes_have = u64::from(kind.eq_ignore_ascii_case(&'s'));
            let id = format!("{place:040x}");
            let hashes = super::super::transfers::hashes_of(&id).expect("an infohash");
            transfers.insert(id, Entry::new(record, hashes, true));
        }
        let some = |count: usize| (count > 0).then_some(count);
        let places = Places { fetching: some(fetching), sharing: some(sharing), stalled: None };
        let runs = who_runs(&transfers, places);
        let shown =
            |(place, kind)| if runs.contains(&format!("{place:040x}")) { kind } else { '-' };
        queue.chars().enumerate().map(shown).collect()
    }

    #[test]
    fn those_in_front_run() {
        assert_eq!(running("dsdsp", 0, 0), "dsds-");
        assert_eq!(running("ddsss", 1, 2), "d-ss-");
        assert_eq!(running("pdd", 1, 0), "-d-", "who is paused takes no place");
        assert_eq!(running("dDd", 1, 0), "dD-", "who was told to start now takes none either");
        assert_eq!(running("sss", 1, 0), "sss");
        assert_eq!(running("dss", 0, 1), "ds-");
    }
}
