//! How a Tapestry node routes, joins, and finds its objects.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use machine::Cx;
use machine::dht::{Contact, Cost, Key};

use super::config::{Config, Fault};
use super::message::{PointerAsk, Pointing};
use super::pointers::{Pointers, pass_on, publish, publish_some, published, redirect};
use super::{Tables, Tapestry, multicast};
use crate::overlay::{LIST_MAX, Route, Rules, Topology};
use crate::prefix::{self, Ask, Base, Core, Prefixed, Said, Word};

/// Added to the level of a lookup that any pointer ends.
const SEEK: u8 = 0x80;
/// Longest that a publication may say to live.
const SECONDS_MAX: u16 = 3_600 * 12;
/// Every how many ticks expired pointers are dropped.
const PURGE_EVERY: u32 = 16;

/// Whom a message for `key` goes to next when `level` digits are resolved here, and how many are
/// then (surrogate routing, section III-B). `None` at the root. `but` is passed over.
pub(super) fn surrogate<C: Contact>(
    node: &Tapestry<C>,
    key: &Key,
    level: u8,
    but: Option<C>,
) -> Option<(u8, Vec<C>)> {
    let table = &node.topology().core.table;
    let (base, here, config) = (table.base(), node.me().key(), node.config());
    let (width, levels) = (base.width(), base.levels());
    let backwards = config.has(Fault::EitherWay) && here.0[19] & 1 == 1;
    for level in usize::from(level)..levels {
        if table.from_level(level, levels).is_empty() {
            return None;
        }
        let (wanted, own) = (base.digit(key, level), base.digit(&here, level));
        for step in 0..width {
            let step = if backwards { width - step } else { step };
            let digit = (wanted + step) % width;
            if digit == own {
                break;
            }
            let slot = table.slot(level, digit).iter().map(|it| it.contact);
            let ways: Vec<C> = slot.filter(|&who| Some(who) != but).collect();
            if !ways.is_empty() {
                let counted = if config.has(Fault::NoProgress) { level } else { level + 1 };
                return Some((counted as u8, ways));
            }
        }
    }
    None
}

/// Who, besides `holders`, could hold what this node is the root of: itself and those who share
/// most with it. More than are needed, because some may be dead.
pub(super) fn spare<C: Contact>(node: &Tapestry<C>, holders: &[C]) -> Vec<C> {
    let entries = node.topology().entries().iter().rev().map(|it| it.contact);
    core::iter::once(node.me())
        .chain(entries)
        .filter(|who| !holders.contains(who))
        .take(LIST_MAX)
        .collect()
}

impl<C: Contact> Topology for Tables<C> {
    type Contact = C;
    type Config = Config;
    type Said = Said<C, Pointing<C>>;
    type Ask = Ask<PointerAsk<C>>;
    type Search = ();

    const SEEK: u8 = SEEK;

    fn rules(config: &Config) -> &Rules {
        &config.rules
    }

    fn new(_: C, config: &Config) -> Self {
        Self {
            core: Core::new(Base::new(config.bits)),
            pointers: Pointers::new(),
            charge: BTreeMap::new(),
            cursor: None,
            casts: Vec::new(),
            newcomers: Vec::new(),
            told: false,
            answered: false,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.core.heap_bytes()
            + self.pointers.heap_bytes()
            + self.charge.len() * (size_of::<Key>() + size_of::<Vec<C>>() + 2 * size_of::<C>())
    }

    fn route(node: &Tapestry<C>, key: &Key, stage: u8) -> Route<C> {
        let seeks = stage & SEEK;
        let pointers = &node.topology().pointers;
        if seeks > 0 {
            let holders = pointers.holders(key);
            if !holders.is_empty() {
                return Route::Owners(holders);
            }
        }
        match surrogate(node, key, stage & !SEEK, None) {
            Some((level, nodes)) => Route::Next { stage: level | seeks, nodes },
            None => {
                let mut owners = pointers.holders(key);
                let lacking = node.rules().replicas().saturating_sub(owners.len());
                owners.extend(spare(node, &owners).into_iter().take(lacking));
                Route::Owners(owners)
            }
        }
    }

    fn copies(node: &Tapestry<C>, key: &Key) -> Option<Vec<C>> {
        node.topology().charge.get(key).cloned()
    }

    fn heirs(node: &Tapestry<C>, _: &Key) -> Vec<C> {
        let entries = node.topology().entries().iter().rev();
        entries.map(|it| it.contact).take(node.rules().replicas()).collect()
    }

    fn join(node: &mut Tapestry<C>, known: Vec<C>, cx: &mut Cx<'_, Tapestry<C>>) {
        if known.is_empty() {
            return node.joined(cx);
        }
        (node.topology.told, node.topology.answered) = (false, false);
        prefix::begin_walk(node, &known, cx);
    }

    fn tick(node: &mut Tapestry<C>, cx: &mut Cx<'_, Tapestry<C>>) {
        if !node.is_member() {
            return;
        }
        let (rows, merge) = (node.config().rows_every, node.config().merge_every);
        let core = &mut node.topology.core;
        core.ticks = core.ticks.wrapping_add(1);
        let ticks = core.ticks;
        node.topology.pointers.look(cx.now());
        if ticks.is_multiple_of(PURGE_EVERY) {
            node.topology.pointers.purge();
            let held: Vec<Key> = node.keys().collect();
            node.topology.charge.retain(|key, _| held.binary_search(key).is_ok());
        }
        for newcomer in core::mem::take(&mut node.topology.newcomers) {
            prefix::consider(node, newcomer, cx);
        }
        let stale = node.config().has(Fault::StaleTable);
        if rows > 0 && ticks.is_multiple_of(rows) && !stale {
            prefix::ask_row(node, cx);
        }
        if merge > 0 && ticks.is_multiple_of(merge) && !stale {
            prefix::revisit(node, cx);
        }
        if !node.config().has(Fault::NoRepublish) {
            publish_some(node, cx);
        }
    }

    fn leave(node: &mut Tapestry<C>, cx: &mut Cx<'_, Tapestry<C>>) {
        let entries = node.topology().entries().iter().rev();
        let contacts = entries.map(|it| it.contact).take(LIST_MAX).collect();
        prefix::greet_all(node, &[], &Word::Goodbye { contacts }, cx);
    }

    fn kept(node: &mut Tapestry<C>, key: &Key, cx: &mut Cx<'_, Tapestry<C>>) {
        publish(node, *key, cx);
    }

    fn request(node: &Tapestry<C>, ask: &Ask<PointerAsk<C>>) -> Said<C, Pointing<C>> {
        match ask {
            Ask::Own(own) => Said::Own(own.request()),
            ask => prefix::request(node, ask).unwrap_or(Said::Word(Word::Ping)),
        }
    }

    fn on_said(
        node: &mut Tapestry<C>,
        from: C,
        tag: u32,
        said: Said<C, Pointing<C>>,
        cx: &mut Cx<'_, Tapestry<C>>,
    ) {
        match said {
            Said::Word(word) => prefix::on_word(node, from, tag, word, cx),
            Said::Own(_) if !node.is_member() => {}
            Said::Own(Pointing::Publish { key, holder, level, seconds }) => {
                node.reply(from, tag, Said::Own(Pointing::Taken), cx);
                pass_on(node, key, holder, level, seconds.min(SECONDS_MAX), cx);
            }
            Said::Own(Pointing::Published { key, holders, spare }) => {
                published(node, key, &holders, &spare, cx.now());
            }
            Said::Own(Pointing::Multicast { newcomer, shared, level }) => {
                multicast::on_multicast(node, from, tag, (newcomer, shared, level), cx);
            }
            Said::Own(Pointing::Taken | Pointing::Multicasted | Pointing::Busy) => {}
        }
    }

    fn on_answer(
        node: &mut Tapestry<C>,
        from: C,
        ask: Ask<PointerAsk<C>>,
        said: Said<C, Pointing<C>>,
        cx: &mut Cx<'_, Tapestry<C>>,
    ) {
        let own = prefix::on_answer(node, from, ask, said, cx);
        let Some((ask @ PointerAsk::Multicast { newcomer, parent, .. }, said)) = own else {
            return;
        };
        match said {
            Pointing::Busy => node.ask_own(from, Ask::Own(ask), cx),
            _ if newcomer == node.me() => told(node, cx),
            _ => multicast::child_done(node, newcomer, parent, cx),
        }
    }

    fn on_silence(
        node: &mut Tapestry<C>,
        _: C,
        ask: Ask<PointerAsk<C>>,
        cx: &mut Cx<'_, Tapestry<C>>,
    ) {
        match prefix::on_silence(node, ask, cx) {
            Some(PointerAsk::Publish { key, holder, here, seconds, .. }) => {
                pass_on(node, key, holder, here, seconds, cx);
            }
            Some(PointerAsk::Multicast { newcomer, .. }) if newcomer == node.me() => told(node, cx),
            Some(PointerAsk::Multicast { newcomer, parent, .. }) => {
                multicast::child_done(node, newcomer, parent, cx);
            }
            None => {}
        }
    }

    fn on_found(
        _: &mut Tapestry<C>,
        (): (),
        _: Key,
        _: &[C],
        _: Cost,
        _: &mut Cx<'_, Tapestry<C>>,
    ) {
    }

    fn heard(node: &mut Tapestry<C>, who: C, rtt: Option<Duration>, cx: &mut Cx<'_, Tapestry<C>>) {
        node.topology.pointers.look(cx.now());
        prefix::heard(node, who, rtt);
    }

    fn suspected(node: &mut Tapestry<C>, who: C, cx: &mut Cx<'_, Tapestry<C>>) {
        prefix::suspect(node, who, cx);
        node.topology.pointers.forget(who);
    }
}

impl<C: Contact> Prefixed<C, PointerAsk<C>, Pointing<C>> for Tables<C> {
    fn core(&self) -> &Core<C> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<C> {
        &mut self.core
    }

    fn per_slot(config: &Config) -> usize {
        config.backups + 1
    }

    fn repairs_rows(config: &Config) -> bool {
        config.rows_every > 0 && !config.has(Fault::StaleTable)
    }

    fn rivals_max(config: &Config) -> Option<usize> {
        Some(config.rivals)
    }

    fn onward(node: &Tapestry<C>, key: &Key, level: u8, but: C) -> Option<(u8, Vec<C>)> {
        surrogate(node, key, level, Some(but))
    }

    fn beside(_: &Tapestry<C>, _: bool) -> Vec<C> {
        Vec::new()
    }

    fn knows(node: &Tapestry<C>, who: C) -> bool {
        node.topology().core.table.contains(node.me(), who)
    }

    fn lacks(node: &Tapestry<C>, who: C) -> bool {
        !Self::knows(node, who)
    }

    fn welcome(node: &mut Tapestry<C>, who: C, _: u32, _: bool, cx: &mut Cx<'_, Tapestry<C>>) {
        if node.is_member() && node.topology().core.table.contains(node.me(), who) {
            redirect(node, who, cx);
        }
    }

    fn walked(node: &mut Tapestry<C>, root: C, cx: &mut Cx<'_, Tapestry<C>>) {
        if node.is_member() {
            return;
        }
        let me = node.me();
        let level = node.topology().core.table.base().shared(&me.key(), &root.key()) as u8;
        let ask = PointerAsk::Multicast { newcomer: me, shared: level, level, parent: me };
        node.ask_own(root, Ask::Own(ask), cx);
    }

    fn settled(node: &mut Tapestry<C>, cx: &mut Cx<'_, Tapestry<C>>) {
        node.topology.answered = true;
        finish(node, cx);
    }
}

/// Everybody near is told of this node.
fn told<C: Contact>(node: &mut Tapestry<C>, cx: &mut Cx<'_, Tapestry<C>>) {
    node.topology.told = true;
    finish(node, cx);
}

/// Becomes a member once everybody near is told and those who were named have answered.
fn finish<C: Contact>(node: &mut Tapestry<C>, cx: &mut Cx<'_, Tapestry<C>>) {
    if !node.is_member() && node.topology().told && node.topology().answered {
        node.joined(cx);
        prefix::greet_all(node, &[], &Word::Hello, cx);
        // Rows of those who are near, for others who are nearer (Hildrum et al., section 3).
        for _ in 0..2 {
            prefix::ask_row(node, cx);
        }
    }
}
