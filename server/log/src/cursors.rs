//! Cursors: named, durable positions of readers.
//!
//! A cursor moves in memory and is flushed lazily, so that after a crash a reader may see some frames again, never
//! skip one. What pins a segment is the *flushed* position.
//!
//! The file `cursors`, little-endian; written anew as `cursors.tmp`, synced, renamed over the old one, and the
//! directory synced:
//! ```text
//!   0  8  magic "OCHRECUR"
//!   8  2  version: 1
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
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ochre_env::{Compute, Disk};
use ochre_types::{DatabaseName, LogId, Sequence};
use parking_lot::Mutex;

use crate::error::LogError;
use crate::format::{u16_at, u32_at, u64_at};

/// The file's name within the log's directory.
pub(crate) const FILE: &str = "cursors";
/// The longest name of a cursor, in bytes.
pub const MAX_CURSOR_NAME: usize = 1_024;
const TEMPORARY: &str = "cursors.tmp";
const MAGIC: &[u8; 8] = b"OCHRECUR";
const VERSION: u16 = 1;
const HEADER: usize = 32;

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    pub version: u64,
    pub position: Sequence,
    pub flushed: Sequence,
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

#[derive(Debug)]
pub(crate) struct Cursors {
    slots: Mutex<Slots>,
    /// `None` for a log in memory.
    file: Option<CursorFile>,
    /// Held while the file is written.
    turn: Mutex<()>,
}

impl Cursors {
    pub fn new(slots: Slots, file: Option<CursorFile>) -> Arc<Self> {
        Arc::new(Self { slots: Mutex::new(slots), file, turn: Mutex::new(()) })
    }

    pub async fn open(
        self: &Arc<Self>,
        name: &str,
        database: &DatabaseName,
        version: u64,
        start: Sequence,
    ) -> Result<CursorState, LogError> {
        if name.len() > MAX_CURSOR_NAME {
            return Err(LogError::TooLarge { what: "cursor name", size: name.len(), limit: MAX_CURSOR_NAME });
        }
        let key = (database.clone(), name.to_owned());
        {
            let mut slots = self.slots.lock();
            match slots.get(&key) {
                Some(slot) if slot.version == version => return Ok(state(&key, slot)),
                _ => slots.insert(key.clone(), Slot { version, position: start, flushed: start }),
            };
        }
        self.write().await?;
        let slots = self.slots.lock();
        slots.get(&key).map(|slot| state(&key, slot)).ok_or_else(|| missing(name, database))
    }

    /// Moves a cursor forward; never back.
    pub fn advance(&self, name: &str, database: &DatabaseName, position: Sequence) -> Result<(), LogError> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(&(database.clone(), name.to_owned())).ok_or_else(|| missing(name, database))?;
        slot.position = slot.position.max(position);
        if self.file.is_none() {
            slot.flushed = slot.position;
        }
        Ok(())
    }

    pub async fn delete(self: &Arc<Self>, name: &str, database: &DatabaseName) -> Result<(), LogError> {
        let removed = self.slots.lock().remove(&(database.clone(), name.to_owned()));
        if removed.is_none() {
            return Err(missing(name, database));
        }
        self.write().await
    }

    pub fn list(&self) -> Vec<CursorState> {
        states(&self.slots.lock())
    }

    pub fn is_dirty(&self) -> bool {
        self.slots.lock().values().any(|slot| slot.flushed != slot.position)
    }

    /// Makes all positions durable.
    pub async fn flush(self: &Arc<Self>) -> Result<(), LogError> {
        if self.is_dirty() { self.write().await } else { Ok(()) }
    }

    /// For each database that has cursors, the lowest flushed position.
    pub fn lowest_flushed(&self) -> BTreeMap<DatabaseName, Sequence> {
        let mut lowest: BTreeMap<DatabaseName, Sequence> = BTreeMap::new();
        for ((database, _), slot) in self.slots.lock().iter() {
            let entry = lowest.entry(database.clone()).or_insert(slot.flushed);
            *entry = slot.flushed.min(*entry);
        }
        lowest
    }

    /// Writes the file, whether or not something has changed.
    pub async fn write(self: &Arc<Self>) -> Result<(), LogError> {
        let Some(file) = &self.file else { return Ok(()) };
        let this = self.clone();
        file.compute.run(move || this.write_blocking()).await
    }

    pub fn write_blocking(&self) -> Result<(), LogError> {
        let Some(file) = &self.file else { return Ok(()) };
        let _turn = self.turn.lock();
        let slots = self.slots.lock().clone();
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
        let mut current = self.slots.lock();
        for (key, written) in &slots {
            // A version opened meanwhile is not the one that was written.
            if let Some(slot) = current.get_mut(key)
                && slot.version == written.version
            {
                slot.flushed = written.position;
            }
        }
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
        flushed: slot.flushed,
    }
}

fn missing(name: &str, database: &DatabaseName) -> LogError {
    LogError::NoCursor { name: name.to_owned(), database: database.clone() }
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

pub(crate) fn encode(log_id: LogId, slots: &Slots) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    out[..8].copy_from_slice(MAGIC);
    out[8..10].copy_from_slice(&VERSION.to_le_bytes());
    out[16..24].copy_from_slice(&log_id.0.to_le_bytes());
    out[24..28].copy_from_slice(&(slots.len() as u32).to_le_bytes());
    for ((database, name), slot) in slots {
        for text in [database.as_str(), name.as_str()] {
            out.extend_from_slice(&(text.len() as u16).to_le_bytes());
            out.extend_from_slice(text.as_bytes());
        }
        out.extend_from_slice(&slot.version.to_le_bytes());
        out.extend_from_slice(&slot.position.0.to_le_bytes());
    }
    let sum = checksum(&out);
    out[12..16].copy_from_slice(&sum.to_le_bytes());
    out
}

/// The log id and the cursors in a file's bytes; `None` if they are not what was written.
pub(crate) fn decode(bytes: &[u8]) -> Option<(LogId, Slots)> {
    if bytes.len() < HEADER || !bytes.starts_with(MAGIC) || u32_at(bytes, 12)? != checksum(bytes) {
        return None;
    }
    decode_fields(bytes)
}

pub(crate) fn decode_fields(bytes: &[u8]) -> Option<(LogId, Slots)> {
    if u16_at(bytes, 8)? != VERSION {
        return None;
    }
    let log_id = LogId(u64_at(bytes, 16)?);
    let mut slots = Slots::new();
    let mut at = HEADER;
    for _ in 0..u32_at(bytes, 24)? {
        let mut text = || {
            let end = at + 2 + usize::from(u16_at(bytes, at)?);
            let text = std::str::from_utf8(bytes.get(at + 2..end)?).ok()?;
            at = end;
            Some(text)
        };
        let key = (DatabaseName::new(text()?).ok()?, text()?.to_owned());
        let position = Sequence(u64_at(bytes, at + 8)?);
        slots.insert(key, Slot { version: u64_at(bytes, at)?, position, flushed: position });
        at += 16;
    }
    Some((log_id, slots))
}
