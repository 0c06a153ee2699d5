//! URLs of trackers and web seeds as strangers write them: bounded, ASCII only, hosts in the form
//! that goes into the DNS.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt::Write;

/// Longest URL that is kept, in bytes.
const MAX_LEN: usize = 2048;

/// The URL in a form that can be shown and used, or `None` if it is none.
///
/// A host in other scripts becomes punycode, so that one that only looks like a known name is
/// seen; other characters beyond ASCII are percent-encoded.
pub(crate) fn clean(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok()?.trim();
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if text.len() > MAX_LEN || scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return None;
    }
    if rest.contains(|c: char| c.is_control() || c.is_whitespace() || c == '\\') {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (user, address) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
    let port_at = address.rfind(':').filter(|colon| !address[*colon..].contains(']'));
    let (host, port) = address.split_at(port_at.unwrap_or(address.len()));
    if host.is_empty() || !user.is_ascii() || !port.is_ascii() {
        return None;
    }
    let mut url = String::with_capacity(text.len());
    url.push_str(scheme);
    url.push_str("://");
    url.push_str(user);
    url.push_str(&ascii_host(host)?);
    url.push_str(port);
    for c in path.chars() {
        if c.is_ascii() {
            url.push(c);
        } else {
            let mut utf8 = [0; 4];
            c.encode_utf8(&mut utf8)
                .bytes()
                .try_for_each(|byte| write!(url, "%{byte:02X}"))
                .ok()?;
        }
    }
    Some(url)
}

/// A host in ASCII: as it is, or as punycode.
pub(crate) fn ascii_host(host: &str) -> Option<Cow<'_, str>> {
    if host.is_ascii() {
        return Some(Cow::Borrowed(host));
    }
    // Some characters stand for several, a space or a slash among them.
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let ascii = idna::domain_to_ascii(host).ok();
    ascii.filter(|ascii| !ascii.is_empty() && ascii.bytes().all(is_host)).map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_urls_and_refuses_the_rest() {
        let table = [
            ("http://t.example/announce", Some("http://t.example/announce")),
            (" udp://[2001:db8::1]:80/a ", Some("udp://[2001:db8::1]:80/a")),
            ("http://t.example:80/pfad/ä?x=ü", Some("http://t.example:80/pfad/%C3%A4?x=%C3%BC")),
            ("http://u:p@t.example", Some("http://u:p@t.example")),
            ("t.example/announce", None),
            ("://t.example", None),
            ("http://", None),
            ("http://:80/", None),
            ("http://a b/", None),
            ("http://a/\r\nHost: b", None),
            ("javascript:alert(1)", None),
        ];
        for (text, expected) in table {
            assert_eq!(clean(text.as_bytes()).as_deref(), expected, "{text}");
        }
        assert_eq!(clean(b"http://\xff/"), None);
        // A diaeresis without a letter becomes a space, a sign for `a/c` three letters.
        assert_eq!(clean("http://a\u{a8}x/".as_bytes()), None);
        assert_eq!(clean("http://\u{2100}x/".as_bytes()), None);
    }

    #[test]
    fn ma_06_a_confusable_host_is_shown_as_punycode() {
        // The first letter is Cyrillic.
        let url = clean("http://аpple.com:80/announce".as_bytes());
        assert_eq!(url.as_deref(), Some("http://xn--pple-43d.com:80/announce"));
        assert_eq!(ascii_host("bücher.example").as_deref(), Some("xn--bcher-kva.example"));
    }
}
