//! Fills the table of a tracker with peers and prints what that costs:
//! `tracker_memory [PEERS [TORRENTS]]`, by default 10 million in 1 million, a tenth of them IPv6.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use bittorrent::id::InfoHash;
use bittorrent::tracker::siphash::SipKey;
use bittorrent::tracker::table::{Announce, Limits, Standing, Table};
use machine::Rng;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let peers = arguments.next().transpose()?.unwrap_or(10_000_000);
    let torrents = arguments.next().transpose()?.unwrap_or(1_000_000);
    let limits = Limits {
        torrents: usize::MAX,
        peers_per_torrent: usize::MAX,
        peers: usize::MAX,
        lifetime: Duration::from_secs(3_600),
    };
    let before = resident()?;
    let mut rng = Rng::new(1);
    let mut table = Table::new(limits, SipKey([rng.next_u64(), rng.next_u64()]));
    let (mut slowest, mut told) = (Duration::ZERO, Vec::with_capacity(2_000));
    let begun = Instant::now();
    for _ in 0..peers {
        // A product of two is nearer to how torrents differ than one number.
        let torrent = rng.below(torrents) * rng.below(torrents) / torrents.max(1);
        let mut info_hash = [0; 20];
        Rng::new(torrent).fill(&mut info_hash);
        let ip: IpAddr = if rng.below(10) == 0 {
            Ipv6Addr::from_bits(u128::from(rng.next_u64()) << 64 | 0x2001).into()
        } else {
            Ipv4Addr::from_bits(rng.next_u32()).into()
        };
        let announce = Announce {
            info_hash: InfoHash(info_hash),
            address: SocketAddr::new(ip, rng.next_u32() as u16),
            standing: if rng.below(2) == 0 { Standing::Seed } else { Standing::Leecher },
            completed: false,
            started: false,
        };
        told.clear();
        let start = Instant::now();
        table.announce(machine::Instant::ZERO, &announce, 50, &mut rng, &mut told)?;
        slowest = slowest.max(start.elapsed());
    }
    let took = begun.elapsed();
    let bytes = resident()? - before;
    println!(
        "{} peers in {} torrents: {} MiB, {} bytes a peer; {:.0} announces/s, the slowest {slowest:?}",
        table.peers(),
        table.torrents(),
        bytes >> 20,
        bytes / peers.max(1),
        peers as f64 / took.as_secs_f64(),
    );
    Ok(())
}

/// Bytes of memory that the process holds, by what Linux says.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}
