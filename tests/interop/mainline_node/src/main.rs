//! A node of the mainline crate, told what to do by lines on standard input.
//!
//!     mainline-node ADDR:PORT [BOOTSTRAP...]
//!
//! Prints `ready`, and an answer to each line, behind `= `. Bytes are hexadecimal, `-` is nothing:
//!
//!     put VALUE                               TARGET
//!     get TARGET                              VALUE
//!     put_mutable SEED PUBLIC SALT SEQ VALUE  TARGET
//!     get_mutable PUBLIC SALT                 SEQ VALUE
//!     announce INFOHASH PORT                  -
//!     get_peers INFOHASH                      ADDR:PORT...

use std::io::{BufRead, stdin};
use std::net::SocketAddrV4;

use mainline::{Dht, Id, MutableItem, SigningKey};

type Answer = Result<String, Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let listen: SocketAddrV4 = arguments.next().ok_or("no address")?.parse()?;
    let known: Vec<String> = arguments.collect();
    let dht = Dht::builder()
        .server_mode()
        .bind_address(*listen.ip())
        .public_ip(*listen.ip())
        .port(listen.port())
        .bootstrap(&known)
        .build()?;
    if !known.is_empty() && !bootstrapped(&dht) {
        return Err("nobody answers".into());
    }
    println!("ready");
    for line in stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match obey(&dht, &words) {
            Ok(answer) if answer.is_empty() => println!("= -"),
            Ok(answer) => println!("= {answer}"),
            Err(error) => println!("= error {error}"),
        }
    }
    Ok(())
}

#[allow(deprecated, reason = "nothing here waits for two things at once")]
fn bootstrapped(dht: &Dht) -> bool {
    dht.bootstrapped()
}

#[allow(deprecated, reason = "nothing here waits for two things at once")]
fn obey(dht: &Dht, words: &[&str]) -> Answer {
    match words {
        ["put", value] => Ok(dht.put_immutable(&bytes(value)?)?.to_string()),
        ["get", target] => {
            Ok(dht.get_immutable(id(target)?).map(|value| hex(&value)).unwrap_or_default())
        }
        ["put_mutable", seed, _, salt, seq, value] => {
            let signer = SigningKey::from_bytes(&array(seed)?);
            let salt = bytes(salt)?;
            let salt = (!salt.is_empty()).then_some(&salt[..]);
            let item = MutableItem::new(signer, &bytes(value)?, seq.parse()?, salt);
            Ok(dht.put_mutable(item, None)?.to_string())
        }
        ["get_mutable", key, salt] => {
            let salt = bytes(salt)?;
            let salt = (!salt.is_empty()).then_some(&salt[..]);
            let item = dht.get_mutable_most_recent(&array(key)?, salt);
            Ok(item.map(|item| format!("{} {}", item.seq(), hex(item.value()))).unwrap_or_default())
        }
        ["announce", info_hash, port] => {
            dht.announce_peer(id(info_hash)?, Some(port.parse()?))?;
            Ok(String::new())
        }
        ["get_peers", info_hash] => {
            let peers = dht.get_peers(id(info_hash)?).flatten();
            Ok(peers.map(|peer| peer.to_string()).collect::<Vec<_>>().join(" "))
        }
        _ => Err("no such command".into()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    if hex == "-" {
        return Ok(Vec::new());
    }
    let pair = |at| hex.get(at..at + 2).ok_or("half a byte");
    (0..hex.len()).step_by(2).map(|at| Ok(u8::from_str_radix(pair(at)?, 16)?)).collect()
}

fn array<const N: usize>(hex: &str) -> Result<[u8; N], Box<dyn std::error::Error>> {
    bytes(hex)?.try_into().map_err(|_| "wrong length".into())
}

fn id(hex: &str) -> Result<Id, Box<dyn std::error::Error>> {
    Ok(array::<20>(hex)?.into())
}
