//! Which chunks are joined next: a pure function of what the catalog says.
//!
//! Every job makes a partition smaller by this measure, compared from left to right, so that planning comes to an end:
//! 1. chunks with rows that are deleted or mostly too old,
//! 2. chunks,
//! 3. large chunks of an earlier sort order, which are joined only with their like,
//! 4. pairs of chunks with overlapping times (of those that may be joined with each other now),
//! 5. chunks that are not settled.
//!
//! A job that leaves as many chunks as it took takes a whole group of overlapping ones, which it cuts by time, so that
//! (4) falls; any other takes several and leaves fewer, or takes one and settles it or rids it of rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_batch::tombstone::{Facts, acting};
use ochre_types::partition::PartitionKey;
use ochre_types::rules::CompactRules;
use ochre_types::tombstone::Tombstone;
use ochre_types::{Hlc, LogId, Sequence, Stamp, TableName};

use super::settle::{self, Others};
use crate::catalog::{ChunkId, ChunkMeta, PartitionName, SortedBy, TemplateId};

/// Chunks that one job joins at most: each is read in pieces, all at the same time.
pub const MAX_INPUTS: usize = 16;
/// Files that one job makes at most: all are written at the same time.
pub const MAX_OUTPUTS: usize = 4;
/// Rows of a chunk of an earlier sort order that is sorted anew to be joined with others: that is done in memory.
const RESORT_ROWS: u64 = 1 << 20;
/// Such rows in one job.
const RESORT_ROWS_OF_JOB: u64 = 2 * RESORT_ROWS;
/// The bytes of a chunk that are in memory while it is read: about a row group.
const OPEN_BYTES: u64 = 32 << 20;

/// Why chunks are joined, or one is written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// It has rows that were deleted.
    Deleted,
    /// Most of its rows are older than the rules keep.
    Expired,
    /// There are many small ones.
    Files,
    /// Their times overlap.
    Overlap,
    /// It has several versions of a row, or stamps that nobody needs any more.
    Unsettled,
}

/// Some chunks of one partition to write anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The partition.
    pub partition: PartitionName,
    /// The chunks, by time.
    pub inputs: Vec<Arc<ChunkMeta>>,
    /// Why.
    pub cause: Cause,
    /// The boundary that the outputs are settled at; `None`: rows keep their stamps.
    pub settle: Option<Hlc>,
    /// Where a new file begins: the first time of each but the first.
    pub cuts: Vec<i64>,
    /// The order to keep; `None`: the table's present one.
    pub order: Option<SortedBy>,
}

/// What decides about jobs beside the chunks.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The rules.
    pub rules: CompactRules,
    /// The hybrid clock.
    pub now: Hlc,
    /// The node's log, and the mark up to which everything of it is in committed chunks.
    pub log: (LogId, Sequence),
    /// Rows older than this are not kept.
    pub visible_from: Option<i64>,
    /// Where versions may come from other nodes: the boundary that they are settled at.
    pub settle_at: Option<Hlc>,
    /// Everything that can be joined and settled is due.
    pub everything: bool,
    /// Bytes of inputs that may be in memory at a time.
    pub open_bytes: u64,
}

/// A table, as planning sees it.
pub struct TableView<'a> {
    /// Its name.
    pub table: &'a TableName,
    /// Its chunks in the catalog.
    pub chunks: &'a BTreeMap<ChunkId, Arc<ChunkMeta>>,
    /// The deletions that may concern it.
    pub tombstones: &'a [Arc<Tombstone>],
    /// Whether chunks of a version of its sort order are in its present order.
    pub keeps_order: &'a dyn Fn(u32) -> bool,
    /// Its chunks that are in memory only. Needed where versions may come from other nodes.
    pub in_memory: &'a [InMemory],
    /// Partitions that are not to be touched now.
    pub skip: &'a dyn Fn(&PartitionName) -> bool,
}

/// A chunk that is in memory only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InMemory {
    /// The template of its key.
    pub template: TemplateId,
    /// Its key.
    pub key: PartitionKey,
    /// The lowest and the highest time.
    pub time: (i64, i64),
    /// The lowest and the highest stamp.
    pub stamps: (Stamp, Stamp),
}

/// The jobs of a table that are due, at most one a partition; the most urgent ones first.
pub fn plan(view: &TableView<'_>, policy: &Policy) -> Vec<Job> {
    let mut partitions: BTreeMap<(TemplateId, &PartitionKey), Vec<&Arc<ChunkMeta>>> = BTreeMap::new();
    for chunk in view.chunks.values() {
        partitions.entry((chunk.template, &chunk.partition_key)).or_default().push(chunk);
    }
    let others = Others::new(view.chunks);
    let mut jobs = Vec::new();
    for ((template, key), chunks) in partitions {
        let name = PartitionName { table: view.table.clone(), template, key: key.clone() };
        if (view.skip)(&name) {
            continue;
        }
        let newest = chunks.iter().map(|chunk| chunk.stamps.1.hlc.millis()).max().unwrap_or_default();
        let quiet_after = u64::try_from(policy.rules.quiet_after.as_millis()).unwrap_or(u64::MAX);
        let quiet = policy.everything || policy.now.millis().saturating_sub(newest) >= quiet_after;
        let mut ready: Vec<&Arc<ChunkMeta>> =
            chunks.into_iter().filter(|chunk| is_ready(chunk, view.tombstones, policy)).collect();
        ready.sort_by_key(|chunk| (chunk.time, chunk.id));
        let planning = Planning { view, policy, others: &others, name: &name, quiet };
        jobs.extend(planning.job(&ready));
    }
    jobs.sort_by_key(|job| job.cause);
    jobs
}

/// Whether a chunk may be taken now.
///
/// Not before every frame of its range is at or below the mark: a replay asks for frames above it, and whether a chunk
/// has them is known by its range only. Not while a drop that can be taken back hides rows of it. Not if all of it is too
/// old: it will be removed as it is.
pub(crate) fn is_ready(chunk: &ChunkMeta, tombstones: &[Arc<Tombstone>], policy: &Policy) -> bool {
    let (log, mark) = policy.log;
    (chunk.log.log != log || chunk.log.last <= mark)
        && policy.visible_from.is_none_or(|from| chunk.time.1 >= from)
        && acting(tombstones, &facts(chunk)).iter().all(|active| active.tombstone.is_final(policy.now))
}

/// What decides which deletions act on a chunk.
pub(super) fn facts(chunk: &ChunkMeta) -> Facts<'_> {
    Facts {
        table: &chunk.table,
        time: chunk.time,
        stamps: chunk.stamps,
        settled: chunk.settled,
        applied: &chunk.applied,
    }
}

/// Whether more than half of a chunk's time is older than `from`.
fn is_mostly_expired(chunk: &ChunkMeta, from: i64) -> bool {
    let (first, last) = (i128::from(chunk.time.0), i128::from(chunk.time.1));
    2 * (i128::from(from) - first) > last - first + 1
}

/// One partition.
struct Planning<'a> {
    view: &'a TableView<'a>,
    policy: &'a Policy,
    others: &'a Others<'a>,
    name: &'a PartitionName,
    quiet: bool,
}

impl Planning<'_> {
    fn job(&self, ready: &[&Arc<ChunkMeta>]) -> Option<Job> {
        let due = |chunk: &&&Arc<ChunkMeta>| !acting(self.view.tombstones, &facts(chunk)).is_empty();
        if let Some(chunk) = ready.iter().find(due) {
            return self.make(&[chunk], Cause::Deleted, 1);
        }
        let expired =
            |chunk: &&&Arc<ChunkMeta>| self.policy.visible_from.is_some_and(|from| is_mostly_expired(chunk, from));
        if let Some(chunk) = ready.iter().find(expired) {
            return self.make(&[chunk], Cause::Expired, 1);
        }
        if !self.policy.rules.enabled && !self.policy.everything {
            return None;
        }
        let mut classes: BTreeMap<Class, Vec<&Arc<ChunkMeta>>> = BTreeMap::new();
        for chunk in ready {
            classes.entry(self.class(chunk)).or_default().push(chunk);
        }
        classes.values().find_map(|chunks| self.many(chunks)).or_else(|| {
            let quiet = classes.values().filter(|_| self.quiet);
            quiet.clone().find_map(|chunks| {
                self.overlapping(chunks).or_else(|| self.small(chunks)).or_else(|| self.unsettled(chunks))
            })
        })
    }

    fn class(&self, chunk: &ChunkMeta) -> Class {
        let age = match self.policy.settle_at {
            None => Age::Any,
            Some(at) if chunk.settled.is_some_and(|boundary| boundary > at) => Age::Settled,
            Some(at) if chunk.settled.is_some() || chunk.stamps.1.hlc < at => Age::Old,
            Some(_) => Age::Young,
        };
        let resort = !(self.view.keeps_order)(chunk.sorted_by.version);
        (age, (resort && chunk.rows > RESORT_ROWS).then_some(chunk.sorted_by.version))
    }

    /// As soon as there are many chunks of a kind: those that come from memory, and joined ones of like size.
    fn many(&self, chunks: &[&Arc<ChunkMeta>]) -> Option<Job> {
        let least = self.policy.rules.max_files.max(2);
        let mut tiers: BTreeMap<u32, Vec<&Arc<ChunkMeta>>> = BTreeMap::new();
        for chunk in chunks {
            if let Some(tier) = self.tier(chunk) {
                tiers.entry(tier).or_default().push(chunk);
            }
        }
        tiers.into_iter().filter(|(_, chunks)| chunks.len() >= least).find_map(|(tier, chunks)| {
            let files = if tier == 0 { MAX_OUTPUTS as u64 } else { 1 };
            let taken = self.take(&chunks, files * self.max_file());
            self.fewer(&taken, Cause::Files)
        })
    }

    /// 0 as frozen; then the smaller the higher; `None` for those that are large enough.
    fn tier(&self, chunk: &ChunkMeta) -> Option<u32> {
        if chunk.level == 0 {
            return Some(0);
        }
        let smaller = self.max_file() / chunk.size_bytes.max(1);
        (smaller >= 2).then(|| 1 + smaller.ilog(self.policy.rules.max_files.max(2) as u64))
    }

    /// Groups of chunks whose times overlap, directly or by way of others.
    fn overlapping(&self, chunks: &[&Arc<ChunkMeta>]) -> Option<Job> {
        let mut start = 0;
        while start < chunks.len() {
            let mut last = chunks[start].time.1;
            let mut end = start + 1;
            while end < chunks.len() && chunks[end].time.0 <= last {
                last = last.max(chunks[end].time.1);
                end += 1;
            }
            if let Some(job) = self.group(&chunks[start..end]) {
                return Some(job);
            }
            start = end;
        }
        None
    }

    fn group(&self, group: &[&Arc<ChunkMeta>]) -> Option<Job> {
        let taken = self.take(group, MAX_OUTPUTS as u64 * self.max_file());
        let whole = taken.len() == group.len() && taken.len() >= 2;
        let job =
            if whole { self.make(&taken, Cause::Overlap, taken.len()) } else { self.fewer(&taken, Cause::Overlap) };
        job.or_else(|| {
            let unsettled: Vec<_> = group.iter().copied().filter(|chunk| chunk.settled.is_none()).collect();
            let unsettled = self.take(&unsettled, MAX_OUTPUTS as u64 * self.max_file());
            if unsettled.len() < group.len() { self.fewer(&unsettled, Cause::Overlap) } else { None }
        })
    }

    /// Neighbours that fit into one file.
    fn small(&self, chunks: &[&Arc<ChunkMeta>]) -> Option<Job> {
        let is_small = |chunk: &&Arc<ChunkMeta>| chunk.size_bytes <= self.max_file() / 2;
        let runs = chunks.chunk_by(|a, b| is_small(a) && is_small(b));
        runs.filter(|run| run.len() > 1).find_map(|run| {
            let starts = (0..run.len() - 1).map(|start| self.take(&run[start..], self.max_file()));
            let mut fitting =
                starts.filter(|taken| taken.iter().map(|chunk| chunk.size_bytes).sum::<u64>() <= self.max_file());
            fitting.find_map(|taken| self.fewer(&taken, Cause::Files))
        })
    }

    fn unsettled(&self, chunks: &[&Arc<ChunkMeta>]) -> Option<Job> {
        let wanted = |chunk: &&&Arc<ChunkMeta>| {
            let useful = self.policy.everything || self.policy.settle_at.is_some() || !chunk.unique_keys;
            useful && chunk.settled.is_none()
        };
        let jobs = chunks.iter().filter(wanted).filter_map(|chunk| self.make(&[chunk], Cause::Unsettled, 1));
        jobs.into_iter().find(|job| job.settle.is_some())
    }

    fn max_file(&self) -> u64 {
        self.policy.rules.max_file_size.0.max(1)
    }

    /// The first of `chunks`, as many as one job may join.
    fn take<'c>(&self, chunks: &[&'c Arc<ChunkMeta>], bytes: u64) -> Vec<&'c Arc<ChunkMeta>> {
        let (mut taken, mut size, mut open, mut resort) = (Vec::new(), 0, 0, 0);
        for chunk in chunks.iter().take(MAX_INPUTS) {
            size += chunk.size_bytes;
            open += chunk.size_bytes.min(OPEN_BYTES);
            resort += if (self.view.keeps_order)(chunk.sorted_by.version) { 0 } else { chunk.rows };
            let is_large = size > bytes || open > self.policy.open_bytes;
            if taken.len() >= 2 && (is_large || (resort > RESORT_ROWS_OF_JOB && !self.keeps_old_order(chunks))) {
                break;
            }
            taken.push(*chunk);
        }
        taken
    }

    /// Whether these stay in the earlier order that they all have.
    fn keeps_old_order(&self, chunks: &[&Arc<ChunkMeta>]) -> bool {
        chunks.first().is_some_and(|chunk| self.class(chunk).1.is_some())
    }

    /// A job that leaves fewer chunks than it takes.
    fn fewer(&self, inputs: &[&Arc<ChunkMeta>], cause: Cause) -> Option<Job> {
        if inputs.len() < 2 { None } else { self.make(inputs, cause, inputs.len() - 1) }
    }

    /// A job that leaves at most so many chunks. None where rows that have lost their stamps would have to be told from
    /// others by them.
    fn make(&self, inputs: &[&Arc<ChunkMeta>], cause: Cause, most: usize) -> Option<Job> {
        let settle = settle::boundary(inputs, self.others, self.view.in_memory, self.policy.settle_at);
        if settle.is_none() && self.policy.settle_at.is_some() && inputs.iter().any(|chunk| chunk.settled.is_some()) {
            return None;
        }
        let bytes: u64 = inputs.iter().map(|chunk| chunk.size_bytes).sum();
        let files = bytes.div_ceil(self.max_file()).clamp(1, most.min(MAX_OUTPUTS) as u64);
        let first = inputs.first()?;
        let keeps = |chunk: &&&Arc<ChunkMeta>| (self.view.keeps_order)(chunk.sorted_by.version);
        let resort: u64 = inputs.iter().filter(|chunk| !keeps(chunk)).map(|chunk| chunk.rows).sum();
        let stays = self.keeps_old_order(inputs) || (inputs.len() == 1 && resort > RESORT_ROWS);
        Some(Job {
            partition: self.name.clone(),
            inputs: inputs.iter().map(|chunk| Arc::clone(chunk)).collect(),
            cause,
            settle,
            cuts: cuts(inputs, files, self.policy.visible_from.unwrap_or(i64::MIN)),
            order: stays.then(|| first.sorted_by.clone()),
        })
    }
}

/// How the rows of a chunk may be treated. Only chunks of one class are joined.
type Class = (Age, Option<u32>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    /// The database never met a peer: everything may be settled.
    Any,
    /// Below the boundary.
    Old,
    /// Above it.
    Young,
    /// Settled at a boundary that is not reached yet: from before the database met a peer.
    Settled,
}

/// Where to cut the rows of inputs from `visible_from` on into `files`: of about the same size, if bytes are spread evenly
/// over times.
fn cuts(inputs: &[&Arc<ChunkMeta>], files: u64, visible_from: i64) -> Vec<i64> {
    let low = inputs.iter().map(|chunk| chunk.time.0).min().unwrap_or(0).max(visible_from);
    let high = inputs.iter().map(|chunk| chunk.time.1).max().unwrap_or(0);
    let total: f64 = inputs.iter().map(|chunk| chunk.size_bytes as f64).sum();
    let before = |time: i64| -> f64 {
        let part = |chunk: &&Arc<ChunkMeta>| {
            let (first, last) = (i128::from(chunk.time.0), i128::from(chunk.time.1));
            let passed = (i128::from(time) - first).clamp(0, last - first + 1) as f64;
            chunk.size_bytes as f64 * passed / (last - first + 1) as f64
        };
        inputs.iter().map(part).sum()
    };
    let mut cuts: Vec<i64> = (1..files)
        .map(|file| {
            let wanted = total * file as f64 / files as f64;
            let (mut least, mut most) = (low, high);
            while least < most {
                let middle = least.midpoint(most);
                if before(middle) < wanted { least = middle + 1 } else { most = middle }
            }
            least
        })
        .filter(|cut| *cut > low)
        .collect();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests;
