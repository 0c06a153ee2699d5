//! Napster over real sockets: servers, clients and files of their own.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hash::{Digest, Sha1};
use net::download::{self, Progress};
use net::napster::client::{Client, ClientConfig, ClientError, FetchError, LocalFile, Wanted};
use net::napster::server::{Server, ServerConfig, ServerHandle, Status};
use search::napster::{
    ClientMessage, FileHash, Hit, LinkSpeed, MediaType, Nick, Query, ServerMessage, SharedFile,
    Text,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// No wait of these tests is longer.
const LONG: Duration = Duration::from_secs(120);
const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

struct Running {
    address: SocketAddr,
    handle: ServerHandle,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Status>,
}

impl Running {
    async fn start(listen: SocketAddrV4, state: Option<&Path>) -> Self {
        let mut config = ServerConfig::new(listen);
        config.state = state.map(Path::to_owned);
        config.limits.tick = Duration::from_millis(200);
        let server = Server::bind(config).await.expect("a server");
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, handle) = (server.address().expect("an address"), server.handle());
        let task = tokio::spawn(async move {
            server.run(async { drop(stopped.await) }).await.expect("it runs")
        });
        Self { address, handle, stop, task }
    }

    async fn stop(self) -> SocketAddrV4 {
        drop(self.stop);
        timeout(LONG, self.task).await.expect("it ends").expect("it does not panic");
        let SocketAddr::V4(address) = self.address else { panic!("IPv4") };
        address
    }
}

fn nick(name: &str) -> Nick {
    Nick::new(name.as_bytes()).expect("a name")
}

async fn join(server: SocketAddr, name: &str, firewalled: bool) -> Client {
    let config = ClientConfig {
        server,
        nick: nick(name),
        password: "secret".to_owned(),
        register: None,
        listen: ANY,
        firewalled,
        link: LinkSpeed::T3,
        upload_slots: 4,
    };
    timeout(LONG, Client::join(config)).await.expect("in time").expect("it joins")
}

/// A file whose bytes follow from `seed`.
fn file(folder: &Path, name: &str, seed: u64, len: usize) -> LocalFile {
    let mut bytes = vec![0; len];
    machine::Rng::new(seed).fill(&mut bytes);
    // Sizes have no end of their own on the wire.
    bytes.iter_mut().take(8).for_each(|byte| *byte = b'7');
    let path: PathBuf = folder.join(format!("{seed}-{len}"));
    std::fs::write(&path, &bytes).expect("written");
    let hash = FileHash::Sha1(Sha1::digest(&bytes).into());
    let name = Text::from(format!("\\music\\{name}").as_str());
    LocalFile { path, shared: SharedFile::new(name, hash, len as u64, MediaType::Audio) }
}

async fn find(client: &Client, words: &str, count: usize) -> Vec<Hit> {
    let found = async {
        loop {
            match client.search(Query::new(words)).await {
                Ok(hits) if hits.len() >= count => return hits,
                Ok(_) | Err(ClientError::Silent) => sleep(Duration::from_millis(250)).await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(LONG, found).await.unwrap_or_else(|_| panic!("{words} is not found {count} times"))
}

#[tokio::test]
async fn a_file_is_found_and_fetched_from_several_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Running::start(ANY, None).await;
    let shared = file(folder.path(), "artist - song.ogg", 1, (5 << 20) + 77);
    let mut owners = Vec::new();
    for name in ["alice", "bob", "carol"] {
        let owner = join(server.address, name, false).await;
        owner.publish(vec![shared.clone()]).await;
        owners.push(owner);
    }
    let dave = join(server.address, "dave", false).await;
    let hits = find(&dave, "artist song", 3).await;
    assert!(dave.search(Query::new("nothing like it")).await.expect("answered").is_empty());
    let target = folder.path().join("fetched");
    let told = watch::Sender::default();
    let heard = told.subscribe();
    let wanted = Wanted::of(&hits[0], &hits);
    assert_eq!(wanted.sources.len(), 3);
    let fetched = timeout(LONG, dave.fetch(wanted.clone(), &target, told)).await;
    let fetched = fetched.expect("in time").expect("fetched");
    assert!(fetched.verified && fetched.peers.len() > 1, "{fetched:?}");
    assert_eq!(*heard.borrow(), Progress { have: wanted.size, sources: 0 });
    let same =
        std::fs::read(&target).expect("there") == std::fs::read(&shared.path).expect("there");
    assert!(same);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        2,
        "nothing is left over"
    );
    let browsed = dave.browse(nick("alice")).await.expect("answered");
    assert_eq!(browsed[0].name, shared.shared.name);
    assert!(matches!(dave.browse(nick("nobody")).await, Err(ClientError::Absent)));
    owners[0].withdraw(shared.shared.name.clone()).await;
    while find(&dave, "artist", 2).await.len() != 2 {}
    server.stop().await;
}

#[tokio::test]
async fn whoever_is_behind_a_firewall_sends_by_himself() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Running::start(ANY, None).await;
    let shared = file(folder.path(), "behind a wall.ogg", 2, (2 << 20) + 1);
    let inside = join(server.address, "inside", true).await;
    inside.publish(vec![shared.clone()]).await;
    let outside = join(server.address, "outside", false).await;
    let hits = find(&outside, "wall", 1).await;
    let target = folder.path().join("fetched");
    let fetched = outside.fetch(Wanted::of(&hits[0], &hits), &target, watch::Sender::default());
    let fetched = timeout(LONG, fetched).await.expect("in time").expect("fetched");
    assert!(fetched.verified);
    let both = join(server.address, "inside_too", true).await;
    let target = folder.path().join("never");
    let failed = both.fetch(Wanted::of(&hits[0], &hits), &target, watch::Sender::default()).await;
    assert!(matches!(failed, Err(FetchError::Incomplete { have: 0, .. })), "{failed:?}");
    server.stop().await;
}

#[tokio::test]
async fn a_fetch_goes_on_where_it_has_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Running::start(ANY, None).await;
    let shared = file(folder.path(), "long one.ogg", 3, 4 << 20);
    let bytes = std::fs::read(&shared.path).expect("there");
    let alice = join(server.address, "alice", false).await;
    alice.publish(vec![shared.clone()]).await;
    let bob = join(server.address, "bob", false).await;
    let hits = find(&bob, "long one", 1).await;
    // Half of its blocks are there, and wrong in a place that only the hash can find.
    let target = folder.path().join("fetched");
    let mut part = bytes.clone();
    part[2 << 20..].fill(0);
    let mut noted = [0; 32];
    noted[..16].fill(1);
    std::fs::write(folder.path().join("fetched.part"), &part).expect("written");
    std::fs::write(folder.path().join("fetched.part-map"), noted).expect("written");
    let told = watch::Sender::default();
    let mut heard = told.subscribe();
    let wanted = Wanted::of(&hits[0], &hits);
    let first =
        async { heard.wait_for(|progress: &Progress| progress.have > 0).await.expect("told").have };
    let fetch = timeout(LONG, bob.fetch(wanted.clone(), &target, told));
    let (fetched, first) = tokio::join!(fetch, first);
    assert!(fetched.expect("in time").expect("fetched").verified);
    assert!(first >= 2 << 20, "what was there was not fetched again: {first}");
    assert!(std::fs::read(&target).expect("there") == bytes);
    part[0] ^= 1;
    std::fs::write(folder.path().join("bad.part"), &part).expect("written");
    std::fs::write(folder.path().join("bad.part-map"), noted).expect("written");
    let target = folder.path().join("bad");
    let failed = bob.fetch(wanted.clone(), &target, watch::Sender::default()).await;
    assert!(
        matches!(failed, Err(FetchError::Download(download::FetchError::Corrupt))),
        "{failed:?}"
    );
    let fetched =
        bob.fetch(wanted, &target, watch::Sender::default()).await.expect("all of it anew");
    assert!(fetched.verified);
    server.stop().await;
}

#[tokio::test]
async fn na_01_peers_are_sent_only_what_is_shared() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Running::start(ANY, None).await;
    let alice = join(server.address, "alice", false).await;
    let shared = file(folder.path(), "a.ogg", 4, 1_000);
    alice.publish(vec![shared.clone()]).await;
    let path = shared.path.to_string_lossy().into_owned();
    for name in [path.as_str(), "/etc/passwd", "..\\..\\etc\\passwd", "\\music\\b.ogg"] {
        let mut stream = TcpStream::connect(alice.address()).await.expect("a peer");
        assert_eq!(stream.read_u8().await.expect("a greeting"), b'1');
        let request = format!("GETbob \"{name}\" 0");
        stream.write_all(request.as_bytes()).await.expect("asked");
        let mut said = String::new();
        let read = timeout(LONG, stream.read_to_string(&mut said)).await;
        read.expect("in time").expect("an answer");
        assert_eq!(said, "FILE NOT SHARED", "{name}");
    }
    server.stop().await;
}

#[tokio::test]
async fn people_talk_through_a_server() {
    let server = Running::start(ANY, None).await;
    let (alice, bob) =
        (join(server.address, "alice", false).await, join(server.address, "bob", false).await);
    let mut heard = bob.listen();
    alice.say(ClientMessage::Private(nick("bob"), "hello".into())).await;
    server.handle.announce("we close").await;
    let (mut private, mut announced) = (false, false);
    while !(private && announced) {
        match timeout(LONG, heard.recv()).await.expect("in time").expect("the client runs") {
            ServerMessage::Private(from, text) => {
                private = from == nick("alice") && text == "hello".into();
            }
            ServerMessage::Notice(text) => announced |= text == "we close".into(),
            _ => {}
        }
    }
    let squatter = ClientConfig {
        server: server.address,
        nick: nick("a b c".split(' ').next().unwrap_or_default()),
        password: "x".to_owned(),
        register: Some("a@b.c".to_owned()),
        listen: ANY,
        firewalled: false,
        link: LinkSpeed::default(),
        upload_slots: 1,
    };
    let first = Client::join(squatter.clone()).await.expect("registers");
    let again = Client::join(squatter.clone()).await;
    assert!(matches!(again, Err(ClientError::Refused(_))), "{again:?}");
    let wrong = ClientConfig { password: "y".to_owned(), register: None, ..squatter };
    let wrong = Client::join(wrong).await;
    assert!(matches!(wrong, Err(ClientError::Refused(why)) if why.contains("Password")));
    drop(first);
    server.stop().await;
}

#[tokio::test]
async fn na_04_what_strangers_send_ends_their_connection_alone() {
    let server = Running::start(ANY, None).await;
    let alice = join(server.address, "alice", false).await;
    let mut nonsense = vec![0; 4_096];
    machine::Rng::new(9).fill(&mut nonsense);
    for bytes in
        [&b"\xff\xff\x02\x00"[..], b"\x00\x00\xc8\x00", b"GET / HTTP/1.0\r\n\r\n", &nonsense]
    {
        let mut stream = TcpStream::connect(server.address).await.expect("a server");
        stream.write_all(bytes).await.expect("sent");
        let mut said = Vec::new();
        // It may end with a reset, because not all was read.
        let ended = timeout(LONG, stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{}", bytes.escape_ascii());
    }
    assert!(alice.search(Query::new("a")).await.is_ok());
    let status = server.handle.status().await.expect("it runs");
    assert_eq!(status.users, 1);
    server.stop().await;
}

#[tokio::test]
async fn thirty_clients_outlive_their_index() {
    const CLIENTS: usize = 30;
    const CONTENTS: usize = 15;
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let mut server = Running::start(ANY, Some(&state)).await;
    let contents: Vec<_> = (0..CONTENTS)
        .map(|number| {
            file(folder.path(), &format!("content number{number}.ogg"), number as u64, 50_000)
        })
        .collect();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        // Every third one accepts no peers.
        let client = join(server.address, &format!("peer{number}"), number % 3 == 0).await;
        let mine = [0, 1, 4].map(|step| contents[(number + step) % CONTENTS].clone());
        client.publish(mine.to_vec()).await;
        clients.push(client);
    }
    let seeker = join(server.address, "seeker", false).await;
    for number in 0..CONTENTS {
        find(&seeker, &format!("number{number}"), 6).await;
    }
    // Half of them die. Every content is with somebody who does not.
    clients.truncate(CONTENTS);
    for number in 0..CONTENTS {
        while find(&seeker, &format!("number{number}"), 3).await.len() != 3 {
            sleep(Duration::from_millis(50)).await;
        }
    }
    // The index is started anew. What it knows is in its log, and a new user finds it before those
    // who have it are back.
    let address = server.stop().await;
    let elsewhere = Running::start(ANY, Some(&state)).await;
    let guest = join(elsewhere.address, "guest", false).await;
    for number in 0..CONTENTS {
        assert_eq!(find(&guest, &format!("number{number}"), 3).await.len(), 3);
    }
    // Those who accept peers are where they were.
    let hits = find(&guest, "number7", 3).await;
    let target = folder.path().join("fetched-early");
    let fetched =
        timeout(LONG, guest.fetch(Wanted::of(&hits[0], &hits), &target, watch::Sender::default()))
            .await;
    assert!(fetched.expect("in time").expect("fetched").verified);
    drop(guest);
    elsewhere.stop().await;
    server = Running::start(address, Some(&state)).await;
    let back = async {
        while server.handle.status().await.expect("it runs").users as usize != CONTENTS + 1 {
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(LONG, back).await.expect("all come back");
    for number in 0..CONTENTS {
        let hits = find(&seeker, &format!("number{number}"), 3).await;
        let target = folder.path().join(format!("fetched-{number}"));
        let fetched = seeker.fetch(Wanted::of(&hits[0], &hits), &target, watch::Sender::default());
        let fetched = timeout(LONG, fetched).await.expect("in time").expect("fetched");
        assert!(fetched.verified, "{number}");
    }
    server.stop().await;
}
