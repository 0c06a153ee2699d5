//! What a trace is made of: a head, then records until the end of the file.
//!
//! The head is [`MAGIC`], the version (u16) and the seed (u64), big-endian. A record is its kind
//! (one byte), then numbers of seven bits a byte, the low ones first (LEB128): the nanoseconds since
//! the record before it, the node, and what the kind asks for. Messages, encoded by the caller, come
//! behind their length, and so do timers, commands and events, as texts.

use core::fmt;

use machine::{Instant, Machine, OpId};

use crate::Node;
use crate::observer::{Input, Made};
use crate::{Simulated, trace::writer::Encode};

/// How a trace begins.
pub(super) const MAGIC: [u8; 8] = *b"shoal\0tr";
/// The version of the format that is written, and the only one that is read.
pub const VERSION: u16 = 2;
/// The most bytes of one message: what UDP carries over IPv4. Longer texts are cut there.
pub const PAYLOAD_MAX: usize = 65_507;

/// A machine whose doings can be written down.
pub trait Traced:
    Simulated + Machine<Command: fmt::Debug, Event: fmt::Debug, Timer: fmt::Debug>
{
}

impl<M> Traced for M where
    M: Simulated + Machine<Command: fmt::Debug, Event: fmt::Debug, Timer: fmt::Debug>
{
}

/// What a timer, a command or an event holds, as its `Debug` tells it.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl Text {
    pub(super) const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    fn of(value: &impl fmt::Debug) -> Self {
        let mut bytes = format!("{value:?}").into_bytes();
        bytes.truncate(PAYLOAD_MAX);
        Self(bytes)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(&self.0).fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

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
    Timer {
        /// Which.
        timer: Text,
    },
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
        /// What was asked.
        command: Text,
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
        /// Which.
        timer: Text,
    },
    /// The node told its user something.
    Told {
        /// The command that it answers, if any.
        op: Option<OpId>,
        /// What it told.
        event: Text,
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
    pub(super) fn of_input<M: Traced>(input: &Input<'_, M>, encode: Encode<M>) -> Self {
        match *input {
            Input::Start => Self::Start,
            Input::Timer(timer) => Self::Timer { timer: Text::of(&timer) },
            Input::Message { from, message } => {
                Self::Heard { from, message: bytes::<M>(message, encode) }
            }
            Input::Command { op, command } => Self::Command { op, command: Text::of(command) },
            Input::Crash => Self::Crash,
        }
    }

    pub(super) fn of_made<M: Traced>(now: Instant, made: &Made<'_, M>, encode: Encode<M>) -> Self {
        let after = |at: Instant| at.as_nanos().saturating_sub(now.as_nanos());
        match *made {
            Made::Message { to, message, arrives } => {
                Self::Sent { to, after: arrives.map(after), message: bytes::<M>(message, encode) }
            }
            Made::Timer { at, timer } => Self::Set { after: after(at), timer: Text::of(&timer) },
            Made::Event { op, event } => Self::Told { op, event: Text::of(event) },
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
            What::Timer { .. } => TIMER,
            What::Heard { .. } => HEARD,
            What::Command { .. } => COMMAND,
            What::Crash => CRASH,
            What::Sent { after: Some(_), .. } => SENT,
            What::Sent { after: None, .. } => LOST,
            What::Set { .. } => SET,
            What::Told { op: None, .. } => TOLD,
            What::Told { op: Some(_), .. } => ANSWERED,
        };
        out.push(kind);
        number(self.at.as_nanos().saturating_sub(before.as_nanos()), out);
        number(self.node.raw().into(), out);
        match &self.what {
            What::Start | What::Crash => {}
            What::Timer { timer: text } | What::Told { op: None, event: text } => {
                payload(&text.0, out);
            }
            What::Heard { from, message } => {
                number(from.raw().into(), out);
                payload(message, out);
            }
            What::Command { op, command: text } | What::Told { op: Some(op), event: text } => {
                number(op.0, out);
                payload(&text.0, out);
            }
            What::Sent { to, after, message } => {
                number(to.raw().into(), out);
                if let Some(after) = after {
                    number(*after, out);
                }
                payload(message, out);
            }
            What::Set { after, timer } => {
                number(*after, out);
                payload(&timer.0, out);
            }
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
