//! The frame around every object of a catalog.
//!
//! Numbers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `OCHRECAT` |
//! | 8 | 2 | version of this layout and of the body's protobuf: 1, or 2 if a copy follows |
//! | 10 | 1 | kind: 1 delta, 2 checkpoint, 3 epoch |
//! | 11 | 1 | 0 |
//! | 12 | 4 | CRC32C of the body |
//! | 16 | 8 | length of the body |
//! | 24 | 4 | CRC32C of bytes 0 to 23 |
//! | 28 | | the body |
//!
//! In version 1 nothing follows. In version 2 all of this follows once more: an object of which one copy is damaged is
//! read all the same. Revisions and epoch records are written so, unless they are large: a large one is a checkpoint,
//! which the revisions before it can replace.
//!
//! The header has a checksum of its own, so that the kind of an object with a damaged body can be trusted.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

const MAGIC: [u8; 8] = *b"OCHRECAT";
/// The version of a frame that stands alone.
const VERSION: u16 = 1;
/// The version of a frame that is followed by its copy.
const COPIED: u16 = 2;
/// A longer body is not written twice.
const LONGEST_COPIED: usize = 1 << 20;
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
    #[error("it has format version {version}; this software reads up to {COPIED}: use a newer one")]
    Version { version: u16 },
    #[error("its kind {code} is not known")]
    Kind { code: u8 },
    #[error("its body has {found} bytes instead of {expected}")]
    Length { kind: Kind, found: u64, expected: u64 },
    #[error("its body does not match its checksum")]
    Body { kind: Kind },
    #[error("its second copy is not the same as its first")]
    Copy,
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

/// The object that holds `message`, twice unless it is large.
pub(crate) fn write(kind: Kind, message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    if body.len() > LONGEST_COPIED {
        return frame(VERSION, kind, &body).freeze();
    }
    let mut out = frame(COPIED, kind, &body);
    out.extend_from_within(..);
    out.freeze()
}

fn frame(version: u16, kind: Kind, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(2 * (HEADER + body.len()));
    out.put_slice(&MAGIC);
    out.put_u16_le(version);
    out.put_u8(kind.code());
    out.put_u8(0);
    out.put_u32_le(crc32c::crc32c(body));
    out.put_u64_le(body.len() as u64);
    out.put_u32_le(crc32c::crc32c(&out));
    out.put_slice(body);
    out
}

/// What an object holds, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Framed<'a> {
    pub(crate) kind: Kind,
    pub(crate) body: &'a [u8],
    /// What is wrong with the other copy of it.
    pub(crate) damaged_copy: Option<FrameError>,
}

/// The content of an object, from whichever copy is sound.
pub(crate) fn read(object: &[u8]) -> Result<Framed<'_>, FrameError> {
    let first = one(object);
    let (error, found) = match first {
        Ok((kind, body, [])) => return Ok(Framed { kind, body, damaged_copy: None }),
        Ok((kind, body, rest)) => {
            let is_same = object.len() == 2 * rest.len() && object[..rest.len()] == *rest;
            let wrong = || one(rest).err().unwrap_or(FrameError::Copy);
            return Ok(Framed { kind, body, damaged_copy: (!is_same).then(wrong) });
        }
        Err(error) => (error, object.split_at_checked(object.len() / 2)),
    };
    match found.map(|(_, second)| one(second)) {
        Some(Ok((kind, body, []))) => Ok(Framed { kind, body, damaged_copy: Some(error) }),
        _ => Err(error),
    }
}

/// The frame that an object begins with: its kind, its body, and what follows it.
fn one(object: &[u8]) -> Result<(Kind, &[u8], &[u8]), FrameError> {
    let short = FrameError::Short { length: object.len() };
    let Some((header, after)) = object.split_at_checked(HEADER) else { return Err(short) };
    if header[..8] != MAGIC {
        return Err(FrameError::Magic);
    }
    if crc32c::crc32c(&header[..CHECKED_HEADER]) != number(&header[CHECKED_HEADER..]) as u32 {
        return Err(FrameError::Header);
    }
    let version = number(&header[8..10]) as u16;
    if version != VERSION && version != COPIED {
        return Err(FrameError::Version { version });
    }
    let kind = Kind::from_code(header[10]).ok_or(FrameError::Kind { code: header[10] })?;
    let expected = number(&header[16..24]);
    let wrong_length = FrameError::Length { kind, found: after.len() as u64, expected };
    let Some((body, rest)) = usize::try_from(expected).ok().and_then(|length| after.split_at_checked(length)) else {
        return Err(wrong_length);
    };
    if version == VERSION && !rest.is_empty() {
        return Err(wrong_length);
    }
    if crc32c::crc32c(body) != number(&header[12..16]) as u32 {
        return Err(FrameError::Body { kind });
    }
    Ok((kind, body, rest))
}

/// Up to eight little-endian bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
