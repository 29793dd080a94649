//! Deletions, whichever interface asks for them: what their refusals mean to clients, and `DELETE` in SQL.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampNanosecondArray, UInt64Array};
use futures::StreamExt;
use ochre_database::deletes::{DeleteError, Receipt};
use ochre_database::{Database, Node};
use ochre_query::{Delete, QueryError, QueryResult};
use ochre_types::token::Action;
use ochre_types::{DatabaseName, Hlc};

use super::failure::{Failure, Kind};
use super::node::{query_failure, write_failure};
use super::state::App;
use crate::auth::Identity;

/// What a refused deletion means to its client.
pub fn failure(error: DeleteError) -> Failure {
    let message = error.to_string();
    match error {
        DeleteError::Write(error) => write_failure(error),
        DeleteError::UnknownTable { .. } => Failure::new(Kind::UnknownDatabase, message),
        DeleteError::NoTime
        | DeleteError::TooManyPatterns { .. }
        | DeleteError::Pattern(_)
        | DeleteError::NotATag { .. } => Failure::invalid(message),
        DeleteError::TooMany { .. }
        | DeleteError::NotDropped { .. }
        | DeleteError::MadeAgain(_)
        | DeleteError::TooLate { .. }
        | DeleteError::Conflict { .. } => Failure::new(Kind::Unprocessable, message),
    }
}

/// A database that is served.
pub fn database(node: &Node, name: &DatabaseName) -> Result<Arc<Database>, Failure> {
    if let Some(found) = node.database(name) {
        return Ok(found);
    }
    Err(match node.reason_not_served(name) {
        Some(reason) => Failure::unavailable(format!("database {name} is not served: {reason}"), None),
        None => Failure::new(Kind::UnknownDatabase, format!("database not found: {:?}", name.as_str())),
    })
}

/// Runs a statement of SQL if it deletes; its answer is one row, the receipt. It needs a token that may write.
/// `None` if it is another statement.
pub async fn sql(
    app: &App,
    identity: &Identity,
    name: &DatabaseName,
    text: &str,
) -> Option<Result<QueryResult, Failure>> {
    let delete = Delete::of(text)?;
    Some(run(app, identity, name, delete).await)
}

async fn run(
    app: &App,
    identity: &Identity,
    name: &DatabaseName,
    delete: Result<Delete, QueryError>,
) -> Result<QueryResult, Failure> {
    identity.require(Action::Write, name)?;
    let delete = delete.map_err(query_failure)?;
    let node = app.backend(identity)?.node()?;
    let deleted = database(&node, name)?.delete_from(&delete.table, delete.predicate).await;
    let batch = row(&deleted.map_err(failure)?)?;
    let schema = batch.schema();
    Ok(QueryResult { schema, stream: futures::stream::iter([Ok(batch)]).boxed() })
}

fn row(receipt: &Receipt) -> Result<RecordBatch, Failure> {
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(StringArray::from(vec![receipt.id.to_string()]))),
        ("deleted", Arc::new(StringArray::from(vec![receipt.what.clone()]))),
        ("accepted", Arc::new(TimestampNanosecondArray::from(vec![nanos(receipt.accepted)]))),
        ("objects_left", Arc::new(UInt64Array::from(vec![receipt.objects_left]))),
    ];
    RecordBatch::try_from_iter(columns).map_err(|error| Failure::new(Kind::Internal, error.to_string()))
}

fn nanos(hlc: Hlc) -> i64 {
    i64::try_from(hlc.millis()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}
