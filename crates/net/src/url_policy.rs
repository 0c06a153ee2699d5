//! Which URLs of strangers are asked: torrents, magnets and redirects name addresses that may be
//! meant for somebody behind our firewall. Pure; names are resolved elsewhere, and every address
//! they resolve to comes here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bittorrent::web_seed::is_piece_query;
use url::Url;

/// Most redirects that are followed.
pub const MAX_REDIRECTS: usize = 5;

/// What a URL is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A tracker.
    Tracker,
    /// Content at a URL that the user named: a web seed or a metainfo file.
    Content,
    /// Content at a URL that a torrent names, whose author is a stranger: never on this host.
    WebSeed,
}

/// From where an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// From anywhere.
    Public,
    /// Within an organisation (RFC 1918, 4193, 6598).
    Private,
    /// Within a host.
    Loopback,
    /// Within a link (RFC 3927, 4291): here live the metadata services of clouds.
    LinkLocal,
    /// No host's address: unspecified, multicast, broadcast, reserved.
    Nowhere,
}

/// Why a URL is not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another scheme than http, https and, of trackers, udp.
    #[error("the scheme {0:?} is not allowed")]
    Scheme(String),
    /// No host.
    #[error("the URL names no host")]
    NoHost,
    /// Link-local addresses, and those of no host.
    #[error("the address {0} is not allowed")]
    Address(IpAddr),
    /// A service on a loopback address that does not look like a tracker.
    #[error("on {0} only the paths of a tracker are allowed")]
    LoopbackPath(IpAddr),
    /// A query to a web seed that is not public: it could ask anything.
    #[error("on {0} no query is allowed")]
    LocalQuery(IpAddr),
    /// A redirect from a public address to one that is not.
    #[error("a public server leads to the local address {0}")]
    Inward(IpAddr),
    /// More than [`MAX_REDIRECTS`].
    #[error("too many redirects")]
    TooManyRedirects,
}

/// Where an address can be reached from; IPv4 addresses within IPv6 ones count as they are.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => match ip.segments() {
            // NAT64 (RFC 6052), 6to4 (RFC 3056).
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => reach_v4(v4(high, low)),
            [0x2002, high, low, ..] => reach_v4(v4(high, low)),
            _ if ip.is_loopback() => Reach::Loopback,
            _ if ip.is_unspecified() || ip.is_multicast() => Reach::Nowhere,
            _ if ip.is_unicast_link_local() => Reach::LinkLocal,
            _ if ip.is_unique_local() || is_site_local(ip) => Reach::Private,
            // IPv4-compatible addresses, long obsolete.
            [0, 0, 0, 0, 0, 0, _, _] => Reach::Nowhere,
            _ => Reach::Public,
        },
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [127, ..] => Reach::Loopback,
        [169, 254, ..] => Reach::LinkLocal,
        [100, 64..=127, ..] => Reach::Private,
        [0 | 224..=255, ..] => Reach::Nowhere,
        _ if ip.is_private() => Reach::Private,
        _ => Reach::Public,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low))
}

/// fec0::/10, deprecated by RFC 3879 and still in use here and there.
fn is_site_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfec0
}

/// Whether a URL may be asked at all, before its host is resolved.
///
/// # Errors
/// If its scheme is not allowed, or it names no host.
pub fn check_url(url: &Url, purpose: Purpose) -> Result<(), Refused> {
    match (url.scheme(), purpose) {
        ("http" | "https", _) | ("udp", Purpose::Tracker) => {}
        (scheme, _) => return Err(Refused::Scheme(scheme.to_owned())),
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(Refused::NoHost);
    }
    Ok(())
}

/// Whether a URL may be asked at an address its host resolves to. `from` is the reach of the
/// server that redirected here, if one did.
///
/// # Errors
/// If link-local or no host's; on loopback, a tracker whose path is not a tracker's, and any web
/// seed that a stranger names; a local web seed with a query other than BEP 17's; a redirect from
/// outside to inside.
pub fn check_address(
    url: &Url,
    ip: IpAddr,
    purpose: Purpose,
    from: Option<Reach>,
) -> Result<(), Refused> {
    let reach = reach(ip);
    if matches!(reach, Reach::LinkLocal | Reach::Nowhere) {
        return Err(Refused::Address(ip));
    }
    if from == Some(Reach::Public) && reach != Reach::Public {
        return Err(Refused::Inward(ip));
    }
    match purpose {
        Purpose::Tracker if reach == Reach::Loopback && !is_trackers_path(url) => {
            Err(Refused::LoopbackPath(ip))
        }
        Purpose::WebSeed if reach == Reach::Loopback => Err(Refused::Address(ip)),
        Purpose::Content | Purpose::WebSeed
            if reach != Reach::Public && !url.query().is_none_or(is_piece_query) =>
        {
            Err(Refused::LocalQuery(ip))
        }
        _ => Ok(()),
    }
}

/// `/announce` or `/scrape`. Of UDP trackers also none: nobody can be told anything by UDP before
/// having answered as a tracker does.
fn is_trackers_path(url: &Url) -> bool {
    matches!(url.path(), "/announce" | "/scrape")
        || url.scheme() == "udp" && matches!(url.path(), "" | "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().expect("a URL")
    }

    #[test]
    fn addresses_are_told_apart() {
        use Reach::{LinkLocal, Loopback, Nowhere, Private, Public};
        for (ip, expected) in [
            ("8.8.8.8", Public),
            ("10.1.2.3", Private),
            ("172.31.0.1", Private),
            ("172.32.0.1", Public),
            ("192.168.1.1", Private),
            ("100.64.0.1", Private),
            ("127.0.0.1", Loopback),
            ("127.255.0.1", Loopback),
            ("169.254.169.254", LinkLocal),
            ("0.0.0.0", Nowhere),
            ("0.1.2.3", Nowhere),
            ("224.0.0.1", Nowhere),
            ("255.255.255.255", Nowhere),
            ("::1", Loopback),
            ("::", Nowhere),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:169.254.169.254", LinkLocal),
            ("::127.0.0.1", Nowhere),
            ("64:ff9b::7f00:1", Loopback),
            ("2002:7f00:1::", Loopback),
            ("fe80::1", LinkLocal),
            ("fc00::1", Private),
            ("fec0::1", Private),
            ("ff02::1", Nowhere),
            ("2001:db8::1", Public),
        ] {
            assert_eq!(reach(ip.parse().expect("an address")), expected, "{ip}");
        }
    }

    #[test]
    fn tr_05_schemes_are_few() {
        for (text, purpose, allowed) in [
            ("http://e.com/announce", Purpose::Tracker, true),
            ("https://e.com/x", Purpose::Content, true),
            ("udp://e.com:1/announce", Purpose::Tracker, true),
            ("udp://e.com:1/announce", Purpose::Content, false),
            ("file:///etc/passwd", Purpose::Content, false),
            ("file://e.com/etc/passwd", Purpose::Tracker, false),
            ("ftp://e.com/announce", Purpose::Tracker, false),
            ("gopher://e.com/announce", Purpose::Tracker, false),
            ("ws://e.com/announce", Purpose::Tracker, false),
            ("udp:///announce", Purpose::Tracker, false),
        ] {
            assert_eq!(check_url(&url(text), purpose).is_ok(), allowed, "{text}");
        }
    }

    #[test]
    fn tr_06_addresses_behind_the_firewall_are_not_asked() {
        use Purpose::{Content, Tracker, WebSeed};
        let query = "info_hash=aaaaaaaaaaaaaaaaaaaa&piece=1";
        let (piece, more) = (format!("http://127.0.0.1/s?{query}"), format!("{query}&do=reboot"));
        let more = format!("http://127.0.0.1/s?{more}");
        for (text, ip, purpose, allowed) in [
            ("http://127.0.0.1:6379/", "127.0.0.1", Tracker, false),
            ("http://127.0.0.1:6379/announce", "127.0.0.1", Tracker, true),
            ("http://127.0.0.1:6379/scrape?info_hash=x", "127.0.0.1", Tracker, true),
            ("http://127.0.0.1:6379/announce/../flushall", "127.0.0.1", Tracker, false),
            ("http://127.0.0.1:6379/x/announce", "127.0.0.1", Tracker, false),
            ("http://rebound.example/flushall", "127.0.0.1", Tracker, false),
            ("http://[::1]/x", "::1", Tracker, false),
            ("udp://127.0.0.1:6969", "127.0.0.1", Tracker, true),
            ("udp://127.0.0.1:6969/x", "127.0.0.1", Tracker, false),
            ("http://169.254.169.254/announce", "169.254.169.254", Tracker, false),
            ("http://[::ffff:a9fe:a9fe]/announce", "::ffff:169.254.169.254", Tracker, false),
            ("http://0.0.0.0/announce", "0.0.0.0", Tracker, false),
            ("http://192.168.1.1/announce?x", "192.168.1.1", Tracker, true),
            ("http://192.168.1.1/file", "192.168.1.1", Content, true),
            ("http://192.168.1.1/reboot?now", "192.168.1.1", Content, false),
            ("http://127.0.0.1/file", "127.0.0.1", Content, true),
            ("http://127.0.0.1/reboot?", "127.0.0.1", Content, false),
            ("http://e.com/file?x", "8.8.8.8", Content, true),
            (&piece, "127.0.0.1", Content, true),
            (&more, "127.0.0.1", Content, false),
            (&piece, "127.0.0.1", WebSeed, false),
            ("http://127.0.0.1/file", "127.0.0.1", WebSeed, false),
            ("http://rebound.example/file", "::1", WebSeed, false),
            ("http://192.168.1.1/file", "192.168.1.1", WebSeed, true),
            ("http://192.168.1.1/reboot?now", "192.168.1.1", WebSeed, false),
            ("http://e.com/file?x", "8.8.8.8", WebSeed, true),
        ] {
            let ip = ip.parse().expect("an address");
            let checked = check_address(&url(text), ip, purpose, None);
            assert_eq!(checked.is_ok(), allowed, "{text}: {checked:?}");
        }
    }

    #[test]
    fn tr_05_redirects_do_not_lead_inwards() {
        let target = url("http://x.example/announce");
        for (from, to, allowed) in [
            (Reach::Public, "8.8.8.8", true),
            (Reach::Public, "10.0.0.1", false),
            (Reach::Public, "127.0.0.1", false),
            (Reach::Private, "10.0.0.1", true),
            (Reach::Private, "8.8.8.8", true),
            (Reach::Loopback, "127.0.0.1", true),
        ] {
            let to = to.parse().expect("an address");
            let checked = check_address(&target, to, Purpose::Tracker, Some(from));
            assert_eq!(checked.is_ok(), allowed, "{from:?} to {to}");
        }
    }
}
