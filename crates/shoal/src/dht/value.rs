//! `shoal dht put` and `shoal dht get`: values, and items that only the holder of a key replaces
//! (BEP 44).

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::dht::kademlia::{
    Command, Event, Item, SALT_MAX, VALUE_MAX, bencoded, immutable_key, mutable_key, plain,
};
use anyhow::Context;
use clap::Args;
use codec::hex::Hex;
use machine::dht::{Cost, Key, Report};
use net::dht::{IdentityError, KademliaNode, SigningKey};
use serde_json::json;

use super::node::{Node, Wishes, user_folder};
use super::{Network, ShortArgs, cost, hex, parse_key, sha1};
use crate::exit::{BadInput, Exit, Failure, bad_input, say};
use crate::report::say_json;

/// Options of `shoal dht put`.
#[derive(Args, Debug)]
pub struct PutArgs {
    /// The file that holds the value, of at most 1000 bytes; `-` for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Store it under this key: 40 hexadecimal digits, or any text [default: what the value's hash
    /// says] (Chord)
    #[arg(long, value_parser = parse_key)]
    key: Option<Key>,
    /// Sign it with our key, so that only we can replace it (Kademlia)
    #[arg(long, conflicts_with = "key")]
    mutable: bool,
    /// Tell this item from others of our key
    #[arg(long, value_name = "TEXT", requires = "mutable", value_parser = parse_salt)]
    salt: Option<String>,
    /// The version, a number [default: one more than that of what is found]
    #[arg(long, value_name = "N", requires = "mutable", value_parser = clap::value_parser!(i64).range(0..))]
    seq: Option<i64>,
    /// Store only over this version
    #[arg(long, value_name = "N", requires = "mutable")]
    cas: Option<i64>,
    /// The file of the key that signs; made if it is missing [default: in the user's data folder]
    #[arg(long, value_name = "FILE", requires = "mutable")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    short: ShortArgs,
}

/// Options of `shoal dht get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// The key: 40 hexadecimal digits, or any text
    #[arg(value_parser = parse_key, required_unless_present = "public_key")]
    key: Option<Key>,
    /// Find the item that the holder of this key signed (Kademlia)
    #[arg(long, value_name = "HEX", value_parser = parse_public, conflicts_with = "key")]
    public_key: Option<PublicKey>,
    /// Which item of that key
    #[arg(long, value_name = "TEXT", requires = "public_key", value_parser = parse_salt)]
    salt: Option<String>,
    /// Write the value here rather than to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    short: ShortArgs,
}

/// An Ed25519 key.
#[derive(Clone, Copy, Debug)]
pub struct PublicKey([u8; 32]);

fn parse_public(text: &str) -> Result<PublicKey, String> {
    hex(text).map(PublicKey).ok_or_else(|| "a public key is 64 hexadecimal digits".to_owned())
}

fn parse_salt(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > SALT_MAX {
        return Err(format!("a salt has 1 to {SALT_MAX} bytes"));
    }
    Ok(text.to_owned())
}

impl PutArgs {
    /// When to give up.
    pub fn timeout(&self) -> Duration {
        self.short.timeout
    }

    fn value(&self) -> Result<Vec<u8>, Failure> {
        let mut value = Vec::new();
        // One byte more than fits tells that it is too long.
        let most = VALUE_MAX as u64 + 1;
        let read = if self.file == Path::new("-") {
            io::stdin().lock().take(most).read_to_end(&mut value)
        } else {
            File::open(&self.file).and_then(|file| file.take(most).read_to_end(&mut value))
        };
        read.with_context(|| self.file.display().to_string()).bad_input()?;
        let len = match self.short.place.network {
            Network::Kademlia => bencoded(&value).len(),
            Network::Chord | Network::Overlay(_) => value.len(),
        };
        if len > VALUE_MAX {
            return Err(bad_input("a value has at most 1000 bytes, with its length in front"));
        }
        Ok(value)
    }

    fn signing_key(&self) -> Result<SigningKey, Failure> {
        let default = || Some(user_folder("XDG_DATA_HOME", ".local/share")?.join("dht.key"));
        let path = self.key_file.clone().or_else(default);
        let path = path.ok_or_else(|| bad_input("name a --key-file: there is no home folder"))?;
        SigningKey::load_or_make(&path).map_err(|error| match error {
            IdentityError::Exposed(_) | IdentityError::Form(_) => bad_input(error.to_string()),
            error => anyhow::Error::from(error).into(),
        })
    }
}

/// Stores a value.
///
/// # Errors
/// When it cannot be read or is too long, or nobody stores it.
pub async fn put(args: &PutArgs) -> Result<Exit, Failure> {
    let value = args.value()?;
    let place = &args.short.place;
    match (place.network, args.key, args.mutable) {
        (Network::Kademlia, Some(_), _) => {
            return Err(bad_input("the key of a value in Kademlia is its hash: leave out --key"));
        }
        (Network::Chord | Network::Overlay(_), _, true) => {
            return Err(bad_input("--mutable is Kademlia's: elsewhere, put the --key again"));
        }
        _ => {}
    }
    let signing = if args.mutable { Some(args.signing_key()?) } else { None };
    let wishes = Wishes { state: args.short.state.clone(), ..Wishes::default() };
    let node = match Node::joined(place, &wishes).await? {
        Ok(node) => node,
        Err(exit) => return Ok(exit),
    };
    let stored = match (&node, &signing) {
        (Node::Kademlia(kademlia, _), Some(signing)) => {
            args.put_signed(kademlia, signing, &value).await
        }
        _ => {
            let by_hash = || match place.network {
                Network::Kademlia => immutable_key(&bencoded(&value)),
                Network::Chord | Network::Overlay(_) => sha1(&value),
            };
            let key = args.key.unwrap_or_else(by_hash);
            match node.put(key, value).await? {
                Report::Stored { copies, cost } if copies > 0 => {
                    args.say(&Stored { key, public: None, seq: None, copies, cost })
                }
                _ => Err(anyhow::anyhow!("nobody stored the value").into()),
            }
        }
    };
    node.leave().await;
    stored.map(|()| Exit::Done)
}

/// What became of a value.
struct Stored {
    key: Key,
    public: Option<[u8; 32]>,
    seq: Option<i64>,
    copies: u16,
    cost: Cost,
}

impl PutArgs {
    async fn put_signed(
        &self,
        node: &KademliaNode,
        signing: &SigningKey,
        value: &[u8],
    ) -> Result<(), Failure> {
        let salt = self.salt.as_deref().unwrap_or_default().as_bytes();
        let public = signing.public();
        let key = mutable_key(&public, salt);
        let seq = match self.seq {
            Some(seq) => seq,
            None => {
                let get = Command::GetItem { target: key, salt: salt.into() };
                let found = node.handle().call(get).await.context("cannot look for the item")?;
                match found {
                    Event::Item { item, .. } => item.seq().unwrap_or(0).saturating_add(1),
                    _ => 1,
                }
            }
        };
        let item = signing.item(value, salt, seq);
        let put = Command::PutItem { item, cas: self.cas };
        let event = node.handle().call(put).await.context("cannot store the item")?;
        match event {
            Event::Report(Report::Stored { copies, cost }) if copies > 0 => {
                self.say(&Stored { key, public: Some(public), seq: Some(seq), copies, cost })
            }
            Event::Refused { refusal, .. } => {
                Err(anyhow::anyhow!("refused: {refusal} ({})", refusal.code()).into())
            }
            _ => Err(anyhow::anyhow!("nobody stored the item").into()),
        }
    }

    fn say(&self, stored: &Stored) -> Result<(), Failure> {
        let Stored { key, public, seq, copies, cost: took } = stored;
        let public = public.as_ref().map(|public| Hex(public).to_string());
        if self.short.json {
            return say_json(&json!({
                "key": key.to_string(), "public_key": public, "salt": self.salt, "seq": seq,
                "copies": copies, "hops": took.hops, "requests": took.messages,
                "unanswered": took.timeouts,
            }));
        }
        say(format_args!("Key         {key}"))?;
        if let (Some(public), Some(seq)) = (public, seq) {
            say(format_args!("Public key  {public}\nVersion     {seq}"))?;
        }
        say(format_args!("Copies      {copies} ({})", cost(*took)))
    }
}

impl GetArgs {
    /// When to give up.
    pub fn timeout(&self) -> Duration {
        self.short.timeout
    }
}

/// Finds a value.
///
/// # Errors
/// When nobody has it, or it cannot be written.
pub async fn get(args: &GetArgs) -> Result<Exit, Failure> {
    let place = &args.short.place;
    if place.network != Network::Kademlia && args.public_key.is_some() {
        return Err(bad_input("items of a --public-key are Kademlia's"));
    }
    let wishes = Wishes { state: args.short.state.clone(), ..Wishes::default() };
    let node = match Node::joined(place, &wishes).await? {
        Ok(node) => node,
        Err(exit) => return Ok(exit),
    };
    let salt = args.salt.as_deref().unwrap_or_default().as_bytes();
    let target = match (args.key, args.public_key) {
        (Some(key), _) => key,
        (None, Some(PublicKey(public))) => mutable_key(&public, salt),
        (None, None) => return Err(bad_input("name a key")),
    };
    let found = match &node {
        Node::Kademlia(node, _) => {
            let get = Command::GetItem { target, salt: salt.into() };
            match node.handle().call(get).await.context("cannot look for the value")? {
                Event::Item { item, cost } => Some((plain(item.value()), Some(item), cost)),
                _ => None,
            }
        }
        Node::Chord(_) | Node::Overlay(_) => match node.get(target).await? {
            Report::Found { value, cost } => Some((value, None, cost)),
            _ => None,
        },
    };
    node.leave().await;
    let Some((value, item, cost)) = found else {
        return Err(anyhow::anyhow!("nobody has a value under {target}").into());
    };
    args.say(target, &value, item.as_ref(), cost).map(|()| Exit::Done)
}

impl GetArgs {
    fn say(&self, key: Key, value: &[u8], item: Option<&Item>, took: Cost) -> Result<(), Failure> {
        if let Some(output) = &self.output {
            std::fs::write(output, value).with_context(|| output.display().to_string())?;
        }
        if self.short.json {
            let public = match item {
                Some(Item::Mutable(item)) => Some(Hex(&item.public_key).to_string()),
                _ => None,
            };
            return say_json(&json!({
                "key": key.to_string(), "value": std::str::from_utf8(value).ok(),
                "value_hex": Hex(value).to_string(), "public_key": public,
                "seq": item.and_then(Item::seq), "hops": took.hops, "requests": took.messages,
                "unanswered": took.timeouts,
            }));
        }
        if self.output.is_none() {
            let mut out = io::stdout().lock();
            out.write_all(value).and_then(|()| out.flush()).context("cannot write the value")?;
        }
        Ok(())
    }
}
