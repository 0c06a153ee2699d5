//! What is told of a file that is shared.

use alloc::vec::Vec;
use core::fmt;

use super::field::Line;
use super::{FieldError, Fields, Text};

/// Bytes of a file's name with its folders.
pub(crate) const NAME_MAX: usize = 1_024;

/// How content is named. Napster's clients send the MD5 of about the first 300,000 bytes, which
/// verifies nothing; we send the SHA-1 of all of it, in the same place, and servers carry it as they
/// carry anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileHash {
    /// MD5 of the beginning.
    Md5([u8; 16]),
    /// SHA-1 of the whole.
    Sha1([u8; 20]),
}

impl FileHash {
    /// Reads 32 or 40 hexadecimal digits; what follows a hyphen is not looked at (Napster's own
    /// client writes a length there).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let digits = text.split(|byte| *byte == b'-').next().unwrap_or_default();
        match digits.len() {
            32 => Some(Self::Md5(unhex(digits)?)),
            40 => Some(Self::Sha1(unhex(digits)?)),
            _ => None,
        }
    }

    /// Its bytes: 16 or 20.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
        }
    }

    /// The hash with these bytes, if there are 16 or 20.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes.len() {
            16 => Some(Self::Md5(bytes.try_into().ok()?)),
            20 => Some(Self::Sha1(bytes.try_into().ok()?)),
            _ => None,
        }
    }
}

fn unhex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = (value(*pair.first()?)? << 4 | value(*pair.get(1)?)?) as u8;
    }
    Some(bytes)
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A user's line, as he says: 0 for unknown, 1 for a modem of 14.4 kbit/s, up to 10 for a T3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkSpeed(u8);

impl LinkSpeed {
    /// The fastest.
    pub const T3: Self = Self(10);

    /// The speed with this number, up to 10.
    #[must_use]
    pub fn new(number: u8) -> Option<Self> {
        (number <= Self::T3.0).then_some(Self(number))
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn parse(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        Self::new(fields.number("link speed")?).ok_or(FieldError::Number("link speed"))
    }
}

/// What kind of file it is, in the words of opennap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MediaType {
    /// Audio, shared as Napster did, with bit rate, frequency and length.
    #[default]
    Mp3,
    /// Other audio.
    Audio,
    /// Video.
    Video,
    /// Programs, archives, and whatever is nothing else.
    Application,
    /// Pictures.
    Image,
    /// Text.
    Text,
}

impl MediaType {
    /// All of them, each at its number.
    pub const ALL: [Self; 6] =
        [Self::Mp3, Self::Audio, Self::Video, Self::Application, Self::Image, Self::Text];

    /// Its word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mp3 => "mp3",
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Image => "image",
            Self::Text => "text",
        }
    }

    /// Reads its word.
    #[must_use]
    pub fn parse(word: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes().eq_ignore_ascii_case(word))
    }
}

/// A file that somebody shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Its name, with folders as its owner's system writes them.
    pub name: Text,
    /// What it is.
    pub hash: FileHash,
    /// Bytes.
    pub size: u64,
    /// Kilobits per second.
    pub bitrate: u32,
    /// Hertz.
    pub frequency: u32,
    /// Seconds.
    pub seconds: u32,
    /// What kind of file.
    pub media: MediaType,
}

impl SharedFile {
    /// A file of which nothing is known that only music has.
    #[must_use]
    pub fn new(name: Text, hash: FileHash, size: u64, media: MediaType) -> Self {
        Self { name, hash, size, bitrate: 0, frequency: 0, seconds: 0, media }
    }

    /// Reads name and measures of music: `"<name>" <hash> <size> <bitrate> <frequency> <time>`.
    pub(crate) fn parse_music(fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        let name = parse_name(fields)?;
        Self::parse_measures(name, fields)
    }

    pub(crate) fn parse_measures(name: Text, fields: &mut Fields<'_>) -> Result<Self, FieldError> {
        Ok(Self {
            name,
            hash: parse_hash(fields)?,
            size: fields.number("size")?,
            bitrate: fields.number("bit rate")?,
            frequency: fields.number("frequency")?,
            seconds: fields.number("time")?,
            media: MediaType::Mp3,
        })
    }

    pub(crate) fn write_music(&self, line: Line) -> Line {
        self.write_measures(line.quoted(self.name.as_bytes()))
    }

    pub(crate) fn write_measures(&self, line: Line) -> Line {
        let line = line.word(self.hash).word(self.size).word(self.bitrate);
        line.word(self.frequency).word(self.seconds)
    }
}

pub(crate) fn parse_hash(fields: &mut Fields<'_>) -> Result<FileHash, FieldError> {
    FileHash::parse(fields.field("hash")?).ok_or(FieldError::Malformed("hash"))
}

/// Reads a file's name: not empty, without control characters.
pub(crate) fn parse_name(fields: &mut Fields<'_>) -> Result<Text, FieldError> {
    check_name(fields.text("file name", NAME_MAX)?)
}

pub(crate) fn check_name(name: Text) -> Result<Text, FieldError> {
    let is_good = !name.is_empty() && name.is_quotable();
    if is_good { Ok(name) } else { Err(FieldError::Malformed("file name")) }
}

/// The name of a file in a folder.
pub(crate) fn join(folder: &Text, name: &Text) -> Result<Text, FieldError> {
    let mut joined = Vec::with_capacity(folder.len() + 1 + name.len());
    joined.extend_from_slice(folder.as_bytes());
    if !joined.ends_with(b"\\") && !joined.ends_with(b"/") {
        joined.push(if joined.contains(&b'/') { b'/' } else { b'\\' });
    }
    joined.extend_from_slice(name.as_bytes());
    if joined.len() > NAME_MAX {
        return Err(FieldError::TooLong("file name"));
    }
    check_name(joined.into())
}
