//! A two-level network under faults drawn from seeds: bounds and mandates are checked all along;
//! then faults stop, and every node must have a supernode, and every live file must be found. Every
//! message travels through the codec. Planted defects must be found, too.

mod run;
mod stories;
mod wire;

use std::cell::Cell;

use run::{Failure, Outcome, run};
use search::fasttrack::Fault;

const SEEDS: u64 = 200;
/// Seeds that a planted defect has to show itself in.
const PLANTED: u64 = 60;

#[test]
fn all_that_lives_is_found_and_nobody_is_elected_by_his_own_word() {
    let sum = Cell::new(Outcome::default());
    let seeds = Cell::new(0);
    sim::campaign(0..SEEDS, |seed| {
        let one = run(seed, None)?;
        let all = sum.get();
        sum.set(Outcome {
            supernodes: all.supernodes + one.supernodes,
            elected: all.elected + one.elected,
            failovers: all.failovers + one.failovers,
            found: all.found + one.found,
            survived: all.survived + one.survived,
            sent: all.sent.max(one.sent),
        });
        seeds.set(seeds.get() + 1);
        Ok::<_, Failure>(())
    });
    println!("{} seeds: {:?}", seeds.get(), sum.get());
    if seeds.get() == SEEDS {
        let Outcome { supernodes, elected, failovers, found, survived, .. } = sum.get();
        // A campaign in which little happens shows little.
        assert!(supernodes as u64 > 2 * SEEDS, "{supernodes} supernodes");
        assert!(elected as u64 > 2 * SEEDS, "{elected} elections");
        assert!(failovers as u64 > 2 * SEEDS, "{failovers} failovers");
        assert!(found as u64 > 10 * SEEDS, "{found} files");
        assert!(survived as u64 > SEEDS / 2, "{survived} searches");
    }
}

/// Asserts that a planted defect makes a seed fail as it should.
fn found(fault: Fault, as_expected: impl Fn(&Failure) -> bool) {
    let mut others = Vec::new();
    for seed in 0..PLANTED {
        match run(seed, Some(fault)) {
            Err(failure) if as_expected(&failure) => return,
            Err(failure) => others.push(failure),
            Ok(_) => {}
        }
    }
    panic!("{fault:?} was not found in {PLANTED} seeds: {others:?}");
}

#[test]
fn believing_claims_elects_a_forger() {
    found(Fault::BelieveClaims, |failure| matches!(failure, Failure::Unattested(_)));
}

#[test]
fn counting_accomplices_elects_one_of_them() {
    found(Fault::CountAccomplices, |failure| matches!(failure, Failure::Unattested(_)));
}

#[test]
fn staying_with_a_silent_supernode_leaves_leaves_alone() {
    found(Fault::NoFailover, |failure| matches!(failure, Failure::Alone(..)));
}

#[test]
fn publishing_once_only_loses_files() {
    found(Fault::NoRepublish, |failure| matches!(failure, Failure::Lost(..)));
}

#[test]
fn searches_that_are_not_asked_again_are_lost() {
    found(Fault::ForgetSearches, |failure| matches!(failure, Failure::Forgotten(_)));
}

#[test]
fn keeping_what_is_gone_is_seen() {
    found(Fault::KeepGone, |failure| matches!(failure, Failure::Stale(..)));
}

#[test]
fn directories_without_bounds_are_seen() {
    found(Fault::NoBounds, |failure| matches!(failure, Failure::Unbounded(..)));
}

#[test]
fn passing_on_what_was_passed_on_before_is_a_storm() {
    found(Fault::NoDedup, |failure| matches!(failure, Failure::Storm));
}

#[test]
fn supernodes_that_do_not_look_for_the_lost_stay_apart() {
    found(Fault::NoMerge, |failure| matches!(failure, Failure::Apart(_)));
}
