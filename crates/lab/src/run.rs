//! Running claims: parameters, seed, threads and progress in, a record out.

use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::claim::Claim;
use crate::outcome::{Outcome, Verdict};
use crate::param::{ParamError, Params, Size};
use crate::watch::{Eye, FOR_EYES, Viewer};

/// The seed of runs that name none.
const SEED: u64 = 1;

/// How to run claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which defaults to use.
    pub size: Size,
    /// Parameters by name, in place of the defaults.
    pub given: Vec<(String, String)>,
    /// What all randomness follows from.
    pub seed: u64,
    /// Threads to use. The outcome does not depend on it.
    pub threads: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { size: Size::Paper, given: Vec::new(), seed: SEED, threads: 1 }
    }
}

/// Who is told how far a run is: its claim, and a share from 0 to 1.
pub type Progress<'a> = dyn Fn(&'static Claim, f64) + Sync + 'a;

/// One run of a claim, as the claim sees it.
pub struct Run<'a> {
    /// Its parameters.
    pub params: &'a Params,
    /// What all randomness follows from.
    pub seed: u64,
    threads: usize,
    claim: &'static Claim,
    progress: &'a Progress<'a>,
    eye: Option<Arc<Eye>>,
}

impl Run<'_> {
    /// Does `work` for each of `items`, on all threads, and gives the results in order.
    ///
    /// `weight` says how long an item takes compared to others; `work` may tell which share of its
    /// item is done.
    pub fn map<I: Sync, T: Send>(
        &self,
        items: &[I],
        weight: impl Fn(&I) -> f64,
        work: impl Fn(&I, &dyn Fn(f64)) -> T + Sync,
    ) -> Vec<T> {
        let weights: Vec<f64> = items.iter().map(weight).collect();
        let total: f64 = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
        let shares = Mutex::new(vec![0.0; items.len()]);
        let tell = |item: usize, share: f64| {
            let Ok(mut shares) = shares.lock() else { return };
            shares[item] = share.clamp(0.0, 1.0) * weights[item];
            (self.progress)(self.claim, shares.iter().sum::<f64>() / total);
        };
        // The long ones first, so that no thread is left alone with one at the end.
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
        let mut results = spread(self.threads, &order, |&item| {
            let result =
                Eye::during(self.eye.as_ref(), || work(&items[item], &|share| tell(item, share)));
            tell(item, 1.0);
            (item, result)
        });
        results.sort_by_key(|(item, _)| *item);
        results.into_iter().map(|(_, result)| result).collect()
    }

    /// A seed of its own for part `number` of this run.
    #[must_use]
    pub fn seed_of(&self, number: u64) -> u64 {
        let mut rng = machine::Rng::new(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        rng.next_u64()
    }

    /// These parameters do not go together.
    #[must_use]
    pub fn refuse(&self, why: impl Into<String>) -> ParamError {
        ParamError::Together { claim: self.claim.id, why: why.into() }
    }
}

/// Does `work` for each item on some threads; results come in any order.
fn spread<I: Sync, T: Send>(threads: usize, items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let labour = || {
        let mut done = Vec::new();
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(work(item));
        }
        done
    };
    let threads = threads.clamp(1, items.len().max(1));
    if threads == 1 {
        return labour();
    }
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(labour)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(|done| done.unwrap_or_else(|cause| panic::resume_unwind(cause))).collect()
    })
}

/// A run and what came of it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The claim.
    pub claim: &'static Claim,
    /// What it was run with.
    pub params: Params,
    /// Which defaults these began from.
    pub size: Size,
    /// What all randomness followed from.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in wall-clock time.
    pub took: Duration,
}

impl Record {
    /// The command that gives the same again.
    #[must_use]
    pub fn command(&self) -> String {
        let mut command = format!("shoal lab run {}", self.claim.id);
        if self.size == Size::Small {
            command += " --small";
        }
        if self.seed != SEED {
            command += &format!(" --seed {}", self.seed);
        }
        for (name, value) in self.params.given() {
            command += &format!(" --param {name}={value}");
        }
        command
    }

    /// Whether the claim holds.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.outcome.verdict()
    }
}

/// Runs one claim.
///
/// # Errors
/// When a parameter is not known, not acceptable, or does not go with another.
pub fn run(
    claim: &'static Claim,
    settings: &Settings,
    progress: &Progress<'_>,
) -> Result<Record, ParamError> {
    run_by(claim, settings, progress, None)
}

/// Runs one claim as [`run`] does, with the same outcome, and shows moments of it to `viewer` now
/// and then: those of claims that run in a world of messages, or of streams.
///
/// # Errors
/// As [`run`].
pub fn run_watched(
    claim: &'static Claim,
    settings: &Settings,
    progress: &Progress<'_>,
    viewer: Arc<Viewer>,
) -> Result<Record, ParamError> {
    run_by(claim, settings, progress, Some(Eye::new(viewer, FOR_EYES)))
}

pub(crate) fn run_by(
    claim: &'static Claim,
    settings: &Settings,
    progress: &Progress<'_>,
    eye: Option<Arc<Eye>>,
) -> Result<Record, ParamError> {
    let params = Params::new(claim.id, claim.params, settings.size, &settings.given)?;
    let began = Instant::now();
    let Settings { seed, threads, .. } = *settings;
    let run = Run { params: &params, seed, threads, claim, progress, eye };
    let outcome = Eye::during(run.eye.as_ref(), || (claim.measure)(&run))?;
    let took = began.elapsed();
    Ok(Record { claim, params, size: settings.size, seed: settings.seed, outcome, took })
}

/// Runs several claims side by side, each on one thread; the records come in the claims' order.
///
/// # Errors
/// When a parameter is not acceptable to one of them.
pub fn run_all(
    claims: &[&'static Claim],
    settings: &Settings,
    progress: &Progress<'_>,
) -> Result<Vec<Record>, ParamError> {
    for claim in claims {
        Params::new(claim.id, claim.params, settings.size, &settings.given)?;
    }
    if let [claim] = claims {
        return Ok(vec![run(claim, settings, progress)?]);
    }
    let each = Settings { threads: 1, ..settings.clone() };
    let mut order: Vec<(usize, &'static Claim)> = claims.iter().copied().enumerate().collect();
    order.sort_by_key(|(place, claim)| (std::cmp::Reverse(claim.seconds), *place));
    let mut records =
        spread(settings.threads, &order, |(place, claim)| (*place, run(claim, &each, progress)));
    records.sort_by_key(|(place, _)| *place);
    records.into_iter().map(|(_, record)| record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Provenance;
    use crate::outcome::{Check, Tolerance};
    use crate::param::{Kind, Param};

    /// Claims that the squares of some numbers sum up to 14.
    static SQUARES: Claim = Claim {
        id: "test.squares",
        title: "squares",
        says: "1 + 4 + 9 = 14",
        source: "arithmetic",
        provenance: Provenance::Derived,
        params: &[
            Param {
                name: "numbers",
                what: "numbers to square",
                kind: Kind::Integers(0, 1_000),
                paper: "1-3",
                small: "1,2",
            },
            Param {
                name: "sum",
                what: "what the sum is said to be",
                kind: Kind::Integer(0, 1_000_000),
                paper: "14",
                small: "5",
            },
        ],
        seconds: 0,
        measure: |run| {
            let squares = run.map(run.params.ints("numbers"), |_| 1.0, |&n, _| (n * n) as f64);
            let mut outcome = Outcome::default();
            let expected = run.params.int("sum") as f64;
            let sum = squares.iter().sum();
            outcome.check(Check::new("sum", sum, expected, Tolerance::Relative(0.01)));
            Ok(outcome)
        },
    };

    fn with(given: &[(&str, &str)]) -> Settings {
        let given = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Settings { given, threads: 2, ..Settings::default() }
    }

    #[test]
    fn a_planted_wrong_expectation_is_found() {
        let verdict = |given: &[(&str, &str)]| {
            run(&SQUARES, &with(given), &|_, _| ()).expect("valid parameters").verdict()
        };
        assert_eq!(verdict(&[]), Verdict::Reproduced);
        assert_eq!(verdict(&[("sum", "15")]), Verdict::Departs);
        assert_eq!(verdict(&[("numbers", "1-4"), ("sum", "30")]), Verdict::Reproduced);
    }

    #[test]
    fn parameters_are_checked_before_anything_runs() {
        let error =
            run_all(&[&SQUARES, &SQUARES], &with(&[("sum", "x")]), &|_, _| panic!("it has begun"));
        assert!(matches!(error, Err(ParamError::Value { name: "sum", .. })));
    }

    #[test]
    fn the_command_gives_the_same_again() {
        let settings = Settings { seed: 7, ..with(&[("numbers", "4,9"), ("sum", "14")]) };
        let record = run(&SQUARES, &settings, &|_, _| ()).expect("valid parameters");
        assert_eq!(record.command(), "shoal lab run test.squares --seed 7 --param numbers=4,9");
    }

    #[test]
    fn results_come_in_order_and_progress_ends_at_one() {
        let last = Mutex::new(0.0);
        let progress = |_: &'static Claim, share| *last.lock().expect("unpoisoned") = share;
        let settings = with(&[("numbers", "1-100")]);
        let record = run(&SQUARES, &settings, &progress).expect("valid parameters");
        assert_eq!(record.outcome.checks[0].measured, 338_350.0);
        assert_eq!(*last.lock().expect("unpoisoned"), 1.0);
    }
}
