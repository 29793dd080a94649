//! Where each database stands: written at the start of every segment, so that segments can be dropped without
//! forgetting how far a database has come.
//!
//! The payload of a mark with heads, little-endian:
//! ```text
//!   0  8  highest hybrid clock reading of any stamp in the log so far
//!   8  4  number of databases
//!  then for each database, in the order of names
//!   0  2  length of the name, then the name
//!      8  last sequence
//!      8  incarnation that last accepted batches here
//!      8  the last origin sequence that it gave
//! ```

use std::collections::BTreeMap;

use ochre_types::{DatabaseName, Hlc, Incarnation, Sequence};

use crate::format::{u16_at, u32_at, u64_at};
use crate::frame::{FrameHeader, Predecessor};

/// Where one database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Head {
    /// The sequence of the last frame written, or what it was raised to.
    pub last: Sequence,
    /// Who wrote last, and how far.
    pub writer: Predecessor,
}

/// Where all databases stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Heads {
    pub highest: Hlc,
    pub databases: BTreeMap<DatabaseName, Head>,
}

impl Heads {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + self.databases.len() * 64);
        out.extend_from_slice(&self.highest.0.to_le_bytes());
        out.extend_from_slice(&(self.databases.len() as u32).to_le_bytes());
        for (name, head) in &self.databases {
            out.extend_from_slice(&(name.as_str().len() as u16).to_le_bytes());
            out.extend_from_slice(name.as_str().as_bytes());
            for number in [head.last.0, head.writer.incarnation.0, head.writer.last_origin_sequence] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut heads = Self { highest: Hlc(u64_at(bytes, 0)?), databases: BTreeMap::new() };
        let mut at = 12;
        for _ in 0..u32_at(bytes, 8)? {
            let name_end = at + 2 + usize::from(u16_at(bytes, at)?);
            let name = std::str::from_utf8(bytes.get(at + 2..name_end)?).ok()?;
            let head = Head {
                last: Sequence(u64_at(bytes, name_end)?),
                writer: Predecessor {
                    incarnation: Incarnation(u64_at(bytes, name_end + 8)?),
                    last_origin_sequence: u64_at(bytes, name_end + 16)?,
                },
            };
            heads.databases.insert(DatabaseName::new(name).ok()?, head);
            at = name_end + 24;
        }
        Some(heads)
    }

    /// Takes note of a frame; `writer` is the incarnation that wrote the segment, where it is known.
    pub fn see(&mut self, header: &FrameHeader, writer: Option<Incarnation>) {
        self.highest = self.highest.max(header.stamp.hlc);
        if !self.databases.contains_key(&header.database) {
            self.databases.insert(header.database.clone(), Head::default());
        }
        let Some(head) = self.databases.get_mut(&header.database) else { return };
        head.last = head.last.max(header.sequence);
        if writer == Some(header.origin) {
            if head.writer.incarnation != header.origin {
                head.writer = Predecessor { incarnation: header.origin, last_origin_sequence: 0 };
            }
            head.writer.last_origin_sequence = head.writer.last_origin_sequence.max(header.origin_sequence);
        }
    }
}
