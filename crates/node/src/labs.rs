//! Runs of the lab, one thread each, for the page to begin and to watch.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lab::Settings;
use lab::watch::Frame;
use serde::Serialize;
use tokio::sync::{broadcast, watch};
use utoipa::ToSchema;

use crate::event::Event;

/// Runs at once.
const RUNNING_MAX: usize = 2;
/// Runs that are kept.
const KEPT_MAX: usize = 50;
/// Moments of a run that are kept.
const MOMENTS_MAX: usize = 24;
/// How often progress is told.
const TELL_INTERVAL: Duration = Duration::from_millis(200);

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is under way.
    Running,
    /// It has a record.
    Done,
    /// It has an error.
    Failed,
}

/// A run of a claim.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LabRun {
    /// Its number.
    pub id: u64,
    /// The claim.
    pub claim: &'static str,
    /// `small` or `paper`.
    pub size: &'static str,
    /// How it stands.
    pub state: RunState,
    /// Which share is done, from 0 to 1.
    pub progress: f64,
    /// What went wrong.
    pub error: Option<String>,
    /// Seconds since it began, or that it took.
    pub seconds: f64,
    /// What came of it, as `shoal lab run --json` prints it.
    #[schema(value_type = Option<Object>)]
    pub record: Option<serde_json::Value>,
}

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// No claim of this name.
    #[error("there is no claim {0}")]
    NotFound(String),
    /// Enough is running.
    #[error("{RUNNING_MAX} runs are under way: wait for one, or cancel it")]
    Busy,
    /// The system gives no thread.
    #[error("cannot begin: {0}")]
    Thread(std::io::Error),
}

/// All runs of a node.
#[derive(Debug)]
pub struct Labs {
    runs: Arc<Mutex<Runs>>,
    events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Runs {
    last: u64,
    all: BTreeMap<u64, Kept>,
}

/// What is kept of a run.
#[derive(Debug)]
struct Kept {
    run: LabRun,
    cancelled: Arc<AtomicBool>,
    moments: watch::Sender<Moments>,
}

/// Moments of a run, to be shown: the latest ones.
#[derive(Debug, Default)]
pub struct Moments {
    /// The number of the first that is kept.
    first: u64,
    frames: VecDeque<Arc<Frame>>,
    /// Whether no more will come.
    pub ended: bool,
}

impl Moments {
    /// Those from number `from` on, and the number of the next.
    #[must_use]
    pub fn since(&self, from: u64) -> (Vec<Arc<Frame>>, u64) {
        let skip = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        let next = self.first + self.frames.len() as u64;
        (self.frames.iter().skip(skip).cloned().collect(), next)
    }

    fn push(&mut self, frame: Frame) {
        if self.frames.len() == MOMENTS_MAX {
            self.frames.pop_front();
            self.first += 1;
        }
        self.frames.push_back(Arc::new(frame));
    }
}

/// What unwinds a run that is cancelled.
struct Cancelled;

impl Labs {
    pub(crate) fn new(events: broadcast::Sender<Event>) -> Self {
        Self { runs: Arc::default(), events }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All runs, without their records.
    #[must_use]
    pub fn list(&self) -> Vec<LabRun> {
        let runs = self.lock();
        let bare = |kept: &Kept| LabRun { record: None, ..kept.run.clone() };
        runs.all.values().map(bare).collect()
    }

    /// One run.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<LabRun> {
        self.lock().all.get(&id).map(|kept| kept.run.clone())
    }

    /// Moments of a run, to be looked at as they come.
    #[must_use]
    pub fn moments(&self, id: u64) -> Option<watch::Receiver<Moments>> {
        self.lock().all.get(&id).map(|kept| kept.moments.subscribe())
    }

    /// Cancels a run, or forgets it; says whether there was one.
    #[must_use]
    pub fn remove(&self, id: u64) -> bool {
        let removed = self.lock().all.remove(&id);
        if let Some(kept) = &removed {
            kept.cancelled.store(true, Ordering::Relaxed);
        }
        removed.is_some()
    }

    pub(crate) fn cancel_all(&self) {
        for kept in self.lock().all.values() {
            kept.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Begins to measure a claim.
    ///
    /// # Errors
    /// When there is no such claim, or enough is running.
    pub fn begin(&self, name: &str, settings: Settings) -> Result<LabRun, LabError> {
        let claim = lab::all().iter().copied().find(|known| known.id == name);
        let claim = claim.ok_or_else(|| LabError::NotFound(name.to_owned()))?;
        let size = if settings.size == lab::Size::Small { "small" } else { "paper" };
        let cancelled = Arc::new(AtomicBool::new(false));
        let run = {
            let mut runs = self.lock();
            let running = |kept: &&Kept| kept.run.state == RunState::Running;
            if runs.all.values().filter(running).count() >= RUNNING_MAX {
                return Err(LabError::Busy);
            }
            if runs.all.len() >= KEPT_MAX {
                let oldest = runs.all.iter().find(|(_, kept)| kept.run.state != RunState::Running);
                let oldest = oldest.map(|(id, _)| *id);
                oldest.and_then(|id| runs.all.remove(&id));
            }
            runs.last += 1;
            let run = LabRun {
                id: runs.last,
                claim: claim.id,
                size,
                state: RunState::Running,
                progress: 0.0,
                error: None,
                seconds: 0.0,
                record: None,
            };
            let kept = Kept {
                run: run.clone(),
                cancelled: cancelled.clone(),
                moments: watch::Sender::default(),
            };
            runs.all.insert(run.id, kept);
            run
        };
        let work = Work {
            id: run.id,
            began: Instant::now(),
            cancelled,
            runs: self.runs.clone(),
            events: self.events.clone(),
            told: Mutex::new(Instant::now()),
        };
        let begun = std::thread::Builder::new()
            .name("shoal-lab".into())
            .spawn(move || work.run(claim, &settings));
        if let Err(error) = begun {
            self.lock().all.remove(&run.id);
            return Err(LabError::Thread(error));
        }
        Ok(run)
    }
}

struct Work {
    id: u64,
    began: Instant,
    cancelled: Arc<AtomicBool>,
    runs: Arc<Mutex<Runs>>,
    events: broadcast::Sender<Event>,
    told: Mutex<Instant>,
}

impl Work {
    fn run(&self, claim: &'static lab::Claim, settings: &Settings) {
        let progress = |_: &'static lab::Claim, share: f64| self.tell(share);
        // A claim that panics is a failed run, and no more; one that is cancelled unwinds as well.
        let viewer = {
            let (id, runs) = (self.id, Arc::downgrade(&self.runs));
            Arc::new(move |frame| {
                let Some(runs) = runs.upgrade() else { return };
                let runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(kept) = runs.all.get(&id) {
                    kept.moments.send_modify(|moments| moments.push(frame));
                }
            })
        };
        let run = || lab::run_watched(claim, settings, &progress, viewer);
        let ran = catch_unwind(AssertUnwindSafe(run));
        let ended = match ran {
            Ok(Ok(record)) => serde_json::to_value(&record).map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(cause) if cause.is::<Cancelled>() => return,
            Err(_) => Err("the measurement broke down: the log says more".to_owned()),
        };
        self.update(|run| match ended {
            Ok(record) => {
                run.state = RunState::Done;
                run.progress = 1.0;
                run.record = Some(record);
            }
            Err(why) => {
                run.state = RunState::Failed;
                run.error = Some(why);
            }
        });
    }

    fn tell(&self, share: f64) {
        if self.cancelled.load(Ordering::Relaxed) {
            // Past the panic hook: nothing is wrong.
            resume_unwind(Box::new(Cancelled));
        }
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.elapsed() < TELL_INTERVAL {
                return;
            }
            *told = Instant::now();
        }
        self.update(|run| run.progress = share);
    }

    fn update(&self, change: impl FnOnce(&mut LabRun)) {
        let told = {
            let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(Kept { run, moments, .. }) = runs.all.get_mut(&self.id) else { return };
            change(run);
            if run.state != RunState::Running {
                moments.send_modify(|moments| moments.ended = true);
            }
            run.seconds = self.began.elapsed().as_secs_f64();
            LabRun { record: None, ..run.clone() }
        };
        // Nobody may be listening.
        let _ = self.events.send(Event::Lab(Arc::new(told)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings { size: lab::Size::Small, ..Settings::default() }
    }

    #[test]
    fn a_run_ends_with_a_record() {
        let (events, mut listener) = broadcast::channel(64);
        let labs = Labs::new(events);
        let quick = lab::all().iter().min_by_key(|claim| claim.seconds).expect("a claim");
        let run = labs.begin(quick.id, settings()).expect("begins");
        loop {
            match listener.blocking_recv() {
                Ok(Event::Lab(told)) if told.state != RunState::Running => break,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => panic!("nothing was told"),
            }
        }
        let run = labs.get(run.id).expect("kept");
        assert_eq!((run.state, &run.error), (RunState::Done, &None));
        let record = run.record.expect("a record");
        assert_eq!(record["claim"], quick.id);
        assert!(labs.list().iter().all(|run| run.record.is_none()));
        assert!(labs.remove(run.id) && labs.get(run.id).is_none());
    }

    #[test]
    fn wrong_parameters_and_unknown_claims_are_refused_in_words() {
        let (events, mut listener) = broadcast::channel(64);
        let labs = Labs::new(events);
        assert!(matches!(labs.begin("no.such", settings()), Err(LabError::NotFound(_))));
        let given = vec![("no-such-parameter".to_owned(), "1".to_owned())];
        let claim = lab::all().first().expect("a claim").id;
        let run = labs.begin(claim, Settings { given, ..settings() }).expect("begins");
        while !matches!(listener.blocking_recv(), Ok(Event::Lab(told)) if told.state == RunState::Failed)
        {
        }
        let error = labs.get(run.id).and_then(|run| run.error).expect("an error");
        assert!(error.contains("no-such-parameter"), "{error}");
    }
}
