//! The one task that writes: group commits, idle marks, flushing cursors, dropping segments.

use std::sync::Arc;
use std::time::Duration;

use ochre_env::{Clock, Compute};
use ochre_types::Sequence;

use crate::cursors::Cursors;
use crate::error::LogError;
use crate::format::segment_name;
use crate::outcome::Outcome;
use crate::segment::{GroupWritten, SegmentWriter, WriteError};
use crate::shared::{Group, Next, SegmentMeta, Shared, StopGuard};

/// The writer task. Holds no `Tasks`, which own it.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub cursors: Arc<Cursors>,
    pub clock: Arc<dyn Clock>,
    pub compute: Compute,
    /// `None` only while a blocking closure has it.
    pub segments: Option<SegmentWriter>,
    /// Whether frames were written that no mark covers.
    pub unmarked: bool,
    /// When to look after marks, cursors and a full disk again, if there is anything to look after.
    pub tick_at: Option<Duration>,
}

impl Writer {
    pub async fn run(mut self) {
        let _guard = StopGuard(self.shared.clone());
        loop {
            match self.shared.next() {
                Next::Write(group) => self.write(group).await,
                Next::Stop { seal } => return self.stop(seal).await,
                Next::Wait => self.wait().await,
            }
            if self.shared.state.lock().release_wanted {
                self.drop_segments().await;
            }
            self.tick_if_due().await;
        }
    }

    async fn wait(&mut self) {
        let shared = self.shared.clone();
        let Some(at) = self.tick_at else { return shared.wake.notified().await };
        let sleep = self.clock.sleep(at.saturating_sub(self.clock.monotonic()));
        tokio::select! {
            biased;
            () = shared.wake.notified() => {}
            () = sleep => {}
        }
    }

    /// Runs blocking work on the segments.
    async fn with_segments<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut SegmentWriter) -> T + Send + 'static,
    ) -> Option<T> {
        let mut segments = self.segments.take()?;
        let (segments, result) = self
            .compute
            .run(move || {
                let result = work(&mut segments);
                (segments, result)
            })
            .await;
        self.segments = Some(segments);
        Some(result)
    }

    async fn write(&mut self, mut group: Group) {
        let raised = std::mem::take(&mut self.shared.state.lock().raised);
        let failed = self.shared.state.lock().failed.clone();
        if let Some(reason) = failed {
            return self.shared.fail(Some(group), reason);
        }
        let mut queued = std::mem::take(&mut group.queued);
        let (count, bytes) = (queued.len() as u64, group.bytes);
        let done = self
            .with_segments(move |segments| {
                segments.raised.extend(raised);
                let mut made = None;
                let result = segments
                    .check_space(bytes)
                    .and_then(|()| segments.ensure_segment())
                    .map(|segment| made = segment)
                    .and_then(|()| segments.write_group(&mut queued));
                (made, result, segments.end())
            })
            .await;
        let Some((made, result, end)) = done else { return };
        if let Some(segment) = made {
            self.shared.state.lock().segments.push_back(segment);
        }
        match result {
            Ok(written) => {
                self.publish(&group, written, end);
                self.unmarked = true;
                self.tick_at.get_or_insert(self.clock.monotonic() + self.shared.config.idle_mark);
            }
            Err(error) => self.refused(Some(group), count, error),
        }
    }

    fn publish(&self, group: &Group, written: GroupWritten, end: Option<(u64, u64)>) {
        let mut state = self.shared.state.lock();
        state.totals.appended_bytes += written.bytes;
        state.totals.sync_nanos = state.totals.sync_nanos.saturating_add(written.sync_nanos);
        if let (Some((_, length)), Some(segment)) = (end, state.segments.back_mut()) {
            segment.length = length;
        }
        self.shared.publish(&mut state, group, written.frames);
        drop(state);
        self.shared.enforce_limits();
        group.outcome.tell(Outcome::Synced);
        self.shared.commits.send_modify(|count| *count += 1);
    }

    fn refused(&mut self, group: Option<Group>, count: u64, error: WriteError) {
        match error {
            WriteError::Full(reason) => {
                tracing::warn!(%reason, frames = count, "the log is full: writes are refused until there is room");
                let reason: Arc<str> = reason.into();
                let mut state = self.shared.state.lock();
                state.full = Some(reason.clone());
                state.totals.refused_frames += count;
                Shared::refuse(&mut state, group, &LogError::Full { reason });
                drop(state);
                self.tick_at.get_or_insert(self.clock.monotonic() + self.shared.config.idle_mark);
            }
            WriteError::Failed(reason) => {
                tracing::error!(%reason, "the log has failed: check the disk, then start the server again");
                self.shared.state.lock().totals.refused_frames += count;
                self.shared.fail(group, reason.into());
            }
        }
    }

    async fn tick_if_due(&mut self) {
        let now = self.clock.monotonic();
        let (full, failed) = {
            let state = self.shared.state.lock();
            (state.full.is_some(), state.failed.is_some())
        };
        let wanted = self.cursors.is_dirty() || self.cursors.has_limits() || (!failed && (self.unmarked || full));
        match self.tick_at {
            _ if !wanted => self.tick_at = None,
            None => self.tick_at = Some(now + self.shared.config.idle_mark),
            Some(at) if now < at => {}
            Some(_) => {
                self.tick_at = None;
                self.tick(full, failed).await;
                self.tick_at = Some(self.clock.monotonic() + self.shared.config.idle_mark);
            }
        }
    }

    async fn tick(&mut self, full: bool, failed: bool) {
        self.shared.enforce_limits();
        if let Err(error) = self.cursors.flush().await {
            tracing::warn!(%error, "cursors were not flushed: readers may see frames again after a restart");
        }
        if failed {
            return;
        }
        if full && let Some(Ok(())) = self.with_segments(|segments| segments.check_space(0)).await {
            tracing::info!("the log has room again");
            self.shared.state.lock().full = None;
        }
        // While frames keep coming, each carries a mark itself.
        if self.unmarked && self.shared.state.lock().pending.is_empty() {
            self.mark(false).await;
        }
    }

    async fn mark(&mut self, seal: bool) {
        let done = self.with_segments(move |segments| (segments.write_mark(seal), segments.end())).await;
        match done {
            Some((Ok(()), end)) => {
                self.unmarked = false;
                let mut state = self.shared.state.lock();
                if let (Some((_, length)), Some(segment)) = (end, state.segments.back_mut()) {
                    segment.length = length;
                }
            }
            // Tried again with the next tick; what is acknowledged is durable without it.
            Some((Err(WriteError::Full(reason)), _)) => tracing::debug!(%reason, "no room for a mark"),
            Some((Err(error), _)) => self.refused(None, 0, error),
            None => {}
        }
    }

    async fn drop_segments(&mut self) {
        let dropped = self.shared.take_droppable();
        if dropped.is_empty() {
            return;
        }
        let result = self.with_segments(move |segments| remove(segments, &dropped)).await;
        if let Some(Err(error)) = result {
            tracing::warn!(%error, "a segment that is no longer needed stays until the next start");
        }
    }

    async fn stop(&mut self, seal: bool) {
        if let Err(error) = self.cursors.flush().await {
            tracing::warn!(%error, "cursors were not flushed: readers may see frames again after a restart");
        }
        let failed = self.shared.state.lock().failed.is_some();
        if seal && !failed {
            self.mark(true).await;
        }
    }
}

/// Removes segments, oldest first, each durably before the next, so that a crash leaves no hole. One with unreadable
/// bytes is renamed instead: they are evidence.
fn remove(segments: &SegmentWriter, dropped: &[SegmentMeta]) -> Result<(), LogError> {
    for segment in dropped {
        let name = segment_name(segment.number);
        let path = segments.dir.join(&name);
        let done = if segment.damaged {
            segments.disk.rename(&path, &segments.dir.join(format!("{name}.damaged")))
        } else {
            segments.disk.remove_file(&path)
        };
        done.map_err(LogError::io("removing", &path))?;
        segments.disk.sync_dir(&segments.dir).map_err(LogError::io("syncing", &segments.dir))?;
    }
    Ok(())
}

impl Shared {
    /// Takes note of what is persisted.
    pub fn release(&self, low_water: &std::collections::BTreeMap<ochre_types::DatabaseName, Sequence>) {
        let mut state = self.state.lock();
        for (database, sequence) in low_water {
            let mark = state.low_water.entry(database.clone()).or_default();
            *mark = (*mark).max(*sequence);
        }
        state.release_wanted = true;
        drop(state);
        self.wake.notify_one();
    }
}
