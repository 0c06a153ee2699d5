//! What nodes of prefix overlays say to fill each other's tables, and how that looks in a datagram.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::chord::Peer;
use crate::overlay::wire::{Contacts, OWN, PEER_MAX, encode_list};
use crate::overlay::{Malformed, Reader, Speech};

/// Most contacts in one message.
pub const WORD_MAX: usize = 48;
/// Most nodes that a step of a walk names to go on with.
pub const WALK_MAX: usize = 4;

/// Bytes that an answer full of contacts has, a third of which its request has.
pub(crate) const ASKS_CONTACTS: usize = (16 + (WORD_MAX + WALK_MAX) * PEER_MAX).div_ceil(3);
/// The first kind that is one network's own.
pub(crate) const OWN_KIND: u8 = OWN + 16;

/// What nodes of all prefix overlays say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word<C> {
    /// Are you there?
    Ping,
    /// I am.
    Pong {
        /// And a member, to whom others may turn.
        member: bool,
    },
    /// I walk towards my own place: what do you know from this level on, and who is nearer to it?
    Walk {
        /// Digits that are resolved already.
        level: u8,
        /// Whether the asker is a member, who looks whether everybody knows it.
        member: bool,
    },
    /// This.
    Way {
        /// Whether nobody is nearer.
        done: bool,
        /// How many digits are resolved with those who come next.
        level: u8,
        /// Whom to ask next, the best first.
        next: Box<[C]>,
        /// Others, for the walker's tables.
        contacts: Box<[C]>,
    },
    /// Whom do you have that share this many digits with you?
    GetRow {
        /// How many.
        level: u8,
    },
    /// These.
    Row {
        /// How many digits they share with the sender, at least.
        level: u8,
        /// Who they are.
        contacts: Box<[C]>,
    },
    /// I am a member now.
    Hello,
    /// I leave; these may take my place.
    Goodbye {
        /// Who they are.
        contacts: Box<[C]>,
    },
}

/// A [`Word`], or what one network adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<C, O> {
    /// What all say.
    Word(Word<C>),
    /// What this network says.
    Own(O),
}

impl<C, O> Said<C, O> {
    /// The same among other contacts; `own` carries over what only its network says.
    #[must_use]
    pub fn map<D, P>(self, to: impl Fn(C) -> D, own: impl FnOnce(O) -> P) -> Said<D, P> {
        let list = |contacts: Box<[C]>| -> Box<[D]> { contacts.into_iter().map(&to).collect() };
        Said::Word(match self {
            Self::Own(it) => return Said::Own(own(it)),
            Self::Word(Word::Ping) => Word::Ping,
            Self::Word(Word::Pong { member }) => Word::Pong { member },
            Self::Word(Word::Walk { level, member }) => Word::Walk { level, member },
            Self::Word(Word::Way { done, level, next, contacts }) => {
                Word::Way { done, level, next: list(next), contacts: list(contacts) }
            }
            Self::Word(Word::GetRow { level }) => Word::GetRow { level },
            Self::Word(Word::Row { level, contacts }) => {
                Word::Row { level, contacts: list(contacts) }
            }
            Self::Word(Word::Hello) => Word::Hello,
            Self::Word(Word::Goodbye { contacts }) => Word::Goodbye { contacts: list(contacts) },
        })
    }
}

/// Why a node has asked another something of the network's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask<O> {
    /// Whether it is there, and how far.
    Ping,
    /// The next step of a walk.
    Walk,
    /// A row of its table.
    Row(u8),
    /// What this network asks.
    Own(O),
}

impl<O: Speech> Speech for Said<Peer, O> {
    const MAGIC: [u8; 2] = O::MAGIC;

    fn kind(&self) -> u8 {
        match self {
            Self::Word(Word::Ping) => OWN,
            Self::Word(Word::Pong { .. }) => OWN + 1,
            Self::Word(Word::Walk { .. }) => OWN + 2,
            Self::Word(Word::Way { .. }) => OWN + 3,
            Self::Word(Word::GetRow { .. }) => OWN + 4,
            Self::Word(Word::Row { .. }) => OWN + 5,
            Self::Word(Word::Hello) => OWN + 6,
            Self::Word(Word::Goodbye { .. }) => OWN + 7,
            Self::Own(own) => own.kind(),
        }
    }

    fn least_length(&self) -> usize {
        match self {
            Self::Word(Word::Walk { .. } | Word::GetRow { .. }) => ASKS_CONTACTS,
            Self::Word(_) => 0,
            Self::Own(own) => own.least_length(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Word(Word::Ping | Word::Hello) => {}
            Self::Word(Word::Pong { member }) => out.push(u8::from(*member)),
            Self::Word(Word::Walk { level, member }) => out.extend([*level, u8::from(*member)]),
            Self::Word(Word::Way { done, level, next, contacts }) => {
                out.extend([u8::from(*done), *level]);
                encode_list(next, WALK_MAX, out);
                encode_list(contacts, WORD_MAX, out);
            }
            Self::Word(Word::GetRow { level }) => out.push(*level),
            Self::Word(Word::Row { level, contacts }) => {
                out.push(*level);
                encode_list(contacts, WORD_MAX, out);
            }
            Self::Word(Word::Goodbye { contacts }) => encode_list(contacts, WORD_MAX, out),
            Self::Own(own) => own.encode(out),
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let word = match kind.wrapping_sub(OWN) {
            0 => Word::Ping,
            1 => Word::Pong { member: reader.flag("the member flag")? },
            2 => {
                let level = reader.u8("the level")?;
                Word::Walk { level, member: reader.flag("the member flag")? }
            }
            3 => {
                let done = reader.flag("the end flag")?;
                let level = reader.u8("the level")?;
                let next = reader.list(WALK_MAX)?;
                Word::Way { done, level, next, contacts: reader.list(WORD_MAX)? }
            }
            4 => Word::GetRow { level: reader.u8("the level")? },
            5 => {
                let level = reader.u8("the level")?;
                Word::Row { level, contacts: reader.list(WORD_MAX)? }
            }
            6 => Word::Hello,
            7 => Word::Goodbye { contacts: reader.list(WORD_MAX)? },
            16.. => return O::decode(kind, reader).map(Self::Own),
            _ => return Err(Malformed::Kind(kind)),
        };
        Ok(Self::Word(word))
    }
}
