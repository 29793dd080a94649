//! Writes segments: blocking, called by the writer through `Compute`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ochre_env::planted::{self, Planted};
use ochre_env::{Clock, Disk, DiskFile, DiskLock};
use ochre_types::{DatabaseName, Incarnation, LogId, Sequence};

use crate::error::is_full;
use crate::format::{self, Place, SEGMENT_HEADER, SegmentHeader};
use crate::heads::Heads;
use crate::shared::{Queued, SegmentMeta, Written};

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// No room; the segment is as it was before, durably.
    Full(String),
    /// Nothing is known about what is on the disk.
    Failed(String),
}

/// A group that is durable.
#[derive(Debug)]
pub(crate) struct GroupWritten {
    pub bytes: u64,
    pub sync_nanos: u64,
    pub frames: Vec<Written>,
}

#[derive(Debug)]
struct Active {
    file: Box<dyn DiskFile>,
    number: u64,
    /// Its synced length.
    length: u64,
}

/// The end of the log on disk.
#[derive(Debug)]
pub(crate) struct SegmentWriter {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub dir: PathBuf,
    pub log_id: LogId,
    pub incarnation: Incarnation,
    pub segment_size: u64,
    pub disk_reserve: u64,
    /// Where each database stands on disk.
    pub heads: Heads,
    /// Positions that databases were raised to: frames above them name them as their predecessors.
    pub raised: BTreeMap<DatabaseName, Sequence>,
    next_number: u64,
    previous_length: u64,
    active: Option<Active>,
    buffer: Vec<u8>,
    /// The directory's lock; held until the last write has ended, even if the task that asked for it is gone.
    _lock: Arc<dyn DiskLock>,
}

/// What a new writer starts from.
#[derive(Debug)]
pub(crate) struct WriterStart {
    pub disk: Arc<dyn Disk>,
    pub clock: Arc<dyn Clock>,
    pub dir: PathBuf,
    pub log_id: LogId,
    pub incarnation: Incarnation,
    pub segment_size: u64,
    pub disk_reserve: u64,
    pub heads: Heads,
    pub next_number: u64,
    pub previous_length: u64,
    pub lock: Arc<dyn DiskLock>,
}

impl SegmentWriter {
    pub fn new(start: WriterStart) -> Self {
        Self {
            disk: start.disk,
            clock: start.clock,
            dir: start.dir,
            log_id: start.log_id,
            incarnation: start.incarnation,
            segment_size: start.segment_size,
            disk_reserve: start.disk_reserve,
            heads: start.heads,
            raised: BTreeMap::new(),
            next_number: start.next_number,
            previous_length: start.previous_length,
            active: None,
            buffer: Vec::new(),
            _lock: start.lock,
        }
    }

    /// Makes sure that there is a segment to write to; returns it if it is new.
    pub fn ensure_segment(&mut self) -> Result<Option<SegmentMeta>, WriteError> {
        if let Some(active) = &self.active {
            if active.length < self.segment_size {
                return Ok(None);
            }
            // Everything in it was synced by its last group commit.
            self.previous_length = active.length;
            self.active = None;
        }
        let number = self.next_number;
        let path = self.dir.join(format::segment_name(number));
        let header = SegmentHeader {
            log_id: self.log_id,
            incarnation: self.incarnation,
            number,
            previous_length: self.previous_length,
        };
        let mut bytes = header.encode().to_vec();
        let place = Place { log_id: self.log_id, segment: number, offset: SEGMENT_HEADER };
        format::encode_mark(&mut bytes, &self.heads.encode(), SEGMENT_HEADER, place);
        let made = self.disk.create_new(&path).and_then(|mut file| {
            file.append(&bytes)?;
            Ok(file)
        });
        let mut file = match made {
            Ok(file) => file,
            Err(error) if is_full(&error) => return Err(self.unmake(&path, &error)),
            Err(error) => return Err(failed("making", &path, &error)),
        };
        file.sync().map_err(|error| failed("syncing", &path, &error))?;
        self.disk.sync_dir(&self.dir).map_err(|error| failed("syncing", &self.dir, &error))?;
        let length = bytes.len() as u64;
        self.active = Some(Active { file, number, length });
        // A u64 counts segments for longer than any disk lasts; opening refuses a file numbered near the end.
        self.next_number = number.saturating_add(1);
        Ok(Some(SegmentMeta { number, length, databases: BTreeMap::new(), damaged: false }))
    }

    /// Takes back a segment for which there was no room.
    fn unmake(&self, path: &std::path::Path, cause: &io::Error) -> WriteError {
        let removed = match self.disk.remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        match removed.and_then(|()| self.disk.sync_dir(&self.dir)) {
            Ok(()) => WriteError::Full(format!("making {}: {cause}", path.display())),
            Err(error) => failed("removing the unfinished", path, &error),
        }
    }

    /// Refuses what would leave less than the reserve.
    pub fn check_space(&self, bytes: u64) -> Result<(), WriteError> {
        match self.disk.available(&self.dir) {
            Ok(available) if available < self.disk_reserve.saturating_add(bytes) => Err(WriteError::Full(format!(
                "{} has {available} bytes left, of which {} are kept in reserve",
                self.dir.display(),
                self.disk_reserve
            ))),
            Ok(_) => Ok(()),
            Err(error) => Err(failed("asking for the free space of", &self.dir, &error)),
        }
    }

    /// Writes and syncs a group. Leaves `group` empty if it succeeds.
    pub fn write_group(&mut self, group: &mut Vec<Queued>) -> Result<GroupWritten, WriteError> {
        let Some((number, start)) = self.active.as_ref().map(|a| (a.number, a.length)) else {
            return Err(WriteError::Failed("there is no segment to write to".to_owned()));
        };
        self.buffer.clear();
        let mut heads: BTreeMap<DatabaseName, Sequence> = BTreeMap::new();
        let mut frames = Vec::with_capacity(group.len());
        let mut headers = Vec::with_capacity(group.len());
        for queued in group.drain(..) {
            let offset = start + self.buffer.len() as u64;
            let before = self.heads.databases.get(&queued.database).map(|head| head.last);
            let written = heads.insert(queued.database.clone(), queued.sequence).or(before).unwrap_or_default();
            let raised = self.raised.get(&queued.database).filter(|raised| **raised < queued.sequence);
            let previous = raised.map_or(written, |raised| written.max(*raised));
            let frame = queued.record.into_frame(queued.database, queued.sequence, previous);
            let place = Place { log_id: self.log_id, segment: number, offset };
            format::encode_record(&mut self.buffer, &frame, start, place);
            frames.push(Written {
                database: frame.header.database.clone(),
                sequence: queued.sequence,
                offset,
                bytes: start + self.buffer.len() as u64 - offset,
                stamp: frame.header.stamp.hlc,
            });
            headers.push(frame.header);
        }
        let sync_nanos = self.commit()?;
        for header in &headers {
            self.heads.see(header, Some(self.incarnation));
        }
        Ok(GroupWritten { bytes: self.buffer.len() as u64, sync_nanos, frames })
    }

    /// Writes a frame of the log's own, which says that everything before it is synced.
    pub fn write_mark(&mut self, seal: bool) -> Result<(), WriteError> {
        let Some((number, start)) = self.active.as_ref().map(|a| (a.number, a.length)) else { return Ok(()) };
        self.buffer.clear();
        let place = Place { log_id: self.log_id, segment: number, offset: start };
        if seal {
            format::encode_seal(&mut self.buffer, start, place);
        } else {
            format::encode_mark(&mut self.buffer, &[], start, place);
        }
        self.commit().map(|_| ())
    }

    /// The newest segment's number and synced length.
    pub fn end(&self) -> Option<(u64, u64)> {
        self.active.as_ref().map(|active| (active.number, active.length))
    }

    /// Appends and syncs the buffer. After `Full`, nothing of it is in the segment or will ever be.
    fn commit(&mut self) -> Result<u64, WriteError> {
        let Some(active) = &mut self.active else {
            return Err(WriteError::Failed("there is no segment to write to".to_owned()));
        };
        let path = self.dir.join(format::segment_name(active.number));
        if let Err(error) = active.file.append(&self.buffer) {
            if !is_full(&error) {
                return Err(failed("writing", &path, &error));
            }
            return match active.file.truncate(active.length).and_then(|()| active.file.sync()) {
                Ok(()) => Err(WriteError::Full(format!("writing {}: {error}", path.display()))),
                Err(error) => Err(failed("cutting back", &path, &error)),
            };
        }
        let before = self.clock.monotonic();
        if !planted::is(Planted::SkipFsync) {
            active.file.sync().map_err(|error| failed("syncing", &path, &error))?;
        }
        active.length += self.buffer.len() as u64;
        let nanos = self.clock.monotonic().saturating_sub(before).as_nanos();
        Ok(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

fn failed(action: &str, path: &std::path::Path, error: &io::Error) -> WriteError {
    WriteError::Failed(format!("{action} {}: {error}", path.display()))
}
