//! The log's handle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ochre_env::planted::{self, Planted};
use ochre_env::{Clock, Env};
use ochre_types::{DatabaseName, Hlc, Incarnation, LogId, Sequence};
use tokio::sync::watch;

use crate::backlog::Lag;
use crate::config::{Home, LogConfig};
use crate::cursors::{CursorState, Cursors, QueueLimit, WhenFull};
use crate::damage::{Damage, TornTail};
use crate::error::LogError;
use crate::frame::{Predecessor, Record};
use crate::memory::Memory;
use crate::object;
use crate::open;
use crate::outcome::{Awaited, Outcome};
use crate::reader::{LogReader, Origin};
use crate::segments::Segments;
use crate::shared::Shared;
use crate::status::{CursorStatus, DatabaseStatus, LogStatus};

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
    outcome: Option<Awaited>,
}

/// The node's log. Clones share it; when the last is dropped without [`Log::close`], what is queued is still written.
#[derive(Debug, Clone)]
pub struct Log(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    log_id: LogId,
    cursors: Arc<Cursors>,
    kind: Kind,
    clock: Arc<dyn Clock>,
    /// How long a write may wait for a reader.
    patience: Duration,
    /// Counts changes of what can be read.
    commits: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// In segments, which one task writes.
    Written {
        shared: Arc<Shared>,
        segments: Segments,
    },
    Memory(Arc<Memory>),
}

/// What a handle is made of.
pub(crate) struct Parts {
    pub log_id: LogId,
    pub cursors: Arc<Cursors>,
    pub kind: Kind,
    pub clock: Arc<dyn Clock>,
    pub patience: Duration,
    pub commits: watch::Sender<u64>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Kind::Written { shared, .. } = &self.kind {
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
            Home::Memory { limit } => Ok(open::in_memory(env, config, limit, incarnation)),
            Home::ObjectStore(home) => object::open(env, config, home, incarnation).await,
        }
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { log_id, cursors, kind, clock, patience, commits } = parts;
        Self(Arc::new(Handle { log_id, cursors, kind, clock, patience, commits }))
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
            Kind::Written { shared, .. } => {
                let (sequence, outcome) = shared.append(database, make)?;
                Ok(Appended { sequence, outcome: Some(outcome) })
            }
            Kind::Memory(memory) => {
                let sequence = memory.append(database, make)?;
                memory.enforce_limits(&self.0.cursors);
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
        match outcome.ended().await {
            Outcome::Refused(error) => Err(error),
            Outcome::Abandoned => Err(LogError::Closed),
            Outcome::Pending | Outcome::Synced => Ok(()),
        }
    }

    /// The last sequence of a database that is known to be durable.
    pub fn synced_through(&self, database: &DatabaseName) -> Sequence {
        match &self.0.kind {
            Kind::Written { shared, .. } => {
                shared.state.lock().positions.get(database).map(|position| position.synced).unwrap_or_default()
            }
            Kind::Memory(memory) => memory.state.lock().last(database),
        }
    }

    /// Waits until something after `after` is durable. `Closed` or `Failed` once nothing more will come.
    pub async fn synced_past(&self, database: &DatabaseName, after: Sequence) -> Result<(), LogError> {
        let mut commits = self.0.commits.subscribe();
        let stopped = match &self.0.kind {
            Kind::Written { shared, .. } => Some((shared.clone(), shared.stopped.subscribe())),
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
            Kind::Written { shared, .. } => {
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
            Kind::Written { shared, .. } => {
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
        LogReader::new(self.origin(), database.clone(), after)
    }

    /// Reads on for a cursor, from where its reader was done. Frames that were dropped, because the cursor lagged beyond
    /// its queue limit, are a [`crate::ReadItem::Gap`].
    pub fn read_cursor(&self, name: &str, database: &DatabaseName) -> Result<LogReader, LogError> {
        let (position, _) = self.0.cursors.position(name, database)?;
        let reader = LogReader::new(self.origin(), database.clone(), position);
        Ok(reader.with_cursor(self.0.cursors.clone(), name))
    }

    fn origin(&self) -> Origin {
        match &self.0.kind {
            Kind::Written { shared, segments } => {
                Origin::Segments { shared: shared.clone(), segments: segments.clone() }
            }
            Kind::Memory(memory) => Origin::Memory(memory.clone()),
        }
    }

    /// Takes note of low-water marks: all rows at or below them are in committed Parquet. In the background, the oldest
    /// segments are dropped as long as every frame is at or below its database's mark and every cursor's flushed
    /// position has passed it. Marks never go back; a database without one keeps its frames.
    pub fn release(&self, low_water: &BTreeMap<DatabaseName, Sequence>) {
        match &self.0.kind {
            Kind::Written { shared, .. } => shared.release(low_water),
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
        let (state, is_new) = self.0.cursors.open(name, database, version, start)?;
        if is_new {
            self.write_cursors().await?;
        }
        Ok(CursorState { flushed: state.position, ..state })
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
        if let Kind::Written { shared, .. } = &self.0.kind {
            shared.wake.notify_one();
        }
        Ok(())
    }

    /// Makes the positions of all cursors durable now.
    pub async fn flush_cursors(&self) -> Result<(), LogError> {
        if self.0.cursors.is_dirty() { self.write_cursors().await } else { Ok(()) }
    }

    async fn write_cursors(&self) -> Result<(), LogError> {
        match &self.0.kind {
            Kind::Written { shared, segments: Segments::Objects(_) } => {
                let outcome = Some(shared.ask_for_segment()?);
                self.synced(&Appended { sequence: Sequence::ZERO, outcome }).await
            }
            _ => self.0.cursors.write().await,
        }
    }

    /// Sets how far a cursor may lag, and what happens then; `None` is without limit. Not kept over a restart.
    pub fn limit_cursor(&self, name: &str, database: &DatabaseName, limit: Option<QueueLimit>) -> Result<(), LogError> {
        self.0.cursors.set_limit(name, database, limit)?;
        self.enforce_limits();
        Ok(())
    }

    fn enforce_limits(&self) {
        match &self.0.kind {
            Kind::Written { shared, .. } => {
                shared.enforce_limits();
                shared.wake.notify_one();
            }
            Kind::Memory(memory) => memory.enforce_limits(&self.0.cursors),
        }
    }

    /// Lets a client's write to a database pass, as far as its cursors' queue limits do: at once, after a wait of at
    /// most [`LogConfig::patience`], or not ([`LogError::QueueFull`]). What peers deliver passes without asking.
    pub async fn admit(&self, database: &DatabaseName) -> Result<(), LogError> {
        let Some((WhenFull::Block, _)) = self.check_admission(database)? else { return Ok(()) };
        let mut moved = self.0.cursors.moved.subscribe();
        let mut patience = self.0.clock.sleep(self.0.patience);
        loop {
            moved.borrow_and_update();
            let Some((_, error)) = self.check_admission(database)? else { return Ok(()) };
            tokio::select! {
                biased;
                changed = moved.changed() => if changed.is_err() { return Err(error) },
                () = &mut patience => return Err(error),
            }
        }
    }

    /// Whether a write has to wait; an error if it is refused at once.
    fn check_admission(&self, database: &DatabaseName) -> Result<Option<(WhenFull, LogError)>, LogError> {
        let cursors = &self.0.cursors;
        let obstacle = match &self.0.kind {
            Kind::Written { shared, .. } => {
                let state = shared.state.lock();
                cursors.obstacle(database, &state.backlogs, shared.now_millis(&state))
            }
            Kind::Memory(memory) => {
                let state = memory.state.lock();
                cursors.obstacle(database, &state.backlogs, memory.now_millis(&state))
            }
        };
        match obstacle {
            Some((WhenFull::RefuseWrites, error)) => Err(error),
            other => Ok(other),
        }
    }

    /// Removes a cursor, durably.
    pub async fn delete_cursor(&self, name: &str, database: &DatabaseName) -> Result<(), LogError> {
        self.0.cursors.remove(name, database)?;
        self.write_cursors().await
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
            Kind::Written { shared, .. } => {
                let mut stopped = shared.stopped.subscribe();
                shared.begin_close(true);
                if stopped.wait_for(|stopped| *stopped).await.is_err() {
                    return Err(LogError::Closed);
                }
                shared.state.lock().failure().map_or(Ok(()), Err)
            }
        }
    }

    /// The log's state at this moment.
    pub fn status(&self) -> LogStatus {
        match &self.0.kind {
            Kind::Written { shared, .. } => written_status(self.0.log_id, shared),
            Kind::Memory(memory) => memory_status(self.0.log_id, memory, &self.0.cursors),
        }
    }
}

fn cursor_status((cursor, limit, lag): (CursorState, Option<QueueLimit>, Lag), now_millis: u64) -> CursorStatus {
    let age = lag.since.map_or(0, |since| now_millis.saturating_sub(since));
    CursorStatus { cursor, limit, lag_bytes: lag.bytes, lag_age: Duration::from_millis(age) }
}

fn written_status(log_id: LogId, shared: &Shared) -> LogStatus {
    let state = shared.state.lock();
    let databases = state.positions.iter().map(|(name, position)| {
        let oldest = position.released.next();
        (name.clone(), DatabaseStatus { oldest, appended: position.assigned, synced: position.synced })
    });
    let pending = state.pending_bytes;
    let is_full = matches!(shared.config.home, Home::ObjectStore(_)) && pending >= shared.config.pending_limit.0;
    let full = is_full.then(|| shared.queue_is_full(pending));
    let now = shared.now_millis(&state);
    let cursors = shared.cursors.lags(&state.backlogs).into_iter().map(|lag| cursor_status(lag, now));
    LogStatus {
        log_id,
        segments: state.segments.len() as u64,
        first_segment: state.segments.front().map_or(0, |segment| segment.number),
        last_segment: state.segments.back().map_or(0, |segment| segment.number),
        bytes: state.segments.iter().map(|segment| segment.length).sum(),
        pending_bytes: state.pending_bytes,
        failed: state.failed.as_deref().map(str::to_owned),
        fenced: state.fenced,
        full: full.or_else(|| state.full.as_deref().map(str::to_owned)),
        appended_bytes_total: state.totals.appended_bytes,
        appended_frames_total: state.totals.appended_frames,
        refused_frames_total: state.totals.refused_frames,
        synced_groups_total: state.totals.synced_groups,
        sync_nanos_total: state.totals.sync_nanos,
        databases: databases.collect(),
        cursors: cursors.collect(),
    }
}

fn memory_status(log_id: LogId, memory: &Memory, cursors: &Cursors) -> LogStatus {
    let state = memory.state.lock();
    let databases = state.heads.databases.iter().map(|(name, head)| {
        let oldest = state.released.get(name).copied().unwrap_or_default().next();
        (name.clone(), DatabaseStatus { oldest, appended: head.last, synced: head.last })
    });
    let now = memory.now_millis(&state);
    LogStatus {
        log_id,
        segments: 0,
        first_segment: 0,
        last_segment: 0,
        bytes: state.bytes,
        pending_bytes: 0,
        failed: None,
        fenced: false,
        full: None,
        appended_bytes_total: state.totals.appended_bytes,
        appended_frames_total: state.totals.appended_frames,
        refused_frames_total: 0,
        synced_groups_total: 0,
        sync_nanos_total: 0,
        databases: databases.collect(),
        cursors: cursors.lags(&state.backlogs).into_iter().map(|lag| cursor_status(lag, now)).collect(),
    }
}
