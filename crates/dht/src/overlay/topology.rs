//! What makes one overlay differ from another: whom a node knows, where a key leads, who holds it,
//! and how all that is kept up.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use machine::Cx;
use machine::dht::{Contact, Cost, Key};

use super::{Overlay, Rules};

/// Where a key leads from one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route<C> {
    /// These are responsible, in the order in which a value is to be sought.
    Owners(Vec<C>),
    /// These are nearer, the best first; empty if nobody is known.
    Next {
        /// How far the lookup has come with them.
        stage: u8,
        /// Who they are.
        nodes: Vec<C>,
    },
}

/// A contact of the overlay `T`.
pub type ContactOf<T> = <T as Topology>::Contact;

/// One kind of overlay: the tables of one node, and what it does with them. Functions take the whole
/// node, whose [`topology`](Overlay::topology) they are.
pub trait Topology: Sized {
    /// The stage that a lookup for a value begins in, where it may end sooner than others.
    const SEEK: u8 = 0;

    /// The stage in which a put looks for others who may hold the value, once all whom it led to are
    /// silent; `None` if there are no others.
    const SPARE: Option<u8> = None;

    /// How a node knows others.
    type Contact: Contact;
    /// What may be chosen.
    type Config;
    /// What its nodes say beyond what those of all overlays say.
    type Said;
    /// Why it has asked somebody something of its own.
    type Ask;
    /// Why it looks up a key by itself.
    type Search;

    /// What it shares with all overlays.
    fn rules(config: &Self::Config) -> &Rules;
    /// The tables of a node that knows nobody.
    fn new(me: Self::Contact, config: &Self::Config) -> Self;
    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize;

    /// The names that a value of `key` lies under, the first of which is `key`.
    fn names(config: &Self::Config, key: &Key) -> Vec<Key> {
        let _ = config;
        Vec::from([*key])
    }
    /// The stages in which lookups end with each of the sets of nodes that hold a value on their own:
    /// a put goes to all of them, a get to the others when the nearest fails. One of [`LIST_MAX`] at
    /// most.
    ///
    /// [`LIST_MAX`]: super::LIST_MAX
    fn places(config: &Self::Config) -> Range<u8> {
        let _ = config;
        0..1
    }
    /// How far away `name` is, to ask the nearest of several first.
    fn away(node: &Overlay<Self>, name: &Key) -> u128 {
        let _ = (node, name);
        0
    }
    /// Where `key` leads, for a lookup that has come as far as `stage`; 0 at its beginning.
    fn route(node: &Overlay<Self>, key: &Key, stage: u8) -> Route<Self::Contact>;
    /// The other nodes that should hold what is stored here under `key`; `None` if it is not this
    /// node's to see to that.
    fn copies(node: &Overlay<Self>, key: &Key) -> Option<Vec<Self::Contact>>;
    /// Who holds `key` once this node has left.
    fn heirs(node: &Overlay<Self>, key: &Key) -> Vec<Self::Contact>;

    /// Becomes a member through `known`, which is empty for the first of a network: ends with
    /// `Overlay::joined` or `Overlay::join_failed`.
    fn join(node: &mut Overlay<Self>, known: Vec<Self::Contact>, cx: &mut Cx<'_, Overlay<Self>>);
    /// A round of upkeep.
    fn tick(node: &mut Overlay<Self>, cx: &mut Cx<'_, Overlay<Self>>);
    /// Says goodbye.
    fn leave(node: &mut Overlay<Self>, cx: &mut Cx<'_, Overlay<Self>>);
    /// A value has been stored here.
    fn kept(node: &mut Overlay<Self>, key: &Key, cx: &mut Cx<'_, Overlay<Self>>) {
        let _ = (node, key, cx);
    }

    /// How `ask` is asked.
    fn request(node: &Overlay<Self>, ask: &Self::Ask) -> Self::Said;
    /// `from` says something that nobody here waits for.
    fn on_said(
        node: &mut Overlay<Self>,
        from: Self::Contact,
        tag: u32,
        said: Self::Said,
        cx: &mut Cx<'_, Overlay<Self>>,
    );
    /// `from` answers.
    fn on_answer(
        node: &mut Overlay<Self>,
        from: Self::Contact,
        ask: Self::Ask,
        said: Self::Said,
        cx: &mut Cx<'_, Overlay<Self>>,
    );
    /// `to` does not answer.
    fn on_silence(
        node: &mut Overlay<Self>,
        to: Self::Contact,
        ask: Self::Ask,
        cx: &mut Cx<'_, Overlay<Self>>,
    );
    /// A lookup of its own has ended; with no `owners` if it led nowhere.
    fn on_found(
        node: &mut Overlay<Self>,
        search: Self::Search,
        key: Key,
        owners: &[Self::Contact],
        cost: Cost,
        cx: &mut Cx<'_, Overlay<Self>>,
    );
    /// `who` looks for its own place: it is no member, whatever it was before.
    fn looks_for_itself(node: &mut Overlay<Self>, who: Self::Contact) {
        let _ = (node, who);
    }
    /// `who` lives, and took so long to answer if that was measured.
    fn heard(
        node: &mut Overlay<Self>,
        who: Self::Contact,
        rtt: Option<Duration>,
        cx: &mut Cx<'_, Overlay<Self>>,
    );
    /// `who` has not answered a request.
    fn suspected(node: &mut Overlay<Self>, who: Self::Contact, cx: &mut Cx<'_, Overlay<Self>>);
}
