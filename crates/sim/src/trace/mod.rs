//! Traces: what happened in a world, as a file that another run can be compared with, and that
//! other tools can look at.
//!
//! A [`Writer`] observes a world and writes what it sees; a [`Reader`] reads it again, from
//! whomever it comes. A [`Replay`] observes a second run and names the first difference. [`pcap`]
//! turns the messages of a trace into packets.

mod format;
pub mod pcap;
mod reader;
mod replay;
mod writer;

pub use format::{PAYLOAD_MAX, Record, Text, Traced, VERSION, What};
pub use reader::{Reader, TraceError};
pub use replay::{Divergence, Replay};
pub use writer::Writer;
