//! What a user may wish of one torrent while it runs, over real loopback sockets.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bittorrent::metainfo::Metainfo;
use bittorrent::picker::Priority;
use net::create::{CreateOptions, Kind, create};
use net::session::{
    AddTorrent, Earlier, SeedUntil, Session, SessionConfig, Source, Torrent, TorrentLimits,
    TorrentState, TorrentStats,
};

const PATIENCE: Duration = Duration::from_secs(60);
const LEN: usize = 2_000_000;

struct Bench {
    source: tempfile::TempDir,
    target: tempfile::TempDir,
    metainfo: Metainfo,
    giver: Session,
    taker: Session,
}

impl Bench {
    fn new(tune: impl Fn(&mut SessionConfig)) -> Self {
        let source = tempfile::tempdir().expect("a folder");
        let root = source.path().join("set");
        std::fs::create_dir(&root).expect("made");
        for (seed, name) in (1..).zip(["a.bin", "b.bin"]) {
            let mut bytes = vec![0; LEN];
            machine::Rng::new(seed).fill(&mut bytes);
            std::fs::write(root.join(name), bytes).expect("written");
        }
        let options =
            CreateOptions { kind: Kind::V1, piece_len: Some(65_536), ..CreateOptions::default() };
        let metainfo = create(&root, &options, &|_, _| {}).expect("created");
        let mut config = SessionConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            lsd: false,
            ..SessionConfig::default()
        };
        tune(&mut config);
        let giver = Session::start(config.clone()).expect("starts");
        let taker = Session::start(config).expect("starts");
        Self { source, target: tempfile::tempdir().expect("a folder"), metainfo, giver, taker }
    }

    fn source(&self) -> Source {
        Source::Metainfo(Box::new(self.metainfo.clone()))
    }

    fn give(&self, tune: impl Fn(&mut AddTorrent)) -> Torrent {
        let mut add = AddTorrent::new(self.source(), self.source.path().to_owned());
        (add.read_only, add.trusted) = (true, true);
        tune(&mut add);
        self.giver.add(add).expect("added")
    }

    fn take(&self, tune: impl Fn(&mut AddTorrent)) -> Torrent {
        let mut add = AddTorrent::new(self.source(), self.target.path().to_owned());
        add.peers = self.giver.listen_addrs();
        tune(&mut add);
        self.taker.add(add).expect("added")
    }
}

/// Looks every few milliseconds until `wanted` holds.
fn await_that(torrent: &Torrent, wanted: impl Fn(&TorrentStats) -> bool) -> TorrentStats {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = torrent.stats().expect("it runs");
        if wanted(&stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "stuck: {stats:#?}");
        let _ = torrent.wait_while(stats.state, Duration::from_millis(20));
    }
}

fn seeding(torrent: &Torrent) {
    await_that(torrent, |stats| stats.state == TorrentState::Seeding);
}

/// Bytes per second of these torrents' limits: the whole takes about two seconds.
const RATE: u64 = 2_000_000;

/// No limiter lets more pass in `time` than its rate and a burst.
fn at_least(bytes: u64) -> Duration {
    Duration::from_secs_f64((bytes - 300_000) as f64 / RATE as f64)
}

#[test]
fn one_torrent_is_limited_in_either_direction() {
    let narrow = Some(RATE);
    for (upload, download) in [(narrow, None), (None, narrow)] {
        let bench = Bench::new(|_| {});
        let limits =
            |upload, download| TorrentLimits { upload, download, ..TorrentLimits::default() };
        let from = bench.give(|add| add.limits = limits(upload, None));
        seeding(&from);
        let began = Instant::now();
        let to = bench.take(|add| add.limits = limits(None, download));
        seeding(&to);
        let took = began.elapsed();
        assert!(took >= at_least(2 * LEN as u64), "{upload:?} {download:?}: {took:?}");
    }
}

#[test]
fn a_limit_is_lifted_while_it_holds() {
    let bench = Bench::new(|_| {});
    seeding(&bench.give(|_| {}));
    let crawl = TorrentLimits { download: Some(1_000), ..TorrentLimits::default() };
    let to = bench.take(|add| add.limits = crawl);
    await_that(&to, |stats| stats.progress.downloaded > 0);
    // At that rate the whole would take an hour.
    to.set_limits(TorrentLimits::default());
    seeding(&to);
}

#[test]
fn an_exempt_torrent_does_not_obey_the_session() {
    let bench = Bench::new(|config| config.upload_limit = Some(1_000));
    let exempt = TorrentLimits { exempt: true, ..TorrentLimits::default() };
    seeding(&bench.give(|add| add.limits = exempt));
    seeding(&bench.take(|_| {}));
}

#[test]
fn the_file_that_is_wanted_most_comes_first() {
    // Pieces begin with a few at random: with the second file high or the first low, it is second.
    for priorities in [vec![(1, Priority::HIGH)], vec![(0, Priority::LOW)]] {
        for live in [false, true] {
            let bench = Bench::new(|_| {});
            seeding(&bench.give(|_| {}));
            let crawl = TorrentLimits { download: Some(1), ..TorrentLimits::default() };
            let to = bench.take(|add| {
                add.limits = crawl;
                if !live {
                    add.priorities.clone_from(&priorities);
                }
            });
            if live {
                to.set_priorities(priorities.clone());
            }
            to.set_limits(TorrentLimits { download: Some(RATE), ..TorrentLimits::default() });
            await_that(&to, |stats| stats.progress.pieces_have >= 12);
            let have = to.have().expect("known");
            let second = have.ones().filter(|piece| *piece >= LEN as u32 / 65_536).count();
            let first = have.count_ones() as usize - second;
            // Requests on the way when wishes came may be for the other file.
            assert!(second > 2 * first, "{priorities:?} {live}: {first} and {second}");
        }
    }
}

#[test]
fn sharing_ends_at_its_goals_and_what_was_shared_before_counts() {
    let ratio = |ratio| SeedUntil { ratio: Some(ratio), ..SeedUntil::default() };
    let uploaded = Earlier { uploaded: 8 * LEN as u64, ..Earlier::default() };
    let hour = Duration::from_secs(3600);
    let seeded = Earlier { seeding: hour, ..Earlier::default() };
    let time = SeedUntil { time: Some(hour), ..SeedUntil::default() };
    let idle = SeedUntil { idle: Some(Duration::from_secs(1)), ..SeedUntil::default() };
    for (until, earlier, ends) in [
        (ratio(4.0), uploaded, true),
        (ratio(4.1), uploaded, false),
        (time, seeded, true),
        (time, Earlier::default(), false),
        (idle, Earlier::default(), true),
    ] {
        let bench = Bench::new(|_| {});
        let from = bench.give(|add| (add.seed_until, add.earlier) = (until, earlier));
        if ends {
            await_that(&from, |stats| stats.state == TorrentState::Finished);
        } else {
            let changed = from.wait_while(TorrentState::Seeding, Duration::from_secs(3));
            assert_eq!(changed, Some(TorrentState::Seeding), "{until:?}");
            // Said while it runs.
            from.set_seed_until(ratio(1.0));
            let ends = earlier.uploaded > 0;
            from.set_seed_until(if ends { ratio(1.0) } else { idle });
            await_that(&from, |stats| stats.state == TorrentState::Finished);
        }
    }
}
