//! The queue as text, so that places outlive a restart: a line for each, in their order. Times are
//! kept as what is left of them, since nobody can ask while we are away. Who reads and writes the file
//! is told elsewhere.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use codec::hex::Hex;
use search::gnutella::Sha1;

use super::{GRACE, HOST_MAX, Queue, RETRY_MAX, Ticket, WAITING_MAX, Waiting};

/// The first line.
const HEAD: &str = "shoal upload queue 1";

/// Why a text is not taken for a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeptError {
    /// It begins otherwise.
    #[error("it does not begin with `{HEAD}`")]
    Head,
    /// A line that is no place.
    #[error("line {line}: malformed {what}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What of it.
        what: &'static str,
    },
    /// A ticket that stands there twice, or more places than a host, or all of them, may have.
    #[error("line {line}: one place too many")]
    TooMany {
        /// From 1.
        line: usize,
    },
}

impl Queue {
    /// Everybody who waits.
    pub(crate) fn to_text(&self, now: Instant) -> String {
        let mut text = format!("{HEAD}\n");
        for one in self.waiting.iter().filter(|one| !one.is_lost(now)) {
            let Waiting { ticket, host, sha1, node, .. } = one;
            let port = node.map_or(0, |node| node.port());
            let seconds = |until: Instant| until.saturating_duration_since(now).as_secs();
            let (retry, left) = (seconds(one.not_before), seconds(one.until));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{ticket} {host} {port} {} {retry} {left}", Hex(&sha1.0));
        }
        text
    }

    /// The same with places that were kept.
    ///
    /// # Errors
    /// If the text is not what [`Queue::to_text`] writes.
    pub(crate) fn restored(mut self, text: &str, now: Instant) -> Result<Self, KeptError> {
        let mut lines = text.lines().zip(1..);
        if lines.next().is_none_or(|(head, _)| head != HEAD) {
            return Err(KeptError::Head);
        }
        for (text, line) in lines {
            let malformed = |what| KeptError::Malformed { line, what };
            let one = parse(text, now).map_err(malformed)?;
            let of_host = self.waiting.iter().filter(|other| other.host == one.host).count();
            let is_twice = self.waiting.iter().any(|other| other.ticket == one.ticket);
            if is_twice || of_host >= HOST_MAX || self.waiting.len() >= WAITING_MAX {
                return Err(KeptError::TooMany { line });
            }
            self.waiting.push(one);
        }
        Ok(self)
    }
}

/// A place; else what of it is malformed.
fn parse(line: &str, now: Instant) -> Result<Waiting, &'static str> {
    let mut words = line.split(' ');
    let mut word = |what| words.next().ok_or(what);
    let ticket = Ticket::parse(word("ticket")?).ok_or("ticket")?;
    let host: IpAddr = word("host")?.parse().map_err(|_| "host")?;
    let port: u16 = word("port")?.parse().map_err(|_| "port")?;
    let sha1 = codec::hex::decode(word("hash")?).map(Sha1).ok_or("hash")?;
    let mut time = |what| {
        let seconds = word(what)?.parse().map_err(|_| what)?;
        let time = Duration::from_secs(seconds);
        if time > RETRY_MAX + GRACE { Err(what) } else { Ok(now + time) }
    };
    let (not_before, until) = (time("time to ask again")?, time("time that is left")?);
    let node = (port != 0).then(|| SocketAddr::new(host, port));
    if words.next().is_some() {
        return Err("end");
    }
    Ok(Waiting { ticket, host, sha1, node, not_before, until, early: 0, calls: 0, called: None })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{ask, asker};
    use super::super::{Asker, KEPT, Turn};
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn restored(text: &str, now: Instant) -> Result<Queue, KeptError> {
        Queue::new(1).restored(text, now)
    }

    #[test]
    fn places_outlive_a_restart_in_their_order() {
        let (mut queue, start) = (Queue::new(1), Instant::now());
        for n in 1..=3 {
            ask(&mut queue, n, start);
        }
        let hidden = Asker { node: None, ..asker(4) };
        queue.ask(hidden, Ticket([4; 16]), start);
        let text = queue.to_text(start + MINUTE);
        assert_eq!(text.lines().count(), 4, "{text}");
        // Days later.
        let now = start + 2_000 * MINUTE;
        let mut queue = restored(&text, now).expect("what was kept");
        assert_eq!(queue.to_text(now), text);
        // All slots are free: the first is called, whom a newcomer does not pass.
        assert!(matches!(ask(&mut queue, 9, now), Turn::Wait(place) if place.position == 4));
        assert_eq!(queue.next_call(now, |_| true).map(|(ticket, _)| ticket), Some(Ticket([2; 16])));
        let second = Asker { ticket: Some(Ticket([3; 16])), ..asker(3) };
        let turn = queue.ask(second, Ticket([7; 16]), now);
        let Turn::Wait(place) = turn else { panic!("{turn:?}") };
        assert_eq!((place.ticket, place.position), (Ticket([3; 16]), 2));
        assert_eq!(ask(&mut queue, 2, now), Turn::Now);
        // What was left of a place is what is left.
        let late = now + KEPT - MINUTE;
        assert!(queue.to_text(late - MINUTE).contains("127.0.0.4 0 "));
        assert!(!queue.to_text(late).contains("127.0.0.4"));
    }

    #[test]
    fn what_is_no_queue_is_refused_whole() {
        let now = Instant::now();
        let place =
            |ticket: u8, host: &str, rest: &str| format!("{} {host} {rest}\n", Hex(&[ticket; 16]));
        let hash = "0a".repeat(20);
        let sound = format!("6346 {hash} 30 300");
        let text = |lines: &str| format!("{HEAD}\n{lines}");
        let one = place(1, "127.0.0.1", &sound);
        assert_eq!(restored(&text(&one), now).expect("sound").to_text(now), text(&one));
        for broken in ["", "\n", "x", "shoal upload queue 2\n", &one, "\0\0\0"] {
            assert_eq!(restored(broken, now).expect_err(broken), KeptError::Head);
        }
        for (lines, what) in [
            ("x 127.0.0.1".to_owned(), "ticket"),
            ("\n".to_owned(), "ticket"),
            (place(1, "nowhere", &sound), "host"),
            (place(1, "127.0.0.1", &format!("66666 {hash} 30 300")), "port"),
            (place(1, "127.0.0.1", "6346 0a 30 300"), "hash"),
            (place(1, "127.0.0.1", &format!("6346 {hash} -1 300")), "time to ask again"),
            (place(1, "127.0.0.1", &format!("6346 {hash} 30 661")), "time that is left"),
            (place(1, "127.0.0.1", &format!("6346 {hash} 30")), "time that is left"),
            (place(1, "127.0.0.1", &format!("{sound} 1")), "end"),
        ] {
            let error = restored(&text(&lines), now).expect_err(&lines);
            assert_eq!(error, KeptError::Malformed { line: 2, what }, "{lines}");
        }
        let twice = text(&format!("{one}{one}"));
        assert_eq!(restored(&twice, now).expect_err("twice"), KeptError::TooMany { line: 3 });
        let of_one: String = (0..5).map(|n| place(n, "127.0.0.1", &sound)).collect();
        assert_eq!(restored(&text(&of_one), now).expect_err("5"), KeptError::TooMany { line: 6 });
        let many: String = (0..65).map(|n| place(n, &format!("127.0.0.{n}"), &sound)).collect();
        assert_eq!(restored(&text(&many), now).expect_err("65"), KeptError::TooMany { line: 66 });
    }
}
