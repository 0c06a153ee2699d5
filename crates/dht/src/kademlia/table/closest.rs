//! Whom a table names: the nodes closest to a key, of those that answered the last request.

use alloc::vec::Vec;

use machine::Near;
use machine::dht::{Contact, Key};

use super::Table;

impl<C: Contact> Table<C> {
    /// Appends to `out` the `count` nodes closest to `target` that answered the last request, in
    /// no order, `except` left out.
    pub(in super::super) fn closest(
        &self,
        target: &Key,
        count: usize,
        except: Option<&C>,
        out: &mut Vec<C>,
    ) {
        let end = out.len() + count;
        for index in self.by_distance(target) {
            let good = &self.contacts[self.good_range(index)];
            let room = end - out.len();
            if good.len() > room {
                extend_by_closest(target, good, except, room, out);
            } else {
                let first = out.len();
                out.extend_from_slice(good);
                if let Some(except) = except
                    && let Some(at) = out[first..].iter().position(|node| node == except)
                {
                    out.swap_remove(first + at);
                }
            }
            if out.len() == end {
                return;
            }
        }
    }

    /// How many known nodes are closer to `key` than we are, counted up to `limit`.
    pub(in super::super) fn closer(&self, key: &Key, limit: usize) -> usize {
        let ours = self.own.xor(key);
        self.good().filter(|node| key.xor(&node.key()) < ours).take(limit).count()
    }

    /// The buckets, those whose nodes are closest to `target` first.
    fn by_distance(&self, target: &Key) -> impl Iterator<Item = usize> + use<C> {
        let distance = ((self.own.front() ^ target.front()) >> 64) as u64;
        let last = self.depth() - 1;
        // There are fewer buckets than 64.
        let bit = move |index: usize| distance << index >> 63 == 1;
        // Nodes of a bucket differ from us first in the bucket's bit. Where the target does too,
        // they are closer to it than all nodes of buckets beyond, and else farther.
        let first = (distance.leading_zeros() as usize).min(last);
        let towards = (first..last).filter(move |&index| bit(index));
        let away = (0..last).rev().filter(move |&index| !bit(index));
        towards.chain([last]).chain(away)
    }

    /// Names the memory that [`closest`](Self::closest) reads.
    pub(in super::super) fn foresee_closest(
        &self,
        target: &Key,
        count: usize,
        near: &mut impl Near,
    ) {
        let mut named = 0;
        for index in self.by_distance(target) {
            let good = self.good_range(index);
            named += good.len();
            near.bring(&self.contacts[good]);
            if named >= count {
                return;
            }
        }
    }
}

/// For so many nodes their distances find room on the stack.
const FEW: usize = 20;

/// Appends to `out` those of `nodes` that are closest to `target`, `except` left out, up to `room`
/// of them.
fn extend_by_closest<C: Contact>(
    target: &Key,
    nodes: &[C],
    except: Option<&C>,
    room: usize,
    out: &mut Vec<C>,
) {
    let (mut few, mut many) = ([0; FEW], Vec::new());
    let distances = match few.get_mut(..room) {
        Some(few) => few,
        None => {
            many.resize(room, 0);
            &mut many[..]
        }
    };
    let first = out.len();
    for node in nodes.iter().filter(|node| except.is_none_or(|except| except != *node)) {
        let distance = (target.xor(&node.key()).front() >> 64) as u64;
        let mut at = out.len() - first;
        if at < room {
            out.push(*node);
        } else if at > 0 && distance < distances[at - 1] {
            at -= 1;
        } else {
            continue;
        }
        while at > 0 && distance < distances[at - 1] {
            distances[at] = distances[at - 1];
            out[first + at] = out[first + at - 1];
            at -= 1;
        }
        distances[at] = distance;
        out[first + at] = *node;
    }
}
