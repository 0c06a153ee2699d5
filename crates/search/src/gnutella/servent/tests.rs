//! One servent at a desk, with neighbours that say whatever a test wants, and networks of servents
//! in virtual time.

mod network;

use alloc::format;
use alloc::string::ToString;
use core::net::SocketAddr;

use machine::{Machine, Outbox, Output, Rng, StreamMachine};

use super::super::handshake::{Profile, Room};
use super::super::qrp::{QrpMessage, WordHash, update};
use super::super::{InfoHash, MinSpeed, Push, Query, QueryHit, Sha1, TigerRoot, Urn};
use super::*;

type S = Servent<SocketAddr>;

/// What one servent does when it is told things.
struct Desk {
    servent: S,
    rng: Rng,
    now: Instant,
    outbox: Outbox<S>,
}

fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], 6_346))
}

fn guid(byte: u8) -> Guid {
    Guid([byte; 16])
}

fn config(mode: Mode) -> Config {
    Config { local: true, listen: Some(addr(1)), deflate: false, ..Config::new(mode, guid(200)) }
}

impl Desk {
    fn new(config: Config) -> Self {
        let (rng, outbox) = (Rng::new(1), Outbox::new());
        Self { servent: Servent::new(config), rng, now: Instant::ZERO, outbox }
    }

    fn input(&mut self, input: impl FnOnce(&mut S, &mut Cx<'_, S>)) -> Vec<Output<S>> {
        input(&mut self.servent, &mut Cx::new(self.now, &mut self.rng, &mut self.outbox));
        self.outbox.drain().collect()
    }

    /// A neighbour that dials us.
    fn meet(&mut self, conn: u32, role: Role) {
        let contact = addr(conn as u8);
        let profile = Profile {
            role,
            room: Room { leaves: true, ultrapeers: true },
            yielding: false,
            user_agent: "Other".to_string(),
            guid: guid(conn as u8),
            listen: Some(contact),
            deflate: false,
            degree: 32,
            max_ttl: 4,
        };
        let open = profile.open(contact.ip());
        let conn = ConnId(conn);
        let said = self.input(|servent, cx| {
            servent.on_open(conn, contact, Side::Listener, cx);
            servent.on_frame(conn, Frame::Block(open), cx);
        });
        let answer = said.into_iter().find_map(|output| match output {
            Output::Effect(Effect::Send(_, Frame::Block(block))) => Some(block),
            _ => None,
        });
        let confirm = profile.confirm(&answer.expect("an answer")).expect("a yes");
        self.input(|servent, cx| servent.on_frame(conn, Frame::Block(confirm), cx));
        assert!(self.servent.neighbours().any(|(other, is)| other == contact && is == role));
    }

    fn hear(&mut self, conn: u32, header: Header, payload: Vec<u8>) -> Vec<Output<S>> {
        let frame = Frame::Message(Descriptor::new(header, payload).unwrap());
        self.input(|servent, cx| servent.on_frame(ConnId(conn), frame, cx))
    }

    /// Takes a table in from a neighbour.
    fn table(&mut self, conn: u32, table: &Table) {
        for payload in update(None, table, 4) {
            self.hear(conn, Header::new(guid(99), Kind::Qrp, 1), payload);
        }
    }
}

/// Messages of one kind that were sent, and to whom.
fn sent(outputs: &[Output<S>], kind: Kind) -> Vec<(u32, Descriptor)> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Effect(Effect::Send(conn, Frame::Message(message))) => Some((conn.0, message)),
        _ => None,
    });
    sent.filter(|(_, message)| message.header.kind == kind).map(|(to, m)| (to, m.clone())).collect()
}

fn closed(outputs: &[Output<S>]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Effect(Effect::Close(..))))
}

fn query(words: &str) -> Vec<u8> {
    Query { speed: MinSpeed::MARK, criteria: words.as_bytes(), extra: b"" }.to_vec().unwrap()
}

fn words(text: &str) -> Table {
    let mut table = Table::new(1 << 14).unwrap();
    table.insert_name(text);
    table
}

/// An ultrapeer with ultrapeers 2 and 3, and leaves 10 and 11 that have "golden" and "silver".
fn hub() -> Desk {
    let mut desk = Desk::new(config(Mode::Ultrapeer));
    desk.meet(2, Role::Ultrapeer);
    desk.meet(3, Role::Ultrapeer);
    desk.meet(10, Role::Leaf);
    desk.meet(11, Role::Leaf);
    desk.table(10, &words("golden reef"));
    desk.table(11, &words("silver reef"));
    desk
}

#[test]
fn queries_go_on_once_never_back_and_to_leaves_that_may_answer() {
    let mut desk = hub();
    let header = Header { hops: 2, ..Header::new(guid(50), Kind::Query, 3) };
    let sent_on = sent(&desk.hear(2, header, query("golden")), Kind::Query);
    let to: Vec<u32> = sent_on.iter().map(|(to, _)| *to).collect();
    assert_eq!(to, [10, 3]);
    assert!(sent_on.iter().all(|(_, on)| (on.header.ttl, on.header.hops) == (2, 3)));
    // Again, also from elsewhere: a loop.
    assert!(sent(&desk.hear(2, header, query("golden")), Kind::Query).is_empty());
    assert!(sent(&desk.hear(3, header, query("golden")), Kind::Query).is_empty());
    assert_eq!(desk.servent.counters().duplicates, 2);
}

#[test]
fn the_last_hop_goes_to_ultrapeers_whose_words_match() {
    let mut desk = hub();
    desk.table(3, &words("golden"));
    let header = |name, ttl| Header { hops: 2, ..Header::new(guid(name), Kind::Query, ttl) };
    let to = |outputs: Vec<Output<S>>| -> Vec<u32> {
        sent(&outputs, Kind::Query).iter().map(|(to, _)| *to).collect()
    };
    assert_eq!(to(desk.hear(2, header(51, 2), query("golden"))), [10, 3]);
    assert_eq!(to(desk.hear(2, header(52, 2), query("silver"))), [11]);
    assert_eq!(to(desk.hear(2, header(53, 3), query("silver"))), [11, 3]);
    assert_eq!(to(desk.hear(2, header(54, 1), query("silver"))), [11]);
}

#[test]
fn gn_02_lives_that_are_too_long_are_cut() {
    let mut desk = hub();
    let header = Header::new(guid(60), Kind::Query, 255);
    for (_, on) in sent(&desk.hear(2, header, query("golden")), Kind::Query) {
        assert_eq!((on.header.ttl, on.header.hops), (6, 1));
    }
    let late = Header { hops: 8, ..Header::new(guid(61), Kind::Query, 1) };
    assert!(desk.hear(2, late, query("golden")).is_empty());
    assert_eq!(desk.servent.counters().dropped, 1);
}

#[test]
fn gn_04_floods_of_names_and_our_own_names_change_nothing() {
    let mut desk = hub();
    let mut rng = Rng::new(3);
    for _ in 0..60_000 {
        let mut name = [0; 16];
        rng.fill(&mut name);
        desk.hear(2, Header::new(Guid(name), Kind::Query, 1), query("nothing"));
    }
    let (bytes, most) = desk.servent.route_bytes();
    assert!(bytes <= most, "{bytes} of {most}");
    assert_eq!(most, 1_179_648);
    let search = Command::Search { words: "reef".into(), sha1: None };
    let said = desk.input(|servent, cx| servent.on_command(OpId(1), search, cx));
    let (_, own) = sent(&said, Kind::Query).remove(0);
    let header = Header { hops: 3, ttl: 3, ..own.header };
    assert!(desk.hear(3, header, own.payload.to_vec()).is_empty());
}

#[test]
fn gn_05_answers_to_what_nobody_asked_are_dropped() {
    let mut desk = hub();
    let hit = HitBuilderFor::one("golden.txt");
    let outputs = desk.hear(2, Header::new(guid(70), Kind::QueryHit, 5), hit);
    assert!(outputs.is_empty());
    let push = Push { servent: guid(71), index: 1, addr: v4(2), extra: b"" }.to_vec();
    assert!(desk.hear(2, Header::new(guid(72), Kind::Push, 5), push).is_empty());
    assert_eq!(desk.servent.counters().unroutable, 2);
}

#[test]
fn hits_and_pushes_find_their_way() {
    let mut desk = hub();
    desk.hear(2, Header { hops: 1, ..Header::new(guid(80), Kind::Query, 4) }, query("golden"));
    let hit = HitBuilderFor::one("golden.txt");
    let on = sent(&desk.hear(10, Header::new(guid(80), Kind::QueryHit, 4), hit), Kind::QueryHit);
    assert_eq!(on.len(), 1);
    assert_eq!((on[0].0, on[0].1.header.ttl, on[0].1.header.hops), (2, 3, 1));
    // The servent of the hit is reached the way that the hit came.
    let push = Push { servent: guid(9), index: 1, addr: v4(2), extra: b"" }.to_vec();
    let on = sent(&desk.hear(2, Header::new(guid(81), Kind::Push, 4), push), Kind::Push);
    assert_eq!(on.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [10]);
    // Once the asker is gone its answers go nowhere.
    desk.input(|servent, cx| servent.on_close(ConnId(2), CloseReason::Gone, cx));
    let hit = HitBuilderFor::one("golden.txt");
    assert!(desk.hear(10, Header::new(guid(80), Kind::QueryHit, 4), hit).is_empty());
}

#[test]
fn gn_10_pushes_do_not_make_us_attack_others() {
    let mut desk = Desk::new(Config { local: false, firewalled: true, ..config(Mode::Leaf) });
    desk.meet_hub();
    let push = |ip: [u8; 4]| {
        let addr = SocketAddrV4::new(ip.into(), 80);
        Push { servent: guid(200), index: 1, addr, extra: b"" }.to_vec()
    };
    let wanted = |outputs: &[Output<S>]| {
        outputs.iter().any(|o| matches!(o, Output::Event(_, Event::PushWanted { .. })))
    };
    let header = Header::new(guid(90), Kind::Push, 1);
    for ip in [[127, 0, 0, 1], [10, 0, 0, 1], [224, 0, 0, 1], [0, 0, 0, 0]] {
        assert!(!wanted(&desk.hear(2, header, push(ip))), "{ip:?}");
    }
    let asked = (0..20).filter(|_| wanted(&desk.hear(2, header, push([8, 8, 8, 8])))).count();
    assert_eq!(asked, usize::from(limits::PUSHES_PER_HOST));
}

#[test]
fn gn_13_and_gn_14_tables_that_make_no_sense_close_the_connection() {
    let resets = [(u32::MAX, 2), (10_000, 2), (1 << 14, 0)];
    for (slots, infinity) in resets {
        let mut desk = hub();
        let payload = QrpMessage::Reset { slots, infinity }.to_vec();
        assert!(closed(&desk.hear(10, Header::new(guid(1), Kind::Qrp, 1), payload)));
    }
    let mut desk = Desk::new(config(Mode::Ultrapeer));
    desk.meet(10, Role::Leaf);
    let patch = update(None, &words("reef"), 4).remove(1);
    assert!(closed(&desk.hear(10, Header::new(guid(1), Kind::Qrp, 1), patch)));
}

#[test]
fn gn_16_a_leaf_that_claims_all_words_hears_none() {
    let mut desk = hub();
    let mut full = Table::new(1 << 14).unwrap();
    for n in 0..40_000u32 {
        full.insert(WordHash::of(&n.to_be_bytes()));
    }
    assert!(full.is_saturated());
    desk.table(11, &full);
    let outputs = desk.hear(2, Header::new(guid(95), Kind::Query, 2), query("silver"));
    assert!(sent(&outputs, Kind::Query).iter().all(|(to, _)| *to != 11));
}

#[test]
fn gn_08_pongs_with_addresses_of_others_are_not_cached() {
    let mut desk = Desk::new(Config { local: false, ..config(Mode::Ultrapeer) });
    desk.meet(2, Role::Ultrapeer);
    for ip in [[127, 0, 0, 9], [192, 168, 0, 1], [0, 0, 0, 0], [239, 1, 1, 1]] {
        let addr = SocketAddrV4::new(ip.into(), 6_346);
        let pong = super::super::Pong { addr, files: 1, kib: 1, extra: b"" }.to_vec();
        let header = Header { hops: 2, ..Header::new(guid(3), Kind::Pong, 2) };
        desk.hear(2, header, pong);
    }
    assert_eq!(desk.servent.hosts_known(), 0);
}

#[test]
fn leaves_answer_what_they_share_and_carry_nothing() {
    let mut desk = Desk::new(config(Mode::Leaf));
    let file =
        SharedFile { name: "golden reef.txt".into(), len: 7, sha1: Sha1([4; 20]), tree: None };
    desk.input(|servent, cx| servent.on_command(OpId(0), Command::Share(file), cx));
    desk.meet_hub();
    let said =
        desk.hear(2, Header { hops: 1, ..Header::new(guid(30), Kind::Query, 3) }, query("gold"));
    let hits = sent(&said, Kind::QueryHit);
    assert_eq!((hits.len(), hits[0].0, hits[0].1.header.guid), (1, 2, guid(30)));
    let hit = QueryHit::parse(&hits[0].1.payload).unwrap();
    let record = hit.records.clone().next().unwrap();
    assert_eq!((record.name, record.len()), (&b"golden reef.txt"[..], 7));
    assert_eq!(record.urns().find_map(|urn| urn.sha1()), Some(Sha1([4; 20])));
    assert_eq!(hit.servent, guid(200));
    assert!(sent(&said, Kind::Query).is_empty());
}

#[test]
fn hits_name_the_torrent_of_a_file_as_long_as_it_has_one() {
    let mut desk = Desk::new(config(Mode::Leaf));
    let (sha1, torrent) = (Sha1([4; 20]), InfoHash([5; 20]));
    let tree = Some(TigerRoot([6; 24]));
    let file = SharedFile { name: "golden reef.txt".into(), len: 7, sha1, tree };
    desk.input(|servent, cx| servent.on_command(OpId(0), Command::Share(file), cx));
    desk.meet_hub();
    let mut name = 30;
    let mut named = |desk: &mut Desk, torrent| {
        let command = Command::NameTorrent(sha1, torrent);
        desk.input(|servent, cx| servent.on_command(OpId(0), command, cx));
        name += 1;
        let header = Header { hops: 1, ..Header::new(guid(name), Kind::Query, 3) };
        let said = sent(&desk.hear(2, header, query("gold")), Kind::QueryHit);
        let hit = QueryHit::parse(&said[0].1.payload).unwrap();
        let record = hit.records.clone().next().unwrap();
        // The hash stands first, for those who look at one URN alone.
        assert_eq!(record.urns().next(), Some(Urn::Sha1(sha1)));
        assert_eq!(record.urns().find_map(|urn| urn.tiger()), tree);
        record.urns().find_map(|urn| urn.infohash())
    };
    assert_eq!(named(&mut desk, None), None);
    assert_eq!(named(&mut desk, Some(torrent)), Some(torrent));
    assert_eq!(named(&mut desk, None), None);
}

#[test]
fn what_a_hit_says_of_a_torrent_is_told_to_whoever_searches() {
    let (sha1, torrent) = (Urn::Sha1(Sha1([4; 20])), Urn::Torrent(InfoHash([5; 20])));
    let (first, second) = (sha1.to_text(), torrent.to_text());
    let long = format!("urn:btih:{}", "05".repeat(10_000));
    let table = [
        (alloc::vec![&first, &second], torrent.infohash()),
        (alloc::vec![&second, &first], torrent.infohash()),
        (alloc::vec![&first], None),
        (alloc::vec![&long, &first], None),
        (alloc::vec![&first, &long, &second], torrent.infohash()),
    ];
    for (urns, infohash) in table {
        let mut desk = Desk::new(config(Mode::Leaf));
        desk.meet_hub();
        let search = Command::Search { words: "reef".into(), sha1: None };
        let said = desk.input(|servent, cx| servent.on_command(OpId(1), search, cx));
        let name = sent(&said, Kind::Query)[0].1.header.guid;
        let extra = urns.iter().map(|urn| urn.as_bytes()).collect::<Vec<_>>().join(&0x1c);
        let hit = HitBuilderFor::saying("reef.txt", &extra);
        let heard = desk.hear(2, Header::new(name, Kind::QueryHit, 2), hit);
        let [Output::Event(Some(OpId(1)), Event::Found(found))] = &heard[..] else {
            panic!("one is found")
        };
        assert_eq!((found.sha1, found.infohash), (sha1.sha1(), infohash));
    }
}

#[test]
fn a_full_ultrapeer_names_others() {
    let mut desk = Desk::new(Config { leaves_max: 1, ..config(Mode::Ultrapeer) });
    desk.meet(2, Role::Ultrapeer);
    desk.meet(10, Role::Leaf);
    let profile = Profile {
        role: Role::Leaf,
        room: Room::default(),
        yielding: false,
        user_agent: "Other".to_string(),
        guid: guid(40),
        listen: None,
        deflate: false,
        degree: 32,
        max_ttl: 4,
    };
    let said = desk.input(|servent, cx| {
        servent.on_open(ConnId(11), addr(40), Side::Listener, cx);
        servent.on_frame(ConnId(11), Frame::Block(profile.open(addr(1).ip())), cx);
    });
    let Some(Output::Effect(Effect::Send(_, Frame::Block(block)))) =
        said.iter().find(|output| matches!(output, Output::Effect(Effect::Send(..))))
    else {
        panic!("an answer is due")
    };
    assert!(!block.is_yes());
    assert_eq!(block.try_ultrapeers().collect::<Vec<_>>(), [addr(2)]);
    assert!(closed(&said));
}

#[test]
fn answers_of_others_are_told_again_while_they_are_fresh() {
    let caching = Some(core::time::Duration::from_secs(60));
    let mut desk = Desk::new(Config { query_caching: caching, ..config(Mode::Ultrapeer) });
    desk.meet(2, Role::Ultrapeer);
    desk.meet(3, Role::Ultrapeer);
    let ask = |name| Header { hops: 1, ..Header::new(guid(name), Kind::Query, 4) };
    assert_eq!(sent(&desk.hear(2, ask(1), query("golden")), Kind::Query).len(), 1);
    let hit = HitBuilderFor::one("golden.txt");
    desk.hear(3, Header::new(guid(1), Kind::QueryHit, 4), hit.clone());
    let said = desk.hear(2, ask(2), query("GOLDEN"));
    assert!(sent(&said, Kind::Query).is_empty());
    let told = sent(&said, Kind::QueryHit);
    assert_eq!((told[0].0, &told[0].1.payload[..], told[0].1.header.guid), (2, &hit[..], guid(2)));
}

#[test]
fn hits_by_udp_are_sent_to_those_who_ask_for_them() {
    let mut desk = Desk::new(Config { out_of_band: true, ..config(Mode::Ultrapeer) });
    for n in 0..40 {
        let name = format!("reef {n} {}", "of corals ".repeat(20));
        let file = SharedFile { name, len: 7, sha1: Sha1([n; 20]), tree: None };
        desk.input(|servent, cx| servent.on_command(OpId(0), Command::Share(file), cx));
    }
    desk.meet(2, Role::Ultrapeer);
    let mut name = guid(5);
    name.0[..4].copy_from_slice(&[127, 0, 0, 77]);
    name.0[13..15].copy_from_slice(&6_346u16.to_le_bytes());
    let speed = MinSpeed::MARK.with(MinSpeed::OUT_OF_BAND);
    let payload = Query { speed, criteria: b"reef", extra: b"" }.to_vec().unwrap();
    let query = Header { hops: 2, ..Header::new(name, Kind::Query, 3) };
    let said = desk.hear(2, query, payload.clone());
    assert!(sent(&said, Kind::QueryHit).is_empty());
    let datagrams = |outputs: &[Output<S>]| -> Vec<(SocketAddr, Descriptor)> {
        let all = outputs.iter().filter_map(|output| match output {
            Output::Effect(Effect::Datagram(to, message)) => Some((*to, message.clone())),
            _ => None,
        });
        all.collect()
    };
    let offer = datagrams(&said);
    assert_eq!((offer.len(), offer[0].0), (1, addr(77)));
    let ready = super::super::VendorMessage::parse(&offer[0].1.payload).unwrap();
    assert_eq!((ready.of.selector, ready.of.version, ready.data), (12, 2, &[40, 1][..]));
    let of = super::super::Capability {
        vendor: super::super::Vendor(*b"LIME"),
        selector: 11,
        version: 2,
    };
    let wanted = |name, count| {
        let payload = super::super::VendorMessage { of, data: &[count] }.to_vec();
        Descriptor::new(Header::new(name, Kind::Vendor, 1), payload).unwrap()
    };
    let (some, mut other) = (wanted(name, 5), name);
    // From anybody else it is nothing.
    let none = desk.input(|servent, cx| servent.on_datagram(addr(78), &some, cx));
    assert!(datagrams(&none).is_empty());
    let files = |outputs: &[Output<S>]| -> usize {
        let hits = datagrams(outputs).into_iter().map(|(_, message)| {
            assert_eq!(message.header.kind, Kind::QueryHit);
            assert!(message.payload.len() < 1_200, "a datagram that is not cut");
            QueryHit::parse(&message.payload).unwrap().records.count()
        });
        hits.sum()
    };
    let hits = desk.input(|servent, cx| servent.on_datagram(addr(77), &some, cx));
    assert!((5..10).contains(&files(&hits)), "as many as are wanted, in whole hits");
    let again = desk.input(|servent, cx| servent.on_datagram(addr(77), &some, cx));
    assert!(datagrams(&again).is_empty());
    other.0[5] ^= 1;
    desk.hear(2, Header { guid: other, ..query }, payload);
    let all = wanted(other, u8::MAX);
    let hits = desk.input(|servent, cx| servent.on_datagram(addr(77), &all, cx));
    assert_eq!(files(&hits), 40);
}

fn v4(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 6_346)
}

/// Hits of a servent named by nines.
struct HitBuilderFor;

impl HitBuilderFor {
    fn one(name: &str) -> Vec<u8> {
        Self::saying(name, b"")
    }

    fn saying(name: &str, extra: &[u8]) -> Vec<u8> {
        let mut builder = super::super::HitBuilder::new(v4(9), 1);
        let record = super::super::Record { index: 1, size: 2, name: name.as_bytes(), extra };
        builder.add(&record).unwrap();
        builder.finish(None, guid(9))
    }
}

impl Desk {
    /// The ultrapeer 2, which dials a leaf.
    fn meet_hub(&mut self) {
        self.meet(2, Role::Ultrapeer);
    }
}
