//! Cursors: named, durable positions of readers.
//!
//! A cursor moves in memory and is flushed lazily, so that after a crash a reader may see some frames again, never
//! skip one. What pins a segment is the *flushed* position.
//!
//! A cursor may have a queue limit (see [`QueueLimit`]). Where that drops frames, the cursor keeps both how far its
//! reader came and up to where frames were dropped, so that its reader meets an explicit gap, after a restart too.
//!
//! The file `cursors`, little-endian; written anew as `cursors.tmp`, synced, renamed over the old one, and the
//! directory synced. In an object store, the same bytes are a frame of every segment:
//! ```text
//!   0  8  magic "OCHRECUR"
//!   8  2  version: 2; 1 has no dropped frames
//!  10  2  zero
//!  12  4  checksum (CRC-32C) of all other bytes
//!  16  8  log id
//!  24  4  number of cursors
//!  28  4  zero
//!  then for each cursor, in the order of database and name
//!   0  2  length of the database's name, then the name
//!      2  length of the cursor's name, then the name
//!      8  version of the cursor's filter
//!      8  position
//!      8  the last sequence that was dropped; 0 if none was (from version 2 on)
//!      8  how many sequences were ever dropped (from version 2 on)
//! ```

mod codec;
mod limit;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ochre_env::{Compute, Disk};
use ochre_types::{DatabaseName, LogId, Sequence};
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::backlog::{Backlogs, Lag};
use crate::error::LogError;

pub(crate) use codec::{decode, decode_fields, encode};
pub(crate) use limit::Dropped;
pub use limit::{QueueLimit, WhenFull};

/// The file's name within the log's directory.
pub(crate) const FILE: &str = "cursors";
/// The longest name of a cursor, in bytes.
pub const MAX_CURSOR_NAME: usize = 1_024;
const TEMPORARY: &str = "cursors.tmp";

/// A cursor as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorState {
    /// Its name, one of a kind within its database.
    pub name: String,
    /// The database it reads.
    pub database: DatabaseName,
    /// The version of its filter.
    pub version: u64,
    /// The last sequence its reader is done with.
    pub position: Sequence,
    /// The position that a crash would leave it at.
    pub flushed: Sequence,
    /// The last sequence that was dropped before the reader came to it; zero, or at most `position`, if nothing is
    /// missing now.
    pub dropped_through: Sequence,
    /// How many sequences were ever dropped.
    pub dropped_total: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slot {
    pub version: u64,
    pub position: Sequence,
    pub dropped_through: Sequence,
    pub dropped_total: u64,
    /// What a crash would leave of `position` and `dropped_through`.
    pub flushed: (Sequence, Sequence),
    pub limit: Option<QueueLimit>,
    /// Dropped and not yet told in the log.
    pub untold: u64,
    /// When a drop was last told.
    pub told_at: Option<Duration>,
}

impl Slot {
    pub fn at(version: u64, position: Sequence) -> Self {
        Self { version, position, flushed: (position, Sequence::ZERO), ..Self::default() }
    }

    /// The last sequence that nobody asks for.
    pub fn passed(&self) -> Sequence {
        self.position.max(self.dropped_through)
    }

    fn durable(&self) -> (Sequence, Sequence) {
        (self.position, self.dropped_through)
    }
}

pub(crate) type Slots = BTreeMap<(DatabaseName, String), Slot>;

/// Where cursors are kept.
#[derive(Debug)]
pub(crate) struct CursorFile {
    pub disk: Arc<dyn Disk>,
    pub compute: Compute,
    pub dir: PathBuf,
    pub log_id: LogId,
}

/// What makes positions durable.
#[derive(Debug)]
pub(crate) enum Keeper {
    /// Nothing does: they are gone with the process, as the frames are.
    Memory,
    File(CursorFile),
    /// The log's writer, with the next segment.
    Segments,
}

#[derive(Debug)]
pub(crate) struct Cursors {
    slots: Mutex<Slots>,
    keeper: Keeper,
    /// Held while the file is written.
    turn: Mutex<()>,
    /// Counts moves, for those who wait for one.
    pub moved: watch::Sender<u64>,
}

impl Cursors {
    pub fn new(slots: Slots, keeper: Keeper) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::new(slots), keeper, turn: Mutex::new(()), moved: watch::channel(0).0 })
    }

    /// The cursor as it stands if it has this version, else anew at `start`; whether it has to be made durable.
    pub fn open(
        &self,
        name: &str,
        database: &DatabaseName,
        version: u64,
        start: Sequence,
    ) -> Result<(CursorState, bool), LogError> {
        if name.len() > MAX_CURSOR_NAME {
            return Err(LogError::TooLarge { what: "cursor name", size: name.len(), limit: MAX_CURSOR_NAME });
        }
        let key = (database.clone(), name.to_owned());
        let mut slots = self.slots.lock();
        match slots.get(&key) {
            Some(slot) if slot.version == version => Ok((state(&key, slot), false)),
            before => {
                let slot = Slot { limit: before.and_then(|slot| slot.limit), ..Slot::at(version, start) };
                let opened = state(&key, &slot);
                slots.insert(key, slot);
                Ok((opened, true))
            }
        }
    }

    /// Moves a cursor forward; never back.
    pub fn advance(&self, name: &str, database: &DatabaseName, position: Sequence) -> Result<(), LogError> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(&(database.clone(), name.to_owned())).ok_or_else(|| missing(name, database))?;
        slot.position = slot.position.max(position);
        if matches!(self.keeper, Keeper::Memory) {
            slot.flushed = slot.durable();
        }
        drop(slots);
        self.moved.send_modify(|count| *count += 1);
        Ok(())
    }

    pub fn remove(&self, name: &str, database: &DatabaseName) -> Result<(), LogError> {
        let removed = self.slots.lock().remove(&(database.clone(), name.to_owned()));
        self.moved.send_modify(|count| *count += 1);
        removed.map(drop).ok_or_else(|| missing(name, database))
    }

    pub fn set_limit(&self, name: &str, database: &DatabaseName, limit: Option<QueueLimit>) -> Result<(), LogError> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(&(database.clone(), name.to_owned())).ok_or_else(|| missing(name, database))?;
        slot.limit = limit;
        drop(slots);
        self.moved.send_modify(|count| *count += 1);
        Ok(())
    }

    /// How far a cursor's reader came, and up to where frames were dropped.
    pub fn position(&self, name: &str, database: &DatabaseName) -> Result<(Sequence, Sequence), LogError> {
        let slots = self.slots.lock();
        let slot = slots.get(&(database.clone(), name.to_owned())).ok_or_else(|| missing(name, database))?;
        Ok(slot.durable())
    }

    pub fn list(&self) -> Vec<CursorState> {
        states(&self.slots.lock())
    }

    /// Every cursor with its limit and what stands behind it.
    pub fn lags(&self, backlogs: &Backlogs) -> Vec<(CursorState, Option<QueueLimit>, Lag)> {
        let slots = self.slots.lock();
        let lag =
            |database, slot: &Slot| backlogs.get(database).map(|log| log.behind(slot.passed())).unwrap_or_default();
        slots.iter().map(|(key, slot)| (state(key, slot), slot.limit, lag(&key.0, slot))).collect()
    }

    pub fn has_limits(&self) -> bool {
        self.slots.lock().values().any(|slot| slot.limit.is_some())
    }

    pub fn is_dirty(&self) -> bool {
        self.slots.lock().values().any(|slot| slot.flushed != slot.durable())
    }

    /// For each database that has cursors, the lowest flushed position.
    pub fn lowest_flushed(&self) -> BTreeMap<DatabaseName, Sequence> {
        let mut lowest: BTreeMap<DatabaseName, Sequence> = BTreeMap::new();
        for ((database, _), slot) in self.slots.lock().iter() {
            let flushed = slot.flushed.0.max(slot.flushed.1);
            let entry = lowest.entry(database.clone()).or_insert(flushed);
            *entry = flushed.min(*entry);
        }
        lowest
    }

    /// All cursors as they stand.
    pub fn snapshot(&self) -> Slots {
        self.slots.lock().clone()
    }

    /// Takes note that `written` is durable.
    pub fn flushed(&self, written: &Slots) {
        let mut current = self.slots.lock();
        for (key, written) in written {
            // A version opened meanwhile is not the one that was written.
            if let Some(slot) = current.get_mut(key)
                && slot.version == written.version
            {
                slot.flushed = written.durable();
            }
        }
    }

    /// Makes all positions durable, where a file has them.
    pub async fn flush(self: &Arc<Self>) -> Result<(), LogError> {
        if self.is_dirty() { self.write().await } else { Ok(()) }
    }

    /// Writes the file, whether or not something has changed.
    pub async fn write(self: &Arc<Self>) -> Result<(), LogError> {
        let Keeper::File(file) = &self.keeper else { return Ok(()) };
        let this = self.clone();
        file.compute.run(move || this.write_blocking()).await
    }

    pub fn write_blocking(&self) -> Result<(), LogError> {
        let Keeper::File(file) = &self.keeper else { return Ok(()) };
        let _turn = self.turn.lock();
        let slots = self.snapshot();
        let (temporary, target) = (file.dir.join(TEMPORARY), file.dir.join(FILE));
        // What a crash or a full disk left.
        match file.disk.remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(LogError::io("removing", &temporary)(error));
            }
            _ => {}
        }
        let mut out = file.disk.create_new(&temporary).map_err(LogError::io("making", &temporary))?;
        out.append(&encode(file.log_id, &slots)).map_err(LogError::io("writing", &temporary))?;
        out.sync().map_err(LogError::io("syncing", &temporary))?;
        file.disk.rename(&temporary, &target).map_err(LogError::io("replacing", &target))?;
        file.disk.sync_dir(&file.dir).map_err(LogError::io("syncing", &file.dir))?;
        self.flushed(&slots);
        Ok(())
    }
}

/// Cursors as they are shown.
pub(crate) fn states(slots: &Slots) -> Vec<CursorState> {
    slots.iter().map(|(key, slot)| state(key, slot)).collect()
}

fn state((database, name): &(DatabaseName, String), slot: &Slot) -> CursorState {
    CursorState {
        name: name.clone(),
        database: database.clone(),
        version: slot.version,
        position: slot.position,
        flushed: slot.flushed.0,
        dropped_through: slot.dropped_through,
        dropped_total: slot.dropped_total,
    }
}

fn missing(name: &str, database: &DatabaseName) -> LogError {
    LogError::NoCursor { name: name.to_owned(), database: database.clone() }
}
