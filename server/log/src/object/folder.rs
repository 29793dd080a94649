//! The folder of all epochs' segments: reading, creating, listing, removing, each tried a bounded number of times.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use ochre_env::{Clock, Compute, Env};
use ochre_types::ByteSize;
use parking_lot::Mutex;

use super::header::{self, Header, HeaderError};
use super::{ordinal, split};
use crate::config::ObjectHome;
use crate::error::LogError;

/// How often an operation is tried whose caller waits for an answer.
const ATTEMPTS: u32 = 8;
/// The pause after a first failure; doubles with each, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause between attempts, which a segment's put goes on with until it is known or the log ends.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long one attempt may take.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);

/// How creating a segment ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is there with our bytes.
    Ours,
    /// Another one is there; what it is.
    Taken(String),
}

/// Why something could not be read.
#[derive(Debug)]
pub(crate) enum ReadFailure {
    /// There is no such object.
    Missing,
    Failed(Error),
}

/// The log's folder.
pub(crate) struct Folder {
    store: Arc<dyn ObjectStore>,
    root: Path,
    clock: Arc<dyn Clock>,
    pub compute: Compute,
    /// Segments that were read for opening, for the readers that replay them.
    cache: Mutex<Cache>,
    /// Since when puts have been failing.
    away_since: Mutex<Option<Duration>>,
}

/// Segments by ordinal. Of too many, the oldest are left out: they are most likely persisted.
#[derive(Debug, Default)]
struct Cache {
    held: BTreeMap<u64, Bytes>,
    bytes: u64,
    limit: u64,
}

impl Folder {
    /// The folder of `home`; what is read while nothing is queued is kept up to `cache` bytes.
    pub fn new(env: &Env, home: &ObjectHome, cache: ByteSize) -> Arc<Self> {
        Self::of(env, home.store.clone(), home.folder.clone(), cache)
    }

    pub fn of(env: &Env, store: Arc<dyn ObjectStore>, root: Path, cache: ByteSize) -> Arc<Self> {
        let cache = Mutex::new(Cache { limit: cache.0, ..Cache::default() });
        let (clock, compute) = (env.clock.clone(), env.compute.clone());
        Arc::new(Self { store, root, clock, compute, cache, away_since: Mutex::new(None) })
    }

    /// A segment's path.
    pub fn path(&self, ordinal: u64) -> Path {
        let (epoch, number) = split(ordinal);
        self.epoch_path(epoch).join(format!("{number:020}.seg"))
    }

    fn epoch_path(&self, epoch: u64) -> Path {
        self.root.clone().join(format!("{epoch:020}"))
    }

    /// An error about the folder.
    pub fn failed(&self, action: &'static str, reason: &str) -> LogError {
        LogError::Object { action, path: self.root.to_string(), reason: reason.into() }
    }

    /// The epochs that have a folder, in order.
    pub async fn epochs(&self) -> Result<Vec<u64>, LogError> {
        let listed = self.retry(|| self.store.list_with_delimiter(Some(&self.root))).await;
        let listed = listed.map_err(|error| object_error("listing", &self.root, &error))?;
        let names = listed.common_prefixes.iter().filter_map(|folder| folder.filename().map(str::to_owned));
        let mut epochs: Vec<u64> = names.filter_map(|name| twenty_digits(&name)).collect();
        epochs.sort_unstable();
        Ok(epochs)
    }

    /// Number and size of an epoch's segments, in order.
    pub async fn segments(&self, epoch: u64) -> Result<Vec<(u64, u64)>, LogError> {
        let folder = self.epoch_path(epoch);
        let list = || async { self.store.list(Some(&folder)).try_collect::<Vec<_>>().await };
        let listed = self.retry(list).await.map_err(|error| object_error("listing", &folder, &error))?;
        let number = |path: &Path| path.filename().and_then(|name| twenty_digits(name.strip_suffix(".seg")?));
        let mut numbers: Vec<(u64, u64)> =
            listed.iter().filter_map(|object| Some((number(&object.location)?, object.size))).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// A whole segment.
    pub async fn read(&self, ordinal: u64) -> Result<Bytes, LogError> {
        match self.try_read(ordinal).await {
            Ok(bytes) => Ok(bytes),
            Err(ReadFailure::Missing) => {
                let reason = "the object is not there".into();
                Err(LogError::Object { action: "reading", path: self.path(ordinal).to_string(), reason })
            }
            Err(ReadFailure::Failed(error)) => Err(object_error("reading", &self.path(ordinal), &error)),
        }
    }

    pub async fn try_read(&self, ordinal: u64) -> Result<Bytes, ReadFailure> {
        if let Some(bytes) = self.cache.lock().held.get(&ordinal) {
            return Ok(bytes.clone());
        }
        let path = self.path(ordinal);
        match self.retry(|| async { self.store.get(&path).await?.bytes().await }).await {
            Ok(bytes) => {
                self.cache.lock().keep(ordinal, &bytes);
                Ok(bytes)
            }
            Err(Error::NotFound { .. }) => Err(ReadFailure::Missing),
            Err(error) => Err(ReadFailure::Failed(error)),
        }
    }

    /// A segment's header; `None` if the object is gone or too short.
    pub async fn peek(&self, ordinal: u64) -> Result<Result<Header, HeaderError>, LogError> {
        let path = self.path(ordinal);
        let options =
            || GetOptions { range: Some(GetRange::Bounded(0..header::LENGTH as u64)), ..GetOptions::default() };
        let got = self.retry(|| async { self.store.get_opts(&path, options()).await?.bytes().await }).await;
        match got {
            Ok(bytes) => match Header::decode(&bytes) {
                Ok(header) if header.ordinal != ordinal => Ok(Err(HeaderError::Unreadable)),
                header => Ok(header),
            },
            Err(Error::NotFound { .. }) => Ok(Err(HeaderError::Unreadable)),
            // An object shorter than a header is answered as a wrong range by some stores.
            Err(error) => match self.retry(|| self.store.head(&path)).await {
                Ok(meta) if meta.size < header::LENGTH as u64 => Ok(Err(HeaderError::Unreadable)),
                _ => Err(object_error("reading", &path, &error)),
            },
        }
    }

    /// Creates a segment; gives up after a bounded number of attempts.
    pub async fn create_within_reason(&self, ordinal: u64, bytes: &Bytes) -> Result<Put, LogError> {
        self.retry(|| self.create_once(ordinal, bytes))
            .await
            .map_err(|error| object_error("creating", &self.path(ordinal), &error))
    }

    /// Creates a segment, however long that takes: until it is known whether it is there.
    pub async fn create(&self, ordinal: u64, bytes: &Bytes) -> Put {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.within(self.create_once(ordinal, bytes)).await {
                Ok(put) => {
                    if let Some(since) = self.away_since.lock().take() {
                        let seconds = self.clock.monotonic().saturating_sub(since).as_secs();
                        tracing::info!(seconds, "the object store takes segments of the log again");
                    }
                    return put;
                }
                Err(error) => {
                    let first = self.away_since.lock().replace(self.clock.monotonic());
                    match first {
                        Some(since) => *self.away_since.lock() = Some(since),
                        None => {
                            tracing::warn!(%error, "the object store does not take a segment of the log: tried again until it does; writes wait");
                        }
                    }
                }
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn create_once(&self, ordinal: u64, bytes: &Bytes) -> Result<Put, Error> {
        let path = self.path(ordinal);
        match self.store.put_opts(&path, PutPayload::from_bytes(bytes.clone()), PutMode::Create.into()).await {
            Ok(_) => Ok(Put::Ours),
            // Ours, if an earlier answer was lost.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                let there = self.store.get(&path).await?.bytes().await?;
                if there == *bytes {
                    return Ok(Put::Ours);
                }
                let by = Header::decode(&there).map(|header| header.incarnation.to_string());
                let by = by.unwrap_or_else(|_| "an unknown process".to_owned());
                Ok(Put::Taken(format!("{path} was created by {by}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Removes a segment, or, as evidence, moves it to the folder `damaged`.
    pub async fn remove(&self, ordinal: u64, is_damaged: bool) -> Result<(), LogError> {
        let path = self.path(ordinal);
        if is_damaged {
            let (epoch, number) = split(ordinal);
            let aside = self.root.clone().join("damaged").join(format!("{epoch:020}-{number:020}.seg"));
            let copied = self.retry(|| self.store.copy(&path, &aside)).await;
            match copied {
                Ok(()) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(object_error("setting aside", &path, &error)),
            }
        }
        match self.retry(|| self.store.delete(&path)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(object_error("removing", &path, &error)),
        }
    }

    /// Whether the folder can be listed now.
    pub async fn is_in_reach(&self) -> bool {
        self.retry(|| self.store.list_with_delimiter(Some(&self.root))).await.is_ok()
    }

    /// Gives back what was kept for replay.
    pub fn forget_cache(&self) {
        let mut cache = self.cache.lock();
        *cache = Cache::default();
    }

    async fn retry<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.within(attempt()).await {
                Err(error) if !matches!(error, Error::NotFound { .. }) => {
                    tracing::debug!(%error, "the object store failed; trying again");
                }
                answer => return answer,
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.within(attempt()).await
    }

    async fn within<T>(&self, attempt: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            biased;
            answer = attempt => answer,
            () = self.clock.sleep(ATTEMPT_LIMIT) => Err(Error::Generic {
                store: "object store",
                source: format!("no answer within {ATTEMPT_LIMIT:?}").into(),
            }),
        }
    }
}

impl Cache {
    fn keep(&mut self, ordinal: u64, bytes: &Bytes) {
        let length = bytes.len() as u64;
        if length > self.limit {
            return;
        }
        while self.bytes + length > self.limit {
            let Some(oldest) = self.held.first_entry().filter(|oldest| *oldest.key() < ordinal) else { return };
            self.bytes -= oldest.remove().len() as u64;
        }
        if self.held.insert(ordinal, bytes.clone()).is_none() {
            self.bytes += length;
        }
    }
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Folder({})", self.root)
    }
}

fn object_error(action: &'static str, path: &Path, error: &Error) -> LogError {
    LogError::Object { action, path: path.to_string(), reason: error.to_string().into() }
}

fn twenty_digits(name: &str) -> Option<u64> {
    (name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit())).then(|| name.parse().ok())?
}

/// The ordinals of an epoch's numbers.
pub(crate) fn ordinals(epoch: u64, numbers: &[(u64, u64)]) -> impl DoubleEndedIterator<Item = u64> + '_ {
    numbers.iter().map(move |(number, _)| ordinal(epoch, *number))
}
