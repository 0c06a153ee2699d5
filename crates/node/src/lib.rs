//! The node: what people keep running. Transfers, the networks they use and what is remembered of
//! them, behind one facade ([`Node`]) that the HTTP interfaces ([`api`]), the command line and
//! tests all use. Protocols, sockets for peers and payload are in the crates below; only here are
//! JSON and HTTP routes known.

pub mod api;
mod config;
mod event;
mod fetch;
mod labs;
mod library;
mod log;
mod mime;
pub mod networks;
mod node;
pub mod paths;
mod record;
mod search;
mod state;
pub mod view;

pub use config::{API_LISTEN, Config, ConfigError, Kind, Layers, Origin, SETTINGS, Setting};
pub use event::{Changed, Event, Notice};
pub use fetch::{Brought, Contributor, Fetcher, Pending, Places, Wanted};
pub use labs::{LabError, LabRun, Labs, Moments, RunState};
pub use library::{
    FileQuery, FolderState, Library, LibraryError, LibraryFile, LibraryFiles, LibraryFolder,
    LibraryStatus,
};
pub use log::{Entry, Fill, LogBuffer};
pub use node::{
    AddRequest, AddSource, Change, Node, NodeError, PublishOptions, SourceError, free_space,
    parse_source,
};
pub use record::Priority;
pub use search::{
    Asked, ContentId, Finder, Found, Hit, Odd, RESULTS_MAX, SavedSearch, SearchQuery, SearchResult,
    Told, search,
};
pub use state::StateError;
