//! Damage that the database finds by panicking, made an error like any other. Not here: what the
//! database finds and says itself.

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Whether this thread is at work on a database: its panics are told as errors.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

static HOOK: Once = Once::new();

/// Runs `act`, which reads or writes a database. redb checks most of what it reads, but believes the
/// lengths within its own pages: where those are damaged it panics.
pub(super) fn guarded<T>(act: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !AT_WORK.get() {
                usual(panic);
            }
        }));
    });
    let before = AT_WORK.replace(true);
    // What was damaged is not used again: whoever gets the error gives the database up.
    let done = panic::catch_unwind(AssertUnwindSafe(act));
    AT_WORK.set(before);
    done.unwrap_or_else(|panic| Err(redb::Error::Corrupted(words(&*panic))))
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it is damaged").to_owned()
}
