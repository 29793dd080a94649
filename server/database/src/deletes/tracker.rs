//! How far deletions are carried out, and which may be forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ochre_batch::tombstone::{Facts, acting};
use ochre_store::buffer::Buffer;
use ochre_store::catalog::{CatalogState, ChunkMeta, CommitError, Edit, Removal};
use ochre_types::rules::{LifecycleRules, RetainRules};
use ochre_types::tombstone::{Erasure, Tombstone};
use ochre_types::{DatabaseName, Hlc, Stamp};
use parking_lot::Mutex;

use super::receipt::{Receipt, what};
use crate::database::Database;

/// How often deletions are looked at without any change of the catalog.
const LOOK: Duration = Duration::from_secs(10 * 60);

/// What is known of how far deletions are carried out. Found anew after a start.
#[derive(Debug, Default)]
pub(crate) struct Tracker {
    progress: Mutex<BTreeMap<Stamp, Progress>>,
    /// The catalog's revision and the time when all were last looked at.
    looked: Mutex<Option<(u64, Hlc)>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// When it was first seen that no chunk is left that it acts on: what was removed until then may have had its rows.
    cleared: Option<Hlc>,
    /// When it was first seen that those objects are gone too.
    gone: Option<Hlc>,
}

impl Tracker {
    /// How many deletions by predicate are not carried out yet, at the most.
    pub(super) fn waiting(&self, known: &[Arc<Tombstone>]) -> usize {
        let progress = self.progress.lock();
        let cleared = |stamp: &Stamp| progress.get(stamp).is_some_and(|progress| progress.cleared.is_some());
        let rows = known.iter().filter(|tombstone| matches!(tombstone.erasure, Erasure::Rows { .. }));
        rows.filter(|tombstone| !cleared(&tombstone.stamp)).count()
    }

    /// A deletion, and how far it is carried out.
    pub(super) fn receipt(
        &self,
        database: &DatabaseName,
        state: &CatalogState,
        buffer: &Buffer,
        tombstone: &Arc<Tombstone>,
        now: Hlc,
    ) -> Receipt {
        let in_memory = buffer.unpersisted_acted_on(tombstone);
        let acted = state.chunks().filter(|chunk| acts_on(tombstone, chunk)).count() as u64;
        let progress = self.note(state, tombstone, acted + in_memory, now);
        let removed = if tombstone.is_in_force() { removed_until(state, progress.cleared.unwrap_or(now)) } else { 0 };
        Receipt {
            id: tombstone.stamp,
            database: database.clone(),
            what: what(tombstone),
            accepted: tombstone.stamp.hlc,
            objects_left: acted + removed,
            in_memory,
            gone: progress.gone,
            undrop_until: tombstone.undrop_until(),
            reverted: tombstone.reverted.map(|stamp| stamp.hlc),
        }
    }

    fn note(&self, state: &CatalogState, tombstone: &Tombstone, left: u64, now: Hlc) -> Progress {
        let mut all = self.progress.lock();
        let progress = all.entry(tombstone.stamp).or_default();
        if left > 0 || !tombstone.is_in_force() || !state.tombstones.contains_key(&tombstone.stamp) {
            *progress = Progress::default();
            return *progress;
        }
        let cleared = *progress.cleared.get_or_insert(now);
        if removed_until(state, cleared) == 0 {
            progress.gone.get_or_insert(now);
        }
        *progress
    }

    /// Whether there may be something new to see.
    fn is_due(&self, revision: u64, now: Hlc) -> bool {
        let mut looked = self.looked.lock();
        let is_due = looked.is_none_or(|(seen, at)| {
            seen != revision || now.millis().saturating_sub(at.millis()) >= LOOK.as_millis() as u64
        });
        if is_due {
            *looked = Some((revision, now));
        }
        is_due
    }
}

/// Objects that were removed from the catalog until then and are still there. Those that were set aside as damaged are
/// not among them: they stay for ever.
fn removed_until(state: &CatalogState, until: Hlc) -> u64 {
    let removed = state.removed.values().filter(|removed| removed.reason != Removal::SetAside && removed.at <= until);
    removed.count() as u64
}

/// Whether a tombstone may hide rows of a persisted chunk.
fn acts_on(tombstone: &Arc<Tombstone>, chunk: &ChunkMeta) -> bool {
    let facts = Facts {
        table: &chunk.table,
        time: chunk.time,
        stamps: chunk.stamps,
        settled: chunk.settled,
        applied: &chunk.applied,
    };
    !acting([tombstone], &facts).is_empty()
}

impl Database {
    /// Looks at how far deletions are carried out, and forgets those that nothing can bring rows for any more.
    pub(crate) async fn tend_deletes(&self) -> Result<(), CommitError> {
        let known = self.known_tombstones();
        let now = self.shared.clock.now();
        if known.is_empty() || !self.deletes.is_due(self.catalog.revision().0, now) {
            return Ok(());
        }
        let state = self.catalog.state();
        let rules = self.rules();
        let mut stamps = Vec::new();
        for tombstone in &known {
            let receipt = self.deletes.receipt(self.name(), &state, &self.buffer, tombstone, now);
            if receipt.gone.is_some() && is_forgettable(tombstone, &state, &rules.lifecycle, now) {
                stamps.push(tombstone.stamp);
            }
        }
        if stamps.is_empty() {
            return Ok(());
        }
        tracing::info!(database = %self.name(), deletions = stamps.len(), "forgetting deletions: nothing can bring their rows back");
        self.catalog.commit(vec![Edit::ForgetTombstones { stamps: stamps.clone() }]).await?;
        let rows: Vec<Stamp> = known
            .iter()
            .filter(|tombstone| matches!(tombstone.erasure, Erasure::Rows { .. }) && stamps.contains(&tombstone.stamp))
            .map(|tombstone| tombstone.stamp)
            .collect();
        self.buffer.forget_tombstones(&rows);
        self.deletes.progress.lock().retain(|stamp, _| !rows.contains(stamp));
        Ok(())
    }
}

/// Whether no row that a tombstone hides can come any more, once none is left. Drops are kept for ever; of them it is
/// columns that are forgotten.
fn is_forgettable(tombstone: &Tombstone, state: &CatalogState, rules: &LifecycleRules, now: Hlc) -> bool {
    let age = Duration::from_millis(now.millis().saturating_sub(tombstone.stamp.hlc.millis()));
    match &tombstone.erasure {
        Erasure::Rows { .. } if age <= rules.settle_window * 2 => false,
        // Without peers nothing comes late; else a peer may bring rows for as long as it keeps them.
        Erasure::Rows { time, .. } => !state.met_peer || is_past_retention(&rules.retain, time.1, now),
        Erasure::Table { .. } | Erasure::Database { .. } => {
            let has_columns = |columns: &BTreeMap<Stamp, BTreeMap<_, _>>| {
                columns.get(&tombstone.stamp).is_some_and(|columns| !columns.is_empty())
            };
            tombstone.is_final(now) && state.tables.values().any(|table| has_columns(&table.earlier))
        }
    }
}

/// Whether every table drops rows of that time, and of earlier ones.
fn is_past_retention(retain: &RetainRules, last: i64, now: Hlc) -> bool {
    let longest = retain.rules.iter().map(|rule| rule.after).max_by_key(|after| after.unwrap_or(Duration::MAX));
    let catches_all = retain.rules.last().is_some_and(|rule| rule.tables.to_string() == "*");
    let Some(Some(longest)) = longest.filter(|_| catches_all) else { return false };
    let last_millis = u64::try_from(last / 1_000_000).unwrap_or(0);
    last_millis.saturating_add(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)) < now.millis()
}
