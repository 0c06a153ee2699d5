//! The part of a message in which extensions of several kinds stand side by side (HUGE 0.94,
//! section 4; GGEP 0.51): texts such as URNs and XML, parted by 0x1C, and blocks of GGEP.

use super::ggep::{self, Ggep};
use super::urn::Urn;

/// What parts extensions.
pub(super) const SEPARATOR: u8 = 0x1c;

/// One of the things a message says beside its fixed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extension<'a> {
    /// A name by hash.
    Urn(Urn),
    /// A block of GGEP.
    Ggep(Ggep<'a>),
    /// Any other text: the beginning of a URN that asks for such names, XML, bitrates.
    Text(&'a [u8]),
}

/// The extensions of a message, in its order. GGEP that is malformed ends them, and so does
/// anything that follows it; the message itself is not the worse for it.
#[derive(Clone, Copy, Debug)]
pub struct Extensions<'a> {
    rest: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Those that stand in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The raw value of the first GGEP item that is called so.
    pub fn item(self, id: &[u8]) -> Option<ggep::Item<'a>> {
        let mut blocks = self.filter_map(|extension| match extension {
            Extension::Ggep(block) => block.get(id),
            _ => None,
        });
        blocks.next()
    }

    /// Names by hash, as text and in GGEP `H`.
    pub fn urns(self) -> impl Iterator<Item = Urn> + 'a {
        self.filter_map(|extension| match extension {
            Extension::Urn(urn) => Some(urn),
            Extension::Ggep(block) => Urn::from_ggep(&block.get(b"H")?.value().ok()?),
            Extension::Text(_) => None,
        })
    }
}

impl<'a> Iterator for Extensions<'a> {
    type Item = Extension<'a>;

    fn next(&mut self) -> Option<Extension<'a>> {
        while let [SEPARATOR | 0, rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.first() == Some(&ggep::MAGIC) {
            let Ok((block, used)) = Ggep::parse(self.rest) else {
                self.rest = &[];
                return None;
            };
            self.rest = &self.rest[used..];
            return Some(Extension::Ggep(block));
        }
        if self.rest.is_empty() {
            return None;
        }
        let is_end = |byte: &u8| [SEPARATOR, 0].contains(byte);
        let end = self.rest.iter().position(is_end).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Urn::parse(text).map_or(Extension::Text(text), Extension::Urn))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const URN: &[u8] = b"urn:sha1:EPAJIOF3H3HR6AJ5NJMSDBPJZSVSJLRI";

    #[test]
    fn kinds_stand_side_by_side() {
        let block = [ggep::MAGIC, 0x82, b'P', b'R', 0x40];
        let bytes = [&b"urn:\x1c"[..], URN, b"\x1c", &block, b"\x1c{\"x\"}\0"].concat();
        let found: Vec<_> = Extensions::new(&bytes).collect();
        assert_eq!(found[0], Extension::Text(b"urn:"));
        assert_eq!(found[1], Extension::Urn(Urn::parse(URN).unwrap()));
        assert!(matches!(found[2], Extension::Ggep(_)));
        assert_eq!(found[3], Extension::Text(b"{\"x\"}"));
        assert_eq!(found.len(), 4);
        let extensions = Extensions::new(&bytes);
        assert!(extensions.item(b"PR").unwrap().value().unwrap().is_empty());
        assert!(extensions.item(b"XX").is_none());
        assert_eq!(extensions.urns().count(), 1);
    }

    #[test]
    fn torrents_that_are_malformed_are_skipped() {
        let good = Urn::parse(&[&b"urn:btih:"[..], &b"0f".repeat(20)].concat()).unwrap();
        let bad = [
            &b"urn:btih:"[..],
            b"urn:btih:0123",
            b"urn:btih:zz",
            &[&b"urn:btih:"[..], &b"0".repeat(60_000)].concat(),
        ];
        for bad in bad {
            // Before all else, between, and behind.
            let text = good.to_text();
            for order in [
                [bad, URN, text.as_bytes()],
                [URN, bad, text.as_bytes()],
                [text.as_bytes(), URN, bad],
            ] {
                let bytes = order.join(&SEPARATOR);
                let extensions = Extensions::new(&bytes);
                assert_eq!(extensions.count(), 3);
                assert_eq!(extensions.urns().count(), 2);
                let sha1 = extensions.urns().find_map(|urn| urn.sha1());
                assert_eq!(sha1, Urn::parse(URN).unwrap().sha1());
                assert_eq!(extensions.urns().find_map(|urn| urn.infohash()), good.infohash());
            }
        }
    }

    #[test]
    fn gn_11_malformed_blocks_are_dropped_and_what_stood_before_is_kept() {
        let bytes = [URN, b"\x1c", &[ggep::MAGIC, 0x02, b'P', b'R', 0x7f], b"\x1curn:"].concat();
        let found: Vec<_> = Extensions::new(&bytes).collect();
        assert_eq!(found, [Extension::Urn(Urn::parse(URN).unwrap())]);
    }
}
