//! Records as they are appended, and frames as they are read.

use bytes::Bytes;
use ochre_types::{DatabaseName, Incarnation, Sequence, Stamp};

use crate::error::LogError;

/// The most incarnations in a path.
pub const MAX_PATH: usize = 64;
/// The most bytes in a payload: 256 MiB.
pub const MAX_PAYLOAD: usize = 256 << 20;

/// What a frame of a database holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FrameKind {
    /// The payload is rows, as crate `batch` encodes them.
    Rows,
    /// A new incarnation's first frame in a database; the payload is a [`Predecessor`].
    Start,
    /// A deletion, or that one was taken back; the payload is a tombstone, as crate `batch` encodes it.
    Tombstone,
}

/// Who wrote to a database of this log before this start of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Predecessor {
    /// The last incarnation that accepted batches here; zero if there was none.
    pub incarnation: Incarnation,
    /// The last origin sequence that it gave in this database.
    pub last_origin_sequence: u64,
}

/// What is to be appended: a frame without what the log itself adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it holds.
    pub kind: FrameKind,
    /// The incarnation that accepted the batch.
    pub origin: Incarnation,
    /// The batch's sequence there.
    pub origin_sequence: u64,
    /// The batch's stamp.
    pub stamp: Stamp,
    /// The incarnations that the batch has passed; at most [`MAX_PATH`].
    pub path: Vec<Incarnation>,
    /// Which of the batch's rows these are: 0 is all, else the hash of the send's filter.
    pub slice: u64,
    /// The origin sequences that this frame speaks for: after the first, up to and with the second.
    pub covers: (u64, u64),
    /// The payload's format.
    pub format: u16,
    /// The lowest format version a reader must know to understand the payload.
    pub min_reader: u16,
    /// The encoded rows; at most [`MAX_PAYLOAD`] bytes.
    pub payload: Bytes,
}

impl Record {
    /// A batch that this node accepted from a client: whole, speaking for itself alone, with only `origin` in its path.
    pub fn rows(origin: Incarnation, origin_sequence: u64, stamp: Stamp, format: u16, payload: Bytes) -> Self {
        Self {
            kind: FrameKind::Rows,
            origin,
            origin_sequence,
            stamp,
            path: vec![origin],
            slice: 0,
            covers: (origin_sequence.saturating_sub(1), origin_sequence),
            format,
            min_reader: format,
            payload,
        }
    }

    /// The first frame of `incarnation` in a database: names who wrote before, so that a complete predecessor can be
    /// collapsed into one interval.
    pub fn start(incarnation: Incarnation, stamp: Stamp, predecessor: Predecessor) -> Self {
        let mut payload = Vec::with_capacity(Predecessor::BYTES);
        payload.extend_from_slice(&predecessor.incarnation.0.to_le_bytes());
        payload.extend_from_slice(&predecessor.last_origin_sequence.to_le_bytes());
        Self {
            kind: FrameKind::Start,
            origin: incarnation,
            origin_sequence: 0,
            stamp,
            path: vec![incarnation],
            slice: 0,
            covers: (0, 0),
            format: 1,
            min_reader: 1,
            payload: payload.into(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), LogError> {
        let bound = |what, size, limit| {
            if size > limit { Err(LogError::TooLarge { what, size, limit }) } else { Ok(()) }
        };
        bound("path", self.path.len(), MAX_PATH)?;
        bound("payload", self.payload.len(), MAX_PAYLOAD)
    }

    pub(crate) fn into_frame(self, database: DatabaseName, sequence: Sequence, previous: Sequence) -> Frame {
        let header = FrameHeader {
            kind: self.kind,
            database,
            sequence,
            previous,
            origin: self.origin,
            origin_sequence: self.origin_sequence,
            stamp: self.stamp,
            path: self.path,
            slice: self.slice,
            covers: self.covers,
            format: self.format,
            min_reader: self.min_reader,
        };
        Frame { header, payload: self.payload }
    }
}

impl Predecessor {
    const BYTES: usize = 16;

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (incarnation, sequence) = bytes.split_at_checked(8)?;
        Some(Self {
            incarnation: Incarnation(u64::from_le_bytes(incarnation.try_into().ok()?)),
            last_origin_sequence: u64::from_le_bytes(sequence.try_into().ok()?),
        })
    }
}

/// What a frame says about its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// What the payload holds.
    pub kind: FrameKind,
    /// The database.
    pub database: DatabaseName,
    /// The frame's position in its database on this node; rising, never used twice.
    pub sequence: Sequence,
    /// The position of the database's frame before this one (0: none). Between the two there never was a frame.
    pub previous: Sequence,
    /// See [`Record::origin`].
    pub origin: Incarnation,
    /// See [`Record::origin_sequence`].
    pub origin_sequence: u64,
    /// See [`Record::stamp`].
    pub stamp: Stamp,
    /// See [`Record::path`].
    pub path: Vec<Incarnation>,
    /// See [`Record::slice`].
    pub slice: u64,
    /// See [`Record::covers`].
    pub covers: (u64, u64),
    /// See [`Record::format`].
    pub format: u16,
    /// See [`Record::min_reader`].
    pub min_reader: u16,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it says about itself.
    pub header: FrameHeader,
    /// What it holds. Cheap to clone.
    pub payload: Bytes,
}

impl Frame {
    /// What a [`FrameKind::Start`] frame names; `None` for any other.
    pub fn predecessor(&self) -> Option<Predecessor> {
        match self.header.kind {
            FrameKind::Start => Predecessor::decode(&self.payload),
            FrameKind::Rows | FrameKind::Tombstone => None,
        }
    }
}
