//! How a node fills its tables: it walks towards its own place and hears of others on the way, asks
//! those for theirs, and takes in nobody who has not answered it.

use ::core::time::Duration;
use alloc::boxed::Box;
use alloc::vec::Vec;

use machine::Cx;
use machine::dht::{Contact, Key};

use super::core::Walk;
use super::word::{Ask, Said, WALK_MAX, WORD_MAX, Word};
use super::{Core, UNMEASURED};
use crate::overlay::{Overlay, Topology};

/// Most nodes that a walk asks.
const STEPS_MAX: usize = 64;
/// How often a joiner begins its walk anew.
const TRIES_MAX: u8 = 3;
/// Most pings that a node has outstanding.
const PINGS_MAX: u16 = 192;

/// A [`Topology`] over a table by prefix.
pub(crate) trait Prefixed<C: Contact, A, O>:
    Topology<Contact = C, Ask = Ask<A>, Said = Said<C, O>>
{
    fn core(&self) -> &Core<C>;
    fn core_mut(&mut self) -> &mut Core<C>;
    /// Most contacts in a slot of the table.
    fn per_slot(config: &Self::Config) -> usize;
    /// Whether somebody else is asked for a row when one of it is silent.
    fn repairs_rows(config: &Self::Config) -> bool;
    /// Of the nodes in a row that somebody sends, most that are measured only because they might be
    /// nearer than those in their full slots; `None` for all.
    fn rivals_max(config: &Self::Config) -> Option<usize>;
    /// Whom a walk to `key` goes on with once `level` digits are resolved, not counting `but`;
    /// `None` if nobody is nearer.
    fn onward(node: &Overlay<Self>, key: &Key, level: u8, but: C) -> Option<(u8, Vec<C>)>;
    /// Others than those in the table that a walker is told of: at the `end` of the walk or not.
    fn beside(node: &Overlay<Self>, end: bool) -> Vec<C>;
    /// Whether any table has `who`.
    fn knows(node: &Overlay<Self>, who: C) -> bool;
    /// Whether a table lacks `who`, as far as can be told before it is measured.
    fn lacks(node: &Overlay<Self>, who: C) -> bool;
    /// `who` is a living member, and is in the table if it has room, where it `is_new` or not.
    fn welcome(
        node: &mut Overlay<Self>,
        who: C,
        rtt: u32,
        is_new: bool,
        cx: &mut Cx<'_, Overlay<Self>>,
    );
    /// The walk has ended at `root`, who is nearest.
    fn walked(node: &mut Overlay<Self>, root: C, cx: &mut Cx<'_, Overlay<Self>>);
    /// Everybody who was named has been asked whether he lives.
    fn settled(node: &mut Overlay<Self>, cx: &mut Cx<'_, Overlay<Self>>);
}

/// What is sent for one of the questions that all ask; `None` for one of the network's own.
pub(crate) fn request<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &Overlay<T>,
    ask: &Ask<A>,
) -> Option<Said<C, O>> {
    let word = match ask {
        Ask::Ping => Word::Ping,
        Ask::Walk => {
            let level = node.topology().core().walk.as_ref().map_or(0, |walk| walk.level);
            Word::Walk { level, member: node.is_member() }
        }
        Ask::Row(level) => Word::GetRow { level: *level },
        Ask::Own(_) => return None,
    };
    Some(Said::Word(word))
}

/// Asks `who` whether it lives, if a table lacks it and others may be believed about it.
pub(crate) fn consider<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    who: C,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let (me, now) = (node.me(), cx.now());
    let core = node.topology().core();
    if who == me
        || core.pinging >= PINGS_MAX
        || core.is_suspect(who, now)
        || !T::lacks(node, who)
        || node.waits_for(|to, ask| to == who && matches!(ask, Ask::Ping))
    {
        return;
    }
    node.topology.core_mut().pinging += 1;
    node.ask_own(who, Ask::Ping, cx);
}

/// Asks those of a row who would fill a slot whether they live, and `rivals` of the others.
fn consider_some<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    mut row: Vec<C>,
    mut rivals: usize,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let (me, limit) = (node.me(), T::per_slot(node.config()));
    while !row.is_empty() {
        let who = row.swap_remove(cx.rng().below(row.len() as u64) as usize);
        let table = &node.topology().core().table;
        let Some((level, digit)) = table.place(me, who) else { continue };
        let has_room = table.slot(level, digit).len() < limit;
        if (has_room || rivals > 0) && T::lacks(node, who) {
            rivals -= usize::from(!has_room);
            consider(node, who, cx);
        }
    }
}

/// Takes in `who`, a member that has just answered.
fn take_in<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    who: C,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let me = node.me();
    let limit = T::per_slot(node.config());
    let core = node.topology.core_mut();
    let rtt = core.measured.filter(|(of, _)| *of == who).map_or(UNMEASURED, |(_, rtt)| rtt);
    core.clear(who);
    let is_new = core.table.offer(me, who, rtt, limit);
    T::welcome(node, who, rtt, is_new, cx);
}

/// Begins to walk to this node's own place by way of `known`.
pub(crate) fn begin_walk<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    known: &[C],
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let core = node.topology.core_mut();
    known.iter().for_each(|&door| core.remember(door));
    walk_from(node, known, 0, cx);
}

fn walk_from<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    known: &[C],
    tries: u8,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let stack = known.iter().rev().map(|&door| (door, 0)).collect();
    let walk = Walk { stack, asked: Vec::new(), tries, level: 0, settling: false };
    node.topology.core_mut().walk = Some(Box::new(walk));
    step(node, cx);
}

/// Walks again, by way of somebody remembered, to be known to whoever should know.
pub(crate) fn revisit<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    if node.topology().core().walk.is_none()
        && let Some(&door) = cx.rng().pick(&node.topology.core_mut().doors)
        && door != node.me()
    {
        begin_walk(node, &[door], cx);
    }
}

/// Asks the next one of the walk.
fn step<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let me = node.me();
    let Some(walk) = &mut node.topology.core_mut().walk else { return };
    while let Some((next, level)) = walk.stack.pop() {
        if next == me || walk.asked.contains(&next) || walk.asked.len() >= STEPS_MAX {
            continue;
        }
        walk.asked.push(next);
        walk.level = level;
        return node.ask_own(next, Ask::Walk, cx);
    }
    let tries = walk.tries;
    node.topology.core_mut().walk = None;
    if node.is_member() {
        return;
    }
    // Where many join and fail at once, those on the way lead to each other and to the dead. Who
    // has answered is a better way in than who was named.
    let mut doors: Vec<C> =
        node.topology().core().table.entries().iter().map(|it| it.contact).collect();
    cx.rng().shuffle(&mut doors);
    doors.truncate(WALK_MAX);
    if tries < TRIES_MAX && !doors.is_empty() {
        return walk_from(node, &doors, tries + 1, cx);
    }
    node.join_failed(cx);
}

/// Ends the walk once nobody who was named has still to answer.
fn settle<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let core = node.topology.core_mut();
    if core.pinging == 0 && core.walk.as_ref().is_some_and(|walk| walk.settling) {
        core.walk = None;
        T::settled(node, cx);
    }
}

/// Sends a word that nobody answers to everybody in the table and to `others`.
pub(crate) fn greet_all<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &Overlay<T>,
    others: &[C],
    word: &Word<C>,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let entries = node.topology().core().table.entries();
    let mut all: Vec<C> =
        entries.iter().map(|it| it.contact).chain(others.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    for to in all {
        node.say(to, Said::Word(word.clone()), cx);
    }
}

/// Asks somebody of the table for a row that he shares with this node.
pub(crate) fn ask_row<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let table = &node.topology.core_mut().table;
    let Some(entry) = cx.rng().pick(table.entries()) else { return };
    let (level, to) = (table.level_of(entry), entry.contact);
    node.ask_own(to, Ask::Row(level as u8), cx);
}

/// Somebody says one of the words that all say, and nobody here waits for it.
pub(crate) fn on_word<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    from: C,
    tag: u32,
    word: Word<C>,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    match word {
        Word::Ping => {
            let pong = Word::Pong { member: node.is_member() };
            node.reply(from, tag, Said::Word(pong), cx);
        }
        Word::Walk { level, member } if node.is_member() => {
            let onward = T::onward(node, &from.key(), level, from);
            let (done, next_level, mut next) = match onward {
                Some((level, next)) => (next.is_empty(), level, next),
                None => (true, level, Vec::new()),
            };
            next.truncate(WALK_MAX);
            let mut contacts = T::beside(node, done);
            let table = &node.topology().core().table;
            let shared = table.base().shared(&node.me().key(), &from.key());
            let rows = table.from_level(level.into(), shared + 1);
            contacts.extend(rows.iter().map(|it| it.contact));
            contacts.retain(|&it| it != from && !next.contains(&it));
            contacts.truncate(WORD_MAX);
            let (next, contacts) = (next.into(), contacts.into());
            let way = Word::Way { done, level: next_level, next, contacts };
            node.reply(from, tag, Said::Word(way), cx);
            if member {
                consider(node, from, cx);
            }
        }
        Word::GetRow { level } if node.is_member() => {
            let table = &node.topology().core().table;
            let at = usize::from(level);
            let deeper = table.from_level(at + 1, table.base().levels());
            let mut contacts: Vec<C> =
                table.level(at).iter().chain(deeper).map(|it| it.contact).collect();
            contacts.retain(|&it| it != from);
            contacts.truncate(WORD_MAX);
            let row = Word::Row { level, contacts: contacts.into() };
            node.reply(from, tag, Said::Word(row), cx);
            consider(node, from, cx);
        }
        Word::Hello => consider(node, from, cx),
        Word::Goodbye { contacts } if T::knows(node, from) => {
            // Whoever comes back is heard at once.
            T::suspected(node, from, cx);
            contacts.iter().for_each(|&who| consider(node, who, cx));
        }
        _ => {}
    }
}

/// An answer to a question that all ask. What the network itself asked comes back.
pub(crate) fn on_answer<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    from: C,
    ask: Ask<A>,
    said: Said<C, O>,
    cx: &mut Cx<'_, Overlay<T>>,
) -> Option<(A, O)> {
    match (ask, said) {
        (Ask::Own(ask), Said::Own(said)) => return Some((ask, said)),
        (Ask::Ping, said) => {
            let core = node.topology.core_mut();
            core.pinging = core.pinging.saturating_sub(1);
            if let Said::Word(Word::Pong { member: true }) = said {
                take_in(node, from, cx);
            }
            settle(node, cx);
        }
        (Ask::Walk, Said::Word(Word::Way { done, level, next, contacts })) => {
            take_in(node, from, cx);
            let here = node.topology().core().walk.as_ref().map_or(0, |walk| walk.level);
            next.iter().chain(&contacts).for_each(|&who| consider(node, who, cx));
            let Some(walk) = &mut node.topology.core_mut().walk else { return None };
            // Whoever leads back leads nowhere.
            if done || next.is_empty() {
                walk.settling = true;
                T::walked(node, from, cx);
                settle(node, cx);
            } else {
                if level >= here {
                    walk.stack.extend(next.iter().rev().map(|&who| (who, level)));
                }
                step(node, cx);
            }
        }
        (Ask::Row(asked), Said::Word(Word::Row { level, contacts })) => {
            let base = node.topology().core().table.base();
            let fits = |who: &C| base.shared(&who.key(), &from.key()) >= usize::from(level);
            // A row with somebody who does not belong there is nobody's row.
            if level == asked && contacts.iter().all(fits) {
                match T::rivals_max(node.config()) {
                    None => contacts.iter().for_each(|&who| consider(node, who, cx)),
                    Some(rivals) => consider_some(node, contacts.into_vec(), rivals, cx),
                }
            }
        }
        (Ask::Walk, _) => step(node, cx),
        _ => {}
    }
    None
}

/// A question that all ask stays without an answer. The network's own comes back.
pub(crate) fn on_silence<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    ask: Ask<A>,
    cx: &mut Cx<'_, Overlay<T>>,
) -> Option<A> {
    match ask {
        Ask::Ping => {
            let core = node.topology.core_mut();
            core.pinging = core.pinging.saturating_sub(1);
            settle(node, cx);
        }
        Ask::Walk => step(node, cx),
        Ask::Row(_) => {}
        Ask::Own(own) => return Some(own),
    }
    None
}

/// `who` is silent.
pub(crate) fn suspect<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    who: C,
    cx: &mut Cx<'_, Overlay<T>>,
) {
    let me = node.me();
    let core = node.topology.core_mut();
    let was = core.table.contains(me, who);
    core.table.remove(who);
    core.suspect(who, cx.now());
    // Others with the same prefix know who could take its place (Pastry, section 2.4).
    if was
        && node.is_member()
        && T::repairs_rows(node.config())
        && let Some((level, _)) = node.topology().core().table.place(me, who)
        && let Some(other) = cx.rng().pick(node.topology().core().table.level(level))
    {
        let to = other.contact;
        node.ask_own(to, Ask::Row(level as u8), cx);
    }
}

/// `who` lives, and its answer took as long as `rtt`, if it was one.
pub(crate) fn heard<C: Contact, A, O, T: Prefixed<C, A, O>>(
    node: &mut Overlay<T>,
    who: C,
    rtt: Option<Duration>,
) {
    let me = node.me();
    let limit = T::per_slot(node.config());
    let core = node.topology.core_mut();
    core.clear(who);
    if let Some(rtt) = rtt {
        let rtt = u32::try_from(rtt.as_micros()).unwrap_or(UNMEASURED - 1);
        core.measured = Some((who, rtt));
        if core.table.contains(me, who) {
            core.table.offer(me, who, rtt, limit);
        }
    }
}
