//! What strangers may send to a socket that speaks uTP, and what little comes of it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bittorrent::utp::packet::{HEADER_LEN, Header, Kind};
use bittorrent::utp::{Batch, Config, Handle, Mux, Packet, SeqNr};
use machine::{Instant, Rng};

const START: Instant = Instant::from_nanos(1_000_000_000);

fn address(host: u32) -> SocketAddr {
    (Ipv4Addr::from(0xc633_6400 + host), 6_881).into()
}

fn header(kind: Kind, connection_id: u16, seq_nr: SeqNr, ack_nr: SeqNr) -> Header {
    Header {
        kind,
        connection_id,
        timestamp: 1,
        timestamp_difference: 1_000,
        window: 1 << 20,
        seq_nr,
        ack_nr,
    }
}

fn packet(header: Header, payload: &[u8]) -> Vec<u8> {
    let mut out = [0; HEADER_LEN];
    header.write(&mut out);
    [&out[..], payload].concat()
}

/// One socket, the datagrams it sends, and the moment.
struct Node {
    mux: Mux,
    now: Instant,
    batch: Batch,
}

impl Node {
    fn new(config: Config) -> Self {
        Self { mux: Mux::new(config, Rng::new(7)), now: START, batch: Batch::new(1 << 20) }
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        self.mux.on_datagram(self.now, from, datagram).unwrap();
        self.sent()
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        assert!(!self.mux.transmit(self.now, &mut self.batch), "one batch holds it all");
        let sent = self.batch.datagrams().map(|(_, bytes)| bytes.to_vec()).collect();
        self.batch.clear();
        sent
    }

    /// Opens a connection from `address(1)`; returns it, and the header of the first answer.
    fn accept(&mut self) -> (Handle, Header) {
        let syn = packet(header(Kind::Syn, 500, SeqNr(9), SeqNr(0)), &[]);
        let answers = self.receive(address(1), &syn);
        let answer = Packet::parse(&answers[0]).unwrap().header;
        let first = header(Kind::Data, 501, SeqNr(10), answer.seq_nr.prev());
        self.receive(address(1), &packet(first, b"hello"));
        (self.mux.accept().expect("the ack proves the address"), answer)
    }
}

#[test]
fn ut_03_a_forged_syn_brings_its_victim_no_more_than_it_cost() {
    // Without the extension, with it alone, and as our own programs send it.
    let own = [0x4d, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0xff, 0xff];
    for (first, extension) in [(0, &[][..]), (0x4d, &[0, 2, 0xff, 0xff]), (2, &own)] {
        let mut node = Node::new(Config::default());
        let mut syn = packet(header(Kind::Syn, 500, SeqNr(9), SeqNr(0)), extension);
        syn[1] = first;
        let mut answered: usize = node.receive(address(1), &syn).iter().map(Vec::len).sum();
        assert!((1..=syn.len()).contains(&answered), "{answered} bytes for {}", syn.len());
        // Whatever time passes, nothing follows.
        for _ in 0..600 {
            node.now = node.now + Duration::from_secs(1);
            node.mux.on_timeout(node.now);
            answered += node.sent().iter().map(Vec::len).sum::<usize>();
        }
        assert!(answered <= syn.len());
        assert_eq!((node.mux.len(), node.mux.next_timeout()), (0, None));
    }
}

#[test]
fn ut_03_who_does_not_know_the_answer_opens_nothing() {
    let mut node = Node::new(Config::default());
    let syn = packet(header(Kind::Syn, 500, SeqNr(9), SeqNr(0)), &[]);
    let answer = Packet::parse(&node.receive(address(1), &syn)[0]).unwrap().header;
    for wrong in [0, 1, 2, 100, 30_000] {
        let guess = header(Kind::Data, 501, SeqNr(10), answer.seq_nr.plus(wrong));
        assert_eq!(node.receive(address(1), &packet(guess, &[0; 900])), [[0u8; 0]; 0]);
    }
    assert_eq!((node.mux.len(), node.mux.accept()), (0, None));
}

#[test]
fn ut_03_packets_of_no_connection_are_answered_by_few_and_short_resets() {
    let mut node = Node::new(Config::default());
    let mut resets = 0;
    for n in 0..5_000u16 {
        let stray = packet(header(Kind::Data, n, SeqNr(1), SeqNr(1)), b"x");
        for answer in node.receive(address(u32::from(n)), &stray) {
            assert!(answer.len() <= stray.len());
            assert_eq!(Packet::parse(&answer).unwrap().header.kind, Kind::Reset);
            resets += 1;
        }
        let reset = packet(header(Kind::Reset, n, SeqNr(1), SeqNr(1)), &[]);
        assert!(node.receive(address(1), &reset).is_empty(), "resets are never answered");
    }
    assert_eq!(resets, 100, "within a second");
}

#[test]
fn ut_04_acknowledgements_of_what_was_never_sent_are_dropped() {
    let mut node = Node::new(Config::default());
    let (handle, answer) = node.accept();
    node.mux.with(handle, |c| c.write(&[7; 100_000])).unwrap();
    let sent = node.sent().len() as u16;
    assert!(sent >= 2);
    let newest = answer.seq_nr.plus(sent - 1);
    let before = node.mux.connection(handle).unwrap().congestion_window();
    for ahead in [1, 2, 100, 1_000, 20_000, 32_768] {
        let state = header(Kind::State, 501, SeqNr(11), newest.plus(ahead));
        assert_eq!(node.receive(address(1), &packet(state, &[])), [[0u8; 0]; 0], "{ahead}");
    }
    let connection = node.mux.connection(handle).unwrap();
    assert!(connection.is_open());
    assert_eq!(connection.congestion_window(), before);
    // The same packet twice moves nothing either; one that is true does.
    let state = packet(header(Kind::State, 501, SeqNr(11), newest), &[]);
    assert!(!node.receive(address(1), &state).is_empty());
    let after = node.mux.connection(handle).unwrap().congestion_window();
    assert!(after > before);
    node.receive(address(1), &state);
    assert_eq!(node.mux.connection(handle).unwrap().congestion_window(), after);
}

#[test]
fn ut_06_a_reset_must_know_the_connection() {
    let mut node = Node::new(Config::default());
    let (handle, answer) = node.accept();
    let known = answer.seq_nr.prev();
    for (from, id, ack_nr) in [
        (1, 499, known),
        (1, 502, known),
        (1, 7, known),
        (2, 501, known),
        (2, 500, known),
        (1, 501, known.plus(5)),
        (1, 501, known.plus(40_000)),
    ] {
        let reset = packet(header(Kind::Reset, id, SeqNr(1), ack_nr), &[]);
        node.receive(address(from), &reset);
        assert!(node.mux.connection(handle).unwrap().is_open(), "{from} {id} {ack_nr:?}");
    }
    // Its own number, or the one it gave us, as an end that has forgotten it knows no other.
    for id in [501, 500] {
        let mut node = Node::new(Config::default());
        let (handle, answer) = node.accept();
        let reset = header(Kind::Reset, id, SeqNr(1), answer.seq_nr.prev());
        node.receive(address(1), &packet(reset, &[]));
        assert!(node.mux.close_reason(handle).is_some(), "{id}");
    }
}

#[test]
fn ut_07_a_flood_of_syns_opens_no_connection_and_locks_nobody_out() {
    let mut node = Node::new(Config::default());
    let mut rng = Rng::new(1);
    for _ in 0..20_000 {
        let id = rng.next_u32() as u16;
        let syn = header(Kind::Syn, id, SeqNr(rng.next_u32() as u16), SeqNr(0));
        let from = address(2 + rng.next_u32() % 1_000_000);
        node.receive(from, &packet(syn, &[]));
    }
    assert_eq!((node.mux.len(), node.mux.accept()), (0, None));
    node.accept();
}

#[test]
fn ut_07_connections_that_nobody_accepts_are_bounded() {
    let config = Config { max_backlog: 3, ..Config::default() };
    let mut node = Node::new(config);
    for host in 0..10 {
        let syn = packet(header(Kind::Syn, 500, SeqNr(9), SeqNr(0)), &[]);
        let answer = Packet::parse(&node.receive(address(host), &syn)[0]).unwrap().header;
        let first = header(Kind::Data, 501, SeqNr(10), answer.seq_nr.prev());
        let answers = node.receive(address(host), &packet(first, b"hello"));
        let kind = Packet::parse(&answers[0]).unwrap().header.kind;
        assert_eq!(kind, if host < 3 { Kind::State } else { Kind::Reset }, "{host}");
    }
    assert_eq!(node.mux.len(), 3);
}

#[test]
fn ut_09_packets_far_ahead_leave_nothing_behind() {
    let mut node = Node::new(Config::default());
    let (handle, answer) = node.accept();
    for ahead in [30_000, 32_000, 5_000, 1_500] {
        let data = header(Kind::Data, 501, SeqNr(10).plus(ahead), answer.seq_nr.prev());
        for reply in node.receive(address(1), &packet(data, &[1; 1_000])) {
            assert!(Packet::parse(&reply).unwrap().sack.is_empty(), "{ahead} was kept");
        }
    }
    let data = header(Kind::Data, 501, SeqNr(11), answer.seq_nr.prev());
    node.receive(address(1), &packet(data, b" world"));
    let mut out = [0; 64];
    let count = node.mux.with(handle, |c| c.read(&mut out)).unwrap();
    assert_eq!(&out[..count], b"hello world");
}
