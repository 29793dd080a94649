//! The payload: a batch as bytes, the same in the log, to peers and to subscribers.
//!
//! All numbers are little-endian. Every section starts at a multiple of 8 bytes from the payload's start; the bytes
//! between are zero. So fixed-width columns, offsets and text are used where they lie, without a copy, wherever the
//! payload itself starts at a multiple of 8 in memory (else it is copied once, whole).
//!
//! ```text
//! payload  "OCHB"  format u16  min_reader u16  tables u32  0 u32                          then each table
//! table    name length u32  columns u32  rows u64 (>= 1)  | name                          then each column
//! column   name length u32  kind u8  flags u8  code width u8  0 u8  | name  | [validity]  | values
//!   kind      ColumnKind::code: 0 tag, 1 time, 2 float, 3 integer, 4 unsigned, 5 boolean, 6 string
//!   flags     bit 0: there is a validity bitmap (absent when no row lacks a value; time never has one)
//!   validity  rows bits, lowest first, 1 = has a value
//!   values    time, float, integer, unsigned:  rows * 8 bytes
//!             boolean:  rows bits, lowest first
//!             string:   (rows + 1) * u32 offsets, from 0, never falling  | text
//!             tag:      values u32  0 u32  | (values + 1) * u32 offsets  | text  | rows * code width (1, 2 or 4) bytes
//! ```
//!
//! Tables stand in the order of their names, columns in canonical order ([`crate::rows::canonical_order`]). Where a row
//! lacks a value, its fixed-width value, bit, text or code is zero, empty or 0. [`encode`] drops tag values that no
//! row uses, numbers the others by first use, and takes the narrowest code width; [`decode`] takes any.
//!
//! A reader reads payloads whose `min_reader` is not above its own [`FORMAT`].

mod decode;
mod encode;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use ochre_types::{ColumnId, NameError};

use crate::batch::Batch;
use crate::rows::RowsError;

// Columns are used where they lie: their bytes must be those of the machine.
const _: () = assert!(cfg!(target_endian = "little"), "Ochre runs on little-endian machines only");

/// The format that [`encode`] writes, and the newest that [`decode`] knows.
pub const FORMAT: u16 = 1;
/// The oldest reader's [`FORMAT`] that can read what [`encode`] writes.
pub const MIN_READER: u16 = 1;

const MAGIC: [u8; 4] = *b"OCHB";
const ALIGNMENT: usize = 8;
const HAS_VALIDITY: u8 = 1;

/// Why bytes are no batch. Offsets are bytes from the payload's start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are something else.
    #[error("a batch payload does not start with \"OCHB\": these bytes are something else, or damaged")]
    Magic,
    /// The payload was written for newer readers.
    #[error(
        "a batch payload of format {format} needs a reader of format {min_reader}: this one knows {FORMAT}; upgrade this server"
    )]
    TooNew {
        /// The payload's format.
        format: u16,
        /// The format that its reader must know.
        min_reader: u16,
    },
    /// The payload ends too early.
    #[error("a batch payload of {length} bytes ends within {what} at byte {offset}")]
    Truncated {
        /// What was being read.
        what: &'static str,
        /// Where it starts.
        offset: usize,
        /// The payload's bytes.
        length: usize,
    },
    /// Something has a value that no writer gives it.
    #[error("a batch payload is malformed at byte {offset}: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
        /// Where.
        offset: usize,
    },
    /// A table or column has no legal name.
    #[error("a batch payload has a bad name at byte {offset}: {error}")]
    Name {
        /// Where.
        offset: usize,
        /// What is wrong with it.
        error: NameError,
    },
    /// A string is not UTF-8, or an offset points into the middle of a character.
    #[error("column {column} of a batch payload is not UTF-8: {reason}")]
    Text {
        /// The column.
        column: ColumnId,
        /// What the check says.
        reason: String,
    },
    /// The columns of a table do not fit together.
    #[error("the columns of a table in a batch payload don't fit together: {0}")]
    Rows(#[from] RowsError),
}

/// The payload of a batch. Equal rows give equal bytes, however their arrays are sliced or their dictionaries are
/// numbered (but a dictionary with a value twice is written with it twice).
pub fn encode(batch: &Batch) -> Bytes {
    encode::batch(batch)
}

/// The batch of a payload. What was written in fixed-width columns, offsets and text is shared with `payload`, and so
/// keeps it in memory. Checks everything, never panics, and allocates a small multiple of the payload's size at most.
pub fn decode(payload: Bytes) -> Result<Batch, DecodeError> {
    decode::batch(payload)
}

/// The fuzz target: whatever the bytes, `decode` answers, and what it takes survives a round trip.
pub fn fuzz_decode(bytes: &[u8]) {
    if let Ok(batch) = decode(Bytes::copy_from_slice(bytes)) {
        let payload = encode(&batch);
        let again = decode(payload.clone());
        assert!(again.is_ok_and(|again| encode(&again) == payload), "a decoded batch must survive a round trip");
    }
}
