//! Where the router is: the default gateway of IPv4, as the kernel's table of routes has it, and the
//! address by which this machine is known to it. Nothing is sent to find out.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// The table of IPv4 routes (`man 5 proc_pid_net`).
const ROUTES: &str = "/proc/net/route";
/// A route's flag: it leads over a gateway.
const BY_GATEWAY: u32 = 2;

/// A router next door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) router: Ipv4Addr,
    /// This machine, as the router knows it.
    pub(super) local: Ipv4Addr,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoGateway {
    #[error("there is no route to the outside")]
    NoRoute,
    #[error("{ROUTES}: {0}")]
    Routes(#[source] io::Error),
    #[error("no address towards the router: {0}")]
    NoAddress(#[source] io::Error),
}

impl Gateway {
    /// Looks for it.
    pub(super) fn find() -> Result<Self, NoGateway> {
        let routes = std::fs::read_to_string(ROUTES).map_err(NoGateway::Routes)?;
        let router = default_gateway(&routes).ok_or(NoGateway::NoRoute)?;
        // Connecting a socket of datagrams chooses its address, and sends nothing.
        let local = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| {
                socket.connect((router, 9))?;
                socket.local_addr()
            })
            .map_err(NoGateway::NoAddress)?;
        match local.ip() {
            IpAddr::V4(local) => Ok(Self { router, local }),
            IpAddr::V6(_) => Err(NoGateway::NoRoute),
        }
    }
}

/// The gateway of the default route with the least metric.
fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    let routes = routes.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [_, destination, gateway, flags, _, _, metric, mask, ..] = fields[..] else {
            return None;
        };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let leads_out = hex(destination)? == 0 && hex(mask)? == 0 && hex(flags)? & BY_GATEWAY != 0;
        // The kernel prints the address's four bytes as one number of this machine.
        leads_out.then_some(())?;
        Some((metric.parse::<u32>().ok()?, Ipv4Addr::from(hex(gateway)?.to_ne_bytes())))
    });
    routes.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn route(destination: &str, gateway: &str, flags: &str, metric: &str, mask: &str) -> String {
        format!("eth0\t{destination}\t{gateway}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
    }

    /// As a kernel of this machine's byte order prints it.
    fn printed(address: [u8; 4]) -> String {
        format!("{:08X}", u32::from_ne_bytes(address))
    }

    #[test]
    fn the_default_route_with_the_least_metric_counts() {
        let table = [
            HEAD.to_owned(),
            route("00000000", &printed([192, 168, 1, 254]), "0003", "600", "00000000"),
            route("00000000", &printed([10, 0, 0, 1]), "0003", "100", "00000000"),
            route(&printed([10, 0, 0, 0]), "00000000", "0001", "0", &printed([255, 0, 0, 0])),
        ]
        .concat();
        assert_eq!(default_gateway(&table), Some(Ipv4Addr::new(10, 0, 0, 1)));
    }

    #[test]
    fn a_table_without_a_default_route_has_no_gateway() {
        let direct = route("00000000", "00000000", "0001", "0", "00000000");
        let network = route(
            &printed([10, 0, 0, 0]),
            &printed([10, 0, 0, 1]),
            "0003",
            "0",
            &printed([255, 0, 0, 0]),
        );
        for table in ["", HEAD, "eth0 what is this", &[HEAD, &direct, &network].concat()] {
            assert_eq!(default_gateway(table), None, "{table:?}");
        }
    }
}
