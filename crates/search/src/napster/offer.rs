//! Who has a file: hits of searches, offers to download, users who have the same content.

use core::net::{Ipv4Addr, SocketAddrV4};

use super::field::Line;
use super::file::{parse_hash, parse_name};
use super::{FieldError, Fields, FileHash, LinkSpeed, Nick, SharedFile, Text};

/// A file that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The file.
    pub file: SharedFile,
    /// Who has it.
    pub nick: Nick,
    /// Where he is.
    pub address: Ipv4Addr,
    /// His line.
    pub link: LinkSpeed,
}

impl Hit {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            file: SharedFile::parse_music(fields)?,
            nick: fields.nick("nick")?,
            address: fields.address()?,
            link: LinkSpeed::parse(fields)?,
        })
    }

    pub(crate) fn write(&self, line: Line) -> Line {
        let line = self.file.write_music(line).word(&self.nick);
        line.address(self.address).word(self.link.number())
    }
}

/// What is needed to fetch a file from its owner, or to send it to whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The other one.
    pub nick: Nick,
    /// Where he is, and the port on which he accepts peers; 0 if he cannot.
    pub address: SocketAddrV4,
    /// The file, in its owner's words.
    pub name: Text,
    /// What it is, if the server says so.
    pub hash: Option<FileHash>,
    /// The line of the other one.
    pub link: LinkSpeed,
}

impl Offer {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            nick: fields.nick("nick")?,
            address: SocketAddrV4::new(fields.address()?, fields.number("port")?),
            name: parse_name(fields)?,
            // Zeros are written where none is known.
            hash: FileHash::parse(fields.field("hash")?)
                .filter(|hash| hash.as_bytes().iter().any(|byte| *byte != 0)),
            link: LinkSpeed::parse(fields)?,
        })
    }

    pub(crate) fn write(&self, line: Line) -> Line {
        let line = line.word(&self.nick).address(*self.address.ip()).word(self.address.port());
        let line = line.quoted(self.name.as_bytes());
        let line = match self.hash {
            Some(hash) => line.word(hash),
            None => line.word("00000000000000000000000000000000"),
        };
        line.word(self.link.number())
    }
}

/// A user who has the content that was asked for (message 216).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// Who.
    pub nick: Nick,
    /// Where.
    pub address: SocketAddrV4,
    /// How he calls it.
    pub name: Text,
    /// What it is.
    pub hash: FileHash,
    /// Bytes.
    pub size: u64,
    /// His line.
    pub link: LinkSpeed,
}

impl Twin {
    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            nick: fields.nick("nick")?,
            address: SocketAddrV4::new(fields.address()?, fields.number("port")?),
            name: parse_name(fields)?,
            hash: parse_hash(fields)?,
            size: fields.number("size")?,
            link: LinkSpeed::parse(fields)?,
        })
    }

    pub(crate) fn write(&self, line: Line) -> Line {
        let line = line.word(&self.nick).address(*self.address.ip()).word(self.address.port());
        let line = line.quoted(self.name.as_bytes()).word(self.hash).word(self.size);
        line.word(self.link.number())
    }
}
