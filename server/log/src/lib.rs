//! The node's write-ahead log: one per node, frames of all databases, group commit.
//!
//! ```text
//!   append --queue--> writer task --group--> segment file --sync--> synced, readers, cursors
//!                        |                       ^
//!                        +-- marks, cursors' file, dropping segments that nobody needs
//!   open: survey segments -> verify every frame -> name damage, cut the torn tail -> a new segment
//! ```
//! Instead of files, segments may be objects, so that no disk holds anything: see `object`.
//!
//! # Invariants
//! 1. `synced` answers only after the frame and everything before it in the log were synced.
//! 2. The order of appending is the order on disk; a sequence is given once. Within a database, each frame names the
//!    one before it, so that a hole is either explicit (refused or raised) or damage.
//! 3. No reader and no cursor gets past what is synced.
//! 4. Nothing of a frame that was refused with `Full` is ever replayed: the segment is cut back, durably, before the
//!    answer. A failed sync or an unclear write ends the log until the next start.
//! 5. No byte is served whose checksum does not match its place. Unreadable bytes below a mark, before a whole frame or
//!    in any but the newest segment are damage: named and kept. Else they are a torn tail: moved to a side file.
//! 6. Segments are numbered without holes, written by one incarnation each, never appended to after a start, and
//!    dropped oldest first.
//! 7. What a reader does not get is never silent: it is damage, or a gap, in its place.
//!
//! # Absent on purpose
//! What payloads mean; retries of appends; deciding what is persisted; who the owner of the log is (the epoch is claimed
//! before the log is opened).

mod backlog;
mod config;
pub mod cursors;
mod damage;
mod error;
pub mod format;
mod frame;
mod fuzz;
pub mod heads;
pub mod inspect;
mod log;
mod memory;
mod object;
mod open;
mod outcome;
mod reader;
mod recover;
mod repair;
mod scan;
mod segment;
mod segments;
mod shared;
mod status;
mod writer;

pub use config::{Home, LogConfig, ObjectHome};
pub use cursors::{CursorState, QueueLimit, WhenFull};
pub use damage::{Damage, DamageCause, TornTail};
pub use error::LogError;
pub use frame::{Frame, FrameHeader, FrameKind, MAX_PATH, MAX_PAYLOAD, Predecessor, Record};
pub use fuzz::fuzz_decode;
pub use inspect::{DirectoryReader, InspectedDatabase, InspectedSegment, Inspection, inspect, inspect_objects};
pub use log::{Appended, DatabaseTail, Log, Opened};
pub use reader::{LogReader, ReadItem};
pub use repair::{Repair, RepairedSegment, repair};
pub use status::{CursorStatus, DatabaseStatus, LogStatus};

#[cfg(test)]
mod tests;
