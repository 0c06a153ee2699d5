//! Following what some commands lead to in a world, message by message.

use sim::observer::{Input, Made};
use sim::{Node, Observer, Simulated, World};

use super::{Frame, Hop, LOOK, Stage, Turn, seconds};

/// Inputs after which a frame ends, whatever it has seen.
const INPUTS_MAX: u32 = 200_000;
/// Inputs after which anything that happens is followed, if nobody asks for anything.
const QUIET: u32 = 2_000;

/// Shows `world`, in which `nodes` live, to whoever looks on.
pub(crate) fn look_on<M: Simulated>(
    world: &mut World<M>,
    nodes: &[Node],
    stage: impl FnOnce(&World<M>, &[Node]) -> Stage<Node>,
) {
    let Some(turn) = Turn::take() else { return };
    let stage = stage(world, nodes);
    let follower = Follower {
        turn,
        stage,
        seen: Vec::new(),
        state: State::Waits(0),
        walks: 0,
        awaited: Vec::new(),
        follows: None,
        now: world.now(),
    };
    world.observe(follower);
}

/// What a follower is at.
enum State {
    /// For the next frame to be due; inputs since the clock was read.
    Waits(u32),
    /// Inputs of this frame.
    Follows(u32),
}

/// A walk, and how many of its messages led here.
type Thread = (u8, u16);

struct Follower {
    turn: Turn,
    stage: Stage<Node>,
    seen: Vec<Hop<Node>>,
    state: State,
    walks: usize,
    /// Messages of a walk that have not arrived: what comes of it, sender, receiver.
    awaited: Vec<(Thread, Node, Node)>,
    /// To what belongs what is made of the present input.
    follows: Option<Thread>,
    now: machine::Instant,
}

impl Follower {
    fn begin_walk(&mut self) -> Option<Thread> {
        let walk = self.walks;
        self.walks += 1;
        Some((u8::try_from(walk).ok()?, 0))
    }

    fn is_over(&self, inputs: u32) -> bool {
        let walked = self.walks == self.stage.walks && self.awaited.is_empty();
        walked || self.seen.len() >= self.stage.hops || inputs >= INPUTS_MAX
    }

    fn show(&mut self) {
        let seen = std::mem::take(&mut self.seen);
        (self.walks, self.follows, self.state) = (0, None, State::Waits(0));
        self.awaited.clear();
        // Whoever asks for what is its own asks nobody.
        if !seen.is_empty() {
            let scene = (self.stage.paint)(seen);
            self.turn.show(Frame { at: Some(seconds(self.now)), scene });
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.show();
    }
}

impl<M: Simulated> Observer<M> for Follower {
    fn input(&mut self, at: machine::Instant, node: Node, input: Input<'_, M>) {
        (self.follows, self.now) = (None, at);
        let inputs = match &mut self.state {
            State::Waits(inputs) => {
                *inputs += 1;
                // At the first input as well: a short run is seen once.
                if *inputs % LOOK == 1 && self.turn.is_due() {
                    self.state = State::Follows(0);
                }
                return;
            }
            State::Follows(inputs) => {
                *inputs += 1;
                *inputs
            }
        };
        if self.is_over(inputs) {
            self.show();
            return;
        }
        self.follows = match input {
            Input::Command { .. } if self.walks < self.stage.walks => self.begin_walk(),
            Input::Message { from, .. } => {
                let is = |(_, sender, receiver): &(Thread, Node, Node)| {
                    (*sender, *receiver) == (from, node)
                };
                match self.awaited.iter().position(is) {
                    Some(at) => Some(self.awaited.swap_remove(at).0),
                    None if inputs > QUIET && self.walks < self.stage.walks => self.begin_walk(),
                    None => None,
                }
            }
            _ => None,
        };
    }

    fn made(&mut self, _: machine::Instant, node: Node, made: Made<'_, M>) {
        let Some((walk, step)) = self.follows else { return };
        let Made::Message { to, arrives, .. } = made else { return };
        if self.seen.len() < self.stage.hops {
            let lost = arrives.is_none();
            self.seen.push(Hop { walk, step, from: node, to, lost });
            if !lost {
                self.awaited.push(((walk, step.saturating_add(1)), node, to));
            }
        }
    }
}
