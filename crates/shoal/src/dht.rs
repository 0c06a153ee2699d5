//! `shoal dht`: take part in a distributed hash table, and use it. What the commands share lives
//! here; how a node begins and ends is in `node`.

mod find;
mod join;
mod node;
mod value;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context;
use clap::builder::PossibleValue;
use clap::{Args, Subcommand, ValueEnum};
use machine::dht::{Cost, Key};
use net::dht::{OVERLAYS, OverlayKind};
use sha1::{Digest, Sha1};
use tokio::runtime;
use tokio::task::LocalSet;

use crate::exit::{Exit, Failure};
use crate::interrupt;
use crate::units::parse_duration;

/// How often signals are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Options of `shoal dht`.
#[derive(Args, Debug)]
pub struct DhtArgs {
    /// What to do
    #[command(subcommand)]
    command: DhtCommand,
}

#[derive(Debug, Subcommand)]
enum DhtCommand {
    /// Run a node until Ctrl-C
    Join(join::JoinArgs),
    /// Store a value, and print the key it is found under
    Put(value::PutArgs),
    /// Print the value that is stored under a key
    Get(value::GetArgs),
    /// Find the nodes that are responsible for a key, or the peers of a torrent
    Lookup(find::LookupArgs),
    /// Say how the network looks from here, and what is kept of it
    Status(find::StatusArgs),
}

/// A kind of distributed hash table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// A ring with fingers.
    Chord,
    /// The mainline DHT of BitTorrent.
    Kademlia,
    /// One of those that need nothing of their own here.
    Overlay(&'static OverlayKind),
}

impl ValueEnum for Network {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Network>> = LazyLock::new(|| {
            let overlays = OVERLAYS.iter().map(Network::Overlay);
            [Network::Chord, Network::Kademlia].into_iter().chain(overlays).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, summary) = match self {
            Self::Chord => ("chord", "A ring with fingers"),
            Self::Kademlia => ("kademlia", "The mainline DHT of BitTorrent"),
            Self::Overlay(kind) => (kind.name, kind.summary),
        };
        Some(PossibleValue::new(name).help(summary))
    }
}

/// Where to begin.
#[derive(Args, Debug)]
pub struct WhereArgs {
    /// Which hash table
    #[arg(long, value_enum, default_value = "kademlia")]
    network: Network,
    /// Listen here, over UDP [default: a free port at the address that leads to the first node]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Begin with this node; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Vec<String>,
    /// Begin with the well-known nodes of the public network, and those met there before
    #[arg(long)]
    public: bool,
}

/// How a command that ends by itself is run.
#[derive(Args, Debug)]
pub struct ShortArgs {
    #[command(flatten)]
    place: WhereArgs,
    /// Give up after so long
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "30s")]
    timeout: Duration,
    /// Print an object of JSON
    #[arg(long)]
    json: bool,
    /// The folder of what nodes keep from one run to the next [default: the user's state folder]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When it is asked wrongly, or the network or a file fails.
pub fn run(args: &DhtArgs) -> Result<Exit, Failure> {
    match &args.command {
        DhtCommand::Join(args) => join::run(args),
        DhtCommand::Put(args) => run_for(args.timeout(), value::put(args)),
        DhtCommand::Get(args) => run_for(args.timeout(), value::get(args)),
        DhtCommand::Lookup(args) => run_for(args.timeout(), find::lookup(args)),
        DhtCommand::Status(args) => run_for(args.timeout(), find::status(args)),
    }
}

/// Runs `work` on one thread until it is done, a signal comes, or `timeout` has passed.
fn run_for(
    timeout: Duration,
    work: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    block_on(async {
        tokio::select! {
            done = work => done,
            () = interrupted() => Ok(Exit::Interrupted),
            () = tokio::time::sleep(timeout) => {
                eprintln!("shoal: nothing came in time");
                Ok(Exit::GaveUp)
            }
        }
    })
}

/// Runs `work` on one thread; from here on signals are looked at.
fn block_on(work: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    interrupt::heed();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    LocalSet::new().block_on(&runtime.context("cannot start")?, work)
}

/// Waits for a signal.
async fn interrupted() {
    let mut ticks = tokio::time::interval(TICK);
    while !interrupt::wanted() {
        ticks.tick().await;
    }
}

/// Reads a key: 40 hexadecimal digits, or any other text, whose SHA-1 it is.
fn parse_key(text: &str) -> Result<Key, String> {
    match hex(text) {
        Some(key) => Ok(Key(key)),
        None if text.is_empty() => Err("a key is 40 hexadecimal digits, or a text".to_owned()),
        None => Ok(sha1(text.as_bytes())),
    }
}

fn sha1(bytes: &[u8]) -> Key {
    Key(Sha1::digest(bytes).into())
}

/// Exactly `N` bytes in hexadecimal.
fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    codec::hex::decode(text)
}

/// What it took, for people.
fn cost(cost: Cost) -> String {
    let Cost { hops, messages, timeouts } = cost;
    let late = if timeouts > 0 { format!(", {timeouts} unanswered") } else { String::new() };
    format!("{hops} hops, {messages} requests{late}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_digits_or_texts() {
        let digits = "0123456789ABCDEF0123456789abcdef01234567";
        assert_eq!(parse_key(digits).map(|key| key.0[0]), Ok(1));
        // `printf hello | sha1sum`
        let hello = "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d";
        assert_eq!(parse_key("hello").map(|key| key.to_string()), Ok(hello.to_owned()));
        assert!(parse_key("").is_err());
    }
}
