//! Trackers: who else is in a swarm. Formats of both kinds, seen from both sides, the table a
//! tracker keeps, and the order in which a client asks its trackers.

pub mod announcer;
pub mod http;
pub mod table;
pub mod udp;
