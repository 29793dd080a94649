//! What the log's handle, its writer and its readers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ochre_env::Clock;
use ochre_types::{DatabaseName, Hlc, LogId, Sequence};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::backlog::Backlogs;
use crate::config::{Home, LogConfig};
use crate::cursors::{Cursors, Dropped};
use crate::error::LogError;
use crate::format::encoded_size;
use crate::frame::Record;
use crate::outcome::{Awaited, Ending, Outcome};
use crate::status::Totals;

/// A record with its sequence, on its way to the disk.
#[derive(Debug)]
pub(crate) struct Queued {
    pub database: DatabaseName,
    pub sequence: Sequence,
    pub record: Record,
}

/// What is written and synced together.
#[derive(Debug)]
pub(crate) struct Group {
    pub queued: Vec<Queued>,
    pub bytes: u64,
    pub outcome: Ending,
}

/// The frames of one database in one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub first: Sequence,
    pub last: Sequence,
    pub first_offset: u64,
}

/// What is known of a segment without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SegmentMeta {
    pub number: u64,
    /// Its synced length.
    pub length: u64,
    pub databases: BTreeMap<DatabaseName, Range>,
    /// Whether it holds unreadable bytes: then it is renamed instead of removed.
    pub damaged: bool,
}

impl SegmentMeta {
    pub fn see(&mut self, database: &DatabaseName, sequence: Sequence, offset: u64) {
        match self.databases.get_mut(database) {
            Some(range) => range.last = range.last.max(sequence),
            None => {
                let range = Range { first: sequence, last: sequence, first_offset: offset };
                self.databases.insert(database.clone(), range);
            }
        }
    }
}

/// How far a database has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position {
    /// The last sequence given.
    pub assigned: Sequence,
    /// The last sequence written and synced.
    pub synced: Sequence,
    /// The last sequence that can no longer be read.
    pub released: Sequence,
}

/// Whether the log takes records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// The writer finishes what waits, and seals the log if it was closed rather than dropped.
    Closing {
        seal: bool,
    },
    Stopped,
}

#[derive(Debug)]
pub(crate) struct State {
    pub phase: Phase,
    pub failed: Option<Arc<str>>,
    pub full: Option<Arc<str>>,
    pub positions: BTreeMap<DatabaseName, Position>,
    /// Positions that were raised, for the writer to take over.
    pub raised: BTreeMap<DatabaseName, Sequence>,
    pub pending: VecDeque<Group>,
    pub pending_bytes: u64,
    pub segments: VecDeque<SegmentMeta>,
    pub low_water: BTreeMap<DatabaseName, Sequence>,
    pub release_wanted: bool,
    pub totals: Totals,
    /// How much of each database stands where.
    pub backlogs: Backlogs,
    /// The newest stamp: with the wall clock, what ages are reckoned by.
    pub newest: Hlc,
    /// Whether frames were lost that a repair has moved aside.
    pub repaired: bool,
    /// Whether `failed` is because another server has the log.
    pub fenced: bool,
}

/// A frame that became durable.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub database: DatabaseName,
    pub sequence: Sequence,
    pub offset: u64,
    pub bytes: u64,
    pub stamp: Hlc,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub config: LogConfig,
    pub log_id: LogId,
    pub clock: Arc<dyn Clock>,
    pub cursors: Arc<Cursors>,
    pub state: Mutex<State>,
    /// Wakes the writer.
    pub wake: Notify,
    /// Counts group commits, for readers that wait for more.
    pub commits: watch::Sender<u64>,
    /// Becomes true when the writer has ended.
    pub stopped: watch::Sender<bool>,
}

/// What the writer should do next.
pub(crate) enum Next {
    Write(Group),
    Stop { seal: bool },
    Wait,
}

impl Shared {
    /// Gives the record the next sequence and queues it.
    pub fn append(
        &self,
        database: &DatabaseName,
        make: impl FnOnce(Sequence) -> Record,
    ) -> Result<(Sequence, Awaited), LogError> {
        let mut state = self.state.lock();
        state.check_open()?;
        if state.pending_bytes > 0 && state.pending_bytes >= self.config.pending_limit.0 {
            return Err(self.too_much(state.pending_bytes));
        }
        let sequence = state.positions.get(database).copied().unwrap_or_default().assigned.next();
        let record = make(sequence);
        record.check()?;
        let bytes = encoded_size(database, &record);
        if state.pending_bytes > 0 && state.pending_bytes + bytes > self.config.pending_limit.0 {
            return Err(self.too_much(state.pending_bytes));
        }
        state.positions.entry(database.clone()).or_default().assigned = sequence;
        state.pending_bytes += bytes;
        let queued = Queued { database: database.clone(), sequence, record };
        let max = self.config.max_group_bytes.0;
        let outcome = match state.pending.back_mut() {
            Some(group) if group.bytes + bytes <= max => {
                group.queued.push(queued);
                group.bytes += bytes;
                group.outcome.subscribe()
            }
            _ => {
                let outcome = Ending::new();
                let receiver = outcome.subscribe();
                state.pending.push_back(Group { queued: vec![queued], bytes, outcome });
                receiver
            }
        };
        drop(state);
        self.wake.notify_one();
        Ok((sequence, outcome))
    }

    /// Too much waits: a disk will have taken it in a moment, an object store may be away for long.
    fn too_much(&self, pending: u64) -> LogError {
        match &self.config.home {
            Home::ObjectStore(_) => LogError::Full { reason: self.queue_is_full(pending).into() },
            _ => LogError::Busy { pending, limit: self.config.pending_limit },
        }
    }

    pub fn queue_is_full(&self, pending: u64) -> String {
        let limit = self.config.pending_limit;
        format!("{pending} bytes wait for the object store, and {limit:?} are allowed")
    }

    /// Asks for a segment even if there is nothing for it but the cursors as they stand.
    pub fn ask_for_segment(&self) -> Result<Awaited, LogError> {
        let mut state = self.state.lock();
        if let Some(error) = state.failure() {
            return Err(error);
        }
        if state.phase != Phase::Open {
            return Err(LogError::Closed);
        }
        let outcome = match state.pending.back() {
            Some(group) => group.outcome.subscribe(),
            None => {
                let outcome = Ending::new();
                let receiver = outcome.subscribe();
                state.pending.push_back(Group { queued: Vec::new(), bytes: 0, outcome });
                receiver
            }
        };
        drop(state);
        self.wake.notify_one();
        Ok(outcome)
    }

    /// Takes note that a group's frames are durable in the newest segment.
    pub fn publish(&self, state: &mut State, group: &Group, written: Vec<Written>) {
        state.pending_bytes = state.pending_bytes.saturating_sub(group.bytes);
        state.totals.appended_frames += written.len() as u64;
        state.totals.synced_groups += 1;
        for frame in written {
            if let Some(segment) = state.segments.back_mut() {
                segment.see(&frame.database, frame.sequence, frame.offset);
            }
            let backlog = state.backlogs.entry(frame.database.clone()).or_default();
            backlog.note(frame.sequence, frame.bytes, frame.stamp.millis());
            state.newest = state.newest.max(frame.stamp);
            let position = state.positions.entry(frame.database).or_default();
            position.synced = position.synced.max(frame.sequence);
        }
    }

    /// The hybrid clock, as far as the log knows it.
    pub fn now_millis(&self, state: &State) -> u64 {
        self.clock.wall_millis().max(state.newest.millis())
    }

    /// Lets cursors drop what is beyond their limits.
    pub fn enforce_limits(&self) {
        let told = {
            let state = self.state.lock();
            let now = self.now_millis(&state);
            self.cursors.drop_oldest(&state.backlogs, now, self.clock.monotonic())
        };
        tell_dropped(&told);
    }

    pub fn next(&self) -> Next {
        let mut state = self.state.lock();
        match (state.pending.pop_front(), state.phase) {
            (Some(group), _) => Next::Write(group),
            (None, Phase::Closing { seal }) => Next::Stop { seal },
            (None, Phase::Stopped) => Next::Stop { seal: false },
            (None, Phase::Open) => Next::Wait,
        }
    }

    /// Answers a group and all that wait behind it with `error`.
    pub fn refuse(state: &mut State, group: Option<Group>, error: &LogError) {
        state.pending_bytes = 0;
        for group in group.into_iter().chain(std::mem::take(&mut state.pending)) {
            state.totals.refused_frames += group.queued.len() as u64;
            group.outcome.tell(Outcome::Refused(error.clone()));
        }
    }

    /// Makes the log refuse everything from now on.
    pub fn fail(&self, group: Option<Group>, reason: Arc<str>) {
        let mut state = self.state.lock();
        state.failed.get_or_insert(reason);
        if let Some(error) = state.failure() {
            Self::refuse(&mut state, group, &error);
        }
    }

    /// Asks the writer to finish.
    pub fn begin_close(&self, seal: bool) {
        let mut state = self.state.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing { seal };
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Takes the segments that nobody needs from the list, oldest first; never the newest.
    pub fn take_droppable(&self) -> Vec<SegmentMeta> {
        let pinned = self.cursors.lowest_flushed();
        let mut state = self.state.lock();
        state.release_wanted = false;
        let mut dropped = Vec::new();
        while state.segments.len() > 1 {
            let passed = state.segments.front().is_some_and(|segment| {
                segment.databases.iter().all(|(database, range)| {
                    state.low_water.get(database).is_some_and(|low| *low >= range.last)
                        && pinned.get(database).is_none_or(|flushed| *flushed >= range.last)
                })
            });
            if !passed {
                break;
            }
            let Some(segment) = state.segments.pop_front() else { break };
            for (database, range) in &segment.databases {
                let position = state.positions.entry(database.clone()).or_default();
                position.released = position.released.max(range.last);
                if let Some(backlog) = state.backlogs.get_mut(database) {
                    backlog.forget(range.last);
                }
            }
            dropped.push(segment);
        }
        dropped
    }
}

/// Says that the writer has ended, however it ended.
pub(crate) struct StopGuard(pub Arc<Shared>);

impl Drop for StopGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.phase = Phase::Stopped;
        Shared::refuse(&mut state, None, &LogError::Closed);
        drop(state);
        self.0.stopped.send_replace(true);
    }
}

/// One line for each cursor that has lost frames.
pub(crate) fn tell_dropped(told: &[Dropped]) {
    for Dropped { name, database, count, through } in told {
        tracing::warn!(cursor = %name, %database, sequences = count, %through, "a reader lags beyond its queue limit: its oldest frames were dropped, and it will meet a gap");
    }
}

impl State {
    /// Why nothing can be appended until the next start.
    pub fn failure(&self) -> Option<LogError> {
        let reason = self.failed.clone()?;
        Some(if self.fenced { LogError::Fenced { reason } } else { LogError::Failed { reason } })
    }

    pub fn check_open(&self) -> Result<(), LogError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        if self.phase != Phase::Open {
            return Err(LogError::Closed);
        }
        match &self.full {
            Some(reason) => Err(LogError::Full { reason: reason.clone() }),
            None => Ok(()),
        }
    }
}
