//! The table against a model that keeps whole lists, and its promises one by one.

use alloc::vec::Vec;

use machine::dht::Contact;
use proptest::prelude::*;

use super::super::config::Config;
use super::{Answered, FAILURES_MAX, Table};
use crate::testing::{Short, key};

fn config() -> Config<Short> {
    Config {
        k: 3,
        replacements: 2,
        failures_max: 2,
        subnet: |contact| Some(u64::from(contact.0 & 7)),
        subnet_in_bucket: 2,
        ..Config::paper()
    }
}

#[derive(Clone, Copy, Debug)]
enum Input {
    Answered(Short),
    Heard(Short),
    Failed(Short),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    // Few bits that vary, some at the far end and some near us.
    let contact =
        || (0..8_u16, 0..8_u16).prop_map(|(far, near)| Short(far << 13 | near << 3 | far));
    let input = prop_oneof![
        3 => contact().prop_map(Input::Answered),
        1 => contact().prop_map(Input::Heard),
        1 => contact().prop_map(Input::Failed),
    ];
    prop::collection::vec(input, 0..120)
}

/// One list for each bucket, the rules written down as they are told.
#[derive(Default)]
struct Model {
    buckets: Vec<Vec<(Short, u8)>>,
    waiting: Vec<Short>,
}

impl Model {
    fn index(&self, contact: Short) -> usize {
        (contact.0.leading_zeros() as usize).min(self.buckets.len() - 1)
    }

    fn waiting(&self, index: usize) -> Vec<Short> {
        self.waiting.iter().copied().filter(|waits| self.index(*waits) == index).collect()
    }

    fn answered(&mut self, contact: Short, config: &Config<Short>) {
        if contact.0 == 0 {
            return;
        }
        let index = self.index(contact);
        let depth = self.buckets.len();
        let bucket = &mut self.buckets[index];
        if let Some(at) = bucket.iter().position(|(known, _)| *known == contact) {
            bucket.remove(at);
            bucket.push((contact, 0));
            return;
        }
        if bucket.iter().filter(|(known, _)| known.0 & 7 == contact.0 & 7).count() >= 2 {
            return;
        }
        if bucket.len() < config.k {
            bucket.push((contact, 0));
            self.waiting.retain(|waits| *waits != contact);
        } else if index + 1 == depth {
            let all = self.buckets.pop().unwrap();
            let (far, near) =
                all.into_iter().partition(|(c, _)| c.0.leading_zeros() as usize == index);
            self.buckets.extend([far, near]);
            self.answered(contact, config);
        } else if let Some(at) = bucket.iter().position(|(_, failures)| *failures > 0) {
            bucket.remove(at);
            self.answered(contact, config);
        } else if !self.waiting.contains(&contact) {
            let waiting = self.waiting(index);
            if waiting.len() == config.replacements {
                self.waiting.retain(|waits| *waits != waiting[0]);
            }
            self.waiting.push(contact);
        }
    }

    fn heard(&mut self, contact: Short, config: &Config<Short>) -> bool {
        let index = self.index(contact);
        let bucket = &self.buckets[index];
        if contact.0 == 0 || bucket.iter().any(|(known, _)| *known == contact) {
            return false;
        }
        if bucket.len() < config.k || index + 1 == self.buckets.len() {
            return bucket.iter().filter(|(known, _)| known.0 & 7 == contact.0 & 7).count() < 2;
        }
        if !self.waiting.contains(&contact) && self.waiting(index).len() < config.replacements {
            self.waiting.push(contact);
        }
        false
    }

    fn failed(&mut self, contact: Short, config: &Config<Short>) -> Option<Short> {
        let index = self.index(contact);
        self.waiting.retain(|waits| *waits != contact);
        let waiting = self.waiting(index);
        let bucket = &mut self.buckets[index];
        if let Some(at) = bucket.iter().position(|(known, _)| *known == contact) {
            let (_, failures) = bucket.remove(at);
            let enough = if waiting.is_empty() { FAILURES_MAX } else { config.failures_max };
            if failures + 1 < enough {
                // Where it was among those that failed, else behind them.
                let failing = bucket.iter().filter(|(_, failures)| *failures > 0).count();
                bucket.insert(at.min(failing), (contact, failures + 1));
            }
        }
        let has_room = bucket.len() < config.k || bucket.iter().any(|(_, failures)| *failures > 0);
        let next = *waiting.last().filter(|_| has_room)?;
        self.waiting.retain(|waits| *waits != next);
        Some(next)
    }
}

fn lists(table: &Table<Short>) -> Vec<Vec<(Short, u8)>> {
    (0..table.depth()).map(|index| table.bucket_with_failures(index).collect()).collect()
}

proptest! {
    #[test]
    fn agrees_with_the_model(inputs in inputs()) {
        let config = config();
        let mut table = Table::new(key(0));
        let mut model = Model { buckets: [Vec::new()].into(), waiting: Vec::new() };
        for (now, input) in inputs.into_iter().enumerate() {
            match input {
                Input::Answered(contact) => {
                    table.answered(contact, now as u32, &config);
                    model.answered(contact, &config);
                }
                Input::Heard(contact) => {
                    prop_assert_eq!(table.heard(contact, &config), model.heard(contact, &config));
                }
                Input::Failed(contact) => {
                    let next = table.failed(&contact, &config);
                    prop_assert_eq!(next, model.failed(contact, &config));
                }
            }
            prop_assert_eq!(lists(&table), &model.buckets[..]);
            let waiting: Vec<_> = (0..table.depth()).flat_map(|i| model.waiting(i)).collect();
            prop_assert_eq!(table.waiting().collect::<Vec<_>>(), waiting);
            prop_assert_eq!(table.failing().count() + table.good().count(), table.len());
        }
    }

    #[test]
    fn closest_are_the_closest(
        known in prop::collection::vec(any::<u16>(), 0..200),
        target: u16,
        own: u16,
        count in 1..12_usize,
    ) {
        let config = Config { k: 4, ..Config::paper() };
        let mut table = Table::new(key(own));
        for &contact in &known {
            table.answered(Short(contact), 0, &config);
        }
        if let Some(first) = known.first() {
            table.failed(&Short(*first), &config);
        }
        let mut expected: Vec<Short> = table.good().filter(|c| Some(&c.0) != known.last()).collect();
        expected.sort_by_key(|contact| contact.0 ^ target);
        expected.truncate(count);
        let mut found = Vec::new();
        let except = known.last().map(|last| Short(*last));
        table.closest(&key(target), count, except.as_ref(), &mut found);
        found.sort_by_key(|contact| contact.0 ^ target);
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn keys_for_refreshes_lie_in_their_buckets(
        known in prop::collection::vec(any::<u16>(), 0..100),
        own: u16,
        random: [u8; 20],
    ) {
        let config = Config { k: 4, ..Config::paper() };
        let mut table = Table::new(key(own));
        for contact in &known {
            table.answered(Short(*contact), 0, &config);
        }
        for index in 0..table.depth() {
            prop_assert_eq!(table.index(&table.key_in(index, random)), index);
        }
    }

    #[test]
    fn wired_tables_are_as_grown_ones(known in prop::collection::btree_set(any::<u16>(), 0..200), own: u16) {
        let known: Vec<Short> = known.into_iter().map(Short).collect();
        let wired = Table::wired(key(own), known.clone(), 4);
        for index in 0..wired.depth() {
            let bucket: Vec<Short> = wired.bucket(index).collect();
            prop_assert!(bucket.len() <= 4);
            prop_assert!(bucket.iter().all(|contact| wired.index(&contact.key()) == index));
            let candidates = known.iter().filter(|c| c.0 != own && wired.index(&c.key()) == index);
            prop_assert_eq!(bucket.len(), candidates.count().min(4));
        }
        let seen = wired.seen_from(key(!own), 4);
        for contact in wired.nodes().filter(|contact| contact.0 != !own) {
            let bucket: Vec<Short> = seen.bucket(seen.index(&contact.key())).collect();
            prop_assert!(bucket.contains(&contact) || bucket.len() == 4);
        }
    }
}

#[test]
fn the_oldest_is_pinged_before_anybody_takes_its_place() {
    let config =
        Config { k: 2, questionable: core::time::Duration::from_secs(60), ..Config::paper() };
    let mut table = Table::new(key(0));
    for (now, contact) in [(8, 0x8001), (16, 0x8002), (24, 1), (32, 2)] {
        assert_eq!(table.answered(Short(contact), now, &config), Answered::Inserted);
    }
    assert_eq!(table.answered(Short(0x8003), 40, &config), Answered::Waits(None));
    assert_eq!(table.answered(Short(0x8003), 68, &config), Answered::Waits(Some(Short(0x8001))));
    assert_eq!(table.questionable(70, &config).collect::<Vec<_>>(), [Short(0x8001)]);
    // It answers, and is the newest now.
    assert_eq!(table.answered(Short(0x8001), 72, &config), Answered::Known);
    assert_eq!(table.bucket(0).collect::<Vec<_>>(), [Short(0x8002), Short(0x8001)]);
    // The other does not: whoever waits is pinged, and takes its place by answering.
    assert_eq!(table.failed(&Short(0x8002), &config), Some(Short(0x8003)));
    assert_eq!(table.answered(Short(0x8003), 73, &config), Answered::Inserted);
    assert_eq!(table.bucket(0).collect::<Vec<_>>(), [Short(0x8001), Short(0x8003)]);
}

#[test]
fn an_outage_does_not_empty_the_table() {
    let config = Config { k: 2, ..Config::paper() };
    let mut table = Table::new(key(0));
    table.answered(Short(0x8001), 1, &config);
    for _ in 1..FAILURES_MAX {
        table.failed(&Short(0x8001), &config);
        assert_eq!((table.len(), table.good().count()), (1, 0));
    }
    table.answered(Short(0x8001), 2, &config);
    assert_eq!(table.good().count(), 1);
    for _ in 0..FAILURES_MAX {
        table.failed(&Short(0x8001), &config);
    }
    assert!(table.is_empty());
}

#[test]
fn contacts_with_a_right_to_their_ids_come_first() {
    let verified = |contact: &Short| contact.0 & 1 == 0;
    let config = Config { k: 2, verified: Some(verified), ..Config::paper() };
    let mut table = Table::new(key(0));
    for contact in [2, 4, 0x8001, 0x8002] {
        table.answered(Short(contact), 1, &config);
    }
    assert_eq!(table.answered(Short(0x8004), 2, &config), Answered::Inserted);
    assert_eq!(table.bucket(0).collect::<Vec<_>>(), [Short(0x8002), Short(0x8004)]);
    assert_eq!(table.answered(Short(0x8003), 3, &config), Answered::Waits(None));
}

#[test]
fn the_order_of_answers_outlasts_many_days() {
    let config = Config { k: 2, ..Config::paper() };
    let (hour, mut table) = (3_600, Table::new(key(0)));
    for contact in [0x8001, 0x8002, 1, 2] {
        table.answered(Short(contact), 0, &config);
    }
    table.failed(&Short(0x8001), &config);
    assert_eq!(table.failing().collect::<Vec<_>>(), [Short(0x8001)]);
    for day in 1..=100 {
        let now = day * 24 * hour;
        assert_eq!(table.answered(Short(0x8002), now, &config), Answered::Known);
        assert_eq!(
            table.bucket_with_failures(0).collect::<Vec<_>>(),
            [(Short(0x8001), 1), (Short(0x8002), 0)]
        );
    }
    table.answered(Short(0x8001), 100 * 24 * hour, &config);
    assert_eq!(
        table.bucket_with_failures(0).collect::<Vec<_>>(),
        [(Short(0x8002), 0), (Short(0x8001), 0)]
    );
    assert_eq!(table.bucket(1).collect::<Vec<_>>(), [Short(1), Short(2)], "as at the beginning");
    assert!(table.questionable(100 * 24 * hour, &config).next().is_none(), "nobody waits");
    let waits = table.answered(Short(0x8003), 100 * 24 * hour + hour / 2, &config);
    assert_eq!(waits, Answered::Waits(None), "half an hour is not long");
    let waits = table.answered(Short(0x8003), 100 * 24 * hour + hour, &config);
    assert_eq!(waits, Answered::Waits(Some(Short(0x8002))), "an hour is");
    let now = 100 * 24 * hour + hour;
    assert_eq!(table.questionable(now, &config).collect::<Vec<_>>(), [Short(0x8002)]);
}
