//! What happens when a reader lags too far behind.

use std::time::Duration;

use ochre_types::{ByteSize, DatabaseName, Sequence};

use super::{Cursors, Keeper, Slot, state};
use crate::backlog::{Backlogs, Lag};
use crate::error::LogError;

/// A drop is told in the log at most this often for each cursor.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// How far a cursor may lag, and what happens then. What lags pins segments: without a limit, for as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueLimit {
    /// Bytes of the database's frames behind the cursor.
    pub max_bytes: Option<ByteSize>,
    /// Age of the oldest frame behind the cursor, by its stamp.
    pub max_age: Option<Duration>,
    /// What happens beyond either.
    pub when_full: WhenFull,
}

/// What happens when a cursor is beyond its limit. Only clients' writes are held up: see [`crate::Log::admit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Writes wait for a bounded time, and are then refused.
    Block,
    /// Writes are refused at once.
    RefuseWrites,
    /// The cursor loses its oldest frames: counted, logged, and a [`crate::ReadItem::Gap`] for its reader.
    DropOldest,
}

/// Frames that a cursor has lost, worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub name: String,
    pub database: DatabaseName,
    /// How many sequences since the last line.
    pub count: u64,
    pub through: Sequence,
}

impl QueueLimit {
    /// Whether a lag is within the limit at `now`, in milliseconds since 1970.
    pub(crate) fn allows(&self, lag: Lag, now_millis: u64) -> bool {
        let bytes = self.max_bytes.is_none_or(|most| lag.bytes <= most.0);
        let age = lag.since.map_or(0, |since| now_millis.saturating_sub(since));
        bytes && self.max_age.is_none_or(|most| u128::from(age) <= most.as_millis())
    }
}

impl Cursors {
    /// Whether clients' writes to a database may go on: the policy of the cursor that is in their way, and why.
    pub(crate) fn obstacle(
        &self,
        database: &DatabaseName,
        backlogs: &Backlogs,
        now_millis: u64,
    ) -> Option<(WhenFull, LogError)> {
        let backlog = backlogs.get(database)?;
        let slots = self.slots.lock();
        let mut found = None;
        for (key, slot) in slots.iter().filter(|((of, _), _)| of == database) {
            let Some(limit) = slot.limit.filter(|limit| limit.when_full != WhenFull::DropOldest) else { continue };
            let lag = backlog.behind(slot.passed());
            if limit.allows(lag, now_millis) {
                continue;
            }
            let error = LogError::QueueFull { cursor: key.1.clone(), database: database.clone(), lag_bytes: lag.bytes };
            if limit.when_full == WhenFull::RefuseWrites {
                return Some((WhenFull::RefuseWrites, error));
            }
            found.get_or_insert((WhenFull::Block, error));
        }
        found
    }

    /// Moves cursors up that have to drop their oldest frames; returns what is worth a line in the log.
    pub(crate) fn drop_oldest(&self, backlogs: &Backlogs, now_millis: u64, monotonic: Duration) -> Vec<Dropped> {
        let mut told = Vec::new();
        for (key, slot) in self.slots.lock().iter_mut() {
            let Some(limit) = slot.limit.filter(|limit| limit.when_full == WhenFull::DropOldest) else { continue };
            let Some(backlog) = backlogs.get(&key.0) else { continue };
            let from = slot.passed();
            let to = backlog.cut(from, |lag| limit.allows(lag, now_millis));
            if to > from {
                slot.dropped_through = to;
                slot.dropped_total += to.0 - from.0;
                slot.untold += to.0 - from.0;
                if matches!(self.keeper, Keeper::Memory) {
                    slot.flushed = slot.durable();
                }
            }
            if slot.untold > 0 && slot.told_at.is_none_or(|at| monotonic >= at + TELL_EVERY) {
                told.push(tell(key, slot, monotonic));
            }
        }
        told
    }
}

fn tell(key: &(DatabaseName, String), slot: &mut Slot, monotonic: Duration) -> Dropped {
    let now = state(key, slot);
    slot.told_at = Some(monotonic);
    let count = std::mem::take(&mut slot.untold);
    Dropped { name: now.name, database: now.database, count, through: slot.dropped_through }
}
