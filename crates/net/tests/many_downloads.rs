//! Many torrents that one session downloads at once, out of a small budget of memory.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bittorrent::metainfo::Metainfo;
use net::create::{CreateOptions, create};
use net::session::{AddTorrent, Session, SessionConfig, Source, Torrent, TorrentState};

const PATIENCE: Duration = Duration::from_secs(180);
const LEN: usize = 1 << 20;
const PIECE_LEN: u32 = 64 << 10;
/// Room for eight of those pieces, and for none of the long ones.
const BUDGET: u64 = 512 << 10;
const LONG_PIECE_LEN: u32 = 1 << 20;

fn session(tune: impl Fn(&mut SessionConfig)) -> Session {
    let mut config = SessionConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        lsd: false,
        ..SessionConfig::default()
    };
    tune(&mut config);
    Session::start(config).expect("start")
}

fn file(dir: &Path, number: usize) -> (String, Vec<u8>) {
    let mut bytes = vec![0; LEN];
    machine::Rng::new(number as u64).fill(&mut bytes);
    let name = format!("{number}.bin");
    std::fs::write(dir.join(&name), &bytes).expect("write");
    (name, bytes)
}

fn torrent(dir: &Path, name: &str, piece_len: u32) -> Metainfo {
    let options = CreateOptions { piece_len: Some(piece_len), ..CreateOptions::default() };
    create(&dir.join(name), &options, &|_, _| {}).expect("create")
}

fn join(session: &Session, metainfo: &Metainfo, dir: &Path, from: Option<&Session>) -> Torrent {
    let source = Source::Metainfo(Box::new(metainfo.clone()));
    let add = AddTorrent {
        read_only: from.is_none(),
        peers: from.map(Session::listen_addrs).unwrap_or_default(),
        ..AddTorrent::new(source, dir.to_owned())
    };
    session.add(add).expect("add")
}

fn await_seeding(torrent: &Torrent) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = torrent.stats().expect("session runs");
        if stats.state == TorrentState::Seeding {
            return;
        }
        assert!(Instant::now() < deadline, "stuck: {stats:#?}");
        let _ = torrent.wait_while(stats.state, Duration::from_secs(5));
    }
}

#[test]
fn twenty_downloads_share_one_budget_of_memory() {
    let (source, target) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let seeder = session(|_| {});
    let leecher = session(|config| config.piece_memory = BUDGET);
    let made: Vec<_> = (0..20)
        .map(|number| {
            let (name, bytes) = file(source.path(), number);
            let piece_len = if number % 5 == 4 { LONG_PIECE_LEN } else { PIECE_LEN };
            (torrent(source.path(), &name, piece_len), name, bytes)
        })
        .collect();
    for (metainfo, ..) in &made {
        await_seeding(&join(&seeder, metainfo, source.path(), None));
    }
    let leeches: Vec<_> = made
        .iter()
        .map(|(metainfo, ..)| join(&leecher, metainfo, target.path(), Some(&seeder)))
        .collect();
    leeches.iter().for_each(await_seeding);
    for (_, name, bytes) in &made {
        assert!(std::fs::read(target.path().join(name)).expect(name) == *bytes, "{name} differs");
    }
    let memory = leecher.piece_memory().expect("session runs");
    assert_eq!(memory.begun, 0, "nothing is held when all is done");
    let most = u64::from(LONG_PIECE_LEN).max(BUDGET);
    assert!(memory.begun_peak >= BUDGET, "the budget was never spent: {memory:?}");
    assert!(memory.begun_peak <= most && memory.taken_peak <= most, "{memory:?}");
    leecher.shutdown();
    seeder.shutdown();
}

#[test]
fn a_torrent_whose_peers_stall_lets_go_of_memory_that_others_need() {
    let (source, target) = (tempfile::tempdir().expect("dir"), tempfile::tempdir().expect("dir"));
    let stalling = session(|config| config.upload_limit = Some(1));
    let seeder = session(|_| {});
    // One piece has room, and the one that stalls is there first.
    let leecher = session(|config| config.piece_memory = PIECE_LEN.into());
    let [first, second] = [0, 1].map(|number| {
        let (name, _) = file(source.path(), number);
        torrent(source.path(), &name, PIECE_LEN)
    });
    await_seeding(&join(&stalling, &first, source.path(), None));
    await_seeding(&join(&seeder, &second, source.path(), None));
    let stalled = join(&leecher, &first, target.path(), Some(&stalling));
    let deadline = Instant::now() + PATIENCE;
    while leecher.piece_memory().expect("session runs").begun == 0 {
        assert!(Instant::now() < deadline, "nothing is asked for");
        let _ = stalled.wait(Duration::from_millis(20));
    }
    await_seeding(&join(&leecher, &second, target.path(), Some(&seeder)));
    let stats = stalled.stats().expect("session runs");
    assert_eq!(stats.state, TorrentState::Downloading, "it did not stall");
    for session in [leecher, seeder, stalling] {
        session.shutdown();
    }
}
