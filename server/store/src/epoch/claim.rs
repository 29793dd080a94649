//! Claiming a prefix, and looking at who has it.

use std::sync::Arc;
use std::time::Duration;

use object_store::{Error, ObjectStore};
use ochre_env::{Clock, Env};
use ochre_types::{Epoch, Incarnation};

use super::{EpochRecord, Fence};
use crate::catalog::record::{read_epoch, write_epoch};
use crate::object::Layout;
use crate::object::create::{self, Created};

/// How many other claimers one claim steps over before it gives up.
const OTHERS: usize = 64;

/// Why a prefix could not be claimed or looked at.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The store did not answer, or refused. Claiming again is safe: an epoch that was taken in vain is passed over.
    #[error("claiming an epoch under {folder}: {source}; check the object store's address and credentials")]
    Store {
        /// The folder of epochs.
        folder: String,
        /// What the store says.
        source: Error,
    },
    /// An epoch's record cannot be understood.
    #[error("the epoch record {object} is damaged: {reason}; if no server of this node runs, remove it")]
    Damaged {
        /// The record's object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Other claims came first, again and again.
    #[error("{OTHERS} other servers claimed epochs under {folder} at the same time: stop all but one")]
    Crowded {
        /// The folder of epochs.
        folder: String,
    },
}

/// Claims the next epoch of a node's prefix for `incarnation`. From now on no older owner can commit to a catalog
/// that we have taken over, and each finds out within seconds.
///
/// # Errors
/// If the store does not answer within a bounded number of attempts.
pub async fn claim(
    store: &Arc<dyn ObjectStore>,
    layout: &Layout,
    env: &Env,
    incarnation: Incarnation,
) -> Result<Fence, ClaimError> {
    let folder = || layout.epochs().to_string();
    let nonce = env.entropy.next_u64();
    let mut epoch = Epoch(highest(store, &env.clock, layout).await?.0 + 1);
    for _ in 0..OTHERS {
        let begun = env.clock.monotonic();
        let record = EpochRecord {
            epoch,
            incarnation,
            nonce,
            claimed_at_millis: env.clock.wall_millis(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        if create_record(store, &env.clock, layout, &record).await? {
            tracing::info!(folder = folder(), %epoch, %incarnation, "claimed the prefix");
            return Ok(Fence::new(store.clone(), layout.clone(), env.clock.clone(), record, begun));
        }
        epoch = Epoch(epoch.0 + 1);
    }
    Err(ClaimError::Crowded { folder: folder() })
}

/// Creates an epoch's record; false if another claimer has the number.
async fn create_record(
    store: &Arc<dyn ObjectStore>,
    clock: &Arc<dyn Clock>,
    layout: &Layout,
    record: &EpochRecord,
) -> Result<bool, ClaimError> {
    let path = layout.epoch(record.epoch);
    let failed = |source| ClaimError::Store { folder: layout.epochs().to_string(), source };
    match create::create(store, clock, &path, &write_epoch(record)).await {
        Created::Made => Ok(true),
        Created::Unknown(source) => Err(failed(source)),
        Created::Taken => {
            let winner = create::read(store, clock, &path).await.map_err(failed)?;
            // A record that can't be read is not ours: ours was written whole.
            Ok(read_epoch(&winner).is_ok_and(|winner| winner.nonce == record.nonce))
        }
    }
}

/// The highest epoch that was ever claimed; 0 if none was.
async fn highest(store: &Arc<dyn ObjectStore>, clock: &Arc<dyn Clock>, layout: &Layout) -> Result<Epoch, ClaimError> {
    let folder = layout.epochs();
    let objects = create::list_folder(store, clock, &folder)
        .await
        .map_err(|source| ClaimError::Store { folder: folder.to_string(), source })?;
    let numbers = objects.iter().filter_map(|path| path.filename()?.parse().ok());
    Ok(Epoch(numbers.max().unwrap_or(0)))
}

/// The record of the highest epoch, without claiming anything; `None` if the prefix was never claimed.
///
/// # Errors
/// If the store does not answer, or the record is damaged.
pub async fn current(
    store: &Arc<dyn ObjectStore>,
    layout: &Layout,
    env: &Env,
) -> Result<Option<EpochRecord>, ClaimError> {
    let epoch = highest(store, &env.clock, layout).await?;
    if epoch == Epoch(0) {
        return Ok(None);
    }
    let path = layout.epoch(epoch);
    let bytes = create::read(store, &env.clock, &path)
        .await
        .map_err(|source| ClaimError::Store { folder: layout.epochs().to_string(), source })?;
    match read_epoch(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => Err(ClaimError::Damaged { object: path.to_string(), reason: error.to_string() }),
    }
}

/// Who claimed the epoch after `epoch`; `None` if nobody has. One attempt of at most `limit`.
pub(super) async fn successor(
    store: &Arc<dyn ObjectStore>,
    layout: &Layout,
    clock: &Arc<dyn Clock>,
    epoch: Epoch,
    limit: Duration,
) -> Result<Option<(Epoch, Option<Incarnation>)>, Error> {
    let next = Epoch(epoch.0 + 1);
    match create::read_once(store, clock, &layout.epoch(next), limit).await {
        // Who it is only matters for the message: that the number is taken is enough.
        Ok(bytes) => Ok(Some((next, read_epoch(&bytes).ok().map(|record| record.incarnation)))),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
