//! Owned tasks.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::{JoinError, JoinSet};

/// The owner of background tasks. Clones share one set; when the last clone is dropped, its tasks are aborted.
#[derive(Clone, Default)]
pub struct Tasks {
    set: Arc<Mutex<JoinSet<&'static str>>>,
}

impl Tasks {
    /// An owner without tasks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current runtime. `name` says what it is for, in case it panics.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut set = self.set.lock();
        while let Some(ended) = set.try_join_next() {
            report(ended);
        }
        set.spawn(async move {
            task.await;
            name
        });
    }

    /// Stops every task where it stands, and waits until each has stopped.
    pub async fn abort(&self) {
        let mut set = std::mem::take(&mut *self.set.lock());
        set.abort_all();
        while let Some(ended) = set.join_next().await {
            report(ended);
        }
    }

    /// Waits until every task has come to its end by itself.
    pub async fn join(&self) {
        let mut set = std::mem::take(&mut *self.set.lock());
        while let Some(ended) = set.join_next().await {
            report(ended);
        }
    }
}

fn report(ended: Result<&'static str, JoinError>) {
    match ended {
        Ok(name) => tracing::trace!(task = name, "a task ended"),
        Err(error) if error.is_cancelled() => {}
        Err(error) => tracing::error!(%error, "a background task panicked: please report this with the log above"),
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({})", self.set.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropping_the_owner_stops_its_tasks() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let tasks = Tasks::new();
        tasks.spawn("waits for ever", async move {
            let _sender = sender;
            futures::future::pending().await
        });
        drop(tasks);
        assert!(receiver.await.is_err(), "the task and what it held are gone");
    }

    #[tokio::test]
    async fn abort_waits_for_the_tasks_to_stop() {
        let tasks = Tasks::new();
        let alive = Arc::new(());
        for _ in 0..10 {
            let alive = alive.clone();
            tasks.spawn("waits for ever", async move {
                let _alive = alive;
                futures::future::pending().await
            });
        }
        tasks.abort().await;
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
