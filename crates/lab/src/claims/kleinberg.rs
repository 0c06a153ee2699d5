//! Greedy routing on Kleinberg's grid, whose long links are drawn when a message comes by.

use machine::Rng;

use super::mean;
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::watch::{Spot, Stage, Ways};

pub(crate) static CLAIM: Claim = Claim {
    id: "kleinberg.exponent",
    title: "Long links as the inverse square of distance are found by greedy steps",
    says: "On a square grid where each node has one long link, to a node at distance d with probability \
           proportional to d^-r, greedy routing is fast only near r = 2: below and above it takes a \
           power of the side.",
    source: "Kleinberg, STOC 2000; Nature 406 (2000)",
    provenance: Provenance::Memory,
    params: &[
        Param {
            name: "side",
            what: "nodes along each side of the grid",
            kind: Kind::Integer(64, 20_000),
            paper: "20000",
            small: "1000",
        },
        Param {
            name: "messages",
            what: "messages for each exponent",
            kind: Kind::Integer(10, 100_000),
            paper: "1000",
            small: "200",
        },
    ],
    seconds: 60,
    measure,
};

/// Ten times the exponents.
const EXPONENTS: [u32; 9] = [0, 5, 10, 15, 18, 20, 22, 25, 30];

/// Chances of distances: how many nodes a torus of this side has at each, by its power.
fn distances(side: i64, exponent: f64) -> Vec<f64> {
    let half = side / 2;
    let mut sum = 0.0;
    (1..=2 * half)
        .map(|distance| {
            // Nodes at a distance in a diamond that the square cuts off.
            let cut = (distance - half).max(0);
            let count = 4 * distance - 8 * cut;
            sum += count.max(0) as f64 * (distance as f64).powf(-exponent);
            sum
        })
        .collect()
}

/// A node at `distance` of the origin, within half a side along either axis.
fn at_distance(distance: i64, half: i64, rng: &mut Rng) -> (i64, i64) {
    let (least, most) = ((distance - half).max(0), distance.min(half));
    let x = least + rng.below((most - least + 1) as u64) as i64;
    let sign = |rng: &mut Rng| if rng.below(2) == 0 { 1 } else { -1 };
    (x * sign(rng), (distance - x) * sign(rng))
}

/// Steps of one message between two nodes at random. A node is never met twice, so its link can be
/// drawn when it is.
fn steps(side: i64, chances: &[f64], rng: &mut Rng, ways: &mut Ways<Spot>) -> f64 {
    let half = side / 2;
    let total = chances.last().copied().unwrap_or(1.0);
    let wrap = |v: i64| (v + half).rem_euclid(side) - half;
    // Where the target lies from here.
    let mut away = (rng.below(side as u64) as i64 - half, rng.below(side as u64) as i64 - half);
    // The target in the middle.
    let spot =
        |away: (i64, i64)| [away.0, away.1].map(|away| (0.5 - away as f64 / side as f64) as f32);
    let mut way = vec![spot(away)];
    while away != (0, 0) {
        let unit = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        let distance = chances.partition_point(|&sum| sum < unit * total) as i64 + 1;
        let (x, y) = at_distance(distance, half, rng);
        let long = (wrap(away.0 - x), wrap(away.1 - y));
        let near = match away.0.abs() >= away.1.abs() {
            true => (away.0 - away.0.signum(), away.1),
            false => (away.0, away.1 - away.1.signum()),
        };
        let length = |it: (i64, i64)| it.0.abs() + it.1.abs();
        away = if length(long) < length(near) { long } else { near };
        way.push(spot(away));
    }
    ways.walked(&way);
    (way.len() - 1) as f64
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (side, messages) = (run.params.int("side") as i64, run.params.int("messages"));
    let measured = run.map(
        &EXPONENTS,
        |_| side as f64,
        |&exponent, _| {
            let mut rng = Rng::new(run.seed_of(u64::from(exponent)));
            let chances = distances(side, f64::from(exponent) / 10.0);
            let mut ways = Ways::new(|| Stage::grid((side * side) as usize));
            let all: Vec<f64> =
                (0..messages).map(|_| steps(side, &chances, &mut rng, &mut ways)).collect();
            mean(&all)
        },
    );
    let best = EXPONENTS.iter().zip(&measured).min_by(|a, b| a.1.total_cmp(b.1));
    let best = best.map_or(f64::NAN, |(&exponent, _)| f64::from(exponent) / 10.0);
    let at = |exponent: u32| {
        let place = EXPONENTS.iter().position(|&it| it == exponent);
        place.map_or(f64::NAN, |place| measured[place])
    };
    let mut outcome = Outcome::default();
    outcome.check(Check::at_least("the best exponent r", best, 1.5));
    outcome.check(Check::at_most("the best exponent r, from below", best, 2.0));
    outcome.check(Check::at_least("steps at r = 3 by those at r = 2", at(30) / at(20), 1.5));
    let points = EXPONENTS.iter().zip(&measured);
    outcome.plots.push(Plot {
        title: "Steps of a message".to_owned(),
        x: Axis::linear("exponent r"),
        y: Axis::log10("steps"),
        series: vec![Series::new(
            "ours",
            Role::Ours,
            points.map(|(&exponent, &steps)| (f64::from(exponent) / 10.0, steps)),
        )],
    });
    outcome.note("The grid's ends are joined, so that all nodes are alike.");
    Ok(outcome)
}
