//! What is known of a store from asking it: counts, times, and since when it fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::Error;
use ochre_env::Clock;
use parking_lot::Mutex;

/// Failures in a row after which a store counts as failing...
const FAILURES: u64 = 3;
/// ...or the time without an answer, if that is earlier.
const SILENCE: Duration = Duration::from_secs(5);
/// The most characters of an error that are kept.
const SHOWN: usize = 300;

/// Upper bounds of the buckets of request times, in seconds; a last one has no bound.
pub const SECONDS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// Kinds of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An object as one request.
    Put,
    /// A request of an upload in parts.
    Part,
    /// Reading an object or a range of it.
    Get,
    /// Asking for an object's size.
    Head,
    /// Listing.
    List,
    /// Deleting.
    Delete,
    /// Copying within the store.
    Copy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Put, Self::Part, Self::Get, Self::Head, Self::List, Self::Delete, Self::Copy];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Part => "part",
            Self::Get => "get",
            Self::Head => "head",
            Self::List => "list",
            Self::Delete => "delete",
            Self::Copy => "copy",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    failures: AtomicU64,
    retries: AtomicU64,
    nanos: AtomicU64,
    within: [AtomicU64; SECONDS.len() + 1],
}

/// What was counted of one kind of requests since the process started.
#[derive(Debug, Clone, PartialEq)]
pub struct KindCounts {
    /// Which.
    pub kind: Kind,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Those that failed: no answer, an error of the service, no permission. Not: "no such object", "exists".
    pub failures: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// Time until they were answered, in seconds, all together.
    pub seconds: f64,
    /// How many took at most [`SECONDS`], each bucket by itself, and how many took longer.
    pub within: [u64; SECONDS.len() + 1],
}

/// A store that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// Since when, in milliseconds since 1970-01-01 UTC.
    pub since_millis: u64,
    /// For how long.
    pub lasting: Duration,
    /// Failures since then.
    pub failures: u64,
    /// What the last one said.
    pub error: String,
}

/// What a store's requests are counted with. Whoever opened the store reads it.
#[derive(Debug)]
pub struct Meter {
    clock: Arc<dyn Clock>,
    kinds: [Counts; Kind::ALL.len()],
    sent_bytes: AtomicU64,
    received_bytes: AtomicU64,
    denied_retries: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
}

/// Failures since the last answer.
#[derive(Debug, Clone)]
struct Trouble {
    since: Duration,
    since_millis: u64,
    failures: u64,
    error: String,
    said: bool,
}

impl Meter {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            kinds: Default::default(),
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            denied_retries: AtomicU64::new(0),
            trouble: Mutex::new(None),
        }
    }

    /// What was counted, by kind.
    pub fn counts(&self) -> Vec<KindCounts> {
        Kind::ALL.into_iter().map(|kind| self.counts_of(kind)).collect()
    }

    #[allow(clippy::cast_precision_loss, reason = "nanoseconds fit into the 53 bits of a double for 100 days")]
    fn counts_of(&self, kind: Kind) -> KindCounts {
        let counts = &self.kinds[kind as usize];
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KindCounts {
            kind,
            requests: read(&counts.requests),
            failures: read(&counts.failures),
            retries: read(&counts.retries),
            seconds: read(&counts.nanos) as f64 / 1e9,
            within: std::array::from_fn(|bucket| read(&counts.within[bucket])),
        }
    }

    /// Bytes of objects sent and received.
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent_bytes.load(Ordering::Relaxed), self.received_bytes.load(Ordering::Relaxed))
    }

    /// Retries that were not made because too many had been.
    pub fn denied_retries(&self) -> u64 {
        self.denied_retries.load(Ordering::Relaxed)
    }

    /// Whether the store fails: nothing was answered since, for a while or in a row.
    pub fn failing(&self) -> Option<Failing> {
        let now = self.clock.monotonic();
        let trouble = self.trouble.lock();
        trouble.as_ref().filter(|trouble| trouble.is_serious(now)).map(|trouble| Failing {
            since_millis: trouble.since_millis,
            lasting: now.saturating_sub(trouble.since),
            failures: trouble.failures,
            error: trouble.error.clone(),
        })
    }

    /// A request was answered, or failed, after `took`.
    pub(super) fn answered(&self, kind: Kind, took: Duration, error: Option<&Error>) {
        let counts = &self.kinds[kind as usize];
        counts.requests.fetch_add(1, Ordering::Relaxed);
        counts.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let bucket = SECONDS.iter().position(|bound| took.as_secs_f64() <= *bound).unwrap_or(SECONDS.len());
        counts.within[bucket].fetch_add(1, Ordering::Relaxed);
        match error {
            Some(error) if !is_answer(error) => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                self.failed(error);
            }
            _ => self.recovered(),
        }
    }

    /// An answer that had begun broke off.
    pub(super) fn broke_off(&self, kind: Kind, error: &Error) {
        self.kinds[kind as usize].failures.fetch_add(1, Ordering::Relaxed);
        self.failed(error);
    }

    pub(super) fn retried(&self, kind: Kind) {
        self.kinds[kind as usize].retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn denied(&self) {
        self.denied_retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn failed(&self, error: &Error) {
        let now = self.clock.monotonic();
        let text: String = error.to_string().chars().take(SHOWN).collect();
        let news = {
            let mut trouble = self.trouble.lock();
            let trouble = trouble.get_or_insert_with(|| Trouble {
                since: now,
                since_millis: self.clock.wall_millis(),
                failures: 0,
                error: String::new(),
                said: false,
            });
            trouble.failures += 1;
            trouble.error = text;
            let news = !trouble.said && trouble.is_serious(now);
            trouble.said |= news;
            news.then(|| trouble.error.clone())
        };
        if let Some(error) = news {
            tracing::warn!(%error, "the object store does not answer: tried again and again; nothing is lost meanwhile");
        }
    }

    fn recovered(&self) {
        let Some(trouble) = self.trouble.lock().take() else { return };
        if trouble.said {
            let lasted = self.clock.monotonic().saturating_sub(trouble.since);
            tracing::info!(?lasted, failures = trouble.failures, "the object store answers again");
        }
    }
}

impl Trouble {
    fn is_serious(&self, now: Duration) -> bool {
        self.failures >= FAILURES || now.saturating_sub(self.since) >= SILENCE
    }
}

/// Whether an error is an answer of a store that works.
pub(super) fn is_answer(error: &Error) -> bool {
    matches!(
        error,
        Error::NotFound { .. }
            | Error::AlreadyExists { .. }
            | Error::Precondition { .. }
            | Error::NotModified { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
    )
}
