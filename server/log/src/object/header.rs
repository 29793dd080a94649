//! The header of a segment in an object store: 64 bytes, little-endian.
//!
//! ```text
//!   0  8  magic "OCHREOSG"
//!   8  2  version: 1
//!  10  1  kind: 1 segment, 2 seal: nothing of this epoch comes after it
//!  11  1  zero
//!  12  4  checksum (CRC-32C) of bytes 0..12 and 16..64
//!  16  8  log id
//!  24  8  incarnation that wrote it
//!  32  8  ordinal: epoch * 2^32 + number
//!  40  8  length of the whole object
//!  48  8  ordinal of the last segment of this epoch that was acknowledged when this one was made; 0 if none was
//!  56  8  ordinal of the oldest segment of the log that was needed then: what is before may be removed once this one is
//!        there, and counts for nothing if it is still there; 0 in the seal of a take-over
//! ```
//! Frames follow as on disk (see [`crate::format`]): a mark with heads, a record of all cursors, the frames of databases,
//! and a seal frame in the segment of a clean stop. The seal of a take-over is a header and a seal frame.

use ochre_types::{Incarnation, LogId};

use crate::format::{SEGMENT_HEADER, u16_at, u32_at, u64_at};

const MAGIC: &[u8; 8] = b"OCHREOSG";
/// The version that this release writes, and the highest that it reads.
pub(crate) const VERSION: u16 = 1;
/// The header's length.
pub(crate) const LENGTH: usize = SEGMENT_HEADER as usize;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub is_seal: bool,
    pub log_id: LogId,
    pub incarnation: Incarnation,
    pub ordinal: u64,
    pub length: u64,
    pub acknowledged: u64,
    pub oldest: u64,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Unreadable,
    /// Whole, but of a version that this release does not know.
    Version(u16),
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..LENGTH])
}

impl Header {
    /// Writes it over the first 64 bytes of `out`.
    pub fn put(&self, out: &mut [u8]) {
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10..12].copy_from_slice(&[if self.is_seal { 2 } else { 1 }, 0]);
        let numbers = [self.log_id.0, self.incarnation.0, self.ordinal, self.length, self.acknowledged, self.oldest];
        for (i, number) in numbers.into_iter().enumerate() {
            out[16 + i * 8..24 + i * 8].copy_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(out);
        out[12..16].copy_from_slice(&sum.to_le_bytes());
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < LENGTH || !bytes.starts_with(MAGIC) || u32_at(bytes, 12) != Some(checksum(bytes)) {
            return Err(HeaderError::Unreadable);
        }
        match u16_at(bytes, 8) {
            Some(VERSION) => Self::fields(bytes).ok_or(HeaderError::Unreadable),
            Some(version) => Err(HeaderError::Version(version)),
            None => Err(HeaderError::Unreadable),
        }
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            is_seal: *bytes.get(10)? == 2,
            log_id: LogId(u64_at(bytes, 16)?),
            incarnation: Incarnation(u64_at(bytes, 24)?),
            ordinal: u64_at(bytes, 32)?,
            length: u64_at(bytes, 40)?,
            acknowledged: u64_at(bytes, 48)?,
            oldest: u64_at(bytes, 56)?,
        })
    }
}

/// Decodes, for a fuzzer.
pub(crate) fn fuzz(bytes: &[u8]) {
    let _ = Header::decode(bytes);
    let _ = Header::fields(bytes);
}
