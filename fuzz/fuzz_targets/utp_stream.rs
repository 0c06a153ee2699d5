//! uTP connections: whatever strangers send, whenever, the socket holds and sends a bounded amount.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bittorrent::utp::{Batch, Config, Handle, Mux};
use libfuzzer_sys::fuzz_target;
use machine::{Instant, Rng};

const MAX_CONNECTIONS: usize = 8;

fn address(host: u8) -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, host & 3), 6_881).into()
}

/// Forged packets rarely guess a connection's numbers: these places are filled in from the last
/// packet that the socket sent.
fn aim(datagram: &mut [u8], sent: &[u8], how: u8) {
    if datagram.len() < 20 || sent.len() < 20 {
        return;
    }
    datagram[0] = datagram[0] & 0x70 | 1;
    let id = u16::from_be_bytes([sent[2], sent[3]]);
    let id = match how & 3 {
        0 => id,
        1 => id.wrapping_add(1),
        2 => id.wrapping_sub(1),
        _ => return,
    };
    datagram[2..4].copy_from_slice(&id.to_be_bytes());
    let near = |at: usize, by: u8| {
        let number = u16::from_be_bytes([sent[at], sent[at + 1]]);
        number.wrapping_add(u16::from(by)).wrapping_sub(4).to_be_bytes()
    };
    let (seq_by, ack_by) = (datagram[17], datagram[19]);
    datagram[16..18].copy_from_slice(&near(18, seq_by));
    datagram[18..20].copy_from_slice(&near(16, ack_by));
}

fuzz_target!(|data: &[u8]| {
    let config = Config { max_connections: MAX_CONNECTIONS, ..Config::default() };
    let capacity = config.receive_buffer;
    let mut mux = Mux::new(config, Rng::new(1));
    let mut batch = Batch::new(1 << 20);
    let mut now = Instant::from_nanos(1_000_000_000);
    let mut handles: Vec<Handle> = Vec::new();
    let mut last = Vec::new();
    let mut rest = data;
    while let [step, argument, len, tail @ ..] = rest {
        let (body, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = tail;
        match step & 7 {
            0..=2 => {
                let mut datagram = body.to_vec();
                aim(&mut datagram, &last, step >> 3);
                let _ = mux.on_datagram(now, address(*argument), &datagram);
            }
            3 => {
                now = now + Duration::from_millis(u64::from(*argument) * u64::from(*len));
                mux.on_timeout(now);
            }
            4 => handles.extend(mux.connect(now, address(*argument))),
            _ => {
                let Some(&handle) = handles.get(usize::from(*argument) % handles.len().max(1))
                else {
                    continue;
                };
                match step >> 3 & 7 {
                    0 => drop(mux.with(handle, |c| c.write(body))),
                    1 => drop(mux.with(handle, |c| c.read(&mut [0; 1_000]))),
                    2 => drop(mux.with(handle, |c| c.shutdown())),
                    3 => drop(mux.with(handle, |c| c.abort())),
                    4 => mux.release(now, handle),
                    _ => drop(mux.with(handle, |c| c.write(&[7; 5_000]))),
                }
            }
        }
        handles.extend(mux.accept());
        assert!(mux.len() <= MAX_CONNECTIONS);
        let mut rounds = 0;
        while mux.transmit(now, &mut batch) {
            batch.clear();
            rounds += 1;
            assert!(rounds < 100, "it sends without end");
        }
        if let Some((_, datagram)) = batch.datagrams().last() {
            last = datagram.to_vec();
        }
        batch.clear();
        while mux.next_change().is_some() {}
        for &handle in &handles {
            if let Some(connection) = mux.connection(handle) {
                let (front, back) = connection.readable();
                assert!(front.len() + back.len() <= capacity + (64 << 10));
            }
        }
    }
});
