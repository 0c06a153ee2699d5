//! Swarms looked at while they run: what each member has, and what flows between them.

use bittorrent::swarm::{PeerContact, Swarm};

use super::{Exchange, Flow, Frame, LOOK, Scene, Turn};

/// Members of a swarm that are shown.
pub(super) const MEMBERS_MAX: usize = 60;
/// Flows between them that are shown.
pub(super) const FLOWS_MAX: usize = 160;

/// Shows a swarm to whoever looks on.
pub(crate) struct SwarmWatch {
    turn: Option<Turn>,
    steps: u32,
}

impl SwarmWatch {
    pub(crate) fn new() -> Self {
        Self { turn: Turn::take(), steps: 0 }
    }

    /// Looks at the members once in a while: `count` of them, each by its number.
    pub(crate) fn look<'a, C: PeerContact<Host = u32> + 'a>(
        &mut self,
        now: machine::Instant,
        count: u32,
        member: impl Fn(u32) -> &'a Swarm<C>,
    ) {
        let Some(turn) = &self.turn else { return };
        self.steps += 1;
        if self.steps % LOOK != 1 || !turn.is_due() {
            return;
        }
        let shown = count.min(MEMBERS_MAX as u32);
        let share = |number| {
            let have = member(number).have()?;
            (!have.is_empty()).then(|| have.count_ones() as f32 / have.len() as f32)
        };
        let progress = (0..shown).map(|number| share(number).unwrap_or(0.0)).collect();
        let mut flows = Vec::new();
        for from in 0..shown {
            for (_, peer) in member(from).peers() {
                let (to, rate) = (peer.contact.host(), peer.upload_rate(now));
                if to < shown && rate > 0 {
                    flows.push(Flow { from, to, rate });
                }
            }
        }
        // The largest, if there are more than can be told apart.
        flows.sort_unstable_by_key(|flow| (std::cmp::Reverse(flow.rate), flow.from, flow.to));
        flows.truncate(FLOWS_MAX);
        let exchange = Exchange { nodes: count as usize, progress, flows };
        let at = (now - machine::Instant::ZERO).as_secs_f64();
        turn.show(Frame { at: Some(at), scene: Scene::Swarm(exchange) });
    }
}
