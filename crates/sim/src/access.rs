//! What a node's own line and processor do to messages: each takes its turn, first come, first
//! served.

use core::time::Duration;

use crate::random::nanos;

/// The line of a node, in bytes per second each way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// From the node.
    pub up: u64,
    /// To the node.
    pub down: u64,
}

impl Access {
    /// A line that no message has to wait for.
    pub const UNLIMITED: Self = Self { up: u64::MAX, down: u64::MAX };
}

impl Default for Access {
    fn default() -> Self {
        Self::UNLIMITED
    }
}

/// How long `bytes` take at `rate` bytes per second, in nanoseconds.
fn transmission(bytes: u32, rate: u64) -> u64 {
    match rate {
        u64::MAX => 0,
        0 => u64::MAX,
        rate => {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
            u64::try_from(nanos).unwrap_or(u64::MAX)
        }
    }
}

/// Until when a node's line and processor are taken, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Queue {
    up: u64,
    down: u64,
    processor: u64,
}

impl Queue {
    /// When the last of `bytes` that are sent at `time` has left.
    pub(crate) fn leave(&mut self, time: u64, bytes: u32, access: Access) -> u64 {
        self.up = self.up.max(time).saturating_add(transmission(bytes, access.up));
        self.up
    }

    /// When `bytes` have been received and dealt with whose last could be here at `time`, having
    /// come over an uplink of `up` bytes per second. They flow while they are still being sent, so
    /// that the slower of the two lines counts, not their sum.
    pub(crate) fn arrive(
        &mut self,
        time: u64,
        bytes: u32,
        up: u64,
        access: Access,
        processing: Duration,
    ) -> u64 {
        let first = time.saturating_sub(transmission(bytes, up));
        self.down = self.down.max(first).saturating_add(transmission(bytes, access.down));
        let received = self.down.max(time);
        if processing.is_zero() {
            return received;
        }
        self.processor = self.processor.max(received).saturating_add(nanos(processing));
        self.processor
    }
}
