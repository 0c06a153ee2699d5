//! Kademlia (Maymounkov and Mazieres, IPTPS 2002), and on the wire the mainline DHT (BEP 5, 32, 42,
//! 43, 44, 51).
//!
//! [`Kademlia`] is the machine, generic over what a contact is: live a [`Peer`], in a simulator a
//! small number. [`Config`] holds its rules, [`Table`] its buckets, [`Lookup`] the iterative
//! lookup; [`krpc`] turns messages into datagrams. There is one machine for each family of
//! addresses, as BEP 32 has two networks.

mod bytes;
mod config;
mod item;
mod items;
pub mod krpc;
mod limiter;
mod lookup;
mod machine;
mod message;
mod node_id;
mod operation;
mod peer;
mod peers;
mod respond;
mod table;
mod token;
mod upkeep;

pub use bytes::{Short, Token, Transaction};
pub use config::{Config, Family, Naming};
pub use item::{
    Item, Mutable, SALT_MAX, VALUE_MAX, bencoded, immutable_key, mutable_key, plain, signed_bytes,
};
pub use lookup::{Lookup, PATHS_MAX, Shape, Step};
pub use machine::{Command, Event, Kademlia, OPERATIONS_MAX, Timer};
pub use message::{Body, Found, Message, Put, Query, Refusal, Reply, Samples, Want};
pub use node_id::{AddressVote, is_exempt, is_valid, node_id};
pub use peer::Peer;
pub use peers::{
    ADDRESS_PEERS_MAX, ADDRESS_PORTS_MAX, REPLY_PEERS_MAX, SAMPLE_INTERVAL, SAMPLE_MAX,
    TORRENT_PEERS_MAX, TORRENTS_MAX,
};
pub use table::Table;
pub use token::TOKEN_ROTATION;
