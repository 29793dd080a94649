//! The log of a node that keeps it in memory: the same positions and rules, without a disk.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ochre_env::Clock;
use ochre_types::{ByteSize, DatabaseName, Incarnation, Sequence};
use parking_lot::Mutex;

use crate::backlog::Backlogs;
use crate::cursors::Cursors;
use crate::error::LogError;
use crate::format::encoded_size;
use crate::frame::{Frame, Record};
use crate::heads::Heads;
use crate::shared::tell_dropped;
use crate::status::Totals;

#[derive(Debug, Default)]
pub(crate) struct MemoryState {
    pub closed: bool,
    pub frames: BTreeMap<DatabaseName, VecDeque<(Frame, u64)>>,
    pub bytes: u64,
    pub heads: Heads,
    pub low_water: BTreeMap<DatabaseName, Sequence>,
    pub released: BTreeMap<DatabaseName, Sequence>,
    pub totals: Totals,
    pub backlogs: Backlogs,
}

#[derive(Debug)]
pub(crate) struct Memory {
    pub limit: ByteSize,
    pub incarnation: Incarnation,
    pub clock: Arc<dyn Clock>,
    pub state: Mutex<MemoryState>,
}

impl Memory {
    pub fn append(&self, database: &DatabaseName, make: impl FnOnce(Sequence) -> Record) -> Result<Sequence, LogError> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(LogError::Closed);
        }
        let previous = state.last(database);
        let sequence = previous.next();
        let record = make(sequence);
        record.check()?;
        let bytes = encoded_size(database, &record);
        if state.bytes > 0 && state.bytes + bytes > self.limit.0 {
            let reason = format!("{} bytes are kept in memory, and {:?} are allowed", state.bytes, self.limit);
            return Err(LogError::Full { reason: reason.into() });
        }
        let frame = record.into_frame(database.clone(), sequence, previous);
        let backlog = state.backlogs.entry(database.clone()).or_default();
        backlog.note(sequence, bytes, frame.header.stamp.hlc.millis());
        state.heads.see(&frame.header, Some(self.incarnation));
        state.bytes += bytes;
        state.totals.appended_bytes += bytes;
        state.totals.appended_frames += 1;
        state.frames.entry(database.clone()).or_default().push_back((frame, bytes));
        Ok(sequence)
    }

    /// The frames after `after`, at most `limit` bytes of them but at least one; `None` if there are none.
    pub fn read(&self, database: &DatabaseName, after: Sequence, limit: u64) -> Result<Vec<Frame>, LogError> {
        let state = self.state.lock();
        let released = state.released.get(database).copied().unwrap_or_default();
        if after < released {
            return Err(LogError::Gone { database: database.clone(), after, oldest: released.next() });
        }
        let Some(frames) = state.frames.get(database) else { return Ok(Vec::new()) };
        let start = frames.partition_point(|(frame, _)| frame.header.sequence <= after);
        let mut taken = Vec::new();
        let mut bytes = 0;
        for (frame, size) in frames.range(start..) {
            if bytes >= limit {
                break;
            }
            bytes += size;
            taken.push(frame.clone());
        }
        Ok(taken)
    }

    /// Lets cursors drop what is beyond their limits, and frames that nobody needs any more go.
    pub fn enforce_limits(&self, cursors: &Cursors) {
        let told = {
            let state = self.state.lock();
            cursors.drop_oldest(&state.backlogs, self.now_millis(&state), self.clock.monotonic())
        };
        tell_dropped(&told);
    }

    /// The hybrid clock, as far as the log knows it.
    pub fn now_millis(&self, state: &MemoryState) -> u64 {
        self.clock.wall_millis().max(state.heads.highest.millis())
    }

    pub fn raise(&self, database: &DatabaseName, sequence: Sequence) {
        let mut state = self.state.lock();
        if sequence > state.last(database) {
            state.heads.databases.entry(database.clone()).or_default().last = sequence;
            state.released.insert(database.clone(), sequence);
        }
    }

    /// Takes note of what is persisted, and drops frames that neither that nor a cursor needs.
    pub fn release(&self, low_water: &BTreeMap<DatabaseName, Sequence>, cursors: &Cursors) {
        let pinned = cursors.lowest_flushed();
        let mut state = self.state.lock();
        for (database, sequence) in low_water {
            let mark = state.low_water.entry(database.clone()).or_default();
            *mark = (*mark).max(*sequence);
        }
        let MemoryState { frames, bytes, low_water, released, backlogs, .. } = &mut *state;
        for (database, frames) in frames.iter_mut() {
            let Some(low) = low_water.get(database) else { continue };
            let through = pinned.get(database).map_or(*low, |flushed| (*low).min(*flushed));
            while let Some((frame, size)) = frames.pop_front_if(|(frame, _)| frame.header.sequence <= through) {
                *bytes -= size;
                released.insert(database.clone(), frame.header.sequence);
            }
            if let (Some(backlog), Some(gone)) = (backlogs.get_mut(database), released.get(database)) {
                backlog.forget(*gone);
            }
        }
    }
}

impl MemoryState {
    pub fn last(&self, database: &DatabaseName) -> Sequence {
        self.heads.databases.get(database).map(|head| head.last).unwrap_or_default()
    }
}
