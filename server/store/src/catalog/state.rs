//! What the log of revisions asks of a state.

use std::fmt::Debug;

use ochre_types::TableName;

use super::CatalogId;
use super::chunk::ChunkId;
use super::database::TemplateId;
use super::wire::{Content, WireError};

/// A state that is the sum of its edits. Every edit can be applied twice.
pub(crate) trait State: Debug + Clone + Send + Sync + 'static {
    /// A change.
    type Edit: Debug + Clone + Send + Sync;

    /// The catalog's identity.
    fn catalog_id(&self) -> CatalogId;

    /// Applies one edit. After an error the state may be half changed: apply to a clone.
    fn apply(&mut self, edit: &Self::Edit) -> Result<(), EditError>;

    /// The content of a delta.
    fn write_edits(edits: &[Self::Edit]) -> Content;

    /// The content of a checkpoint.
    fn write(&self) -> Content;

    /// The inverse of [`State::write_edits`].
    fn read_edits(content: Content) -> Result<Vec<Self::Edit>, WireError>;

    /// The inverse of [`State::write`].
    fn read(id: CatalogId, content: Content) -> Result<Self, WireError>;
}

/// Why an edit does not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// An edit names a table that is not there.
    #[error("the catalog has no table {table:?}: create it in the same commit or an earlier one")]
    UnknownTable {
        /// The table.
        table: TableName,
    },
    /// A chunk names a template that is not there.
    #[error("chunk {chunk} was partitioned by template {template}, which the catalog does not have: add it first")]
    UnknownTemplate {
        /// The chunk.
        chunk: ChunkId,
        /// The template.
        template: TemplateId,
    },
    /// A chunk's id stands for another chunk already.
    #[error("chunk {chunk} of table {table:?} is in the catalog with other properties: a chunk never changes")]
    ChunkDiffers {
        /// The chunk.
        chunk: ChunkId,
        /// Its table.
        table: TableName,
    },
    /// A template's id stands for another text already.
    #[error("template {template} is in the catalog with another text")]
    TemplateDiffers {
        /// The template.
        template: TemplateId,
    },
    /// A version of a sort order stands for other columns already.
    #[error(
        "version {version} of the sort order of table {table:?} is in the catalog with other columns: add a higher one"
    )]
    SortOrderDiffers {
        /// The table.
        table: TableName,
        /// The version.
        version: u32,
    },
    /// Rules that are older than those in force, or differ under one generation.
    #[error("rules of generation {given} cannot replace those of generation {held}: give them a higher generation")]
    StaleRules {
        /// The generation given.
        given: u64,
        /// The generation in force.
        held: u64,
    },
    /// An alias of a database that is not there.
    #[error("an alias points to database {0:?}, which the node does not have: create it first")]
    UnknownDatabase(ochre_types::DatabaseName),
}
