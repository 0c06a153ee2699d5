//! What a node tells those who listen.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use crate::labs::LabRun;
use crate::library::LibraryStatus;
use crate::log::Entry;
use crate::search::SavedSearch;
use crate::view::{Status, Transfer};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// How the node is, at most once a second.
    Status(Arc<Status>),
    /// Transfers that changed or are gone, at most once a second.
    Transfers(Arc<Changed>),
    /// A line of the log.
    Log(Arc<Entry>),
    /// A run of the lab came further; its record is left out.
    Lab(Arc<LabRun>),
    /// The library came further, at most once a second.
    Library(Arc<LibraryStatus>),
    /// All searches that are kept: one has come, gone, or found something.
    Searches(Arc<Vec<SavedSearch>>),
    /// News for people.
    Notice(Arc<Notice>),
}

/// Transfers that changed.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Changed {
    /// Whether these are all there are.
    pub all: bool,
    /// Those that are new or changed.
    pub transfers: Vec<Transfer>,
    /// Ids of those that are gone.
    pub removed: Vec<String>,
}

/// News for people.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Notice {
    /// `info` or `error`.
    pub level: &'static str,
    /// In words.
    pub message: String,
    /// The transfer that it is about.
    pub transfer: Option<String>,
}
