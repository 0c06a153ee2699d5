//! Checks of all nodes from outside, as often as asked for.

use core::fmt;
use core::time::Duration;

use machine::Instant;

use crate::campaign::replay_command;
use crate::{Simulated, World};

/// How often a world is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After every single thing that happens.
    Step,
    /// When so much time has passed, and at the end.
    Interval(Duration),
}

/// A check that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The seed of the world.
    pub seed: u64,
    /// When.
    pub at: Instant,
    /// What the check found.
    pub what: String,
    /// The command that runs the same again.
    pub replay: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, at, what, replay } = self;
        let seconds = at.as_nanos() as f64 / 1e9;
        write!(f, "seed {seed}, {seconds:.6} s: {what}\nreplay with: {replay}")
    }
}

impl std::error::Error for Violation {}

impl<M: Simulated> World<M> {
    /// Lets everything happen up to and including `until`, and checks the world now and then; it
    /// stands still where the check fails.
    ///
    /// # Errors
    /// [`Violation`] with what the check found.
    pub fn run_checked(
        &mut self,
        until: Instant,
        every: Every,
        mut check: impl FnMut(&Self) -> Result<(), String>,
    ) -> Result<(), Violation> {
        loop {
            let more = match every {
                Every::Step => self.step(until),
                Every::Interval(interval) => {
                    // An interval of nothing would never end.
                    let next = self.now() + interval.max(Duration::from_nanos(1));
                    self.run_until(next.min(until));
                    self.now() < until
                }
            };
            check(self).map_err(|what| {
                let seed = self.seed();
                Violation { seed, at: self.now(), what, replay: replay_command(seed) }
            })?;
            if !more {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Link;
    use crate::testing::gossips;

    #[test]
    fn checks_stop_the_world_where_they_fail() {
        let end = Instant::ZERO + Duration::from_secs(10);
        for every in [Every::Step, Every::Interval(Duration::from_millis(10))] {
            let mut world = gossips(6, 1, Link::default(), 5);
            let mut checks = 0;
            let found = world.run_checked(end, every, |world| {
                checks += 1;
                match world.counts().delivered {
                    ..100 => Ok(()),
                    delivered => Err(format!("{delivered} messages")),
                }
            });
            let found = found.expect_err("more than a hundred messages");
            assert_eq!((found.seed, found.at), (6, world.now()));
            assert!(world.now() < end && checks > 100);
            assert!(found.to_string().contains("SHOAL_SEED=6 cargo test -p shoal-sim --lib check"));
            if every == Every::Step {
                assert_eq!(found.what, "100 messages");
            }

            let mut world = gossips(6, 1, Link::default(), 5);
            assert_eq!(world.run_checked(end, every, |_| Ok(())), Ok(()));
            assert_eq!(world.now(), end);
        }
    }
}
