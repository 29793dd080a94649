//! States apart from their catalog: as one object, in which a backup keeps them, and as the edits that make them in a
//! catalog of another identity.

use std::sync::Arc;

use bytes::Bytes;
use ochre_types::{Epoch, Incarnation};

use super::Revision;
use super::chunk::ChunkMeta;
use super::database::{CatalogState, Edit, Predecessor};
use super::node::{NodeEdit, NodeState};
use super::record::{self, Change, Decoded, Envelope};
use super::state::State;

/// Chunks that one edit adds at most, so that no message becomes too large to be read in one piece.
const CHUNKS_PER_EDIT: usize = 10_000;

/// Why an object holds no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CopyError(String);

impl CatalogState {
    /// The state as one object: a checkpoint that stands alone.
    pub fn to_object(&self, written_at_millis: u64) -> Bytes {
        write(self, written_at_millis)
    }

    /// The inverse of [`CatalogState::to_object`].
    ///
    /// # Errors
    /// If the bytes are no such object, or are damaged.
    pub fn from_object(bytes: &[u8]) -> Result<Self, CopyError> {
        read(bytes)
    }

    /// The edits that make this state in an empty catalog of another identity, whose log is another: all but the
    /// low-water mark and the chunks that were taken out.
    pub fn to_edits(&self) -> Vec<Edit> {
        let templates = self.templates.iter().map(|(id, text)| Edit::AddTemplate { id: *id, text: text.clone() });
        let mut edits: Vec<Edit> = templates.collect();
        // Before the columns: whose they are, a dropped table's or its successor's, depends on them.
        edits.push(Edit::AddTombstones { tombstones: self.tombstones.values().cloned().collect() });
        for (name, table) in &self.tables {
            edits.push(Edit::CreateTable { table: name.clone() });
            let columns = table.earlier.values().chain([&table.columns]).flatten();
            let columns = columns.map(|(column, seen)| (column.clone(), *seen)).collect();
            edits.push(Edit::AddColumns { table: name.clone(), columns });
            edits.extend(table.sort_orders.iter().map(|(version, columns)| Edit::AddSortOrder {
                table: name.clone(),
                version: *version,
                columns: columns.clone(),
            }));
        }
        let chunks: Vec<_> = self.chunks().cloned().collect();
        edits.extend(chunks.chunks(CHUNKS_PER_EDIT).map(|chunks| Edit::AddChunks { chunks: chunks.to_vec() }));
        edits.push(Edit::AddReceived { received: self.received.clone() });
        edits.push(Edit::RaiseCeiling(self.ceiling));
        edits.extend(self.rules_history.iter().chain(&self.rules).cloned().map(Edit::SetRules));
        let predecessors = self.predecessors.iter();
        let predecessors = predecessors.map(|(who, last)| Predecessor { incarnation: *who, last_sequence: *last });
        edits.push(Edit::AddPredecessors(predecessors.collect()));
        edits.extend(self.met_peer.then_some(Edit::MeetPeer));
        let read_only = self.read_only.iter().cloned().collect();
        edits.push(Edit::SetReadOnly { partitions: read_only, read_only: true });
        edits
    }

    /// The state with every chunk as `change` makes it.
    pub fn with_chunks(mut self, change: impl Fn(&ChunkMeta) -> ChunkMeta) -> Self {
        for table in self.tables.values_mut() {
            for chunk in Arc::make_mut(table).chunks.values_mut() {
                *chunk = Arc::new(change(chunk));
            }
        }
        self
    }
}

impl NodeState {
    /// The state as one object: a checkpoint that stands alone.
    pub fn to_object(&self, written_at_millis: u64) -> Bytes {
        write(self, written_at_millis)
    }

    /// The inverse of [`NodeState::to_object`].
    ///
    /// # Errors
    /// If the bytes are no such object, or are damaged.
    pub fn from_object(bytes: &[u8]) -> Result<Self, CopyError> {
        read(bytes)
    }

    /// The edits that make this state in an empty catalog of another identity: all but the log's identity.
    pub fn to_edits(&self) -> Vec<NodeEdit> {
        let databases = self.databases.iter();
        let mut edits: Vec<NodeEdit> = databases
            .map(|(name, entry)| NodeEdit::CreateDatabase { name: name.clone(), entry: entry.clone() })
            .collect();
        edits.extend(
            self.aliases
                .iter()
                .map(|(alias, target)| NodeEdit::SetAlias { alias: alias.clone(), target: target.clone() }),
        );
        edits.push(NodeEdit::RaiseCeiling(self.ceiling));
        edits.extend(
            self.tokens.iter().map(|(name, entry)| NodeEdit::SetToken { name: name.clone(), entry: entry.clone() }),
        );
        edits.push(NodeEdit::RaiseFence(self.fence));
        edits.extend(
            self.default_rules_history.iter().chain(&self.default_rules).cloned().map(NodeEdit::SetDefaultRules),
        );
        edits
    }
}

/// What the envelope of a state says that belongs to no log of revisions.
const NUMBER: Revision = Revision(1);

fn write<S: State>(state: &S, written_at_millis: u64) -> Bytes {
    let envelope = Envelope {
        revision: NUMBER,
        epoch: Epoch(0),
        incarnation: Incarnation(0),
        nonce: 0,
        previous_nonce: 0,
        catalog_id: state.catalog_id(),
        newest_checkpoint: NUMBER,
        committed_at_millis: written_at_millis,
    };
    record::write(&envelope, state.write())
}

fn read<S: State>(bytes: &[u8]) -> Result<S, CopyError> {
    let decoded = Decoded::<S>::read(NUMBER, bytes).map_err(|error| CopyError(error.to_string()))?;
    match decoded.change {
        Change::Checkpoint(state) => Ok(state),
        Change::Delta(_) => Err(CopyError("it is a change of a state, and not a whole one".to_owned())),
    }
}
