//! How long a message is on its way: from models of networks, computed rather than stored, so that
//! a million nodes need no table of distances.

use core::time::Duration;
use std::sync::Arc;

use machine::Rng;

use crate::Node;
use crate::random::{exponential, mix, nanos, scale};

/// A model of the delay between two nodes. Where a node is follows from the node itself, so whoever
/// comes back anew comes back elsewhere.
#[derive(Clone, Debug)]
pub enum Latency {
    /// The same for all.
    Constant(Duration),
    /// Drawn anew for each message, each value from the least to below the most as likely.
    Uniform {
        /// The least.
        least: Duration,
        /// The most.
        most: Duration,
    },
    /// Drawn anew for each message: `least`, and beyond it exponentially distributed.
    Exponential {
        /// The least.
        least: Duration,
        /// The mean, `least` included.
        mean: Duration,
    },
    /// Nodes are spread evenly over a square; the delay grows with their distance.
    Plane {
        /// Between neighbours.
        least: Duration,
        /// Along a side of the square, beyond `least`.
        side: Duration,
    },
    /// Each node is at one of the measured sites, drawn evenly.
    Matrix(Matrix),
    /// The Internet as GT-ITM draws it.
    TransitStub(TransitStub),
}

/// One-way delays between measured sites.
#[derive(Clone, Debug)]
pub struct Matrix {
    sites: u32,
    delays: Arc<[Duration]>,
    least: Duration,
}

/// A table of delays is not square.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {row} of the delays has {columns} columns, not {rows} as the table has rows")]
pub struct NotSquare {
    /// Which row.
    pub row: usize,
    /// How many columns it has.
    pub columns: usize,
    /// How many rows the table has.
    pub rows: usize,
}

impl Matrix {
    /// The delays from each site (rows) to each (columns), from a site to itself included.
    ///
    /// # Errors
    /// [`NotSquare`] if a row has not as many columns as there are rows, or there are no rows.
    pub fn new(rows: &[Vec<Duration>]) -> Result<Self, NotSquare> {
        let wrong = rows.iter().position(|row| row.len() != rows.len());
        if let Some(row) = wrong.or(rows.is_empty().then_some(0)) {
            let columns = rows.get(row).map_or(0, Vec::len);
            return Err(NotSquare { row, columns, rows: rows.len() });
        }
        let delays: Arc<[Duration]> = rows.iter().flatten().copied().collect();
        let least = delays.iter().min().copied().unwrap_or_default();
        Ok(Self { sites: rows.len() as u32, delays, least })
    }

    fn site(&self, node: Node) -> usize {
        below(mix(u64::from(node.raw()) ^ SITE), self.sites) as usize
    }
}

/// Stub networks hang off the routers of transit domains (Zegura, Calvert and Bhattacharjee,
/// INFOCOM 1996). A node is in a stub drawn evenly.
#[derive(Clone, Copy, Debug)]
pub struct TransitStub {
    /// Transit domains.
    pub domains: u32,
    /// Routers in each domain.
    pub routers: u32,
    /// Stub networks at each router.
    pub stubs: u32,
    /// Over a link between routers of transit domains.
    pub transit: Duration,
    /// Over the link from a stub to its router.
    pub access: Duration,
    /// Over a link within a stub.
    pub stub: Duration,
}

impl Default for TransitStub {
    /// The 100, 10 and 1 ms that papers on hash tables use.
    fn default() -> Self {
        Self {
            domains: 10,
            routers: 5,
            stubs: 4,
            transit: Duration::from_millis(100),
            access: Duration::from_millis(10),
            stub: Duration::from_millis(1),
        }
    }
}

impl TransitStub {
    /// The stub that `node` is in; stubs of one router, and routers of one domain, are adjacent.
    #[must_use]
    pub fn stub_of(&self, node: Node) -> u32 {
        let stubs = self.domains.max(1).saturating_mul(self.routers.max(1));
        below(mix(u64::from(node.raw()) ^ SITE), stubs.saturating_mul(self.stubs.max(1)))
    }

    fn delay(&self, from: Node, to: Node) -> Duration {
        let (a, b) = (self.stub_of(from), self.stub_of(to));
        if a == b {
            return self.stub;
        }
        let router = |stub: u32| stub / self.stubs.max(1);
        let domain = |stub: u32| router(stub) / self.routers.max(1);
        let transits = match () {
            () if router(a) == router(b) => 0,
            () if domain(a) == domain(b) => 1,
            () => 2,
        };
        2 * (self.stub + self.access) + transits * self.transit
    }
}

const SITE: u64 = 0x1f83_d9ab_fb41_bd6b;

fn below(random: u64, bound: u32) -> u32 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u32
}

impl Latency {
    /// How long a message is on its way. `rng` is for this message alone.
    #[inline]
    pub fn delay(&self, from: Node, to: Node, rng: &mut Rng) -> Duration {
        match self {
            Self::Constant(delay) => *delay,
            Self::Uniform { least, most } => {
                let span = nanos(*most).saturating_sub(nanos(*least));
                *least + Duration::from_nanos(rng.below(span))
            }
            Self::Exponential { least, mean } => {
                *least + exponential(mean.saturating_sub(*least), rng)
            }
            Self::Plane { least, side } => {
                let place = |node: Node| {
                    let place = mix(u64::from(node.raw()) ^ SITE);
                    (f64::from((place >> 32) as u32), f64::from(place as u32))
                };
                let ((ax, ay), (bx, by)) = (place(from), place(to));
                let (x, y) = (ax - bx, ay - by);
                *least + scale(*side, (x * x + y * y).sqrt() / f64::from(u32::MAX))
            }
            Self::Matrix(matrix) => {
                let at = matrix.site(from) * matrix.sites as usize + matrix.site(to);
                matrix.delays.get(at).copied().unwrap_or_default()
            }
            Self::TransitStub(net) => net.delay(from, to),
        }
    }

    /// The least that [`delay`](Self::delay) returns: how far ahead of each other threads may run.
    #[must_use]
    pub fn least(&self) -> Duration {
        match self {
            Self::Constant(least)
            | Self::Uniform { least, .. }
            | Self::Exponential { least, .. }
            | Self::Plane { least, .. }
            | Self::Matrix(Matrix { least, .. }) => *least,
            Self::TransitStub(net) => net.stub.min(2 * (net.stub + net.access)),
        }
    }
}
