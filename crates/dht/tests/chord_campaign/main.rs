//! Chord under faults drawn from seeds: the invariant is checked after every event for as long as
//! nobody is wrongly taken for dead; then faults stop, and every live key must be found. Planted
//! defects must be found, too.

mod invariant;
mod run;

use std::cell::Cell;

use dht::chord::Fault;
use invariant::Violation;
use run::{Failure, Outcome, Weather, run};

/// How many seeds each weather has.
const SEEDS: u64 = 80;

fn weather(weather: Weather) {
    let sum = Cell::new(Outcome::default());
    let (undisturbed, seeds) = (Cell::new(0), Cell::new(0));
    sim::campaign(0..SEEDS, |seed| {
        let outcome = run(seed, weather, None)?;
        let mut all = sum.get();
        all.checked += outcome.checked;
        all.found += outcome.found;
        sum.set(all);
        seeds.set(seeds.get() + 1);
        undisturbed.set(undisturbed.get() + u64::from(outcome.undisturbed));
        Ok::<_, Failure>(())
    });
    let Outcome { checked, found, .. } = sum.get();
    println!(
        "{weather:?}: {} seeds, {} undisturbed to the end, {checked} checks, {found} keys found",
        seeds.get(),
        undisturbed.get()
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
        match run(seed, weather, Some(fault)) {
            Err(failure) if as_expected(&failure) => return,
            Err(failure) => others.push(failure),
            Ok(_) => {}
        }
    }
    panic!("{fault:?} was not found in {SEEDS} seeds: {others:?}");
}

const fn violated(failure: &Failure) -> Option<&Violation> {
    match failure {
        Failure::Invariant(violation, _) => Some(violation),
        _ => None,
    }
}

#[test]
fn joining_without_asking_skips_the_base() {
    found(Fault::JoinUnasked, Weather::Calm, |failure| {
        matches!(violated(failure), Some(Violation::BaseSkipped(_)))
    });
}

#[test]
fn leaving_the_successor_out_of_the_list_skips_the_base() {
    found(Fault::DropHead, Weather::Calm, |failure| {
        matches!(violated(failure), Some(Violation::BaseSkipped(_)))
    });
}

#[test]
fn forgetting_all_successors_leaves_no_living_one() {
    found(Fault::ForgetSuccessors, Weather::Crashes, |failure| {
        matches!(violated(failure), Some(Violation::NoLiveSuccessor(_)))
    });
}

#[test]
fn taking_anybody_for_the_predecessor_is_seen() {
    found(Fault::NotifyAnybody, Weather::Crashes, |failure| {
        matches!(violated(failure), Some(Violation::PredecessorFellBack(_)))
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
