//! Signals: the first one asks for an orderly end, the second ends at once.

use std::io::{self, Read};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Context;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::Exit;

/// An orderly end is wanted.
static WANTED: AtomicBool = AtomicBool::new(false);
/// Somebody looks at [`WANTED`]; until then there is nothing to put in order.
static HEEDED: AtomicBool = AtomicBool::new(false);
/// SIGHUP asks to read files again, and not to end.
static HANGUPS_HEEDED: AtomicBool = AtomicBool::new(false);
/// It has come.
static HANGUP: AtomicBool = AtomicBool::new(false);

/// Begins to listen for SIGINT, SIGTERM and SIGHUP on a thread of its own.
///
/// # Errors
/// When the system gives no thread or no handler.
pub fn install() -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot listen for signals")?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            runtime.block_on(async {
                let kinds =
                    [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
                let [Ok(mut int), Ok(mut term), Ok(mut hup)] = kinds.map(signal) else { return };
                loop {
                    tokio::select! {
                        _ = int.recv() => {}
                        _ = term.recv() => {}
                        _ = hup.recv() => {
                            if HANGUPS_HEEDED.load(Ordering::Acquire) {
                                HANGUP.store(true, Ordering::Release);
                                continue;
                            }
                        }
                    }
                    if !HEEDED.load(Ordering::Acquire) || WANTED.swap(true, Ordering::AcqRel) {
                        process::exit(Exit::Interrupted as i32);
                    }
                }
            });
        })
        .context("cannot listen for signals")?;
    Ok(())
}

/// From now on the caller looks at [`wanted`] several times a second.
pub fn heed() {
    HEEDED.store(true, Ordering::Release);
}

/// Whether an orderly end is wanted.
#[must_use]
pub fn wanted() -> bool {
    WANTED.load(Ordering::Acquire)
}

/// From now on SIGHUP is no end: the caller looks at [`take_hangup`] instead.
pub fn heed_hangups() {
    HANGUPS_HEEDED.store(true, Ordering::Release);
}

/// Whether SIGHUP has come since the last call.
#[must_use]
pub fn take_hangup() -> bool {
    HANGUP.swap(false, Ordering::AcqRel)
}

/// Treats the end of standard input like a signal, so that no process outlives the one that
/// started it and holds the other end.
///
/// # Errors
/// When the system gives no thread.
pub fn heed_end_of_input() -> anyhow::Result<()> {
    thread::Builder::new()
        .name("input".to_owned())
        .spawn(|| {
            let mut discarded = [0; 256];
            let mut input = io::stdin().lock();
            while matches!(input.read(&mut discarded), Ok(1..)) {}
            WANTED.store(true, Ordering::Release);
        })
        .context("cannot watch standard input")?;
    Ok(())
}
