//! The deletions that a buffer knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_types::tombstone::Tombstone;
use ochre_types::{Sequence, Stamp, TableName};

/// The deletions of a database, and those among them that wait for the catalog.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    known: BTreeMap<Stamp, Arc<Tombstone>>,
    /// By frame: no low-water mark passes one before the catalog has it.
    pending: BTreeMap<Sequence, Arc<Tombstone>>,
}

impl Tombstones {
    pub(super) fn restore(known: &BTreeMap<Stamp, Arc<Tombstone>>) -> Self {
        Self { known: known.clone(), pending: BTreeMap::new() }
    }

    /// Takes in what a frame says of a deletion, and returns what is known of it then.
    pub(super) fn add(&mut self, frame: Sequence, tombstone: &Arc<Tombstone>) -> Arc<Tombstone> {
        self.pending.insert(frame, tombstone.clone());
        let held = self.known.entry(tombstone.stamp).or_insert_with(|| tombstone.clone());
        if held.reverted != tombstone.reverted {
            Arc::make_mut(held).join(tombstone);
        }
        held.clone()
    }

    pub(super) fn all(&self) -> Vec<Arc<Tombstone>> {
        self.known.values().cloned().collect()
    }

    /// Those that may hide rows of a table.
    pub(super) fn of_table(&self, table: &TableName) -> Vec<Arc<Tombstone>> {
        let concern = |tombstone: &&Arc<Tombstone>| tombstone.concerns(table, (i64::MIN, i64::MAX));
        self.known.values().filter(concern).cloned().collect()
    }

    /// The stamps of the drops in force of a table, or of the whole database.
    pub(super) fn drops<'a>(&'a self, table: &'a TableName) -> impl Iterator<Item = Stamp> + 'a {
        let drops = self.known.values().filter(move |tombstone| tombstone.drops(table));
        drops.filter(|tombstone| tombstone.is_in_force()).map(|tombstone| tombstone.stamp)
    }

    /// Those that the catalog may lack, by frame.
    pub(super) fn pending(&self) -> Vec<(Sequence, Arc<Tombstone>)> {
        self.pending.iter().map(|(frame, tombstone)| (*frame, tombstone.clone())).collect()
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Notes that the catalog has these.
    pub(super) fn committed(&mut self, tombstones: &[(Sequence, Arc<Tombstone>)]) {
        for (frame, _) in tombstones {
            self.pending.remove(frame);
        }
    }

    /// Forgets those that nothing can bring rows for any more.
    pub(super) fn forget(&mut self, stamps: &[Stamp]) {
        for stamp in stamps {
            self.known.remove(stamp);
        }
    }
}
