//! The other limits by the clock: turned on when their time begins and off when it ends. In between
//! people may turn them on and off as they like.

use super::Node;

/// What the clock said last.
#[derive(Debug, Default)]
pub(super) struct Clock {
    inside: Option<bool>,
}

/// The day, from Sunday, and the minute, where this program runs.
fn now() -> (u8, u16) {
    let now = jiff::Zoned::now();
    let day = now.weekday().to_sunday_zero_offset();
    (
        day.unsigned_abs(),
        u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs()),
    )
}

impl Node {
    /// Turns the other limits on or off if it is time for that.
    pub(super) fn follow_the_clock(&self, clock: &mut Clock) {
        self.follow(clock, now());
    }

    fn follow(&self, clock: &mut Clock, (day, minute): (u8, u16)) {
        let config = self.config().transfers;
        if !config.alt_scheduled {
            clock.inside = None;
            return;
        }
        let inside = config.alt_times.contains(day, minute);
        if clock.inside == Some(inside) {
            return;
        }
        if config.alt_enabled != inside {
            let on = ("transfers.alt_enabled".to_owned(), Some(inside.into()));
            if let Err(error) = self.change_settings(&[on]) {
                // The next look tries again.
                return tracing::warn!(%error, "the other limits cannot be turned on or off");
            }
            tracing::info!(inside, "the other limits follow the clock");
        }
        clock.inside = Some(inside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn the_clock_turns_the_limits_and_people_may_turn_them_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("real");
        let text = format!(
            "[node]\nstate_dir = {root:?}\n[network]\nlisten = []\nlsd = false\ndht = false\n\
             [transfers]\ndownload_dir = {root:?}\nalt_scheduled = true\n\
             alt_times = \"mon 09:00-17:00\"\nalt_upload_limit = 7\nupload_limit = 9\n"
        );
        let file = root.join("config.toml");
        std::fs::write(&file, text).expect("written");
        let node = Node::start(Layers::load(Some(&file), []).expect("good"), None).expect("starts");
        let (mut clock, monday) = (Clock::default(), 1);
        let up = |node: &Node| node.config().transfers.limits().0;
        let hour = |hour: u16| hour * 60;
        for (at, expected) in [(hour(8), 9), (hour(9), 7), (hour(12), 7), (hour(17), 9)] {
            node.follow(&mut clock, (monday, at));
            assert_eq!(up(&node), Some(expected), "{at}");
        }
        node.follow(&mut clock, (monday, hour(10)));
        let off = ("transfers.alt_enabled".to_owned(), Some(false.into()));
        node.change_settings(&[off]).expect("changed");
        node.follow(&mut clock, (monday, hour(11)));
        assert_eq!(up(&node), Some(9), "what people say holds until the next turn");
        // A clock that is set back is followed like any other.
        node.follow(&mut clock, (monday, hour(8)));
        node.follow(&mut clock, (monday, hour(9)));
        assert_eq!(up(&node), Some(7));
        node.shutdown();
    }
}
