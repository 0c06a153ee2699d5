//! `shoal inspect`: what a metainfo file or a magnet link says, without taking part.

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::{File, Metainfo};
use clap::Args;
use net::session::Source;
use serde::Serialize;

use crate::exit::{Exit, Failure, say};
use crate::report::say_json;
use crate::select::numbered;
use crate::source::{self, Refused};
use crate::text;
use crate::units::size;

/// Options of `shoal inspect`.
#[derive(Args, Debug)]
pub struct InspectArgs {
    /// A .torrent file, a magnet link, a URL of a .torrent file, an infohash, or `-` for standard
    /// input
    source: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is known of a torrent.
#[derive(Debug, Default, Serialize)]
struct Report {
    name: Option<String>,
    infohash_v1: Option<String>,
    infohash_v2: Option<String>,
    piece_length: Option<u32>,
    pieces: Option<u32>,
    total_length: Option<u64>,
    private: Option<bool>,
    files: Vec<ReportFile>,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    http_seeds: Vec<String>,
    peers: Vec<String>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
}

#[derive(Debug, Serialize)]
struct ReportFile {
    path: String,
    length: u64,
}

/// How a refused file is reported.
#[derive(Debug, Serialize)]
struct RefusedReport {
    error: RefusedError,
}

#[derive(Debug, Serialize)]
struct RefusedError {
    kind: &'static str,
    message: String,
    at: Option<usize>,
}

/// Prints what the torrent says.
///
/// # Errors
/// When it is not understood.
pub fn run(args: &InspectArgs) -> Result<Exit, Failure> {
    let report = match source::load(&args.source, None) {
        Ok(Source::Metainfo(metainfo)) => Report::of_metainfo(&metainfo),
        Ok(Source::Magnet(magnet)) => Report::of_magnet(&magnet),
        Err(refused) if args.json => return say_refused(&refused),
        Err(refused) => return Err(refused.into()),
    };
    if args.json {
        say_json(&report)?
    } else {
        report.say()?
    }
    Ok(Exit::Done)
}

fn say_refused(refused: &Refused) -> Result<Exit, Failure> {
    let (kind, message, at) = (refused.kind(), refused.message(), refused.at());
    say_json(&RefusedReport { error: RefusedError { kind, message, at } })?;
    Ok(Exit::BadInput)
}

/// The path of a file as it lies on disk, before anything in it is made safe.
#[must_use]
pub fn full_path(name: &str, single_file: bool, file: &File) -> String {
    if single_file { name.to_owned() } else { format!("{name}/{}", file.path.join("/")) }
}

impl Report {
    fn of_metainfo(metainfo: &Metainfo) -> Self {
        let info = &metainfo.info;
        let files: Vec<_> = numbered(info)
            .map(|(_, _, file)| ReportFile {
                path: full_path(&info.name, info.single_file, file),
                length: file.len,
            })
            .collect();
        Self {
            name: Some(info.name.clone()),
            infohash_v1: info.hashes.v1.map(|hash| hash.to_string()),
            infohash_v2: info.hashes.v2.map(|hash| hash.to_string()),
            piece_length: Some(info.piece_len),
            pieces: Some(info.piece_count()),
            total_length: Some(files.iter().map(|file| file.length).sum()),
            private: Some(info.private),
            files,
            trackers: metainfo.trackers.clone(),
            web_seeds: metainfo.web_seeds.clone(),
            http_seeds: metainfo.http_seeds.clone(),
            peers: Vec::new(),
            comment: metainfo.comment.clone(),
            created_by: metainfo.created_by.clone(),
            creation_date: metainfo.created_at,
        }
    }

    fn of_magnet(magnet: &Magnet) -> Self {
        let hosts = magnet.peer_hosts.iter().map(|(host, port)| format!("{host}:{port}"));
        Self {
            name: magnet.name.clone(),
            infohash_v1: magnet.hashes.v1.map(|hash| hash.to_string()),
            infohash_v2: magnet.hashes.v2.map(|hash| hash.to_string()),
            trackers: magnet.trackers.iter().map(|url| vec![url.clone()]).collect(),
            web_seeds: magnet.web_seeds.clone(),
            peers: magnet.peers.iter().map(ToString::to_string).chain(hosts).collect(),
            ..Self::default()
        }
    }

    fn say(&self) -> Result<(), Failure> {
        let row = |key: &str, value: &str| say(format_args!("{key:<12} {value}"));
        let optional = |key: &str, value: &Option<String>| match value {
            Some(value) => row(key, &text::plain(value)),
            None => Ok(()),
        };
        optional("Name", &self.name)?;
        optional("Infohash v1", &self.infohash_v1)?;
        optional("Infohash v2", &self.infohash_v2)?;
        if let (Some(len), Some(pieces)) = (self.piece_length, self.pieces) {
            row("Pieces", &format!("{pieces} of {}", size(len.into())))?;
        }
        if let Some(total) = self.total_length {
            row("Size", &format!("{} ({total} bytes)", size(total)))?;
        }
        if self.private == Some(true) {
            row("Private", "peers come from the trackers alone")?;
        }
        optional("Comment", &self.comment)?;
        optional("Created by", &self.created_by)?;
        if let Some(date) = self.creation_date {
            row("Created", &utc(date))?;
        }
        for (tier, urls) in self.trackers.iter().enumerate() {
            for url in urls {
                row("Tracker", &format!("{} (tier {})", text::plain(url), tier + 1))?;
            }
        }
        for (key, urls) in
            [("Web seed", &self.web_seeds), ("HTTP seed", &self.http_seeds), ("Peer", &self.peers)]
        {
            for url in urls {
                row(key, &text::plain(url))?;
            }
        }
        if !self.files.is_empty() {
            say(format_args!("\n{:>5}  {:>10}  File", "#", "Size"))?;
        }
        for (number, file) in (1..).zip(&self.files) {
            say(format_args!(
                "{number:>5}  {:>10}  {}",
                size(file.length),
                text::plain(&file.path)
            ))?;
        }
        Ok(())
    }
}

/// Seconds since 1970 as a date and time of day, by the proleptic Gregorian calendar (after
/// Howard Hinnant, "chrono-compatible low-level date algorithms").
fn utc(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400);
    let time = seconds.rem_euclid(86_400);
    // Days since 1 March of the year 0, so that the leap day ends a year.
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (-1, "1969-12-31 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), date);
        }
        // What a stranger may write.
        let _ = (utc(i64::MAX), utc(i64::MIN));
    }
}
