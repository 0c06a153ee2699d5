//! What overlays share that resolve a key digit by digit: keys as digits, tables of contacts by
//! prefix with the nearest of each, the walk by which a node joins, and how tables stay filled.
//! Where a walk ends, and where values are, is [`pastry`](crate::pastry)'s and
//! [`tapestry`](crate::tapestry)'s.

mod base;
mod core;
mod gather;
mod table;
mod word;

pub use base::Base;
pub use table::{Entry, Table, UNMEASURED};
pub(crate) use word::{ASKS_CONTACTS, OWN_KIND};
pub use word::{Ask, Said, WALK_MAX, WORD_MAX, Word};

pub(crate) use core::Core;
pub(crate) use gather::{
    Prefixed, ask_row, begin_walk, consider, greet_all, heard, on_answer, on_silence, on_word,
    request, revisit, suspect,
};
