//! Copying and checking files of chunks, a few blocks at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use ochre_env::Env;
use ochre_store::catalog::CHECKSUM_BLOCK;
use ochre_store::object::verified::checksums;

use super::{BackupError, Watch};

/// Bytes that are read at a time; a whole number of blocks.
const PIECE: u64 = 8 * CHECKSUM_BLOCK;
/// How often reading or copying one file is tried.
const ATTEMPTS: u32 = 5;
/// The pause after the first failed attempt; doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A file, and what it must have.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) path: Path,
    pub(super) size: u64,
    /// Empty: not known.
    pub(super) checksums: Arc<[u32]>,
}

impl Expected {
    /// Checks the blocks of a piece that begins at block `first`.
    fn check(&self, first: usize, found: &[u32]) -> Result<(), BackupError> {
        if self.checksums.is_empty() {
            return Ok(());
        }
        let wrong = found.iter().enumerate().find(|(at, sum)| self.checksums.get(first + at) != Some(*sum));
        match wrong {
            None => Ok(()),
            Some((at, sum)) => Err(BackupError::Damaged {
                object: self.path.to_string(),
                what: format!(
                    "block {} has the checksum {sum:08x} instead of {}",
                    first + at,
                    self.checksums.get(first + at).map_or("none".to_owned(), |sum| format!("{sum:08x}"))
                ),
            }),
        }
    }
}

/// A file that is read piece by piece, and checked.
struct Reading<'a> {
    env: &'a Env,
    from: &'a Arc<dyn ObjectStore>,
    file: &'a Expected,
    at: u64,
    sums: Vec<u32>,
}

impl<'a> Reading<'a> {
    fn new(env: &'a Env, from: &'a Arc<dyn ObjectStore>, file: &'a Expected) -> Self {
        Self { env, from, file, at: 0, sums: Vec::new() }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self, watch: &dyn Watch) -> Result<Option<Bytes>, BackupError> {
        let file = self.file;
        if self.at >= file.size {
            return Ok(None);
        }
        if watch.is_cancelled() {
            return Err(BackupError::Cancelled);
        }
        let end = file.size.min(self.at + PIECE);
        let read = self.from.get_range(&file.path, self.at..end).await;
        let bytes = read.map_err(BackupError::store("reading", &file.path))?;
        if bytes.len() as u64 != end - self.at {
            let what = format!("it has {} bytes instead of {}", self.at + bytes.len() as u64, file.size);
            return Err(BackupError::Damaged { object: file.path.to_string(), what });
        }
        let body = bytes.clone();
        let found = self.env.compute.run(move || checksums(&body)).await;
        file.check(self.sums.len(), &found)?;
        self.sums.extend_from_slice(&found);
        self.at = end;
        Ok(Some(bytes))
    }
}

/// Reads and checks a file; returns its checksums.
///
/// # Errors
/// [`BackupError::Damaged`] only if it is so when read again, too.
pub(super) async fn check(
    env: &Env,
    from: &Arc<dyn ObjectStore>,
    file: &Expected,
    watch: &dyn Watch,
) -> Result<Arc<[u32]>, BackupError> {
    let mut retries = Retries::new();
    loop {
        match check_once(env, from, file, watch).await {
            Err(error) => retries.after(env, error).await?,
            done => return done,
        }
    }
}

async fn check_once(
    env: &Env,
    from: &Arc<dyn ObjectStore>,
    file: &Expected,
    watch: &dyn Watch,
) -> Result<Arc<[u32]>, BackupError> {
    let mut reading = Reading::new(env, from, file);
    while reading.next(watch).await?.is_some() {}
    Ok(reading.sums.into())
}

/// Copies a file that is checked on the way; what is there under the new name is replaced as a whole.
///
/// # Errors
/// As [`check`].
pub(super) async fn copy(
    env: &Env,
    from: &Arc<dyn ObjectStore>,
    file: &Expected,
    to: &Arc<dyn ObjectStore>,
    path: &Path,
    watch: &dyn Watch,
) -> Result<(), BackupError> {
    let mut retries = Retries::new();
    loop {
        match copy_once(env, from, file, to, path, watch).await {
            Err(error) => retries.after(env, error).await?,
            done => return done,
        }
    }
}

async fn copy_once(
    env: &Env,
    from: &Arc<dyn ObjectStore>,
    file: &Expected,
    to: &Arc<dyn ObjectStore>,
    path: &Path,
    watch: &dyn Watch,
) -> Result<(), BackupError> {
    let mut reading = Reading::new(env, from, file);
    if file.size <= PIECE {
        let whole = reading.next(watch).await?.unwrap_or_default();
        let put = to.put(path, PutPayload::from_bytes(whole)).await;
        return put.map(drop).map_err(BackupError::store("putting", path));
    }
    let upload = to.put_multipart(path).await.map_err(BackupError::store("putting", path))?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, usize::try_from(PIECE).unwrap_or(usize::MAX));
    match pass_on(&mut reading, &mut upload, path, watch).await {
        Ok(()) => upload.finish().await.map(drop).map_err(BackupError::store("putting", path)),
        Err(error) => {
            if let Err(error) = upload.abort().await {
                tracing::debug!(%path, %error, "an upload was given up, and the store did not take note");
            }
            Err(error)
        }
    }
}

async fn pass_on(
    reading: &mut Reading<'_>,
    upload: &mut WriteMultipart,
    path: &Path,
    watch: &dyn Watch,
) -> Result<(), BackupError> {
    while let Some(piece) = reading.next(watch).await? {
        upload.wait_for_capacity(1).await.map_err(BackupError::store("putting", path))?;
        upload.put(piece);
    }
    Ok(())
}

/// Everything below a folder.
pub(super) async fn list(
    env: &Env,
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
) -> Result<Vec<ObjectMeta>, BackupError> {
    let mut retries = Retries::new();
    loop {
        let listed: Result<Vec<ObjectMeta>, Error> = store.list(Some(folder)).try_collect().await;
        match listed {
            Ok(listed) => return Ok(listed),
            Err(error) => retries.after(env, BackupError::store("listing", folder)(error)).await?,
        }
    }
}

/// The folders directly below one.
pub(super) async fn list_folders(
    env: &Env,
    store: &Arc<dyn ObjectStore>,
    folder: &Path,
) -> Result<Vec<Path>, BackupError> {
    let mut retries = Retries::new();
    loop {
        match store.list_with_delimiter(Some(folder)).await {
            Ok(listed) => return Ok(listed.common_prefixes),
            Err(error) => retries.after(env, BackupError::store("listing", folder)(error)).await?,
        }
    }
}

/// Attempts at one thing.
struct Retries {
    failed: u32,
    pause: Duration,
}

impl Retries {
    fn new() -> Self {
        Self { failed: 0, pause: FIRST_PAUSE }
    }

    /// Waits before the next attempt, or gives the error back if there is to be none.
    async fn after(&mut self, env: &Env, error: BackupError) -> Result<(), BackupError> {
        self.failed += 1;
        let again = match &error {
            // What is damaged is read once more: bytes may have been changed on the way.
            BackupError::Damaged { .. } => self.failed == 1,
            BackupError::Store { source, .. } => self.failed < ATTEMPTS && !is_final(source),
            _ => false,
        };
        if !again {
            return Err(error);
        }
        env.clock.sleep(self.pause).await;
        self.pause *= 2;
        Ok(())
    }
}

fn is_final(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. } | Error::PermissionDenied { .. } | Error::Unauthenticated { .. })
}
