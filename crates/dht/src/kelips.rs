//! Kelips (Gupta, Birman, Linga, Demers, van Renesse, IPTPS 2003): about √N affinity groups, of
//! which every node knows all members of its own and a few of each other, so that a lookup takes one
//! hop. What a node knows is kept fresh by gossip of constant size.
//!
//! Values lie at members of their key's group, their homes; every member knows the homes by tuples.

mod config;
mod gossip;
mod view;
mod wire;
mod wired;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use machine::Cx;
use machine::dht::{Contact, Cost, Key};

use crate::overlay::{Event, LIST_MAX, Overlay, Route, Rules, Topology};

pub use config::{Config, ENTRIES_MAX, Expiry, Fault, TUPLES_MAX};
pub use view::{Entry, Groups, Tuple};
pub use wired::Standing;

use view::group_of;

/// One node of a Kelips network.
pub type Kelips<C> = Overlay<Groups<C>>;
/// What Kelips nodes say to each other.
pub type Message<C> = crate::overlay::Message<C, Said<C>>;

/// The stage in which a put looks for more homes than a value needs.
const SPARE: u8 = 2;
/// Most nodes that a leaving one says goodbye to.
const GOODBYES_MAX: usize = 64;
/// Most members, and most contacts, that a joiner greets.
const GREETINGS_MAX: usize = 32;
/// Doors that a joiner remembers.
const DOORS_MAX: usize = 32;

/// What Kelips nodes say beyond what those of all overlays do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said<C> {
    /// Who lives, the sender first, and where values of its group are.
    Gossip {
        /// Nodes with their heartbeats.
        entries: Box<[Entry<C>]>,
        /// Values with their homes.
        tuples: Box<[Tuple<C>]>,
    },
    /// Whom do you know, for somebody in this group?
    WhoIsThere {
        /// The asker's group.
        group: u32,
        /// How many have been told already.
        after: u16,
    },
    /// These.
    View {
        /// The greatest heartbeat that is known of the asker.
        beat: u32,
        /// Nodes with their heartbeats, the sender first.
        entries: Box<[Entry<C>]>,
        /// Where to go on; `None` at the end.
        next: Option<u16>,
    },
    /// Are you there?
    Ping,
    /// I am, and this is my heartbeat.
    Pong {
        /// How often it has gossiped.
        beat: u32,
    },
    /// I leave.
    Goodbye,
}

impl<C> Said<C> {
    /// The same among other contacts.
    #[must_use]
    pub fn map<D>(self, to: impl Fn(C) -> D) -> Said<D> {
        let list = |entries: Box<[Entry<C>]>| -> Box<[Entry<D>]> {
            let entry = |it: Entry<C>| Entry { contact: to(it.contact), beat: it.beat };
            entries.into_iter().map(entry).collect()
        };
        match self {
            Self::Gossip { entries, tuples } => {
                let tuple = |it: Tuple<C>| Tuple {
                    key: it.key,
                    home: to(it.home),
                    number: it.number,
                    beat: it.beat,
                };
                let tuples = tuples.into_iter().map(tuple).collect();
                Said::Gossip { entries: list(entries), tuples }
            }
            Self::WhoIsThere { group, after } => Said::WhoIsThere { group, after },
            Self::View { beat, entries, next } => Said::View { beat, entries: list(entries), next },
            Self::Ping => Said::Ping,
            Self::Pong { beat } => Said::Pong { beat },
            Self::Goodbye => Said::Goodbye,
        }
    }
}

/// Why a node has asked another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To be let in, or to know more.
    View {
        /// How many have been told already.
        after: u16,
    },
    /// Whether it lives.
    Ping,
    /// How far off it is: it might be a better contact.
    Measure,
}

impl<C: Contact> Kelips<C> {
    /// Those who hold `key`, or should: the homes that are known, the newest version first, then
    /// the members nearest to it, until there are as many as hold a value, or as can be named when all
    /// of those are silent.
    fn holders(&self, key: &Key, all: bool) -> Vec<C> {
        let replicas = if all { LIST_MAX } else { self.rules().replicas() };
        let mut homes: Vec<(u32, C)> = self
            .topology
            .tuples
            .get(key)
            .into_iter()
            .flatten()
            .map(|home| (home.number, home.contact))
            .collect();
        homes.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.key().xor(key).cmp(&b.1.key().xor(key))));
        let mut holders: Vec<C> = homes.into_iter().map(|(_, home)| home).collect();
        if holders.len() < replicas {
            for near in self.topology.nearest(self.me, key, replicas) {
                if holders.len() < replicas && !holders.contains(&near) {
                    holders.push(near);
                }
            }
        }
        holders.truncate(LIST_MAX);
        holders
    }

    /// Asks the next door.
    fn knock(&mut self, cx: &mut Cx<'_, Self>) {
        match self.topology.doors.pop() {
            Some(door) => self.ask_own(door, Ask::View { after: 0 }, cx),
            None if self.topology.members.is_empty() && self.topology.contacts.is_empty() => {
                self.join_failed(cx);
            }
            None => {
                self.announce(cx);
                self.joined(cx);
            }
        }
    }

    /// Tells those whom a joiner has heard of that it is there: until then nobody can tell others.
    fn announce(&self, cx: &mut Cx<'_, Self>) {
        let kin = self.topology.members().filter(|&it| it != self.me).take(GREETINGS_MAX);
        let contacts = self.topology.contacts().map(|(_, it)| it).take(GREETINGS_MAX);
        for other in kin.chain(contacts) {
            let entries = Box::new([Entry { contact: self.me, beat: self.topology.beat }]);
            self.say(other, Said::Gossip { entries, tuples: Box::default() }, cx);
        }
    }
}

impl<C: Contact> Topology for Groups<C> {
    type Contact = C;
    type Config = Config;
    type Said = Said<C>;
    type Ask = Ask;
    type Search = ();

    const SPARE: Option<u8> = Some(SPARE);

    fn rules(config: &Config) -> &Rules {
        &config.rules
    }

    fn new(me: C, config: &Config) -> Self {
        Self::empty(me, config.groups)
    }

    fn heap_bytes(&self) -> usize {
        self.heap_bytes()
    }

    fn route(node: &Kelips<C>, key: &Key, stage: u8) -> Route<C> {
        let view = &node.topology;
        let group = group_of(key, view.groups);
        if group == view.group {
            return Route::Owners(node.holders(key, stage >= SPARE));
        }
        let mut contacts: Vec<_> = view.contacts_in(group).iter().map(|(_, known)| known).collect();
        contacts.sort_by_key(|known| (known.rtt, core::cmp::Reverse(known.heard)));
        let mut nodes: Vec<C> = contacts.into_iter().map(|known| known.contact).collect();
        // Whoever lacks a contact asks its own group for theirs, one after another.
        if stage == 0 {
            nodes.extend(
                view.nearest(node.me, key, LIST_MAX).into_iter().filter(|&it| it != node.me),
            );
        }
        nodes.truncate(LIST_MAX);
        Route::Next { stage: stage.max(1), nodes }
    }

    fn copies(node: &Kelips<C>, key: &Key) -> Option<Vec<C>> {
        if group_of(key, node.topology.groups) != node.topology.group {
            return None;
        }
        let mut homes: Vec<C> = node.topology.homes(key).collect();
        if !homes.contains(&node.me) {
            homes.push(node.me);
        }
        let first = homes.iter().min_by_key(|home| home.key().xor(key));
        if first != Some(&node.me) {
            return None;
        }
        for near in node.topology.nearest(node.me, key, node.rules().replicas()) {
            if homes.len() < node.rules().replicas() && !homes.contains(&near) {
                homes.push(near);
            }
        }
        homes.retain(|&home| home != node.me);
        Some(homes)
    }

    fn heirs(node: &Kelips<C>, key: &Key) -> Vec<C> {
        let mut heirs: Vec<C> = match group_of(key, node.topology.groups) == node.topology.group {
            true => node.topology.homes(key).collect(),
            false => node
                .topology
                .contacts_in(group_of(key, node.topology.groups))
                .iter()
                .map(|(_, known)| known.contact)
                .collect(),
        };
        let replicas = node.rules().replicas();
        if group_of(key, node.topology.groups) == node.topology.group {
            for near in node.topology.nearest(node.me, key, replicas + 1) {
                if heirs.len() <= replicas && !heirs.contains(&near) {
                    heirs.push(near);
                }
            }
        }
        heirs.retain(|&heir| heir != node.me);
        heirs.truncate(replicas);
        heirs
    }

    fn join(node: &mut Kelips<C>, mut known: Vec<C>, cx: &mut Cx<'_, Kelips<C>>) {
        if known.is_empty() {
            return node.joined(cx);
        }
        known.reverse();
        node.topology.doors = known;
        node.knock(cx);
    }

    fn tick(node: &mut Kelips<C>, cx: &mut Cx<'_, Kelips<C>>) {
        if node.is_member() {
            node.round(cx);
        }
    }

    fn leave(node: &mut Kelips<C>, cx: &mut Cx<'_, Kelips<C>>) {
        let mut to: Vec<C> = node.topology.members().filter(|&it| it != node.me).collect();
        cx.rng().shuffle(&mut to);
        to.truncate(GOODBYES_MAX);
        to.extend(node.topology.contacts().map(|(_, it)| it).take(GOODBYES_MAX));
        for other in to {
            node.say(other, Said::Goodbye, cx);
        }
    }

    fn kept(node: &mut Kelips<C>, key: &Key, cx: &mut Cx<'_, Kelips<C>>) {
        if node.config.has(Fault::NoTuples) {
            return;
        }
        let now = cx.now();
        let (home, number, beat) = (node.me, node.number(key, now), node.topology.beat);
        // It is told at once: the next heartbeat may be the last that was told of this home.
        if let Some(homes) = node.topology.tuples.get_mut(key) {
            homes.retain(|it| it.contact != home);
        }
        let tuple = Tuple { key: *key, home, number, beat };
        node.topology.learn_tuple(tuple, &node.config, now);
        node.tell_of_tuple(*key, home);
        for _ in 0..node.config.to_members {
            if let Some(member) = node.topology.any_member(home, cx.rng()) {
                let entries = Box::new([Entry { contact: home, beat }]);
                node.say(member, Said::Gossip { entries, tuples: Box::new([tuple]) }, cx);
            }
        }
    }

    fn request(node: &Kelips<C>, ask: &Ask) -> Said<C> {
        match ask {
            Ask::View { after } => Said::WhoIsThere { group: node.topology.group, after: *after },
            Ask::Ping | Ask::Measure => Said::Ping,
        }
    }

    fn on_said(node: &mut Kelips<C>, from: C, tag: u32, said: Said<C>, cx: &mut Cx<'_, Kelips<C>>) {
        match said {
            Said::Gossip { entries, tuples } => node.on_gossip(from, &entries, &tuples, cx),
            Said::WhoIsThere { group, after } if node.is_member() => {
                let (entries, next) = node.page(group, after);
                let beat = node.topology.beat_of(from, &node.config, cx.now());
                node.reply(from, tag, Said::View { beat, entries, next }, cx);
            }
            Said::Ping => {
                let beat = node.topology.beat;
                node.reply(from, tag, Said::Pong { beat }, cx);
            }
            Said::Goodbye => {
                node.topology.bury(from, cx.now());
                node.topology.lost.retain(|&lost| lost != from);
            }
            _ => {}
        }
    }

    fn on_answer(
        node: &mut Kelips<C>,
        from: C,
        ask: Ask,
        said: Said<C>,
        cx: &mut Cx<'_, Kelips<C>>,
    ) {
        match (ask, said) {
            (Ask::View { after }, Said::View { beat, entries, next }) => {
                if beat >= node.topology.beat && beat < u32::MAX / 2 {
                    node.topology.beat = beat + 1;
                }
                let had_kin = !node.topology.members.is_empty();
                for &entry in &entries {
                    node.hear_of(entry, from == entry.contact, cx);
                }
                if node.is_member() {
                    return;
                }
                let next = next.filter(|&next| next > after);
                let is_kin = group_of(&from.key(), node.topology.groups) == node.topology.group;
                match next {
                    Some(after) => return node.ask_own(from, Ask::View { after }, cx),
                    // All that one of its own group knows is enough.
                    None if is_kin => node.topology.doors.clear(),
                    None if !had_kin => {
                        let kin: Vec<C> = node.topology.members().take(DOORS_MAX).collect();
                        node.topology.doors.splice(.., kin);
                    }
                    None => {}
                }
                node.knock(cx);
            }
            (_, Said::Pong { beat })
                if node.topology.knows(from) || node.topology.lost.contains(&from) =>
            {
                node.topology.lost.retain(|&lost| lost != from);
                node.hear_of(Entry { contact: from, beat }, true, cx);
            }
            _ => {}
        }
    }

    fn on_silence(node: &mut Kelips<C>, _: C, ask: Ask, cx: &mut Cx<'_, Kelips<C>>) {
        if let (Ask::View { .. }, false) = (ask, node.is_member()) {
            node.knock(cx);
        }
    }

    fn on_found(_: &mut Kelips<C>, (): (), _: Key, _: &[C], _: Cost, _: &mut Cx<'_, Kelips<C>>) {}

    fn heard(node: &mut Kelips<C>, who: C, rtt: Option<Duration>, cx: &mut Cx<'_, Kelips<C>>) {
        // Who keeps nothing up notes nothing: tables that stand are shared.
        if node.rules().tick.is_none() {
            return;
        }
        let now = cx.now();
        match rtt {
            Some(rtt) => node.topology.measured(who, rtt, &node.config, now),
            None => node.topology.touch(who, now),
        }
    }

    fn suspected(node: &mut Kelips<C>, who: C, cx: &mut Cx<'_, Kelips<C>>) {
        if node.topology.knows(who) {
            cx.emit(Event::Suspected(who));
        }
        node.topology.lose(who, cx.now());
    }
}
