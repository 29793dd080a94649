//! The frame around every object of a catalog.
//!
//! Numbers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `OCHRECAT` |
//! | 8 | 2 | version of this layout and of the body's protobuf: 1 |
//! | 10 | 1 | kind: 1 delta, 2 checkpoint, 3 epoch |
//! | 11 | 1 | 0 |
//! | 12 | 4 | CRC32C of the body |
//! | 16 | 8 | length of the body |
//! | 24 | 4 | CRC32C of bytes 0 to 23 |
//! | 28 | | the body; nothing follows |
//!
//! The header has a checksum of its own, so that the kind of an object with a damaged body can be trusted.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

const MAGIC: [u8; 8] = *b"OCHRECAT";
const VERSION: u16 = 1;
const CHECKED_HEADER: usize = 24;
const HEADER: usize = 28;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Delta,
    Checkpoint,
    Epoch,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Self::Delta => 1,
            Self::Checkpoint => 2,
            Self::Epoch => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Delta, Self::Checkpoint, Self::Epoch].into_iter().find(|kind| kind.code() == code)
    }
}

/// Why bytes are no sound frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("it has {length} bytes, fewer than a header's {HEADER}")]
    Short { length: usize },
    #[error("it does not begin with OCHRECAT: it is no object of a catalog")]
    Magic,
    #[error("its header does not match its checksum")]
    Header,
    #[error("it has format version {version}; this software reads version {VERSION}: use a newer one")]
    Version { version: u16 },
    #[error("its kind {code} is not known")]
    Kind { code: u8 },
    #[error("its body has {found} bytes instead of {expected}")]
    Length { kind: Kind, found: u64, expected: u64 },
    #[error("its body does not match its checksum")]
    Body { kind: Kind },
}

impl FrameError {
    /// The kind that a sound header gives to a damaged body.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self {
            Self::Length { kind, .. } | Self::Body { kind } => Some(*kind),
            _ => None,
        }
    }
}

/// The object that holds `message`.
pub(crate) fn write(kind: Kind, message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    let mut out = BytesMut::with_capacity(HEADER + body.len());
    out.put_slice(&MAGIC);
    out.put_u16_le(VERSION);
    out.put_u8(kind.code());
    out.put_u8(0);
    out.put_u32_le(crc32c::crc32c(&body));
    out.put_u64_le(body.len() as u64);
    out.put_u32_le(crc32c::crc32c(&out));
    out.put_slice(&body);
    out.freeze()
}

/// The kind and body of an object, both verified.
pub(crate) fn read(object: &[u8]) -> Result<(Kind, &[u8]), FrameError> {
    let short = FrameError::Short { length: object.len() };
    let Some((header, body)) = object.split_at_checked(HEADER) else { return Err(short) };
    if header[..8] != MAGIC {
        return Err(FrameError::Magic);
    }
    if crc32c::crc32c(&header[..CHECKED_HEADER]) != number(&header[CHECKED_HEADER..]) as u32 {
        return Err(FrameError::Header);
    }
    let version = number(&header[8..10]) as u16;
    if version != VERSION {
        return Err(FrameError::Version { version });
    }
    let kind = Kind::from_code(header[10]).ok_or(FrameError::Kind { code: header[10] })?;
    let expected = number(&header[16..24]);
    if body.len() as u64 != expected {
        return Err(FrameError::Length { kind, found: body.len() as u64, expected });
    }
    if crc32c::crc32c(body) != number(&header[12..16]) as u32 {
        return Err(FrameError::Body { kind });
    }
    Ok((kind, body))
}

/// Up to eight little-endian bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
