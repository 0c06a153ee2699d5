//! Who is asked and who remembers, with a central index and with a flood.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use search::napster::index::{Index, MemoryIndex, Owner};
use search::napster::{FileHash, LinkSpeed, MediaType, Nick, Query, SharedFile, Text};

use super::{Layout, Overlay};
use crate::claim::{Claim, Provenance};
use crate::outcome::{Axis, Check, Outcome, Plot, Role, Series, Tolerance};
use crate::param::{Kind, Param, ParamError};
use crate::run::Run;

pub(crate) static CLAIM: Claim = Claim {
    id: "search.scope",
    title: "Messages and state of a central index and of a flood",
    says: "Napster: a search asks one server, O(1), whose state is O(N). Gnutella: a search asks \
           everybody, O(N), and nobody remembers more than his neighbours.",
    source: "Lectures: comparison of Napster, Gnutella and Chord",
    provenance: Provenance::Text,
    params: &[Param {
        name: "nodes",
        what: "peers; in Gnutella of a random graph with 6 neighbours each",
        kind: Kind::Integers(10, 5_000),
        paper: "100,300,1000,3000",
        small: "50,200",
    }],
    seconds: 10,
    measure,
};

/// Files of a peer.
const FILES: usize = 5;
/// Peers that have what is looked for.
const COPIES: u32 = 3;

/// Messages of a search, entries at a server, neighbours of a peer, and answers.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    messages: f64,
    state: f64,
    answers: usize,
}

fn measure(run: &Run<'_>) -> Result<Outcome, ParamError> {
    let nodes = run.params.ints("nodes");
    let rows = run.map(
        nodes,
        |nodes| *nodes as f64,
        |&nodes, _| (central(nodes as u32), flood(run.seed_of(nodes), nodes as u32)),
    );
    let mut outcome = Outcome::default();
    for (nodes, (napster, gnutella)) in nodes.iter().zip(&rows) {
        for (what, cost) in [("Napster", napster), ("Gnutella", gnutella)] {
            let exact = Tolerance::Absolute(0.0);
            let what = format!("answers, {what}, {nodes} peers");
            outcome.check(Check::new(what, cost.answers as f64, f64::from(COPIES), exact));
        }
    }
    if let (Some((least, first)), Some((most, last))) =
        (nodes.iter().zip(&rows).next(), nodes.iter().zip(&rows).next_back())
    {
        let times = *most as f64 / *least as f64;
        let within = |share: f64| Tolerance::Relative(share);
        let mut check = |what: &str, of: fn(&(Cost, Cost)) -> f64, expected: f64, share: f64| {
            let what = format!("{what}, {most} peers against {least}");
            outcome.check(Check::new(
                what,
                of(last) / of(first).max(1e-9),
                expected,
                within(share),
            ));
        };
        check("messages of a search, Napster", |row| row.0.messages, 1.0, 0.0);
        check("entries at the server, Napster", |row| row.0.state, times, 0.0);
        check("messages of a search, Gnutella", |row| row.1.messages, times, 0.25);
        check("neighbours of a peer, Gnutella", |row| row.1.state, 1.0, 0.1);
    }
    let plot = |title: &str, y: &str, part: fn(&Cost) -> f64| {
        let points = |of: fn(&(Cost, Cost)) -> Cost| -> Vec<_> {
            nodes.iter().zip(&rows).map(|(n, row)| (*n as f64, part(&of(row)))).collect()
        };
        Plot {
            title: title.to_owned(),
            x: Axis::log10("peers"),
            y: Axis::log10(y),
            series: vec![
                Series::new("Napster", Role::Other, points(|row| row.0)),
                Series::new("Gnutella", Role::Ours, points(|row| row.1)),
            ],
        }
    };
    outcome.plots.push(plot("What a search takes", "messages", |cost| cost.messages));
    outcome.plots.push(plot("What one node keeps", "entries", |cost| cost.state));
    Ok(outcome)
}

/// The server's index: a question, an answer for each hit, and their end.
fn central(nodes: u32) -> Cost {
    let mut index = MemoryIndex::new(1);
    for node in 0..nodes {
        let Some(nick) = Nick::new(format!("peer{node}").as_bytes()) else { continue };
        let address = SocketAddrV4::new(Ipv4Addr::from(0x0a00_0000 + node), 6_699);
        let owner = Owner { nick: nick.clone(), address, link: LinkSpeed::default() };
        let files: Vec<_> = (0..FILES)
            .map(|number| {
                let name = match number {
                    0 if node < COPIES => "\\treasure.ogg".to_owned(),
                    _ => format!("\\n{node}f{number}.ogg"),
                };
                let hash = FileHash::Sha1([(node % 251) as u8; 20]);
                SharedFile::new(Text::from(name.as_str()), hash, 1_000, MediaType::Audio)
            })
            .collect();
        // An index in memory always answers.
        let _ = index.enter(&owner);
        let _ = index.share(&nick, &files);
    }
    let answers = index.search(&Query::new("treasure")).map_or(0, |hits| hits.len());
    let state = index.counts().map_or(0, |counts| counts.files);
    Cost { messages: 2.0 + answers as f64, state: state as f64, answers }
}

/// A flood that reaches everybody.
fn flood(seed: u64, nodes: u32) -> Cost {
    let layout = Layout::flat(seed, nodes, 6);
    let mut overlay = Overlay::of(seed, &layout, |config| config.pong_caching = true);
    overlay.run(Duration::from_secs(10));
    (1..=COPIES).for_each(|node| overlay.share(node, "treasure.ogg"));
    let (spent, answers) = overlay.ask(nodes - 1, "treasure", Duration::from_secs(5));
    let state = 2.0 * overlay.links() as f64 / f64::from(nodes);
    Cost { messages: spent.messages as f64, state, answers }
}
