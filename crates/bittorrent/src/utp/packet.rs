//! The bytes of uTP packets, version 1 (BEP 29): a parsed view of a datagram, and the writing of
//! headers and extensions. What a packet means to a connection is not here.

use super::seq::SeqNr;

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 20;
/// Bytes of a header that carries [`Packet::max_datagram`].
pub(super) const HELLO_LEN: usize = HEADER_LEN + 2 + 8 + 2 + 2;

const VERSION: u8 = 1;
const EXTENSION_NONE: u8 = 0;
const EXTENSION_SACK: u8 = 1;
/// libutp's eight bytes of bits, none of which has a meaning yet. libutp, and with it Transmission,
/// takes a packet whose first extension has a number above this one for version 0 of the protocol.
const EXTENSION_BITS: u8 = 2;
/// libtorrent's reason for closing: two reserved bytes, then a number.
const EXTENSION_CLOSE_REASON: u8 = 3;
/// Ours: the largest datagram that the sender takes whole, two bytes. Others skip it. It is needed
/// because some programs receive into 1,500 bytes and acknowledge what was cut off. Never the first of
/// a packet: see [`EXTENSION_BITS`].
const EXTENSION_MAX_DATAGRAM: u8 = 0x4d;
/// More extensions than any program sends; a bound on work per packet.
const MAX_EXTENSIONS: usize = 8;

/// What kind of packet it is (`type` in BEP 29).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Carries bytes of the stream.
    Data = 0,
    /// The last packet of a direction.
    Fin = 1,
    /// An acknowledgement alone; its number is that of the next packet, and is not used up.
    State = 2,
    /// The connection is gone.
    Reset = 3,
    /// Opens a connection.
    Syn = 4,
}

/// The fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of packet it is.
    pub kind: Kind,
    /// Which connection it belongs to, as its receiver counts.
    pub connection_id: u16,
    /// The sender's clock, microseconds.
    pub timestamp: u32,
    /// One-way delay of the last packet the sender received, on unsynchronised clocks, microseconds;
    /// 0 is no measurement.
    pub timestamp_difference: u32,
    /// Free room in the sender's receive buffer, bytes.
    pub window: u32,
    /// Number of this packet.
    pub seq_nr: SeqNr,
    /// Number of the last packet that the sender received in order.
    pub ack_nr: SeqNr,
}

/// One datagram, parsed in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    /// Which packets beyond the acknowledged one have arrived.
    pub sack: Sack<'a>,
    /// Why the sender closes, in libtorrent's numbers.
    pub close_reason: Option<u16>,
    /// The largest datagram, in bytes, that the sender says it takes whole.
    pub max_datagram: Option<u16>,
    /// Bytes of the stream.
    pub payload: &'a [u8],
}

/// A selective acknowledgement: a bit for each packet from `ack_nr + 2` on, least significant bit
/// of each byte first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sack<'a>(pub &'a [u8]);

impl Sack<'_> {
    /// Whether the extension was absent.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Distances from `ack_nr` of the packets that have arrived, ascending, each at least 2.
    pub fn distances(&self) -> impl Iterator<Item = u16> + '_ {
        (2u16..).step_by(8).zip(self.0).flat_map(|(first, &byte)| {
            (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| first + bit)
        })
    }
}

/// Why a datagram is not a uTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Shorter than a header.
    #[error("uTP packet of {0} bytes is shorter than a header")]
    Short(usize),
    /// Not version 1.
    #[error("uTP version {0} is not 1")]
    Version(u8),
    /// A type above [`Kind::Syn`].
    #[error("uTP packet type {0} does not exist")]
    Kind(u8),
    /// An extension reaches past the end.
    #[error("uTP extension {id} wants {len} bytes where {left} are left")]
    ExtensionLength {
        /// Its number.
        id: u8,
        /// Bytes that it claims, its own two-byte head included.
        len: usize,
        /// Bytes there are.
        left: usize,
    },
    /// A selective acknowledgement of no bits.
    #[error("uTP selective acknowledgement is empty")]
    EmptySack,
    /// A longer chain of extensions than any program sends.
    #[error("uTP packet has more than {MAX_EXTENSIONS} extensions")]
    TooManyExtensions,
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    /// If it is not a version 1 packet, or an extension does not fit into it.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let Some((head, mut rest)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(ParseError::Short(datagram.len()));
        };
        if head[0] & 0xf != VERSION {
            return Err(ParseError::Version(head[0] & 0xf));
        }
        let kind = match head[0] >> 4 {
            0 => Kind::Data,
            1 => Kind::Fin,
            2 => Kind::State,
            3 => Kind::Reset,
            4 => Kind::Syn,
            other => return Err(ParseError::Kind(other)),
        };
        let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let u32_at =
            |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let header = Header {
            kind,
            connection_id: u16_at(2),
            timestamp: u32_at(4),
            timestamp_difference: u32_at(8),
            window: u32_at(12),
            seq_nr: SeqNr(u16_at(16)),
            ack_nr: SeqNr(u16_at(18)),
        };
        let mut packet = Packet {
            header,
            sack: Sack::default(),
            close_reason: None,
            max_datagram: None,
            payload: &[],
        };
        let mut id = head[1];
        let mut count = 0;
        while id != EXTENSION_NONE {
            count += 1;
            if count > MAX_EXTENSIONS {
                return Err(ParseError::TooManyExtensions);
            }
            let (next, body, after) = match *rest {
                [next, len, ref tail @ ..] if tail.len() >= usize::from(len) => {
                    let (body, after) = tail.split_at(usize::from(len));
                    (next, body, after)
                }
                _ => {
                    let len = 2 + rest.get(1).map_or(0, |&len| usize::from(len));
                    return Err(ParseError::ExtensionLength { id, len, left: rest.len() });
                }
            };
            match (id, body) {
                (EXTENSION_SACK, []) => return Err(ParseError::EmptySack),
                // BEP 29 wants multiples of four bytes; libtorrent sends as many as it needs.
                (EXTENSION_SACK, bits) => packet.sack = Sack(bits),
                (EXTENSION_CLOSE_REASON, &[_, _, high, low]) => {
                    packet.close_reason = Some(u16::from_be_bytes([high, low]));
                }
                (EXTENSION_MAX_DATAGRAM, &[high, low]) => {
                    packet.max_datagram = Some(u16::from_be_bytes([high, low]));
                }
                _ => {}
            }
            (id, rest) = (next, after);
        }
        packet.payload = rest;
        Ok(packet)
    }
}

/// Whether a datagram has the first byte and the length of a uTP packet. Messages of the DHT and of
/// UDP trackers, which may share the socket, do not.
#[must_use]
pub fn looks_like_utp(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_LEN
        && datagram[0] & 0xf == VERSION
        && datagram[0] >> 4 <= Kind::Syn as u8
}

impl Header {
    /// Writes the header for a packet without extensions.
    pub fn write(&self, out: &mut [u8; HEADER_LEN]) {
        self.write_with(EXTENSION_NONE, out);
    }

    fn write_with(&self, extension: u8, out: &mut [u8; HEADER_LEN]) {
        out[0] = (self.kind as u8) << 4 | VERSION;
        out[1] = extension;
        out[2..4].copy_from_slice(&self.connection_id.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.timestamp_difference.to_be_bytes());
        out[12..16].copy_from_slice(&self.window.to_be_bytes());
        out[16..18].copy_from_slice(&self.seq_nr.0.to_be_bytes());
        out[18..20].copy_from_slice(&self.ack_nr.0.to_be_bytes());
    }

    /// Writes a packet that also says how large a datagram its sender takes.
    pub(super) fn write_hello(&self, max_datagram: u16, out: &mut [u8; HELLO_LEN]) {
        let (head, extension) = out.split_at_mut(HEADER_LEN);
        if let Ok(head) = head.try_into() {
            self.write_with(EXTENSION_BITS, head);
        }
        let [high, low] = max_datagram.to_be_bytes();
        let bits = [EXTENSION_MAX_DATAGRAM, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let size = [EXTENSION_NONE, 2, high, low];
        extension[..bits.len()].copy_from_slice(&bits);
        extension[bits.len()..].copy_from_slice(&size);
    }

    /// Writes a packet with a selective acknowledgement into `out`, which is as long as
    /// [`sack_packet_len`] says; `bits` yields whether packet `ack_nr + 2`, `+ 3`, … has arrived.
    pub(super) fn write_sack(&self, bits: impl Iterator<Item = bool>, out: &mut [u8]) {
        let Some((head, extension)) = out.split_first_chunk_mut::<HEADER_LEN>() else { return };
        self.write_with(EXTENSION_SACK, head);
        let [next, len, mask @ ..] = extension else { return };
        *next = EXTENSION_NONE;
        mask.fill(0);
        *len = u8::try_from(mask.len()).unwrap_or(u8::MAX);
        for (at, arrived) in bits.enumerate() {
            let Some(byte) = mask.get_mut(at / 8) else { break };
            *byte |= u8::from(arrived) << (at % 8);
        }
    }
}

/// Bytes of a packet whose selective acknowledgement covers `packets` packets, as far as one does.
pub(super) fn sack_packet_len(packets: usize) -> usize {
    // At most 63 words of 32 bits fit the one-byte length.
    HEADER_LEN + 2 + packets.div_ceil(32).clamp(1, 63) * 4
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn header(kind: Kind) -> Header {
        Header {
            kind,
            connection_id: 0x1234,
            timestamp: 0x0102_0304,
            timestamp_difference: 0x0506_0708,
            window: 0x000f_4240,
            seq_nr: SeqNr(0xfffe),
            ack_nr: SeqNr(3),
        }
    }

    fn bytes(kind: Kind, extension: u8, rest: &[u8]) -> Vec<u8> {
        let mut out = [0; HEADER_LEN];
        header(kind).write_with(extension, &mut out);
        [&out[..], rest].concat()
    }

    #[test]
    fn header_has_the_layout_of_the_specification() {
        let expected =
            [0x41, 0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0x0f, 0x42, 0x40, 0xff, 0xfe, 0, 3];
        let mut out = [0; HEADER_LEN];
        header(Kind::Syn).write(&mut out);
        assert_eq!(out, expected);
        let packet = Packet::parse(&out).unwrap();
        assert_eq!(packet.header, header(Kind::Syn));
        assert!(packet.sack.is_empty() && packet.payload.is_empty());
    }

    #[test]
    fn payload_follows_any_extensions() {
        // An unknown extension, libtorrent's close reason, and a selective acknowledgement.
        let datagram = bytes(
            Kind::Data,
            9,
            &[3, 1, 0xaa, 1, 4, 0, 0, 0x01, 0x05, 0, 4, 0b0000_0101, 0, 0, 0x80, b'x', b'y'],
        );
        let packet = Packet::parse(&datagram).unwrap();
        assert_eq!(packet.close_reason, Some(0x0105));
        assert_eq!(packet.sack.distances().collect::<Vec<_>>(), [2, 4, 33]);
        assert_eq!(packet.payload, b"xy");
    }

    #[test]
    fn hello_round_trips() {
        let mut out = [0; HELLO_LEN];
        header(Kind::Syn).write_hello(65_507, &mut out);
        assert_eq!(Packet::parse(&out).unwrap().max_datagram, Some(65_507));
        assert!(out[1] < 3, "what libutp takes for version 1");
    }

    #[test]
    fn ut_01_selective_acknowledgements_never_reach_past_the_end() {
        for (rest, error) in [
            (&[][..], ParseError::ExtensionLength { id: 1, len: 2, left: 0 }),
            (&[0], ParseError::ExtensionLength { id: 1, len: 2, left: 1 }),
            (&[0, 255, 1, 2, 3], ParseError::ExtensionLength { id: 1, len: 257, left: 5 }),
            (&[0, 4, 1, 2, 3], ParseError::ExtensionLength { id: 1, len: 6, left: 5 }),
            (&[0, 0], ParseError::EmptySack),
            (&[1, 1, 7, 1, 9, 9], ParseError::ExtensionLength { id: 1, len: 11, left: 3 }),
        ] {
            let datagram = bytes(Kind::State, 1, rest);
            let fixed = match error {
                ParseError::ExtensionLength { id: 1, len: 11, .. } => {
                    ParseError::ExtensionLength { id: 1, len: 11, left: 3 }
                }
                other => other,
            };
            assert_eq!(Packet::parse(&datagram), Err(fixed), "{rest:?}");
        }
        // Odd lengths that fit are libtorrent's habit.
        let datagram = bytes(Kind::State, 1, &[0, 3, 0xff, 0, 1]);
        assert_eq!(Packet::parse(&datagram).unwrap().sack.distances().count(), 9);
        let mut longest = vec![0, 255];
        longest.extend([0xff; 255]);
        let datagram = bytes(Kind::State, 1, &longest);
        assert_eq!(Packet::parse(&datagram).unwrap().sack.distances().last(), Some(2 + 2039));
    }

    #[test]
    fn what_is_not_utp_is_refused() {
        assert_eq!(Packet::parse(&[0x21; 19]), Err(ParseError::Short(19)));
        assert_eq!(Packet::parse(&[0x22; 20]), Err(ParseError::Version(2)));
        assert_eq!(Packet::parse(&[0x51; 20]), Err(ParseError::Kind(5)));
        let chain = [1u8, 0].repeat(300);
        let mut chain_of_unknown = bytes(Kind::State, 7, &chain);
        for byte in chain_of_unknown[HEADER_LEN..].iter_mut().step_by(2) {
            *byte = 7;
        }
        assert_eq!(Packet::parse(&chain_of_unknown), Err(ParseError::TooManyExtensions));
        assert!(!looks_like_utp(b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping"));
        assert!(!looks_like_utp(&[0; 20]), "a tracker's answer to connect");
        assert!(looks_like_utp(&bytes(Kind::Syn, 0, &[])));
    }

    proptest! {
        #[test]
        fn sack_bits_round_trip(bits in proptest::collection::vec(any::<bool>(), 1..3000)) {
            let mut out = vec![0xee; sack_packet_len(bits.len())];
            header(Kind::State).write_sack(bits.iter().copied(), &mut out);
            let packet = Packet::parse(&out).unwrap();
            let covered = (out.len() - HEADER_LEN - 2) * 8;
            let expected: Vec<u16> = (2..).zip(&bits).take(covered).filter(|(_, b)| **b).map(|(d, _)| d).collect();
            prop_assert_eq!(packet.sack.distances().collect::<Vec<_>>(), expected);
            prop_assert!(packet.payload.is_empty());
        }

        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut bytes = bytes;
            let _ = Packet::parse(&bytes);
            if let Some(first) = bytes.first_mut() {
                *first = 0x21;
            }
            let _ = Packet::parse(&bytes);
        }
    }
}
