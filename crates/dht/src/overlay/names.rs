//! Values that lie under several names each, or in several places: a put becomes one at every name
//! in every place, a get goes from the nearest name to the next, and then from place to place, until
//! the value is found. Which names and places those are, the overlay says.

use alloc::vec::Vec;
use core::cmp::Reverse;

use machine::dht::{Cost, Key, Report, Value};
use machine::{Cx, OpId};

use super::Overlay;
use super::lookup::Purpose;
use super::topology::{ContactOf, Topology};

/// A command of the user that is under way at several names.
pub(super) struct Several {
    pub(super) op: OpId,
    cost: Cost,
    stage: Stage,
}

enum Stage {
    /// At how many names the put is not over, and how many copies are stored at the others.
    Put { open: usize, copies: u16 },
    /// Which names are still to be asked, in which stage, the next one last, and whether anybody
    /// has said that there is no value.
    Get { names: Vec<(Key, u8)>, denied: bool },
}

impl<T: Topology> Overlay<T> {
    /// The user wants `value` to be stored under all names of `key`.
    pub(super) fn put_under_all(
        &mut self,
        op: OpId,
        key: Key,
        value: Value,
        cx: &mut Cx<'_, Self>,
    ) {
        let mut names = T::names(&self.config, &key);
        if self.rules().puts_under_one_name {
            names.truncate(1);
        }
        let places = T::places(&self.config);
        if names.len() * places.len() > 1 {
            let stage = Stage::Put { open: names.len() * places.len(), copies: 0 };
            self.begin_several(op, stage);
        }
        for name in names {
            for place in places.clone() {
                self.put(op, name, place, value.clone(), cx);
            }
        }
    }

    /// The user wants the value under any name of `key`.
    pub(super) fn get_under_any(&mut self, op: OpId, key: Key, cx: &mut Cx<'_, Self>) {
        let mut names = T::names(&self.config, &key);
        names.sort_by_cached_key(|name| Reverse(T::away(self, name)));
        let mut names: Vec<(Key, u8)> = names.into_iter().map(|name| (name, T::SEEK)).collect();
        let places = T::places(&self.config);
        if places.len() > 1 && !self.rules().puts_under_one_name {
            // Those who were nearest may have failed.
            let all = names.iter().flat_map(|&(name, _)| places.clone().map(move |it| (name, it)));
            names = all.chain(names.iter().copied()).collect();
        }
        let Some((first, _)) = names.pop() else { return };
        if !names.is_empty() {
            self.begin_several(op, Stage::Get { names, denied: false });
        }
        self.look_up(Purpose::Get(op), first, cx);
    }

    fn begin_several(&mut self, op: OpId, stage: Stage) {
        let several = Several { op, cost: Cost::default(), stage };
        self.active.get_or_insert_default().several.push(several);
    }

    /// What the user is told when one name has come to `report`; `None` if others have not.
    pub(super) fn sum_up(
        &mut self,
        op: OpId,
        report: Report<ContactOf<T>>,
        cx: &mut Cx<'_, Self>,
    ) -> Option<Report<ContactOf<T>>> {
        let place = |all: &Vec<Several>| all.iter().position(|several| several.op == op);
        let Some((active, at)) =
            self.active.as_mut().and_then(|it| place(&it.several).map(|at| (it, at)))
        else {
            return Some(report);
        };
        let several = &mut active.several[at];
        if let Report::Stored { cost, .. }
        | Report::Found { cost, .. }
        | Report::NotFound { cost }
        | Report::Failed { cost } = &report
        {
            add(&mut several.cost, *cost);
        }
        let cost = several.cost;
        let sum = match (&mut several.stage, report) {
            (Stage::Get { .. }, Report::Found { value, .. }) => Report::Found { value, cost },
            (Stage::Get { names, denied }, report) => {
                *denied |= matches!(report, Report::NotFound { .. });
                match (names.pop(), *denied) {
                    (Some((next, stage)), _) => {
                        self.look_up_from(stage, Purpose::Get(op), next, cx);
                        return None;
                    }
                    (None, true) => Report::NotFound { cost },
                    (None, false) => Report::Failed { cost },
                }
            }
            (Stage::Put { open, copies }, report) => {
                if let Report::Stored { copies: more, .. } = report {
                    *copies = copies.saturating_add(more);
                }
                *open = open.saturating_sub(1);
                match (*open, *copies) {
                    (1.., _) => return None,
                    (0, 0) => Report::Failed { cost },
                    (0, copies) => Report::Stored { copies, cost },
                }
            }
        };
        if let Some(active) = &mut self.active {
            active.several.retain(|several| several.op != op);
        }
        Some(sum)
    }
}

/// All names together: messages of each, and the longest way.
fn add(sum: &mut Cost, cost: Cost) {
    sum.hops = sum.hops.max(cost.hops);
    sum.messages = sum.messages.saturating_add(cost.messages);
    sum.timeouts = sum.timeouts.saturating_add(cost.timeouts);
}
