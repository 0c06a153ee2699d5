//! Speaks just enough of the peer protocol over uTP to try the transport against another client.
//!
//! `utp_peer fetch ADDRESS INFO_HASH SIZE PIECE_LENGTH FILE` dials a seed, asks for every block and
//! writes the file; `utp_peer serve ADDRESS INFO_HASH PIECE_LENGTH FILE` waits for one leech.

use std::error::Error;
use std::io;
use std::time::{Duration, Instant};

use bittorrent::utp::Config;
use net::utp::{Endpoint, UtpStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use tokio::net::UdpSocket;

const BLOCK: usize = 16 << 10;
const MAX_MESSAGE: usize = 1 << 20;
/// Requests that are on their way at once.
const PIPELINE: usize = 256;

const UNCHOKE: u8 = 1;
const INTERESTED: u8 = 2;
const BITFIELD: u8 = 5;
const REQUEST: u8 = 6;
const PIECE: u8 = 7;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    local.block_on(&runtime, async {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["fetch", to, hash, size, piece, file] => {
                let endpoint = endpoint("127.0.0.1:0").await?;
                let stream = endpoint.connect(to.parse()?).await?;
                fetch(stream, hash, size.parse()?, piece.parse()?, file).await?;
                println!("{:?}", endpoint.stats());
                endpoint.wait_idle().await;
                Ok(())
            }
            ["serve", on, hash, piece, file] => {
                let endpoint = endpoint(on).await?;
                serve(endpoint.accept().await, hash, piece.parse()?, file).await?;
                println!("{:?}", endpoint.stats());
                endpoint.wait_idle().await;
                Ok(())
            }
            _ => Err("see the head of this file".into()),
        }
    })
}

async fn endpoint(on: &str) -> Outcome<Endpoint> {
    Ok(Endpoint::new(UdpSocket::bind(on).await?, Config::default(), getrandom::u64()?)?)
}

struct Peer {
    input: BufReader<ReadHalf<UtpStream>>,
    output: WriteHalf<UtpStream>,
}

impl Peer {
    async fn greet(stream: UtpStream, hash: &str) -> Outcome<Self> {
        let (input, output) = tokio::io::split(stream);
        let mut peer = Self { input: BufReader::with_capacity(256 << 10, input), output };
        let mut greeting = b"\x13BitTorrent protocol".to_vec();
        greeting.extend([0; 8]);
        for at in (0..hash.len()).step_by(2) {
            greeting.push(u8::from_str_radix(&hash[at..at + 2], 16)?);
        }
        greeting.extend(b"-XX0001-utp-example!");
        peer.output.write_all(&greeting).await?;
        let mut theirs = [0; 68];
        peer.input.read_exact(&mut theirs).await?;
        if theirs[..20] != greeting[..20] || theirs[28..48] != greeting[28..48] {
            return Err("not a greeting for this torrent".into());
        }
        println!("peer id {:?}", String::from_utf8_lossy(&theirs[48..56]));
        Ok(peer)
    }

    async fn send(&mut self, id: u8, parts: &[&[u8]]) -> io::Result<()> {
        let len = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut message = (len as u32).to_be_bytes().to_vec();
        message.push(id);
        parts.iter().for_each(|part| message.extend_from_slice(part));
        self.output.write_all(&message).await
    }

    async fn receive(&mut self, message: &mut Vec<u8>) -> Outcome<()> {
        loop {
            let len = self.input.read_u32().await? as usize;
            if len > MAX_MESSAGE {
                return Err(format!("message of {len} bytes").into());
            }
            message.resize(len, 0);
            self.input.read_exact(message).await?;
            if len > 0 {
                return Ok(());
            }
        }
    }
}

fn numbers<const N: usize>(bytes: &[u8]) -> Outcome<[usize; N]> {
    let mut out = [0; N];
    for (number, chunk) in out.iter_mut().zip(bytes.chunks_exact(4)) {
        *number = u32::from_be_bytes(chunk.try_into()?) as usize;
    }
    Ok(out)
}

async fn fetch(
    stream: UtpStream,
    hash: &str,
    size: usize,
    piece: usize,
    file: &str,
) -> Outcome<()> {
    let mut peer = Peer::greet(stream, hash).await?;
    peer.send(INTERESTED, &[]).await?;
    let mut content = vec![0; size];
    let (mut asked, mut received) = (0, 0);
    let mut message = Vec::new();
    let mut began = Instant::now();
    let mut unchoked = false;
    while received < size {
        while unchoked && asked < size && asked < received + PIPELINE * BLOCK {
            let at = [asked / piece, asked % piece, BLOCK.min(size - asked)];
            let at = at.map(|number| (number as u32).to_be_bytes());
            peer.send(REQUEST, &[&at[0], &at[1], &at[2]]).await?;
            asked += BLOCK;
        }
        peer.receive(&mut message).await?;
        match *message {
            [UNCHOKE, ..] if !unchoked => (unchoked, began) = (true, Instant::now()),
            [PIECE, ref body @ ..] if body.len() > 8 => {
                let [index, begin] = numbers(body)?;
                let start = index * piece + begin;
                content[start..start + body.len() - 8].copy_from_slice(&body[8..]);
                received += body.len() - 8;
            }
            _ => {}
        }
    }
    let took = began.elapsed();
    let rate = size as f64 / took.as_secs_f64() / f64::from(1 << 20);
    println!("{size} bytes in {took:?}: {rate:.1} MiB/s");
    std::fs::write(file, content)?;
    peer.output.shutdown().await?;
    Ok(())
}

async fn serve(stream: UtpStream, hash: &str, piece: usize, file: &str) -> Outcome<()> {
    println!("{} dials", stream.peer_addr());
    let content = std::fs::read(file)?;
    let mut peer = Peer::greet(stream, hash).await?;
    let pieces = content.len().div_ceil(piece);
    let mut bits = vec![0u8; pieces.div_ceil(8)];
    (0..pieces).for_each(|piece| bits[piece / 8] |= 0x80 >> (piece % 8));
    peer.send(BITFIELD, &[&bits]).await?;
    peer.send(UNCHOKE, &[]).await?;
    let mut message = Vec::new();
    let mut sent = 0;
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), peer.receive(&mut message)).await;
        let Ok(Ok(())) = next else { break };
        if let [REQUEST, body @ ..] = &*message
            && body.len() == 12
        {
            let [index, begin, len] = numbers(body)?;
            let start = index * piece + begin;
            let block = content.get(start..start + len).ok_or("asked beyond the end")?;
            peer.send(PIECE, &[&body[..8], block]).await?;
            sent += len;
        }
    }
    println!("sent {sent} bytes of {}", content.len());
    Ok(())
}
