//! The state of a node's own catalog, and its edits.

use std::collections::BTreeMap;

use ochre_types::token::{Grants, TokenHash, TokenName};
use ochre_types::{DatabaseName, Hlc, LogId, Stamp};

use super::CatalogId;
use super::rules::{self, RulesRecord};
use super::state::EditError;

/// What the node knows of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseEntry {
    /// When it was created on this node.
    pub created: Stamp,
    /// How long its rows are kept, as given (such as "30d"); `None` is for ever.
    pub retention: Option<String>,
    /// Its drop, while it is hidden by it; `None` if it is there.
    pub dropped: Option<DroppedDatabase>,
}

/// The drop of a database: a tombstone in its own catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DroppedDatabase {
    /// The tombstone's stamp.
    pub stamp: Stamp,
    /// Until when it can be brought back.
    pub undrop_until: Hlc,
}

/// A pair of names of InfluxDB 1 that stands for a database.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alias {
    /// InfluxDB 1's database.
    pub database: String,
    /// InfluxDB 1's retention policy.
    pub retention_policy: String,
}

/// What the node knows of a token. The secret is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// SHA-256 of the secret.
    pub hash: TokenHash,
    /// What it may do.
    pub grants: Grants,
    /// When it was made, in milliseconds since 1970-01-01 UTC by the wall clock.
    pub created_millis: u64,
}

/// What belongs to the node and to no database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeState {
    /// The catalog's identity.
    pub catalog_id: CatalogId,
    /// The node's databases.
    pub databases: BTreeMap<DatabaseName, DatabaseEntry>,
    /// What pairs of InfluxDB 1 names stand for.
    pub aliases: BTreeMap<Alias, DatabaseName>,
    /// The node's log; `None` before it has one.
    pub log_id: Option<LogId>,
    /// No stamp at or above it has been given.
    pub ceiling: Hlc,
    /// The tokens.
    pub tokens: BTreeMap<TokenName, TokenEntry>,
    /// Whoever gives a lower one may not change rules any more. It never falls.
    pub fence: u64,
    /// The rules that new databases get; `None` before the first.
    pub default_rules: Option<RulesRecord>,
    /// The last [`rules::MAX_RULES_HISTORY`] of those, oldest first: the last of them is the present one.
    pub default_rules_history: Vec<RulesRecord>,
}

/// A change of a node's catalog. Each can be applied twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEdit {
    /// Makes a database known; one that is there stays as it is.
    CreateDatabase {
        /// Its name.
        name: DatabaseName,
        /// The rest.
        entry: DatabaseEntry,
    },
    /// Hides a database, or shows it again; one that is not there is passed over.
    SetDropped {
        /// Its name.
        name: DatabaseName,
        /// The drop; `None`: it is there again.
        dropped: Option<DroppedDatabase>,
        /// How long its rows are kept from now on, as [`DatabaseEntry::retention`].
        retention: Option<String>,
    },
    /// Lets a pair of names stand for a database, instead of what it stood for.
    SetAlias {
        /// The pair.
        alias: Alias,
        /// The database.
        target: DatabaseName,
    },
    /// Names the node's log.
    SetLogId(LogId),
    /// Raises the stamp ceiling.
    RaiseCeiling(Hlc),
    /// Adds a token, or replaces the one of its name.
    SetToken {
        /// Its name.
        name: TokenName,
        /// The rest.
        entry: TokenEntry,
    },
    /// Removes a token, if it is there.
    RemoveToken(TokenName),
    /// Raises the fence; a lower one changes nothing.
    RaiseFence(u64),
    /// Replaces the rules that new databases get by those of a higher generation.
    SetDefaultRules(RulesRecord),
}

impl NodeState {
    /// A node without databases.
    pub fn new(catalog_id: CatalogId) -> Self {
        Self {
            catalog_id,
            databases: BTreeMap::new(),
            aliases: BTreeMap::new(),
            log_id: None,
            ceiling: Hlc::ZERO,
            tokens: BTreeMap::new(),
            fence: 0,
            default_rules: None,
            default_rules_history: Vec::new(),
        }
    }

    pub(super) fn change(&mut self, edit: &NodeEdit) -> Result<(), EditError> {
        match edit {
            NodeEdit::CreateDatabase { name, entry } => {
                self.databases.entry(name.clone()).or_insert_with(|| entry.clone());
            }
            NodeEdit::SetDropped { name, dropped, retention } => {
                if let Some(entry) = self.databases.get_mut(name) {
                    entry.dropped = *dropped;
                    entry.retention.clone_from(retention);
                }
            }
            NodeEdit::SetAlias { alias, target } => {
                if !self.databases.contains_key(target) {
                    return Err(EditError::UnknownDatabase(target.clone()));
                }
                self.aliases.insert(alias.clone(), target.clone());
            }
            NodeEdit::SetLogId(log) => self.log_id = Some(*log),
            NodeEdit::RaiseCeiling(ceiling) => self.ceiling = self.ceiling.max(*ceiling),
            NodeEdit::SetToken { name, entry } => {
                self.tokens.insert(name.clone(), entry.clone());
            }
            NodeEdit::RemoveToken(name) => {
                self.tokens.remove(name);
            }
            NodeEdit::RaiseFence(fence) => self.fence = self.fence.max(*fence),
            NodeEdit::SetDefaultRules(rules) => {
                rules::replace(&mut self.default_rules, &mut self.default_rules_history, rules)?;
            }
        }
        Ok(())
    }
}
