//! The datagrams: two letters, a version, a kind, then the fields in big-endian order. What is not
//! written exactly so is malformed.
//!
//! Nobody who writes another's address on his datagrams shall make nodes send more there than he
//! sends himself. Before somebody has shown to hear what is sent to him, only [`Message::Hello`] is
//! answered, which is filled up to a third of the longest answer, and [`Message::Push`], by a cookie.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;

use codec::datagram::{ADDRESS_MAX, Malformed, Reader, write_address, write_head};
use machine::Wire;

use super::config::{FILES_PER_BATCH, HITS_PER_ANSWER, OTHERS_MAX};
use super::file::{File, FileHash, Hit, Kind, NAME_MAX, WORDS_MAX};
use super::identity::{Id, Signature};
use super::message::Message;
use super::reputation::{Mandate, Receipt, TESTIMONIES_MAX, Testimony, VOUCHERS_MAX, Voucher};
use crate::gnutella::{Guid, Sha1, TigerRoot};

const MAGIC: [u8; 2] = *b"ft";
const VERSION: u8 = 2;
/// Longest datagram: a link with a full mandate.
pub const DATAGRAM_MAX: usize = 1_400;
/// Least length of a hello.
const HELLO_MIN: usize = 64;
const _: () = assert!(4 + 1 + OTHERS_MAX * ADDRESS_MAX <= 3 * HELLO_MIN);

impl Wire for Message<SocketAddr> {
    type Error = Malformed;

    fn encode(&self, out: &mut Vec<u8>) {
        write(self, out, write_address);
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, mut reader) = Reader::open(bytes, MAGIC, VERSION)?;
        let message = reader.message(kind)?;
        if bytes.len() > DATAGRAM_MAX {
            return Err(Malformed::Length(reader.rest().len()));
        }
        reader.close(bytes.len(), least_length(&message))?;
        Ok(message)
    }
}

impl<C> Message<C> {
    /// How many bytes it is in a datagram between IPv4 addresses, the heads of UDP and IP included.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        let mut out = Vec::new();
        write(self, &mut out, |_, out| out.extend([0; 7]));
        out.len() + 28
    }
}

type WriteContact<C> = fn(&C, &mut Vec<u8>);

fn write<C>(message: &Message<C>, out: &mut Vec<u8>, contact: WriteContact<C>) {
    let start = out.len();
    write_head(MAGIC, VERSION, kind(message), out);
    write_body(message, out, contact);
    let length = (out.len() - start).max(least_length(message));
    out.resize(start + length, 0);
}

/// How long a message must be at least.
const fn least_length<C>(message: &Message<C>) -> usize {
    match message {
        Message::Hello => HELLO_MIN,
        _ => 0,
    }
}

const fn kind<C>(message: &Message<C>) -> u8 {
    match message {
        Message::Hello => 1,
        Message::Cookie { .. } => 2,
        Message::Elsewhere { .. } => 3,
        Message::Join { .. } => 4,
        Message::Welcome { .. } => 5,
        Message::Link { .. } => 6,
        Message::Linked { .. } => 7,
        Message::Bye { .. } => 8,
        Message::Alive { .. } => 9,
        Message::Well { .. } => 10,
        Message::Publish { .. } => 11,
        Message::Kept { .. } => 12,
        Message::Search { .. } => 13,
        Message::Found { .. } => 14,
        Message::Redirect { .. } => 15,
        Message::Receipt { .. } => 16,
        Message::Voucher(_) => 17,
        Message::Stand { .. } => 18,
        Message::Nominate { .. } => 19,
        Message::Probe { .. } => 20,
        Message::Probed { .. } => 21,
        Message::Testify { .. } => 22,
        Message::Appoint { .. } => 23,
        Message::Beat { .. } => 24,
        Message::Query { .. } => 25,
        Message::Answer { .. } => 26,
        Message::Push { .. } => 27,
        Message::Call { .. } => 28,
        Message::Confirm { .. } => 29,
        Message::Confirmed { .. } => 30,
    }
}

fn write_body<C>(message: &Message<C>, out: &mut Vec<u8>, contact: WriteContact<C>) {
    let number = |number: u64, out: &mut Vec<u8>| out.extend(number.to_be_bytes());
    match message {
        Message::Hello => {}
        Message::Cookie { cookie, id } => {
            number(*cookie, out);
            out.extend(id.0);
        }
        Message::Elsewhere { others } => write_others(others, out, contact),
        Message::Join { id, cookie, signature } => {
            out.extend(id.0);
            number(*cookie, out);
            out.extend(signature.0);
        }
        Message::Welcome { session, others } => {
            number(*session, out);
            write_others(others, out, contact);
        }
        Message::Link { id, cookie, signature, mandate } => {
            out.extend(id.0);
            number(*cookie, out);
            out.extend(signature.0);
            out.push(u8::from(mandate.is_some()));
            if let Some(mandate) = mandate {
                write_mandate(mandate, out);
            }
        }
        Message::Linked { session, id, others } => {
            number(*session, out);
            out.extend(id.0);
            write_named(others, out, contact);
        }
        Message::Bye { session } => number(*session, out),
        Message::Alive { session, digest, mandated } => {
            number(*session, out);
            number(*digest, out);
            out.push(u8::from(*mandated));
        }
        Message::Well { session, in_sync, others } => {
            number(*session, out);
            out.push(u8::from(*in_sync));
            write_others(others, out, contact);
        }
        Message::Publish { session, round, batch, files } => {
            number(*session, out);
            out.extend(round.to_be_bytes());
            out.extend(batch.to_be_bytes());
            let files = &files[..files.len().min(FILES_PER_BATCH)];
            out.push(files.len() as u8);
            files.iter().for_each(|file| write_file(file, out));
        }
        Message::Kept { session, round, batch } => {
            number(*session, out);
            out.extend(round.to_be_bytes());
            out.extend(batch.to_be_bytes());
        }
        Message::Search { session, search, words } => {
            number(*session, out);
            out.extend(search.to_be_bytes());
            write_text(words, WORDS_MAX, out);
        }
        Message::Found { session, search, hits } => {
            number(*session, out);
            out.extend(search.to_be_bytes());
            write_hits(hits, out, contact);
        }
        Message::Redirect { session, to } => {
            number(*session, out);
            contact(to, out);
        }
        Message::Push { cookie: first, leaf: whom, ticket }
        | Message::Call { session: first, to: whom, ticket } => {
            number(*first, out);
            contact(whom, out);
            out.extend(ticket.0);
        }
        Message::Confirm { ticket, nonce } | Message::Confirmed { ticket, nonce } => {
            out.extend(ticket.0);
            number(*nonce, out);
        }
        Message::Receipt { session, uploader, receipt } => {
            number(*session, out);
            contact(uploader, out);
            write_receipt(receipt, out);
        }
        Message::Voucher(voucher) => write_voucher(voucher, out),
        Message::Stand { session, vouchers } => {
            number(*session, out);
            write_vouchers(vouchers, out);
        }
        Message::Nominate { session, nominee, id, appointer } => {
            number(*session, out);
            contact(nominee, out);
            out.extend(id.0);
            out.extend(appointer.0);
        }
        Message::Probe { nonce } | Message::Probed { nonce } => number(*nonce, out),
        Message::Testify { session, id, testimony } => {
            number(*session, out);
            out.extend(id.0);
            write_testimony(testimony, out);
        }
        Message::Appoint { session, now, mandate } => {
            number(*session, out);
            out.push(u8::from(*now));
            write_mandate(mandate, out);
        }
        Message::Beat { session, leaves, others } => {
            number(*session, out);
            out.extend(leaves.to_be_bytes());
            write_named(others, out, contact);
        }
        Message::Query { session, guid, ttl, words } => {
            number(*session, out);
            number(*guid, out);
            out.push(*ttl);
            write_text(words, WORDS_MAX, out);
        }
        Message::Answer { session, guid, hits } => {
            number(*session, out);
            number(*guid, out);
            write_hits(hits, out, contact);
        }
    }
}

fn write_others<C>(others: &[C], out: &mut Vec<u8>, contact: WriteContact<C>) {
    let others = &others[..others.len().min(OTHERS_MAX)];
    out.push(others.len() as u8);
    others.iter().for_each(|other| contact(other, out));
}

fn write_named<C>(others: &[(C, Id)], out: &mut Vec<u8>, contact: WriteContact<C>) {
    let others = &others[..others.len().min(OTHERS_MAX)];
    out.push(others.len() as u8);
    for (other, id) in others {
        contact(other, out);
        out.extend(id.0);
    }
}

fn write_text(text: &str, max: usize, out: &mut Vec<u8>) {
    let text = super::file::cut(text, max);
    out.push(text.len() as u8);
    out.extend(text.bytes());
}

fn write_hash(hash: &FileHash, out: &mut Vec<u8>) {
    out.extend(hash.sha1.0);
    out.extend(hash.tree.0);
}

fn write_file(file: &File, out: &mut Vec<u8>) {
    write_hash(&file.hash, out);
    out.extend(file.size.to_be_bytes());
    write_text(&file.name, NAME_MAX, out);
    out.push(file.kind as u8);
    out.extend(file.bitrate.to_be_bytes());
    out.extend(file.seconds.to_be_bytes());
}

fn write_hits<C>(hits: &[Hit<C>], out: &mut Vec<u8>, contact: WriteContact<C>) {
    let hits = &hits[..hits.len().min(HITS_PER_ANSWER)];
    out.push(hits.len() as u8);
    for hit in hits {
        contact(&hit.source, out);
        contact(&hit.via, out);
        write_file(&hit.file, out);
    }
}

fn write_receipt(receipt: &Receipt, out: &mut Vec<u8>) {
    out.extend(receipt.uploader.0);
    out.extend(receipt.downloader.0);
    write_hash(&receipt.hash, out);
    out.extend(receipt.bytes.to_be_bytes());
    out.extend(receipt.millis.to_be_bytes());
    out.extend(receipt.signature.0);
}

fn write_voucher(voucher: &Voucher, out: &mut Vec<u8>) {
    write_receipt(&voucher.receipt, out);
    out.extend(voucher.network.to_be_bytes());
    out.extend(voucher.supernode.0);
    out.extend(voucher.signature.0);
}

fn write_vouchers(vouchers: &[Voucher], out: &mut Vec<u8>) {
    let vouchers = &vouchers[..vouchers.len().min(VOUCHERS_MAX)];
    out.push(vouchers.len() as u8);
    vouchers.iter().for_each(|voucher| write_voucher(voucher, out));
}

fn write_testimony(testimony: &Testimony, out: &mut Vec<u8>) {
    out.extend(testimony.witness.0);
    out.extend(testimony.signature.0);
}

fn write_mandate(mandate: &Mandate, out: &mut Vec<u8>) {
    out.extend(mandate.nominee.0);
    out.extend(mandate.appointer.0);
    out.extend(mandate.signature.0);
    write_vouchers(&mandate.vouchers, out);
    let testimonies = &mandate.testimonies;
    let testimonies = &testimonies[..testimonies.len().min(TESTIMONIES_MAX)];
    out.push(testimonies.len() as u8);
    testimonies.iter().for_each(|testimony| write_testimony(testimony, out));
}

/// Reading what is written above.
trait Fields {
    fn message(&mut self, kind: u8) -> Result<Message<SocketAddr>, Malformed>;
    fn session(&mut self) -> Result<u64, Malformed>;
    fn ticket(&mut self) -> Result<Guid, Malformed>;
    fn id(&mut self) -> Result<Id, Malformed>;
    fn signature(&mut self) -> Result<Signature, Malformed>;
    fn others(&mut self) -> Result<Box<[SocketAddr]>, Malformed>;
    fn named(&mut self) -> Result<Box<[(SocketAddr, Id)]>, Malformed>;
    fn hash(&mut self) -> Result<FileHash, Malformed>;
    fn file(&mut self) -> Result<File, Malformed>;
    fn hits(&mut self) -> Result<Arc<[Hit<SocketAddr>]>, Malformed>;
    fn receipt(&mut self) -> Result<Receipt, Malformed>;
    fn voucher(&mut self) -> Result<Voucher, Malformed>;
    fn vouchers(&mut self) -> Result<Box<[Voucher]>, Malformed>;
    fn testimony(&mut self) -> Result<Testimony, Malformed>;
    fn mandate(&mut self) -> Result<Box<Mandate>, Malformed>;
}

impl Fields for Reader<'_> {
    fn message(&mut self, kind: u8) -> Result<Message<SocketAddr>, Malformed> {
        Ok(match kind {
            1 => Message::Hello,
            2 => Message::Cookie { cookie: self.u64("a cookie")?, id: self.id()? },
            3 => Message::Elsewhere { others: self.others()? },
            4 => {
                let (id, cookie) = (self.id()?, self.u64("a cookie")?);
                Message::Join { id, cookie, signature: self.signature()? }
            }
            5 => Message::Welcome { session: self.session()?, others: self.others()? },
            6 => {
                let (id, cookie) = (self.id()?, self.u64("a cookie")?);
                let signature = self.signature()?;
                let mandate = match self.flag("the mandate flag")? {
                    true => Some(self.mandate()?),
                    false => None,
                };
                Message::Link { id, cookie, signature, mandate }
            }
            7 => {
                let (session, id) = (self.session()?, self.id()?);
                Message::Linked { session, id, others: self.named()? }
            }
            8 => Message::Bye { session: self.session()? },
            9 => {
                let (session, digest) = (self.session()?, self.u64("a digest")?);
                Message::Alive { session, digest, mandated: self.flag("the mandate flag")? }
            }
            10 => {
                let (session, in_sync) = (self.session()?, self.flag("the flag")?);
                Message::Well { session, in_sync, others: self.others()? }
            }
            11 => {
                let session = self.session()?;
                let (round, batch) = (self.u32("a round")?, self.u16("a batch")?);
                let count = self.count("files", FILES_PER_BATCH)?;
                let files =
                    (0..count).map(|_| self.file().map(Arc::new)).collect::<Result<_, _>>()?;
                Message::Publish { session, round, batch, files }
            }
            12 => {
                let session = self.session()?;
                let (round, batch) = (self.u32("a round")?, self.u16("a batch")?);
                Message::Kept { session, round, batch }
            }
            13 => {
                let (session, search) = (self.session()?, self.u32("a search")?);
                Message::Search { session, search, words: self.text("words", WORDS_MAX)?.into() }
            }
            14 => {
                let (session, search) = (self.session()?, self.u32("a search")?);
                Message::Found { session, search, hits: self.hits()? }
            }
            15 => Message::Redirect { session: self.session()?, to: self.address()? },
            16 => {
                let (session, uploader) = (self.session()?, self.address()?);
                Message::Receipt { session, uploader, receipt: Box::new(self.receipt()?) }
            }
            17 => Message::Voucher(Box::new(self.voucher()?)),
            18 => Message::Stand { session: self.session()?, vouchers: self.vouchers()? },
            19 => {
                let (session, nominee) = (self.session()?, self.address()?);
                Message::Nominate { session, nominee, id: self.id()?, appointer: self.id()? }
            }
            20 => Message::Probe { nonce: self.u64("a nonce")? },
            21 => Message::Probed { nonce: self.u64("a nonce")? },
            22 => {
                let (session, id) = (self.session()?, self.id()?);
                Message::Testify { session, id, testimony: self.testimony()? }
            }
            23 => {
                let (session, now) = (self.session()?, self.flag("the flag")?);
                Message::Appoint { session, now, mandate: self.mandate()? }
            }
            24 => {
                let (session, leaves) = (self.session()?, self.u16("a number of leaves")?);
                Message::Beat { session, leaves, others: self.named()? }
            }
            25 => {
                let (session, guid) = (self.session()?, self.u64("a query")?);
                let [ttl] = self.array("a TTL")?;
                Message::Query { session, guid, ttl, words: self.text("words", WORDS_MAX)?.into() }
            }
            26 => {
                let (session, guid) = (self.session()?, self.u64("a query")?);
                Message::Answer { session, guid, hits: self.hits()? }
            }
            27 => {
                let (cookie, leaf) = (self.u64("a cookie")?, self.address()?);
                Message::Push { cookie, leaf, ticket: self.ticket()? }
            }
            28 => {
                let (session, to) = (self.session()?, self.address()?);
                Message::Call { session, to, ticket: self.ticket()? }
            }
            29 => Message::Confirm { ticket: self.ticket()?, nonce: self.u64("a nonce")? },
            30 => Message::Confirmed { ticket: self.ticket()?, nonce: self.u64("a nonce")? },
            _ => return Err(Malformed::Kind(kind)),
        })
    }

    fn session(&mut self) -> Result<u64, Malformed> {
        self.u64("a session")
    }

    fn ticket(&mut self) -> Result<Guid, Malformed> {
        Ok(Guid(self.array("a ticket")?))
    }

    fn id(&mut self) -> Result<Id, Malformed> {
        self.array("an identity").map(Id)
    }

    fn signature(&mut self) -> Result<Signature, Malformed> {
        self.array("a signature").map(Signature)
    }

    fn others(&mut self) -> Result<Box<[SocketAddr]>, Malformed> {
        let count = self.count("nodes", OTHERS_MAX)?;
        (0..count).map(|_| self.address()).collect()
    }

    fn named(&mut self) -> Result<Box<[(SocketAddr, Id)]>, Malformed> {
        let count = self.count("nodes", OTHERS_MAX)?;
        (0..count).map(|_| Ok((self.address()?, self.id()?))).collect()
    }

    fn hash(&mut self) -> Result<FileHash, Malformed> {
        let sha1 = self.array("a hash").map(Sha1)?;
        let tree = self.array("a hash").map(TigerRoot)?;
        Ok(FileHash { sha1, tree })
    }

    fn file(&mut self) -> Result<File, Malformed> {
        let hash = self.hash()?;
        let size = self.u64("a size")?;
        let name = self.text("a name", NAME_MAX)?.into();
        let kind = match self.array("a kind")? {
            [0] => Kind::Other,
            [1] => Kind::Audio,
            [2] => Kind::Video,
            [3] => Kind::Image,
            [4] => Kind::Document,
            [5] => Kind::Software,
            [value] => return Err(Malformed::Range { what: "a kind", value: value.into() }),
        };
        let (bitrate, seconds) = (self.u16("a bitrate")?, self.u32("a duration")?);
        Ok(File { hash, size, name, kind, bitrate, seconds })
    }

    fn hits(&mut self) -> Result<Arc<[Hit<SocketAddr>]>, Malformed> {
        let count = self.count("hits", HITS_PER_ANSWER)?;
        let hit = |_| {
            let (source, via) = (self.address()?, self.address()?);
            Ok(Hit { file: Arc::new(self.file()?), source, via })
        };
        (0..count).map(hit).collect()
    }

    fn receipt(&mut self) -> Result<Receipt, Malformed> {
        let (uploader, downloader) = (self.id()?, self.id()?);
        let hash = self.hash()?;
        let (bytes, millis) = (self.u64("a size")?, self.u32("a duration")?);
        let signature = self.signature()?;
        Ok(Receipt { uploader, downloader, hash, bytes, millis, signature })
    }

    fn voucher(&mut self) -> Result<Voucher, Malformed> {
        let (receipt, network) = (self.receipt()?, self.u64("a network")?);
        Ok(Voucher { receipt, network, supernode: self.id()?, signature: self.signature()? })
    }

    fn vouchers(&mut self) -> Result<Box<[Voucher]>, Malformed> {
        let count = self.count("vouchers", VOUCHERS_MAX)?;
        (0..count).map(|_| self.voucher()).collect()
    }

    fn testimony(&mut self) -> Result<Testimony, Malformed> {
        Ok(Testimony { witness: self.id()?, signature: self.signature()? })
    }

    fn mandate(&mut self) -> Result<Box<Mandate>, Malformed> {
        let (nominee, appointer, signature) = (self.id()?, self.id()?, self.signature()?);
        let vouchers = self.vouchers()?;
        let count = self.count("testimonies", TESTIMONIES_MAX)?;
        let testimonies = (0..count).map(|_| self.testimony()).collect::<Result<_, _>>()?;
        Ok(Box::new(Mandate { nominee, appointer, signature, vouchers, testimonies }))
    }
}
