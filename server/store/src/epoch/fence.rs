//! Whether this process still owns its prefix.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::ObjectStore;
use ochre_env::Clock;
use ochre_types::{Epoch, Incarnation};
use tokio::sync::watch;

use super::EpochRecord;
use super::claim::successor;
use crate::object::Layout;

/// How long one look at the store is good for.
const FRESH: Duration = Duration::from_secs(10);
/// How often [`Fence::watch`] looks: often enough that nobody else has to while the store answers.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// How long one look may take before the store counts as out of reach.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// How often [`Fence::ensure_held`] looks again when the process was stopped during a look.
const LOOKS: usize = 3;

/// Another server owns the prefix: this one must not write, and must stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{node} belongs to epoch {by}{} now; this server's epoch {ours} (incarnation {incarnation}) is over: it must stop. \
     What its log holds and no catalog has can be delivered with `ochre log forward`",
    who(.by_incarnation)
)]
pub struct Fenced {
    /// The node's folder in the store.
    pub node: String,
    /// Our epoch.
    pub ours: Epoch,
    /// Our incarnation.
    pub incarnation: Incarnation,
    /// The epoch that owns the prefix.
    pub by: Epoch,
    /// Its incarnation, if its record could be read.
    pub by_incarnation: Option<Incarnation>,
}

fn who(incarnation: &Option<Incarnation>) -> String {
    incarnation.map(|incarnation| format!(" (incarnation {incarnation})")).unwrap_or_default()
}

/// An epoch, and whether it is still held. Clones share one state.
#[derive(Clone)]
pub struct Fence(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    layout: Layout,
    clock: Arc<dyn Clock>,
    record: EpochRecord,
    /// Monotonic milliseconds until which the last look is good.
    fresh_until: AtomicU64,
    /// One look at a time; who waited uses its result.
    looking: tokio::sync::Mutex<()>,
    fenced: watch::Sender<Option<Fenced>>,
}

impl Fence {
    /// A fence that stands; it was seen to at monotonic time `seen`.
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        layout: Layout,
        clock: Arc<dyn Clock>,
        record: EpochRecord,
        seen: Duration,
    ) -> Self {
        Self(Arc::new(Inner {
            store,
            layout,
            clock,
            record,
            fresh_until: AtomicU64::new(millis(seen + FRESH)),
            looking: tokio::sync::Mutex::new(()),
            fenced: watch::Sender::new(None),
        }))
    }

    /// Our epoch.
    pub fn epoch(&self) -> Epoch {
        self.0.record.epoch
    }

    /// Our incarnation.
    pub fn incarnation(&self) -> Incarnation {
        self.0.record.incarnation
    }

    /// Our claim.
    pub fn record(&self) -> &EpochRecord {
        &self.0.record
    }

    /// Whether the prefix is ours as far as is known. Does not look.
    ///
    /// # Errors
    /// If it is known to be another's.
    pub fn check_held(&self) -> Result<(), Fenced> {
        match &*self.0.fenced.borrow() {
            None => Ok(()),
            Some(fenced) => Err(fenced.clone()),
        }
    }

    /// Whether the prefix is ours, as of a look at the store that is at most 10 s old; to be called before anything is
    /// acknowledged. Costs an atomic read, unless the process was stopped or [`Fence::watch`] does not run. A store
    /// that can't be reached counts as "still ours".
    ///
    /// # Errors
    /// If the prefix is another's.
    pub async fn ensure_held(&self) -> Result<(), Fenced> {
        self.check_held()?;
        for _ in 0..LOOKS {
            if self.is_fresh() {
                return Ok(());
            }
            let _one_at_a_time = self.0.looking.lock().await;
            if !self.is_fresh() {
                self.look().await;
            }
            self.check_held()?;
        }
        Ok(())
    }

    fn is_fresh(&self) -> bool {
        millis(self.0.clock.monotonic()) <= self.0.fresh_until.load(Ordering::Acquire)
    }

    /// Looks every few seconds until the prefix is another's, and says whose. The owner spawns this, and stops the
    /// server when it returns.
    pub async fn watch(&self) -> Fenced {
        loop {
            self.0.clock.sleep(WATCH_EVERY).await;
            {
                let _one_at_a_time = self.0.looking.lock().await;
                self.look().await;
            }
            if let Err(fenced) = self.check_held() {
                return fenced;
            }
        }
    }

    /// Completes when the prefix is found to be another's by anybody. Does not look.
    pub async fn fallen(&self) -> Fenced {
        let mut fenced = self.0.fenced.subscribe();
        match fenced.wait_for(Option::is_some).await.map(|fenced| fenced.clone()) {
            Ok(Some(fenced)) => fenced,
            // The sender lives as long as `self`, and the value was awaited to be there.
            _ => futures::future::pending().await,
        }
    }

    async fn look(&self) {
        let Inner { store, layout, clock, record, .. } = &*self.0;
        let begun = clock.monotonic();
        let good_until = match successor(store, layout, clock, record.epoch, LOOK_LIMIT).await {
            Ok(None) => begun + FRESH,
            Ok(Some((by, by_incarnation))) => {
                self.mark_fenced(by, by_incarnation);
                return;
            }
            Err(error) => {
                tracing::warn!(node = %layout.node(), epoch = %record.epoch, %error, "cannot see whether the prefix is still ours; going on");
                clock.monotonic() + FRESH
            }
        };
        self.0.fresh_until.store(millis(good_until), Ordering::Release);
    }

    /// Lets the fence fall: `by` has been seen to own the prefix. The first to say so is believed.
    pub(crate) fn mark_fenced(&self, by: Epoch, by_incarnation: Option<Incarnation>) -> Fenced {
        let fenced = Fenced {
            node: self.0.layout.node().to_string(),
            ours: self.epoch(),
            incarnation: self.incarnation(),
            by,
            by_incarnation,
        };
        let news = self.0.fenced.send_if_modified(|state| {
            let first = state.is_none();
            state.get_or_insert_with(|| fenced.clone());
            first
        });
        if news {
            tracing::error!(%fenced, "fenced: another server has taken over");
        }
        self.check_held().err().unwrap_or(fenced)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.check_held().is_ok() { "held" } else { "fenced" };
        write!(f, "Fence({} of {}, {state})", self.epoch(), self.0.layout.node())
    }
}
