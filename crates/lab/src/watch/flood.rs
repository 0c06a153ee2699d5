//! One question at a time that neighbours pass on, and its answers, among machines of streams.

use std::time::Duration;

use machine::Instant;
use search::gnutella::{Guid, Header, Kind};

use super::stage::{FLOOD_MAX, mesh};
use super::{Frame, Hop, LOOK, Turn, seconds};

/// A question is followed for so long.
const SPAN: Duration = Duration::from_secs(5);

/// Shows some of the questions that are passed on to whoever looks on.
pub(crate) struct Flood(Option<Watched>);

struct Watched {
    turn: Turn,
    nodes: usize,
    /// Questions since the clock was read.
    waits: u32,
    following: Option<Following>,
}

/// What is heard of one question.
struct Following {
    name: Guid,
    began: Instant,
    hops: Vec<(Instant, Hop<u32>)>,
}

impl Flood {
    /// Among so many nodes.
    pub(crate) fn new(nodes: usize) -> Self {
        Self(Turn::take().map(|turn| Watched { turn, nodes, waits: 0, following: None }))
    }

    /// A message leaves.
    pub(crate) fn sent(&mut self, from: u32, to: u32, header: &Header, now: Instant) {
        let Some(watched) = &mut self.0 else { return };
        let walk = match header.kind {
            Kind::Query => 0,
            Kind::QueryHit => 1,
            _ => return,
        };
        if watched.following.as_ref().is_some_and(|it| it.is_over(now)) {
            watched.show();
        }
        if watched.following.is_none() && walk == 0 && header.hops == 0 {
            watched.waits += 1;
            // Questions are few: each may be the last of its network.
            if watched.waits > LOOK || watched.turn.is_due() {
                watched.waits = 0;
                let (name, hops) = (header.guid, Vec::new());
                watched.following = Some(Following { name, began: now, hops });
            }
        }
        match &mut watched.following {
            Some(following) if following.name == header.guid => {
                let hop = Hop { walk, step: 0, from, to, lost: false };
                following.hops.push((now, hop));
            }
            _ => {}
        }
    }
}

impl Following {
    fn is_over(&self, now: Instant) -> bool {
        self.hops.len() >= FLOOD_MAX || now > self.began + SPAN
    }

    /// What left at the same time is one step.
    fn stepped(self) -> Vec<Hop<u32>> {
        let (mut step, mut last) = (0, self.began);
        let stepped = self.hops.into_iter().map(|(at, hop)| {
            if at > last {
                (step, last) = (step + 1, at);
            }
            Hop { step, ..hop }
        });
        stepped.collect()
    }
}

impl Watched {
    fn show(&mut self) {
        let Some(following) = self.following.take() else { return };
        let at = Some(seconds(following.began));
        let hops = following.stepped();
        if !hops.is_empty() {
            self.turn.show(Frame { at, scene: mesh(self.nodes, &hops) });
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.show();
    }
}
