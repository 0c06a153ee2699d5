//! Napster, as OpenNap speaks it (`napster.txt`, drscholl, 2000, and the additions of opennap 0.36):
//! one server knows who has which files, and those who have them send them to each other. Here live
//! the messages, the index of a server, and the machines of server and client. What does not live
//! here: sockets, files, passwords' hashes, and the bytes that peers send each other.

pub mod client;
mod field;
mod file;
mod frame;
pub mod index;
mod message;
mod nick;
mod offer;
mod query;
pub mod server;
mod text;
pub mod transfer;

pub use field::{FieldError, Fields};
pub use file::{FileHash, LinkSpeed, MediaType, SharedFile};
pub use frame::{BODY_MAX, Frame, FrameError, HEAD_LEN, NapsterFraming};
pub use message::{ClientMessage, Credentials, ServerMessage, UserCard};
pub use nick::{NICK_MAX, Nick};
pub use offer::{Hit, Offer, Twin};
pub use query::{Compare, Filter, Query, QueryError, RESULTS_MAX, WORDS_MAX};
pub use text::Text;

/// The port on which servers listen, by custom.
pub const PORT: u16 = 8_888;
