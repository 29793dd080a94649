//! The log's handle.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_env::planted::{self, Planted};
use ochre_env::{Compute, Disk, Env};
use ochre_types::{DatabaseName, Hlc, Incarnation, LogId, Sequence};
use tokio::sync::watch;

use crate::config::{Home, LogConfig};
use crate::cursors::{CursorState, Cursors};
use crate::damage::{Damage, TornTail};
use crate::error::LogError;
use crate::frame::{Predecessor, Record};
use crate::memory::Memory;
use crate::open;
use crate::reader::{LogReader, Origin};
use crate::shared::{Outcome, Shared};
use crate::status::{DatabaseStatus, LogStatus};

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The log's identity.
    pub log_id: LogId,
    /// Whether the log is new.
    pub created: bool,
    /// Whether the log was sealed by a clean stop.
    pub sealed: bool,
    /// The unfinished end that was cut off.
    pub torn_tail: Option<TornTail>,
    /// What acknowledged bytes are unreadable. The rest is served.
    pub damage: Vec<Damage>,
    /// Every database the log has ever held frames of.
    pub databases: BTreeMap<DatabaseName, DatabaseTail>,
    /// The highest hybrid clock reading of any stamp; clocks have to start above it.
    pub highest_stamp: Hlc,
}

/// How far a database had come when the log was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseTail {
    /// The oldest sequence that can be read, or the next one if none can.
    pub oldest: Sequence,
    /// The last sequence given; after damage, an upper bound of it.
    pub last: Sequence,
    /// Who accepted batches last, and how far it came: what the first frame of this incarnation has to name.
    pub predecessor: Option<Predecessor>,
}

/// A record that was appended: its sequence, and what to wait for with [`Log::synced`].
#[derive(Debug, Clone)]
pub struct Appended {
    /// The record's position in its database.
    pub sequence: Sequence,
    /// `None` if there is nothing to wait for.
    outcome: Option<watch::Receiver<Outcome>>,
}

/// The node's log. Clones share it; when the last is dropped without [`Log::close`], what is queued is still written.
#[derive(Debug, Clone)]
pub struct Log(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    log_id: LogId,
    cursors: Arc<Cursors>,
    kind: Kind,
    /// Counts changes of what can be read.
    commits: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Disk { shared: Arc<Shared>, disk: Arc<dyn Disk>, compute: Compute },
    Memory(Arc<Memory>),
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Kind::Disk { shared, .. } = &self.kind {
            shared.begin_close(false);
        }
    }
}

impl Log {
    /// Opens the log at the configured home, or makes it; `incarnation` is this start of the server. Streams over all
    /// segments with the memory of one frame.
    pub async fn open(env: &Env, config: LogConfig, incarnation: Incarnation) -> Result<(Self, Opened), LogError> {
        match config.home.clone() {
            Home::Disk { dir } => open::on_disk(env, config, dir, incarnation).await,
            Home::Memory { limit } => Ok(open::in_memory(env, limit, incarnation)),
        }
    }

    pub(crate) fn new(log_id: LogId, cursors: Arc<Cursors>, kind: Kind, commits: watch::Sender<u64>) -> Self {
        Self(Arc::new(Handle { log_id, cursors, kind, commits }))
    }

    /// The log's identity.
    pub fn log_id(&self) -> LogId {
        self.0.log_id
    }

    /// Gives the record the next sequence of its database and queues it for the next group commit. Never waits; the
    /// order of appending is the order on disk. If the group is refused later, the sequence stays unused.
    pub fn append(&self, database: &DatabaseName, record: Record) -> Result<Appended, LogError> {
        self.append_with(database, |_| record)
    }

    /// Like [`Log::append`], for a record that depends on its sequence or must be made in the order of sequences: `make`
    /// runs while the log is locked, so it must be quick and not call the log.
    pub fn append_with(
        &self,
        database: &DatabaseName,
        make: impl FnOnce(Sequence) -> Record,
    ) -> Result<Appended, LogError> {
        match &self.0.kind {
            Kind::Disk { shared, .. } => {
                let (sequence, outcome) = shared.append(database, make)?;
                Ok(Appended { sequence, outcome: Some(outcome) })
            }
            Kind::Memory(memory) => {
                let sequence = memory.append(database, make)?;
                self.0.commits.send_modify(|count| *count += 1);
                Ok(Appended { sequence, outcome: None })
            }
        }
    }

    /// Waits until the record is durable. After [`LogError::Full`] it never will be; after any other error nobody knows
    /// whether it is replayed after a restart. May be dropped at any time.
    pub async fn synced(&self, appended: &Appended) -> Result<(), LogError> {
        if planted::is(Planted::EarlyAck) {
            return Ok(());
        }
        let Some(outcome) = &appended.outcome else { return Ok(()) };
        let mut outcome = outcome.clone();
        let ended = outcome.wait_for(|outcome| !matches!(outcome, Outcome::Pending)).await;
        match ended.as_deref() {
            Ok(Outcome::Refused(error)) => Err(error.clone()),
            Ok(_) => Ok(()),
            // The writer was stopped in the middle.
            Err(_) => Err(LogError::Closed),
        }
    }

    /// The last sequence of a database that is known to be durable.
    pub fn synced_through(&self, database: &DatabaseName) -> Sequence {
        match &self.0.kind {
            Kind::Disk { shared, .. } => {
                shared.state.lock().positions.get(database).map(|position| position.synced).unwrap_or_default()
            }
            Kind::Memory(memory) => memory.state.lock().last(database),
        }
    }

    /// Waits until something after `after` is durable. `Closed` or `Failed` once nothing more will come.
    pub async fn synced_past(&self, database: &DatabaseName, after: Sequence) -> Result<(), LogError> {
        let mut commits = self.0.commits.subscribe();
        let stopped = match &self.0.kind {
            Kind::Disk { shared, .. } => Some((shared.clone(), shared.stopped.subscribe())),
            Kind::Memory(_) => None,
        };
        loop {
            commits.borrow_and_update();
            if self.synced_through(database) > after {
                return Ok(());
            }
            match &stopped {
                None => {
                    if commits.changed().await.is_err() {
                        return Err(LogError::Closed);
                    }
                }
                Some((shared, stopped)) => {
                    let mut stopped = stopped.clone();
                    tokio::select! {
                        biased;
                        _ = commits.changed() => {}
                        _ = stopped.wait_for(|stopped| *stopped) => {
                            if self.synced_through(database) > after {
                                return Ok(());
                            }
                            shared.state.lock().check_open()?;
                            return Err(LogError::Closed);
                        }
                    }
                }
            }
        }
    }

    /// Makes the next sequence of a database higher than `sequence`: what its catalog knows may be ahead of a log that
    /// lost frames or is new. Everything up to there counts as gone.
    pub fn raise(&self, database: &DatabaseName, sequence: Sequence) {
        match &self.0.kind {
            Kind::Disk { shared, .. } => {
                let mut state = shared.state.lock();
                let position = state.positions.entry(database.clone()).or_default();
                if sequence > position.assigned {
                    position.assigned = sequence;
                    position.synced = sequence;
                    position.released = sequence;
                    state.raised.insert(database.clone(), sequence);
                }
            }
            Kind::Memory(memory) => memory.raise(database, sequence),
        }
    }

    /// Makes the next sequence of a database higher than `sequence`, as if what is between had been refused: chunks may
    /// hold rows of frames that were on their way when the process ended. Unlike [`Log::raise`], nothing is gone by it.
    pub fn skip_to(&self, database: &DatabaseName, sequence: Sequence) {
        match &self.0.kind {
            Kind::Disk { shared, .. } => {
                let mut state = shared.state.lock();
                let position = state.positions.entry(database.clone()).or_default();
                position.assigned = position.assigned.max(sequence);
            }
            // It is new at every start: no chunk is of it yet.
            Kind::Memory(_) => {}
        }
    }

    /// Reads a database's frames after a position.
    pub fn read(&self, database: &DatabaseName, after: Sequence) -> LogReader {
        let origin = match &self.0.kind {
            Kind::Disk { shared, disk, compute } => {
                Origin::Disk { shared: shared.clone(), disk: disk.clone(), compute: compute.clone() }
            }
            Kind::Memory(memory) => Origin::Memory(memory.clone()),
        };
        LogReader::new(origin, database.clone(), after)
    }

    /// Takes note of low-water marks: all rows at or below them are in committed Parquet. In the background, the oldest
    /// segments are dropped as long as every frame is at or below its database's mark and every cursor's flushed
    /// position has passed it. Marks never go back; a database without one keeps its frames.
    pub fn release(&self, low_water: &BTreeMap<DatabaseName, Sequence>) {
        match &self.0.kind {
            Kind::Disk { shared, .. } => shared.release(low_water),
            Kind::Memory(memory) => memory.release(low_water, &self.0.cursors),
        }
    }

    /// Opens a cursor: as it stands if it has this version, else anew at `start`. Durable on return.
    pub async fn open_cursor(
        &self,
        name: &str,
        database: &DatabaseName,
        version: u64,
        start: Sequence,
    ) -> Result<CursorState, LogError> {
        self.0.cursors.open(name, database, version, start).await
    }

    /// Moves a cursor forward in memory: its reader has durably acknowledged everything up to `position`. It is flushed
    /// within a second. A lower position changes nothing.
    pub fn advance_cursor(&self, name: &str, database: &DatabaseName, position: Sequence) -> Result<(), LogError> {
        let synced = self.synced_through(database);
        if position > synced {
            let (name, database) = (name.to_owned(), database.clone());
            return Err(LogError::CursorAhead { name, database, position, synced });
        }
        self.0.cursors.advance(name, database, position)?;
        if let Kind::Disk { shared, .. } = &self.0.kind {
            shared.wake.notify_one();
        }
        Ok(())
    }

    /// Makes the positions of all cursors durable now.
    pub async fn flush_cursors(&self) -> Result<(), LogError> {
        self.0.cursors.flush().await
    }

    /// Removes a cursor, durably.
    pub async fn delete_cursor(&self, name: &str, database: &DatabaseName) -> Result<(), LogError> {
        self.0.cursors.delete(name, database).await
    }

    /// All cursors, by database and name.
    pub fn cursors(&self) -> Vec<CursorState> {
        self.0.cursors.list()
    }

    /// Stops cleanly: writes what is queued, flushes cursors, seals. Appending fails from now on. Calling it again
    /// waits for the same end.
    pub async fn close(&self) -> Result<(), LogError> {
        match &self.0.kind {
            Kind::Memory(memory) => {
                memory.state.lock().closed = true;
                Ok(())
            }
            Kind::Disk { shared, .. } => {
                let mut stopped = shared.stopped.subscribe();
                shared.begin_close(true);
                if stopped.wait_for(|stopped| *stopped).await.is_err() {
                    return Err(LogError::Closed);
                }
                match &shared.state.lock().failed {
                    Some(reason) => Err(LogError::Failed { reason: reason.clone() }),
                    None => Ok(()),
                }
            }
        }
    }

    /// The log's state at this moment.
    pub fn status(&self) -> LogStatus {
        match &self.0.kind {
            Kind::Disk { shared, .. } => disk_status(self.0.log_id, shared),
            Kind::Memory(memory) => memory_status(self.0.log_id, memory),
        }
    }
}

fn disk_status(log_id: LogId, shared: &Shared) -> LogStatus {
    let state = shared.state.lock();
    let databases = state.positions.iter().map(|(name, position)| {
        let oldest = position.released.next();
        (name.clone(), DatabaseStatus { oldest, appended: position.assigned, synced: position.synced })
    });
    LogStatus {
        log_id,
        segments: state.segments.len() as u64,
        first_segment: state.segments.front().map_or(0, |segment| segment.number),
        last_segment: state.segments.back().map_or(0, |segment| segment.number),
        bytes: state.segments.iter().map(|segment| segment.length).sum(),
        pending_bytes: state.pending_bytes,
        failed: state.failed.as_deref().map(str::to_owned),
        full: state.full.as_deref().map(str::to_owned),
        appended_bytes_total: state.totals.appended_bytes,
        appended_frames_total: state.totals.appended_frames,
        refused_frames_total: state.totals.refused_frames,
        synced_groups_total: state.totals.synced_groups,
        sync_nanos_total: state.totals.sync_nanos,
        databases: databases.collect(),
    }
}

fn memory_status(log_id: LogId, memory: &Memory) -> LogStatus {
    let state = memory.state.lock();
    let databases = state.heads.databases.iter().map(|(name, head)| {
        let oldest = state.released.get(name).copied().unwrap_or_default().next();
        (name.clone(), DatabaseStatus { oldest, appended: head.last, synced: head.last })
    });
    LogStatus {
        log_id,
        segments: 0,
        first_segment: 0,
        last_segment: 0,
        bytes: state.bytes,
        pending_bytes: 0,
        failed: None,
        full: None,
        appended_bytes_total: state.totals.appended_bytes,
        appended_frames_total: state.totals.appended_frames,
        refused_frames_total: 0,
        synced_groups_total: 0,
        sync_nanos_total: 0,
        databases: databases.collect(),
    }
}
