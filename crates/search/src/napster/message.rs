//! What clients and servers say to each other, typed. The numbers are in `napster.txt` and in the
//! header of opennap 0.36.

mod client;
mod server;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use client::{ClientMessage, Credentials};
pub use server::{ServerMessage, UserCard};

use super::Frame;

/// Bytes of what people write to each other, of a topic, of a reason.
const TALK_MAX: usize = 1_024;
/// Bytes of a word that is neither a name nor a number: passwords, addresses of mail.
const WORD_MAX: usize = 128;
/// Bytes of a channel's name.
pub(crate) const CHANNEL_MAX: usize = 64;
/// Files in one message that lists those of a folder.
pub(crate) const FOLDER_FILES_MAX: usize = 256;

fn frame(kind: u16, body: Vec<u8>) -> Frame {
    Frame { kind, body }
}
