//! Two sessions in one process, over real loopback sockets and real files.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use net::create::{CreateOptions, Kind, create};
use net::session::{AddTorrent, Encryption, Session, SessionConfig, Source, Torrent, TorrentState};

const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> SessionConfig {
    SessionConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        lsd: false,
        ..SessionConfig::default()
    }
}

fn payload(len: usize, seed: u8) -> Vec<u8> {
    let mut rng = machine::Rng::new(u64::from(seed));
    let mut bytes = vec![0; len];
    rng.fill(&mut bytes);
    bytes
}

fn options(source: Source, dir: &Path) -> AddTorrent {
    AddTorrent::new(source, dir.to_owned())
}

fn await_seeding(torrent: &Torrent) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let stats = torrent.stats().expect("session runs");
        match stats.state {
            TorrentState::Seeding => return,
            TorrentState::Failed => panic!("failed: {stats:?}"),
            state => {
                assert!(std::time::Instant::now() < deadline, "stuck: {stats:#?}");
                let _ = torrent.wait_while(state, Duration::from_secs(5));
            }
        }
    }
}

struct Made {
    source: tempfile::TempDir,
    metainfo: Metainfo,
    files: Vec<(String, Vec<u8>)>,
}

fn make(kind: Kind) -> Made {
    let source = tempfile::tempdir().expect("temp dir");
    let root = source.path().join("set");
    std::fs::create_dir_all(root.join("sub")).expect("mkdir");
    let mut files = Vec::new();
    for (index, len) in [1_000_000, 0, 5, 70_000, 3_333_333].into_iter().enumerate() {
        let name = if index == 3 { "sub/three.bin".into() } else { format!("file{index}.bin") };
        let bytes = payload(len, index as u8);
        std::fs::write(root.join(&name), &bytes).expect("write");
        files.push((format!("set/{name}"), bytes));
    }
    let options = CreateOptions { kind, piece_len: Some(65_536), ..CreateOptions::default() };
    let metainfo = create(&root, &options, &|_, _| {}).expect("create");
    Made { source, metainfo, files }
}

fn transfer(kind: Kind, magnet: bool, tune: impl Fn(&mut SessionConfig)) {
    let made = make(kind);
    let target = tempfile::tempdir().expect("temp dir");
    let (mut up, mut down) = (config(), config());
    tune(&mut up);
    tune(&mut down);
    let seeder = Session::start(up).expect("start");
    let seed = seeder
        .add(AddTorrent {
            read_only: true,
            ..options(Source::Metainfo(Box::new(made.metainfo.clone())), made.source.path())
        })
        .expect("add");
    await_seeding(&seed);
    let leecher = Session::start(down).expect("start");
    let source = if magnet {
        let hashes = made.metainfo.info.hashes;
        let link = match (hashes.v1, hashes.v2) {
            (Some(v1), _) => format!("magnet:?xt=urn:btih:{v1}"),
            (None, Some(v2)) => format!("magnet:?xt=urn:btmh:1220{v2}"),
            (None, None) => panic!("a torrent without a name"),
        };
        Source::Magnet(Box::new(Magnet::parse(&link).expect("magnet")))
    } else {
        Source::Metainfo(Box::new(made.metainfo.clone()))
    };
    let leech = leecher
        .add(AddTorrent { peers: seeder.listen_addrs(), ..options(source, target.path()) })
        .expect("add");
    await_seeding(&leech);
    for (name, bytes) in &made.files {
        assert!(std::fs::read(target.path().join(name)).expect(name) == *bytes, "{name} differs");
    }
    let stats = leech.stats().expect("runs");
    assert_eq!(stats.progress.bytes_have, stats.progress.bytes_wanted);
    leecher.shutdown();
    seeder.shutdown();
}

#[test]
fn v1_arrives_whole() {
    transfer(Kind::V1, false, |_| {});
}

#[test]
fn hybrid_arrives_whole() {
    transfer(Kind::Hybrid, false, |_| {});
}

#[test]
fn v2_arrives_whole() {
    transfer(Kind::V2, false, |_| {});
}

#[test]
fn hybrid_by_magnet() {
    transfer(Kind::Hybrid, true, |_| {});
}

#[test]
fn encrypted_when_required() {
    transfer(Kind::Hybrid, false, |config| config.encryption = Encryption::Require);
}

#[test]
fn under_limits() {
    transfer(Kind::V1, false, |config| config.upload_limit = Some(4_000_000));
}

#[test]
fn over_utp_alone() {
    transfer(Kind::Hybrid, false, |config| config.tcp = false);
}

#[test]
fn a_hybrid_reaches_who_knows_its_v2_hash_only() {
    let made = make(Kind::Hybrid);
    let target = tempfile::tempdir().expect("temp dir");
    let leecher = Session::start(config()).expect("start");
    let v2 = made.metainfo.info.hashes.v2.expect("a hybrid");
    let link = format!("magnet:?xt=urn:btmh:1220{v2}");
    let source = Source::Magnet(Box::new(Magnet::parse(&link).expect("magnet")));
    let leech = leecher.add(options(source, target.path())).expect("add");
    let seeder = Session::start(config()).expect("start");
    let source = Source::Metainfo(Box::new(made.metainfo.clone()));
    let peers = leecher.listen_addrs();
    let seed = AddTorrent { read_only: true, peers, ..options(source, made.source.path()) };
    seeder.add(seed).expect("add");
    await_seeding(&leech);
    for (name, bytes) in &made.files {
        assert!(std::fs::read(target.path().join(name)).expect(name) == *bytes, "{name} differs");
    }
    leecher.shutdown();
    seeder.shutdown();
}

#[test]
fn v2_by_magnet() {
    transfer(Kind::V2, true, |_| {});
}
