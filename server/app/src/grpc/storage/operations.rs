//! Operations: listed, waited for, cancelled.

use std::time::Duration;

use ochre_database::operations::{Operation, OperationError, OperationState};
use ochre_types::token::Action;
use ochre_wire::v1;
use tonic::Status;

use super::super::call::Call;
use crate::grpc::management::instant;
use crate::grpc::status::status;
use crate::http::failure::Failure;

/// How long one call waits for an operation's end: clients' deadlines are longer, and ask again.
const WAIT: Duration = Duration::from_secs(10);

/// The operations that concern databases which the caller may read.
pub async fn list(call: &Call, request: v1::ListOperationsRequest) -> Result<v1::ListOperationsResponse, Status> {
    let only = match request.database.as_str() {
        "" => None,
        name => Some(call.named(Action::Read, name)?),
    };
    let operations = call.node.operations().list().into_iter();
    let operations = operations
        .filter(|operation| may(call, Action::Read, operation).is_ok())
        .filter(|operation| only.is_none() || operation.work.database == only)
        .filter(|operation| !request.running || operation.state == OperationState::Running);
    Ok(v1::ListOperationsResponse { operations: operations.map(message).collect() })
}

/// One operation, on request once it has ended.
pub async fn get(call: &Call, request: v1::GetOperationRequest) -> Result<v1::Operation, Status> {
    let found = call.node.operations().get(&request.id).ok_or_else(|| unknown(&request.id))?;
    may(call, Action::Read, &found)?;
    if !request.wait {
        return Ok(message(found));
    }
    let ended = call.node.operations().wait(&request.id, WAIT).await;
    ended.map(message).ok_or_else(|| unknown(&request.id))
}

/// Asks an operation to end.
pub async fn cancel(call: &Call, request: v1::CancelOperationRequest) -> Result<v1::Operation, Status> {
    let found = call.node.operations().get(&request.id).ok_or_else(|| unknown(&request.id))?;
    may(call, Action::Manage, &found)?;
    tracing::info!(operation = request.id, by = call.identity.name(), "operation asked to end");
    call.node.operations().cancel(&request.id).map(message).ok_or_else(|| unknown(&request.id))
}

fn may(call: &Call, action: Action, operation: &Operation) -> Result<(), Status> {
    let allowed = match &operation.work.database {
        Some(database) => call.identity.require(action, database),
        None => call.identity.require_everywhere(action),
    };
    allowed.map_err(|failure| status(&failure))
}

fn unknown(id: &str) -> Status {
    Status::not_found(format!(
        "there is no operation {id:?}: the last 1,000 that ended since the server was started are kept; see ochre \
         operations list"
    ))
}

/// An operation as a message.
pub fn message(operation: Operation) -> v1::Operation {
    let state = match operation.state {
        OperationState::Running => v1::OperationState::Running,
        OperationState::Done => v1::OperationState::Done,
        OperationState::Failed => v1::OperationState::Failed,
        OperationState::Cancelled => v1::OperationState::Cancelled,
    };
    v1::Operation {
        id: operation.id,
        kind: operation.work.kind.to_owned(),
        database: operation.work.database.map(|name| name.to_string()).unwrap_or_default(),
        target: operation.work.target,
        state: state.into(),
        done: operation.done,
        total: operation.total,
        unit: operation.work.unit.to_owned(),
        started: Some(instant(operation.started_millis).into()),
        ended: operation.ended_millis.map(|millis| instant(millis).into()),
        message: operation.message,
        findings: operation.findings,
        begun_by: operation.work.begun_by,
    }
}

/// Why an operation was not begun.
pub fn not_begun(error: &OperationError) -> Status {
    status(&Failure::exhausted(error.to_string()))
}
