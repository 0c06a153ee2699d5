//! Bars for people at a terminal. Elsewhere nothing is drawn, and only milestones are printed.

use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use net::session::{Progress, TorrentState, TorrentStats};

use crate::text;
use crate::units::{duration, rate, size};

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
pub fn show(bar: &ProgressBar, stats: &TorrentStats) {
    let Progress { bytes_checked, bytes_wanted, bytes_have, .. } = stats.progress;
    bar.set_length(bytes_wanted.max(1));
    bar.set_position(bytes_checked.unwrap_or(bytes_have));
    bar.set_message(describe(stats));
}

/// A moment of a transfer in one line.
#[must_use]
pub fn describe(stats: &TorrentStats) -> String {
    let peers = match stats.peers.len() {
        1 => "1 peer".to_owned(),
        count => format!("{count} peers"),
    };
    let progress = &stats.progress;
    let down = rate(progress.download_rate);
    let up = rate(progress.upload_rate);
    match stats.state {
        TorrentState::Metadata => format!("asking for metadata, {peers}"),
        TorrentState::Selecting => "selecting".to_owned(),
        TorrentState::Checking => {
            let checked = progress.bytes_checked.unwrap_or_default();
            format!("checking, {} of {}", size(checked), size(progress.bytes_wanted))
        }
        TorrentState::Downloading => {
            let left = progress.eta().map(|eta| format!(", {} left", duration(eta)));
            format!(
                "{} of {}, ↓ {down} ↑ {up}, {peers}, {}/{} pieces{}",
                size(progress.bytes_have),
                size(progress.bytes_wanted),
                progress.pieces_have,
                progress.pieces_total,
                left.unwrap_or_default(),
            )
        }
        TorrentState::Seeding => {
            format!("seeding, ↑ {up}, {} sent, {peers}", size(progress.uploaded))
        }
        TorrentState::Finished => "finished".to_owned(),
        TorrentState::Failed => "failed".to_owned(),
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
        let progress = Progress {
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
            (TorrentState::Metadata, "asking for metadata, 0 peers"),
            (TorrentState::Checking, "checking, 2.0 MiB of 4.0 MiB"),
            (
                TorrentState::Downloading,
                "1.0 MiB of 4.0 MiB, ↓ 1.0 MiB/s ↑ 0 B/s, 0 peers, 1/4 pieces, 3.0 s left",
            ),
            (TorrentState::Seeding, "seeding, ↑ 0 B/s, 3.0 KiB sent, 0 peers"),
            (TorrentState::Finished, "finished"),
        ] {
            let progress = progress.clone();
            let stats = TorrentStats { state, progress, ..TorrentStats::default() };
            assert_eq!(describe(&stats), words);
        }
    }
}
