//! The reader of KRPC. Queries without an item take no memory of their own.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use codec::bencode::{Cursor, Kind};
use machine::dht::Key;

use super::super::bytes::{Token, Transaction};
use super::super::item::{Item, Mutable};
use super::super::message::{Body, Found, Message, Put, Query, Refusal, Reply, Samples, Want};
use super::super::peer::Peer;
use super::{DATAGRAM_MAX, KrpcError, NODES_MAX, PEERS_MAX, Packet, SAMPLES_MAX};

pub(super) fn packet(bytes: &[u8]) -> Result<Packet, KrpcError> {
    if bytes.len() > DATAGRAM_MAX {
        return Err(KrpcError::TooLong);
    }
    let mut cursor = Cursor::new(bytes);
    let mut top = Top::default();
    cursor.enter_dict()?;
    while !cursor.leave()? {
        match cursor.string()? {
            b"a" => first(&mut top.a, cursor.skip()?),
            b"e" => first(&mut top.e, cursor.skip()?),
            b"ip" => first(&mut top.ip, string("ip", cursor.skip()?)?),
            b"q" => first(&mut top.q, string("q", cursor.skip()?)?),
            b"r" => first(&mut top.r, cursor.skip()?),
            b"ro" => top.read_only = int("ro", cursor.skip()?)? == 1,
            b"t" => first(&mut top.t, string("t", cursor.skip()?)?),
            b"y" => first(&mut top.y, string("y", cursor.skip()?)?),
            _ => drop(cursor.skip()?),
        }
    }
    if !cursor.is_at_end() {
        return Err(KrpcError::Trailing);
    }
    let transaction = top.t.ok_or(KrpcError::Missing("t"))?;
    let transaction = Transaction::new(transaction).ok_or(KrpcError::Invalid("t"))?;
    let (sender, body) = match top.y.ok_or(KrpcError::Missing("y"))? {
        b"q" => {
            let name = top.q.ok_or(KrpcError::Missing("q"))?;
            let fields = Fields::read(top.a.ok_or(KrpcError::Missing("a"))?)?;
            let query = query(name, &fields)?;
            (Some(fields.id()?), Body::Query { read_only: top.read_only, query })
        }
        b"r" => {
            let fields = Fields::read(top.r.ok_or(KrpcError::Missing("r"))?)?;
            (Some(fields.id()?), Body::Reply(reply(&fields)?))
        }
        b"e" => (None, Body::Refusal(refusal(top.e)?)),
        _ => return Err(KrpcError::Invalid("y")),
    };
    let observed = top.ip.and_then(address);
    Ok(Packet { sender, observed, message: Message { transaction, body } })
}

/// The outermost dictionary; of a key that is there twice, the first.
#[derive(Default)]
struct Top<'a> {
    a: Option<&'a [u8]>,
    e: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    q: Option<&'a [u8]>,
    r: Option<&'a [u8]>,
    t: Option<&'a [u8]>,
    y: Option<&'a [u8]>,
    read_only: bool,
}

/// The arguments of a query or the results in a reply.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    info_hash: Option<&'a [u8]>,
    token: Option<&'a [u8]>,
    k: Option<&'a [u8]>,
    salt: Option<&'a [u8]>,
    sig: Option<&'a [u8]>,
    nodes: Option<&'a [u8]>,
    nodes6: Option<&'a [u8]>,
    samples: Option<&'a [u8]>,
    age: Option<i64>,
    cas: Option<i64>,
    seq: Option<i64>,
    port: Option<i64>,
    interval: Option<i64>,
    num: Option<i64>,
    implied_port: bool,
    /// Values that may be of any kind, as they stand.
    v: Option<&'a [u8]>,
    values: Option<&'a [u8]>,
    want: Want,
}

impl<'a> Fields<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, KrpcError> {
        let mut cursor = Cursor::new(raw);
        let mut fields = Self::default();
        cursor.enter_dict()?;
        while !cursor.leave()? {
            let key = cursor.string()?;
            let raw = cursor.skip()?;
            match key {
                b"id" => first(&mut fields.id, string("id", raw)?),
                b"target" => first(&mut fields.target, string("target", raw)?),
                b"info_hash" => first(&mut fields.info_hash, string("info_hash", raw)?),
                b"token" => first(&mut fields.token, string("token", raw)?),
                b"k" => first(&mut fields.k, string("k", raw)?),
                b"salt" => first(&mut fields.salt, string("salt", raw)?),
                b"sig" => first(&mut fields.sig, string("sig", raw)?),
                b"nodes" => first(&mut fields.nodes, string("nodes", raw)?),
                b"nodes6" => first(&mut fields.nodes6, string("nodes6", raw)?),
                b"samples" => first(&mut fields.samples, string("samples", raw)?),
                b"age" => first(&mut fields.age, int("age", raw)?),
                b"cas" => first(&mut fields.cas, int("cas", raw)?),
                b"seq" => first(&mut fields.seq, int("seq", raw)?),
                b"port" => first(&mut fields.port, int("port", raw)?),
                b"interval" => first(&mut fields.interval, int("interval", raw)?),
                b"num" => first(&mut fields.num, int("num", raw)?),
                b"implied_port" => fields.implied_port = int("implied_port", raw)? != 0,
                b"v" => first(&mut fields.v, raw),
                b"values" => first(&mut fields.values, raw),
                b"want" => fields.want = want(raw)?,
                _ => {}
            }
        }
        Ok(fields)
    }

    fn id(&self) -> Result<Key, KrpcError> {
        key("id", self.id)
    }

    fn token(&self) -> Result<Token, KrpcError> {
        let token = self.token.ok_or(KrpcError::Missing("token"))?;
        Token::new(token).ok_or(KrpcError::Invalid("token"))
    }
}

fn query(name: &[u8], fields: &Fields<'_>) -> Result<Query, KrpcError> {
    let want = fields.want;
    Ok(match name {
        b"ping" => Query::Ping,
        b"find_node" => Query::FindNode { target: key("target", fields.target)?, want },
        b"get" => Query::Get { target: key("target", fields.target)?, seq: fields.seq, want },
        b"put" => {
            let item = item(fields)?.ok_or(KrpcError::Missing("v"))?;
            let target = item.target();
            let (token, cas) = (fields.token()?, fields.cas);
            let age = fields.age.map_or(0, clamp);
            Query::Put(Box::new(Put { target, token, item, cas, age }))
        }
        b"get_peers" => Query::GetPeers { info_hash: key("info_hash", fields.info_hash)?, want },
        b"announce_peer" => {
            let port = match (fields.implied_port, fields.port) {
                (true, _) => None,
                (false, None) => return Err(KrpcError::Missing("port")),
                (false, Some(port)) => match u16::try_from(port) {
                    Ok(0) | Err(_) => return Err(KrpcError::Invalid("port")),
                    Ok(port) => Some(port),
                },
            };
            let info_hash = key("info_hash", fields.info_hash)?;
            Query::AnnouncePeer { info_hash, token: fields.token()?.into(), port }
        }
        b"sample_infohashes" => {
            Query::SampleInfohashes { target: key("target", fields.target)?, want }
        }
        // Queries of the future that name a place are answered by the nodes around it.
        _ => match fields.target.or(fields.info_hash) {
            Some(target) => Query::FindNode { target: key("target", Some(target))?, want },
            None => Query::Unknown,
        },
    })
}

fn reply(fields: &Fields<'_>) -> Result<Reply<Peer>, KrpcError> {
    let mut nodes = Vec::new();
    for (name, compact, len) in [("nodes", fields.nodes, 26), ("nodes6", fields.nodes6, 38)] {
        let compact = compact.unwrap_or_default();
        if !compact.len().is_multiple_of(len) {
            return Err(KrpcError::Invalid(name));
        }
        nodes.extend(compact.chunks_exact(len).take(NODES_MAX).filter_map(|node| {
            let (id, place) = node.split_first_chunk()?;
            Some(Peer { id: Key(*id), addr: address(place)? })
        }));
    }
    // A token that is longer than any we know only keeps us from storing there.
    let token = fields.token.and_then(Token::new).map(Box::new);
    let found = if let Some(item) = item(fields)? {
        Found::Item(item)
    } else if let Some(values) = fields.values {
        Found::Peers(peers(values)?)
    } else if let Some(samples) = fields.samples {
        if !samples.len().is_multiple_of(20) {
            return Err(KrpcError::Invalid("samples"));
        }
        let keys = samples.chunks_exact(20).take(SAMPLES_MAX);
        Found::Samples(Samples {
            interval: fields.interval.map_or(0, clamp),
            total: fields.num.map_or(0, clamp),
            info_hashes: keys.filter_map(|key| Some(Key(key.try_into().ok()?))).collect(),
        })
    } else if let Some(seq) = fields.seq {
        Found::Seq(seq)
    } else {
        Found::Nothing
    };
    Ok(Reply { nodes, token, found })
}

/// The item in a `put` or in the reply to a `get`, whatever its length: that is judged elsewhere.
fn item(fields: &Fields<'_>) -> Result<Option<Item>, KrpcError> {
    let Some(value) = fields.v else { return Ok(None) };
    let Some(public_key) = fields.k else {
        return Ok(Some(Item::Immutable(value.into())));
    };
    Ok(Some(Item::Mutable(Arc::new(Mutable {
        public_key: public_key.try_into().map_err(|_| KrpcError::Invalid("k"))?,
        salt: fields.salt.unwrap_or_default().into(),
        seq: fields.seq.ok_or(KrpcError::Missing("seq"))?,
        signature: fields
            .sig
            .ok_or(KrpcError::Missing("sig"))?
            .try_into()
            .map_err(|_| KrpcError::Invalid("sig"))?,
        value: value.into(),
    }))))
}

fn peers(raw: &[u8]) -> Result<Vec<SocketAddr>, KrpcError> {
    let mut cursor = Cursor::new(raw);
    let mut peers = Vec::new();
    cursor.enter_list()?;
    while !cursor.leave()? {
        // Both families may be mixed (BEP 32); other lengths belong to some unknown extension.
        if let Ok(compact) = string("values", cursor.skip()?)
            && peers.len() < PEERS_MAX
        {
            peers.extend(address(compact));
        }
    }
    Ok(peers)
}

fn refusal(raw: Option<&[u8]>) -> Result<Refusal, KrpcError> {
    let mut cursor = Cursor::new(raw.ok_or(KrpcError::Missing("e"))?);
    // Some send a dictionary or nothing but a text: it stays a refusal.
    let code = match cursor.enter_list() {
        Ok(()) => cursor.int().unwrap_or(201),
        Err(_) => 201,
    };
    Ok(Refusal::from_code(i32::try_from(code).unwrap_or(201)))
}

fn want(raw: &[u8]) -> Result<Want, KrpcError> {
    let mut cursor = Cursor::new(raw);
    let (mut v4, mut v6) = (false, false);
    if cursor.enter_list().is_err() {
        return Ok(Want::Same);
    }
    while !cursor.leave()? {
        match string("want", cursor.skip()?)? {
            b"n4" => v4 = true,
            b"n6" => v6 = true,
            _ => {}
        }
    }
    Ok(match (v4, v6) {
        (false, false) => Want::Same,
        (true, false) => Want::V4,
        (false, true) => Want::V6,
        (true, true) => Want::Both,
    })
}

/// An address in 6 or 18 bytes that something can be sent to.
fn address(compact: &[u8]) -> Option<SocketAddr> {
    let (ip, port): (IpAddr, _) = match compact.len() {
        6 => (IpAddr::from(*compact.first_chunk::<4>()?), *compact.last_chunk()?),
        18 => (IpAddr::from(*compact.first_chunk::<16>()?), *compact.last_chunk()?),
        _ => return None,
    };
    let port = u16::from_be_bytes(port);
    (port != 0 && !ip.is_unspecified() && !ip.is_multicast()).then_some(SocketAddr::new(ip, port))
}

fn key(name: &'static str, value: Option<&[u8]>) -> Result<Key, KrpcError> {
    let value = value.ok_or(KrpcError::Missing(name))?;
    value.try_into().map(Key).map_err(|_| KrpcError::Invalid(name))
}

fn string<'a>(name: &'static str, raw: &'a [u8]) -> Result<&'a [u8], KrpcError> {
    match Cursor::new(raw).kind()? {
        Kind::Bytes => Ok(Cursor::new(raw).string()?),
        _ => Err(KrpcError::Invalid(name)),
    }
}

fn int(name: &'static str, raw: &[u8]) -> Result<i64, KrpcError> {
    match Cursor::new(raw).kind()? {
        Kind::Int => Ok(Cursor::new(raw).int()?),
        _ => Err(KrpcError::Invalid(name)),
    }
}

fn clamp(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

fn first<T>(place: &mut Option<T>, value: T) {
    place.get_or_insert(value);
}
