//! Opening the databases of a node: catalog, rules, replay, lifecycle.

use std::sync::Arc;

use ochre_log::Opened;
use ochre_store::buffer::Buffer;
use ochre_store::catalog::{self, Catalog, Edit, LoadError};
use ochre_store::lifecycle::Lifecycle;
use ochre_store::persist::Persister;
use ochre_types::rules::{Problems, Rules};
use ochre_types::{DatabaseName, Sequence, Stamp};

use crate::damage;
use crate::database::{Database, Parts};
use crate::error::OpenError;
use crate::node::{LogHome, Node};
use crate::replay::Replay;
use crate::rules::{RulesInForce, adopted};
use crate::schema::Schema;

impl Node {
    pub(crate) async fn open_databases(&self, opened: &Opened) -> Result<(), OpenError> {
        let state = self.catalog.state();
        for name in opened.databases.keys().filter(|name| !state.databases.contains_key(*name)) {
            tracing::warn!(database = %name, "the log has frames of a database that the node's catalog does not know: they are left where they are");
        }
        for (name, entry) in &state.databases {
            match self.open_database(name, entry.created, Some(opened)).await {
                Ok(database) if entry.dropped.is_some() => {
                    database.acceptor.refuse_all();
                    self.dropped.write().insert(name.clone(), database);
                }
                Ok(database) => {
                    self.databases.write().insert(name.clone(), database);
                }
                Err(OpenError::Unusable { database, reason }) => {
                    tracing::error!(%database, %reason, "this database is not served; the others are");
                    self.not_served.write().insert(database, reason);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes over a database's catalog, replays its log, and starts its lifecycle.
    pub(crate) async fn open_database(
        &self,
        name: &DatabaseName,
        created: Stamp,
        opened: Option<&Opened>,
    ) -> Result<Arc<Database>, OpenError> {
        let catalog = Catalog::open(&self.owner, name, created).await.map_err(|error| match &error {
            catalog::OpenError::Load(LoadError::Damaged { .. } | LoadError::OtherDatabase { .. }) => {
                if let catalog::OpenError::Load(LoadError::Damaged { revisions, .. }) = &error {
                    damage::report_lost(&self.damage, name, revisions);
                }
                OpenError::Unusable { database: name.clone(), reason: error.to_string() }
            }
            _ => OpenError::Catalog { what: format!("database {name}"), reason: error.to_string() },
        })?;
        damage::report_copies(&self.damage, Some(name), catalog.found_damaged());
        catalog.verify_with(self.objects.clone(), self.owner.layout.clone());
        let catalog = Arc::new(catalog);
        let shared = &self.shared;
        let log_id = shared.log.log_id();
        self.expect_late_rows(name, &catalog).await?;
        let state = catalog.state();
        let buffer = Buffer::restore(&state, &self.owner.layout, log_id, shared.incarnation, shared.memory.clone());
        let buffer = Arc::new(buffer);
        let schema = Arc::new(Schema::default());
        for table in buffer.tables() {
            schema.restore(&table, &buffer.columns(table.as_str()).unwrap_or_default());
        }
        let rules = self.rules_of(name, created, &catalog, opened.is_none()).await?;
        let lifecycle = Arc::new(self.lifecycle(name, &buffer, &catalog, &rules.rules));
        let low_water = state.low_water.filter(|mark| mark.log == log_id).map_or(Sequence::ZERO, |mark| mark.sequence);
        shared.log.raise(name, low_water);
        // What was acknowledged before the log had it may be in chunks all the same. The numbers of its frames are not
        // given again: rows that came with them would be taken for those.
        let of_this_log = state.chunks().filter(|chunk| chunk.log.log == log_id);
        shared.log.skip_to(name, of_this_log.map(|chunk| chunk.log.last).max().unwrap_or_default());
        let replay = Replay {
            database: name,
            log: &shared.log,
            buffer: &buffer,
            schema: &schema,
            lifecycle: &lifecycle,
            memory: &shared.memory,
            rules: &rules.rules,
            env: &shared.env,
        };
        let replayed = replay.run(low_water).await?;
        tracing::info!(database = %name, frames = replayed.frames, rows = replayed.rows, after = %low_water, "replayed the log");
        self.low_water.lock().insert(name.clone(), low_water);
        let predecessor = opened.and_then(|opened| opened.databases.get(name)?.predecessor).unwrap_or_default();
        let running = lifecycle.clone();
        shared.env.tasks.spawn("lifecycle", running.run());
        shared.env.tasks.spawn("upkeep", lifecycle.clone().run_upkeep());
        let parts = Parts { name: name.clone(), rules, schema, buffer, catalog, lifecycle, predecessor };
        Ok(Arc::new(Database::new(shared.clone(), parts)))
    }

    /// Rows that were acknowledged into another log than this one may still come, with older stamps than rows that are
    /// here: as in a database that has met a peer, versions are not settled at once, so that those find their place.
    async fn expect_late_rows(&self, name: &DatabaseName, catalog: &Catalog) -> Result<(), OpenError> {
        let state = catalog.state();
        let other_log = state.low_water.is_some_and(|mark| mark.log != self.shared.log.log_id());
        if state.met_peer || self.config.log == LogHome::Memory || !(other_log || self.other_log) {
            return Ok(());
        }
        let committed = catalog.commit(vec![Edit::MeetPeer]).await;
        committed
            .map(drop)
            .map_err(|error| OpenError::Catalog { what: format!("database {name}"), reason: error.to_string() })
    }

    /// The rules that the catalog holds. A new database gets those of `*` first, and so does one that was made just
    /// before the server ended and has none yet.
    async fn rules_of(
        &self,
        name: &DatabaseName,
        created: Stamp,
        catalog: &Catalog,
        is_new: bool,
    ) -> Result<Arc<RulesInForce>, OpenError> {
        let unusable = |problems: Problems| OpenError::Unusable {
            database: name.clone(),
            reason: format!("this release can't read its rules: {problems}"),
        };
        let defaults = &self.config.rules;
        let state = self.catalog.state();
        let default = state.default_rules.as_ref();
        let default = default.filter(|default| is_new || created.hlc.millis() >= default.applied_millis);
        let retention = state.databases.get(name).and_then(|entry| entry.retention.as_deref());
        if catalog.state().rules.is_none() && (default.is_some() || retention.is_some()) {
            let now = self.shared.env.clock.wall_millis();
            let record = adopted(default, retention, name, defaults, now).map_err(unusable)?;
            catalog
                .commit(vec![Edit::SetRules(record)])
                .await
                .map_err(|error| OpenError::Catalog { what: format!("database {name}"), reason: error.to_string() })?;
        }
        match &catalog.state().rules {
            Some(record) => Ok(Arc::new(RulesInForce::read(record, defaults).map_err(unusable)?)),
            None => Ok(Arc::new(RulesInForce::defaults(defaults))),
        }
    }

    fn lifecycle(&self, name: &DatabaseName, buffer: &Arc<Buffer>, catalog: &Arc<Catalog>, rules: &Rules) -> Lifecycle {
        let persister = Persister {
            objects: self.owner.store.clone(),
            layout: self.owner.layout.clone(),
            database: name.clone(),
            log: self.shared.log.log_id(),
            env: self.shared.env.clone(),
        };
        let (low_water, log, database) = (self.low_water.clone(), self.shared.log.clone(), name.clone());
        let on_low_water = move |sequence: Sequence| {
            let mut marks = low_water.lock();
            marks.insert(database.clone(), sequence);
            log.release(&marks);
        };
        let memory = self.shared.memory.clone();
        let lifecycle = Lifecycle::new(buffer.clone(), catalog.clone(), persister, memory, rules.buffer, on_low_water);
        let clock = self.shared.clock.clone();
        let lifecycle = lifecycle.sharing(move || clock.age_now(), self.shared.joining.clone());
        lifecycle.set_rules(rules.buffer, rules.lifecycle.clone());
        lifecycle
    }
}
