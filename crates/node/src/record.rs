//! What is remembered of one transfer: enough to take part in it again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use bittorrent::picker::Priority as Level;
use net::session::Precedence;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::fetch::Wanted;

/// How much a file is wanted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Not at all.
    Skip,
    /// After the others.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Before the others.
    High,
}

/// Whether a transfer comes before others where limits on all together hold them back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bandwidth {
    /// After the others.
    Low,
    /// As most.
    #[default]
    Normal,
    /// Before the others.
    High,
}

impl Bandwidth {
    /// As the session calls it.
    #[must_use]
    pub fn precedence(self) -> Precedence {
        match self {
            Self::Low => Precedence::Low,
            Self::Normal => Precedence::Normal,
            Self::High => Precedence::High,
        }
    }
}

/// What a user wants of a transfer, as it is written down and as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Rules {
    /// Words of the user's.
    pub labels: Vec<String>,
    /// Its place in the queue, from 0.
    pub queue_position: u64,
    /// Whether it is fetched from the beginning to the end.
    pub sequential: bool,
    /// It stops sharing at this ratio.
    pub seed_ratio: Option<f64>,
    /// It stops sharing after so many seconds.
    pub seed_time: Option<u64>,
    /// It stops sharing after so many seconds in which nobody fetched anything.
    pub seed_idle: Option<u64>,
    /// Most bytes per second sent, of its own.
    pub upload_limit: Option<u64>,
    /// Most bytes per second received, of its own.
    pub download_limit: Option<u64>,
    /// Whether the limits on all transfers together do not hold for it.
    pub unlimited: bool,
    /// Whether it comes before others where those limits hold.
    pub bandwidth: Bandwidth,
    /// Most connections of its own at once; without it, as the settings say.
    pub max_connections: Option<usize>,
    /// Whether it runs whatever the queue says.
    pub forced: bool,
}

/// A transfer as it is written down. Fields may be added, with a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// Counts transfers in the order in which they came; never used twice.
    pub number: u64,
    /// Its name, once it is known.
    pub name: Option<String>,
    /// The magnet link by which it was added; without one, there is metainfo.
    pub magnet: Option<String>,
    /// The folder in which its files lie.
    pub dir: PathBuf,
    /// When it was added, in unix seconds.
    pub added: u64,
    /// When it was complete, in unix seconds.
    pub completed: Option<u64>,
    /// It does nothing until it is resumed.
    pub paused: bool,
    /// What the user wants of it.
    #[serde(flatten)]
    pub rules: Rules,
    /// It is the user's own files: they are never written.
    pub published: bool,
    /// Size and time of last change (nanoseconds) of published files when they were hashed.
    pub stamps: Vec<(u64, i64)>,
    /// Files that are not wanted as [`Priority::Normal`], by their index.
    pub priorities: Vec<(usize, Priority)>,
    /// Trackers beyond those of the source.
    pub trackers: Vec<String>,
    /// Trackers instead of those of the source.
    pub tracker_list: Option<Vec<String>>,
    /// Peers that the user named.
    pub peers: Vec<SocketAddr>,
    /// Where files lie, as elements below `dir`, if not where their names would put them.
    pub renames: BTreeMap<usize, Vec<String>>,
    /// Where its files were before they were moved or renamed, until that is done.
    pub moving_from: Option<Place>,
    /// Seconds in which it was complete and offered.
    pub seeding_time: u64,
    /// Seconds in which it was fetched.
    pub downloading_time: u64,
    /// Payload bytes received, ever.
    pub downloaded: u64,
    /// Payload bytes sent, ever.
    pub uploaded: u64,
    /// The user gave it a name of their own.
    pub renamed: bool,
    /// Files to fetch of a magnet link whose files are not known yet.
    pub only: Option<Vec<usize>>,
    /// What another network found and brings, if it is no torrent.
    pub found: Option<Wanted>,
    /// How far it was when it was last seen.
    pub seen: Seen,
}

/// Where the files of a transfer are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The folder.
    pub dir: PathBuf,
    /// Files that lie below it otherwise than by their names.
    #[serde(default)]
    pub renames: BTreeMap<usize, Vec<String>>,
}

/// How far a transfer was when it was last seen, to be shown while it does nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Seen {
    /// Bytes of all files.
    pub bytes_total: u64,
    /// Bytes wanted.
    pub bytes_wanted: u64,
    /// Bytes of those that were verified.
    pub bytes_have: u64,
    /// Pieces of the torrent.
    pub pieces_total: u32,
    /// Pieces that were verified.
    pub pieces_have: u32,
    /// How many files it has; 0 while they are not known.
    pub files: usize,
    /// Whether its peers come from its trackers alone.
    pub private: bool,
}

impl Record {
    /// Files that are wanted more or less than most, for the session.
    #[must_use]
    pub fn levels(&self) -> Vec<(usize, Level)> {
        let level = |priority| match priority {
            Priority::Low => Some(Level::LOW),
            Priority::High => Some(Level::HIGH),
            Priority::Skip | Priority::Normal => None,
        };
        let set = self.priorities.iter();
        set.filter_map(|(index, priority)| Some((*index, level(*priority)?))).collect()
    }

    /// Where its files are, or are on their way to.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { dir: self.dir.clone(), renames: self.renames.clone() }
    }

    /// How much file `index` is wanted.
    #[must_use]
    pub fn priority(&self, index: usize) -> Priority {
        let set = self.priorities.iter().find(|(file, _)| *file == index);
        set.map_or(Priority::Normal, |(_, priority)| *priority)
    }

    /// Sets how much file `index` is wanted.
    pub fn set_priority(&mut self, index: usize, priority: Priority) {
        self.priorities.retain(|(file, _)| *file != index);
        if priority != Priority::Normal {
            self.priorities.push((index, priority));
            self.priorities.sort_unstable();
        }
    }

    /// The files that are wanted, of `count`; `None` is all.
    #[must_use]
    pub fn selection(&self, count: usize) -> Option<Vec<usize>> {
        let skips = self.priorities.iter().any(|(_, priority)| *priority == Priority::Skip);
        skips.then(|| (0..count).filter(|&index| self.priority(index) != Priority::Skip).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_remembered() {
        let mut record = Record::default();
        assert_eq!(record.selection(3), None);
        record.set_priority(1, Priority::Skip);
        record.set_priority(2, Priority::High);
        record.set_priority(0, Priority::Normal);
        assert_eq!(record.selection(3), Some(vec![0, 2]));
        assert_eq!(record.priorities.len(), 2);
        record.set_priority(1, Priority::Normal);
        assert_eq!(record.selection(3), None);
        assert_eq!(record.priority(2), Priority::High);
    }
}
