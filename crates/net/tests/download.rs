//! One download in which hosts of three networks take part, over real sockets.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::time::Duration;

use net::download::{Download, Hashes};
use net::fasttrack::{self, SigningKey};
use net::gnutella::{self, From, Mode, SharedFile, Want};
use net::napster::client::{Client, ClientConfig, LocalFile, Source, Wanted};
use net::napster::server::{Server, ServerConfig};
use search::napster::{FileHash, LinkSpeed, MediaType, Nick, SharedFile as Listed, Text};
use tokio::sync::{oneshot, watch};
use tokio::task::LocalSet;
use tokio::time::timeout;

const LEN: usize = 16 << 20;
const ANY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
/// No wait is longer.
const LONG: Duration = Duration::from_secs(60);

fn servent() -> gnutella::Node {
    gnutella::Node::start(gnutella::Config::new(ANY.into(), Mode::Leaf)).expect("a servent")
}

fn supernode(folder: &Path, host: u8) -> fasttrack::Node {
    let key = SigningKey::load_or_make(&folder.join(format!("key{host}"))).expect("a key");
    let listen = SocketAddr::from(([127, 7, 0, host], 0));
    fasttrack::Node::start(fasttrack::Config::new(listen), key).expect("a node")
}

async fn client(server: SocketAddr, name: &str) -> Client {
    let config = ClientConfig {
        server,
        nick: Nick::new(name.as_bytes()).expect("a name"),
        password: "secret".into(),
        register: None,
        listen: ANY,
        firewalled: false,
        link: LinkSpeed::default(),
        upload_slots: 4,
    };
    Client::join(config).await.expect("joins")
}

/// A file of which no two blocks are alike.
fn make(path: &Path) -> Vec<u8> {
    let word = |n: usize| (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    let bytes: Vec<u8> = (0..LEN / 8).flat_map(word).collect();
    std::fs::write(path, &bytes).expect("written");
    bytes
}

async fn each_network_brings_a_part(folder: PathBuf) {
    let path = folder.join("amber lagoon.bin");
    let bytes = make(&path);
    // One giver and one taker in each network.
    let (servents, nodes) =
        ([servent(), servent()], [supernode(&folder, 1), supernode(&folder, 2)]);
    let file: SharedFile = servents[0].publish(&path).await.expect("shared");
    nodes[0].publish(&path, fasttrack::Kind::Other).await.expect("shared");
    let server = Server::bind(ServerConfig::new(ANY)).await.expect("a server");
    let index = server.address().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.run(async { drop(stopped.await) }));
    let (giver, taker) = (client(index, "giver").await, client(index, "taker").await);
    let name = Text::from("amber lagoon.bin");
    let hash = FileHash::Sha1(file.sha1.0);
    let shared = Listed::new(name.clone(), hash, file.len, MediaType::Application);
    giver.publish(vec![LocalFile { path: path.clone(), shared }]).await;

    let want = |addr| Want {
        sha1: file.sha1,
        len: file.len,
        tree: file.tree,
        sources: vec![From { addr, push: None }],
    };
    let wants = [want(servents[0].address()), want(nodes[0].address())];
    let source = Source { nick: Nick::new(b"giver").expect("a name"), name };
    let wanted = Wanted { hash, size: file.len, sources: vec![source] };
    let tree = nodes[1].tree(&wants[1]).await;
    assert!(tree.is_some(), "the supernode's hosts know it");
    let to = folder.join("taken");
    let told = watch::Sender::default();
    let download =
        Download::open(&wants[0], tree.map(Hashes::Tiger), &to, told).await.expect("begun");
    let brought = async {
        tokio::join!(
            servents[1].bring(&wants[0], &download),
            nodes[1].bring(&wants[1], &download),
            taker.bring(&wanted, &download),
        )
    };
    let (by_servent, by_node, by_user) = timeout(LONG, brought).await.expect("in time");
    let (by_servent, by_node) = (by_servent.expect("brought"), by_node.expect("brought"));
    let given = [by_servent, by_node].map(|fetched| {
        assert_eq!((fetched.by_hashes, fetched.bad_blocks), (true, 0));
        // Hosts tell each other who else has it.
        fetched.from.iter().map(|gave| gave.bytes).sum::<u64>()
    });
    let rest = file.len - given[0] - given[1];
    assert!(given[0] > 0 && given[1] > 0 && rest > 0, "{given:?} and {rest}");
    assert_eq!(by_user.expect("brought"), [Nick::new(b"giver").expect("a name")]);
    assert!(download.is_complete() && !to.exists());
    download.finish().await.expect("verified");
    assert!(std::fs::read(&to).expect("there") == bytes);
    assert!(!folder.join("taken.part-map").exists());
    drop((giver, taker, stop));
    serving.await.expect("no panic").expect("it ran");
}

#[test]
fn hosts_of_three_networks_bring_one_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(
        &runtime.expect("a runtime"),
        each_network_brings_a_part(folder.path().to_owned()),
    );
}
