//! Repairs a damaged log offline: what can't be read is moved aside, and a record of it is left in its place, so that
//! later openings know of it and do not find it again. Nothing is ever deleted.
//!
//! ```text
//!   segment with bad bytes --> <segment>.damaged (the whole file, as it was)
//!                          \-> <segment>: the good frames where they were, frames of kind `lost` between them
//! ```
//! A torn tail is no damage; the next start cuts it off. A file of cursors that can't be read is set aside by the next
//! start. Frames that are missing between whole ones leave nothing to move aside: they stay named.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ochre_env::{Compute, Disk};
use ochre_types::{Incarnation, LogId};

use crate::damage::{Damage, DamageCause};
use crate::error::LogError;
use crate::format::{self, FRAME_FIXED, Place, SEGMENT_HEADER, SegmentHeader, segment_name, segment_number};
use crate::frame::MAX_PAYLOAD;
use crate::recover;

/// The least bytes of a `lost` frame.
const LEAST: u64 = FRAME_FIXED as u64;
/// The most bytes of one.
const MOST: u64 = MAX_PAYLOAD as u64 / 2;
/// Names tried for what is moved aside.
const NAMES: u32 = 1_000;

/// What a repair found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// The log; `None` if there is none.
    pub log_id: Option<LogId>,
    /// What is damaged.
    pub damage: Vec<Damage>,
    /// The segments that are written anew (or would be), each with the file that has the old bytes now.
    pub segments: Vec<RepairedSegment>,
    /// Whether this was done, or only looked at.
    pub applied: bool,
}

/// A segment that is written anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedSegment {
    /// Its file name.
    pub file: String,
    /// Bytes of it that are lost.
    pub lost_bytes: u64,
    /// The file with what was there before; `None` if nothing was, or when only looking.
    pub kept_as: Option<String>,
}

/// Looks for damage in the log in `dir`, and repairs it if told to. The log must not be open.
pub async fn repair(disk: &Arc<dyn Disk>, compute: &Compute, dir: PathBuf, apply: bool) -> Result<Repair, LogError> {
    let disk = disk.clone();
    compute.run(move || run(&*disk, &dir, apply)).await
}

/// What is to be done to one segment.
#[derive(Debug, Default)]
struct Plan {
    /// Bad ranges: offset and end.
    ranges: BTreeSet<(u64, u64)>,
    /// Whether nothing of the file may be used.
    is_foreign: bool,
    /// Whether there is no file.
    is_missing: bool,
}

fn run(disk: &dyn Disk, dir: &Path, apply: bool) -> Result<Repair, LogError> {
    let _lock = match disk.lock(dir) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(LogError::InUse { dir: dir.to_owned() });
        }
        other => other.map_err(LogError::io("locking", dir))?,
    };
    let survey = recover::survey(disk, dir)?;
    let lengths = lengths(disk, dir)?;
    let mut repair = Repair { log_id: survey.log_id, damage: survey.damage, segments: Vec::new(), applied: apply };
    let Some(log_id) = survey.log_id else { return Ok(repair) };
    for (number, plan) in plans(&repair.damage, &lengths) {
        let bytes = rewritten(disk, dir, log_id, number, &plan, &lengths)?;
        let kept_as = if apply { replace(disk, dir, number, &plan, &bytes.0)? } else { None };
        repair.segments.push(RepairedSegment { file: segment_name(number), lost_bytes: bytes.1, kept_as });
    }
    Ok(repair)
}

fn lengths(disk: &dyn Disk, dir: &Path) -> Result<BTreeMap<u64, u64>, LogError> {
    let entries = disk.list(dir).map_err(LogError::io("listing", dir))?;
    let number = |name: &std::ffi::OsString| name.to_str().and_then(segment_number);
    Ok(entries.iter().filter_map(|entry| Some((number(&entry.name)?, entry.len))).collect())
}

fn plans(damage: &[Damage], lengths: &BTreeMap<u64, u64>) -> BTreeMap<u64, Plan> {
    let mut plans: BTreeMap<u64, Plan> = BTreeMap::new();
    for damage in damage {
        let Some(number) = segment_number(&damage.file) else { continue };
        let end = damage.offset + damage.length;
        match &damage.cause {
            DamageCause::SegmentHeader | DamageCause::Frame | DamageCause::Payload => {
                plans.entry(number).or_default().ranges.insert((damage.offset, end));
            }
            DamageCause::Shortened { expected } => {
                plans.entry(number).or_default().ranges.insert((damage.offset, *expected));
            }
            DamageCause::OtherLog { .. } | DamageCause::OtherNumber { .. } => {
                plans.entry(number).or_default().is_foreign = true;
            }
            DamageCause::MissingSegment => {
                let after = lengths.range(number..).next().map_or(number + 1, |(after, _)| *after);
                for missing in number..after {
                    plans.entry(missing).or_default().is_missing = true;
                }
            }
            DamageCause::MissingFrames | DamageCause::Cursors | DamageCause::Unread => {}
        }
    }
    plans
}

/// A segment's new bytes, and how many of them are lost ones.
fn rewritten(
    disk: &dyn Disk,
    dir: &Path,
    log_id: LogId,
    number: u64,
    plan: &Plan,
    lengths: &BTreeMap<u64, u64>,
) -> Result<(Vec<u8>, u64), LogError> {
    let path = dir.join(segment_name(number));
    let read = |number: u64| disk.read(&dir.join(segment_name(number))).map_err(LogError::io("reading", &path));
    // What the next segment says was the length of this one.
    let named = match lengths.get(&(number + 1)) {
        Some(_) => SegmentHeader::decode(&read(number + 1)?).ok().map(|header| header.previous_length),
        None => None,
    };
    let named = named.filter(|length| *length >= SEGMENT_HEADER + LEAST);
    let mut bytes = match plan.is_missing || plan.is_foreign {
        false => read(number)?,
        true => vec![0; named.unwrap_or(SEGMENT_HEADER + LEAST) as usize],
    };
    let mut ranges: Vec<(u64, u64)> = plan.ranges.iter().copied().collect();
    if plan.is_missing || plan.is_foreign {
        ranges = vec![(0, bytes.len() as u64)];
    }
    let header = SegmentHeader {
        log_id,
        incarnation: Incarnation(0),
        number,
        previous_length: lengths.get(&(number.saturating_sub(1))).copied().unwrap_or(0),
    };
    let mut lost = 0;
    for (start, end) in joined(&ranges) {
        if end > bytes.len() as u64 {
            bytes.resize(end as usize, 0);
        }
        lost += end - start;
        let start = if start < SEGMENT_HEADER {
            bytes[..SEGMENT_HEADER as usize].copy_from_slice(&header.encode());
            SEGMENT_HEADER.min(end)
        } else {
            start
        };
        mark_lost(&mut bytes, log_id, number, start, end);
    }
    Ok((bytes, lost))
}

/// Ranges that touch become one.
fn joined(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut joined: Vec<(u64, u64)> = Vec::new();
    for (start, end) in ranges {
        match joined.last_mut() {
            Some(last) if *start <= last.1 => last.1 = last.1.max(*end),
            _ => joined.push((*start, *end)),
        }
    }
    joined
}

/// Fills `start..end` with frames that stand for lost ones.
fn mark_lost(bytes: &mut [u8], log_id: LogId, segment: u64, mut start: u64, end: u64) {
    while end - start >= LEAST {
        let length = if end - start > 2 * MOST { MOST } else { (end - start) / format::ALIGN * format::ALIGN };
        let mut frame = Vec::new();
        format::encode_lost(&mut frame, length as usize, Place { log_id, segment, offset: start });
        bytes[start as usize..(start + length) as usize].copy_from_slice(&frame);
        start += length;
    }
}

/// Keeps the old file under another name and puts the new one in its place; each step is durable before the next.
fn replace(disk: &dyn Disk, dir: &Path, number: u64, plan: &Plan, bytes: &[u8]) -> Result<Option<String>, LogError> {
    let name = segment_name(number);
    let (path, temporary) = (dir.join(&name), dir.join(format!("{name}.repaired.tmp")));
    match disk.remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LogError::io("removing", &temporary)(error));
        }
        _ => {}
    }
    let mut file = disk.create_new(&temporary).map_err(LogError::io("making", &temporary))?;
    file.append(bytes).and_then(|()| file.sync()).map_err(LogError::io("writing", &temporary))?;
    let kept_as = if plan.is_missing { None } else { Some(set_aside(disk, dir, &name)?) };
    disk.rename(&temporary, &path).map_err(LogError::io("replacing", &path))?;
    disk.sync_dir(dir).map_err(LogError::io("syncing", dir))?;
    Ok(kept_as)
}

/// Gives a segment's file a second name, which stays.
fn set_aside(disk: &dyn Disk, dir: &Path, name: &str) -> Result<String, LogError> {
    let path = dir.join(name);
    for attempt in 0..NAMES {
        let aside = if attempt == 0 { format!("{name}.damaged") } else { format!("{name}.damaged-{attempt}") };
        match disk.hard_link(&path, &dir.join(&aside)) {
            Ok(()) => {
                disk.sync_dir(dir).map_err(LogError::io("syncing", dir))?;
                return Ok(aside);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(LogError::io("setting aside", &path)(error)),
        }
    }
    Err(LogError::io("setting aside", &path)(io::Error::other("too many damaged copies of it are there already")))
}
