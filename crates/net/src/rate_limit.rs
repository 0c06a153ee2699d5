//! How often one host may ask: a bucket of tokens each, for a bounded number of hosts.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Most hosts that are told apart. When there are more, those with full buckets are forgotten; if
/// that is not enough, all are: the limit is then lenient, and memory stays bounded.
const MAX_HOSTS: usize = 100_000;
/// Seconds' worth of requests that may come at once.
const BURST_SECS: f64 = 10.0;

pub(crate) struct RateLimit {
    per_second: f64,
    hosts: HashMap<u64, Bucket>,
}

struct Bucket {
    tokens: f64,
    since: Instant,
}

impl RateLimit {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second: per_second.into(), hosts: HashMap::new() }
    }

    /// Whether a host may ask once more now.
    pub(crate) fn admit(&mut self, ip: IpAddr, now: Instant) -> bool {
        let (rate, burst) = (self.per_second, self.per_second * BURST_SECS);
        if self.hosts.len() >= MAX_HOSTS {
            let full = Duration::from_secs_f64(BURST_SECS);
            self.hosts.retain(|_, bucket| now.duration_since(bucket.since) < full);
            if self.hosts.len() >= MAX_HOSTS {
                self.hosts.clear();
            }
        }
        let bucket = self.hosts.entry(host(ip)).or_insert(Bucket { tokens: burst, since: now });
        let earned = now.duration_since(bucket.since).as_secs_f64() * rate;
        bucket.tokens = (bucket.tokens + earned).min(burst);
        bucket.since = now;
        let admitted = bucket.tokens >= 1.0;
        if admitted {
            bucket.tokens -= 1.0;
        }
        admitted
    }
}

/// What belongs to one customer: an IPv4 address, or an IPv6 /64.
fn host(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_bits().into(),
        // The global prefixes in use begin with bits that no IPv4 address has there.
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_pass_and_floods_do_not() {
        let (mut limit, now) = (RateLimit::new(5), Instant::now());
        let flood = |limit: &mut RateLimit, ip: &str, now| {
            let ip = ip.parse().expect("an address");
            (0..1_000).filter(|_| limit.admit(ip, now)).count()
        };
        assert_eq!(flood(&mut limit, "10.0.0.1", now), 50);
        assert_eq!(flood(&mut limit, "10.0.0.2", now), 50, "others are not affected");
        assert_eq!(flood(&mut limit, "10.0.0.1", now + Duration::from_secs(2)), 10);
        assert_eq!(flood(&mut limit, "2001:db8::1", now), 50);
        assert_eq!(flood(&mut limit, "2001:db8::2", now), 0, "one /64 is one host");
    }

    #[test]
    fn hosts_are_bounded() {
        let (mut limit, now) = (RateLimit::new(1), Instant::now());
        for n in 0..=MAX_HOSTS as u32 {
            limit.admit(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(limit.hosts.len() <= MAX_HOSTS);
    }
}
