//! Gnutella, versions 0.4 and 0.6: what its nodes say to each other, and how. Here live the
//! messages, their extensions, query routing tables, the handshake and the framing of a
//! connection, and the machine that speaks all of it (`servent`). What does not live here:
//! transfers of files, which are HTTP.
//!
//! A [`Descriptor`] is a head and a shared run of bytes: whoever only forwards it reads nothing
//! else. The types that read a payload ([`Query`], [`QueryHit`] ..) are views that borrow it, and
//! write it as well.

mod bye;
mod descriptor;
mod extension;
mod framing;
pub mod ggep;
pub mod handshake;
mod hit;
mod pong;
mod push;
pub mod qrp;
mod query;
mod reader;
pub mod servent;
mod urn;
mod vendor;

pub use bye::Bye;
pub use descriptor::{Descriptor, Guid, HEADER_LEN, Header, Kind, PAYLOAD_MAX, WireError};
pub use extension::{Extension, Extensions};
pub use framing::{Frame, FramingError, GnutellaFraming, INFLATE_SLACK, RATIO_MAX, STALL_MAX};
pub use hit::{HitBuilder, HitFlags, QueryHit, Record, Records, Trailer};
pub use pong::Pong;
pub use push::Push;
pub use query::{MinSpeed, Query};
pub use urn::{InfoHash, Sha1, TigerRoot, Urn};
pub use vendor::{Capability, Vendor, VendorMessage};

#[cfg(test)]
mod captures;
