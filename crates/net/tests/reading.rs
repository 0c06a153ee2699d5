//! Reading a file while it is fetched, leaving torrents, and changing limits: what programs around
//! a session need of it, over real loopback sockets and real files.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bittorrent::metainfo::Metainfo;
use net::create::{CreateOptions, Kind, create};
use net::session::{AddTorrent, ReadError, Session, SessionConfig, Source, Torrent, TorrentState};

const PATIENCE: Duration = Duration::from_secs(60);
const LEN: usize = 24 * 1024 * 1024;
const PIECE_LEN: u32 = 65_536;

fn session(upload_limit: Option<u64>) -> Session {
    let config = SessionConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        lsd: false,
        upload_limit,
        ..SessionConfig::default()
    };
    Session::start(config).expect("start")
}

/// A file of random bytes in a folder of its own, and its torrent.
fn made() -> (tempfile::TempDir, Vec<u8>, Metainfo) {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut bytes = vec![0; LEN];
    machine::Rng::new(7).fill(&mut bytes);
    let path = folder.path().join("film.bin");
    std::fs::write(&path, &bytes).expect("write");
    let options =
        CreateOptions { kind: Kind::V1, piece_len: Some(PIECE_LEN), ..CreateOptions::default() };
    let metainfo = create(&path, &options, &|_, _| {}).expect("create");
    (folder, bytes, metainfo)
}

fn add(session: &Session, metainfo: &Metainfo, dir: &Path, peers: Vec<SocketAddr>) -> Torrent {
    let source = Source::Metainfo(Box::new(metainfo.clone()));
    let options = AddTorrent::new(source, dir.to_owned());
    session.add(AddTorrent { peers, ..options }).expect("add")
}

fn await_state(torrent: &Torrent, wanted: &TorrentState) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while let Some(state) = torrent.stats().map(|stats| stats.state) {
        if state == *wanted {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "stuck at {state:?}");
        let _ = torrent.wait_while(state, Duration::from_secs(5));
    }
    panic!("the session ended");
}

#[tokio::test]
async fn what_is_read_comes_first_wherever_it_is() {
    let (folder, bytes, metainfo) = made();
    let target = tempfile::tempdir().expect("temp dir");
    // All of it takes twelve seconds; the places that are read must not.
    let seeder = session(Some(2 * 1024 * 1024));
    let seed = add(&seeder, &metainfo, folder.path(), Vec::new());
    await_state(&seed, &TorrentState::Seeding);
    let leecher = session(None);
    let leech = add(&leecher, &metainfo, target.path(), seeder.listen_addrs());
    await_state(&leech, &TorrentState::Downloading);

    let mut reader = leech.reader(0).expect("the file is known");
    assert_eq!(reader.len(), LEN as u64);
    let mut buffer = vec![0; PIECE_LEN as usize];
    for start in [LEN as u64 - 100_000, LEN as u64 / 2 + 17] {
        for offset in [start, start + 60_000] {
            let ready = tokio::time::timeout(PATIENCE, reader.ready(offset)).await;
            let ready = ready.expect("in time").expect("readable");
            assert!(ready > 0 && ready <= u64::from(PIECE_LEN));
            let len = reader.read(offset, &mut buffer).expect("readable");
            assert_eq!(len as u64, ready);
            assert!(buffer[..len] == bytes[offset as usize..][..len], "at {offset}");
        }
    }
    let have = leech.have().expect("known").count_ones();
    assert!(have < LEN as u32 / PIECE_LEN / 2, "{have} pieces came before those that were read");
    assert_eq!(reader.ready(LEN as u64).await.expect("the end"), 0);
    assert!(leech.reader(1).is_none());

    // Who reads hears that there is nothing to wait for any more.
    let have = leech.have().expect("known");
    let missing = (0..have.len()).rev().find(|&piece| !have.get(piece)).expect("not all is here");
    let waiting = reader.ready(u64::from(missing) * u64::from(PIECE_LEN));
    let leave = async {
        tokio::task::yield_now().await;
        tokio::task::spawn_blocking(move || leecher.remove(&leech)).await.expect("removed");
    };
    let (waited, ()) = tokio::join!(tokio::time::timeout(PATIENCE, waiting), leave);
    assert!(matches!(waited.expect("in time"), Err(ReadError::Stopped)));
    seeder.shutdown();
}

#[test]
fn a_torrent_that_was_left_can_be_joined_again_and_loses_nothing() {
    let (folder, _, metainfo) = made();
    let target = tempfile::tempdir().expect("temp dir");
    let seeder = session(None);
    let seed = add(&seeder, &metainfo, folder.path(), Vec::new());
    await_state(&seed, &TorrentState::Seeding);
    let leecher = session(None);
    leecher.set_limits(None, Some(4 * 1024 * 1024));
    let leech = add(&leecher, &metainfo, target.path(), seeder.listen_addrs());
    await_state(&leech, &TorrentState::Downloading);
    let some = std::time::Instant::now() + PATIENCE;
    while leech.have().expect("known").count_ones() < 20 {
        assert!(std::time::Instant::now() < some, "nothing comes");
        let _ = leech.wait(Duration::from_millis(50));
    }
    leecher.remove(&leech);
    assert!(leech.stats().is_none(), "it is forgotten");
    leecher.set_limits(None, None);
    let again = add(&leecher, &metainfo, target.path(), Vec::new());
    await_state(&again, &TorrentState::Downloading);
    assert!(again.have().expect("known").count_ones() >= 20, "what was verified is remembered");
    again.add_peers(seeder.listen_addrs());
    await_state(&again, &TorrentState::Seeding);
    leecher.shutdown();
    seeder.shutdown();
}
