//! Sessions that find each other by the DHT alone, over real loopback sockets.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use machine::dht::Key;
use net::create::{CreateOptions, Kind, create};
use net::dht::{KademliaConfig, KademliaNode, Saved};
use net::session::{AddTorrent, DhtConfig, Session, SessionConfig, Source, Torrent, TorrentState};
use tokio::net::UdpSocket;
use tokio::task::LocalSet;

const PATIENCE: Duration = Duration::from_secs(60);

fn session(bootstrap: &[SocketAddr], utp: bool) -> Session {
    session_with(bootstrap, utp, None)
}

fn session_with(bootstrap: &[SocketAddr], utp: bool, state: Option<&Path>) -> Session {
    let bootstrap = bootstrap.iter().map(ToString::to_string).collect();
    let config = SessionConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        lsd: false,
        pex: false,
        utp,
        dht: Some(DhtConfig { bootstrap, state: state.map(Path::to_owned) }),
        ..SessionConfig::default()
    };
    Session::start(config).expect("a session")
}

/// A folder with a file, and what describes it.
fn content(kind: Kind, private: bool) -> (tempfile::TempDir, Metainfo) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file.bin");
    let mut bytes = vec![0; 300_000];
    machine::Rng::new(7).fill(&mut bytes);
    std::fs::write(&path, bytes).expect("written");
    let options = CreateOptions { kind, private, ..CreateOptions::default() };
    let metainfo = create(&path, &options, &|_, _| {}).expect("described");
    (folder, metainfo)
}

fn seed(session: &Session, metainfo: &Metainfo, folder: &Path) -> Torrent {
    let source = Source::Metainfo(Box::new(metainfo.clone()));
    let add =
        AddTorrent { read_only: true, trusted: true, ..AddTorrent::new(source, folder.to_owned()) };
    session.add(add).expect("added")
}

fn fetch(session: &Session, source: Source) -> (tempfile::TempDir, Torrent) {
    let folder = tempfile::tempdir().expect("a folder");
    let torrent = session.add(AddTorrent::new(source, folder.path().to_owned())).expect("added");
    (folder, torrent)
}

fn magnet(metainfo: &Metainfo) -> Source {
    Source::Magnet(Box::new(Magnet::new(metainfo.info.hashes)))
}

fn await_complete(torrent: &Torrent) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stats = torrent.stats().expect("the session runs");
        if stats.state == TorrentState::Seeding {
            return;
        }
        assert!(Instant::now() < deadline, "stuck: {stats:#?}");
        let _ = torrent.wait_while(stats.state, Duration::from_secs(5));
    }
}

#[test]
fn a_session_meets_the_nodes_of_its_last_run_again() {
    let (folder, metainfo) = content(Kind::V1, false);
    let publisher = session(&[], true);
    let seed = seed(&publisher, &metainfo, folder.path());
    let state = tempfile::tempdir().expect("a folder");
    let first = session_with(&publisher.dht_addrs(), true, Some(state.path()));
    let (_copy, torrent) = fetch(&first, magnet(&metainfo));
    await_complete(&torrent);
    first.shutdown();
    let kept = Saved::read(&state.path().join("dht4")).expect("readable");
    assert!(kept.id.is_some());
    assert_eq!(kept.nodes, publisher.dht_addrs());

    // Another one: whoever has seeded for a while looks seldom for those who wait.
    let (folder, metainfo) = content(Kind::Hybrid, false);
    let other = self::seed(&publisher, &metainfo, folder.path());
    let second = session_with(&[], true, Some(state.path()));
    let (_copy, torrent) = fetch(&second, magnet(&metainfo));
    await_complete(&torrent);
    second.shutdown();
    let again = Saved::read(&state.path().join("dht4")).expect("readable");
    assert_eq!(again.id, kept.id);
    drop((seed, other));
}

#[test]
fn a_magnet_is_fetched_from_the_only_other_node() {
    for (kind, utp) in [(Kind::Hybrid, true), (Kind::V1, false)] {
        let (folder, metainfo) = content(kind, false);
        let publisher = session(&[], utp);
        let seed = seed(&publisher, &metainfo, folder.path());
        let fetcher = session(&publisher.dht_addrs(), utp);
        let (_copy, torrent) = fetch(&fetcher, magnet(&metainfo));
        await_complete(&torrent);
        assert_eq!(seed.stats().expect("it runs").state, TorrentState::Seeding);
        fetcher.shutdown();
        publisher.shutdown();
    }
}

#[test]
fn a_magnet_is_fetched_through_a_node_that_has_nothing_to_do_with_it() {
    let (folder, metainfo) = content(Kind::V2, false);
    let between = session(&[], true);
    let publisher = session(&between.dht_addrs(), true);
    let _seed = seed(&publisher, &metainfo, folder.path());
    let fetcher = session(&between.dht_addrs(), true);
    let (_copy, torrent) = fetch(&fetcher, magnet(&metainfo));
    await_complete(&torrent);
}

#[test]
fn the_dht_is_joined_and_left_while_torrents_run() {
    for utp in [true, false] {
        let (folder, metainfo) = content(Kind::Hybrid, false);
        let publisher = session(&[], utp);
        let _seed = seed(&publisher, &metainfo, folder.path());
        let config = SessionConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            lsd: false,
            utp,
            dht: None,
            ..SessionConfig::default()
        };
        let fetcher = Session::start(config).expect("a session");
        let (_copy, torrent) = fetch(&fetcher, magnet(&metainfo));
        assert!(fetcher.dht_addrs().is_empty());
        for _ in 0..2 {
            fetcher.join_dht(vec![publisher.dht_addrs()[0].to_string()]).expect("joins");
            assert_eq!(fetcher.dht_addrs().len(), 1);
            fetcher.leave_dht();
            assert!(fetcher.dht_addrs().is_empty());
        }
        fetcher.join_dht(Vec::new()).expect("joins");
        fetcher.join_dht(vec![publisher.dht_addrs()[0].to_string()]).expect("joins");
        await_complete(&torrent);
    }
}

#[test]
fn to_22_private_torrents_are_not_announced() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        let (node, _events) =
            KademliaNode::start(socket, &KademliaConfig::default()).expect("a node");
        assert_eq!(node.join(&[]).await, Ok(true));
        let session = session(&[node.address()], true);
        let (private_folder, private) = content(Kind::V1, true);
        let (public_folder, public) = content(Kind::V1, false);
        let _private = seed(&session, &private, private_folder.path());
        let _public = seed(&session, &public, public_folder.path());
        let key = |metainfo: &Metainfo| Key(metainfo.info.hashes.v1.expect("of version 1").0);
        let deadline = Instant::now() + PATIENCE;
        while node.listed(key(&public)).await.is_empty() {
            assert!(Instant::now() < deadline, "the public one is announced");
            tokio::task::yield_now().await;
        }
        assert_eq!(node.listed(key(&private)).await, []);
        let torrents = node.handle().look(|nodes, _| nodes[0].torrents()).await;
        assert_eq!(torrents, Ok((1, 1)));
    });
}
