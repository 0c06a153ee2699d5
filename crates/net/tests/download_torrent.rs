//! A torrent that brings part of a download in which hosts of Gnutella take part, over real sockets.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bittorrent::magnet::Magnet;
use bittorrent::metainfo::Metainfo;
use hash::{Digest, Sha1 as Hasher};
use net::create::{CreateOptions, Kind, create};
use net::download::{Download, FetchError, TorrentError, TorrentFile};
use net::gnutella::{self, From, Mode, Sha1, SharedFile, Want};
use net::session::{AddTorrent, Session, SessionConfig, Source, Torrent};
use tokio::sync::watch;
use tokio::time::timeout;

const LEN: usize = 8 << 20;
const PIECE_LEN: u32 = 65_536;
/// No wait is longer.
const LONG: Duration = Duration::from_secs(60);

fn session() -> Session {
    let listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
    Session::start(SessionConfig { listen, lsd: false, ..SessionConfig::default() })
        .expect("starts")
}

fn servent() -> gnutella::Node {
    let any = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    gnutella::Node::start(gnutella::Config::new(any.into(), Mode::Leaf)).expect("a servent")
}

/// Random bytes, the folder of their file, and its torrent.
struct Made {
    folder: tempfile::TempDir,
    bytes: Vec<u8>,
    metainfo: Metainfo,
}

fn made(kind: Kind) -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = vec![0; LEN];
    machine::Rng::new(11).fill(&mut bytes);
    let path = folder.path().join("film.bin");
    std::fs::write(&path, &bytes).expect("written");
    let metainfo = torrent_of(&path, kind);
    Made { folder, bytes, metainfo }
}

fn torrent_of(path: &Path, kind: Kind) -> Metainfo {
    let options = CreateOptions { kind, piece_len: Some(PIECE_LEN), ..CreateOptions::default() };
    create(path, &options, &|_, _| {}).expect("created")
}

/// A session that has as much of a torrent as lies in the folder.
fn seed(metainfo: &Metainfo, folder: &Path) -> Session {
    let session = session();
    let source = Source::Metainfo(Box::new(metainfo.clone()));
    session.add(AddTorrent::new(source, folder.to_owned())).expect("added");
    session
}

/// The torrent of a magnet link, to be told which file is wanted.
fn join(session: &Session, metainfo: &Metainfo, dir: &Path, peers: Vec<SocketAddr>) -> Torrent {
    let magnet = Magnet::new(metainfo.info.hashes);
    let add = AddTorrent::new(Source::Magnet(Box::new(magnet)), dir.to_owned());
    session.add(AddTorrent { hold: true, peers, ..add }).expect("added")
}

fn want(bytes: &[u8], sources: Vec<From>) -> Want {
    let mut hasher = Hasher::new();
    hasher.update(bytes);
    let sha1 = Sha1(hasher.finalize().into());
    Want { sha1, len: bytes.len() as u64, tree: None, sources }
}

/// Fetches a file of which a seed has only the second half, from a servent of which only the first half
/// is right.
async fn fetch_halves(kind: Kind, by_pieces: bool) {
    let made = made(kind);
    let (home, path) =
        (tempfile::tempdir().expect("a folder"), made.folder.path().join("film.bin"));
    let mut halves = [made.bytes.clone(), made.bytes.clone()];
    halves[0][..LEN / 2].fill(0);
    halves[1][LEN / 2..].fill(0);
    std::fs::write(&path, &halves[0]).expect("written");
    let seeder = seed(&made.metainfo, made.folder.path());
    let wrong = home.path().join("wrong.bin");
    std::fs::write(&wrong, &halves[1]).expect("written");
    let (giver, taker) = (servent(), servent());
    let want = want(&made.bytes, vec![From { addr: giver.address(), push: None }]);
    let shared =
        SharedFile { name: "film.bin".to_owned(), len: want.len, sha1: want.sha1, tree: None };
    giver.publish_known(&wrong, shared).await.expect("shared");

    let leecher = session();
    let dir = home.path().join("torrent");
    let torrent = join(&leecher, &made.metainfo, &dir, seeder.listen_addrs());
    let file = timeout(LONG, TorrentFile::open(&torrent, want.len)).await;
    let file = file.expect("in time").expect("it is the file");
    assert!(file.is_alone());
    let hashes = timeout(LONG, file.hashes()).await.expect("in time");
    assert!(hashes.is_some());
    let hashes = hashes.filter(|_| by_pieces);
    let to = home.path().join("taken");
    let told = watch::Sender::default();
    let download = Download::open(&want, hashes, &to, told).await.expect("begun");
    let given = timeout(LONG, taker.bring(&want, &download)).await.expect("in time");
    if by_pieces {
        // The first wrong piece was the last that the servent was asked for.
        let why = given.expect_err("it lies");
        assert!(matches!(why, FetchError::NoSource { missing: 64, blocks: 128 }), "{why}");
    } else {
        let given = given.expect("all has come");
        assert_eq!((given.from[0].bytes, given.by_hashes), (LEN as u64, false));
        // A torrent that is not known to be the file leaves what others have brought.
        let brought = timeout(LONG, file.bring(&download, false)).await.expect("in time");
        assert_eq!(brought.expect("all has come"), 0);
        let part = std::fs::read(home.path().join("taken.part")).expect("there");
        assert!(part == halves[1]);
    }
    let brought = timeout(LONG, file.bring(&download, true)).await.expect("in time");
    let expected = if by_pieces { LEN as u64 / 2 } else { 0 };
    assert_eq!(brought.expect("all has come"), expected);
    download.finish().await.expect("verified");
    assert!(std::fs::read(&to).expect("there") == made.bytes);
    seeder.shutdown();
    leecher.shutdown();
}

#[tokio::test]
async fn pieces_tell_who_lies_and_the_rest_comes_from_the_torrent() {
    for kind in [Kind::V1, Kind::V2, Kind::Hybrid] {
        fetch_halves(kind, true).await;
    }
}

#[tokio::test]
async fn what_was_taken_on_trust_is_mended_by_the_torrent() {
    // As when pieces are not known before it begins.
    fetch_halves(Kind::V1, false).await;
}

#[tokio::test]
async fn a_file_among_others_is_brought_by_the_torrent_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| -> PathBuf { folder.path().join("all").join(name) };
    std::fs::create_dir(folder.path().join("all")).expect("made");
    let mut bytes = vec![0; LEN];
    machine::Rng::new(12).fill(&mut bytes);
    // Neither end of it is the end of a piece.
    for (name, len) in [("a", 100_001), ("c", 70_000), ("d", 70_000)] {
        std::fs::write(path(name), &bytes[..len]).expect("written");
    }
    std::fs::write(path("b"), &bytes).expect("written");
    let metainfo = torrent_of(&folder.path().join("all"), Kind::V1);
    let seeder = seed(&metainfo, folder.path());
    for (len, expected) in [(LEN as u64, true), (LEN as u64 + 1, false), (70_000, false)] {
        let (home, leecher) = (tempfile::tempdir().expect("a folder"), session());
        let torrent = join(&leecher, &metainfo, home.path(), seeder.listen_addrs());
        let file = timeout(LONG, TorrentFile::open(&torrent, len)).await.expect("in time");
        let Ok(file) = file else {
            assert!(!expected);
            let why = file.expect_err("it is refused");
            let is_right = match len {
                70_000 => matches!(why, TorrentError::Ambiguous(70_000)),
                _ => matches!(why, TorrentError::NoFile(_)),
            };
            assert!(is_right, "{why}");
            leecher.shutdown();
            continue;
        };
        assert!(expected && !file.is_alone() && file.hashes().await.is_none());
        let (want, to) = (want(&bytes, Vec::new()), home.path().join("taken"));
        let told = watch::Sender::default();
        let download = Download::open(&want, None, &to, told).await.expect("begun");
        let brought = timeout(LONG, file.bring(&download, true)).await.expect("in time");
        assert_eq!(brought.expect("all has come"), LEN as u64);
        download.finish().await.expect("verified");
        assert!(std::fs::read(&to).expect("there") == bytes);
        leecher.remove(&torrent);
        leecher.shutdown();
    }
    seeder.shutdown();
}

#[tokio::test]
async fn a_torrent_that_leaves_its_session_ends() {
    let (made, leecher) = (made(Kind::V1), session());
    let home = tempfile::tempdir().expect("a folder");
    // Nobody says what it is.
    let torrent = join(&leecher, &made.metainfo, home.path(), Vec::new());
    let waits = async {
        let opened = TorrentFile::open(&torrent, LEN as u64).await;
        assert!(matches!(opened, Err(TorrentError::Stopped)), "{opened:?}");
    };
    let leaves = async {
        tokio::task::yield_now().await;
        let torrent = torrent.clone();
        tokio::task::spawn_blocking(move || torrent.remove()).await.expect("removed");
    };
    timeout(LONG, async { tokio::join!(waits, leaves) }).await.expect("in time");
    leecher.shutdown();
}
