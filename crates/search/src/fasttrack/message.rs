//! What nodes say to each other. How it looks in a datagram is in `wire`.
//!
//! Whoever was taken in repeats the `session` that it was given, in both directions: so nobody can
//! speak for another whose address he writes on his datagrams.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::file::{File, Hit};
use super::identity::{Id, Signature};
use super::reputation::{Mandate, Receipt, Testimony, Voucher};
use crate::gnutella::Guid;

/// What one node says to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<C> {
    // --- Coming in ---
    /// May I come in?
    Hello,
    /// Yes, if you hear this and say so.
    Cookie {
        /// To be repeated, signed.
        cookie: u64,
        /// Who speaks.
        id: Id,
    },
    /// Not here: ask these.
    Elsewhere {
        /// Supernodes.
        others: Box<[C]>,
    },
    /// I want to be your leaf.
    Join {
        /// Who speaks.
        id: Id,
        /// As given.
        cookie: u64,
        /// Under cookie and supernode.
        signature: Signature,
    },
    /// You are.
    Welcome {
        /// Of this leaf.
        session: u64,
        /// Whom to ask when this one is gone.
        others: Box<[C]>,
    },
    /// I want to be your neighbour, being a supernode.
    Link {
        /// Who speaks.
        id: Id,
        /// As given.
        cookie: u64,
        /// Under cookie and supernode.
        signature: Signature,
        /// Why one should believe that.
        mandate: Option<Box<Mandate>>,
    },
    /// You are.
    Linked {
        /// Of this link.
        session: u64,
        /// Who speaks.
        id: Id,
        /// Some others.
        others: Box<[(C, Id)]>,
    },
    /// I am gone.
    Bye {
        /// Of the leaf or the link.
        session: u64,
    },

    // --- Between a leaf and its supernode ---
    /// I am here, and share what sums up to this.
    Alive {
        /// Of the leaf.
        session: u64,
        /// Over all of its files.
        digest: u64,
        /// Whether I have a mandate.
        mandated: bool,
    },
    /// So am I.
    Well {
        /// Of the leaf.
        session: u64,
        /// Whether the directory has the same.
        in_sync: bool,
        /// Whom to ask when this one is gone.
        others: Box<[C]>,
    },
    /// I share these.
    Publish {
        /// Of the leaf.
        session: u64,
        /// Differs each time that a leaf begins anew.
        round: u32,
        /// Counted from 0, where what was there before is struck out.
        batch: u16,
        /// At most [`FILES_PER_BATCH`](super::FILES_PER_BATCH).
        files: Box<[Arc<File>]>,
    },
    /// They are in the directory.
    Kept {
        /// Of the leaf.
        session: u64,
        /// Of the batch.
        round: u32,
        /// Which.
        batch: u16,
    },
    /// Who has this?
    Search {
        /// Of the leaf.
        session: u64,
        /// The leaf's name for it.
        search: u32,
        /// What is looked for.
        words: Arc<str>,
    },
    /// These have.
    Found {
        /// Of the leaf.
        session: u64,
        /// The leaf's name for the search.
        search: u32,
        /// At most [`HITS_PER_ANSWER`](super::HITS_PER_ANSWER).
        hits: Arc<[Hit<C>]>,
    },
    /// Go to this one: there are too many here, or I am about to go.
    Redirect {
        /// Of the leaf.
        session: u64,
        /// A supernode.
        to: C,
    },

    // --- Calls ---
    /// Have that leaf of yours connect to me.
    Push {
        /// As given; whoever does not know it is told.
        cookie: u64,
        /// Which.
        leaf: C,
        /// What it is to name when it connects.
        ticket: Guid,
    },
    /// That one wants you to connect to it.
    Call {
        /// Of the leaf.
        session: u64,
        /// Who, as heard by the supernode.
        to: C,
        /// As given.
        ticket: Guid,
    },
    /// Do you want me to connect to you?
    Confirm {
        /// As given.
        ticket: Guid,
        /// To be repeated.
        nonce: u64,
    },
    /// I do.
    Confirmed {
        /// As given.
        ticket: Guid,
        /// As given.
        nonce: u64,
    },

    // --- Reputation ---
    /// I got a file from that one.
    Receipt {
        /// Of the leaf.
        session: u64,
        /// Whom from.
        uploader: C,
        /// Signed by the leaf.
        receipt: Box<Receipt>,
    },
    /// A leaf of mine got a file from you.
    Voucher(Box<Voucher>),
    /// I have uploaded to these.
    Stand {
        /// Of the leaf.
        session: u64,
        /// At most [`VOUCHERS_MAX`](super::VOUCHERS_MAX).
        vouchers: Box<[Voucher]>,
    },
    /// Try to reach this one, and testify.
    Nominate {
        /// Of the leaf or the link.
        session: u64,
        /// Where it is.
        nominee: C,
        /// Who it is.
        id: Id,
        /// Who asks.
        appointer: Id,
    },
    /// Do you hear me?
    Probe {
        /// To be repeated.
        nonce: u64,
    },
    /// I do.
    Probed {
        /// As given.
        nonce: u64,
    },
    /// I have reached it.
    Testify {
        /// Of the leaf or the link.
        session: u64,
        /// Whom.
        id: Id,
        /// Signed.
        testimony: Testimony,
    },
    /// You may be a supernode.
    Appoint {
        /// Of the leaf.
        session: u64,
        /// Whether at once; else when no other is found.
        now: bool,
        /// To be shown.
        mandate: Box<Mandate>,
    },

    // --- Between supernodes ---
    /// I am here.
    Beat {
        /// Of the link.
        session: u64,
        /// How many leaves I have.
        leaves: u16,
        /// Some others.
        others: Box<[(C, Id)]>,
    },
    /// Who has this?
    Query {
        /// Of the link.
        session: u64,
        /// Of the query, the same on all links.
        guid: u64,
        /// How many more links it may cross.
        ttl: u8,
        /// What is looked for.
        words: Arc<str>,
    },
    /// These have; back the way that the query came.
    Answer {
        /// Of the link.
        session: u64,
        /// Of the query.
        guid: u64,
        /// At most [`HITS_PER_ANSWER`](super::HITS_PER_ANSWER).
        hits: Arc<[Hit<C>]>,
    },
}
