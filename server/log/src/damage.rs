//! What opening and reading a log may find wrong.

use std::collections::BTreeMap;
use std::fmt;

use ochre_types::{DatabaseName, LogId, Sequence};

/// Acknowledged bytes that cannot be read. They are kept where they are, never served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file's name within the log's directory.
    pub file: String,
    /// Where the bad bytes begin.
    pub offset: u64,
    /// How many bytes are bad; for a missing file or part, 0.
    pub length: u64,
    /// What is wrong.
    pub cause: DamageCause,
    /// The databases known to be affected, each with the first and the last sequence that is lost (or may be).
    pub sequences: BTreeMap<DatabaseName, (Sequence, Sequence)>,
}

impl Damage {
    /// Whether the bytes do not tell themselves what they held.
    pub(crate) fn is_unknown(&self) -> bool {
        !matches!(self.cause, DamageCause::Payload | DamageCause::MissingFrames | DamageCause::Cursors)
    }
}

/// What is wrong with damaged bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DamageCause {
    /// A segment's header is unreadable; the frames that are whole are served.
    SegmentHeader,
    /// Bytes that are no frame.
    Frame,
    /// A frame's header is whole, its payload is not.
    Payload,
    /// A segment between others is not there.
    MissingSegment,
    /// A segment is there, and its home fails to give it out.
    Unread,
    /// A segment is shorter than the next one says.
    Shortened {
        /// Bytes that it had.
        expected: u64,
    },
    /// The file belongs to another log; nothing of it is used.
    OtherLog {
        /// The log it belongs to.
        found: LogId,
    },
    /// The header bears another number than the file's name; nothing of it is used.
    OtherNumber {
        /// The number in the header.
        found: u64,
    },
    /// The file of cursors is missing or unreadable: cursors start anew.
    Cursors,
    /// Frames are missing between two frames of a database.
    MissingFrames,
}

impl fmt::Display for DamageCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SegmentHeader => f.write_str("the segment's header is unreadable"),
            Self::Frame => f.write_str("these bytes are no frame"),
            Self::Payload => f.write_str("a frame's payload does not match its checksum"),
            Self::Unread => f.write_str("the segment can't be read"),
            Self::MissingSegment => f.write_str("the segment is missing"),
            Self::Shortened { expected } => write!(f, "the segment had {expected} bytes"),
            Self::OtherLog { found } => write!(f, "the file belongs to log {found}"),
            Self::OtherNumber { found } => write!(f, "the file was written as segment {found}"),
            Self::Cursors => f.write_str("the file of cursors is missing or unreadable"),
            Self::MissingFrames => f.write_str("frames are missing"),
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}, {} bytes: {}", self.file, self.offset, self.length, self.cause)?;
        for (database, (first, last)) in &self.sequences {
            write!(f, "; {database} {first} to {last}")?;
        }
        Ok(())
    }
}

/// The end of the newest segment that a crash left unfinished. It was never acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// The segment's file name.
    pub file: String,
    /// Where it was cut.
    pub offset: u64,
    /// How many bytes were cut off.
    pub length: u64,
    /// The file that has them now; `None` if there were none, or when only looking.
    pub kept_as: Option<String>,
}

impl fmt::Display for TornTail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} was cut at {}", self.file, self.offset)?;
        match &self.kept_as {
            Some(kept) => write!(f, "; its last {} bytes are kept as {kept}", self.length),
            None => write!(f, "; it had {} more bytes", self.length),
        }
    }
}
