//! One file that several networks have, or a network and a torrent, fetched from all of them at once, of
//! which each brings a part.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use codec::base32;
use common::{Home, PATIENCE, await_state, magnet_to, publish};
use net::napster::server::{Server, ServerConfig};
use node::networks::Standing;
use node::view::State;
use node::{Node, NodeError, SearchQuery, SearchResult, Told};
use tokio::sync::oneshot;

const LEN: usize = 16 << 20;
const NAME: &str = "amber lagoon.bin";

/// Makes a node part of a network; says where it listens.
fn joined(node: &Node, network: &str, known: Vec<String>) -> String {
    let loopback = Some((Ipv4Addr::LOCALHOST, 0).into());
    let joined = node.join_network(network, known, loopback).expect("joins");
    joined.addresses.first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn what_three_networks_have_is_one_row_and_one_fetch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listen = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let server = runtime.block_on(Server::bind(ServerConfig::new(listen))).expect("a server");
    let index = server.address().expect("an address").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = std::thread::spawn(move || {
        runtime.block_on(server.run(async { drop(stopped.await) })).map(drop)
    });

    // Each of three is in a network of its own, and the fourth in all.
    let homes: Vec<Home> = (0..4).map(|_| Home::new()).collect();
    let nodes: Vec<_> = homes.iter().map(Home::start).collect();
    let seeker = &nodes[3];
    for (node, role) in [(&nodes[0], "ultrapeer"), (seeker, "leaf")] {
        node.change_settings(&[("gnutella.role".to_owned(), Some(role.into()))]).expect("set");
    }
    for (home, node) in homes.iter().zip(&nodes).take(3) {
        home.make_files("shared", &[(NAME, LEN)]);
        let library = node.library().expect("it runs");
        library.add(&home.path("shared")).expect("shared");
        assert!(library.wait_until(PATIENCE, |status| status.files == 1 && status.is_settled()));
    }
    for (node, network) in nodes.iter().zip(["gnutella", "fasttrack"]) {
        let known = vec![joined(node, network, Vec::new())];
        joined(seeker, network, known);
    }
    for node in &nodes[2..] {
        joined(node, "napster", vec![index.clone()]);
    }
    let all = ["gnutella", "fasttrack", "napster"];
    let now = |node: &Node, network: &str| node.network(network, None).expect("known").network;
    let is_up = |network: &&str| now(seeker, network).state == Standing::Up;
    let deadline = Instant::now() + PATIENCE;
    while !all.iter().all(is_up) || now(&nodes[1], "fasttrack").detail["directory"] != 1 {
        assert!(Instant::now() < deadline, "nobody is there");
        std::thread::yield_now();
    }
    // Only this server has to be told what another node shares.
    row_of(seeker, "amber lagoon network:napster", &all[2..]);
    let found = row_of(seeker, "amber lagoon", &all);
    let places = |network: &&str| found.found.iter().filter(|at| at.network == **network).count();
    assert_eq!(all.each_ref().map(places), [1, 1, 1], "{found:?}");

    let begun = seeker.fetch_found(&found, None).expect("begun");
    let done = await_state(seeker, &begun.id, State::Finished);
    let path = done.dir.join(done.name.expect("a name"));
    let original = std::fs::read(homes[0].path("shared").join(NAME)).expect("there");
    assert!(std::fs::read(path).expect("fetched") == original);
    // Each brought a part: what the first two did not give, the third did.
    let given = [(&nodes[0], "gnutella"), (&nodes[1], "fasttrack")]
        .map(|(node, network)| now(node, network).detail["given"].as_u64().expect("a number"));
    assert!(given[0] > 0 && given[1] > 0 && given[0] + given[1] < LEN as u64, "{given:?}");
    nodes.iter().for_each(|node| node.shutdown());
    drop(stop);
    serving.join().expect("it does not panic").expect("it ran");
}

/// Puts files of this length in a node's library.
fn share(home: &Home, node: &Node, files: &[(&str, usize)]) {
    home.make_files("shared", files);
    let library = node.library().expect("it runs");
    library.add(&home.path("shared")).expect("shared");
    let is_known = library
        .wait_until(PATIENCE, |status| status.files == files.len() as u64 && status.is_settled());
    assert!(is_known);
}

/// The link of a torrent, and the SHA-1 beside it.
fn with_sha1(link: &str, found: &SearchResult) -> String {
    let sha1 = found.content.sha1.as_deref().and_then(codec::hex::decode::<20>);
    format!("{link}&xt=urn:sha1:{}", base32::encode(&sha1.expect("known")))
}

#[test]
fn a_torrent_and_a_network_bring_one_file_which_is_shared_on_as_the_torrent() {
    let homes: Vec<Home> = (0..3).map(|_| Home::new()).collect();
    let nodes: Vec<_> = homes.iter().map(Home::start).collect();
    let [giver, seeder, seeker] = &nodes[..] else { panic!("three nodes") };
    for (node, role) in [(giver, "ultrapeer"), (seeker, "leaf")] {
        node.change_settings(&[("gnutella.role".to_owned(), Some(role.into()))]).expect("set");
    }
    // Slow enough that the other has the time to bring something.
    let limit = [("transfers.upload_limit".to_owned(), Some((4 << 20).into()))];
    seeder.change_settings(&limit).expect("set");
    share(&homes[0], giver, &[(NAME, LEN), ("quiet reef.bin", 100_000)]);
    homes[1].make_files("shared", &[(NAME, LEN)]);
    let infohash = publish(seeder, &homes[1].path("shared").join(NAME));
    let known = vec![joined(giver, "gnutella", Vec::new())];
    joined(seeker, "gnutella", known);
    let found = row_of(seeker, "amber lagoon", &["gnutella"]);
    let link = with_sha1(&magnet_to(seeder, &infohash), &found);

    let begun = seeker.fetch_link(&link, None).expect("begun");
    assert_eq!((begun.network.as_deref(), begun.bytes_total), (Some("gnutella"), LEN as u64));
    let again = seeker.fetch_link(&link, None);
    assert!(matches!(&again, Err(NodeError::Duplicate(id)) if *id == begun.id), "{again:?}");
    let done = await_state(seeker, &begun.id, State::Seeding);
    assert_eq!((&done.id, done.name.as_deref()), (&infohash, Some(NAME)));
    let original = std::fs::read(homes[0].path("shared").join(NAME)).expect("there");
    assert!(std::fs::read(done.dir.join(NAME)).expect("fetched") == original);
    let given = giver.network("gnutella", None).expect("known").network.detail["given"].as_u64();
    let uploaded = seeder.get(&infohash).expect("there").progress.uploaded;
    let given = given.expect("a number");
    assert!(given > 0 && given < LEN as u64 && uploaded > 0, "{given} and {uploaded}");
    let left: Vec<_> = std::fs::read_dir(&done.dir).expect("there").collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let again = seeker.fetch_link(&link, None);
    assert!(matches!(&again, Err(NodeError::Duplicate(id)) if *id == infohash), "{again:?}");

    // Nobody has this torrent, and the network does without.
    let found = row_of(seeker, "quiet reef", &["gnutella"]);
    let dead = with_sha1(&format!("magnet:?xt=urn:btih:{}&dn=reef", "ab".repeat(20)), &found);
    let begun = seeker.fetch_link(&dead, None).expect("begun");
    let done = await_state(seeker, &begun.id, State::Finished);
    assert_eq!((done.id, done.name.as_deref()), (begun.id, Some("reef")));
    // This torrent is another file: once that has come, the network does without it.
    let reef = std::fs::read(homes[0].path("shared").join("quiet reef.bin")).expect("there");
    let other: Vec<u8> = reef.iter().map(|byte| !byte).collect();
    std::fs::write(homes[1].path("shared").join("other.bin"), other).expect("written");
    let other = publish(seeder, &homes[1].path("shared").join("other.bin"));
    let begun = seeker.fetch_link(&with_sha1(&magnet_to(seeder, &other), &found), None);
    let done = await_state(seeker, &begun.expect("begun").id, State::Finished);
    assert!(std::fs::read(done.dir.join(done.name.expect("a name"))).expect("fetched") == reef);
    // Nobody in the network has this, and the torrent does without.
    homes[1].make_files("shared", &[("alone.bin", 100_000)]);
    let infohash = publish(seeder, &homes[1].path("shared").join("alone.bin"));
    let alone = format!("{}&xt=urn:sha1:{}", magnet_to(seeder, &infohash), "A".repeat(32));
    let done = seeker.fetch_link(&alone, None).expect("begun");
    assert_eq!(done.id, infohash);
    await_state(seeker, &done.id, State::Seeding);
    nodes.iter().for_each(|node| node.shutdown());
}

/// The row of a search that all of these networks have answered.
fn row_of(node: &Node, words: &str, networks: &[&str]) -> SearchResult {
    let query = SearchQuery { words: words.to_owned(), limit: 10 };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut row = None;
        let asked = node.search(&query, &mut |told| match told {
            Told::Result(_, result) => {
                let at = |network: &&str| result.found.iter().any(|at| at.network == **network);
                if networks.iter().all(at) {
                    row = Some(result.clone());
                    return ControlFlow::Break(());
                }
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        });
        asked.expect("it runs");
        if let Some(row) = row {
            return row;
        }
        assert!(Instant::now() < deadline, "{networks:?}");
        // Whoever asks a server of Napster more often is made to wait.
        std::thread::park_timeout(Duration::from_millis(250));
    }
}
