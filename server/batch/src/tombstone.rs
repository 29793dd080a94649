//! Deletions: which rows they hide, and a deletion as bytes in the log.
//!
//! Whether a deletion acts on a row is asked in two steps: [`acting`] finds those that may act on a chunk, by what is
//! known of the chunk as a whole; [`hidden`] then tests the rows, in columns. A chunk that nothing acts on costs nothing.
//!
//! # A settled chunk
//! Its rows have the boundary for a stamp, whatever stamps they came with. Tombstones at or below the boundary have been
//! applied before it was settled, and are named in its list; they never act on it again, so that what was written after
//! the deletion stays. One at or below the boundary that is *not* in the list came late: nobody knows which of its rows
//! are older, and it hides all that match.
//!
//! # The payload
//! All numbers are little-endian, but for stamps: 8 bytes of clock and 8 of incarnation, big-endian.
//!
//! ```text
//! payload  "OCHT"  format u16  min_reader u16  stamp 16 bytes  reverted 16 bytes (zero: it is in force)
//!          undrop_until u64 (0 for rows)  what u8: 1 rows, 2 a table, 3 the database  | body
//! rows     first time i64  last time i64  has predicate u8 (0 or 1)  [text of the predicate]  patterns u32  texts
//! table    text of its name
//! text     length u32  | UTF-8
//! ```

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_buffer::BooleanBuffer;
use bytes::Bytes;
use ochre_types::matching::RowMatch;
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{Hlc, Stamp, TableName};

use crate::matching;
use crate::stamps::{StampedRows, Stamps};

/// The format that [`encode`] writes, and the newest that [`decode`] knows.
pub const FORMAT: u16 = 1;
/// The oldest reader's [`FORMAT`] that can read what [`encode`] writes.
pub const MIN_READER: u16 = 1;
/// The table patterns that a deletion may have.
pub const MAX_PATTERNS: usize = 1_000;

const MAGIC: [u8; 4] = *b"OCHT";
const ROWS: u8 = 1;
const TABLE: u8 = 2;
const DATABASE: u8 = 3;

/// A tombstone that may act on the rows at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Active {
    /// The tombstone.
    pub tombstone: Arc<Tombstone>,
    /// It came too late for a settled chunk: it hides rows that match, whatever their stamps say.
    pub late: bool,
}

/// What [`acting`] has to know of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts<'a> {
    /// Its table.
    pub table: &'a TableName,
    /// The lowest and the highest time of its rows.
    pub time: (i64, i64),
    /// The lowest and the highest stamp of its rows.
    pub stamps: (Stamp, Stamp),
    /// The boundary up to which its rows are settled.
    pub settled: Option<Hlc>,
    /// The tombstones whose rows it no longer has, in rising order.
    pub applied: &'a [Stamp],
}

impl Active {
    /// Whether it hides every row of a chunk that it acts on.
    pub fn covers(&self, facts: &Facts<'_>) -> bool {
        (self.late || facts.stamps.1 < self.tombstone.stamp)
            && match &self.tombstone.erasure {
                Erasure::Rows { rows, time } => {
                    rows.predicate.is_none() && time.0 <= facts.time.0 && facts.time.1 <= time.1
                }
                Erasure::Table { .. } | Erasure::Database { .. } => true,
            }
    }
}

/// The tombstones that may hide rows of a chunk.
///
/// A compaction may carry out only those that can't be taken back any more ([`Tombstone::is_final`]); queries go by all.
pub fn acting<'a>(tombstones: impl IntoIterator<Item = &'a Arc<Tombstone>>, facts: &Facts<'_>) -> Vec<Active> {
    let act = |tombstone: &&Arc<Tombstone>| tombstone.concerns(facts.table, facts.time);
    tombstones.into_iter().filter(act).filter_map(|tombstone| active(tombstone, facts)).collect()
}

fn active(tombstone: &Arc<Tombstone>, facts: &Facts<'_>) -> Option<Active> {
    let stamp = tombstone.stamp;
    if facts.applied.binary_search(&stamp).is_ok() {
        return None;
    }
    let late = facts.settled.is_some_and(|boundary| stamp.hlc <= boundary);
    (late || facts.stamps.0 < stamp).then(|| Active { tombstone: tombstone.clone(), late })
}

/// For each row whether one of the tombstones hides it; `None` if none is hidden. Without nulls.
pub fn hidden(rows: &StampedRows, table: &TableName, tombstones: &[Active]) -> Option<BooleanArray> {
    let masks = tombstones.iter().filter_map(|active| mask(rows, table, active));
    let joined = masks.reduce(|one, two| &one | &two)?;
    (joined.count_set_bits() > 0).then(|| BooleanArray::new(joined, None))
}

fn mask(rows: &StampedRows, table: &TableName, active: &Active) -> Option<BooleanBuffer> {
    let tombstone = &active.tombstone;
    if !tombstone.concerns(table, rows.rows.time_range()?) {
        return None;
    }
    let mut mask = match &tombstone.erasure {
        Erasure::Table { .. } | Erasure::Database { .. } => BooleanBuffer::new_set(rows.rows.len()),
        Erasure::Rows { rows: matching, time: (first, last) } => {
            let times = rows.rows.times();
            let within = BooleanBuffer::collect_bool(times.len(), |row| (*first..=*last).contains(&times[row]));
            match &matching.predicate {
                None => within,
                Some(_) => &within & matching::mask(matching, table, &rows.rows).values(),
            }
        }
    };
    if !active.late {
        match &rows.stamps {
            Stamps::One(stamp) if *stamp < tombstone.stamp => {}
            Stamps::One(_) => return None,
            Stamps::Each(stamps) => {
                let own = tombstone.stamp.to_bytes();
                mask = &mask & &BooleanBuffer::collect_bool(rows.rows.len(), |row| stamps.value(row) < &own[..]);
            }
        }
    }
    Some(mask)
}

/// Why bytes are no tombstone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are something else.
    #[error("a tombstone does not start with \"OCHT\": these bytes are something else, or damaged")]
    Magic,
    /// It was written for newer readers.
    #[error(
        "a tombstone of format {format} needs a reader of format {min_reader}: this one knows {FORMAT}; upgrade this server"
    )]
    TooNew {
        /// Its format.
        format: u16,
        /// The format that its reader must know.
        min_reader: u16,
    },
    /// It ends too early, or goes on behind its end.
    #[error("a tombstone of {length} bytes does not end after {what}")]
    Length {
        /// What was being read.
        what: &'static str,
        /// Its bytes.
        length: usize,
    },
    /// Something has a value that no writer gives it.
    #[error("a tombstone is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
}

/// A tombstone as the payload of a frame.
pub fn encode(tombstone: &Tombstone) -> Bytes {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&MIN_READER.to_le_bytes());
    out.extend_from_slice(&tombstone.stamp.to_bytes());
    out.extend_from_slice(&tombstone.reverted.unwrap_or_default().to_bytes());
    out.extend_from_slice(&tombstone.undrop_until().unwrap_or_default().0.to_le_bytes());
    match &tombstone.erasure {
        Erasure::Rows { rows, time } => {
            out.push(ROWS);
            out.extend_from_slice(&time.0.to_le_bytes());
            out.extend_from_slice(&time.1.to_le_bytes());
            out.push(u8::from(rows.predicate.is_some()));
            if let Some(predicate) = &rows.predicate {
                write_text(&mut out, &predicate.to_string());
            }
            out.extend_from_slice(&(rows.tables.len() as u32).to_le_bytes());
            rows.tables.iter().for_each(|pattern| write_text(&mut out, &pattern.to_string()));
        }
        Erasure::Table { table, .. } => {
            out.push(TABLE);
            write_text(&mut out, table.as_str());
        }
        Erasure::Database { .. } => out.push(DATABASE),
    }
    out.into()
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The tombstone of a payload. Never panics, and allocates a small multiple of the payload's size at most.
pub fn decode(payload: &[u8]) -> Result<Tombstone, DecodeError> {
    let mut reader = Reader { rest: payload, length: payload.len() };
    if reader.rest.get(..4) != Some(&MAGIC[..]) {
        return Err(DecodeError::Magic);
    }
    reader.rest = &reader.rest[4..];
    let (format, min_reader) =
        (u16::from_le_bytes(reader.array("the format")?), u16::from_le_bytes(reader.array("the format")?));
    if min_reader > FORMAT {
        return Err(DecodeError::TooNew { format, min_reader });
    }
    let stamp = Stamp::from_bytes(reader.array("the stamp")?);
    let reverted = Stamp::from_bytes(reader.array("the stamp of an undrop")?);
    let undrop_until = Hlc(u64::from_le_bytes(reader.array("the end of undropping")?));
    let [what] = reader.array("its kind")?;
    let erasure = match what {
        ROWS if undrop_until == Hlc::ZERO => reader.rows()?,
        TABLE => {
            let name = reader.text("a table's name")?;
            let table = TableName::new(name).map_err(|error| malformed(format!("table {name:?}: {error}")))?;
            Erasure::Table { table, undrop_until }
        }
        DATABASE => Erasure::Database { undrop_until },
        other => return Err(malformed(format!("there is no deletion of kind {other}"))),
    };
    if !reader.rest.is_empty() {
        return Err(reader.length("its body"));
    }
    let reverted = (reverted != Stamp::default()).then_some(reverted);
    Ok(Tombstone { reverted, ..Tombstone::new(stamp, erasure) })
}

/// The fuzz target: whatever the bytes, `decode` answers, and what it takes survives a round trip.
pub fn fuzz_decode(bytes: &[u8]) {
    if let Ok(tombstone) = decode(bytes) {
        assert_eq!(decode(&encode(&tombstone)), Ok(tombstone), "a decoded tombstone must survive a round trip");
    }
}

fn malformed(what: String) -> DecodeError {
    DecodeError::Malformed { what }
}

struct Reader<'a> {
    rest: &'a [u8],
    length: usize,
}

impl<'a> Reader<'a> {
    fn length(&self, what: &'static str) -> DecodeError {
        DecodeError::Length { what, length: self.length }
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.length(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn text(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let length = u32::from_le_bytes(self.array(what)?) as usize;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.length(what))?;
        self.rest = rest;
        std::str::from_utf8(taken).map_err(|error| malformed(format!("{what} is not UTF-8: {error}")))
    }

    fn rows(&mut self) -> Result<Erasure, DecodeError> {
        let first = i64::from_le_bytes(self.array("the first time")?);
        let last = i64::from_le_bytes(self.array("the last time")?);
        let predicate = match self.array("the predicate")? {
            [0] => None,
            [1] => {
                let text = self.text("the predicate")?;
                Some(text.parse().map_err(|error| malformed(format!("predicate {text:?}: {error}")))?)
            }
            [other] => return Err(malformed(format!("it has {other} predicates"))),
        };
        let count = u32::from_le_bytes(self.array("the number of tables")?) as usize;
        if count > MAX_PATTERNS {
            return Err(malformed(format!("it has {count} table patterns, where {MAX_PATTERNS} are allowed")));
        }
        let mut tables = Vec::new();
        for _ in 0..count {
            let text = self.text("a table pattern")?;
            tables.push(text.parse().map_err(|error| malformed(format!("table pattern {text:?}: {error}")))?);
        }
        Ok(Erasure::Rows { rows: RowMatch { tables, predicate }, time: (first, last) })
    }
}

#[cfg(test)]
mod tests;
