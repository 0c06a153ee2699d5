//! What Chord nodes say to each other. How it looks in a datagram is in `wire`.

use alloc::boxed::Box;

use machine::dht::Key;

use crate::held::{Item, Version};

/// Whom a node has beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbours<C> {
    /// Whom it takes for its predecessor.
    pub predecessor: Option<C>,
    /// Its successor list.
    pub successors: Box<[C]>,
}

/// The answer to an [`Message::Offer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Bit `i` says whether the `i`th offered key is wanted.
    pub bits: u32,
    /// What gives of these keys must repeat: it shows that the offerer hears what is sent to it.
    pub token: u32,
    /// The number of the version that is held of the first key; 0 if there is none.
    pub number: u32,
}

/// What one node says to another. `tag` repeats the request's in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<C> {
    /// Who is responsible for `key`, or who is nearer to it?
    Find {
        /// Chosen by the asker.
        tag: u32,
        /// What is looked for.
        key: Key,
        /// A node that the asker got no answer from: name another.
        avoid: Option<C>,
        /// Whether the answer should name the successors of the owner, too.
        list: bool,
    },
    /// Ask this one: it is nearer. Naming itself, a node knows nobody else.
    Refer {
        /// Of the request.
        tag: u32,
        /// The closest predecessor of the key that is known.
        to: C,
    },
    /// This one is responsible.
    Owner {
        /// Of the request.
        tag: u32,
        /// The first node at or after the key.
        owner: C,
    },
    /// These are responsible, the owner first.
    Owners {
        /// Of the request.
        tag: u32,
        /// The owner and who follows it.
        owners: Box<[C]>,
    },
    /// A lookup on its way (recursive style).
    Route {
        /// Chosen by the origin.
        tag: u32,
        /// Who began it and gets the answer.
        origin: C,
        /// What is looked for.
        key: Key,
        /// Hops made, this one included.
        hops: u16,
        /// Silent nodes passed over.
        timeouts: u8,
        /// Whether the receiver is the owner, by its predecessor's word.
        last: bool,
        /// Whether the answer should name the owner's successors, too.
        list: bool,
    },
    /// A [`Route`](Self::Route) has been taken on.
    Ack {
        /// Of the lookup.
        tag: u32,
    },
    /// A [`Route`](Self::Route) has reached its owner, who says this.
    Arrived {
        /// Of the lookup.
        tag: u32,
        /// Hops it took.
        hops: u16,
        /// Silent nodes it passed over.
        timeouts: u8,
        /// The owner's successors, if they were asked for.
        successors: Option<Box<[C]>>,
    },
    /// Who is beside you?
    GetNeighbours {
        /// Chosen by the asker.
        tag: u32,
    },
    /// These are.
    Neighbours {
        /// Of the request.
        tag: u32,
        /// Who they are.
        neighbours: Neighbours<C>,
    },
    /// I think that I am your predecessor.
    Notify,
    /// This one may belong between you and your successor: ask it.
    Suggest {
        /// A member of some ring.
        contact: C,
    },
    /// Are you there?
    Ping {
        /// Chosen by the asker.
        tag: u32,
    },
    /// I am.
    Pong {
        /// Of the request.
        tag: u32,
    },
    /// I leave; these were beside me.
    Goodbye {
        /// Who they are.
        neighbours: Neighbours<C>,
    },
    /// What is stored under `key`?
    Get {
        /// Chosen by the asker.
        tag: u32,
        /// The name.
        key: Key,
    },
    /// This is.
    Value {
        /// Of the request.
        tag: u32,
        /// The value.
        item: Box<Item>,
    },
    /// Nothing is.
    Absent {
        /// Of the request.
        tag: u32,
    },
    /// I hold these; what of it do you want?
    Offer {
        /// Chosen by the offerer.
        tag: u32,
        /// Whether the sender is a user who puts, not a node that repairs: all is wanted.
        put: bool,
        /// Keys and how new their values are.
        keys: Box<[(Key, Version)]>,
    },
    /// This much.
    Want {
        /// Of the offer.
        tag: u32,
        /// What of it.
        wanted: Box<Wanted>,
    },
    /// A value that was wanted.
    Give {
        /// Chosen by the giver, for [`Kept`](Self::Kept).
        tag: u32,
        /// Of the [`Want`](Self::Want).
        token: u32,
        /// The value.
        item: Box<Item>,
    },
    /// A given value is stored.
    Kept {
        /// Of the give.
        tag: u32,
    },
}

impl<C> Message<C> {
    /// Whether it answers a request of whoever hears it.
    #[must_use]
    pub const fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Refer { .. }
                | Self::Owner { .. }
                | Self::Owners { .. }
                | Self::Ack { .. }
                | Self::Arrived { .. }
                | Self::Neighbours { .. }
                | Self::Pong { .. }
                | Self::Value { .. }
                | Self::Absent { .. }
                | Self::Want { .. }
                | Self::Kept { .. }
        )
    }
}

impl<C> Message<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Message<D> {
        let list = |contacts: Box<[C]>| -> Box<[D]> { contacts.into_iter().map(&to).collect() };
        let beside = |said: Neighbours<C>| Neighbours {
            predecessor: said.predecessor.map(&to),
            successors: list(said.successors),
        };
        match self {
            Self::Neighbours { tag, neighbours } => {
                Message::Neighbours { tag, neighbours: beside(neighbours) }
            }
            Self::Goodbye { neighbours } => Message::Goodbye { neighbours: beside(neighbours) },
            Self::Find { tag, key, avoid, list } => {
                Message::Find { tag, key, avoid: avoid.map(to), list }
            }
            Self::Refer { tag, to: next } => Message::Refer { tag, to: to(next) },
            Self::Owner { tag, owner } => Message::Owner { tag, owner: to(owner) },
            Self::Owners { tag, owners } => Message::Owners { tag, owners: list(owners) },
            Self::Route { tag, origin, key, hops, timeouts, last, list } => {
                Message::Route { tag, origin: to(origin), key, hops, timeouts, last, list }
            }
            Self::Arrived { tag, hops, timeouts, successors } => {
                Message::Arrived { tag, hops, timeouts, successors: successors.map(list) }
            }
            Self::Suggest { contact } => Message::Suggest { contact: to(contact) },
            Self::Ack { tag } => Message::Ack { tag },
            Self::GetNeighbours { tag } => Message::GetNeighbours { tag },
            Self::Notify => Message::Notify,
            Self::Ping { tag } => Message::Ping { tag },
            Self::Pong { tag } => Message::Pong { tag },
            Self::Get { tag, key } => Message::Get { tag, key },
            Self::Value { tag, item } => Message::Value { tag, item },
            Self::Absent { tag } => Message::Absent { tag },
            Self::Offer { tag, put, keys } => Message::Offer { tag, put, keys },
            Self::Want { tag, wanted } => Message::Want { tag, wanted },
            Self::Give { tag, token, item } => Message::Give { tag, token, item },
            Self::Kept { tag } => Message::Kept { tag },
        }
    }
}
