//! How long answers to a search are waited for, in networks where nobody says which is the last.

use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::search::Hit;

/// How long in all.
pub(super) const ANSWERS: Duration = Duration::from_secs(9);
/// How long after one answer the next is waited for.
const QUIET: Duration = Duration::from_secs(4);

/// Tells of what comes, until nothing more does.
pub(super) async fn gather(
    mut next: impl AsyncFnMut() -> Option<Hit>,
    tell: &mut dyn FnMut(Hit) -> ControlFlow<()>,
) {
    let until = Instant::now() + ANSWERS;
    let mut next_until = until;
    while let Ok(Some(hit)) = timeout_at(next_until.min(until), next()).await {
        next_until = Instant::now() + QUIET;
        if tell(hit).is_break() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::ContentId;

    fn hit(length: u64) -> Hit {
        let (name, id) = ("x".to_owned(), String::new());
        Hit { name, length, mime: None, id, sources: 1, content: ContentId::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_are_waited_for_until_none_come() {
        // Each comes after so many seconds; `None` is a silence.
        for (pauses, enough, told, took) in
            [(vec![1, 3, 5, 1], 9, 2, 8), (vec![3, 3, 2, 2, 2], 9, 3, 9), (vec![1, 1, 1], 2, 2, 2)]
        {
            let (began, mut heard) = (Instant::now(), 0);
            let mut pauses = pauses.into_iter();
            let next = async || {
                tokio::time::sleep(Duration::from_secs(pauses.next()?)).await;
                Some(hit(1))
            };
            gather(next, &mut |hit| {
                heard += hit.length;
                if heard == enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
            .await;
            assert_eq!((heard, began.elapsed().as_secs()), (told, took));
        }
    }
}
