//! What a node does by itself: takes up what ran before, then, twice a second, looks at what is new of
//! its transfers, tells those who listen, and writes down how far all is.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use net::session::TorrentStats;

use super::{Node, schedule, unix_now, watch};
use crate::event::{Changed, Event};
use crate::library::LibraryStatus;
use crate::view::{State, Status};

/// How often it looks.
const INTERVAL: Duration = Duration::from_millis(500);
/// Looks between two times that saved searches are thought of.
const SEARCHES_EVERY: u32 = 10;
/// How often it tells how the node is while nothing moves.
const IDLE_STATUS: Duration = Duration::from_secs(5);
/// How often it writes down what is not urgent.
const SAVE_INTERVAL: Duration = Duration::from_secs(30);

/// Runs until the node ends or is gone.
pub(super) fn run(node: &Weak<Node>) {
    if let Some(node) = node.upgrade() {
        node.resume_all();
    }
    let (mut saved, mut said) = (Instant::now(), None::<(Instant, Status)>);
    let (mut clock, mut watch) = (schedule::Clock::default(), watch::Watch::default());
    let mut library = LibraryStatus::default();
    for tick in 0u32.. {
        let Some(node) = node.upgrade() else { return };
        let ends = node.ends_within(INTERVAL);
        node.look();
        if !ends {
            node.follow_the_clock(&mut clock);
            node.serve_the_queue();
            node.serve_fetches();
            if tick % watch::TICKS == 0 {
                node.look_into_watch_dir(&mut watch);
            }
            if tick % SEARCHES_EVERY == SEARCHES_EVERY - 1 {
                node.watch_searches();
            }
        } else {
            node.lock_transfers().count_times();
        }
        if ends || saved.elapsed() >= SAVE_INTERVAL {
            saved = Instant::now();
            node.save_unsaved();
        }
        if ends {
            return;
        }
        if tick % 2 == 1 {
            node.tell_changes();
            said = node.tell_status(said);
            node.tell_library(&mut library);
        }
    }
}

impl Node {
    /// Looks at every transfer of which the session has something new.
    pub(super) fn look(&self) {
        let Ok(session) = self.session() else { return };
        let changed = session.changed();
        drop(session);
        let changed = self.lock_transfers().ids_of(changed);
        for (id, stats) in changed {
            self.heed(&id, stats);
        }
    }

    /// Takes a picture of a transfer in, and does what follows from it.
    pub(super) fn heed(&self, id: &str, stats: TorrentStats) {
        let Some(news) = self.take_in(id, stats) else { return };
        if news.learned
            && let Err(error) = self.learned(id)
        {
            tracing::debug!(%id, %error, "its metainfo is not kept yet");
        }
        if let Some((level, message)) = news.notice {
            tracing::info!(%id, "{message}");
            self.notice(level, message, Some(id.to_owned()));
        }
    }

    fn take_in(&self, id: &str, stats: TorrentStats) -> Option<News> {
        let mut transfers = self.lock_transfers();
        // It may have been paused or removed meanwhile.
        let entry = transfers.get_mut(id).filter(|entry| entry.torrent.is_some())?;
        let before = entry.stats.is_some().then(|| entry.state().0);
        entry.see(stats);
        let (state, error) = entry.state();
        let name = entry.record.name.clone().unwrap_or_else(|| id.to_owned());
        let is_whole = matches!(state, State::Seeding | State::Finished);
        let mut notice = None;
        if is_whole && entry.record.completed.is_none() {
            entry.record.completed = Some(unix_now());
            entry.unsaved = true;
            if !entry.record.published {
                notice = Some(("info", format!("{name} is complete")));
            }
        }
        if state == State::Failed && before != Some(State::Failed) {
            notice = Some(("error", format!("{name}: {}", error.unwrap_or_default())));
        }
        let learned = !entry.has_torrent_file
            && entry.stats.as_ref().is_some_and(|stats| stats.info.is_some());
        Some(News { learned, notice })
    }

    /// Writes down records that differ from what is written down.
    fn save_unsaved(&self) {
        let unsaved = self.lock_transfers().take_unsaved();
        if unsaved.is_empty() {
            return;
        }
        let records = unsaved.iter().map(|(id, record)| (id.as_str(), record));
        if let Err(error) = self.state.save_all(records) {
            tracing::error!(%error, "what is remembered cannot be written");
            let mut transfers = self.lock_transfers();
            for (id, _) in &unsaved {
                if let Some(entry) = transfers.get_mut(id) {
                    entry.unsaved = true;
                }
            }
        }
    }

    /// All transfers, as what listeners are told first.
    #[must_use]
    pub fn all_as_changed(&self) -> Changed {
        Changed { all: true, transfers: self.transfers(), removed: Vec::new() }
    }

    fn tell_changes(&self) {
        let (changed, offers) = {
            let mut transfers = self.lock_transfers();
            let changed = Changed {
                all: false,
                transfers: transfers.tell(),
                removed: std::mem::take(&mut transfers.removed),
            };
            (changed, transfers.take_offers())
        };
        if let Some(offers) = offers {
            self.networks.torrents.set(offers);
        }
        if !changed.transfers.is_empty() || !changed.removed.is_empty() {
            self.publish(Event::Transfers(Arc::new(changed)));
        }
    }

    fn tell_library(&self, said: &mut LibraryStatus) {
        let Ok(status) = self.library().map(|library| library.status()) else { return };
        if status != *said {
            self.publish(Event::Library(Arc::new(status.clone())));
            *said = status;
        }
    }

    fn tell_status(&self, said: Option<(Instant, Status)>) -> Option<(Instant, Status)> {
        let status = self.status();
        let moves = status.download_rate + status.upload_rate > 0;
        let changed = said.as_ref().is_none_or(|(at, said)| {
            at.elapsed() >= IDLE_STATUS
                || said.transfers != status.transfers
                || said.peers_connected != status.peers_connected
                || (said.upload_limit, said.download_limit)
                    != (status.upload_limit, status.download_limit)
                || (said.download_rate + said.upload_rate > 0) != moves
        });
        if !moves && !changed {
            return said;
        }
        self.publish(Event::Status(Arc::new(status.clone())));
        Some((Instant::now(), status))
    }
}

/// What a look found.
struct News {
    /// The info dictionary is known now, and not written down.
    learned: bool,
    /// What people should hear.
    notice: Option<(&'static str, String)>,
}
