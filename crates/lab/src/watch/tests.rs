//! What is seen of claims of every kind, and that looking on changes nothing.

use super::stage::{FLOOD_MAX, HOPS_MAX, mesh};
use super::swarm::{FLOWS_MAX, MEMBERS_MAX};
use super::*;
use crate::run::run_by;
use crate::{Settings, Size, all, run};

/// A frame whenever there is one: what is seen does not depend on how quick this machine is.
const ALL: Pace = Pace { first: Duration::ZERO, most: Duration::ZERO };

/// What is seen of a claim with these parameters.
fn watched(id: &str, given: &[(&str, &str)]) -> Vec<Frame> {
    let claim = all().iter().find(|claim| claim.id == id).expect("a claim");
    let given = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let settings = Settings { size: Size::Small, given, ..Settings::default() };
    let seen = Arc::new(Mutex::new(Vec::new()));
    let viewer = {
        let seen = seen.clone();
        Arc::new(move |frame| seen.lock().expect("unpoisoned").push(frame))
    };
    let alone = run(claim, &settings, &|_, _| ()).expect("runs");
    let looked_at =
        run_by(claim, &settings, &|_, _| (), Some(Eye::new(viewer, ALL))).expect("runs");
    assert_eq!(alone.outcome, looked_at.outcome, "{id} is not what it is unwatched");
    let mut seen = seen.lock().expect("unpoisoned");
    std::mem::take(&mut *seen)
}

/// Messages whose sender was spoken to a step before, in the same walk.
fn consequences<P: Copy + PartialEq>(walks: &Walks<P>, hops_max: usize) -> usize {
    assert!(walks.places.len() <= PLACES_MAX.max(walks.hops.len() + 1));
    assert!((1..=hops_max).contains(&walks.hops.len()));
    let led = |hop: &Hop<P>| {
        walks.hops.iter().any(|before| {
            (before.walk, before.step + 1, before.to) == (hop.walk, hop.step, hop.from)
        })
    };
    walks.hops.iter().filter(|hop| led(hop)).count()
}

/// The kind of a scene, and how many of its messages follow from another.
fn judged(scene: &Scene) -> (&'static str, usize) {
    let within = |spots: &Walks<Spot>| {
        let ends = spots.hops.iter().flat_map(|hop| [hop.from, hop.to]);
        let mut all = ends.chain(spots.places.iter().copied()).flatten();
        assert!(all.all(|at| (0.0..=1.0).contains(&at)), "{spots:?}");
    };
    match scene {
        Scene::Ring(walks) => ("ring", consequences(walks, HOPS_MAX)),
        Scene::Tree(walks) => ("tree", consequences(walks, HOPS_MAX)),
        Scene::Torus(walks) => {
            within(walks);
            ("torus", consequences(walks, HOPS_MAX))
        }
        Scene::Groups(bands) => {
            within(&bands.walks);
            ("groups", consequences(&bands.walks, HOPS_MAX))
        }
        Scene::Butterfly(bands) => {
            within(&bands.walks);
            ("butterfly", consequences(&bands.walks, HOPS_MAX))
        }
        Scene::Mesh(walks) => {
            within(walks);
            ("mesh", consequences(walks, FLOOD_MAX))
        }
        Scene::Swarm(exchange) => {
            assert!(exchange.progress.len() <= MEMBERS_MAX && exchange.flows.len() <= FLOWS_MAX);
            ("swarm", exchange.flows.len())
        }
    }
}

#[test]
fn claims_are_seen_as_what_their_networks_are() {
    for (id, kind, given) in [
        ("chord.path_length.mean", "ring", &[][..]),
        ("kademlia.properties.steps", "tree", &[("nodes", "64")]),
        ("pastry.hops", "ring", &[("nodes", "200"), ("lookups", "1000")]),
        ("pastry.failures", "ring", &[("nodes", "60"), ("lookups", "300"), ("rounds", "4")]),
        ("tapestry.rdp", "tree", &[("nodes", "64")]),
        ("can.hops.dimensions", "torus", &[("nodes", "256")]),
        ("can.hops.realities", "torus", &[("nodes", "128")]),
        ("kelips.failure", "groups", &[("nodes", "60"), ("groups", "8"), ("lookups", "20")]),
        ("viceroy.degree", "butterfly", &[("nodes", "128")]),
        ("search.flood_coverage", "mesh", &[("ttl", "3,7"), ("degrees", "4")]),
        ("search.supernodes", "mesh", &[("nodes", "40")]),
        ("kleinberg.exponent", "torus", &[]),
        ("distribution.free_riders", "swarm", &[("riders", "0")]),
    ] {
        let frames = watched(id, given);
        let judged: Vec<_> = frames.iter().map(|frame| judged(&frame.scene)).collect();
        assert!(judged.iter().all(|(seen, _)| *seen == kind), "{id}: {judged:?}");
        // A frame shows what was said since the last one, which may be a part of each lookup.
        assert!(judged.iter().any(|(_, led)| *led > 0), "{id}: {judged:?}");
    }
}

#[test]
fn a_comparison_shows_each_system_in_its_turn() {
    let frames = watched("lecture.comparison.standing", &[("nodes", "64")]);
    let kinds: std::collections::BTreeSet<_> =
        frames.iter().map(|frame| judged(&frame.scene).0).collect();
    assert_eq!(kinds, ["butterfly", "groups", "ring", "torus", "tree"].into());
}

#[test]
fn a_flood_spreads_from_the_middle_circle_by_circle() {
    let hop = |step, from, to| Hop { walk: 0, step, from, to, lost: false };
    // 7 is heard of from two sides; nobody told 9, who speaks.
    let hops = [hop(0, 1, 5), hop(0, 1, 6), hop(1, 5, 7), hop(1, 6, 7), hop(1, 9, 4)];
    let Scene::Mesh(seen) = mesh(100, &hops) else { panic!("another scene") };
    assert_eq!((seen.nodes, seen.places.len(), seen.hops.len()), (100, 4, 4));
    let away = |spot: Spot| ((spot[0] - 0.5).hypot(spot[1] - 0.5) * 4.0).round() as u32;
    let circles: Vec<_> = seen.hops.iter().map(|hop| (away(hop.from), away(hop.to))).collect();
    assert_eq!(circles, [(0, 1), (0, 1), (1, 2), (1, 2)]);
}
