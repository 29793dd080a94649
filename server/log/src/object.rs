//! The log's home in an object store: no local disk holds anything.
//!
//! ```text
//!   <folder>/<epoch>/<number>.seg     numbered from 1 in each epoch, without holes; created, never changed
//!
//!   append --queue--> group (by time or bytes) --> segment --> several creates in flight --> acknowledged in order
//!   open: close every older epoch with a seal -> read what is kept -> a first segment of our own
//! ```
//!
//! # Invariants
//! 1. A segment is created with one body, however often that is tried, until it is known to be there. If another body
//!    has its name, the epoch was closed: nothing more is acknowledged.
//! 2. A segment's frames are acknowledged once it and all before it are there. So a number that is missing before one
//!    that was acknowledged is damage, and what lies behind a seal was never acknowledged.
//! 3. A seal is created under the first free number of an epoch, and stays for ever, like the epoch's record: so a
//!    process that was asleep meanwhile can't get a segment in, however late it wakes.
//! 4. Nothing is read for opening before all older epochs are closed. Who has written a segment has closed all before.
//! 5. A process that has written keeps its newest segment: the end of its epoch can always be found.
//! 6. A segment is removed only after a later one has said that it is not needed.
//!
//! In memory a segment has one number for all epochs, its *ordinal*: the epoch times 2^32 and the number. Frames are
//! bound to it by their checksums.

mod build;
mod close;
mod folder;
mod header;
mod survey;
mod sweep;
mod writer;

use std::sync::Arc;

use ochre_env::Env;
use ochre_types::{Incarnation, LogId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::config::{LogConfig, ObjectHome};
use crate::cursors::{Cursors, Keeper, Slots};
use crate::error::LogError;
use crate::log::{Kind, Log, Opened, Parts};
use crate::open;
use crate::recover::{CursorsFound, Survey};
use crate::segments::Segments;
use crate::shared::{SegmentMeta, Shared, State};
use build::Builder;
use folder::Put;
use sweep::Sweep;
use writer::ObjectWriter;

pub(crate) use folder::Folder;
pub(crate) use header::fuzz as fuzz_header;
pub(crate) use survey::look;

/// Bits of an ordinal that are the number within the epoch.
const NUMBER_BITS: u32 = 32;
/// How often opening begins again because another server removed what was to be read.
const TRIES: u32 = 5;

/// A segment's number among those of all epochs.
pub(crate) fn ordinal(epoch: u64, number: u64) -> u64 {
    epoch << NUMBER_BITS | number
}

/// The epoch and the number of an ordinal.
pub(crate) fn split(ordinal: u64) -> (u64, u64) {
    (ordinal >> NUMBER_BITS, ordinal & ((1 << NUMBER_BITS) - 1))
}

/// How a segment is called in reports.
pub(crate) fn name(ordinal: u64) -> String {
    let (epoch, number) = split(ordinal);
    format!("{epoch:020}/{number:020}.seg")
}

/// Opens the log, or makes it.
pub(crate) async fn open(
    env: &Env,
    config: LogConfig,
    home: ObjectHome,
    incarnation: Incarnation,
) -> Result<(Log, Opened), LogError> {
    let folder = Folder::new(env, &home, config.pending_limit);
    let unreadable_as = config.max_group_bytes.0;
    let mut tries = TRIES;
    let (log_id, created, mut survey, leftovers) = loop {
        let closed = close::older_epochs(&folder, env, &home, incarnation).await?;
        match survey::read(&folder, closed.log_id, (&closed.epochs, closed.oldest), unreadable_as).await? {
            Some((survey, leftovers)) => break (closed.log_id, closed.is_new, survey, leftovers),
            None if tries > 1 => tries -= 1,
            None => return Err(folder.failed("reading", "segments that another server keeps removing")),
        }
    };
    let slots = match std::mem::take(&mut survey.cursors) {
        CursorsFound::Whole(slots) => slots,
        CursorsFound::Missing | CursorsFound::Unreadable => Slots::new(),
    };
    open::pass_cursors(&mut survey.heads, &slots);
    open::report(log_id, &survey);
    let cursors = Cursors::new(slots.clone(), Keeper::Segments);
    let mut builder = Builder::new(log_id, incarnation, home.epoch.0, &survey);
    let first = first_segment(&folder, &mut builder, &slots).await?;
    let opened = open::opened(log_id, created, &survey);
    let state = state(&survey, first);
    let sweep = Sweep::new(leftovers);
    let shared = Arc::new(Shared {
        config: config.clone(),
        log_id,
        clock: env.clock.clone(),
        cursors: cursors.clone(),
        state: Mutex::new(state),
        wake: Notify::new(),
        commits: watch::channel(0).0,
        stopped: watch::channel(false).0,
    });
    let writer = ObjectWriter::new(shared.clone(), folder.clone(), builder, sweep, home.flush_every);
    env.tasks.spawn("the log's writer", writer.run());
    let commits = shared.commits.clone();
    let kind = Kind::Written { shared, segments: Segments::Objects(folder) };
    let parts = Parts { log_id, cursors, kind, clock: env.clock.clone(), patience: config.patience, commits };
    Ok((Log::new(parts), opened))
}

/// Creates the segment that says this process has closed all older epochs and may write.
async fn first_segment(folder: &Arc<Folder>, builder: &mut Builder, slots: &Slots) -> Result<SegmentMeta, LogError> {
    let built = builder.build(Vec::new(), slots, false);
    match folder.create_within_reason(built.meta.number, &built.bytes).await? {
        Put::Ours => Ok(built.meta),
        Put::Taken(by) => Err(LogError::Fenced { reason: by.into() }),
    }
}

fn state(survey: &Survey, first: SegmentMeta) -> State {
    let mut state = open::state(survey);
    state.segments.push_back(first);
    state
}

/// The id of a log that is new.
fn new_id(env: &Env, home: &ObjectHome) -> (LogId, bool) {
    match home.known {
        // Objects are there, and none can tell: the catalog can.
        Some(known) => (known, false),
        None => (LogId(env.entropy.next_u64()), true),
    }
}
