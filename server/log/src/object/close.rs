//! Closes the epochs of earlier starts, so that no process of them can acknowledge anything any more.

use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use ochre_env::Env;
use ochre_types::{Incarnation, LogId};

use super::folder::{Folder, Put, ordinals};
use super::header::{self, Header, HeaderError};
use super::{build, new_id, ordinal};
use crate::config::ObjectHome;
use crate::error::LogError;

/// How often a seal is beaten to its number by the process that it closes out.
const RACES: u32 = 10_000;

/// How many seals are created at the same time.
const SEALS_AT_ONCE: usize = 8;

/// What there is to read once all older epochs are closed.
#[derive(Debug)]
pub(crate) struct Closed {
    pub log_id: LogId,
    /// Whether there was no log.
    pub is_new: bool,
    /// The epochs whose segments may be needed, in order.
    pub epochs: Vec<u64>,
    /// The ordinal of the oldest of these segments.
    pub oldest: u64,
}

/// What a look at the folder tells.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Number and size of the segments of each epoch that has to be closed, newest epoch first.
    pub open: Vec<(u64, Vec<(u64, u64)>)>,
    pub log_id: Option<LogId>,
    /// Whether there is anything at all.
    pub is_empty: bool,
    /// The ordinal of the oldest segment that may be needed.
    pub oldest: u64,
    /// The epochs that have a folder.
    pub folders: Vec<u64>,
}

/// Creates a seal at the end of every epoch before ours.
pub(crate) async fn older_epochs(
    folder: &Arc<Folder>,
    env: &Env,
    home: &ObjectHome,
    incarnation: Incarnation,
) -> Result<Closed, LogError> {
    let ours = home.epoch.0;
    let look = look(folder, Some(ours)).await?;
    if let Some(newer) = look.folders.iter().find(|epoch| **epoch > ours) {
        return Err(LogError::Fenced { reason: format!("epoch {newer} has a log, and this is epoch {ours}").into() });
    }
    let (log_id, is_new) = match look.log_id {
        Some(found) => (found, false),
        None if look.is_empty => (LogId(env.entropy.next_u64()), true),
        None => new_id(env, home),
    };
    let newest = look.open.last().map_or(ours, |(epoch, _)| *epoch);
    let mut sealing = Vec::with_capacity(look.open.len());
    for (epoch, numbers) in &look.open {
        sealing.push(async move {
            let end = seal(folder, *epoch, numbers, log_id, incarnation).await?;
            Ok::<_, LogError>((*epoch, end))
        });
    }
    let sealed = futures::stream::iter(sealing).buffer_unordered(SEALS_AT_ONCE);
    let sealed: Vec<(u64, u64)> = sealed.try_collect().await?;
    let oldest = super::split(look.oldest).0;
    let before = look.folders.into_iter().filter(|epoch| (oldest..newest).contains(epoch));
    let mut epochs: Vec<u64> =
        before.chain(sealed.into_iter().filter(|(_, end)| *end > 0).map(|(epoch, _)| epoch)).collect();
    epochs.sort_unstable();
    Ok(Closed { log_id, is_new, epochs, oldest: look.oldest })
}

/// Looks from the newest epoch before `ours` (or the newest that there is) back to the first in which a process wrote:
/// it had closed all before.
pub(crate) async fn look(folder: &Folder, ours: Option<u64>) -> Result<Look, LogError> {
    let folders = folder.epochs().await?;
    let ours = ours.unwrap_or_else(|| folders.last().map_or(1, |newest| newest + 1));
    let mut look = Look { is_empty: folders.is_empty(), oldest: ordinal(ours, 1), folders, ..Look::default() };
    for epoch in (1..ours).rev() {
        let numbers = match look.folders.binary_search(&epoch) {
            Ok(_) => folder.segments(epoch).await?,
            Err(_) => Vec::new(),
        };
        let newest = newest_header(folder, epoch, &numbers).await?;
        look.log_id = look.log_id.or(newest.map(|header| header.log_id));
        look.oldest = ordinal(epoch, 1);
        let wrote = has_written(folder, epoch, &numbers).await?;
        look.open.push((epoch, numbers));
        if wrote {
            // What is older than it says was dropped. One that says nothing is a seal of a take-over.
            let first = || ordinal(look.folders.first().copied().unwrap_or(epoch), 1);
            look.oldest = newest.map(|header| header.oldest).filter(|oldest| *oldest > 0).unwrap_or_else(first);
            break;
        }
    }
    Ok(look)
}

/// Whether the epoch's own process has written a segment.
async fn has_written(folder: &Folder, epoch: u64, numbers: &[(u64, u64)]) -> Result<bool, LogError> {
    match numbers.first() {
        None => Ok(false),
        Some((1, _)) => match folder.peek(ordinal(epoch, 1)).await? {
            Ok(header) => Ok(!header.is_seal || header.oldest > 0),
            Err(error) => unreadable(folder, ordinal(epoch, 1), error).map(|()| true),
        },
        Some(_) => Ok(true),
    }
}

/// The newest header that was written by the epoch's own process, if one can be read; else a seal's.
async fn newest_header(folder: &Folder, epoch: u64, numbers: &[(u64, u64)]) -> Result<Option<Header>, LogError> {
    let mut seal = None;
    for ordinal in ordinals(epoch, numbers).rev() {
        match folder.peek(ordinal).await? {
            Ok(header) if header.oldest > 0 => return Ok(Some(header)),
            Ok(header) => seal = seal.or(Some(header)),
            Err(error) => unreadable(folder, ordinal, error)?,
        }
    }
    Ok(seal)
}

/// A header that can't be read is damage, met again when the segment is read; one of a newer release is no damage.
fn unreadable(folder: &Folder, ordinal: u64, error: HeaderError) -> Result<(), LogError> {
    match error {
        HeaderError::Unreadable => Ok(()),
        HeaderError::Version(version) => Err(LogError::Version {
            file: folder.path(ordinal).to_string().into(),
            version,
            supported: header::VERSION,
        }),
    }
}

/// Sees to it that an epoch ends in a seal, below which everything that was acknowledged is; returns the number before
/// it, 0 if there is nothing before it.
async fn seal(
    folder: &Folder,
    epoch: u64,
    numbers: &[(u64, u64)],
    log_id: LogId,
    incarnation: Incarnation,
) -> Result<u64, LogError> {
    let mut end = end(folder, epoch, numbers).await?;
    for _ in 0..RACES {
        if end > 0 && folder.peek(ordinal(epoch, end)).await?.is_ok_and(|header| header.is_seal) {
            return Ok(end - u64::from(end == 1));
        }
        let next = ordinal(epoch, end + 1);
        match folder.create_within_reason(next, &build::seal(log_id, incarnation, next)).await? {
            Put::Ours => return Ok(end),
            Put::Taken(_) => end += 1,
        }
    }
    Err(folder.failed("sealing", &format!("epoch {epoch} is still being written to")))
}

/// The last number of an epoch without a hole before it, but for holes that later segments say are losses.
pub(crate) async fn end(folder: &Folder, epoch: u64, numbers: &[(u64, u64)]) -> Result<u64, LogError> {
    let Some((first, _)) = numbers.first() else { return Ok(0) };
    let mut end = *first;
    for (number, _) in &numbers[1..] {
        if *number > end + 1 {
            let later = folder.peek(ordinal(epoch, *number)).await?;
            if !later.is_ok_and(|header| header.acknowledged > ordinal(epoch, end)) {
                break;
            }
        }
        end = *number;
    }
    Ok(end)
}
