//! Queries of a node, within the limits of the database's rules.

use std::sync::Arc;

use futures::StreamExt;
use ochre_query::{Params, QueryError, QueryLimits, QueryResult};
use ochre_types::{ByteSize, DatabaseName};

use crate::node::{Node, query_memory};
use crate::source::DatabaseSource;

impl Node {
    /// Runs one SQL query over one database, once it is its turn. Its limits are those of the rules in force when it is
    /// sent; waiting for its turn may take as long as running.
    pub async fn query(
        self: &Arc<Self>,
        name: &DatabaseName,
        sql: &str,
        params: &Params,
    ) -> Result<QueryResult, QueryError> {
        let database = self.database(name).ok_or_else(|| match self.reason_not_served(name) {
            Some(reason) => QueryError::Execution(format!("database {name} is not served: {reason}")),
            None => QueryError::UnknownDatabase(name.to_string()),
        })?;
        let limits = database.rules().limits;
        let patience = self.shared.env.clock.sleep(limits.query_time);
        let place = database.gate.enter(limits.concurrent_queries, patience).await?;
        let place = place.ok_or(QueryError::TimedOut(limits.query_time))?;
        let source = DatabaseSource { node: self.clone(), database };
        let limits = QueryLimits { memory: limits.query_memory, time: limits.query_time };
        let QueryResult { schema, stream } = self.engine.query(Arc::new(source), sql, params, limits).await?;
        // The place is taken until the stream is dropped.
        let stream = stream.map(move |batch| {
            let _held = &place;
            batch
        });
        Ok(QueryResult { schema, stream: stream.boxed() })
    }

    /// The memory that all queries of this node share.
    pub(crate) fn query_memory(&self) -> ByteSize {
        query_memory(&self.config)
    }

    /// Bytes that the body of a write to this database may have, after decompression; of one that does not exist, what
    /// it would start with.
    pub fn body_limit(&self, name: &DatabaseName) -> ByteSize {
        let rules = match self.database(name) {
            Some(database) => database.rules(),
            None => match self.default_rules() {
                Ok(default) => default.rules.clone(),
                Err(_) => return self.config.rules.limits.body,
            },
        };
        rules.limits.body
    }
}
