//! Rows that were acknowledged once they were in memory (`ack: accepted`) and that the log then refused.
//!
//! When a disk becomes full, what waits for it at that moment is refused together, and writes that were acknowledged
//! before are among it. Their rows stay in memory and get into Parquet as all others do; only a crash before that loses
//! them. That is what `accepted` means; it is counted here and said once a while.

use std::collections::VecDeque;
use std::time::Duration;

use futures::FutureExt;
use ochre_log::{Appended, Log};
use ochre_types::DatabaseName;
use parking_lot::Mutex;

/// How often it is said at most.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Watches the outcome of frames whose writes were acknowledged before.
#[derive(Debug, Default)]
pub(crate) struct Unlogged {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Frames whose outcome is not known yet, and their rows. As many as the log lets wait.
    waiting: VecDeque<(Appended, u64)>,
    rows: u64,
    said_at: Option<Duration>,
}

impl Unlogged {
    /// Watches a frame of so many rows.
    pub(crate) fn watch(&self, log: &Log, database: &DatabaseName, appended: Appended, rows: u64, now: Duration) {
        self.state.lock().waiting.push_back((appended, rows));
        self.sweep(log, database, now);
    }

    /// Looks what became of the frames. Returns the rows of all that were refused since the start.
    pub(crate) fn sweep(&self, log: &Log, database: &DatabaseName, now: Duration) -> u64 {
        let mut state = self.state.lock();
        let before = state.rows;
        let mut reason = None;
        while let Some((appended, rows)) = state.waiting.front() {
            let rows = *rows;
            match log.synced(appended).now_or_never() {
                None => break,
                Some(Ok(())) => {}
                Some(Err(error)) => {
                    state.rows += rows;
                    reason = Some(error);
                }
            }
            state.waiting.pop_front();
        }
        if let Some(error) = reason
            && state.said_at.is_none_or(|at| now.saturating_sub(at) >= SAY_EVERY)
        {
            state.said_at = Some(now);
            tracing::error!(%database, rows = state.rows - before, %error, "acknowledged rows are not in the log, as ack is accepted: they are in memory, and a crash before they are in Parquet loses them");
        }
        state.rows
    }
}
