//! A node's deltas and checkpoints.

use ochre_types::token::{Grants, Scope, TokenHash, TokenName};
use ochre_types::{DatabaseName, Hlc, LogId};

use super::database::read_name;
use super::{Content, WireError, pb, read_stamp, rules, unexpected, write_stamp};
use crate::catalog::CatalogId;
use crate::catalog::node::{Alias, DatabaseEntry, DroppedDatabase, NodeEdit, NodeState, TokenEntry};
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
            tokens: self.tokens.iter().map(|(name, entry)| write_token(name, entry)).collect(),
            fence: self.fence,
            default_rules: self.default_rules.as_ref().map(rules::write),
            earlier_default_rules: rules::write_earlier(&self.default_rules_history),
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
        for (index, token) in checkpoint.tokens.into_iter().enumerate() {
            let (name, entry) = read_token(&format!("node_checkpoint.tokens[{index}]"), token)?;
            state.tokens.insert(name, entry);
        }
        state.fence = checkpoint.fence;
        state.default_rules = checkpoint.default_rules.map(rules::read);
        state.default_rules_history = rules::read_history(
            "node_checkpoint.earlier_default_rules",
            state.default_rules.as_ref(),
            checkpoint.earlier_default_rules,
        )?;
        Ok(state)
    }
}

fn write_edit(edit: &NodeEdit) -> PbEdit {
    match edit {
        NodeEdit::CreateDatabase { name, entry } => PbEdit::CreateDatabase(write_database(name, entry)),
        NodeEdit::SetDropped { name, dropped, retention } => PbEdit::SetDropped(pb::SetDropped {
            name: name.to_string(),
            dropped: dropped.as_ref().map(write_dropped),
            retention: retention.clone(),
        }),
        NodeEdit::SetAlias { alias, target } => PbEdit::SetAlias(write_alias(alias, target)),
        NodeEdit::SetLogId(log) => PbEdit::SetLogId(log.0),
        NodeEdit::RaiseCeiling(ceiling) => PbEdit::RaiseCeilingHlc(ceiling.0),
        NodeEdit::SetToken { name, entry } => PbEdit::SetToken(write_token(name, entry)),
        NodeEdit::RemoveToken(name) => PbEdit::RemoveToken(name.to_string()),
        NodeEdit::RaiseFence(fence) => PbEdit::RaiseFence(*fence),
        NodeEdit::SetDefaultRules(record) => PbEdit::SetDefaultRules(rules::write(record)),
    }
}

fn read_edit(path: &str, edit: PbEdit) -> Result<NodeEdit, WireError> {
    Ok(match edit {
        PbEdit::CreateDatabase(database) => {
            let (name, entry) = read_database(&format!("{path}.create_database"), database)?;
            NodeEdit::CreateDatabase { name, entry }
        }
        PbEdit::SetDropped(set) => {
            let path = format!("{path}.set_dropped");
            let name = read_name(&format!("{path}.name"), &set.name, DatabaseName::new)?;
            NodeEdit::SetDropped { name, dropped: read_dropped(&path, set.dropped)?, retention: set.retention }
        }
        PbEdit::SetAlias(alias) => {
            let (alias, target) = read_alias(&format!("{path}.set_alias"), alias)?;
            NodeEdit::SetAlias { alias, target }
        }
        PbEdit::SetLogId(log) => NodeEdit::SetLogId(LogId(log)),
        PbEdit::RaiseCeilingHlc(ceiling) => NodeEdit::RaiseCeiling(Hlc(ceiling)),
        PbEdit::SetToken(token) => {
            let (name, entry) = read_token(&format!("{path}.set_token"), token)?;
            NodeEdit::SetToken { name, entry }
        }
        PbEdit::RemoveToken(name) => {
            NodeEdit::RemoveToken(read_name(&format!("{path}.remove_token"), &name, |name| TokenName::new(&name))?)
        }
        PbEdit::RaiseFence(fence) => NodeEdit::RaiseFence(fence),
        PbEdit::SetDefaultRules(record) => NodeEdit::SetDefaultRules(rules::read(record)),
    })
}

fn write_database(name: &DatabaseName, entry: &DatabaseEntry) -> pb::Database {
    pb::Database {
        name: name.to_string(),
        created: Some(write_stamp(entry.created)),
        retention: entry.retention.clone(),
        dropped: entry.dropped.as_ref().map(write_dropped),
    }
}

fn write_dropped(dropped: &DroppedDatabase) -> pb::DroppedDatabase {
    pb::DroppedDatabase { stamp: Some(write_stamp(dropped.stamp)), undrop_until_hlc: dropped.undrop_until.0 }
}

fn read_dropped(path: &str, dropped: Option<pb::DroppedDatabase>) -> Result<Option<DroppedDatabase>, WireError> {
    let Some(dropped) = dropped else { return Ok(None) };
    let stamp = read_stamp(&format!("{path}.dropped.stamp"), dropped.stamp)?;
    Ok(Some(DroppedDatabase { stamp, undrop_until: Hlc(dropped.undrop_until_hlc) }))
}

fn read_database(path: &str, database: pb::Database) -> Result<(DatabaseName, DatabaseEntry), WireError> {
    let name = read_name(&format!("{path}.name"), &database.name, DatabaseName::new)?;
    let created = read_stamp(&format!("{path}.created"), database.created)?;
    let dropped = read_dropped(path, database.dropped)?;
    Ok((name, DatabaseEntry { created, retention: database.retention, dropped }))
}

fn write_token(name: &TokenName, entry: &TokenEntry) -> pb::Token {
    pb::Token {
        name: name.to_string(),
        hash: entry.hash.0.to_vec(),
        scopes: entry.grants.0.iter().map(ToString::to_string).collect(),
        created_millis: entry.created_millis,
    }
}

fn read_token(path: &str, token: pb::Token) -> Result<(TokenName, TokenEntry), WireError> {
    let name = read_name(&format!("{path}.name"), &token.name, |name| TokenName::new(&name))?;
    let hash = <[u8; 32]>::try_from(token.hash.as_slice()).map_err(|_| {
        let reason = format!("it has {} bytes where SHA-256 has 32", token.hash.len());
        WireError::value(format!("{path}.hash"), reason)
    })?;
    let scopes = token.scopes.iter().enumerate();
    let scopes = scopes.map(|(index, scope)| {
        scope.parse::<Scope>().map_err(|error| WireError::value(format!("{path}.scopes[{index}]"), error))
    });
    let grants = Grants(scopes.collect::<Result<_, _>>()?);
    Ok((name, TokenEntry { hash: TokenHash(hash), grants, created_millis: token.created_millis }))
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
