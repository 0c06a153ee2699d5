//! What names a content, in whatever network: digests, as far as they are known.

use codec::hex::Hex;
use net::gnutella::Urn;
use serde::{Deserialize, Serialize};
use url::form_urlencoded;
use utoipa::ToSchema;

/// Names in one magnet link that are read.
const TOPICS_MAX: usize = 16;

/// By what content is named, as far as it is known: in hexadecimal, the Tiger tree root in base32.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentId {
    /// SHA-1 of the whole (Gnutella, bitprint).
    pub sha1: Option<String>,
    /// SHA-256 of the whole.
    pub sha256: Option<String>,
    /// Root of the Tiger tree (bitprint, Direct Connect).
    pub tth: Option<String>,
    /// BEP 3 infohash.
    pub infohash_v1: Option<String>,
    /// BEP 52 infohash.
    pub infohash_v2: Option<String>,
}

impl ContentId {
    /// What a URN says (`urn:sha1:`, `urn:bitprint:`, `urn:tree:tiger:`; HUGE 0.94), or all that
    /// the `xt` of a magnet link say; infohashes are left to those who add torrents. `None` if
    /// nothing of the kind is in it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut content = Self::default();
        if let Some(magnet) = text.get(..8).filter(|start| start.eq_ignore_ascii_case("magnet:?")) {
            let pairs = form_urlencoded::parse(&text.as_bytes()[magnet.len()..]);
            let is_topic = |name: &str| name == "xt" || name.starts_with("xt.");
            for (_, urn) in pairs.filter(|(name, _)| is_topic(name)).take(TOPICS_MAX) {
                content.learn_urn(&urn);
            }
        } else {
            content.learn_urn(text);
        }
        (!content.is_empty()).then_some(content)
    }

    fn learn_urn(&mut self, text: &str) {
        let Some(urn) = Urn::parse(text.as_bytes()) else { return };
        if let Some(sha1) = urn.sha1() {
            self.sha1 = Some(Hex(&sha1.0).to_string());
        }
        if let Some(root) = urn.tiger() {
            self.tth = Some(codec::base32::encode(&root.0));
        }
    }

    /// Whether both name one content.
    #[must_use]
    pub fn shares(&self, other: &Self) -> bool {
        let both = self.each().into_iter().zip(other.each());
        both.into_iter().any(|((_, one), (_, other))| match (one, other) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => false,
        })
    }

    /// Whether nothing of it is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.each().iter().all(|(_, id)| id.is_none())
    }

    pub(super) fn each(&self) -> [(&'static str, Option<&String>); 5] {
        [
            ("sha1", self.sha1.as_ref()),
            ("sha256", self.sha256.as_ref()),
            ("tth", self.tth.as_ref()),
            ("infohash_v1", self.infohash_v1.as_ref()),
            ("infohash_v2", self.infohash_v2.as_ref()),
        ]
    }

    /// Takes what `other` says over what it says itself.
    pub(crate) fn insist(&mut self, other: &Self) {
        let mine = std::mem::replace(self, other.clone());
        self.learn(&mine);
    }

    pub(super) fn learn(&mut self, other: &Self) {
        let learn = |mine: &mut Option<String>, its: &Option<String>| {
            if mine.is_none() {
                mine.clone_from(its);
            }
        };
        learn(&mut self.sha1, &other.sha1);
        learn(&mut self.sha256, &other.sha256);
        learn(&mut self.tth, &other.tth);
        learn(&mut self.infohash_v1, &other.infohash_v1);
        learn(&mut self.infohash_v2, &other.infohash_v2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "AEBAGBAFAYDQQCIKBMGA2DQPCAIREEYU";
    const ROOT: &str = "AAAQEAYEAUDAOCAJBIFQYDIOB4IBCEQTCQKRMFY";

    #[test]
    fn urns_and_magnet_links_name_contents() {
        let sha1 = Some("0102030405060708090a0b0c0d0e0f1011121314".to_owned());
        let tth = Some(ROOT.to_owned());
        let only = ContentId { sha1: sha1.clone(), ..ContentId::default() };
        let both = ContentId { sha1, tth: tth.clone(), ..ContentId::default() };
        let tree = ContentId { tth, ..ContentId::default() };
        let table = [
            (format!("urn:sha1:{SHA1}"), Some(&only)),
            (format!("URN:SHA1:{}", SHA1.to_lowercase()), Some(&only)),
            (format!("urn:bitprint:{SHA1}.{ROOT}"), Some(&both)),
            (format!("urn:tree:tiger:{ROOT}"), Some(&tree)),
            (format!("magnet:?dn=x&xt=urn:sha1:{SHA1}"), Some(&only)),
            (format!("magnet:?xt=urn%3Abitprint%3A{SHA1}.{ROOT}&dn=x"), Some(&both)),
            (format!("MAGNET:?xt.1=urn:sha1:{SHA1}&xt.2=urn:tree:tiger:{ROOT}"), Some(&both)),
            (format!("magnet:?xt=urn:btih:{}", "ab".repeat(20)), None),
            (format!("urn:sha1:{SHA1}A"), None),
            ("urn:sha1:".to_owned(), None),
            ("magnet:?".to_owned(), None),
            ("film.torrent".to_owned(), None),
            ("ééééé".to_owned(), None),
        ];
        for (text, expected) in table {
            assert_eq!(ContentId::parse(&text).as_ref(), expected, "{text}");
        }
    }

    #[test]
    fn contents_are_the_same_if_one_digest_is() {
        let id = |sha1: &str, tth: Option<&str>| ContentId {
            sha1: Some(sha1.to_owned()),
            tth: tth.map(str::to_owned),
            ..ContentId::default()
        };
        assert!(id("aa", None).shares(&id("AA", Some("T"))));
        assert!(!id("aa", None).shares(&ContentId::default()));
        let mut heard = id("bb", Some("T"));
        heard.insist(&id("aa", None));
        assert_eq!(heard, id("aa", Some("T")));
    }
}
