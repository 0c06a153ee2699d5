//! What a trace is made of: a head, then records until the end of the file.
//!
//! The head is [`MAGIC`], the version (u16) and the seed (u64), big-endian. A record is its kind
//! (one byte), then numbers of seven bits a byte, the low ones first (LEB128): the nanoseconds since
//! the record before it, the node, and what the kind asks for. Messages, encoded by the caller, come
//! behind their length.

use machine::{Instant, OpId};

use crate::Node;
use crate::observer::{Input, Made};
use crate::{Simulated, trace::writer::Encode};

/// How a trace begins.
pub(super) const MAGIC: [u8; 8] = *b"shoal\0tr";
/// The version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 1;
/// The most bytes of one message: what UDP carries over IPv4.
pub const PAYLOAD_MAX: usize = 65_507;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub at: Instant,
    /// To which node, or by which.
    pub node: Node,
    /// What.
    pub what: What,
}

/// What a record tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The node began to run.
    Start,
    /// A timer came due.
    Timer,
    /// A message arrived.
    Heard {
        /// Who sent it.
        from: Node,
        /// The message.
        message: Vec<u8>,
    },
    /// The node's user asked for something.
    Command {
        /// The name of the request.
        op: OpId,
    },
    /// The node was taken away.
    Crash,
    /// The node sent a message.
    Sent {
        /// Who is to hear it.
        to: Node,
        /// After how many nanoseconds it arrives; `None` if it is lost.
        after: Option<u64>,
        /// The message.
        message: Vec<u8>,
    },
    /// The node set a timer.
    Set {
        /// After how many nanoseconds it comes due.
        after: u64,
    },
    /// The node told its user something.
    Told {
        /// The command that it answers, if any.
        op: Option<OpId>,
    },
}

pub(super) const START: u8 = 0;
pub(super) const TIMER: u8 = 1;
pub(super) const HEARD: u8 = 2;
pub(super) const COMMAND: u8 = 3;
pub(super) const CRASH: u8 = 4;
pub(super) const SENT: u8 = 5;
pub(super) const LOST: u8 = 6;
pub(super) const SET: u8 = 7;
pub(super) const TOLD: u8 = 8;
pub(super) const ANSWERED: u8 = 9;

impl What {
    pub(super) fn of_input<M: Simulated>(input: &Input<'_, M>, encode: Encode<M>) -> Self {
        match *input {
            Input::Start => Self::Start,
            Input::Timer(_) => Self::Timer,
            Input::Message { from, message } => {
                Self::Heard { from, message: bytes::<M>(message, encode) }
            }
            Input::Command { op, .. } => Self::Command { op },
            Input::Crash => Self::Crash,
        }
    }

    pub(super) fn of_made<M: Simulated>(
        now: Instant,
        made: &Made<'_, M>,
        encode: Encode<M>,
    ) -> Self {
        let after = |at: Instant| at.as_nanos().saturating_sub(now.as_nanos());
        match *made {
            Made::Message { to, message, arrives } => {
                Self::Sent { to, after: arrives.map(after), message: bytes::<M>(message, encode) }
            }
            Made::Timer { at, .. } => Self::Set { after: after(at) },
            Made::Event { op, .. } => Self::Told { op },
        }
    }
}

/// A message as bytes, cut where no datagram could be longer.
fn bytes<M: Simulated>(message: &M::Message, encode: Encode<M>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes.truncate(PAYLOAD_MAX);
    bytes
}

impl Record {
    /// Appends the record to `out`; `before` is when the last one was.
    pub(super) fn encode(&self, before: Instant, out: &mut Vec<u8>) {
        let kind = match &self.what {
            What::Start => START,
            What::Timer => TIMER,
            What::Heard { .. } => HEARD,
            What::Command { .. } => COMMAND,
            What::Crash => CRASH,
            What::Sent { after: Some(_), .. } => SENT,
            What::Sent { after: None, .. } => LOST,
            What::Set { .. } => SET,
            What::Told { op: None } => TOLD,
            What::Told { op: Some(_) } => ANSWERED,
        };
        out.push(kind);
        number(self.at.as_nanos().saturating_sub(before.as_nanos()), out);
        number(self.node.raw().into(), out);
        match &self.what {
            What::Start | What::Timer | What::Crash | What::Told { op: None } => {}
            What::Heard { from, message } => {
                number(from.raw().into(), out);
                payload(message, out);
            }
            What::Command { op } | What::Told { op: Some(op) } => number(op.0, out),
            What::Sent { to, after, message } => {
                number(to.raw().into(), out);
                if let Some(after) = after {
                    number(*after, out);
                }
                payload(message, out);
            }
            What::Set { after } => number(*after, out),
        }
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn payload(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}
