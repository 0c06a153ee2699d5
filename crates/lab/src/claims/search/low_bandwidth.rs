//! What peers behind modems have to send, in a flat network and in one of two levels.

use std::time::Duration;

use machine::Rng;
use search::gnutella::servent::Command;

use super::{Layout, Overlay};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.low_bandwidth",
    title: "Peers behind modems, swamped in a flat network and saved by a two-level one",
    says: "A modem has not enough bandwidth to pass the traffic of a flat network on; as leaves of \
           peers with more, hosts behind modems send next to nothing.",
    source: "Lectures on Gnutella: problems (modem-connected hosts), and FastTrack as a solution",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "peers, of which 90 % are behind modems",
            kind: Kind::Integer(50, 2_000),
            paper: "500",
            small: "100",
        },
        Param {
            name: "per_minute",
            what: "searches of a peer in a minute",
            kind: Kind::Reals(0.01, 60.0),
            paper: "0.3,1,3,10",
            small: "60",
        },
    ],
    seconds: 20,
    measure,
};

/// What a modem sends, in bytes per second (33.6 kbit/s).
const MODEM: f64 = 33_600.0 / 8.0;
const SPAN: Duration = Duration::from_secs(60);

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.int("nodes") as u32;
    let rates = run.params.reals("per_minute");
    let cases: Vec<_> = rates.iter().flat_map(|rate| [(*rate, true), (*rate, false)]).collect();
    let measured = run.map(
        &cases,
        |(rate, flat)| rate * if *flat { 4.0 } else { 1.0 },
        |&(rate, flat), _| load(run.seed_of(1), nodes, rate, flat),
    );
    let (flat, two_level): (Vec<_>, Vec<_>) =
        measured.chunks(2).map(|pair| (pair[0], pair[1])).unzip();
    let mut outcome = Outcome::default();
    if let (Some(rate), Some(flat), Some(two)) = (rates.last(), flat.last(), two_level.last()) {
        let what = format!("modems that are swamped, flat, {rate} searches a minute");
        outcome.check(Check::at_least(what, flat.1, 0.7));
        let what = format!("modems that are swamped, two levels, {rate} searches a minute");
        outcome.check(Check::at_most(what, two.1, 0.0));
        let what =
            format!("bytes of a modem, two levels, of those in a flat network, {rate} a minute");
        outcome.check(Check::at_most(what, two.0 / flat.0.max(1.0), 0.15));
    }
    let plot = |title: &str, y: Axis, part: fn(&(f64, f64)) -> f64| {
        let points = |rows: &[(f64, f64)]| -> Vec<_> {
            rates.iter().zip(rows).map(|(rate, row)| (*rate, part(row))).collect()
        };
        Plot {
            title: title.to_owned(),
            x: Axis::log10("searches of a peer in a minute"),
            y,
            series: vec![
                Series::new("flat", Role::Other, points(&flat)),
                Series::new("two levels", Role::Ours, points(&two_level)),
            ],
        }
    };
    let bytes = Axis::log10("bytes per second");
    outcome.plots.push(plot("What a peer behind a modem sends", bytes, |row| row.0));
    let share = Axis::linear("share");
    outcome.plots.push(plot("Modems that are swamped", share, |row| row.1));
    outcome
        .note("A modem sends 4,200 bytes a second. What would be more is counted, not held back.");
    Ok(outcome)
}

/// What a modem sends in the mean, in bytes per second, and the share of those that cannot.
fn load(seed: u64, nodes: u32, per_minute: f64, flat: bool) -> (f64, f64) {
    let fast = nodes / 10;
    let layout = if flat {
        Layout::flat(seed, nodes, 4)
    } else {
        Layout::two_level(seed, fast, nodes - fast, 6, 2)
    };
    let mut overlay = Overlay::of(seed, &layout, |config| {
        config.pong_caching = true;
        config.dynamic = false;
        config.slots = 1 << 12;
    });
    for node in 0..nodes {
        overlay.share(node, &format!("song{}.ogg", node % 50));
    }
    overlay.run(Duration::from_secs(30));
    let before = overlay.net.adapter().by_node.clone();
    let mut rng = Rng::new(seed);
    let searches = (per_minute * f64::from(nodes) * SPAN.as_secs_f64() / 60.0) as u32;
    let began = overlay.net.now();
    for number in 1..=searches {
        let node = rng.below(nodes.into()) as u32;
        let words = format!("song{}", rng.below(50));
        overlay.net.command(node, Command::Search { words, sha1: None });
        // The clock stands still while nothing happens: each has its moment from the beginning.
        let next = began + SPAN * number / searches.max(1);
        while overlay.net.step(next) {}
    }
    let sent = overlay.net.adapter().by_node.iter().zip(&before);
    let modems = sent.skip(fast as usize).map(|(after, before)| after - before);
    let rates: Vec<f64> = modems.map(|bytes| bytes as f64 / SPAN.as_secs_f64()).collect();
    let swamped = rates.iter().filter(|rate| **rate > MODEM).count();
    let count = rates.len().max(1) as f64;
    (rates.iter().sum::<f64>() / count, swamped as f64 / count)
}
