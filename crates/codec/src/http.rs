//! Heads of HTTP/1.1 messages (RFC 9112) and of protocols that copied them, such as Gnutella's;
//! what the fields say about the body; and bodies that are chunked or packed. No connections.

mod chunked;
mod coding;
mod fields;
mod head;

pub use chunked::{Chunk, ChunkedDecoder};
pub use coding::ContentCoding;
pub use fields::{BodyLen, ContentRange, Range};
pub use head::{Head, Headers, Limits, RequestLine, StatusLine};

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// A head that is longer than [`Limits::bytes`].
    #[error("head too long")]
    HeadTooLong,
    /// More fields than [`Limits::headers`].
    #[error("too many header fields")]
    TooManyHeaders,
    /// A first line that is neither of a request nor of a response.
    #[error("malformed first line")]
    StartLine,
    /// A malformed header field.
    #[error("malformed header field")]
    Header,
    /// A `Content-Length` that is malformed, or there twice with different values.
    #[error("malformed Content-Length")]
    ContentLength,
    /// A `Transfer-Encoding` other than `chunked`, or one beside a `Content-Length`.
    #[error("unusable Transfer-Encoding")]
    TransferEncoding,
    /// A chunk whose length is malformed.
    #[error("malformed chunk length")]
    ChunkLength,
    /// A chunk that does not end where its length says.
    #[error("chunk without its line break")]
    ChunkEnd,
    /// A body that is longer than allowed.
    #[error("body too long")]
    BodyTooLong,
    /// A `Content-Encoding` that is unknown, or several.
    #[error("unusable Content-Encoding")]
    ContentEncoding,
    /// A packed body that is malformed, or longer than allowed once it is unpacked.
    #[error("malformed or too long packed body")]
    Packed,
}
