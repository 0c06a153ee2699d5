//! Shards side by side: conservative windows, each as long as the least delay of a link, so that
//! nothing sent within one can arrive in it.

use crate::Simulated;
use crate::shard::Shard;
use crate::terms::Terms;

/// Runs all shards up to `end`, which is not included.
pub(crate) fn run<M: Simulated>(
    shards: &mut [Shard<M>],
    end: u64,
    lookahead: u64,
    terms: &Terms<M>,
) {
    while let Some(first) = shards.iter_mut().filter_map(|shard| shard.wheel.first(end)).min() {
        let window = first.0.saturating_add(lookahead.max(1)).min(end);
        for shard in &mut *shards {
            shard.run(window, usize::MAX, terms);
        }
        exchange(shards);
    }
}

/// Hands over what shards have for each other.
pub(crate) fn exchange<M: Simulated>(shards: &mut [Shard<M>]) {
    for from in 0..shards.len() {
        for to in 0..shards.len() {
            let mut away = core::mem::take(&mut shards[from].away[to]);
            shards[to].receive(&mut away);
            shards[from].away[to] = away;
        }
    }
}
