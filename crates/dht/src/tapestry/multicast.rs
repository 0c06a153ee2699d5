//! Acknowledged multicast (Hildrum et al., section 4.1): everybody who shares a prefix with a
//! newcomer is told of it, and the newcomer hears when all have been.

use alloc::vec::Vec;

use machine::Cx;
use machine::dht::Contact;

use super::Tapestry;
use super::message::{PointerAsk, Pointing};
use crate::prefix::{Ask, Said, Word};

/// Most multicasts that a node takes part in at a time.
const CASTS_MAX: usize = 64;
/// Most nodes that it tells in one of them.
const CHILDREN_MAX: usize = 64;
/// Most newcomers that it looks for later.
const NEWCOMERS_MAX: usize = 64;

/// A multicast that is not over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cast<C> {
    newcomer: C,
    /// Who waits for it, and by which tag.
    parent: C,
    tag: u32,
    /// How many have been told and have not confirmed.
    open: usize,
}

/// `from` wants everybody here who shares `level` digits to know of `newcomer`, who shares `shared`
/// with all of them.
pub(super) fn on_multicast<C: Contact>(
    node: &mut Tapestry<C>,
    from: C,
    tag: u32,
    (newcomer, shared, level): (C, u8, u8),
    cx: &mut Cx<'_, Tapestry<C>>,
) {
    // Those who share most with a newcomer are few. Whoever says that others are may want it to be
    // greeted by all.
    if !are_nearest(node, newcomer, shared.into()) {
        return node.reply(from, tag, Said::Own(Pointing::Multicasted), cx);
    }
    let casts = &mut node.topology.casts;
    let same = |cast: &&mut Cast<C>| cast.newcomer == newcomer && cast.parent == from;
    if let Some(cast) = casts.iter_mut().find(same) {
        if cast.tag == tag {
            node.reply(from, tag, Said::Own(Pointing::Busy), cx);
        } else {
            cast.tag = tag;
        }
        return;
    }
    if node.topology().newcomers.len() < NEWCOMERS_MAX {
        node.topology.newcomers.push(newcomer);
    }
    node.say(newcomer, Said::Word(Word::Hello), cx);
    let table = &node.topology().core.table;
    let mut children: Vec<(C, u8)> = Vec::new();
    let mut last = None;
    for entry in table.from_level(level.into(), table.base().levels()) {
        let slot = (table.level_of(entry), table.digit_of(entry));
        // Of each slot the first, who tells the others there.
        if last != Some(slot) && entry.contact != newcomer && entry.contact != from {
            children.push((entry.contact, slot.0 as u8 + 1));
            last = Some(slot);
        }
    }
    children.truncate(CHILDREN_MAX);
    if children.is_empty() || node.topology().casts.len() >= CASTS_MAX {
        return node.reply(from, tag, Said::Own(Pointing::Multicasted), cx);
    }
    let open = children.len();
    node.topology.casts.push(Cast { newcomer, parent: from, tag, open });
    for (child, level) in children {
        let ask = PointerAsk::Multicast { newcomer, shared, level, parent: from };
        node.ask_own(child, Ask::Own(ask), cx);
    }
}

/// Whether this node shares `shared` digits with `newcomer` and knows of nobody who shares more.
fn are_nearest<C: Contact>(node: &Tapestry<C>, newcomer: C, shared: usize) -> bool {
    let (table, there) = (&node.topology().core.table, newcomer.key());
    let base = table.base();
    let nearer = table.slot(shared, base.digit(&there, shared));
    shared < base.levels()
        && base.shared(&node.me().key(), &there) == shared
        && nearer.iter().all(|it| it.contact == newcomer)
}

/// Somebody has told everybody, or is silent.
pub(super) fn child_done<C: Contact>(
    node: &mut Tapestry<C>,
    newcomer: C,
    parent: C,
    cx: &mut Cx<'_, Tapestry<C>>,
) {
    let casts = &mut node.topology.casts;
    let same = |cast: &Cast<C>| cast.newcomer == newcomer && cast.parent == parent;
    let Some(at) = casts.iter().position(same) else { return };
    casts[at].open = casts[at].open.saturating_sub(1);
    if casts[at].open == 0 {
        let tag = casts.swap_remove(at).tag;
        node.reply(parent, tag, Said::Own(Pointing::Multicasted), cx);
    }
}
