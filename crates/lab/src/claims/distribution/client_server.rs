//! A server that sends every copy against peers that pass on what they have.

use sim::stream::Access;

use super::{PIECE_KIB, swarm};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;
use crate::swarm::{Leecher, Scenario};

/// F/u, in seconds.
const HOUR: f64 = 3_600.0;

pub(crate) static CLAIM: Claim = Claim {
    id: "distribution.client_server",
    title: "Client-server against peer-to-peer",
    says: "With F/u = 1 hour, u_s = 10u and d_min = u_s, a server alone takes N F/u_s: ever longer \
           with N. Peers that pass on what they have take max(F/u_s, F/d_min, N F/(u_s + N u)): \
           never an hour.",
    source: "Lectures after Kurose and Ross, section 2.5: distribution time for N = 1 to 35",
    provenance: Provenance::Text,
    params: &[
        Param {
            name: "nodes",
            what: "peers N",
            kind: Kind::Integers(1, 1_000),
            paper: "1-35",
            small: "1,5,10",
        },
        Param {
            name: "file",
            what: "size of the file F, MiB; u is F per hour",
            kind: Kind::Integer(1, 16_384),
            paper: "128",
            small: "16",
        },
        Param {
            name: "server",
            what: "what the server sends, u_s / u",
            kind: Kind::Real(1.0, 1_000.0),
            paper: "10",
            small: "10",
        },
        PIECE_KIB,
    ],
    seconds: 60,
    measure,
};

/// The share by which whole pieces and rounds of choking may keep a swarm from being a fluid.
const SWARM_TOLERANCE: f64 = 0.10;
/// The same for a server that only has to take turns.
const SERVER_TOLERANCE: f64 = 0.05;

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let (mebibytes, piece_kib) = (run.params.int("file"), run.params.int("piece"));
    let server = run.params.real("server");
    let up = (mebibytes << 20) as f64 / HOUR;
    let source = (up * server) as u64;
    let scenario = |nodes: u64, acquainted: bool| {
        let access = Access { up: Some(up as u64), down: Some(source) };
        let source = Access { up: Some(source), down: None };
        let leechers = vec![Leecher { access, rides: false }; nodes as usize];
        let swarm = swarm(run.seed_of(nodes), (mebibytes, piece_kib), source, leechers);
        Scenario { acquainted, ..swarm }
    };
    let counts = run.params.ints("nodes");
    let jobs: Vec<(u64, bool)> =
        counts.iter().flat_map(|&nodes| [(nodes, true), (nodes, false)]).collect();
    let hours = run.map(
        &jobs,
        |(nodes, _)| *nodes as f64,
        |&(nodes, acquainted), tell| scenario(nodes, acquainted).run(tell).last() / HOUR,
    );
    // All in hours: F/u = 1, so u = 1 copy per hour.
    let alone = |n: f64| (n / server).max(1.0 / server);
    let together = |n: f64| (1.0 / server).max(n / (server + n));
    let mut outcome = Outcome::default();
    let mut curves = [Vec::new(), Vec::new()];
    for (&(nodes, acquainted), &took) in jobs.iter().zip(&hours) {
        let n = nodes as f64;
        curves[usize::from(acquainted)].push((n, took));
        let (who, fluid, tolerance) = match acquainted {
            true => ("swarm", together(n), SWARM_TOLERANCE),
            false => ("server alone", alone(n), SERVER_TOLERANCE),
        };
        if nodes % 5 == 0 || nodes == 1 {
            let what = format!("{who}, N = {nodes}, hours");
            outcome.check(Check::new(what, took, fluid, Tolerance::Relative(tolerance)));
        }
    }
    let [servers, swarms] = curves;
    let bounds = |of: &dyn Fn(f64) -> f64| {
        let points: Vec<_> = counts.iter().map(|&n| (n as f64, of(n as f64))).collect();
        points
    };
    outcome.plots.push(Plot {
        title: "Time until the last of N peers has the file".to_owned(),
        x: Axis::linear("peers N"),
        y: Axis::linear("hours"),
        series: vec![
            Series::new("our swarm", Role::Ours, swarms),
            Series::new("our server alone", Role::Other, servers),
            Series::new("peer-to-peer, lecture", Role::Published, bounds(&together)),
            Series::new("client-server, lecture", Role::Published, bounds(&alone)),
        ],
    });
    outcome.note(
        "Both of ours are the BitTorrent machine: as a server alone, nobody is told of other peers. \
         The lecture's curves are bounds for a fluid; ours moves whole pieces, one access link at a \
         time, and unchokes in rounds of ten seconds.",
    );
    Ok(outcome)
}
