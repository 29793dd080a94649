//! Up to which boundary versions may be joined for good.
//!
//! Settling turns the versions of a row into one, with the stamp (boundary, incarnation 0). That changes no answer, now
//! or later, if no version that is not among those joined lies between the lowest of them and the boundary:
//! - **In chunks of the catalog**: looked up here. A chunk that can hold the same keys (its time overlaps, and no common
//!   template gave it another key) must be wholly older than what is joined, or wholly above the boundary. An older one
//!   stays older: which value wins does not change.
//! - **On their way** (in the log, in memory), where no version ever came from another node: stamps rise along the log,
//!   and all frames up to the low-water mark are in the catalog's chunks. Inputs are below the mark; so everything on its
//!   way has a higher stamp than any of them, and the boundary is the lowest that is above them all. A stamp that is yet
//!   to be given is higher still.
//! - **From other nodes**: whatever has come by `settle_window` after it was given. So the boundary is a whole hour so long
//!   ago, the same on every node, and chunks in memory are looked at too. What comes later has lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ochre_types::partition::PartitionKey;
use ochre_types::{Hlc, Incarnation, Stamp};

use super::plan::InMemory;
use crate::catalog::{ChunkId, ChunkMeta, TemplateId};

const HOUR_MILLIS: u64 = 60 * 60 * 1_000;

/// The boundary of databases that have met a peer: the last whole hour, UTC, that is `window` ago.
pub fn common_boundary(now: Hlc, window: Duration) -> Hlc {
    let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    let millis = now.millis().saturating_sub(window);
    Hlc::from_millis(millis - millis % HOUR_MILLIS)
}

/// The stamp of all rows that are settled at a boundary.
pub(super) fn settled_stamp(boundary: Hlc) -> Stamp {
    Stamp { hlc: boundary, incarnation: Incarnation(0) }
}

/// The chunks of a table by template and key: to find those that can share keys with others.
pub(super) struct Others<'a> {
    by_template: BTreeMap<TemplateId, BTreeMap<&'a PartitionKey, Vec<&'a ChunkMeta>>>,
}

impl<'a> Others<'a> {
    pub(super) fn new(chunks: &'a BTreeMap<ChunkId, Arc<ChunkMeta>>) -> Self {
        let mut by_template: BTreeMap<TemplateId, BTreeMap<&PartitionKey, Vec<&ChunkMeta>>> = BTreeMap::new();
        for chunk in chunks.values() {
            let keys = by_template.entry(chunk.template).or_default();
            keys.entry(&chunk.partition_key).or_default().push(chunk);
        }
        Self { by_template }
    }

    /// Chunks that can hold keys of this partition.
    fn of(&self, template: TemplateId, key: &PartitionKey) -> impl Iterator<Item = &'a ChunkMeta> {
        self.by_template.iter().flat_map(move |(other, keys)| {
            let same = *other == template;
            let near = keys.get(key).filter(|_| same);
            let rest = keys.values().filter(move |_| !same);
            near.into_iter().chain(rest).flatten().copied()
        })
    }
}

/// The boundary that `inputs`, chunks of one partition, may be settled at now. `at` is where versions may come from
/// other nodes ([`common_boundary`]); `in_memory` is looked at only then.
pub(super) fn boundary(
    inputs: &[&Arc<ChunkMeta>],
    others: &Others<'_>,
    in_memory: &[InMemory],
    at: Option<Hlc>,
) -> Option<Hlc> {
    if let [only] = inputs
        && only.settled.is_some()
    {
        return only.settled;
    }
    let first = inputs.first()?;
    let lowest = inputs.iter().map(|chunk| chunk.stamps.0).min()?;
    let highest = inputs.iter().map(|chunk| chunk.stamps.1).max()?;
    let least = if highest.incarnation == Incarnation(0) { highest.hlc } else { Hlc(highest.hlc.0 + 1) };
    let boundary = at.unwrap_or(least);
    if boundary < least {
        return None;
    }
    let time =
        inputs.iter().fold((i64::MAX, i64::MIN), |(low, high), chunk| (low.min(chunk.time.0), high.max(chunk.time.1)));
    let keeps_apart = |stamps: (Stamp, Stamp)| stamps.1 < lowest || stamps.0 > settled_stamp(boundary);
    let overlaps = |other: (i64, i64)| other.0 <= time.1 && time.0 <= other.1;
    let (template, key) = (first.template, &first.partition_key);
    let stored = others
        .of(template, key)
        .filter(|chunk| overlaps(chunk.time) && !inputs.iter().any(|input| input.id == chunk.id))
        .all(|chunk| keeps_apart(chunk.stamps));
    let may_share = |chunk: &&InMemory| overlaps(chunk.time) && (chunk.template != template || chunk.key == *key);
    let held = at.is_none() || in_memory.iter().filter(may_share).all(|chunk| keeps_apart(chunk.stamps));
    (stored && held).then_some(boundary)
}
