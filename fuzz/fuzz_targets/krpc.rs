//! KRPC: no datagram upsets the reader, what it reads is written back the same, and a node that
//! is told it neither panics nor says more than a datagram holds.
#![no_main]

use std::cell::RefCell;
use std::sync::Arc;

use dht::kademlia::krpc::{DATAGRAM_MAX, Packet};
use dht::kademlia::{Config, Kademlia, Peer};
use libfuzzer_sys::fuzz_target;
use machine::dht::Key;
use machine::{Cx, DatagramMachine, Instant, Outbox, Output, Rng, Wire};

thread_local! {
    /// One node for all inputs, so that what they leave behind adds up.
    static NODE: RefCell<(Kademlia<Peer>, Rng, u64)> = {
        let mut rng = Rng::new(1);
        let peer = |n: u32| {
            let mut id = [0; 20];
            rng.fill(&mut id);
            Peer { id: Key(id), addr: (core::net::Ipv4Addr::from_bits(n << 12), 6_881).into() }
        };
        let mut peers: Vec<Peer> = (1..200).map(peer).collect();
        let me = peers.remove(0);
        let config = Config { host_rate: None, ..Config::mainline(|item| item.seq % 2 == 0) };
        RefCell::new((Kademlia::wired(me, Arc::new(config), [1; 16], peers), Rng::new(2), 0))
    };
}

fuzz_target!(|data: &[u8]| {
    let Ok(packet) = Packet::decode(data) else { return };
    let mut written = Vec::new();
    packet.encode(&mut written);
    let again = Packet::decode(&written).expect("what is written can be read");
    assert_eq!(again.message.transaction, packet.message.transaction);
    let mut rewritten = Vec::new();
    again.encode(&mut rewritten);
    assert_eq!(written, rewritten);
    NODE.with_borrow_mut(|(node, rng, turn)| {
        *turn += 1;
        let now = Instant::from_nanos(*turn * 1_000_000_000);
        let addr = (core::net::Ipv4Addr::from_bits((*turn as u32 % 97) << 8 | 1), 1).into();
        let mut outbox = Outbox::new();
        node.on_message(packet.from(addr), packet.message, &mut Cx::new(now, rng, &mut outbox));
        for output in outbox.drain() {
            if let Output::Effect(send) = output {
                let mut bytes = Vec::new();
                Packet::new(node.me().id, send.to.addr, send.message).encode(&mut bytes);
                assert!(bytes.len() <= DATAGRAM_MAX, "{} bytes", bytes.len());
            }
        }
        for index in 0..node.table().depth() {
            assert!(node.table().bucket(index).count() <= node.config().k);
        }
    });
});
