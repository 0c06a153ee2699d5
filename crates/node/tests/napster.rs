//! A node at a server of Napster, as the facade has it: logged in, shared with, searched, fetched from.

mod common;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use common::{Home, PATIENCE, find_in};
use net::napster::server::{Server, ServerConfig};
use node::networks::Standing;
use node::view::State;
use tokio::sync::oneshot;

#[test]
fn what_one_library_shares_another_node_finds_and_fetches() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let listen = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let server = runtime.block_on(Server::bind(ServerConfig::new(listen))).expect("a server");
    let address = server.address().expect("an address").to_string();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = std::thread::spawn(move || {
        runtime.block_on(server.run(async { drop(stopped.await) })).map(drop)
    });

    let homes: Vec<Home> = (0..2).map(|_| Home::new()).collect();
    let nodes: Vec<_> = homes.iter().map(Home::start).collect();
    let loopback = Some(listen.into());
    assert!(nodes[0].join_network("napster", Vec::new(), loopback).is_err(), "without a server");
    for node in &nodes {
        let joined = node.join_network("napster", vec![address.clone()], loopback).expect("joins");
        assert!(joined.can_leave && !joined.can_join);
        assert!(node.join_network("napster", Vec::new(), loopback).is_err(), "twice");
    }
    homes[0].make_files("shared", &[("amber lagoon.bin", 70_000)]);
    nodes[0].library().expect("it runs").add(&homes[0].path("shared")).expect("shared");
    let found = find_in(&nodes[1], "napster", "amber lagoon");
    assert_eq!((found.name.as_str(), found.length), ("amber lagoon.bin", 70_000));
    assert!(found.content.sha1.is_some());
    assert_eq!(nodes[1].network("napster", None).expect("known").network.state, Standing::Up);

    let transfer = nodes[1].fetch_found(&found, None).expect("begun");
    let deadline = Instant::now() + PATIENCE;
    let fetched = loop {
        let now = nodes[1].get(&transfer.id).expect("there");
        if now.state == State::Finished {
            break now;
        }
        assert!(Instant::now() < deadline, "{now:?}");
        std::thread::yield_now();
    };
    let path = fetched.dir.join(fetched.name.expect("a name"));
    let original = std::fs::read(homes[0].path("shared/amber lagoon.bin")).expect("there");
    assert!(std::fs::read(path).expect("fetched") == original);

    assert_eq!(nodes[1].leave_network("napster").expect("left").state, Standing::Off);
    nodes.iter().for_each(|node| node.shutdown());
    drop(nodes);
    // It logs in again, under the same name, when it next runs.
    let again = homes[0].start();
    let network = again.network("napster", None).expect("known").network;
    assert!(network.can_leave, "{network:?}");
    let account = std::fs::read_to_string(homes[0].path("state/napster-account")).expect("kept");
    let nick = network.detail["nick"].as_str().expect("a name").to_owned();
    assert!(account.starts_with(&format!("{nick} ")), "{account}");
    again.shutdown();
    drop(stop);
    serving.join().expect("it does not panic").expect("it ran");
}
