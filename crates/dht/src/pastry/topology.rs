//! How a Pastry node routes, joins, keeps its leaves and says where copies are.

use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use machine::Cx;
use machine::dht::{Contact, Cost, Key};

use super::config::{Config, Fault, LEAVES_MAX};
use super::leaves::{Leaves, apart};
use super::message::{Leaf, LeafAsk};
use super::{Pastry, Tables};
use crate::overlay::{LIST_MAX, Overlay, Route, Rules, Topology};
use crate::prefix::{self, Ask, Base, Core, Prefixed, Said, Word};

/// The stages of a lookup: digits, then the leaf set that covers the key, then whoever is left when
/// those who are nearer are silent.
const DIGITS: u8 = 0;
const LAST: u8 = 2;
/// How many ways on a node names.
const WAYS: usize = 3;

impl<C: Contact> Tables<C> {
    /// The nodes that lead on to `key`: first the one that the table has for its next digit, then
    /// others who share as long a prefix and are nearer to it than `me` (section 2.3), `all` of them
    /// or the best.
    fn leading_on(&self, me: C, key: &Key, all: bool, but: Option<C>) -> Vec<C> {
        let table = &self.core.table;
        let (base, here) = (table.base(), me.key());
        let level = base.shared(&here, key);
        let mut found: Vec<C> = Vec::with_capacity(WAYS);
        let slot = table.slot(level, base.digit(key, level)).iter().map(|it| it.contact);
        found.extend(slot.filter(|&who| Some(who) != but));
        let mine = apart(here, *key);
        let leads = |who: &C| {
            let there = who.key();
            Some(*who) != but && base.shared(&there, key) >= level && apart(there, *key) < mine
        };
        let rows = table.from_level(level, base.levels()).iter().map(|it| it.contact);
        let others = rows.chain(self.leaves.iter()).chain(self.neighbourhood());
        let ranked = others.filter(leads).map(|who| {
            let there = who.key();
            (core::cmp::Reverse(base.shared(&there, key)), apart(there, *key), who)
        });
        if all {
            let mut rest: Vec<_> = ranked.collect();
            rest.sort_unstable();
            rest.dedup();
            rest.retain(|(.., who)| !found.contains(who));
            found.extend(rest.into_iter().map(|(.., who)| who));
            return found;
        }
        // The others are in reserve, in case that the entry is silent.
        let mut best = [None; WAYS];
        for one in ranked.filter(|(.., who)| !found.contains(who)).map(Some) {
            if !best.contains(&one)
                && let Some(at) = best.iter().position(|other| other.is_none() || one < *other)
            {
                best[at..].rotate_right(1);
                best[at] = one;
            }
        }
        found.extend(best.into_iter().flatten().map(|(.., who)| who));
        found.truncate(WAYS);
        found
    }

    /// Brings another than the best to the front, now and then.
    fn randomise(&self, ways: &mut [C], key: &Key) {
        let salt = self.salt.get().wrapping_add(1);
        self.salt.set(salt);
        let mut rng = machine::Rng::new((key.front() >> 64) as u64 ^ u64::from(salt));
        if ways.len() > 1 && rng.below(2) == 0 {
            ways.swap(0, rng.below(ways.len() as u64) as usize);
        }
    }

    fn drop_contact(&mut self, who: C) -> bool {
        self.near.retain(|&(_, near)| near != who);
        self.leaves.remove(who)
    }
}

impl<C: Contact> Topology for Tables<C> {
    type Contact = C;
    type Config = Config;
    type Said = Said<C, Leaf<C>>;
    type Ask = Ask<LeafAsk>;
    type Search = ();

    fn rules(config: &Config) -> &Rules {
        &config.rules
    }

    fn new(_: C, config: &Config) -> Self {
        Self {
            core: Core::new(Base::new(config.bits)),
            leaves: Leaves::default(),
            near: Vec::new(),
            next_leaf: 0,
            salt: Cell::new(0),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.core.heap_bytes()
            + self.leaves.heap_bytes()
            + self.near.capacity() * size_of::<(u32, C)>()
    }

    fn route(node: &Pastry<C>, key: &Key, stage: u8) -> Route<C> {
        let (me, here, config) = (node.me(), node.topology(), node.config());
        if config.has(Fault::AnyHop) && stage == DIGITS {
            let ways: Vec<C> = here.entries().iter().take(WAYS).map(|it| it.contact).collect();
            if !ways.is_empty() {
                return Route::Next { stage, nodes: ways };
            }
        }
        if !here.leaves.covers(me, key, config.half()) && stage == DIGITS {
            let mut nodes = here.leading_on(me, key, config.randomised, None);
            if config.randomised {
                here.randomise(&mut nodes, key);
            }
            nodes.truncate(WAYS);
            if !nodes.is_empty() {
                return Route::Next { stage, nodes };
            }
        }
        let mut owners = here.leaves.closest(me, key, LIST_MAX);
        match owners.iter().position(|&who| who == me) {
            Some(0) => Route::Owners(owners),
            // Those who are nearer were asked before, and are silent.
            Some(at) if stage >= LAST => {
                owners[..=at].rotate_right(1);
                Route::Owners(owners)
            }
            _ => Route::Next { stage: stage + 1, nodes: owners },
        }
    }

    fn copies(node: &Pastry<C>, key: &Key) -> Option<Vec<C>> {
        let (me, here) = (node.me(), node.topology());
        if !here.leaves.covers(me, key, node.config().half()) {
            return None;
        }
        let mut owners = here.leaves.closest(me, key, node.rules().replicas());
        (owners.first() == Some(&me)).then(|| owners.split_off(1))
    }

    fn heirs(node: &Pastry<C>, key: &Key) -> Vec<C> {
        let (me, count) = (node.me(), node.rules().replicas());
        let mut owners = node.topology().leaves.closest(me, key, count + 1);
        owners.retain(|&who| who != me);
        owners.truncate(count);
        owners
    }

    fn join(node: &mut Pastry<C>, known: Vec<C>, cx: &mut Cx<'_, Pastry<C>>) {
        if known.is_empty() {
            return node.joined(cx);
        }
        prefix::begin_walk(node, &known, cx);
    }

    fn tick(node: &mut Pastry<C>, cx: &mut Cx<'_, Pastry<C>>) {
        if !node.is_member() {
            return;
        }
        let (rows, merge) = (node.config().rows_every, node.config().merge_every);
        let core = &mut node.topology.core;
        core.ticks = core.ticks.wrapping_add(1);
        let ticks = core.ticks;
        if !node.config().has(Fault::StaleLeaves) {
            keep_leaves(node, cx);
        }
        if rows > 0 && ticks.is_multiple_of(rows) {
            prefix::ask_row(node, cx);
        }
        if merge > 0 && ticks.is_multiple_of(merge) {
            prefix::revisit(node, cx);
        }
    }

    fn leave(node: &mut Pastry<C>, cx: &mut Cx<'_, Pastry<C>>) {
        let contacts: Vec<C> = each_once(&node.topology().leaves);
        let word = Word::Goodbye { contacts: contacts.clone().into() };
        prefix::greet_all(node, &contacts, &word, cx);
    }

    fn request(node: &Pastry<C>, ask: &Ask<LeafAsk>) -> Said<C, Leaf<C>> {
        prefix::request(node, ask).unwrap_or(Said::Own(Leaf::GetLeaves))
    }

    fn on_said(
        node: &mut Pastry<C>,
        from: C,
        tag: u32,
        said: Said<C, Leaf<C>>,
        cx: &mut Cx<'_, Pastry<C>>,
    ) {
        match said {
            Said::Word(word) => prefix::on_word(node, from, tag, word, cx),
            Said::Own(Leaf::GetLeaves) if node.is_member() => {
                let mut contacts = each_once(&node.topology().leaves);
                contacts.truncate(LEAVES_MAX);
                node.reply(from, tag, Said::Own(Leaf::Leaves { contacts: contacts.into() }), cx);
                prefix::consider(node, from, cx);
            }
            Said::Own(_) => {}
        }
    }

    fn on_answer(
        node: &mut Pastry<C>,
        from: C,
        ask: Ask<LeafAsk>,
        said: Said<C, Leaf<C>>,
        cx: &mut Cx<'_, Pastry<C>>,
    ) {
        let own = prefix::on_answer(node, from, ask, said, cx);
        if let Some((LeafAsk::Leaves, Leaf::Leaves { contacts })) = own {
            let (me, half) = (node.me(), node.config().half());
            for &who in &contacts {
                if node.topology().leaves.wants(me, who, half) {
                    prefix::consider(node, who, cx);
                }
            }
        }
    }

    fn on_silence(node: &mut Pastry<C>, _: C, ask: Ask<LeafAsk>, cx: &mut Cx<'_, Pastry<C>>) {
        prefix::on_silence(node, ask, cx);
    }

    fn on_found(_: &mut Pastry<C>, (): (), _: Key, _: &[C], _: Cost, _: &mut Cx<'_, Pastry<C>>) {}

    fn heard(node: &mut Pastry<C>, who: C, rtt: Option<Duration>, _: &mut Cx<'_, Pastry<C>>) {
        prefix::heard(node, who, rtt);
    }

    fn suspected(node: &mut Pastry<C>, who: C, cx: &mut Cx<'_, Pastry<C>>) {
        prefix::suspect(node, who, cx);
        let leaves = &node.topology().leaves;
        let (after, before) = (leaves.after().contains(&who), leaves.before().contains(&who));
        if node.topology.drop_contact(who) {
            // Whoever is farthest on its side knows who comes next (section 2.4).
            let leaves = &node.topology().leaves;
            let ends = [(after, leaves.after().last()), (before, leaves.before().last())];
            let ends = ends.map(|(was, end)| end.copied().filter(|_| was));
            for end in ends.into_iter().flatten() {
                ask_leaves(node, end, cx);
            }
            node.hurry();
        }
    }
}

impl<C: Contact> Prefixed<C, LeafAsk, Leaf<C>> for Tables<C> {
    fn core(&self) -> &Core<C> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<C> {
        &mut self.core
    }

    fn per_slot(_: &Config) -> usize {
        1
    }

    fn repairs_rows(config: &Config) -> bool {
        config.rows_every > 0
    }

    fn rivals_max(_: &Config) -> Option<usize> {
        None
    }

    fn onward(node: &Pastry<C>, key: &Key, level: u8, but: C) -> Option<(u8, Vec<C>)> {
        let (me, here) = (node.me(), node.topology());
        let base = here.core.table.base();
        let next_level = base.shared(&me.key(), key).max(level.into()) as u8;
        let mut nodes = if here.leaves.covers(me, key, node.config().half()) {
            let mut nearer = here.leaves.closest(me, key, LIST_MAX);
            nearer.retain(|&who| who != but);
            let mine = nearer.iter().position(|&who| who == me).unwrap_or(nearer.len());
            nearer.truncate(mine);
            nearer
        } else {
            here.leading_on(me, key, false, Some(but))
        };
        nodes.retain(|&who| who != but);
        (!nodes.is_empty()).then_some((next_level, nodes))
    }

    fn beside(node: &Pastry<C>, end: bool) -> Vec<C> {
        let here = node.topology();
        if end { each_once(&here.leaves) } else { here.neighbourhood().take(8).collect() }
    }

    fn knows(node: &Pastry<C>, who: C) -> bool {
        let here = node.topology();
        here.core.table.contains(node.me(), who) || here.leaves.contains(who)
    }

    fn lacks(node: &Pastry<C>, who: C) -> bool {
        let (me, here) = (node.me(), node.topology());
        let known = here.core.table.contains(me, who) || here.leaves.contains(who);
        // A leaf on one side may be due on the other, where somebody nearer has gone.
        !known || here.leaves.wants(me, who, node.config().half())
    }

    fn welcome(node: &mut Pastry<C>, who: C, rtt: u32, in_table: bool, cx: &mut Cx<'_, Pastry<C>>) {
        let (me, half) = (node.me(), node.config().half());
        let (limit, one_sided) = (node.config().neighbours, node.config().has(Fault::OneSided));
        let here = &mut node.topology;
        let is_new = here.leaves.offer(me, who, half);
        if one_sided {
            here.leaves.forget_before();
        }
        let known = here.near.len();
        here.near.retain(|&(_, near)| near != who);
        let was_near = here.near.len() < known;
        let at = here.near.partition_point(|&(other, _)| other <= rtt);
        if at < limit {
            here.near.insert(at, (rtt, who));
            here.near.truncate(limit);
        }
        if !node.is_member() {
            return;
        }
        if in_table || is_new || at < limit && !was_near {
            // Whoever is near to this node may have it near, too.
            node.say(who, Said::Word(Word::Hello), cx);
        }
        if is_new {
            // What is stored here may be the new one's.
            node.hurry();
        }
    }

    fn walked(node: &mut Pastry<C>, root: C, cx: &mut Cx<'_, Pastry<C>>) {
        ask_leaves(node, root, cx);
    }

    fn settled(node: &mut Pastry<C>, cx: &mut Cx<'_, Pastry<C>>) {
        if node.is_member() {
            return;
        }
        node.joined(cx);
        let mut others = each_once(&node.topology().leaves);
        others.extend(node.topology().neighbourhood());
        prefix::greet_all(node, &others, &Word::Hello, cx);
        let beside = [leaves_ends(node, true), leaves_ends(node, false)];
        for leaf in beside.into_iter().flatten() {
            ask_leaves(node, leaf, cx);
        }
        second_stage(node, cx);
    }
}

fn leaves_ends<C: Contact>(node: &Pastry<C>, after: bool) -> Option<C> {
    let leaves = &node.topology().leaves;
    if after { leaves.after().first().copied() } else { leaves.before().first().copied() }
}

/// Asks entries of each row for theirs, and those who are near for their tables (section 2.5: the
/// second stage).
fn second_stage<C: Contact>(node: &mut Pastry<C>, cx: &mut Cx<'_, Pastry<C>>) {
    let per_row = node.config().second_stage;
    let table = &node.topology().core.table;
    let mut asked: Vec<(u8, C)> = Vec::new();
    let mut last = (usize::MAX, 0);
    for entry in table.entries() {
        let level = table.level_of(entry);
        last = if last.0 == level { (level, last.1 + 1) } else { (level, 1) };
        if last.1 <= per_row {
            asked.push((level as u8, entry.contact));
        }
    }
    asked.extend(
        node.topology().neighbourhood().take(node.config().second_neighbours).map(|who| (0, who)),
    );
    for (level, who) in asked {
        node.ask_own(who, Ask::Row(level), cx);
    }
}

fn each_once<C: Contact>(leaves: &Leaves<C>) -> Vec<C> {
    let mut all: Vec<C> = Vec::new();
    for who in leaves.iter() {
        if !all.contains(&who) {
            all.push(who);
        }
    }
    all
}

fn ask_leaves<C: Contact>(node: &mut Overlay<Tables<C>>, who: C, cx: &mut Cx<'_, Pastry<C>>) {
    let own = |ask: &Ask<LeafAsk>| matches!(ask, Ask::Own(LeafAsk::Leaves));
    if !node.waits_for(|to, ask| to == who && own(ask)) {
        node.ask_own(who, Ask::Own(LeafAsk::Leaves), cx);
    }
}

/// Asks the next node on either side, in turn, and another leaf for theirs: so the dead are noticed
/// and the new ones heard of.
fn keep_leaves<C: Contact>(node: &mut Pastry<C>, cx: &mut Cx<'_, Pastry<C>>) {
    let here = &mut node.topology;
    let beside = if here.core.ticks.is_multiple_of(2) {
        here.leaves.after().first().copied()
    } else {
        here.leaves.before().first().copied()
    };
    let count = here.leaves.iter().count();
    let other = here.leaves.iter().nth(usize::from(here.next_leaf) % count.max(1));
    here.next_leaf = here.next_leaf.wrapping_add(1);
    for who in [beside, other].into_iter().flatten() {
        ask_leaves(node, who, cx);
    }
}
