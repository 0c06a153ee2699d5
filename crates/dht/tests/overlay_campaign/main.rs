//! Overlays under faults drawn from seeds: nodes crash, join and leave while values are put; then
//! faults stop, the tables of all must be as they should, and every live key must be found. Every
//! message travels through the codec. Planted defects must be found, too.

mod can;
mod can_realities;
mod kelips;
mod pastry;
mod repair;
mod run;
mod tapestry;
mod viceroy;
mod wire;

use run::{Failure, Subject, Weather, run};

/// How many seeds each overlay has, in all weathers together.
const SEEDS: u64 = 200;

/// Runs the share of the seeds that `weather` has.
fn weather<T: Subject>(weather: Weather) {
    let share = SEEDS.div_ceil(3);
    sim::campaign(0..share, |seed| run::<T>(seed, weather, None));
}

/// Asserts that a planted defect makes a seed fail as it should.
fn found<T: Subject>(fault: T::Fault, weather: Weather, as_expected: impl Fn(&Failure) -> bool) {
    let mut others = Vec::new();
    for seed in 0..SEEDS.div_ceil(3) {
        match run::<T>(seed, weather, Some(fault)) {
            Err(failure) if as_expected(&failure) => return,
            Err(failure) => others.push(failure),
            Ok(()) => {}
        }
    }
    panic!("{fault:?} was not found: {others:?}");
}
