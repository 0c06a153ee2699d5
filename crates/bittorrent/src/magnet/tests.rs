//! Tests of reading and writing magnet links.

use alloc::format;
use alloc::string::{String, ToString};

use proptest::prelude::*;

use super::*;

const HEX: &str = "5dfecb281a911cb1f9f6420163f8bb7902176d11";
const HEX_V2: &str = "975e835169879eb505e6b1fb6233446296398b28ab039d145f9826f72eee1015";

fn with(parameters: &str) -> Magnet {
    Magnet::parse(&format!("magnet:?xt=urn:btih:{HEX}&{parameters}")).unwrap()
}

#[test]
fn reads_a_hybrid_link_as_others_write_it() {
    let magnet = Magnet::parse(&format!(
        "magnet:?xt=urn:btih:{HEX}&xt=urn:btmh:1220{HEX_V2}&dn=multi+part%20name\
         &tr=http%3a%2f%2ft.example%2fannounce&tr.2=udp%3a%2f%2fu.example%3a80\
         &ws=http%3a%2f%2fw.example%2f&x.pe=192.0.2.1:6881&x.pe=[2001:db8::1]:1\
         &x.pe=peer.example:80&so=0,2,4,6-8&xl=10&as=x"
    ))
    .unwrap();
    assert_eq!(magnet.hashes.v1.unwrap().to_string(), HEX);
    assert_eq!(magnet.hashes.v2.unwrap().to_string(), HEX_V2);
    assert_eq!(magnet.name.as_deref(), Some("multi part name"));
    assert_eq!(magnet.trackers, ["http://t.example/announce", "udp://u.example:80"]);
    assert_eq!(magnet.web_seeds, ["http://w.example/"]);
    let peers = ["192.0.2.1:6881".parse().unwrap(), "[2001:db8::1]:1".parse().unwrap()];
    assert_eq!(magnet.peers, peers);
    assert_eq!(magnet.peer_hosts, [("peer.example".to_string(), 80)]);
    assert_eq!(magnet.select_only, [(0, 0), (2, 2), (4, 4), (6, 8)]);
    assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
}

#[test]
fn reads_infohashes_in_every_form() {
    let expected = with("").hashes;
    let bytes = expected.v1.unwrap().0;
    for hash in [HEX.to_uppercase(), base32::encode(&bytes), base32::encode(&bytes).to_lowercase()]
    {
        let link = format!("MAGNET:?dn=a&XT=ignored&xt.1=URN:BTIH:{hash}");
        assert_eq!(Magnet::parse(&link).unwrap().hashes, expected);
    }
}

#[test]
fn refuses_what_names_no_torrent() {
    let table = [
        ("", MagnetError::Scheme),
        ("magnet:", MagnetError::Scheme),
        ("http://x/?xt=urn:btih:00", MagnetError::Scheme),
        ("magnet:?", MagnetError::NoHash),
        ("magnet:?dn=x", MagnetError::NoHash),
        ("magnet:?xt=urn:tree:tiger:AAAA", MagnetError::NoHash),
        ("magnet:?xt=urn:btih:", MagnetError::Hash),
        ("magnet:?xt=urn:btih:5dfecb281a911cb1f9f6420163f8bb7902176d1", MagnetError::Hash),
        ("magnet:?xt=urn:btmh:1220aa", MagnetError::Hash),
        (
            "magnet:?xt=urn:btmh:1114975e835169879eb505e6b1fb6233446296398b28ab039d145f9826f72eee1015",
            MagnetError::Hash,
        ),
    ];
    for (link, error) in table {
        assert_eq!(Magnet::parse(link), Err(error), "{link}");
    }
    let long = format!("magnet:?xt=urn:btih:{HEX}&dn={}", "x".repeat(MAX_LEN));
    assert_eq!(Magnet::parse(&long), Err(MagnetError::TooLong));
}

#[test]
fn ma_01_lists_are_bounded() {
    let many = |key: &str| -> String {
        (0..10_000).map(|n| format!("&{key}=http://{n}.example/")).collect()
    };
    let peers: String = (1..10_000).map(|n| format!("&x.pe=192.0.2.1:{n}&x.pe=h:{n}")).collect();
    let ranges: String = (0..10_000).map(|n| format!("{n},")).collect();
    let magnet = with(&format!("{}{}{peers}&so={ranges}", many("tr"), many("ws")));
    assert_eq!(magnet.trackers.len(), MAX_URLS);
    assert_eq!(magnet.web_seeds.len(), MAX_URLS);
    assert_eq!(magnet.peers.len() + magnet.peer_hosts.len(), MAX_URLS);
    assert_eq!(magnet.select_only.len(), MAX_RANGES);
    assert_eq!(magnet.trackers[99], "http://99.example/");
}

#[test]
fn ma_03_the_name_is_for_show_and_safe_on_disk() {
    let magnet = with("dn=%2e%2e%2f%2e%2e%2fetc%2fpasswd%00.txt");
    assert_eq!(magnet.name.as_deref(), Some("../../etc/passwd\0.txt"));
    assert_eq!(magnet.disk_name(), ".._.._etc_passwd_.txt");
    assert_eq!(with("dn=%2e%2e").disk_name(), HEX);
    assert_eq!(with("").disk_name(), HEX);
    assert_eq!(with("dn=%ff").name.as_deref(), Some("\u{fffd}"));
}

#[test]
fn ma_04_peers_are_unicast_and_loopback_is_for_labs() {
    let refused = [
        "224.0.0.1:80",
        "255.255.255.255:80",
        "0.0.0.0:80",
        "0.1.2.3:80",
        "240.0.0.1:80",
        "192.0.2.1:0",
        "[ff02::1]:80",
        "[::]:80",
        "[::ffff:224.0.0.1]:80",
        "[2001:db8::1]:0",
        "host:0",
        "host:70000",
        "host",
        "ho st:80",
        "2130706433:80",
        "127.1:80",
        "0x7f000001:80",
        ":80",
    ];
    for peer in refused {
        let magnet = with(&format!("x.pe={peer}"));
        assert!(magnet.peers.is_empty() && magnet.peer_hosts.is_empty(), "{peer}");
    }
    for peer in ["127.0.0.1:22", "[::1]:22", "[::ffff:127.0.0.1]:22"] {
        let magnet = with(&format!("x.pe={peer}"));
        assert_eq!(magnet.dialable_peers(true).count(), 1, "{peer}");
        assert_eq!(magnet.dialable_peers(false).count(), 0, "{peer}");
    }
    assert_eq!(with("x.pe=192.0.2.1:22").dialable_peers(false).count(), 1);
}

#[test]
fn ma_06_hosts_are_shown_as_punycode() {
    let magnet = with("tr=http://%D0%B0pple.com/announce&x.pe=%D0%B0pple.com:80");
    assert_eq!(magnet.trackers, ["http://xn--pple-43d.com/announce"]);
    assert_eq!(magnet.peer_hosts, [("xn--pple-43d.com".to_string(), 80)]);
}

proptest! {
    #[test]
    fn no_link_panics_and_what_is_read_survives(text in ".{0,200}", query in "[a-z.=&%0-9:+-]{0,200}") {
        let _ = Magnet::parse(&text);
        if let Ok(magnet) = Magnet::parse(&format!("magnet:?xt=urn:btih:{HEX}&dn={text}&{query}")) {
            prop_assert_eq!(Magnet::parse(&magnet.to_string()), Ok(magnet));
        }
    }
}
