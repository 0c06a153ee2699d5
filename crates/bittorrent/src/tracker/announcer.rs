//! Which tracker to ask, when, and what to tell it (BEP 12), for one torrent.
//!
//! By default one tracker is asked: the first that works, tiers in their order, the trackers of a
//! tier in an order shuffled once, and whichever answers moves to the head of its tier. While all
//! before it fail, the next is tried at once. [`Reach::EveryTier`] asks the first that works in each
//! tier, [`Reach::Everyone`] all trackers at once. The default is also libtorrent's.
//!
//! A failing tracker is tried again after 5 s + 12.5 s × failures², at most an hour (libtorrent's
//! figures), or when it said itself (BEP 31). No tracker is asked again before its `min interval`,
//! except to say `completed` or `stopped`. Each is told `started` the first time, `completed` if it
//! was told `started` before, and `stopped` if it was told anything.
//!
//! One announcement covers all infohashes and address families of the torrent; whoever makes it
//! reports success if any of them was answered.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use machine::{Instant, Rng};

use super::{AnnounceResponse, Event, Retry};

/// Most trackers of one torrent; further ones are ignored.
pub const MAX_TRACKERS: usize = 100;
/// Longest URL of a tracker; longer ones are ignored.
pub const MAX_URL: usize = 2_048;

const RETRY_BASE: Duration = Duration::from_secs(5);
const RETRY_STEP: Duration = Duration::from_millis(12_500);
const RETRY_MAX: Duration = Duration::from_secs(60 * 60);
/// Assumed when a tracker does not say: announces that nobody asked for are at least this apart.
const DEFAULT_MIN_INTERVAL: Duration = Duration::from_secs(60);

/// How many trackers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// The first that works.
    #[default]
    FirstWorking,
    /// In each tier the first that works.
    EveryTier,
    /// All of them.
    Everyone,
}

/// A tracker of one [`Announcer`]; stays the same while the order changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerKey(u32);

/// An announce to make now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// To be given back with the result.
    pub tracker: TrackerKey,
    /// Its URL.
    pub url: String,
    /// Why.
    pub event: Event,
    /// What it wants to hear as `trackerid`.
    pub tracker_id: Option<Vec<u8>>,
}

/// What an announcer knows of a tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status<'a> {
    /// Which one.
    pub tracker: TrackerKey,
    /// Its URL.
    pub url: &'a str,
    /// Its tier, from 0.
    pub tier: usize,
    /// Failures since it last answered.
    pub failures: u32,
    /// Whether it is being asked.
    pub in_flight: bool,
    /// When it may next be asked, if ever again.
    pub due: Option<Instant>,
}

/// The trackers of one torrent.
#[derive(Clone, Debug)]
pub struct Announcer {
    tiers: Vec<Vec<Tracker>>,
    reach: Reach,
    phase: Phase,
    next_key: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running { complete: bool },
    Stopping,
}

#[derive(Clone, Debug)]
struct Tracker {
    key: TrackerKey,
    url: String,
    failures: u32,
    /// It has said never to come back.
    banned: bool,
    /// What it is being asked.
    in_flight: Option<Event>,
    /// It has answered to `started`.
    heard_started: bool,
    /// It has answered to `completed`, or was told `started` when nothing was left.
    heard_complete: bool,
    /// When to ask again, and when at the earliest.
    due: Instant,
    earliest: Instant,
    tracker_id: Option<Vec<u8>>,
}

impl Announcer {
    /// Shuffles the trackers of each tier. Nothing is announced before [`Self::start`].
    #[must_use]
    pub fn new<T, U>(tiers: T, reach: Reach, rng: &mut Rng) -> Self
    where
        T: IntoIterator<Item = U>,
        U: IntoIterator<Item = String>,
    {
        let mut announcer = Self { tiers: Vec::new(), reach, phase: Phase::Idle, next_key: 0 };
        for (tier, urls) in tiers.into_iter().enumerate() {
            urls.into_iter().for_each(|url| {
                announcer.add(url, tier);
            });
        }
        announcer.tiers.retain(|tier| !tier.is_empty());
        announcer.tiers.iter_mut().for_each(|tier| rng.shuffle(tier));
        announcer
    }

    /// Adds a tracker at the end of a tier, or as a new last tier. `None` if it is there already,
    /// its URL is too long, or there are too many.
    pub fn add(&mut self, url: String, tier: usize) -> Option<TrackerKey> {
        let known = self.trackers().any(|tracker| tracker.url == url);
        if known || url.len() > MAX_URL || self.trackers().count() >= MAX_TRACKERS {
            return None;
        }
        let key = TrackerKey(self.next_key);
        self.next_key += 1;
        let tracker = Tracker {
            key,
            url,
            failures: 0,
            banned: false,
            in_flight: None,
            heard_started: false,
            heard_complete: false,
            due: Instant::ZERO,
            earliest: Instant::ZERO,
            tracker_id: None,
        };
        match self.tiers.get_mut(tier) {
            Some(tier) => tier.push(tracker),
            None => self.tiers.push(alloc::vec![tracker]),
        }
        Some(key)
    }

    /// The torrent begins; `complete` if nothing of it is missing. Failures of an earlier run are
    /// forgotten.
    pub fn start(&mut self, complete: bool, now: Instant) {
        self.phase = Phase::Running { complete };
        for tracker in self.tiers.iter_mut().flatten() {
            tracker.failures = 0;
            tracker.due = now;
            tracker.earliest = now;
        }
    }

    /// The torrent is now complete: whoever has heard that it started hears that.
    pub fn complete(&mut self) {
        if let Phase::Running { complete } = &mut self.phase {
            *complete = true;
        }
    }

    /// The torrent ends: whoever has heard of it hears that, once, whether or not it answers.
    pub fn stop(&mut self) {
        if self.phase != Phase::Idle {
            self.phase = Phase::Stopping;
        }
    }

    /// More peers would be of use: announces are made as soon as trackers allow.
    pub fn want_peers(&mut self, now: Instant) {
        for tracker in self.tiers.iter_mut().flatten().filter(|tracker| tracker.failures == 0) {
            tracker.due = tracker.due.min(tracker.earliest.max(now));
        }
    }

    /// Whether there is nothing left to say before the end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        match self.phase {
            Phase::Idle => true,
            Phase::Running { .. } => false,
            Phase::Stopping => {
                self.trackers().all(|tracker| tracker.in_flight.is_none() && !tracker.heard_started)
            }
        }
    }

    /// The next announce to make now; call until there is none.
    pub fn poll(&mut self, now: Instant) -> Option<Announcement> {
        let (tier, at, event) = self.candidates(now).into_iter().find_map(|candidate| {
            (candidate.when <= now).then_some((candidate.tier, candidate.at, candidate.event))
        })?;
        let tracker = &mut self.tiers[tier][at];
        tracker.in_flight = Some(event);
        match event {
            Event::Started => {
                tracker.heard_complete = self.phase == Phase::Running { complete: true };
            }
            // It is told once: losing a `stopped` costs a tracker one interval, no more.
            Event::Stopped => tracker.heard_started = false,
            _ => {}
        }
        Some(Announcement {
            tracker: tracker.key,
            url: tracker.url.clone(),
            event,
            tracker_id: tracker.tracker_id.clone(),
        })
    }

    /// When [`Self::poll`] will have something, unless something happens before.
    #[must_use]
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.candidates(now).into_iter().map(|candidate| candidate.when).min()
    }

    /// A tracker has answered.
    pub fn on_response(&mut self, tracker: TrackerKey, response: &AnnounceResponse, now: Instant) {
        let Some((tier, at)) = self.find(tracker) else { return };
        let tracker = &mut self.tiers[tier][at];
        let Some(event) = tracker.in_flight.take() else { return };
        tracker.failures = 0;
        if event != Event::Stopped {
            tracker.heard_started = true;
            tracker.heard_complete |= event == Event::Completed;
        }
        let min_interval = response.min_interval.unwrap_or(DEFAULT_MIN_INTERVAL);
        tracker.due = now + response.interval;
        tracker.earliest = now + min_interval.min(response.interval);
        if let Some(id) = &response.tracker_id {
            tracker.tracker_id = Some(id.clone());
        }
        self.tiers[tier][..=at].rotate_right(1);
    }

    /// A tracker has not answered, or has refused; `retry` is what it said of asking again.
    pub fn on_failure(&mut self, tracker: TrackerKey, retry: Option<Retry>, now: Instant) {
        let Some((tier, at)) = self.find(tracker) else { return };
        let tracker = &mut self.tiers[tier][at];
        if tracker.in_flight.take().is_none() {
            return;
        }
        tracker.failures = tracker.failures.saturating_add(1);
        let steps = tracker.failures.saturating_mul(tracker.failures);
        let backoff = RETRY_BASE.saturating_add(RETRY_STEP.saturating_mul(steps)).min(RETRY_MAX);
        tracker.due = now
            + match retry {
                Some(Retry::After(after)) => after.max(backoff),
                _ => backoff,
            };
        tracker.earliest = tracker.due;
        tracker.banned = retry == Some(Retry::Never);
    }

    /// All trackers in the order in which they are asked.
    pub fn status(&self) -> impl Iterator<Item = Status<'_>> {
        self.tiers.iter().enumerate().flat_map(|(tier, trackers)| {
            trackers.iter().map(move |tracker| Status {
                tracker: tracker.key,
                url: &tracker.url,
                tier,
                failures: tracker.failures,
                in_flight: tracker.in_flight.is_some(),
                due: (!tracker.banned).then_some(tracker.due),
            })
        })
    }

    fn trackers(&self) -> impl Iterator<Item = &Tracker> {
        self.tiers.iter().flatten()
    }

    fn find(&self, key: TrackerKey) -> Option<(usize, usize)> {
        self.tiers.iter().enumerate().find_map(|(tier, trackers)| {
            let at = trackers.iter().position(|tracker| tracker.key == key)?;
            Some((tier, at))
        })
    }

    /// Which trackers to ask next, each with the moment and the reason.
    fn candidates(&self, now: Instant) -> Vec<Candidate> {
        let mut candidates = Vec::new();
        'tiers: for (tier, trackers) in self.tiers.iter().enumerate() {
            for (at, tracker) in trackers.iter().enumerate() {
                let said = match self.phase {
                    Phase::Idle => None,
                    Phase::Running { complete } => tracker.next(complete, now),
                    Phase::Stopping => tracker.farewell(now),
                };
                if let Some((event, when)) = said {
                    candidates.push(Candidate { tier, at, event, when });
                }
                let settled = tracker.works() && matches!(self.phase, Phase::Running { .. });
                match self.reach {
                    Reach::FirstWorking if settled => break 'tiers,
                    Reach::EveryTier if settled => break,
                    _ => {}
                }
            }
        }
        candidates
    }
}

struct Candidate {
    tier: usize,
    at: usize,
    event: Event,
    when: Instant,
}

impl Tracker {
    /// Whether to rely on it: it has answered last time, or was never asked.
    fn works(&self) -> bool {
        self.failures == 0 && !self.banned
    }

    /// What it is to hear next, and when, while the torrent runs.
    fn next(&self, complete: bool, now: Instant) -> Option<(Event, Instant)> {
        if self.in_flight.is_some() || self.banned {
            return None;
        }
        Some(if !self.heard_started {
            (Event::Started, self.due)
        } else if complete && !self.heard_complete && self.failures == 0 {
            (Event::Completed, now)
        } else if complete && !self.heard_complete {
            (Event::Completed, self.due)
        } else {
            (Event::Periodic, self.due)
        })
    }

    /// What it is to hear when the torrent ends.
    fn farewell(&self, now: Instant) -> Option<(Event, Instant)> {
        (self.heard_started && self.in_flight.is_none()).then_some((Event::Stopped, now))
    }
}

#[cfg(test)]
mod tests;
