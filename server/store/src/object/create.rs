//! Creating, reading and listing small objects with bounded retries, keeping "failed" and "not known" apart.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload};
use ochre_env::Clock;

use super::patient::gave_up;

/// How often one call tries an operation before it gives up.
const ATTEMPTS: u32 = 5;
/// The pause after the first failed attempt; doubles with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// How long one attempt may take, and two seconds more for each MiB that it carries. Remote stores are behind
/// [`super::Patient`], which retries by itself within it.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

/// What is known after trying to create an object.
#[derive(Debug)]
pub enum Created {
    /// The store said that it was made.
    Made,
    /// The store said that the name is taken: by another, or by us when an earlier answer was lost.
    Taken,
    /// No attempt got an answer: the object may be there, may not be, and may still appear. Only trying again with
    /// the same body is safe.
    Unknown(Error),
}

/// Creates `path` with `body` unless it exists. Durable when [`Created::Made`] is returned.
pub async fn create(store: &Arc<dyn ObjectStore>, clock: &Arc<dyn Clock>, path: &Path, body: &Bytes) -> Created {
    let put = || async {
        match store.put_opts(path, PutPayload::from_bytes(body.clone()), PutMode::Create.into()).await {
            Ok(_) => Ok(Created::Made),
            Err(Error::AlreadyExists { .. }) => Ok(Created::Taken),
            Err(error) => Err(error),
        }
    };
    let limit = ATTEMPT_LIMIT + Duration::from_secs(2 * (body.len() as u64 / MIB));
    retry(clock, path, limit, put).await.unwrap_or_else(Created::Unknown)
}

/// Reads the whole of `path`.
///
/// # Errors
/// `NotFound` at once; anything else after the last of a bounded number of attempts.
pub async fn read(store: &Arc<dyn ObjectStore>, clock: &Arc<dyn Clock>, path: &Path) -> Result<Bytes, Error> {
    retry(clock, path, ATTEMPT_LIMIT, || async { store.get(path).await?.bytes().await }).await
}

/// Reads the whole of `path`, in one attempt of at most `limit`.
///
/// # Errors
/// Whatever the store says, or that it said nothing.
pub async fn read_once(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    path: &Path,
    limit: Duration,
) -> Result<Bytes, Error> {
    within(clock, path, limit, async { store.get(path).await?.bytes().await }).await
}

/// The objects directly in `folder`; none if it does not exist.
///
/// # Errors
/// What the store says, after the last of a bounded number of attempts.
pub async fn list_folder(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    folder: &Path,
) -> Result<Vec<Path>, Error> {
    let listing = retry(clock, folder, ATTEMPT_LIMIT, || store.list_with_delimiter(Some(folder))).await?;
    Ok(listing.objects.into_iter().map(|object| object.location).collect())
}

/// Repeats `attempt` until it succeeds, fails for good, or has failed [`ATTEMPTS`] times.
async fn retry<T, F>(clock: &Arc<dyn Clock>, path: &Path, limit: Duration, attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut pause = FIRST_PAUSE;
    for number in 1..ATTEMPTS {
        match within(clock, path, limit, attempt()).await {
            Err(error) if !is_final(&error) => {
                tracing::debug!(%path, attempt = number, %error, "the object store failed; trying again");
            }
            answer => return answer,
        }
        clock.sleep(pause).await;
        pause *= 2;
    }
    within(clock, path, limit, attempt()).await
}

async fn within<T>(
    clock: &Arc<dyn Clock>,
    path: &Path,
    limit: Duration,
    attempt: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        answer = attempt => answer,
        () = clock.sleep(limit) => Err(Error::Generic {
            store: "object store",
            source: format!("no answer for {path} within {limit:?}").into(),
        }),
    }
}

/// Whether asking again at once cannot help, or has been tried.
fn is_final(error: &Error) -> bool {
    gave_up(error)
        || matches!(
            error,
            Error::NotFound { .. }
                | Error::InvalidPath { .. }
                | Error::NotSupported { .. }
                | Error::NotImplemented { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. }
        )
}
