//! `kill -9` at random moments of a download, until it is whole: nothing is lost but the work of
//! the last seconds, and nothing false is ever believed.
//!
//! `SHOAL_KILLS` sets how often; the moments follow from a seed, as far as a clock can follow.

use std::fs;
use std::path::Path;

use machine::Rng;

use crate::child::{Child, Made, Report, Role};

const LEN: usize = 6 << 20;
/// Bytes per second that the seed sends.
const RATE: u64 = 1 << 20;
/// Work that a crash may cost: what is between two journal entries, and some for a busy machine.
const LOSS_MAX: u64 = 4 * RATE;
/// A child is killed after this many reports at most: two and a half seconds, where the journal is
/// written every two.
const REPORTS_MAX: u64 = 50;
/// Every so many kills the seed is killed too.
const SEED_EVERY: u32 = 5;

fn seed(made: &Made) -> Child {
    let limit = ("SHOAL_CHILD_LIMIT", RATE.to_string());
    Child::start(Role::Seed, made, made.source.path(), &[limit])
}

fn leech(made: &Made, dir: &Path, of: &Child) -> Child {
    let peer = ("SHOAL_CHILD_PEER", of.address.to_string());
    Child::start(Role::Leech, made, dir, &[peer])
}

/// What kills have cost.
#[derive(Debug, Default)]
struct Cost {
    kills: u32,
    downloads: u32,
    /// Verified bytes that were there before a kill and not after it, all kills together and most.
    lost: u64,
    worst: u64,
    downloaded: u64,
}

/// One download from nothing to the end, with kills as long as there are any left.
fn download(made: &Made, kills: u32, rng: &mut Rng, cost: &mut Cost) {
    let dir = tempfile::tempdir().expect("a folder");
    let mut seeder = seed(made);
    let mut before = Report::default();
    loop {
        let mut leecher = leech(made, dir.path(), &seeder);
        let doomed = cost.kills < kills;
        let life = if doomed { 1 + rng.below(REPORTS_MAX) } else { u64::MAX };
        let mut last = Report::default();
        let mut checked = false;
        for _ in 0..life {
            last = leecher.report().expect("the leecher ended by itself");
            // The first report with anything in it tells what was found on disk.
            if !checked && last.have > 0 {
                checked = true;
                let lost = before.have.saturating_sub(last.have);
                cost.lost += lost;
                cost.worst = cost.worst.max(lost);
            }
            if last.complete {
                break;
            }
        }
        cost.downloaded += last.downloaded;
        if last.complete {
            break;
        }
        leecher.kill();
        cost.kills += 1;
        before = if last.have > 0 { last } else { before };
        if cost.kills.is_multiple_of(SEED_EVERY) {
            seeder.kill();
            seeder = seed(made);
        }
    }
    cost.downloads += 1;
    let copy = fs::read(dir.path().join("payload")).expect("the copy");
    assert!(copy == made.bytes, "what was fetched is not what was shared");
}

#[test]
fn downloads_survive_being_killed() {
    let kills = std::env::var("SHOAL_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills = kills.unwrap_or(20);
    let made = Made::new(LEN);
    let (mut rng, mut cost) = (Rng::new(3), Cost::default());
    while cost.kills < kills {
        download(&made, kills, &mut rng, &mut cost);
    }
    println!("{cost:?}");
    assert!(cost.worst <= LOSS_MAX, "a kill cost {} bytes", cost.worst);
    let needed = u64::from(cost.downloads) * LEN as u64;
    let again = cost.downloaded.saturating_sub(needed);
    assert!(again <= u64::from(cost.kills) * LOSS_MAX, "{again} bytes were fetched twice");
}
