//! Backups of a running node, and bringing databases back into it, as operations.

use std::collections::BTreeMap;
use std::sync::Arc;

use ochre_env::Env;
use ochre_store::catalog::{Catalog, CatalogState, DatabaseEntry, Edit, LowWater, NodeEdit, RulesRecord};
use ochre_types::rules::{Target as RulesTarget, render};
use ochre_types::{ByteSize, DatabaseName};

use super::restore::{copy_files, states};
use super::{BackupError, BackupId, Manifest, Restored, Source, Target, Watch, choose, create, read};
use crate::node::Node;
use crate::operations::{Operation, OperationError, Progress, Work};
use crate::rules::parse;

/// What is brought back into a running node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOrder {
    /// The backup; `None`: the newest.
    pub backup: Option<BackupId>,
    /// The databases; none: all.
    pub databases: Vec<DatabaseName>,
    /// The name that a single database gets; `None`: its own.
    pub new_name: Option<DatabaseName>,
}

/// How often a commit is tried again whose answer was lost.
const COMMITS: usize = 5;

impl Watch for Progress {
    fn total(&self, bytes: u64) {
        self.set_total(bytes);
    }

    fn advance(&self, bytes: u64) {
        Self::advance(self, bytes);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled()
    }
}

impl Node {
    /// The node's seams, for what is opened beside it.
    pub fn env(&self) -> Env {
        self.shared.env.clone()
    }

    /// Begins a backup of `databases` (none: all) to `target`, which `shown` names for people. Everything that was
    /// acknowledged when this was called is in it.
    ///
    /// # Errors
    /// If too many operations run.
    pub fn begin_backup(
        self: &Arc<Self>,
        target: Target,
        shown: String,
        databases: Vec<DatabaseName>,
        begun_by: String,
    ) -> Result<Operation, OperationError> {
        let source = Source::Node(self.clone());
        let database = (databases.len() == 1).then(|| databases[0].clone());
        let work = Work { kind: "backup", database, target: format!("to {shown}"), unit: "bytes", begun_by };
        self.operations().spawn(work, move |progress| async move {
            let made = create(&source, &target, &databases, &*progress).await;
            let manifest = made.map_err(|error| error.to_string())?;
            let (count, rows, bytes) = (manifest.databases.len(), manifest.rows(), ByteSize(manifest.bytes()));
            for part in &manifest.databases {
                progress.finding(format!("{}: {} chunks, {} rows", part.name, part.chunks, part.rows));
            }
            Ok(format!("backup {}: {count} databases, {rows} rows, {bytes}", manifest.id))
        })
    }

    /// Begins to bring databases (none: all) of a backup into this node: see [`Node::restore_backup`].
    ///
    /// # Errors
    /// If too many operations run.
    pub fn begin_restore(
        self: &Arc<Self>,
        target: Target,
        shown: String,
        order: RestoreOrder,
        begun_by: String,
    ) -> Result<Operation, OperationError> {
        let node = self.clone();
        let RestoreOrder { backup, databases, new_name } = order;
        let database = new_name.clone().or_else(|| (databases.len() == 1).then(|| databases[0].clone()));
        let work = Work { kind: "restore", database, target: format!("from {shown}"), unit: "bytes", begun_by };
        self.operations().spawn(work, move |progress| async move {
            let restored = async {
                let manifest = choose(&target, backup, None).await?;
                let restored =
                    node.restore_backup(&target, &manifest, &databases, new_name.as_ref(), &*progress).await?;
                Ok::<_, BackupError>((manifest.id, restored))
            };
            let (id, restored) = restored.await.map_err(|error| error.to_string())?;
            let names: Vec<&str> = restored.databases.iter().map(DatabaseName::as_str).collect();
            Ok(format!("backup {id}: {} rows are back in {}", restored.rows, names.join(", ")))
        })
    }

    /// Brings databases (none: all) of a backup into this node, each under its own name, or a single one under `new_name`.
    /// They appear whole, one after the other; those before a failure stay.
    ///
    /// # Errors
    /// If a name is taken, or a backup's object is missing or damaged.
    pub async fn restore_backup(
        &self,
        target: &Target,
        manifest: &Manifest,
        databases: &[DatabaseName],
        new_name: Option<&DatabaseName>,
        watch: &dyn Watch,
    ) -> Result<Restored, BackupError> {
        let node = read::node_state(target, manifest).await?;
        let is_dropped = |name: &DatabaseName| node.databases.get(name).is_some_and(|entry| entry.dropped.is_some());
        if let Some(name) = databases.iter().find(|name| is_dropped(name)) {
            return Err(BackupError::Dropped(name.clone()));
        }
        let mut states = states(target, manifest, databases).await?;
        states.retain(|name, _| !is_dropped(name));
        if new_name.is_some() && states.len() != 1 {
            return Err(BackupError::OneName(states.len()));
        }
        let named: BTreeMap<DatabaseName, &Arc<CatalogState>> =
            states.iter().map(|(name, state)| (new_name.unwrap_or(name).clone(), state)).collect();
        for (name, state) in &named {
            self.may_restore(name, state).await?;
        }
        watch.total(states.values().flat_map(|state| state.chunks()).map(|chunk| chunk.size_bytes).sum());
        let mut restored = Restored::default();
        for (name, state) in named {
            let (objects, layout) = (&self.owner.store, &self.owner.layout);
            let (files, bytes) = copy_files(target, state, objects, layout, &name, watch).await?;
            let entry = node.databases.get(&state.database).cloned();
            let entry = entry.ok_or_else(|| BackupError::NoDatabase(state.database.clone()))?;
            self.take_in(&name, state, entry).await?;
            restored.files += files;
            restored.bytes += bytes;
            restored.rows += state.chunks().map(|chunk| chunk.rows).sum::<u64>();
            restored.databases.push(name);
        }
        Ok(restored)
    }

    /// Whether the name is free, and this node's clock ahead of every stamp.
    async fn may_restore(&self, name: &DatabaseName, state: &CatalogState) -> Result<(), BackupError> {
        if self.catalog.state().databases.contains_key(name) {
            return Err(BackupError::NameTaken(name.clone()));
        }
        let loaded = Catalog::load(&self.owner.store, &self.owner.layout, &self.shared.env, name).await?;
        if loaded.is_some() {
            return Err(BackupError::NameTaken(name.clone()));
        }
        let tombstones = state.tombstones.keys().max().copied();
        let highest = state.highest_stamp().max(tombstones).unwrap_or_default().hlc.millis();
        let now = self.shared.env.clock.wall_millis();
        if highest >= now {
            let ahead_seconds = (highest - now) / 1_000 + 1;
            return Err(BackupError::FromTheFuture { database: name.clone(), ahead_seconds });
        }
        Ok(())
    }

    /// Makes the database known, and then all that it consists of, in one revision. In between it is empty and not
    /// served; a crash there leaves it so.
    async fn take_in(
        &self,
        name: &DatabaseName,
        state: &CatalogState,
        entry: DatabaseEntry,
    ) -> Result<(), BackupError> {
        let failed = |reason: String| BackupError::NotOpened { database: name.clone(), reason };
        let mut edits = state.to_edits();
        if *name != state.database {
            edits.retain(|edit| !matches!(edit, Edit::SetRules(_)));
            edits.extend(self.renamed_rules(name, state)?.map(Edit::SetRules));
        }
        // What the log holds under this name is an earlier database's.
        let status = self.shared.log.status();
        let (log, appended) = (status.log_id, status.databases.get(name).map(|log| log.appended));
        edits.extend(appended.map(|sequence| Edit::SetLowWater(LowWater { log, sequence })));

        let _one_at_a_time = self.creating.lock().await;
        if self.catalog.state().databases.contains_key(name) {
            return Err(BackupError::NameTaken(name.clone()));
        }
        if self.is_stopping() {
            return Err(failed("the server is stopping".to_owned()));
        }
        self.catalog.commit(vec![NodeEdit::CreateDatabase { name: name.clone(), entry }]).await?;
        let catalog = Catalog::open(&self.owner, name, state.created).await?;
        let mut tries = 1;
        while let Err(error) = catalog.commit(edits.clone()).await {
            if !error.is_retryable() || tries == COMMITS {
                return Err(error.into());
            }
            tries += 1;
        }
        drop(catalog);
        let database =
            self.open_database(name, state.created, None).await.map_err(|error| failed(error.to_string()))?;
        self.databases.write().insert(name.clone(), database);
        Ok(())
    }

    /// The rules in force, as a document of the database's new name.
    fn renamed_rules(&self, name: &DatabaseName, state: &CatalogState) -> Result<Option<RulesRecord>, BackupError> {
        let Some(record) = &state.rules else { return Ok(None) };
        let document = parse(record, &self.config.rules)
            .map_err(|problems| BackupError::Rules { database: name.clone(), reason: problems.to_string() })?;
        let text = render(&RulesTarget::Database(name.clone()), &document.rules).into_bytes().into();
        Ok(Some(RulesRecord { text, ..record.clone() }))
    }
}
