//! Chord under faults drawn from seeds: the invariant is checked after every event, but for the
//! time that it takes to come back after somebody was wrongly taken for dead; then faults stop, and
//! every live key must be found. Every message travels through the codec. Planted defects must be
//! found, too.

mod invariant;
mod run;
mod wire;

use std::cell::Cell;

use dht::chord::Fault;
use invariant::Violation;
use run::{Failure, Outcome, Weather, run};

/// How many seeds each weather has.
const SEEDS: u64 = 80;

fn weather(weather: Weather) {
    let sum = Cell::new(Outcome::default());
    let seeds = Cell::new(0);
    sim::campaign(0..SEEDS, |seed| {
        let outcome = run(seed, weather, None, None)?;
        let mut all = sum.get();
        all.checked += outcome.checked;
        all.found += outcome.found;
        all.disturbed += outcome.disturbed;
        sum.set(all);
        seeds.set(seeds.get() + 1);
        Ok::<_, Failure>(())
    });
    let Outcome { checked, disturbed, found } = sum.get();
    println!(
        "{weather:?}: {} seeds, {disturbed} times disturbed, {checked} checks, {found} keys found",
        seeds.get(),
    );
    if seeds.get() == SEEDS {
        assert!(checked > 100_000, "the invariant was checked {checked} times only");
        assert!(found as u64 > 5 * SEEDS, "{found} keys were looked for only");
    }
}

#[test]
fn calm_rings_lose_nothing() {
    weather(Weather::Calm);
}

#[test]
fn rings_survive_crashes() {
    weather(Weather::Crashes);
}

#[test]
fn rings_survive_partitions() {
    weather(Weather::Partitions);
}

/// Asserts that a planted defect makes a seed fail as it should.
fn found(fault: Fault, weather: Weather, as_expected: impl Fn(&Failure) -> bool) {
    let mut others = Vec::new();
    for seed in 0..SEEDS {
        match run(seed, weather, Some(fault), None) {
            Err(failure) if as_expected(&failure) => return,
            Err(failure) => others.push(failure),
            Ok(_) => {}
        }
    }
    panic!("{fault:?} was not found in {SEEDS} seeds: {others:?}");
}

/// Asserts that a planted defect violates a part of the invariant, whatever else it does.
fn violates(fault: Fault, weather: Weather, expected: fn(&Violation) -> bool) {
    let fails = |seed| match run(seed, weather, Some(fault), Some(expected)) {
        Err(Failure::Invariant(violation, _)) => expected(&violation),
        _ => false,
    };
    assert!((0..SEEDS).any(fails), "{fault:?} was not seen in {SEEDS} seeds");
}

#[test]
fn joining_without_asking_skips_the_base() {
    violates(Fault::JoinUnasked, Weather::Calm, |it| matches!(it, Violation::BaseSkipped(_)));
}

#[test]
fn leaving_the_successor_out_of_the_list_skips_the_base() {
    violates(Fault::DropHead, Weather::Calm, |it| matches!(it, Violation::BaseSkipped(_)));
}

#[test]
fn leaving_every_other_node_out_makes_two_rings() {
    violates(Fault::DropHead, Weather::Calm, |it| matches!(it, Violation::TwoRings(..)));
}

#[test]
fn leaving_every_other_node_out_makes_a_ring_that_goes_around_twice() {
    violates(Fault::DropHead, Weather::Calm, |it| matches!(it, Violation::DisorderedRing));
}

#[test]
fn putting_the_successor_last_disorders_lists() {
    violates(Fault::HeadLast, Weather::Crashes, |it| matches!(it, Violation::DisorderedList(_)));
}

#[test]
fn forgetting_all_successors_leaves_no_living_one() {
    violates(Fault::ForgetSuccessors, Weather::Crashes, |it| {
        matches!(it, Violation::NoLiveSuccessor(_))
    });
}

#[test]
fn taking_anybody_for_the_predecessor_is_seen() {
    violates(Fault::NotifyAnybody, Weather::Crashes, |it| {
        matches!(it, Violation::PredecessorFellBack(_))
    });
}

#[test]
fn lists_that_grow_stale_never_settle() {
    found(Fault::StaleSuccessors, Weather::Crashes, |failure| {
        matches!(failure, Failure::Unsettled(..))
    });
}

#[test]
fn keeping_a_dead_successor_never_settles() {
    found(Fault::KeepDeadHead, Weather::Crashes, |failure| {
        matches!(failure, Failure::Unsettled(..))
    });
}

#[test]
fn fingers_past_the_target_lose_keys() {
    found(Fault::Overshoot, Weather::Calm, |failure| matches!(failure, Failure::Lost(..)));
}

#[test]
fn keys_that_are_not_handed_over_are_missed() {
    found(Fault::NoHandover, Weather::Calm, |failure| matches!(failure, Failure::Misplaced(..)));
}

#[test]
fn copies_that_are_not_repaired_are_missed() {
    found(Fault::NoRepair, Weather::Crashes, |failure| matches!(failure, Failure::Misplaced(..)));
}

#[test]
fn rings_that_do_not_look_for_the_lost_stay_apart() {
    found(Fault::NoMerge, Weather::Partitions, |failure| matches!(failure, Failure::Unsettled(..)));
}
