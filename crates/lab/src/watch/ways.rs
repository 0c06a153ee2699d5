//! Ways through tables that stand, which are walked without a network: some are shown.

use super::{Frame, Hop, LOOK, Stage, Turn};

/// Shows some of the ways that are walked to whoever looks on.
pub(crate) struct Ways<N>(Option<Watched<N>>);

struct Watched<N> {
    turn: Turn,
    stage: Stage<N>,
    /// Ways since the clock was read.
    waits: u32,
    /// Walks of this frame, if there is to be one.
    walks: Option<usize>,
    seen: Vec<Hop<N>>,
}

impl<N: Copy + PartialEq> Ways<N> {
    /// Ways on a stage, which is built only if somebody looks.
    pub(crate) fn new(stage: impl FnOnce() -> Stage<N>) -> Self {
        let watched = |turn| {
            let stage = stage();
            Watched { turn, stage, waits: 0, walks: None, seen: Vec::new() }
        };
        Self(Turn::take().map(watched))
    }

    /// Somebody walked `way`, from its first to its last.
    pub(crate) fn walked(&mut self, way: &[N]) {
        let Some(watched) = &mut self.0 else { return };
        let Some(walk) = watched.walks else {
            watched.waits += 1;
            if watched.waits % LOOK == 1 && watched.turn.is_due() {
                watched.walks = Some(0);
                self.walked(way);
            }
            return;
        };
        // Whoever asks for what is its own asks nobody.
        if way.len() > 1 {
            watched.walks = Some(walk + 1);
            let left = watched.stage.hops.saturating_sub(watched.seen.len());
            let hops = way.windows(2).zip(0..).take(left).map(|(pair, step)| Hop {
                walk: walk as u8,
                step,
                from: pair[0],
                to: pair[1],
                lost: false,
            });
            watched.seen.extend(hops);
        }
        if walk + 1 >= watched.stage.walks || watched.seen.len() >= watched.stage.hops {
            watched.show();
        }
    }
}

impl<N> Watched<N> {
    fn show(&mut self) {
        (self.walks, self.waits) = (None, 0);
        let seen = std::mem::take(&mut self.seen);
        if !seen.is_empty() {
            self.turn.show(Frame { at: None, scene: (self.stage.paint)(seen) });
        }
    }
}

impl<N> Drop for Watched<N> {
    fn drop(&mut self) {
        self.show();
    }
}
