//! Messages of a trace as packets for tools that read pcap files: IPv4 and UDP around each, as it
//! leaves its sender.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::io::{self, Read, Write};

use super::format::What;
use super::reader::{Reader, TraceError};
use crate::Node;

/// Times in nanoseconds, in the byte order in which it is read as this number.
const MAGIC: u32 = 0xa1b2_3c4d;
/// The packets begin with their IP head (LINKTYPE_RAW).
const LINK_TYPE: u32 = 101;
const IP_HEAD: u16 = 20;
const UDP_HEAD: u16 = 8;
const UDP: u8 = 17;

/// Why there is no pcap file.
#[derive(Debug, thiserror::Error)]
pub enum PcapError {
    /// The trace cannot be read.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The packets cannot be written.
    #[error("writing packets: {0}")]
    Write(#[from] io::Error),
}

/// The address that stands for a node: its slot in 10.0.0.0/8, its incarnation as the port.
#[must_use]
pub fn address(node: Node) -> SocketAddrV4 {
    let [_, a, b, c] = node.slot().to_be_bytes();
    let port = 10_000 + node.incarnation() as u16;
    SocketAddrV4::new(Ipv4Addr::new(10, a, b, c), port)
}

/// Writes every message that was sent in `trace` as a packet, lost ones included; says how many.
///
/// # Errors
/// [`PcapError`] if reading or writing fails.
pub fn export<R: Read, W: Write>(trace: Reader<R>, mut out: W) -> Result<u64, PcapError> {
    let mut head = Vec::new();
    head.extend(MAGIC.to_be_bytes());
    head.extend([0, 2, 0, 4]);
    head.extend([0; 8]);
    head.extend(u32::from(u16::MAX).to_be_bytes());
    head.extend(LINK_TYPE.to_be_bytes());
    out.write_all(&head)?;
    let mut packets = 0;
    for record in trace {
        let record = record?;
        if let What::Sent { to, message, .. } = &record.what {
            out.write_all(&packet(record.at.as_nanos(), record.node, *to, message))?;
            packets += 1;
        }
    }
    out.flush()?;
    Ok(packets)
}

fn packet(nanos: u64, from: Node, to: Node, message: &[u8]) -> Vec<u8> {
    let (from, to) = (address(from), address(to));
    // A reader gives out no message that is longer than UDP carries.
    let datagram = u16::try_from(message.len()).unwrap_or(u16::MAX).saturating_add(UDP_HEAD);
    let length = datagram.saturating_add(IP_HEAD);
    let mut ip = Vec::with_capacity(usize::from(IP_HEAD));
    ip.extend([0x45, 0]);
    ip.extend(length.to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, UDP, 0, 0]);
    ip.extend(from.ip().octets());
    ip.extend(to.ip().octets());
    let sum = checksum(&ip).to_be_bytes();
    ip[10..12].copy_from_slice(&sum);

    let mut packet = Vec::with_capacity(16 + usize::from(length));
    packet.extend(((nanos / 1_000_000_000) as u32).to_be_bytes());
    packet.extend(((nanos % 1_000_000_000) as u32).to_be_bytes());
    packet.extend(u32::from(length).to_be_bytes());
    packet.extend(u32::from(length).to_be_bytes());
    packet.extend(ip);
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(datagram.to_be_bytes());
    // No checksum, which IPv4 allows.
    packet.extend([0, 0]);
    packet.extend_from_slice(message);
    packet
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
