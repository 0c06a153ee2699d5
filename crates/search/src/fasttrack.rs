//! A two-level network in the manner of FastTrack and Kazaa: ordinary nodes are leaves of one
//! supernode each, which keeps a directory of what they share; searches are flooded among supernodes
//! only; and who has shown to be fit becomes a supernode. Here live the machine of a node, what
//! nodes say to each other, and reputation. What does not live here: transfers of files, which go
//! by HTTP from node to node, and keys, which are the driver's.
//!
//! The wire format is our own. FastTrack's was never published, was encrypted, and is spoken by
//! nobody any more.

mod calls;
mod config;
mod directory;
mod election;
mod file;
mod flood;
mod identity;
mod leaf;
mod message;
mod reputation;
mod seek;
mod supernode;
#[cfg(test)]
mod tests;
mod user;
mod wire;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use machine::{Contact, Cx, DatagramMachine, Instant, Machine, OpId, Send};
use sha2::{Digest, Sha256};

pub use config::{
    Config, FILES_PER_BATCH, FILES_PER_LEAF, Fault, HITS_PER_ANSWER, HITS_PER_QUERY, OTHERS_MAX,
    SEARCHES_MAX,
};
pub use file::{File, FileHash, Hit, Kind, NAME_MAX, WORDS_MAX, hash_word};
pub use identity::{Id, Identity, Nominal, Signature};
pub use message::Message;
pub use reputation::{
    Bar, Mandate, Receipt, Standing, TESTIMONIES_MAX, Testimony, VOUCHERS_MAX, Voucher,
};
pub use wire::DATAGRAM_MAX;

pub use codec::datagram::Malformed;

use crate::gnutella::Guid;

use calls::Pending;
use election::Probe;
use leaf::Leaf;
use seek::Seeking;
use supernode::Supernode;
use user::User;

/// What a user asks of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<C> {
    /// Become part of the network that these nodes are in, supernodes or not; begin one, if there
    /// are none.
    Join {
        /// Nodes to begin with.
        known: Vec<C>,
    },
    /// Be a supernode, whatever others think of it, beside these; some of them must name this node
    /// as well, or nobody links to it.
    Serve {
        /// Supernodes.
        known: Vec<C>,
    },
    /// Say goodbye and stop.
    Leave,
    /// Share these files, and no others.
    Share {
        /// At most [`FILES_PER_LEAF`].
        files: Vec<Arc<File>>,
    },
    /// Find files that have all words in their names, or the one that is their [`hash_word`].
    Search {
        /// The words, at most [`WORDS_MAX`] bytes.
        words: Arc<str>,
    },
    /// End a search before its time.
    Cancel {
        /// The command that began it.
        search: OpId,
    },
    /// Have a leaf that cannot be connected to call this node.
    Push {
        /// Its supernode.
        supernode: C,
        /// Which.
        leaf: C,
        /// What it is to name when it calls, random.
        ticket: Guid,
    },
    /// A file has come from another node, which is owed a receipt.
    Downloaded {
        /// From where.
        from: C,
        /// From whom.
        uploader: Id,
        /// What.
        hash: FileHash,
        /// How many bytes of it.
        bytes: u64,
        /// How long that took, in milliseconds.
        millis: u32,
    },
}

/// What a node tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<C> {
    /// Part of the network, at this supernode; it may be the node itself.
    Joined {
        /// Whose leaf the node is.
        supernode: C,
    },
    /// None of the known nodes answers. They will be asked again.
    Unreachable,
    /// Out of the network.
    Left,
    /// Files that a search has found; more may follow.
    Found {
        /// None is told twice.
        hits: Vec<Hit<C>>,
    },
    /// A search is over.
    Ended,
    /// Too many searches run.
    Refused,
    /// The supernode is gone, and another is looked for.
    Lost,
    /// Somebody wants this node to connect to it, and has said so itself.
    CallWanted {
        /// Who.
        to: C,
        /// What to name.
        ticket: Guid,
    },
    /// The node is a supernode now.
    Elected,
    /// The node is no supernode any more.
    Demoted,
}

/// What a node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next round of upkeep.
    Tick,
    /// Whoever was asked to take the node in, by the number of the attempt.
    Asked(u32),
    /// A batch of files to be acknowledged.
    Batch(u32, u16),
    /// A search to be asked again, or to end.
    Search(u32),
    /// Calls that had no answer.
    Call,
}

/// What a node is in its network.
#[derive(Clone, Debug)]
enum Role<C> {
    Out,
    Seeking(Box<Seeking<C>>),
    Leaf(Leaf<C>),
    Supernode(Box<Supernode<C>>),
}

/// A node.
#[derive(Clone, Debug)]
pub struct FastTrack<C: Contact, S> {
    me: C,
    identity: S,
    config: Arc<Config<C>>,
    /// From which cookies and sessions follow.
    secret: u64,
    /// Whom the user named.
    known: Box<[C]>,
    joining: Option<OpId>,
    /// It stays a supernode, however few leaves it has.
    serves: bool,
    user: User<C>,
    /// Of uploads, of different networks.
    vouchers: Vec<Voucher>,
    mandate: Option<Box<Mandate>>,
    /// Of a leaf: whom it tries to reach for its supernode.
    probe: Option<Box<Probe<C>>>,
    /// Calls that it wants or owes.
    calls: Vec<Pending<C>>,
    role: Role<C>,
}

impl<C: Contact, S: Identity> FastTrack<C, S> {
    /// A node that others know as `me`; it is in no network yet. `secret` is random and nobody
    /// else's.
    #[must_use]
    pub fn new(me: C, identity: S, config: Arc<Config<C>>, secret: u64) -> Self {
        Self {
            me,
            identity,
            config,
            secret,
            known: Box::default(),
            joining: None,
            serves: false,
            user: User::default(),
            vouchers: Vec::new(),
            mandate: None,
            probe: None,
            calls: Vec::new(),
            role: Role::Out,
        }
    }

    /// The same, sharing these files from the start, of which [`FILES_PER_LEAF`] count.
    #[must_use]
    pub fn with_files(mut self, files: Vec<Arc<File>>) -> Self {
        self.user.set_library(files);
        self
    }

    /// The same, with what an earlier run was given for its uploads, as far as it is right.
    #[must_use]
    pub fn with_vouchers(mut self, vouchers: Vec<Voucher>) -> Self {
        vouchers.into_iter().take(VOUCHERS_MAX).for_each(|voucher| self.on_voucher(voucher));
        self
    }

    /// Who it is.
    pub fn id(&self) -> Id {
        self.identity.id()
    }

    /// Whether it is a supernode.
    #[must_use]
    pub const fn is_supernode(&self) -> bool {
        matches!(self.role, Role::Supernode(_))
    }

    /// Whose leaf it is; its own, if it is a supernode.
    #[must_use]
    pub fn supernode(&self) -> Option<C> {
        match &self.role {
            Role::Leaf(leaf) => Some(leaf.supernode),
            Role::Supernode(_) => Some(self.me),
            Role::Out | Role::Seeking(_) => None,
        }
    }

    /// Its leaves, if it is a supernode.
    pub fn leaves(&self) -> impl Iterator<Item = C> + '_ {
        self.as_supernode().into_iter().flat_map(|supernode| supernode.leaves.keys().copied())
    }

    /// Whom it would ask next, if its supernode were gone.
    #[must_use]
    pub fn others(&self) -> &[C] {
        match &self.role {
            Role::Leaf(leaf) => &leaf.others,
            _ => &[],
        }
    }

    /// Supernodes that it is linked to, if it is one.
    pub fn links(&self) -> impl Iterator<Item = C> + '_ {
        self.as_supernode().into_iter().flat_map(|supernode| supernode.links.keys().copied())
    }

    /// How many files its directory has.
    #[must_use]
    pub fn directory_len(&self) -> usize {
        self.as_supernode().map_or(0, |supernode| supernode.directory.len())
    }

    /// Whose files its directory has.
    pub fn directory_owners(&self) -> impl Iterator<Item = C> + '_ {
        self.as_supernode().into_iter().flat_map(|supernode| supernode.directory.owners())
    }

    /// Why others may take it for a supernode.
    #[must_use]
    pub fn mandate(&self) -> Option<&Mandate> {
        self.mandate.as_deref()
    }

    /// The vouchers for its uploads.
    #[must_use]
    pub fn vouchers(&self) -> &[Voucher] {
        &self.vouchers
    }

    /// Bytes that it takes, those on the heap included, files and vouchers aside.
    #[must_use]
    pub fn memory(&self) -> usize {
        let role = match &self.role {
            Role::Out => 0,
            Role::Seeking(_) => size_of::<Seeking<C>>(),
            Role::Leaf(leaf) => size_of_val(&*leaf.others),
            Role::Supernode(supernode) => size_of_val(&**supernode) + supernode.memory(),
        };
        let calls = self.calls.capacity() * size_of::<Pending<C>>();
        size_of::<Self>() + size_of_val(&*self.known) + self.user.memory() + calls + role
    }

    fn as_supernode(&self) -> Option<&Supernode<C>> {
        match &self.role {
            Role::Supernode(supernode) => Some(supernode),
            _ => None,
        }
    }

    /// 64 bits that nobody else can guess, the same each time for the same.
    fn token(&self, label: &'static [u8], whom: C, number: u64) -> u64 {
        struct Sponge(Sha256);
        impl Hasher for Sponge {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                let digest = self.0.clone().finalize();
                digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
        }
        let mut sponge = Sponge(Sha256::new());
        (self.secret, label, whom, number).hash(&mut sponge);
        sponge.finish()
    }

    /// What somebody who wants to be let in must have heard here.
    fn cookie(&self, whom: C) -> u64 {
        self.token(b"cookie", whom, 0)
    }

    fn network(&self, whom: C) -> u64 {
        (self.config.network)(whom.host())
    }

    fn on_tick(&mut self, cx: &mut Cx<'_, Self>) {
        match &self.role {
            Role::Out => return,
            Role::Seeking(_) => {}
            Role::Leaf(_) => self.leaf_tick(cx),
            Role::Supernode(_) => self.supernode_tick(cx),
        }
        self.set_tick(cx);
    }

    fn set_tick(&self, cx: &mut Cx<'_, Self>) {
        let (least, most) = self.config.tick;
        let spread = most.saturating_sub(least).as_nanos() as u64;
        let after = least + core::time::Duration::from_nanos(cx.rng().below(spread));
        cx.set_timer(after, Timer::Tick);
    }

    fn leave(&mut self, op: OpId, cx: &mut Cx<'_, Self>) {
        match core::mem::replace(&mut self.role, Role::Out) {
            Role::Leaf(Leaf { supernode, session, .. }) => {
                cx.send(supernode, Message::Bye { session });
            }
            Role::Supernode(supernode) => supernode.say_goodbye(self.me, cx),
            Role::Out | Role::Seeking(_) => {}
        }
        self.serves = false;
        self.calls = Vec::new();
        self.end_searches(cx);
        cx.answer(op, Event::Left);
    }
}

impl<C: Contact, S: Identity> Machine for FastTrack<C, S> {
    type Command = Command<C>;
    type Event = Event<C>;
    type Timer = Timer;
    type Effect = Send<C, Message<C>>;

    fn on_command(&mut self, op: OpId, command: Command<C>, cx: &mut Cx<'_, Self>) {
        match command {
            Command::Join { known } => self.join(op, known, cx),
            Command::Serve { known } => self.serve(op, known, cx),
            Command::Leave => self.leave(op, cx),
            Command::Share { files } => self.share(files, cx),
            Command::Search { words } => self.search(op, &words, cx),
            Command::Cancel { search } => self.cancel(search, cx),
            Command::Push { supernode, leaf, ticket } => self.push(supernode, leaf, ticket, cx),
            Command::Downloaded { from, uploader, hash, bytes, millis } => {
                let receipt = Receipt::sign(&self.identity, uploader, hash, bytes, millis);
                self.give_receipt(from, receipt, cx);
            }
        }
    }

    fn on_timer(&mut self, timer: Timer, cx: &mut Cx<'_, Self>) {
        match timer {
            Timer::Tick => self.on_tick(cx),
            Timer::Asked(number) => self.on_unanswered(number, cx),
            Timer::Batch(round, batch) => self.on_unacknowledged(round, batch, cx),
            Timer::Search(number) => self.on_search_timer(number, cx),
            Timer::Call => self.on_call_timer(cx),
        }
    }
}

impl<C: Contact, S: Identity> DatagramMachine for FastTrack<C, S> {
    type Contact = C;
    type Message = Message<C>;

    fn on_message(&mut self, from: C, message: Message<C>, cx: &mut Cx<'_, Self>) {
        if from == self.me {
            return;
        }
        match message {
            Message::Hello => self.on_hello(from, cx),
            Message::Cookie { cookie, id } => self.on_cookie(from, cookie, id, cx),
            Message::Elsewhere { others } => self.on_elsewhere(from, &others, cx),
            Message::Join { id, cookie, signature } => {
                self.on_join(from, id, cookie, &signature, cx);
            }
            Message::Welcome { session, others } => self.on_welcome(from, session, others, cx),
            Message::Link { id, cookie, signature, mandate } => {
                self.on_link(from, id, cookie, &signature, mandate.as_deref(), cx);
            }
            Message::Linked { session, id, others } => {
                self.on_linked(from, session, id, &others, cx);
            }
            Message::Bye { session } => self.on_bye(from, session, cx),
            Message::Alive { session, digest, mandated } => {
                self.on_alive(from, session, digest, mandated, cx);
            }
            Message::Well { session, in_sync, others } => {
                self.on_well(from, session, in_sync, others, cx);
            }
            Message::Publish { session, round, batch, files } => {
                self.on_publish(from, session, round, batch, &files, cx);
            }
            Message::Kept { session, round, batch } => {
                self.on_kept(from, session, round, batch, cx);
            }
            Message::Search { session, search, words } => {
                self.on_search(from, session, search, &words, cx);
            }
            Message::Found { session, search, hits } => {
                if self.hear_supernode(from, session, cx.now()) {
                    self.tell(search, &hits, cx);
                }
            }
            Message::Redirect { session, to } => self.on_redirect(from, session, to, cx),
            Message::Push { cookie, leaf, ticket } => self.on_push(from, cookie, leaf, ticket, cx),
            Message::Call { session, to, ticket } => self.on_call(from, session, to, ticket, cx),
            Message::Confirm { ticket, nonce } => self.on_confirm(from, ticket, nonce, cx),
            Message::Confirmed { ticket, nonce } => self.on_confirmed(from, ticket, nonce, cx),
            Message::Receipt { session, uploader, receipt } => {
                self.on_receipt(from, session, uploader, *receipt, cx);
            }
            Message::Voucher(voucher) => self.on_voucher(*voucher),
            Message::Stand { session, vouchers } => self.on_stand(from, session, vouchers, cx),
            Message::Nominate { session, nominee, id, appointer } => {
                self.on_nominate(from, session, nominee, id, appointer, cx);
            }
            Message::Probe { nonce } => {
                if !matches!(self.role, Role::Out) {
                    cx.send(from, Message::Probed { nonce });
                }
            }
            Message::Probed { nonce } => self.on_probed(from, nonce, cx),
            Message::Testify { session, id, testimony } => {
                self.on_testify(from, session, id, testimony, cx);
            }
            Message::Appoint { session, now, mandate } => {
                self.on_appoint(from, session, now, mandate, cx);
            }
            Message::Beat { session, leaves, others } => {
                self.on_beat(from, session, leaves, &others, cx);
            }
            Message::Query { session, guid, ttl, words } => {
                self.on_query(from, session, guid, ttl, &words, cx);
            }
            Message::Answer { session, guid, hits } => {
                self.on_answer(from, session, guid, &hits, cx);
            }
        }
    }
}

/// Whether `since` is so long ago that whoever was heard then is taken for dead.
fn is_silent<C: Contact>(config: &Config<C>, now: Instant, since: Instant) -> bool {
    now.since(since) > config.silence
}
