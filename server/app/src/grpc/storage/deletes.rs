//! Deletes and drops.

use ochre_database::deletes::{DeleteError, Receipt};
use ochre_types::matching::{RowMatch, TablePattern};
use ochre_types::token::Action;
use ochre_types::{Hlc, TableName};
use ochre_wire::{time, v1};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::super::call::{Call, invalid};
use crate::grpc::management::instant;
use crate::grpc::status::{MESSAGE_BYTES, cut, invalid as invalid_field, status};
use crate::http::deletes;

/// Deletes rows.
pub async fn rows(call: &Call, request: v1::DeleteRowsRequest) -> Result<v1::DeleteReceipt, Status> {
    let database = call.database(Action::Write, &request.database)?;
    if request.tables.is_empty() {
        return Err(invalid_field("tables", "no table is named: name those that are meant, or write * for all"));
    }
    let mut tables = Vec::with_capacity(request.tables.len());
    for (index, text) in request.tables.iter().enumerate() {
        let pattern = text.parse::<TablePattern>();
        tables.push(pattern.map_err(|error| invalid_field(&format!("tables[{index}]"), error.to_string()))?);
    }
    let predicate = request.predicate.as_deref().map(str::parse).transpose();
    let predicate = predicate.map_err(|error| invalid_field("predicate", format!("{error}")))?;
    let first = match request.start {
        None => i64::MIN,
        Some(start) => nanos("start", start)?,
    };
    let last = match request.stop {
        None => i64::MAX,
        // A stop at the first of all times leaves none before it, which is refused below.
        Some(stop) => match nanos("stop", stop)?.checked_sub(1) {
            Some(last) => last,
            None => return Err(refused(DeleteError::NoTime)),
        },
    };
    let deleted = database.delete_rows(RowMatch { tables, predicate }, (first, last)).await;
    deleted.map(message).map_err(refused)
}

/// The deletions that are known.
pub async fn list(call: &Call, request: v1::ListDeletesRequest) -> Result<v1::ListDeletesResponse, Status> {
    let database = call.database(Action::Read, &request.database)?;
    Ok(v1::ListDeletesResponse { deletes: database.deletes().into_iter().map(message).collect() })
}

/// Drops a table.
pub async fn drop_table(call: &Call, request: v1::DropTableRequest) -> Result<v1::DeleteReceipt, Status> {
    let database = call.database(Action::Manage, &request.database)?;
    database.drop_table(&table(&request.table)?).await.map(message).map_err(refused)
}

/// Brings a table back.
pub async fn undrop_table(call: &Call, request: v1::UndropTableRequest) -> Result<v1::UndropTableResponse, Status> {
    let database = call.database(Action::Manage, &request.database)?;
    database.undrop_table(&table(&request.table)?).await.map_err(refused)?;
    Ok(v1::UndropTableResponse {})
}

/// Drops a database.
pub async fn drop_database(call: &Call, request: v1::DropDatabaseRequest) -> Result<v1::DeleteReceipt, Status> {
    let name = call.named(Action::Manage, &request.database)?;
    call.node.drop_database(&name).await.map(message).map_err(refused)
}

/// Brings a database back.
pub async fn undrop_database(
    call: &Call,
    request: v1::UndropDatabaseRequest,
) -> Result<v1::UndropDatabaseResponse, Status> {
    let name = call.named(Action::Manage, &request.database)?;
    call.node.undrop_database(&name).await.map_err(refused)?;
    Ok(v1::UndropDatabaseResponse {})
}

fn table(name: &str) -> Result<TableName, Status> {
    TableName::new(name).map_err(|error| invalid_field("table", error.to_string()))
}

fn nanos(path: &str, timestamp: prost_types::Timestamp) -> Result<i64, Status> {
    // Checks what a timestamp can't be.
    time::instant(path, Some(timestamp)).map_err(|error| invalid(&error))?;
    let nanos = i128::from(timestamp.seconds) * 1_000_000_000 + i128::from(timestamp.nanos);
    Ok(i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX }))
}

/// A receipt as a message.
pub fn message(receipt: Receipt) -> v1::DeleteReceipt {
    let at = |hlc: Hlc| prost_types::Timestamp::from(instant(hlc.millis()));
    v1::DeleteReceipt {
        id: receipt.id.to_string(),
        database: receipt.database.to_string(),
        what: receipt.what,
        accepted: Some(at(receipt.accepted)),
        objects_left: receipt.objects_left,
        gone: receipt.gone.map(at),
        undrop_until: receipt.undrop_until.map(at),
        reverted: receipt.reverted.map(at),
    }
}

/// Why something was not deleted, or not brought back.
fn refused(error: DeleteError) -> Status {
    let message = error.to_string();
    let mut details = ErrorDetails::new();
    let (kind, subject) = match &error {
        DeleteError::UnknownTable { table } => {
            details.set_resource_info("table", table.as_str(), "", &message);
            return Status::with_error_details(Code::NotFound, cut(&message, MESSAGE_BYTES), details);
        }
        DeleteError::TooMany { database, .. } => ("LIMIT", format!("database:{database}")),
        DeleteError::NotDropped { .. } | DeleteError::TooLate { .. } => ("DROPPED", "drop".to_owned()),
        DeleteError::MadeAgain(name) => ("EXISTS", format!("database:{name}")),
        DeleteError::Conflict { table, column, .. } => ("DATA", format!("{table}.{column}")),
        _ => return status(&deletes::failure(error)),
    };
    details.add_precondition_failure_violation(kind, subject, &message);
    Status::with_error_details(Code::FailedPrecondition, cut(&message, MESSAGE_BYTES), details)
}
