//! What connections cost: the resident memory of a session in a process of its own, before and
//! after peers come that shake hands and say nothing more, or little.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::child::{Child, Made, Role};

const IDLE: usize = 2_000;
const ACTIVE: usize = 200;
/// Generous: a machine's own account of a peer, its buffers, a socket and a task.
const BYTES_PER_IDLE_MAX: u64 = 16 * 1024;
const BYTES_PER_ACTIVE_MAX: u64 = 512 * 1024;

/// A raw connection through its handshakes.
fn greet(child: &Child, made: &Made, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(child.address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    let mut said = b"\x13BitTorrent protocol\0\0\0\0\0\0\0\x04".to_vec();
    said.extend_from_slice(&made.info_hash().0);
    said.extend_from_slice(format!("-TR4060-{number:012}").as_bytes());
    stream.write_all(&said).expect("a handshake is sent");
    let mut heard = [0; 68];
    stream.read_exact(&mut heard).expect("a handshake comes back");
    assert_eq!(heard[..48], [&said[..20], &heard[20..28], &made.info_hash().0].concat());
    stream
}

/// Asks for a block, and reads until the answer or the end of patience.
fn be_active(stream: &mut TcpStream) {
    // `have none`, interested, and a request in case there is a slot.
    let mut said = vec![0, 0, 0, 1, 15, 0, 0, 0, 1, 2, 0, 0, 0, 13, 6];
    for field in [0_u32, 0, 16 * 1024] {
        said.extend_from_slice(&field.to_be_bytes());
    }
    stream.write_all(&said).expect("a request is sent");
    loop {
        let mut head = [0; 5];
        stream.read_exact(&mut head).expect("an answer");
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let mut body = vec![0; len as usize - 1];
        stream.read_exact(&mut body).expect("an answer");
        // A block, or its refusal.
        if head[4] == 7 || head[4] == 16 {
            return;
        }
    }
}

#[test]
fn idle_peers_are_cheap() {
    let made = Made::new(1 << 20);
    let seed = Child::start(Role::Seed, &made, made.source.path(), &[]);
    // What the first connections bring with them is no peer's.
    let first: Vec<_> = (0..50).map(|number| greet(&seed, &made, number)).collect();
    let before = seed.resident();
    let idle: Vec<_> = (50..50 + IDLE).map(|number| greet(&seed, &made, number)).collect();
    let with_idle = seed.resident();
    let mut active: Vec<_> =
        (0..ACTIVE).map(|number| greet(&seed, &made, 100_000 + number)).collect();
    active.iter_mut().for_each(be_active);
    let with_active = seed.resident();
    let per_idle = with_idle.saturating_sub(before) / IDLE as u64;
    let per_active = with_active.saturating_sub(with_idle) / ACTIVE as u64;
    println!("{before} bytes resident; {per_idle} per idle peer, {per_active} per active peer");
    assert!(per_idle <= BYTES_PER_IDLE_MAX, "{per_idle} bytes per idle peer");
    assert!(per_active <= BYTES_PER_ACTIVE_MAX, "{per_active} bytes per active peer");
    drop((first, idle, active));
}
