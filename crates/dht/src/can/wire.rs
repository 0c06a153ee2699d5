//! What CAN nodes say, in bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{CLAIMS_MAX, Claim, DEPTH_MAX, KIN_MAX, Point, REALITIES_MAX, Rank, Said, Zone};
use crate::chord::Peer;
use crate::overlay::wire::{Contacts, PEER_MAX, encode_peer};
use crate::overlay::{Malformed, Reader, Speech};

/// Bytes of a claim: path, reality and halvings, epoch.
const CLAIM: usize = 8 + 1 + 4;
/// Longest answer to hello.
const CLAIMS_SAID: usize = 8 + 1 + CLAIMS_MAX * CLAIM + 1 + KIN_MAX * (PEER_MAX + 1);
/// Longest answer to a joiner.
const WELCOME_SAID: usize = 8 + CLAIM + 1 + KIN_MAX * (PEER_MAX + CLAIM);

impl Speech for Said<Peer> {
    const MAGIC: [u8; 2] = *b"ca";

    fn kind(&self) -> u8 {
        match self {
            Self::Hello { .. } => 32,
            Self::Update { .. } => 33,
            Self::Claims { .. } => 34,
            Self::Conflict { .. } => 35,
            Self::Join { .. } => 36,
            Self::Refer { .. } => 37,
            Self::Welcome { .. } => 38,
            Self::Handover { .. } => 39,
            Self::Adopt { .. } => 40,
            Self::Split { .. } => 41,
        }
    }

    fn least_length(&self) -> usize {
        match self {
            Self::Hello { .. } | Self::Update { .. } => CLAIMS_SAID.div_ceil(3),
            Self::Join { .. } => WELCOME_SAID.div_ceil(3),
            _ => 0,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { claims } => encode_claims(claims, out),
            Self::Update { claims, kin }
            | Self::Claims { claims, kin }
            | Self::Handover { claims, kin } => {
                encode_claims(claims, out);
                let kin = &kin[..kin.len().min(KIN_MAX)];
                out.push(kin.len() as u8);
                for (contact, rank) in kin {
                    encode_peer(contact, out);
                    out.push(byte(rank.reality(), rank.depth()));
                }
            }
            Self::Conflict { with } => encode_peer(with, out),
            Self::Join { reality, point, last } => {
                out.push(*reality);
                out.extend(point.0.to_be_bytes());
                out.push(u8::from(*last));
            }
            Self::Refer { to, last } => {
                encode_peer(to, out);
                out.push(u8::from(*last));
            }
            Self::Welcome { claim, neighbours } => {
                encode_claim(claim, out);
                let neighbours = &neighbours[..neighbours.len().min(KIN_MAX)];
                out.push(neighbours.len() as u8);
                for (contact, claim) in neighbours {
                    encode_peer(contact, out);
                    encode_claim(claim, out);
                }
            }
            Self::Split { claim } => encode_claim(claim, out),
            Self::Adopt { claim, hops } => {
                encode_claim(claim, out);
                out.push(*hops);
            }
        }
    }

    fn decode(kind: u8, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            32 => Self::Hello { claims: claims(reader)? },
            33 => Self::Update { claims: claims(reader)?, kin: kin(reader)? },
            34 => Self::Claims { claims: claims(reader)?, kin: kin(reader)? },
            35 => Self::Conflict { with: reader.peer()? },
            36 => {
                let reality = match reader.u8("a reality")? {
                    it if usize::from(it) < REALITIES_MAX => it,
                    it => return Err(Malformed::Range { what: "a reality", value: it.into() }),
                };
                let point = Point(u64::from_be_bytes(reader.array("a place")?));
                Self::Join { reality, point, last: reader.flag("the last flag")? }
            }
            37 => Self::Refer { to: reader.peer()?, last: reader.flag("the last flag")? },
            38 => {
                let own = claim(reader)?;
                let count = reader.count("neighbours", KIN_MAX)?;
                let neighbours = (0..count).map(|_| Ok((reader.peer()?, claim(reader)?)));
                let neighbours = neighbours.collect::<Result<_, Malformed>>()?;
                Self::Welcome { claim: own, neighbours }
            }
            39 => Self::Handover { claims: claims(reader)?, kin: kin(reader)? },
            40 => Self::Adopt { claim: claim(reader)?, hops: reader.u8("the hops")? },
            41 => Self::Split { claim: claim(reader)? },
            _ => return Err(Malformed::Kind(kind)),
        })
    }
}

/// Two bits of the reality, six of the halvings.
const fn byte(reality: u8, depth: u8) -> u8 {
    reality << 6 | depth
}

const fn reality_and_depth(byte: u8) -> (u8, u8) {
    (byte >> 6, byte & 63)
}

fn encode_claim(claim: &Claim, out: &mut Vec<u8>) {
    out.extend(claim.zone.path().to_be_bytes());
    out.push(byte(claim.zone.reality(), claim.zone.depth()));
    out.extend(claim.epoch.to_be_bytes());
}

fn encode_claims(claims: &[Claim], out: &mut Vec<u8>) {
    let claims = &claims[..claims.len().min(CLAIMS_MAX)];
    out.push(claims.len() as u8);
    claims.iter().for_each(|claim| encode_claim(claim, out));
}

fn claim(reader: &mut Reader<'_>) -> Result<Claim, Malformed> {
    let path = u64::from_be_bytes(reader.array("a zone")?);
    let (reality, depth) = reality_and_depth(reader.u8("the halvings of a zone")?);
    let what = "the halvings of a zone";
    let zone = Zone::new(path, depth).ok_or(Malformed::Range { what, value: depth.into() })?;
    Ok(Claim { zone: zone.of(reality), epoch: reader.u32("an epoch")? })
}

fn claims(reader: &mut Reader<'_>) -> Result<Box<[Claim]>, Malformed> {
    let count = reader.count("zones", CLAIMS_MAX)?;
    (0..count).map(|_| claim(reader)).collect()
}

fn kin(reader: &mut Reader<'_>) -> Result<Box<[(Peer, Rank)]>, Malformed> {
    let count = reader.count("neighbours", KIN_MAX)?;
    (0..count).map(|_| Ok((reader.peer()?, rank(reader)?))).collect()
}

fn rank(reader: &mut Reader<'_>) -> Result<Rank, Malformed> {
    let what = "the rank of a neighbour";
    let (reality, depth) = reality_and_depth(reader.u8(what)?);
    match depth {
        0..=DEPTH_MAX => Ok(Rank::neighbour(reality, depth)),
        _ if depth == Rank::peer(reality).depth() => Ok(Rank::peer(reality)),
        _ => Err(Malformed::Range { what, value: depth.into() }),
    }
}
