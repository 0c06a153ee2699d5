//! Bars for people at a terminal. Elsewhere nothing is drawn, and only milestones are printed.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::report::Progress;
use crate::text;
use crate::units::{duration, eta, rate, size};

/// Characters of a name that fit beside its bar.
const NAME_CHARS_MAX: usize = 28;

/// All bars of this process. They are drawn on standard error, so that results can be piped.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Whether bars are visible.
#[must_use]
pub fn visible() -> bool {
    io::stderr().is_terminal()
}

/// A bar over `total` bytes; hidden if nobody sees it.
#[must_use]
pub fn bar(name: &str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {bar:24.cyan/blue} {percent:>3}% {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    let bar = ProgressBar::new(total).with_style(style);
    bar.set_prefix(text::short(name, NAME_CHARS_MAX));
    if visible() { BARS.add(bar) } else { ProgressBar::hidden() }
}

/// Takes a bar off the screen.
pub fn remove(bar: &ProgressBar) {
    bar.finish_and_clear();
    BARS.remove(bar);
}

/// Runs `print` while no bar is in its way.
pub fn beside_bars<R>(print: impl FnOnce() -> R) -> R {
    BARS.suspend(print)
}

/// Shows a moment of a hashing run of `total` bytes.
pub fn show_hashed(bar: &ProgressBar, hashed: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(hashed);
    bar.set_message(format!("hashing, {} of {}", size(hashed), size(total)));
}

/// Shows a moment of a transfer.
pub fn show(bar: &ProgressBar, progress: &Progress) {
    let checked = progress.bytes_checked;
    bar.set_length(progress.bytes_wanted.max(1));
    bar.set_position(checked.unwrap_or(progress.bytes_have));
    bar.set_message(describe(progress));
}

/// A moment of a transfer in one line.
#[must_use]
pub fn describe(progress: &Progress) -> String {
    let peers = match progress.peers.len() {
        1 => "1 peer".to_owned(),
        count => format!("{count} peers"),
    };
    let down = rate(progress.download_rate);
    let up = rate(progress.upload_rate);
    match progress.state.as_str() {
        "metadata" => format!("asking for metadata, {peers}"),
        "checking" => {
            let checked = progress.bytes_checked.unwrap_or_default();
            format!("checking, {} of {}", size(checked), size(progress.bytes_wanted))
        }
        "downloading" => {
            let missing = progress.bytes_wanted.saturating_sub(progress.bytes_have);
            let eta = eta(missing, progress.download_rate)
                .map_or_else(String::new, |eta| format!(", {} left", duration(eta)));
            format!(
                "{} of {}, ↓ {down} ↑ {up}, {peers}, {}/{} pieces{eta}",
                size(progress.bytes_have),
                size(progress.bytes_wanted),
                progress.pieces_have,
                progress.pieces_total,
            )
        }
        "seeding" => format!("seeding, ↑ {up}, {} sent, {peers}", size(progress.uploaded)),
        other => other.to_owned(),
    }
}

/// Standard error for logs, between the bars.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        beside_bars(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_words() {
        let progress = |state: &str| Progress {
            state: state.to_owned(),
            bytes_wanted: 4 << 20,
            bytes_have: 1 << 20,
            bytes_checked: Some(2 << 20),
            pieces_total: 4,
            pieces_have: 1,
            download_rate: 1 << 20,
            uploaded: 3 << 10,
            ..Progress::default()
        };
        for (state, words) in [
            ("metadata", "asking for metadata, 0 peers"),
            ("checking", "checking, 2.0 MiB of 4.0 MiB"),
            (
                "downloading",
                "1.0 MiB of 4.0 MiB, ↓ 1.0 MiB/s ↑ 0 B/s, 0 peers, 1/4 pieces, 3.0 s left",
            ),
            ("seeding", "seeding, ↑ 0 B/s, 3.0 KiB sent, 0 peers"),
            ("finished", "finished"),
        ] {
            assert_eq!(describe(&progress(state)), words);
        }
    }
}
