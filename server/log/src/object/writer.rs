//! The one task that puts segments: groups by time or bytes, several creates in flight, acknowledged in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use ochre_env::Clock;

use super::build::{Builder, Built};
use super::folder::{Folder, Put};
use super::sweep::Sweep;
use crate::cursors::Slots;
use crate::error::LogError;
use crate::outcome::Outcome;
use crate::shared::{Group, Phase, SegmentMeta, Shared, StopGuard, Written};

/// Segments that may be on their way at the same time.
const IN_FLIGHT: usize = 4;
/// How long closing waits for a store that does not answer.
const CLOSE_LIMIT: Duration = Duration::from_secs(20);

/// A segment on its way, without its bytes.
struct Sent {
    group: Option<Group>,
    meta: SegmentMeta,
    frames: Vec<Written>,
    slots: Slots,
    at: Duration,
    seal: bool,
    /// What it says is the oldest segment that is needed.
    oldest: u64,
}

/// What wakes the writer.
enum Event {
    Landed(Put),
    Swept,
    Due,
    Woken,
}

/// The writer task. Holds no `Tasks`, which own it.
pub(crate) struct ObjectWriter {
    shared: Arc<Shared>,
    folder: Arc<Folder>,
    clock: Arc<dyn Clock>,
    /// `None` only while a closure has it.
    builder: Option<Builder>,
    sweep: Sweep,
    flush_every: Duration,
    flight: FuturesOrdered<BoxFuture<'static, Put>>,
    /// What is in flight, in the same order.
    sent: VecDeque<Sent>,
    last_put: Option<Duration>,
    /// When to look after cursors again, if there is anything to look after.
    tick_at: Option<Duration>,
    /// When closing gives up.
    close_by: Option<Duration>,
    sealed: bool,
}

impl ObjectWriter {
    pub fn new(
        shared: Arc<Shared>,
        folder: Arc<Folder>,
        builder: Builder,
        sweep: Sweep,
        flush_every: Duration,
    ) -> Self {
        let clock = shared.clock.clone();
        Self {
            shared,
            folder,
            clock,
            builder: Some(builder),
            sweep,
            flush_every,
            flight: FuturesOrdered::new(),
            sent: VecDeque::new(),
            last_put: None,
            tick_at: None,
            close_by: None,
            sealed: false,
        }
    }

    pub async fn run(mut self) {
        let _guard = StopGuard(self.shared.clone());
        loop {
            while let Some(group) = self.due_group() {
                self.send(Some(group), false).await;
            }
            if self.is_done() {
                return;
            }
            if self.may_seal() {
                self.send(None, true).await;
            }
            if self.shared.state.lock().release_wanted {
                let dropped = self.shared.take_droppable();
                self.sweep.add(dropped);
            }
            self.tick_if_due();
            match self.wait().await {
                Event::Landed(Put::Ours) => self.landed(),
                Event::Landed(Put::Taken(by)) => return self.fenced(by),
                Event::Due if self.is_too_late() => return self.give_up(),
                Event::Due | Event::Woken | Event::Swept => {}
            }
        }
    }

    fn closing(&self) -> Option<bool> {
        match self.shared.state.lock().phase {
            Phase::Open => None,
            Phase::Closing { seal } => Some(seal),
            Phase::Stopped => Some(false),
        }
    }

    fn is_done(&self) -> bool {
        self.closing().is_some_and(|seal| !seal || self.sealed)
            && self.sent.is_empty()
            && self.shared.state.lock().pending.is_empty()
    }

    fn may_seal(&self) -> bool {
        self.closing() == Some(true) && !self.sealed && self.sent.len() < IN_FLIGHT
    }

    fn is_too_late(&self) -> bool {
        self.close_by.is_some_and(|by| self.clock.monotonic() >= by)
    }

    /// When the next segment may be put that is not full.
    fn next_put(&self) -> Duration {
        self.last_put.map_or(Duration::ZERO, |last| last + self.flush_every)
    }

    /// The group that should go now, if there is one and room for it.
    fn due_group(&mut self) -> Option<Group> {
        if self.sent.len() >= IN_FLIGHT {
            return None;
        }
        let mut state = self.shared.state.lock();
        let is_full = state.pending.len() > 1
            || state.pending.front().is_some_and(|group| group.bytes >= self.shared.config.max_group_bytes.0);
        let is_due = is_full || state.phase != Phase::Open || self.clock.monotonic() >= self.next_put();
        if is_due { state.pending.pop_front() } else { None }
    }

    async fn send(&mut self, group: Option<Group>, seal: bool) {
        let Some(mut builder) = self.builder.take() else { return };
        self.folder.forget_cache();
        {
            let mut state = self.shared.state.lock();
            builder.raised.extend(std::mem::take(&mut state.raised));
            builder.oldest = state.segments.front().map_or(builder.oldest, |segment| segment.number);
        }
        let mut group = group;
        let queued = group.as_mut().map(|group| std::mem::take(&mut group.queued)).unwrap_or_default();
        let slots = self.shared.cursors.snapshot();
        if builder.is_used_up() {
            self.builder = Some(builder);
            let reason = "this epoch has no more numbers for segments: start the server again";
            return self.shared.fail(group, reason.into());
        }
        let oldest = builder.oldest;
        let (builder, built, slots) = self
            .folder
            .compute
            .run(move || {
                let built = builder.build(queued, &slots, seal);
                (builder, built, slots)
            })
            .await;
        self.builder = Some(builder);
        let Built { meta, bytes, frames } = built;
        let (folder, ordinal) = (self.folder.clone(), meta.number);
        self.flight.push_back(Box::pin(async move { folder.create(ordinal, &bytes).await }));
        let at = self.clock.monotonic();
        self.last_put = Some(at);
        self.sealed |= seal;
        self.sent.push_back(Sent { group, meta, frames, slots, at, seal, oldest });
    }

    /// The oldest segment in flight is there.
    fn landed(&mut self) {
        let Some(Sent { group, meta, frames, slots, at, seal, oldest }) = self.sent.pop_front() else { return };
        if let Some(builder) = &mut self.builder {
            builder.acknowledged = meta.number;
        }
        let nanos = self.clock.monotonic().saturating_sub(at).as_nanos();
        let mut state = self.shared.state.lock();
        state.totals.appended_bytes += if seal { 0 } else { meta.length };
        state.totals.sync_nanos = state.totals.sync_nanos.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX));
        state.segments.push_back(meta);
        if let Some(group) = &group {
            self.shared.publish(&mut state, group, frames);
        }
        drop(state);
        self.shared.cursors.flushed(&slots);
        self.sweep.said(oldest);
        self.shared.enforce_limits();
        if let Some(group) = group {
            group.outcome.tell(Outcome::Synced);
        }
        self.shared.commits.send_modify(|count| *count += 1);
    }

    /// Another process has closed our epoch: nothing that is not known to be there is acknowledged any more.
    fn fenced(&mut self, by: String) {
        tracing::error!(%by, "the log was taken over by another server: nothing more is acknowledged here");
        self.shared.state.lock().fenced = true;
        self.refuse_all(by.into());
    }

    fn give_up(&mut self) {
        let reason = format!("the object store did not take the last segments within {CLOSE_LIMIT:?} of closing");
        tracing::error!(%reason, "the log was not closed cleanly: what was not acknowledged may be lost");
        self.refuse_all(reason.into());
    }

    fn refuse_all(&mut self, reason: Arc<str>) {
        self.shared.fail(None, reason);
        let Some(error) = self.shared.state.lock().failure() else { return };
        for group in self.sent.drain(..).filter_map(|sent| sent.group) {
            group.outcome.tell(Outcome::Refused(LogError::clone(&error)));
        }
    }

    /// Sees to it that cursors are flushed and limits looked after, about once a second.
    fn tick_if_due(&mut self) {
        let now = self.clock.monotonic();
        if self.closing().is_some() {
            self.close_by.get_or_insert(now + CLOSE_LIMIT);
        }
        let cursors = &self.shared.cursors;
        let wanted = cursors.is_dirty() || cursors.has_limits() || self.sweep.waits();
        match self.tick_at {
            _ if !wanted => self.tick_at = None,
            None => self.tick_at = Some(now + self.shared.config.idle_mark),
            Some(at) if now < at => {}
            Some(_) => {
                self.shared.enforce_limits();
                // What is on its way may say it already: then this is one segment too many.
                if (self.shared.cursors.is_dirty() || self.sweep.waits()) && self.sent.is_empty() {
                    // Refused only when the log ends.
                    drop(self.shared.ask_for_segment());
                }
                self.tick_at = Some(now + self.shared.config.idle_mark);
            }
        }
    }

    async fn wait(&mut self) -> Event {
        let shared = self.shared.clone();
        let waits = !shared.state.lock().pending.is_empty() && self.sent.len() < IN_FLIGHT;
        let at = [self.tick_at, self.close_by, waits.then(|| self.next_put())].into_iter().flatten().min();
        let now = self.clock.monotonic();
        let sleep = async {
            match at {
                Some(at) => self.clock.sleep(at.saturating_sub(now)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(put) = self.flight.next(), if !self.flight.is_empty() => Event::Landed(put),
            () = shared.wake.notified() => Event::Woken,
            () = sleep => Event::Due,
            () = self.sweep.step(&self.folder, &self.clock) => Event::Swept,
        }
    }
}
