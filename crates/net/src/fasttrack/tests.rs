//! Nodes on this host, with real sockets and files: who is elected, what is found while supernodes
//! end, and what is fetched.

use std::future::Future;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Instant;

use search::fasttrack::{Bar, SEARCHES_MAX};
use tokio::task::LocalSet;

use super::*;

/// No wait is longer, also on a machine with much else to do.
const PATIENCE: Duration = Duration::from_secs(60);
const NODES: u8 = 12;
/// Leaves at which a supernode calls another.
const LEAVES_HIGH: usize = 6;

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.expect("a runtime"), async {
        timeout(4 * PATIENCE, test).await.expect("it ends in time");
    });
}

/// Waits until a node is as it should be.
async fn until(node: &Node, what: &str, is: impl Fn(&Picture) -> bool) -> Picture {
    let began = Instant::now();
    loop {
        let picture = node.look().await.expect("it runs");
        if is(&picture) {
            return picture;
        }
        assert!(began.elapsed() < PATIENCE, "{what}: {picture:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    /// A node at 127.6.0.`host`: each is in a network of its own.
    fn start(&self, host: u8) -> Node {
        self.start_as(host, |_| ())
    }

    /// The same, with other settings.
    fn start_as(&self, host: u8, change: impl FnOnce(&mut Config)) -> Node {
        let key = SigningKey::load_or_make(&self.path(&format!("key{host}"))).expect("a key");
        let mut config = Config::new((Ipv4Addr::new(127, 6, 0, host), 0).into());
        let quick = Rules::responsive(network_of);
        config.rules = Rules {
            silence: Duration::from_secs(2),
            leaves_high: LEAVES_HIGH,
            bar: Bar { uptime: Duration::from_secs(1), ..quick.bar },
            // As if all had been there for long.
            vouch_after: Duration::ZERO,
            search_for: 4 * PATIENCE,
            search_again: Duration::from_millis(500),
            ..quick
        };
        change(&mut config);
        Node::start(config, key).expect("a node")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make(&self, folder: &str, name: &str, len: usize) -> PathBuf {
        std::fs::create_dir_all(self.path(folder)).expect("a folder");
        let path = self.path(folder).join(name);
        // Files of different names differ.
        let letters = name.bytes().cycle();
        let bytes: Vec<u8> = (0..len as u32)
            .zip(letters)
            .map(|(n, letter)| ((n * 31) >> 3) as u8 ^ letter)
            .collect();
        std::fs::write(&path, bytes).expect("a file");
        path
    }
}

async fn find(node: &Node, words: &str, sources: usize) -> Want {
    let mut search = node.search(words).await.expect("it runs");
    let mut wanted: Option<Want> = None;
    let found = async {
        while wanted.as_ref().is_none_or(|want| want.sources.len() < sources) {
            let hit = search.next().await.expect("more hits");
            let new = want(&hit);
            match &mut wanted {
                Some(want) => want.sources.extend(new.sources),
                None => wanted = Some(new),
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("nobody has {words}"));
    wanted.expect("found")
}

async fn fetch(node: &Node, want: Want, to: &Path) -> Fetched {
    let fetched = node.fetch(want, to, watch::Sender::default());
    timeout(PATIENCE, fetched).await.expect("in time").expect("fetched")
}

#[test]
fn who_uploads_is_elected_and_searches_outlive_their_supernode() {
    run(async {
        let place = Place::new();
        let founder = place.start(1);
        assert!(founder.join(&[]).await);
        let known = [founder.address()];
        let nodes: Vec<Node> = (2..=NODES).map(|host| place.start(host)).collect();
        for (number, node) in nodes.iter().enumerate() {
            assert!(node.join(&known).await);
            let path = place.make("shared", &format!("song of node{number}.ogg"), 300_000);
            node.publish(&path, Kind::Audio).await.expect("shared");
        }
        let count = nodes.len();
        until(&founder, "everything is listed", |now| now.directory == count).await;

        // Whoever uploads to different networks is elected, and takes leaves over.
        let server = &nodes[0];
        for (number, node) in nodes.iter().enumerate().skip(1).take(4) {
            let want = find(node, "node0", 1).await;
            let to = place.path(&format!("got{number}"));
            let fetched = fetch(node, want, &to).await;
            assert!(fetched.by_hashes && fetched.from[0].identity == Some(server.id().0));
            assert_eq!(
                std::fs::read(&to).ok(),
                std::fs::read(place.path("shared/song of node0.ogg")).ok()
            );
        }
        until(server, "it uploads", |now| now.vouchers >= 2).await;
        until(server, "it is elected", |now| {
            now.role == Role::Supernode && !now.leaves.is_empty() && !now.others.is_empty()
        })
        .await;
        let elected = nodes.iter().skip(1);
        for node in elected {
            assert_ne!(node.look().await.expect("it runs").role, Role::Supernode);
        }

        // Leaves of either find what leaves of the other share.
        let mut at_founder = None;
        for node in &nodes[1..] {
            let now = until(node, "it has a supernode", |now| now.supernode.is_some()).await;
            if now.supernode == Some(founder.address()) {
                at_founder = Some(node);
            }
            find(node, "song", count - 1).await;
        }

        // A search that runs while its supernode ends finds what is shared later elsewhere.
        let asker = at_founder.expect("a leaf stayed");
        let mut search = asker.search("heron").await.expect("it runs");
        for node in &nodes[1..] {
            until(node, "it knows others", |now| !now.others.is_empty()).await;
        }
        drop(founder);
        let heir = server.address();
        for node in &nodes[1..] {
            until(node, "it has fled", |now| now.supernode == Some(heir)).await;
        }
        let sharers: Vec<&Node> =
            nodes.iter().filter(|node| node.address() != asker.address()).take(2).collect();
        for (number, node) in sharers.iter().enumerate() {
            let path = place.make(&format!("late{number}"), "grey heron.ogg", 2_000_000);
            node.publish(&path, Kind::Audio).await.expect("shared");
        }
        let hit = timeout(PATIENCE, search.next()).await.expect("in time");
        assert_eq!(&*hit.expect("a hit").file.name, "grey heron.ogg");

        // Both give parts of it: the one that was found, and the one that is found by the hash.
        let mut want = find(asker, "heron", 2).await;
        want.sources.truncate(1);
        let to = place.path("heron");
        let fetched = fetch(asker, want, &to).await;
        assert_eq!(fetched.from.iter().map(|gave| gave.bytes).sum::<u64>(), 2_000_000);
        assert_eq!(fetched.from.len(), 2, "{fetched:?}");
        assert_eq!(std::fs::read(&to).ok(), std::fs::read(place.path("late0/grey heron.ogg")).ok());

        // What was earned is still there after a restart, for nobody else.
        let earned = server.look().await.expect("it runs").vouchers;
        let kept = server.vouchers().await.expect("it runs");
        for (host, vouchers) in [(2, earned), (3, 0)] {
            let again = place.start_as(host, |config| config.vouchers = kept.clone());
            assert_eq!(again.look().await.expect("it runs").vouchers, vouchers);
        }
    });
}

#[test]
fn what_is_no_longer_shared_is_found_and_given_no_longer() {
    run(async {
        let place = Place::new();
        let (hub, sharer, asker) = (place.start(21), place.start(22), place.start(23));
        hub.serve(&[]).await;
        for node in [&sharer, &asker] {
            assert!(node.join(&[hub.address()]).await);
        }
        let path = place.make("shared", "amber.txt", 70_000);
        let hash = sharer.publish(&path, Kind::Document).await.expect("shared");
        let want = find(&asker, "amber", 1).await;
        // The file is not what it was: its blocks do not hash to what the directory says.
        let mut bytes = std::fs::read(&path).expect("there");
        bytes[60_000] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        let to = place.path("got");
        let fetched = asker.fetch(want.clone(), &to, watch::Sender::default()).await;
        assert!(matches!(fetched, Err(FetchError::Corrupt | FetchError::NoSource { .. })));
        assert!(!to.exists());
        sharer.unpublish(hash.sha1);
        until(&hub, "nothing is listed", |now| now.directory == 0).await;
        let fetched = asker.fetch(want.clone(), &to, watch::Sender::default()).await;
        assert!(matches!(fetched, Err(FetchError::NoSource { .. })), "{fetched:?}");
        // Whom nobody is named waits no longer than directories take.
        let (began, nobody) = (Instant::now(), Want { sources: Vec::new(), ..want });
        let fetched = asker.fetch(nobody, &to, watch::Sender::default()).await;
        assert!(matches!(fetched, Err(FetchError::NoSource { .. })), "{fetched:?}");
        assert!(began.elapsed() < 2 * SEEKING, "{:?}", began.elapsed());
        // A goodbye is heard at once.
        sharer.leave().await;
        until(&hub, "it is gone", |now| now.leaves == [asker.address()]).await;
    });
}

#[test]
fn a_leaf_that_nobody_can_connect_to_gives_when_it_is_called() {
    run(async {
        let place = Place::new();
        let (hub, other) = (place.start(51), place.start(52));
        hub.serve(&[other.address()]).await;
        other.serve(&[hub.address()]).await;
        until(&hub, "they are linked", |now| now.others == [other.address()]).await;
        let hidden = place.start_as(53, |config| config.firewalled = true);
        assert!(hidden.join(&[hub.address()]).await);
        let path = place.make("shared", "hidden pearl.ogg", 700_000);
        hidden.publish(&path, Kind::Audio).await.expect("shared");
        let leaf = place.start(54);
        assert!(leaf.join(&[other.address()]).await);
        assert!(TcpStream::connect(hidden.address()).await.is_err());
        // A leaf of another supernode, that supernode, and its own.
        for (number, taker) in [&leaf, &other, &hub].into_iter().enumerate() {
            let want = find(taker, "pearl", 1).await;
            let to = place.path(&format!("got{number}"));
            let fetched = fetch(taker, want, &to).await;
            let gave = fetched.from.iter().map(|gave| (gave.addr, gave.bytes, gave.identity));
            let all = (hidden.address(), 700_000, Some(hidden.id().0));
            assert!(fetched.by_hashes && gave.eq([all]), "{fetched:?}");
            assert_eq!(std::fs::read(&to).ok(), std::fs::read(&path).ok());
        }
    });
}

#[test]
fn searches_that_nobody_listens_to_make_room_for_others() {
    run(async {
        let place = Place::new();
        let (hub, asker) = (place.start(41), place.start(42));
        hub.serve(&[]).await;
        assert!(asker.join(&[hub.address()]).await);
        let path = place.make("shared", "grey heron.ogg", 1_000);
        hub.publish(&path, Kind::Audio).await.expect("shared");
        for _ in 0..2 * SEARCHES_MAX {
            drop(asker.search("nothing").await.expect("it runs"));
        }
        find(&asker, "heron", 1).await;
    });
}

#[test]
fn nodes_that_name_each_other_serve_together() {
    run(async {
        let place = Place::new();
        let (one, other) = (place.start(31), place.start(32));
        one.serve(&[other.address()]).await;
        other.serve(&[one.address()]).await;
        for (node, to) in [(&one, &other), (&other, &one)] {
            let linked = |now: &Picture| now.others == [to.address()];
            let now = until(node, "they are linked", linked).await;
            assert_eq!(now.role, Role::Supernode);
        }
        // Nobody else's claim counts.
        let stranger = place.start(33);
        stranger.serve(&[one.address()]).await;
        let leaf = place.start(34);
        assert!(leaf.join(&[one.address()]).await);
        until(&one, "a leaf comes", |now| now.leaves == [leaf.address()]).await;
        assert!(stranger.look().await.expect("it runs").others.is_empty());
        assert_eq!(one.look().await.expect("it runs").others, [other.address()]);
    });
}
