//! Query caching: what neighbours were answered, kept for others that ask the same words, so that
//! such a query need not be sent on (Markatos, "Tracing a large-scale peer to peer system", 2002).

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use machine::Instant;

use super::super::Guid;
use super::message::limits;

struct Kept {
    since: Instant,
    hits: Vec<Arc<[u8]>>,
}

/// Answers by question: at most [`limits::CACHED_QUERIES`] times [`limits::CACHED_HITS`] of
/// [`limits::CACHED_HIT_BYTES`], 2 MiB in all.
#[derive(Default)]
pub(super) struct Answers {
    kept: BTreeMap<Arc<[u8]>, Kept>,
    asked: BTreeMap<Guid, Arc<[u8]>>,
}

impl Answers {
    /// A question has been sent on, whose answers may be kept.
    pub(super) fn asked(&mut self, guid: Guid, question: &[u8], now: Instant) {
        if self.kept.len() >= limits::CACHED_QUERIES || self.asked.len() >= limits::CACHED_QUERIES {
            return;
        }
        let question: Arc<[u8]> = question.into();
        self.kept.entry(question.clone()).or_insert_with(|| Kept { since: now, hits: Vec::new() });
        self.asked.insert(guid, question);
    }

    /// An answer has come by.
    pub(super) fn heard(&mut self, guid: Guid, hit: &Arc<[u8]>) {
        if hit.len() > limits::CACHED_HIT_BYTES {
            return;
        }
        let kept = self.asked.get(&guid).and_then(|question| self.kept.get_mut(question));
        if let Some(kept) = kept.filter(|kept| kept.hits.len() < limits::CACHED_HITS) {
            kept.hits.push(hit.clone());
        }
    }

    /// What others were answered.
    pub(super) fn get(&self, question: &[u8]) -> &[Arc<[u8]>] {
        self.kept.get(question).map_or(&[], |kept| &kept.hits)
    }

    /// Forgets what is older than `life`.
    pub(super) fn age(&mut self, now: Instant, life: Option<Duration>) {
        let Some(life) = life.filter(|_| !self.kept.is_empty()) else { return };
        self.kept.retain(|_, kept| now - kept.since < life);
        let kept = &self.kept;
        self.asked.retain(|_, question| kept.contains_key(question));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_a_while_and_within_bounds() {
        let mut answers = Answers::default();
        let life = Duration::from_secs(60);
        for n in 0..=255 {
            answers.asked(Guid([n; 16]), &[n, n], Instant::ZERO);
        }
        answers.asked(Guid([9; 16]), b"one too many", Instant::ZERO);
        let hit: Arc<[u8]> = Arc::from(&b"hit"[..]);
        (0..9).for_each(|_| answers.heard(Guid([7; 16]), &hit));
        answers.heard(Guid([8; 16]), &Arc::from(alloc::vec![0; limits::CACHED_HIT_BYTES + 1]));
        assert_eq!(answers.get(&[7, 7]).len(), limits::CACHED_HITS);
        assert!(answers.get(&[8, 8]).is_empty() && answers.get(b"one too many").is_empty());
        answers.age(Instant::ZERO + life, Some(life));
        assert!(answers.get(&[7, 7]).is_empty() && answers.asked.is_empty());
    }
}
