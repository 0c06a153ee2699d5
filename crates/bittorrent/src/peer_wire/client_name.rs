//! Names of programs, read from the conventions of peer ids (BEP 20).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::id::PeerId;

/// Two letters between the dash and the version of an Azureus-style id.
const AZUREUS_STYLE: &[([u8; 2], &str)] = &[
    (*b"7T", "aTorrent"),
    (*b"AG", "Ares"),
    (*b"AZ", "Vuze"),
    (*b"A~", "Ares"),
    (*b"AR", "Arctic"),
    (*b"AV", "Avicora"),
    (*b"AX", "BitPump"),
    (*b"BB", "BitBuddy"),
    (*b"BC", "BitComet"),
    (*b"BF", "Bitflu"),
    (*b"BG", "BTG"),
    (*b"BI", "BiglyBT"),
    (*b"BL", "BitLord"),
    (*b"BR", "BitRocket"),
    (*b"BS", "BTSlave"),
    (*b"BT", "BitTorrent"),
    (*b"BW", "BitWombat"),
    (*b"BX", "BittorrentX"),
    (*b"CD", "Enhanced CTorrent"),
    (*b"CT", "CTorrent"),
    (*b"DE", "Deluge"),
    (*b"DP", "Propagate Data Client"),
    (*b"EB", "EBit"),
    (*b"ES", "electric sheep"),
    (*b"FC", "FileCroc"),
    (*b"FD", "Free Download Manager"),
    (*b"FG", "FlashGet"),
    (*b"FL", "Folx"),
    (*b"FT", "FoxTorrent"),
    (*b"FW", "FrostWire"),
    (*b"FX", "Freebox BitTorrent"),
    (*b"GS", "GSTorrent"),
    (*b"HL", "Halite"),
    (*b"HN", "Hydranode"),
    (*b"JS", "JSTorrent"),
    (*b"KG", "KGet"),
    (*b"KT", "KTorrent"),
    (*b"LC", "LeechCraft"),
    (*b"LH", "LH-ABC"),
    (*b"LP", "Lphant"),
    (*b"LR", "LibreTorrent"),
    (*b"LT", "libtorrent"),
    (*b"LW", "LimeWire"),
    (*b"MG", "MediaGet"),
    (*b"MO", "MonoTorrent"),
    (*b"MP", "MooPolice"),
    (*b"MR", "Miro"),
    (*b"MT", "MoonlightTorrent"),
    (*b"NX", "Net Transport"),
    (*b"PD", "Pando"),
    (*b"PI", "PicoTorrent"),
    (*b"QD", "QQDownload"),
    (*b"QT", "Qt 4 Torrent example"),
    (*b"RT", "Retriever"),
    (*b"SB", "Swiftbit"),
    (*b"SD", "Xunlei"),
    (*b"SO", "Shoal"),
    (*b"SS", "SwarmScope"),
    (*b"ST", "SymTorrent"),
    (*b"SZ", "Shareaza"),
    (*b"S~", "Shareaza"),
    (*b"TL", "Tribler"),
    (*b"TN", "TorrentDotNET"),
    (*b"TR", "Transmission"),
    (*b"TS", "Torrentstorm"),
    (*b"TT", "TuoTu"),
    (*b"TX", "Tixati"),
    (*b"UL", "uLeecher!"),
    (*b"UM", "µTorrent for Mac"),
    (*b"UT", "µTorrent"),
    (*b"UW", "µTorrent Web"),
    (*b"VG", "Vagaa"),
    (*b"WD", "WebTorrent Desktop"),
    (*b"WT", "BitLet"),
    (*b"WW", "WebTorrent"),
    (*b"WY", "FireTorrent"),
    (*b"XL", "Xunlei"),
    (*b"XT", "XanTorrent"),
    (*b"XX", "Xtorrent"),
    (*b"ZT", "ZipTorrent"),
    (*b"lt", "rTorrent"),
    (*b"qB", "qBittorrent"),
    (*b"st", "sharktorrent"),
];

/// The letter before the version of a Shadow-style id.
const SHADOW_STYLE: &[(u8, &str)] = &[
    (b'A', "ABC"),
    (b'O', "Osprey Permaseed"),
    (b'Q', "BTQueue"),
    (b'R', "Tribler"),
    (b'S', "Shadow"),
    (b'T', "BitTornado"),
    (b'U', "UPnP NAT Bit Torrent"),
];

/// What program a peer runs, going by its id: name and version, or the id itself, escaped, if it
/// follows no known convention. Safe to show: printable ASCII and µ.
#[must_use]
pub fn client_name(id: PeerId) -> String {
    azureus_style(&id.0)
        .or_else(|| special(&id.0))
        .or_else(|| mainline_style(&id.0))
        .or_else(|| shadow_style(&id.0))
        .unwrap_or_else(|| id.0.escape_ascii().to_string())
}

/// `-XX1234-`: each character of the version is a number, letters going on after 9.
fn azureus_style(id: &[u8; 20]) -> Option<String> {
    let &[b'-', a, b, ref version @ .., dash] = id.first_chunk::<8>()? else { return None };
    // FlashGet leaves the second dash out.
    if dash != b'-' && [a, b] != *b"FG" {
        return None;
    }
    let mut numbers = version.map(|c| char::from(c).to_digit(36));
    // A zero in the last place is a place that is not used; a letter there marks a kind of build.
    if matches!(numbers[3], Some(0 | 10..)) && numbers[..3].iter().all(Option::is_some) {
        numbers[3] = None;
        return Some(named(azureus_name([a, b])?, numbers[..3].iter().flatten()));
    }
    let numbers: Option<Vec<u32>> = numbers.into_iter().collect();
    Some(named(azureus_name([a, b])?, numbers?.iter()))
}

fn azureus_name(code: [u8; 2]) -> Option<String> {
    match AZUREUS_STYLE.iter().find(|(known, _)| *known == code) {
        Some((_, name)) => Some((*name).to_owned()),
        None => code
            .iter()
            .all(|c| c.is_ascii_alphanumeric() || *c == b'~')
            .then(|| code.escape_ascii().to_string()),
    }
}

/// `M7-10-5-`: numbers in decimal, dashes between.
fn mainline_style(id: &[u8; 20]) -> Option<String> {
    let name = match id[0] {
        b'M' => "BitTorrent",
        b'Q' => "Queen Bee",
        _ => return None,
    };
    let mut parts = id[1..].split(|c| *c == b'-');
    let mut numbers = [0; 3];
    for number in &mut numbers {
        *number = decimal(parts.next()?)?;
    }
    parts.next().map(|_| named(name.to_owned(), numbers.iter()))
}

fn decimal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    digits.iter().try_fold(0, |n, c| Some(10 * n + char::from(*c).to_digit(10)?))
}

/// `S58B-----`: up to five characters of version in base 64, dashes behind them up to the ninth.
fn shadow_style(id: &[u8; 20]) -> Option<String> {
    let (_, name) = SHADOW_STYLE.iter().find(|(letter, _)| *letter == id[0])?;
    let len = id[1..6].iter().position(|c| *c == b'-').unwrap_or(5);
    if len == 0 || id[1 + len..9].iter().any(|c| *c != b'-') {
        return None;
    }
    let numbers: Option<Vec<u32>> = id[1..=len].iter().map(|c| base64(*c)).collect();
    Some(named((*name).to_owned(), numbers?.iter()))
}

fn base64(c: u8) -> Option<u32> {
    Some(
        match c {
            b'0'..=b'9' => c - b'0',
            b'A'..=b'Z' => c - b'A' + 10,
            b'a'..=b'z' => c - b'a' + 36,
            b'.' => 62,
            _ => return None,
        }
        .into(),
    )
}

/// Programs with conventions of their own.
fn special(id: &[u8; 20]) -> Option<String> {
    match id {
        [b'e', b'x', b'b', b'c', major, minor, brand @ ..] => {
            let name = if brand.starts_with(b"LORD") { "BitLord" } else { "BitComet" };
            Some(format!("{name} {major}.{minor:02}"))
        }
        [b'X', b'B', b'T', version @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _] => {
            let numbers: Option<Vec<u32>> =
                version.iter().map(|c| char::from(*c).to_digit(10)).collect();
            Some(named("XBT Client".to_owned(), numbers?.iter()))
        }
        [b'-', b'M', b'L', rest @ ..] => {
            let version = rest.split(|c| *c == b'-').next()?;
            let plain = version.iter().all(|c| c.is_ascii_digit() || *c == b'.');
            (plain && !version.is_empty()).then(|| format!("MLDonkey {}", version.escape_ascii()))
        }
        [b'A', b'Z', b'2', b'5', b'0', b'0', b'B', b'T', ..] => Some("BitTyrant".to_owned()),
        [b'T', b'I', b'X', a, b, c, d, ..] => {
            let [a, b, c, d] = [a, b, c, d].map(|c| char::from(*c).to_digit(10));
            Some(format!("Tixati {}.{}{}", 10 * a? + b?, c?, d?))
        }
        _ => None,
    }
}

fn named<'a>(mut name: String, version: impl Iterator<Item = &'a u32>) -> String {
    for (i, number) in version.enumerate() {
        name.push(if i == 0 { ' ' } else { '.' });
        name.push_str(&number.to_string());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(prefix: &[u8]) -> String {
        let mut id = [b'x'; 20];
        id[..prefix.len()].copy_from_slice(prefix);
        client_name(PeerId(id))
    }

    #[test]
    fn names_follow_the_conventions() {
        let cases: &[(&[u8], &str)] = &[
            (b"-TR4000-", "Transmission 4.0.0"),
            (b"-TR406Z-", "Transmission 4.0.6"),
            (b"-qB4650-", "qBittorrent 4.6.5"),
            (b"-UT355W-", "µTorrent 3.5.5"),
            (b"-LT20B0-", "libtorrent 2.0.11"),
            (b"-lt0D60-", "rTorrent 0.13.6"),
            (b"-AZ5751-", "Vuze 5.7.5.1"),
            (b"-DE211s-", "Deluge 2.1.1"),
            (b"-FG0180x", "FlashGet 0.1.8"),
            (b"-y91234-", "y9 1.2.3.4"),
            (b"M7-10-5--", "BitTorrent 7.10.5"),
            (b"Q1-10-0-", "Queen Bee 1.10.0"),
            (b"S58B-----", "Shadow 5.8.11"),
            (b"T03I----", "BitTornado 0.3.18"),
            (b"XBT054d-", "XBT Client 0.5.4"),
            (b"exbc\x00\x38", "BitComet 0.56"),
            (b"exbc\x01\x01LORD", "BitLord 1.01"),
            (b"-ML2.7.2-", "MLDonkey 2.7.2"),
            (b"AZ2500BT", "BitTyrant"),
            (b"TIX0316-", "Tixati 3.16"),
        ];
        for (prefix, expected) in cases {
            let mut prefix = prefix.to_vec();
            // Shadow's ids have dashes up to the ninth character.
            if matches!(prefix[0], b'S' | b'T') && prefix.ends_with(b"--") {
                prefix.resize(9, b'-');
            }
            assert_eq!(name(&prefix), *expected);
        }
    }

    #[test]
    fn ids_without_convention_are_escaped() {
        assert_eq!(client_name(PeerId(*b"abcdefghijklmnopqrst")), "abcdefghijklmnopqrst");
        assert_eq!(
            client_name(PeerId(*b"<b>\x00\n\xff23456789012345")),
            "<b>\\x00\\n\\xff23456789012345"
        );
    }

    proptest! {
        #[test]
        fn names_are_short_and_printable(
            start in "[-SMTQX]?[ -~]{0,8}",
            rest in any::<[u8; 20]>(),
        ) {
            let mut id = rest;
            id[..start.len()].copy_from_slice(start.as_bytes());
            let name = client_name(PeerId(id));
            prop_assert!(!name.is_empty() && name.len() <= 80);
            prop_assert!(name.chars().all(|c| c == 'µ' || (' '..='~').contains(&c)), "{name:?}");
        }
    }
}
