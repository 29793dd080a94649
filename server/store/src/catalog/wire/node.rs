//! A node's deltas and checkpoints.

use ochre_types::{DatabaseName, Hlc, LogId};

use super::database::read_name;
use super::{Content, WireError, pb, read_stamp, unexpected, write_stamp};
use crate::catalog::CatalogId;
use crate::catalog::node::{Alias, DatabaseEntry, NodeEdit, NodeState};
use crate::catalog::state::{EditError, State};
use pb::node_edit::Edit as PbEdit;

impl State for NodeState {
    type Edit = NodeEdit;

    fn catalog_id(&self) -> CatalogId {
        self.catalog_id
    }

    fn apply(&mut self, edit: &NodeEdit) -> Result<(), EditError> {
        self.change(edit)
    }

    fn write_edits(edits: &[NodeEdit]) -> Content {
        let edits = edits.iter().map(|edit| pb::NodeEdit { edit: Some(write_edit(edit)) }).collect();
        Content::NodeDelta(pb::NodeDelta { edits })
    }

    fn write(&self) -> Content {
        Content::NodeCheckpoint(pb::NodeCheckpoint {
            databases: self.databases.iter().map(|(name, entry)| write_database(name, entry)).collect(),
            aliases: self.aliases.iter().map(|(alias, target)| write_alias(alias, target)).collect(),
            log_id: self.log_id.map(|log| log.0),
            ceiling_hlc: self.ceiling.0,
        })
    }

    fn read_edits(content: Content) -> Result<Vec<NodeEdit>, WireError> {
        let delta = match content {
            Content::NodeDelta(delta) => delta,
            other => return Err(unexpected(&other, "a node's delta")),
        };
        let read = |(index, edit): (usize, pb::NodeEdit)| {
            let path = format!("node_delta.edits[{index}]");
            read_edit(&path, edit.edit.ok_or_else(|| WireError::missing(&path))?)
        };
        delta.edits.into_iter().enumerate().map(read).collect()
    }

    fn read(id: CatalogId, content: Content) -> Result<Self, WireError> {
        let checkpoint = match content {
            Content::NodeCheckpoint(checkpoint) => checkpoint,
            other => return Err(unexpected(&other, "a node's checkpoint")),
        };
        let mut state = Self::new(id);
        for (index, database) in checkpoint.databases.into_iter().enumerate() {
            let (name, entry) = read_database(&format!("node_checkpoint.databases[{index}]"), database)?;
            state.databases.insert(name, entry);
        }
        for (index, alias) in checkpoint.aliases.into_iter().enumerate() {
            let (alias, target) = read_alias(&format!("node_checkpoint.aliases[{index}]"), alias)?;
            state.aliases.insert(alias, target);
        }
        state.log_id = checkpoint.log_id.map(LogId);
        state.ceiling = Hlc(checkpoint.ceiling_hlc);
        Ok(state)
    }
}

fn write_edit(edit: &NodeEdit) -> PbEdit {
    match edit {
        NodeEdit::CreateDatabase { name, entry } => PbEdit::CreateDatabase(write_database(name, entry)),
        NodeEdit::SetAlias { alias, target } => PbEdit::SetAlias(write_alias(alias, target)),
        NodeEdit::SetLogId(log) => PbEdit::SetLogId(log.0),
        NodeEdit::RaiseCeiling(ceiling) => PbEdit::RaiseCeilingHlc(ceiling.0),
    }
}

fn read_edit(path: &str, edit: PbEdit) -> Result<NodeEdit, WireError> {
    Ok(match edit {
        PbEdit::CreateDatabase(database) => {
            let (name, entry) = read_database(&format!("{path}.create_database"), database)?;
            NodeEdit::CreateDatabase { name, entry }
        }
        PbEdit::SetAlias(alias) => {
            let (alias, target) = read_alias(&format!("{path}.set_alias"), alias)?;
            NodeEdit::SetAlias { alias, target }
        }
        PbEdit::SetLogId(log) => NodeEdit::SetLogId(LogId(log)),
        PbEdit::RaiseCeilingHlc(ceiling) => NodeEdit::RaiseCeiling(Hlc(ceiling)),
    })
}

fn write_database(name: &DatabaseName, entry: &DatabaseEntry) -> pb::Database {
    pb::Database {
        name: name.to_string(),
        created: Some(write_stamp(entry.created)),
        retention: entry.retention.clone(),
    }
}

fn read_database(path: &str, database: pb::Database) -> Result<(DatabaseName, DatabaseEntry), WireError> {
    let name = read_name(&format!("{path}.name"), &database.name, DatabaseName::new)?;
    let created = read_stamp(&format!("{path}.created"), database.created)?;
    Ok((name, DatabaseEntry { created, retention: database.retention }))
}

fn write_alias(alias: &Alias, target: &DatabaseName) -> pb::Alias {
    pb::Alias {
        database: alias.database.clone(),
        retention_policy: alias.retention_policy.clone(),
        target: target.to_string(),
    }
}

fn read_alias(path: &str, alias: pb::Alias) -> Result<(Alias, DatabaseName), WireError> {
    let target = read_name(&format!("{path}.target"), &alias.target, DatabaseName::new)?;
    Ok((Alias { database: alias.database, retention_policy: alias.retention_policy }, target))
}
