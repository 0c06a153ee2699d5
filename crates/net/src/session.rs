//! A session: all torrents of one process, on one reactor thread. This file is the facade that
//! programs use; how it works is in the files below it.

mod config;

pub use config::{
    AddTorrent, Encryption, PeerStats, SeedUntil, SessionConfig, Source, TorrentState,
    TorrentStats, TrackerStats, Transport,
};
