//! What the nodes of any overlay say to each other. What one kind of overlay adds travels in
//! [`Message::Own`]; how it all looks in a datagram is in `wire`.

use alloc::boxed::Box;

use machine::dht::Key;

use crate::held::{Item, Version};

/// What one node says to another. `tag` repeats the request's in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<C, S> {
    /// Who is responsible for `key`, or who is nearer to it?
    Find {
        /// Chosen by the asker.
        tag: u32,
        /// What is looked for.
        key: Key,
        /// How far the lookup has come, where an overlay has several stages.
        stage: u8,
    },
    /// Ask these: they are nearer.
    Nearer {
        /// Of the request.
        tag: u32,
        /// How far the lookup has come with them.
        stage: u8,
        /// Who they are, the best first.
        nodes: Box<[C]>,
    },
    /// These are responsible.
    Owners {
        /// Of the request.
        tag: u32,
        /// Who they are, in the order in which a value is to be sought.
        owners: Box<[C]>,
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
        /// Bit `i` says whether the `i`th offered key is wanted.
        bits: u32,
        /// What gives of these keys must repeat: it shows that the offerer hears what is sent to it.
        token: u32,
        /// The number of the version that is held of the first key; 0 if there is none.
        number: u32,
    },
    /// A value that was wanted.
    Give {
        /// Chosen by the giver.
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
    /// What only nodes of this overlay say.
    Own {
        /// Of a request and its answer; 0 for what nobody waits for.
        tag: u32,
        /// What it says.
        said: S,
    },
}

impl<C, S> Message<C, S> {
    /// The same among other contacts; `own` carries over what only its overlay says.
    #[must_use]
    pub fn map<D, R>(self, to: impl Fn(C) -> D, own: impl FnOnce(S) -> R) -> Message<D, R> {
        let list = |contacts: Box<[C]>| contacts.into_iter().map(&to).collect();
        match self {
            Self::Find { tag, key, stage } => Message::Find { tag, key, stage },
            Self::Nearer { tag, stage, nodes } => {
                Message::Nearer { tag, stage, nodes: list(nodes) }
            }
            Self::Owners { tag, owners } => Message::Owners { tag, owners: list(owners) },
            Self::Get { tag, key } => Message::Get { tag, key },
            Self::Value { tag, item } => Message::Value { tag, item },
            Self::Absent { tag } => Message::Absent { tag },
            Self::Offer { tag, put, keys } => Message::Offer { tag, put, keys },
            Self::Want { tag, bits, token, number } => Message::Want { tag, bits, token, number },
            Self::Give { tag, token, item } => Message::Give { tag, token, item },
            Self::Kept { tag } => Message::Kept { tag },
            Self::Own { tag, said } => Message::Own { tag, said: own(said) },
        }
    }
}
