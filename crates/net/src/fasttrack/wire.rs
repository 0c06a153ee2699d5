//! How messages of the two-level network travel in datagrams, who signs them, and which addresses
//! count as one network.

use std::net::{IpAddr, SocketAddr};

use machine::{OpId, Wire};
use search::fasttrack::{
    Command, DATAGRAM_MAX, Event, FastTrack, Id, Identity, Message, Signature, Voucher,
};

use crate::datagram::{Arrival, Protocol};
use crate::identity::{SigningKey, has_signed};

/// The protocol in datagrams of its own.
#[derive(Clone, Copy, Debug)]
pub struct FastTrackWire;

impl Protocol for FastTrackWire {
    type Machine = FastTrack<SocketAddr, SigningKey>;
    const DATAGRAM_MAX: usize = DATAGRAM_MAX;

    fn decode(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
    ) -> Option<Arrival<SocketAddr, Message<SocketAddr>>> {
        let message = Message::decode(datagram).ok()?;
        Some(Arrival { node: 0, from, message })
    }

    fn encode(
        &mut self,
        _: usize,
        to: SocketAddr,
        message: Message<SocketAddr>,
        out: &mut Vec<u8>,
    ) -> SocketAddr {
        message.encode(out);
        to
    }

    fn cancel(search: OpId) -> Option<Command<SocketAddr>> {
        // Whatever else was asked has one answer.
        Some(Command::Cancel { search })
    }

    fn is_last(event: &Event<SocketAddr>) -> bool {
        !matches!(event, Event::Found { .. })
    }
}

impl Identity for SigningKey {
    fn id(&self) -> Id {
        Id(self.public())
    }

    fn sign(&self, text: &[u8]) -> Signature {
        Signature(Self::sign(self, text))
    }

    fn verify(id: &Id, text: &[u8], signature: &Signature) -> bool {
        has_signed(&id.0, text, &signature.0)
    }
}

/// Vouchers as they are kept from one run to the next: the message that shows them.
pub(super) fn write_vouchers(vouchers: &[Voucher]) -> Vec<u8> {
    let mut out = Vec::new();
    Message::<SocketAddr>::Stand { session: 0, vouchers: vouchers.into() }.encode(&mut out);
    out
}

/// None, if that is not what these bytes are.
pub(super) fn read_vouchers(bytes: &[u8]) -> Vec<Voucher> {
    match Message::<SocketAddr>::decode(bytes) {
        Ok(Message::Stand { vouchers, .. }) => vouchers.into_vec(),
        _ => Vec::new(),
    }
}

/// Which network an address is in, when uploads to different networks are counted: a /16 of IPv4
/// and a /32 of IPv6, about what one holder has. On loopback every address is one, for trials.
#[must_use]
pub fn network_of(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() => u64::from(ip.to_bits()),
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> 16),
        // Apart from those of IPv4.
        IpAddr::V6(ip) => 1 << 32 | (ip.to_bits() >> 96) as u64,
    }
}
