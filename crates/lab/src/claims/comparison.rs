//! The hash tables of the lectures side by side: the same nodes, the same network, the same
//! questions, asked of the machines that run live.

mod build;
mod bytes;
pub(super) mod churn;
pub(super) mod standing;

use std::time::Duration;

use machine::Rng;
use machine::dht::{Dht, Key};
use sim::{Latency, Node, Simulated, World};

/// What is compared, in the order of the lectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    Chord,
    Kademlia,
    Pastry,
    Tapestry,
    Can,
    Kelips,
    Viceroy,
}

const SYSTEMS: [System; 7] = [
    System::Chord,
    System::Kademlia,
    System::Pastry,
    System::Tapestry,
    System::Can,
    System::Kelips,
    System::Viceroy,
];

impl System {
    const fn name(self) -> &'static str {
        match self {
            Self::Chord => "Chord",
            Self::Kademlia => "Kademlia",
            Self::Pastry => "Pastry",
            Self::Tapestry => "Tapestry",
            Self::Can => "CAN, d = 2",
            Self::Kelips => "Kelips",
            Self::Viceroy => "Viceroy",
        }
    }
}

/// A network of one system.
struct Network<M: Simulated> {
    world: World<M>,
    nodes: Vec<Node>,
    /// A node that is in no network yet.
    newcomer: Box<dyn Fn(Node) -> M>,
    /// How many nodes a node knows, each once.
    contacts: fn(&M) -> usize,
    /// How long a message is as a datagram, in bytes.
    length: fn(&M::Message) -> usize,
}

/// What is done with a network, whatever its system.
trait Experiment {
    type Outcome;
    fn run<M: Dht + Simulated + 'static>(self, network: Network<M>) -> Self::Outcome;
}

/// A side of the plane on which all nodes lie, as time one way.
const SIDE: Duration = Duration::from_millis(100);

/// Nodes at random points of a square.
const fn plane() -> Latency {
    Latency::Plane { least: Duration::from_millis(1), side: SIDE }
}

/// The round trip between two nodes, in seconds.
fn round_trip(one: Node, other: Node) -> f64 {
    2.0 * plane().delay(one, other, &mut Rng::new(0)).as_secs_f64()
}

fn random_key(rng: &mut Rng) -> Key {
    Key::new(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()), rng.next_u32())
}
