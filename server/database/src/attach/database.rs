//! One database of an attached node, as of one revision.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use futures::StreamExt;
use ochre_query::{Params, QueryError, QueryLimits, QueryResult, Source, SystemTable};
use ochre_store::buffer::Buffer;
use ochre_store::catalog::{CatalogState, Revision, Seen};
use ochre_store::retention::visible_from;
use ochre_store::snapshot::{TableColumn, TableSnapshot};
use ochre_types::rules::Rules;
use ochre_types::{DatabaseName, Hlc, Incarnation, LogId, TableName};

use super::Attached;
use crate::gate::QueryGate;
use crate::rules::RulesInForce;
use crate::system;

/// One database as of one revision.
pub(super) struct AttachedDatabase {
    pub(super) name: DatabaseName,
    pub(super) revision: Revision,
    pub(super) committed_at_millis: u64,
    pub(super) state: Arc<CatalogState>,
    buffer: Buffer,
    rules: Arc<Rules>,
    gate: Arc<QueryGate>,
}

impl AttachedDatabase {
    /// The database as `seen`; `before` is what was seen of it last.
    pub(super) fn new(
        attached: &Attached,
        name: &DatabaseName,
        seen: Seen<CatalogState>,
        before: Option<&Arc<Self>>,
    ) -> Self {
        let state = &seen.state;
        attached.verified.know_all(&attached.layout, state);
        for gone in before.iter().flat_map(|before| before.state.chunks()) {
            let table = state.tables.get(&gone.table);
            if table.is_none_or(|table| !table.chunks.contains_key(&gone.id)) {
                attached.verified.forget(&attached.layout.object(name, &gone.object));
            }
        }
        // Nothing is applied to this buffer: log and incarnation are nobody's.
        let buffer =
            Buffer::restore(state, &attached.layout, LogId::default(), Incarnation(0), attached.memory.clone());
        let rules = state.rules.as_ref().map(|record| RulesInForce::read(record, &attached.config.rules));
        let rules = match rules {
            None => Arc::new(attached.config.rules.clone()),
            Some(Ok(rules)) => rules.rules,
            Some(Err(problems)) => {
                tracing::warn!(database = %name, %problems, "this release can't read the database's rules: its own limits are in force here");
                Arc::new(attached.config.rules.clone())
            }
        };
        Self {
            name: name.clone(),
            revision: seen.revision,
            committed_at_millis: seen.committed_at_millis,
            state: seen.state,
            buffer,
            rules,
            gate: before.map_or_else(|| Arc::new(QueryGate::new()), |before| before.gate.clone()),
        }
    }

    pub(super) fn tables(&self) -> u64 {
        self.buffer.tables().len() as u64
    }

    /// Runs a query until its first rows are there: until then it can begin again.
    pub(super) async fn query(
        self: &Arc<Self>,
        attached: &Arc<Attached>,
        sql: &str,
        params: &Params,
    ) -> Result<QueryResult, QueryError> {
        let limits = self.rules.limits;
        let patience = attached.env.clock.sleep(limits.query_time);
        let place = self.gate.enter(limits.concurrent_queries, patience).await?;
        let place = place.ok_or(QueryError::TimedOut(limits.query_time))?;
        let limits = QueryLimits { memory: limits.query_memory, time: limits.query_time };
        let now = Hlc::from_millis(attached.env.clock.wall_millis());
        let source = Arc::new(AttachedSource { database: self.clone(), now });
        let QueryResult { schema, mut stream } = attached.engine.query(source, sql, params, limits).await?;
        let first = stream.next().await.transpose()?;
        let stream = futures::stream::iter(first.map(Ok)).chain(stream).map(move |batch| {
            // The place is taken until the stream is dropped.
            let _held = &place;
            batch
        });
        Ok(QueryResult { schema, stream: stream.boxed() })
    }
}

impl fmt::Debug for AttachedDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttachedDatabase({} at {})", self.name, self.revision)
    }
}

/// What the query engine sees of it.
struct AttachedSource {
    database: Arc<AttachedDatabase>,
    /// What retention is reckoned from.
    now: Hlc,
}

impl AttachedSource {
    fn snapshots(&self) -> Vec<TableSnapshot> {
        let buffer = &self.database.buffer;
        buffer.tables().iter().filter_map(|table| self.snapshot(table.as_str())).collect()
    }
}

impl Source for AttachedSource {
    fn database(&self) -> DatabaseName {
        self.database.name.clone()
    }

    fn tables(&self) -> Vec<TableName> {
        self.database.buffer.tables()
    }

    fn columns(&self, table: &str) -> Option<Arc<[TableColumn]>> {
        self.database.buffer.columns(table)
    }

    fn snapshot(&self, table: &str) -> Option<TableSnapshot> {
        let mut snapshot = self.database.buffer.snapshot(table)?;
        snapshot.visible_from = visible_from(&self.database.rules.lifecycle.retain, &snapshot.table, self.now);
        Some(snapshot)
    }

    fn system_tables(&self) -> Vec<SystemTable> {
        system::tables_of_snapshots()
    }

    fn system_rows(&self, name: &str) -> RecordBatch {
        system::rows_of_snapshots(&self.snapshots(), name)
    }
}
