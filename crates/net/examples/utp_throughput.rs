//! Sends bytes through uTP over loopback between two processes and prints GiB/s.
//!
//! `utp_throughput [MIB [IP]]` runs both ends; `utp_throughput send ADDRESS MIB` is the child.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Instant;

use bittorrent::utp::Config;
use net::utp::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;

const CHUNK: usize = 256 << 10;
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["send", to, mib] => local.block_on(&runtime, send(to.parse()?, mib.parse()?)),
        [] => local.block_on(&runtime, receive(512, LOOPBACK)),
        [mib] => local.block_on(&runtime, receive(mib.parse()?, LOOPBACK)),
        [mib, ip] => local.block_on(&runtime, receive(mib.parse()?, ip.parse()?)),
        _ => Err("usage: utp_throughput [MIB [IP]]".into()),
    }
}

async fn endpoint(ip: IpAddr) -> Result<Endpoint, Box<dyn Error>> {
    let socket = UdpSocket::bind((ip, 0)).await?;
    Ok(Endpoint::new(socket, Config::default(), getrandom::u64()?)?)
}

fn pattern(chunk: usize) -> u8 {
    (chunk % 251) as u8
}

async fn send(to: SocketAddr, mib: usize) -> Result<(), Box<dyn Error>> {
    let endpoint = endpoint(to.ip()).await?;
    let mut stream = endpoint.connect(to).await?;
    let mut data = vec![0; CHUNK];
    for chunk in 0..mib * (1 << 20) / CHUNK {
        data.fill(pattern(chunk));
        stream.write_all(&data).await?;
    }
    stream.shutdown().await?;
    eprintln!("sender   {:?}", endpoint.stats());
    drop(stream);
    endpoint.wait_idle().await;
    Ok(())
}

async fn receive(mib: usize, ip: IpAddr) -> Result<(), Box<dyn Error>> {
    let endpoint = endpoint(ip).await?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["send", &endpoint.local_addr().to_string(), &mib.to_string()])
        .spawn()?;
    let mut stream = endpoint.accept().await;
    let began = Instant::now();
    let mut data = vec![0; CHUNK];
    let mut count = 0;
    loop {
        let read = stream.read(&mut data).await?;
        if read == 0 {
            break;
        }
        for (at, &byte) in data[..read].iter().enumerate().step_by(997) {
            assert_eq!(byte, pattern((count + at) / CHUNK), "byte {}", count + at);
        }
        count += read;
    }
    let took = began.elapsed().as_secs_f64();
    assert_eq!(count, mib << 20);
    println!("{mib} MiB in {took:.2} s: {:.3} GiB/s", count as f64 / took / f64::from(1 << 30));
    println!("receiver {:?}", endpoint.stats());
    stream.shutdown().await?;
    drop(stream);
    endpoint.wait_idle().await;
    child.wait()?;
    Ok(())
}
