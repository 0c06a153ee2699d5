//! `kill -9` of the program at random moments, of whoever fetches and of the seed: what arrives is
//! right, little is done twice, and nothing that is not verified is handed on.
//!
//! `SHOAL_KILLS` sets how often; the moments follow from a seed, as far as a clock can follow.

use std::env;
use std::fs;

use machine::Rng;
use serde_json::Value;

use crate::place::{ALONE, Place, Running};

const LEN: usize = 6 << 20;
/// Bytes per second that the seed sends.
const RATE: u64 = 2 << 20;
/// Work that a kill may cost: what is between two journal entries, and some for a busy machine.
const LOSS_MAX: u64 = 4 * RATE;
/// Whoever fetches is killed after this many reports at most, of which there are two a second.
const REPORTS_MAX: u64 = 5;
/// Every so many kills it is the seed that dies.
const SEED_EVERY: u32 = 4;

/// What kills have cost, in bytes.
#[derive(Debug, Default)]
struct Cost {
    kills: u32,
    downloads: u32,
    /// Verified before a kill and not after it, in the worst case.
    worst: u64,
    downloaded: u64,
    /// Received by the witness and found false.
    corrupt: u64,
    /// Handed on by those who were killed, to somebody who checks it.
    handed_on: u64,
}

fn bytes(progress: &Value, key: &str) -> u64 {
    progress[key].as_u64().unwrap_or_else(|| panic!("{key} in {progress}"))
}

fn seed(place: &Place) -> (Running, String) {
    place.seed("set.torrent", &["--up", &RATE.to_string()])
}

/// Fetches to `out` from all of `peers`.
fn fetch(place: &Place, out: &str, peers: &[&str]) -> Running {
    // Without the exchange of peers, the witness knows of nobody but the victim.
    let mut args = vec!["fetch", "set.torrent", "-o", out, "--seed", "--no-pex"];
    peers.iter().for_each(|peer| args.extend(["--peer", peer]));
    place.start(&args, ALONE)
}

fn address(running: &mut Running) -> String {
    let listening = running.wait_for("listening", |_| true);
    listening["addresses"][0].as_str().expect("an address").to_owned()
}

/// One download from nothing to the end, with kills as long as there are any left.
fn download(place: &Place, kills: u32, rng: &mut Rng, cost: &mut Cost) {
    for out in ["victim", "witness"] {
        // Of the last download, if there was one.
        let _ = fs::remove_dir_all(place.path(out));
    }
    let (mut seeder, mut source) = seed(place);
    let mut before = 0;
    // Somebody who gets all it has from the one who is killed.
    let mut witness = fetch(place, "witness", &[]);
    let meeting = address(&mut witness);
    loop {
        let mut victim = fetch(place, "victim", &[&source, &meeting]);
        let doomed = cost.kills < kills;
        let life = if doomed { 1 + rng.below(REPORTS_MAX) } else { u64::MAX };
        let (mut have, mut downloaded, mut complete, mut reports) = (0, 0, false, 0);
        while reports < life && !complete {
            let event = victim.event().expect("it runs");
            match event["event"].as_str() {
                Some("progress") => {
                    let checked = event["state"] == "downloading" || event["state"] == "seeding";
                    let first = have == 0;
                    if checked {
                        reports += 1;
                        have = bytes(&event, "bytes_have");
                        downloaded = bytes(&event, "downloaded");
                    }
                    if first && have > 0 {
                        cost.worst = cost.worst.max(before.max(have) - have);
                    }
                }
                Some("complete") => complete = true,
                _ => {}
            }
        }
        if complete {
            // The last word before the end.
            let last = victim.wait_for("progress", |_| true);
            cost.downloaded += bytes(&last, "downloaded");
            seeder.kill();
            break finish(place, victim, witness, cost);
        }
        cost.downloaded += downloaded;
        before = before.max(have);
        cost.kills += 1;
        if cost.kills.is_multiple_of(SEED_EVERY) {
            seeder.kill();
            (seeder, source) = seed(place);
        }
        victim.kill();
    }
    cost.downloads += 1;
}

/// The witness goes on until it has everything, from the victim alone.
fn finish(place: &Place, victim: Running, mut witness: Running, cost: &mut Cost) {
    let all = |progress: &Value| progress["state"] == "seeding";
    let last = witness.wait_for("progress", all);
    cost.corrupt += bytes(&last, "corrupt");
    cost.handed_on += bytes(&last, "downloaded");
    assert!(witness.stop().success() && victim.stop().success());
    for out in ["victim", "witness"] {
        let same = |path: &str| {
            let (original, copy) = (place.path("set").join(path), place.path(out).join("set"));
            fs::read(original).expect("the original") == fs::read(copy.join(path)).expect("a copy")
        };
        assert!(same("a.bin") && same("sub/b.bin"), "{out}");
    }
}

#[test]
fn downloads_survive_kill_9_of_the_program() {
    let kills = env::var("SHOAL_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(12);
    let place = Place::new();
    let mut random = vec![0; LEN];
    let mut rng = Rng::new(5);
    rng.fill(&mut random);
    fs::write(place.path("set/sub/b.bin"), random).expect("a file");
    assert_eq!(place.run(&["publish", "set", "--no-seed", "--piece-size", "64KiB"]).0, 0);
    let total = (LEN + 700_003) as u64;
    let mut cost = Cost::default();
    while cost.kills < kills {
        download(&place, kills, &mut rng, &mut cost);
    }
    println!("{cost:?}");
    assert_eq!(cost.corrupt, 0, "the witness was handed something false");
    assert!(cost.worst <= LOSS_MAX, "a kill cost {} bytes", cost.worst);
    let again = cost.downloaded.saturating_sub(u64::from(cost.downloads) * total);
    assert!(again <= u64::from(cost.kills) * LOSS_MAX, "{again} bytes were fetched twice");
}
