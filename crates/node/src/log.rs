//! The last lines of the log, kept for the page. Writing logs to a terminal or a file is the
//! program's business.

use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::sync::broadcast;
use tracing::field::{Field, Visit};
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use utoipa::ToSchema;

use crate::event::Event;

/// Lines that are kept.
const LINES_MAX: usize = 1_000;
/// Bytes of one line that are kept.
const LINE_LEN_MAX: usize = 2_000;

/// A line of the log.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Entry {
    /// Counts lines from 1.
    pub seq: u64,
    /// When, in unix seconds.
    pub time: f64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: &'static str,
    /// The module that says it.
    pub target: String,
    /// What it says, with its fields; it may hold text from strangers.
    pub message: String,
}

/// The last lines of the log, as a layer of a `tracing` subscriber.
#[derive(Debug, Default)]
pub struct LogBuffer {
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    last: u64,
    entries: VecDeque<Arc<Entry>>,
    events: Option<broadcast::Sender<Event>>,
}

impl LogBuffer {
    /// A buffer without lines.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A layer that fills this buffer.
    #[must_use]
    pub fn layer(self: &Arc<Self>) -> Fill {
        Fill(self.clone())
    }

    pub(crate) fn publish_to(&self, events: broadcast::Sender<Event>) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).events = Some(events);
    }

    /// Lines after number `after`, of `level` and what is more serious.
    #[must_use]
    pub fn after(&self, after: u64, level: Level) -> Vec<Arc<Entry>> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = |entry: &&Arc<Entry>| {
            entry.seq > after && entry.level.parse::<Level>().is_ok_and(|of| of <= level)
        };
        lines.entries.iter().filter(wanted).cloned().collect()
    }

    fn push(&self, level: &'static str, target: &str, message: String) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let time = now.map_or(0.0, |since| since.as_secs_f64());
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.last += 1;
        let entry = Entry { seq: lines.last, time, level, target: target.to_owned(), message };
        let entry = Arc::new(entry);
        if lines.entries.len() >= LINES_MAX {
            lines.entries.pop_front();
        }
        lines.entries.push_back(entry.clone());
        if let Some(events) = &lines.events {
            // Nobody may be listening.
            let _ = events.send(Event::Log(entry));
        }
    }
}

/// The layer that fills a [`LogBuffer`].
#[derive(Debug)]
pub struct Fill(Arc<LogBuffer>);

impl<S: Subscriber> Layer<S> for Fill {
    fn on_event(&self, event: &tracing::Event<'_>, _context: Context<'_, S>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let mut message = line.0;
        if message.len() > LINE_LEN_MAX {
            message.truncate(message.floor_char_boundary(LINE_LEN_MAX));
        }
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        self.0.push(level, metadata.target(), message);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" if self.0.is_empty() => write!(self.0, "{value:?}"),
            "message" => {
                let fields = std::mem::take(&mut self.0);
                write!(self.0, "{value:?} {fields}")
            }
            name if self.0.is_empty() => write!(self.0, "{name}={value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_fields() {
        let log = LogBuffer::new();
        let subscriber = tracing_subscriber::registry().with(log.layer());
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..LINES_MAX {
                tracing::debug!(number, "counting");
            }
            tracing::warn!(peer = "a", "gone");
        });
        let all = log.after(0, Level::TRACE);
        assert_eq!(all.len(), LINES_MAX);
        assert_eq!(all[0].message, "counting number=1");
        let warnings = log.after(0, Level::INFO);
        assert_eq!(warnings.len(), 1);
        assert_eq!((warnings[0].level, warnings[0].message.as_str()), ("warn", "gone peer=\"a\""));
        assert!(log.after(warnings[0].seq, Level::TRACE).is_empty());
    }
}
