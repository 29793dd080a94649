//! Opens a log: claims the directory, names what is wrong, cuts the torn tail, starts the writer.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ochre_env::{Disk, DiskFile, DiskLock, Env};
use ochre_types::{ByteSize, Hlc, Incarnation, LogId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::config::LogConfig;
use crate::cursors::{self, CursorFile, Cursors, Keeper, Slots};
use crate::damage::TornTail;
use crate::error::LogError;
use crate::format::{self, SEGMENT_HEADER};
use crate::frame::Predecessor;
use crate::heads::Heads;
use crate::log::{DatabaseTail, Kind, Log, Opened, Parts};
use crate::memory::Memory;
use crate::recover::{self, CursorsFound, Survey};
use crate::segment::{SegmentWriter, WriteError, WriterStart};
use crate::segments::Segments;
use crate::shared::{Phase, Position, SegmentMeta, Shared, State};
use crate::status::Totals;
use crate::writer::Writer;

/// Bytes of a torn tail copied at once.
const COPY_BLOCK: u64 = 1 << 20;

/// A log in memory: always new.
pub(crate) fn in_memory(env: &Env, config: LogConfig, limit: ByteSize, incarnation: Incarnation) -> (Log, Opened) {
    let log_id = LogId(env.entropy.next_u64());
    let memory = Memory { limit, incarnation, clock: env.clock.clone(), state: Mutex::default() };
    let log = Log::new(Parts {
        log_id,
        cursors: Cursors::new(Slots::new(), Keeper::Memory),
        kind: Kind::Memory(Arc::new(memory)),
        clock: env.clock.clone(),
        patience: config.patience,
        commits: watch::channel(0).0,
    });
    let opened = Opened {
        log_id,
        created: true,
        sealed: false,
        torn_tail: None,
        damage: Vec::new(),
        databases: BTreeMap::new(),
        highest_stamp: Hlc::ZERO,
    };
    (log, opened)
}

/// What the blocking part of opening hands over.
struct Claimed {
    segments: SegmentWriter,
    cursors: Arc<Cursors>,
    survey: Survey,
    created: bool,
    log_id: LogId,
    made: Option<SegmentMeta>,
    full: Option<Arc<str>>,
}

pub(crate) async fn on_disk(
    env: &Env,
    config: LogConfig,
    dir: PathBuf,
    incarnation: Incarnation,
) -> Result<(Log, Opened), LogError> {
    let claimed = {
        let (outside, config, dir) = (env.clone(), config.clone(), dir.clone());
        env.compute.run(move || claim(&outside, &config, dir, incarnation)).await?
    };
    report(claimed.log_id, &claimed.survey);
    let opened = opened(claimed.log_id, claimed.created, &claimed.survey);
    let mut state = state(&claimed.survey);
    state.segments.extend(claimed.made.clone());
    state.full = claimed.full.clone();
    let (idle_mark, patience) = (config.idle_mark, config.patience);
    let shared = Arc::new(Shared {
        config,
        log_id: claimed.log_id,
        clock: env.clock.clone(),
        cursors: claimed.cursors.clone(),
        state: Mutex::new(state),
        wake: Notify::new(),
        commits: watch::channel(0).0,
        stopped: watch::channel(false).0,
    });
    let writer = Writer {
        shared: shared.clone(),
        cursors: claimed.cursors.clone(),
        clock: env.clock.clone(),
        compute: env.compute.clone(),
        segments: Some(claimed.segments),
        unmarked: false,
        // A full disk is looked at again even if nobody calls.
        tick_at: claimed.full.is_some().then(|| env.clock.monotonic() + idle_mark),
    };
    env.tasks.spawn("the log's writer", writer.run());
    let commits = shared.commits.clone();
    let segments = Segments::Disk { disk: env.disk.clone(), compute: env.compute.clone(), dir };
    let kind = Kind::Written { shared, segments };
    let (log_id, cursors, clock) = (claimed.log_id, claimed.cursors, env.clock.clone());
    Ok((Log::new(Parts { log_id, cursors, kind, clock, patience, commits }), opened))
}

/// One line for everything that is wrong.
pub(crate) fn report(log_id: LogId, survey: &Survey) {
    for damage in &survey.damage {
        tracing::error!(log = %log_id, %damage, "the log is damaged; the rest is served");
    }
    if let Some(tail) = &survey.torn_tail {
        tracing::warn!(log = %log_id, %tail, "a write was unfinished when the server stopped; it was never acknowledged");
    }
}

pub(crate) fn opened(log_id: LogId, created: bool, survey: &Survey) -> Opened {
    let databases = survey.heads.databases.iter().map(|(name, head)| {
        let released = survey.released.get(name).copied().unwrap_or_default();
        let predecessor = (head.writer != Predecessor::default()).then_some(head.writer);
        (name.clone(), DatabaseTail { oldest: released.next(), last: head.last, predecessor })
    });
    Opened {
        log_id,
        created,
        sealed: survey.sealed,
        torn_tail: survey.torn_tail.clone(),
        damage: survey.damage.clone(),
        databases: databases.collect(),
        highest_stamp: survey.heads.highest,
    }
}

pub(crate) fn state(survey: &Survey) -> State {
    let positions = survey.heads.databases.iter().map(|(name, head)| {
        let released = survey.released.get(name).copied().unwrap_or_default();
        (name.clone(), Position { assigned: head.last, synced: head.last, released })
    });
    let segments: VecDeque<SegmentMeta> = survey.segments.iter().map(|segment| segment.meta.clone()).collect();
    State {
        phase: Phase::Open,
        failed: None,
        full: None,
        fenced: false,
        repaired: survey.repaired,
        positions: positions.collect(),
        raised: BTreeMap::new(),
        pending: VecDeque::new(),
        pending_bytes: 0,
        segments,
        low_water: BTreeMap::new(),
        release_wanted: false,
        totals: Totals::default(),
        backlogs: survey.backlogs.clone(),
        newest: survey.heads.highest,
    }
}

/// Claims the directory and makes it ready to be written to. Blocks.
fn claim(env: &Env, config: &LogConfig, dir: PathBuf, incarnation: Incarnation) -> Result<Claimed, LogError> {
    let disk = &env.disk;
    disk.create_dir_all(&dir).map_err(LogError::io("making", &dir))?;
    let lock: Arc<dyn DiskLock> = match disk.lock(&dir) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(LogError::InUse { dir }),
        other => other.map_err(LogError::io("locking", &dir))?.into(),
    };
    let mut survey = recover::survey(&**disk, &dir)?;
    if let Some(tail) = &mut survey.torn_tail {
        cut(&**disk, &dir, tail)?;
    }
    forget_cut_segment(&mut survey);
    if let Some(newest) = survey.segments.last() {
        // What is whole may still be on its way to the disk; it is served as synced from now on.
        let path = dir.join(format::segment_name(newest.meta.number));
        let synced = disk.open(&path).and_then(|mut file| file.sync());
        synced.map_err(LogError::io("syncing", &path))?;
    }
    let created = survey.log_id.is_none();
    let log_id = survey.log_id.unwrap_or_else(|| LogId(env.entropy.next_u64()));
    let next_number = survey.highest_number.checked_add(1).filter(|number| *number < u64::MAX);
    let next_number = next_number.ok_or_else(|| {
        LogError::io("numbering the next segment in", &dir)(io::Error::other("the highest number is taken"))
    })?;
    let slots = take_cursors(&**disk, &dir, &mut survey)?;
    let missing = slots.is_none();
    let slots = slots.unwrap_or_default();
    pass_cursors(&mut survey.heads, &slots);
    let mut segments = SegmentWriter::new(WriterStart {
        disk: disk.clone(),
        clock: env.clock.clone(),
        dir: dir.clone(),
        log_id,
        incarnation,
        segment_size: config.segment_size.0,
        disk_reserve: config.disk_reserve.0,
        heads: survey.heads.clone(),
        next_number,
        previous_length: survey.segments.last().map_or(0, |newest| newest.meta.length),
        lock,
    });
    let (made, full) = match segments.ensure_segment() {
        Ok(made) => (made, None),
        Err(WriteError::Failed(reason)) => return Err(LogError::Failed { reason: reason.into() }),
        Err(WriteError::Full(reason)) if created => return Err(LogError::Full { reason: reason.into() }),
        // What is there can be served, and persisting it may make room.
        Err(WriteError::Full(reason)) => (None, Some(reason.into())),
    };
    let file = CursorFile { disk: disk.clone(), compute: env.compute.clone(), dir, log_id };
    let cursors = Cursors::new(slots, Keeper::File(file));
    if missing {
        cursors.write_blocking()?;
    }
    Ok(Claimed { segments, cursors, survey, created, log_id, made, full })
}

/// A segment of which nothing was left is not there any more; its number is used again.
fn forget_cut_segment(survey: &mut Survey) {
    if survey.torn_tail.as_ref().is_some_and(|tail| tail.offset < SEGMENT_HEADER) {
        let cut = survey.segments.pop();
        survey.highest_number = cut.map_or(survey.highest_number, |cut| cut.meta.number - 1);
    }
}

/// The cursors of this log; `None` if a new file has to be written. One that cannot be used is set aside.
fn take_cursors(disk: &dyn Disk, dir: &Path, survey: &mut Survey) -> Result<Option<Slots>, LogError> {
    match std::mem::take(&mut survey.cursors) {
        CursorsFound::Whole(slots) => Ok(Some(slots)),
        CursorsFound::Missing => Ok(None),
        CursorsFound::Unreadable => {
            let (from, to) = (dir.join(cursors::FILE), dir.join(format!("{}.damaged", cursors::FILE)));
            disk.rename(&from, &to).map_err(LogError::io("setting aside", &from))?;
            disk.sync_dir(dir).map_err(LogError::io("syncing", dir))?;
            Ok(None)
        }
    }
}

/// No sequence is given again that a cursor has already passed.
pub(crate) fn pass_cursors(heads: &mut Heads, slots: &Slots) {
    for ((database, _), slot) in slots {
        if let Some(head) = heads.databases.get_mut(database) {
            head.last = head.last.max(slot.position);
        }
    }
}

/// Moves a torn tail to a side file: copied and synced there before anything is cut.
fn cut(disk: &dyn Disk, dir: &Path, tail: &mut TornTail) -> Result<(), LogError> {
    let path = dir.join(&tail.file);
    let mut file = disk.open(&path).map_err(LogError::io("opening", &path))?;
    if tail.length > 0 {
        let name = format!("{}.torn-{}", tail.file, tail.offset);
        let temporary = dir.join(format!("{name}.tmp"));
        match disk.remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(LogError::io("removing", &temporary)(error));
            }
            _ => {}
        }
        let mut side = disk.create_new(&temporary).map_err(LogError::io("making", &temporary))?;
        copy(&*file, &mut *side, tail.offset, tail.length).map_err(LogError::io("writing", &temporary))?;
        side.sync().map_err(LogError::io("syncing", &temporary))?;
        disk.rename(&temporary, &dir.join(&name)).map_err(LogError::io("renaming", &temporary))?;
        disk.sync_dir(dir).map_err(LogError::io("syncing", dir))?;
        tail.kept_as = Some(name);
    }
    if tail.offset < SEGMENT_HEADER {
        disk.remove_file(&path).map_err(LogError::io("removing the empty", &path))?;
        return disk.sync_dir(dir).map_err(LogError::io("syncing", dir));
    }
    file.truncate(tail.offset).and_then(|()| file.sync()).map_err(LogError::io("cutting", &path))
}

fn copy(from: &dyn DiskFile, to: &mut dyn DiskFile, mut offset: u64, length: u64) -> io::Result<()> {
    let end = offset + length;
    let mut block = Vec::new();
    while offset < end {
        let part = COPY_BLOCK.min(end - offset);
        block.resize(usize::try_from(part).map_err(io::Error::other)?, 0);
        from.read_exact_at(&mut block, offset)?;
        to.append(&block)?;
        offset += part;
    }
    Ok(())
}
