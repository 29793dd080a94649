//! What the log's handle, its writer and its readers share.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use ochre_types::{DatabaseName, LogId, Sequence};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::config::LogConfig;
use crate::cursors::Cursors;
use crate::error::LogError;
use crate::format::encoded_size;
use crate::frame::Record;
use crate::status::Totals;

/// How a group commit ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    Pending,
    Synced,
    Refused(LogError),
}

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
    pub outcome: watch::Sender<Outcome>,
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
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub config: LogConfig,
    pub log_id: LogId,
    pub dir: PathBuf,
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
    ) -> Result<(Sequence, watch::Receiver<Outcome>), LogError> {
        let mut state = self.state.lock();
        state.check_open()?;
        if state.pending_bytes > 0 && state.pending_bytes >= self.config.pending_limit.0 {
            return Err(LogError::Busy { pending: state.pending_bytes, limit: self.config.pending_limit });
        }
        let sequence = state.positions.get(database).copied().unwrap_or_default().assigned.next();
        let record = make(sequence);
        record.check()?;
        let bytes = encoded_size(database, &record);
        let limit = self.config.pending_limit;
        if state.pending_bytes > 0 && state.pending_bytes + bytes > limit.0 {
            return Err(LogError::Busy { pending: state.pending_bytes, limit });
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
                let (outcome, receiver) = watch::channel(Outcome::Pending);
                state.pending.push_back(Group { queued: vec![queued], bytes, outcome });
                receiver
            }
        };
        drop(state);
        self.wake.notify_one();
        Ok((sequence, outcome))
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
            group.outcome.send_replace(Outcome::Refused(error.clone()));
        }
    }

    /// Makes the log refuse everything from now on.
    pub fn fail(&self, group: Option<Group>, reason: Arc<str>) {
        let mut state = self.state.lock();
        let reason = state.failed.get_or_insert(reason).clone();
        Self::refuse(&mut state, group, &LogError::Failed { reason });
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
            }
            dropped.push(segment);
        }
        dropped
    }
}

impl State {
    pub fn check_open(&self) -> Result<(), LogError> {
        if let Some(reason) = &self.failed {
            return Err(LogError::Failed { reason: reason.clone() });
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
