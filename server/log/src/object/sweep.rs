//! Removes segments that nobody needs, oldest first and one at a time, so that no hole is ever left behind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use ochre_env::Clock;

use super::folder::Folder;
use super::survey::Leftovers;
use crate::error::LogError;
use crate::shared::SegmentMeta;

/// How long it waits after a failure before it tries the same segment again.
const PAUSE: Duration = Duration::from_secs(10);

/// What waits to be removed.
pub(crate) struct Sweep {
    /// What no segment says yet that it is not needed.
    unsaid: Vec<SegmentMeta>,
    queue: VecDeque<(u64, bool)>,
    running: Option<BoxFuture<'static, Result<(), LogError>>>,
}

impl Sweep {
    /// Begins with what lies behind seals.
    pub fn new(leftovers: Leftovers) -> Self {
        let queue = leftovers.into_iter().map(|ordinal| (ordinal, false)).collect();
        Self { unsaid: Vec::new(), queue, running: None }
    }

    pub fn add(&mut self, segments: Vec<SegmentMeta>) {
        self.unsaid.extend(segments);
    }

    /// Whether a segment is needed to say what others are not.
    pub fn waits(&self) -> bool {
        !self.unsaid.is_empty()
    }

    /// A segment is there that says that what is before `oldest` is not needed.
    pub fn said(&mut self, oldest: u64) {
        let (said, unsaid) = self.unsaid.drain(..).partition(|segment: &SegmentMeta| segment.number < oldest);
        self.unsaid = unsaid;
        let said: Vec<SegmentMeta> = said;
        self.queue.extend(said.into_iter().map(|segment| (segment.number, segment.damaged)));
    }

    /// Completes when something was removed; never if there is nothing to remove.
    pub async fn step(&mut self, folder: &Arc<Folder>, clock: &Arc<dyn Clock>) {
        if self.running.is_none() {
            let Some((ordinal, is_damaged)) = self.queue.front().copied() else { return std::future::pending().await };
            let (folder, clock) = (folder.clone(), clock.clone());
            self.running = Some(Box::pin(async move {
                let removed = folder.remove(ordinal, is_damaged).await;
                if let Err(error) = &removed {
                    tracing::debug!(%error, "a segment that is no longer needed was not removed: tried again");
                    clock.sleep(PAUSE).await;
                }
                removed
            }));
        }
        let Some(running) = &mut self.running else { return };
        let removed = running.await;
        self.running = None;
        if removed.is_ok() {
            self.queue.pop_front();
        }
    }
}
