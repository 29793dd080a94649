//! Partitions: listed, worked on, closed for writes.

use ochre_database::partitions::{PartitionError, PartitionInfo, PartitionWork};
use ochre_store::buffer::partitions::ChunkState;
use ochre_store::selection::Selection;
use ochre_store::snapshot::Stage;
use ochre_types::TableName;
use ochre_types::matching::TablePattern;
use ochre_types::partition::PartitionKey;
use ochre_types::token::Action;
use ochre_wire::{Invalid, v1};
use prost_types::Timestamp;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::operations;
use crate::grpc::call::{Call, invalid};
use crate::grpc::management::instant;
use crate::grpc::status::{invalid as invalid_field, status};
use crate::http::failure::Failure;

/// Partitions that one answer lists.
const MAX_LISTED: usize = 100_000;

/// The partitions of a database.
pub async fn list(call: &Call, request: v1::ListPartitionsRequest) -> Result<v1::ListPartitionsResponse, Status> {
    let database = call.database(Action::Read, &request.database)?;
    let found = database.partitions(&Selection { tables: tables(&request.tables)?, key: None });
    if found.len() > MAX_LISTED {
        let message = format!("{} partitions: at most {MAX_LISTED} are listed, ask for fewer tables", found.len());
        return Err(invalid_field("tables", message));
    }
    Ok(v1::ListPartitionsResponse { partitions: found.iter().map(partition).collect() })
}

/// The chunks of the partitions with a key.
pub async fn get(call: &Call, request: v1::GetPartitionRequest) -> Result<v1::GetPartitionResponse, Status> {
    let database = call.database(Action::Read, &request.database)?;
    let (table, key) = (table(&request.table)?, key(&request.key)?);
    let mut found = database.partitions(&Selection { tables: None, key: Some(key.clone()) });
    found.retain(|partition| partition.state.name.table == table);
    if found.is_empty() {
        let database = database.name().clone();
        return Err(refused(&PartitionError::Unknown { database, table, key }));
    }
    let chunks = found.iter().flat_map(|partition| {
        let template = partition.state.name.template.to_string();
        partition.state.chunks.iter().map(move |state| chunk(state, template.clone()))
    });
    Ok(v1::GetPartitionResponse { chunks: chunks.collect(), partitions: found.iter().map(partition).collect() })
}

/// Begins to work on partitions.
pub async fn work(call: &Call, request: v1::WorkOnPartitionsRequest) -> Result<v1::Operation, Status> {
    let database = call.database(Action::Manage, &request.database)?;
    let work = match v1::PartitionWork::try_from(request.work) {
        Ok(v1::PartitionWork::Freeze) => PartitionWork::Freeze,
        Ok(v1::PartitionWork::Persist) => PartitionWork::Persist,
        Ok(v1::PartitionWork::Compact) => PartitionWork::Compact,
        Ok(v1::PartitionWork::Unspecified) | Err(_) => {
            let message = format!("work: {} is no work that is known here: freeze, persist or compact", request.work);
            return Err(invalid_field("work", message));
        }
    };
    let key = if request.key.is_empty() { None } else { Some(key(&request.key)?) };
    let selection = Selection { tables: tables(&request.tables)?, key };
    tracing::info!(database = %database.name(), work = work.name(), by = call.identity.name(), "work on partitions begins");
    let begun = call.node.work_on_partitions(database, selection, work, call.by());
    begun.map(operations::message).map_err(|error| operations::not_begun(&error))
}

/// Closes the partitions with a key for writes, or opens them.
pub async fn set_read_only(
    call: &Call,
    request: v1::SetPartitionsReadOnlyRequest,
) -> Result<v1::SetPartitionsReadOnlyResponse, Status> {
    let database = call.database(Action::Manage, &request.database)?;
    let (table, key) = (table(&request.table)?, key(&request.key)?);
    let changed = database.set_read_only(&table, &key, request.read_only).await.map_err(|error| refused(&error))?;
    tracing::info!(
        database = %database.name(), %table, key = key.as_str(), read_only = request.read_only, by = call.identity.name(),
        "partitions closed for writes, or opened"
    );
    Ok(v1::SetPartitionsReadOnlyResponse { changed: changed as u64 })
}

fn tables(pattern: &str) -> Result<Option<TablePattern>, Status> {
    if pattern.is_empty() {
        return Ok(None);
    }
    pattern.parse().map(Some).map_err(|error| invalid(&Invalid::new("tables", error)))
}

fn table(name: &str) -> Result<TableName, Status> {
    TableName::new(name).map_err(|error| invalid(&Invalid::new("table", error)))
}

fn key(text: &str) -> Result<PartitionKey, Status> {
    PartitionKey::new(text).map_err(|error| invalid(&Invalid::new("key", error)))
}

fn refused(error: &PartitionError) -> Status {
    let message = error.to_string();
    match error {
        PartitionError::Unknown { table, key, .. } => {
            let mut details = ErrorDetails::new();
            details.set_resource_info("partition", format!("{table}/{}", key.as_str()), "", &message);
            Status::with_error_details(Code::NotFound, message, details)
        }
        PartitionError::Catalog(_) | PartitionError::Write(_) => status(&Failure::unavailable(message, None)),
    }
}

fn nanos(time: i64) -> Timestamp {
    let (seconds, nanos) = (time.div_euclid(1_000_000_000), time.rem_euclid(1_000_000_000));
    Timestamp { seconds, nanos: i32::try_from(nanos).unwrap_or_default() }
}

fn partition(info: &PartitionInfo) -> v1::PartitionInfo {
    let chunks = &info.state.chunks;
    let count = |stage: Stage| chunks.iter().filter(|chunk| chunk.stage == stage).count() as u64;
    let sum = |of: fn(&ChunkState) -> u64| chunks.iter().map(of).sum::<u64>();
    let buffered = |chunk: &ChunkState| if chunk.stage == Stage::Persisted { 0 } else { chunk.rows };
    v1::PartitionInfo {
        table: info.state.name.table.to_string(),
        key: info.state.name.key.as_str().to_owned(),
        template: info.state.name.template.to_string(),
        open_chunks: count(Stage::Open),
        frozen_chunks: count(Stage::Frozen),
        persisted_chunks: count(Stage::Persisted),
        buffered_rows: sum(buffered),
        persisted_rows: sum(|chunk| if chunk.stage == Stage::Persisted { chunk.rows } else { 0 }),
        persisted_bytes: sum(|chunk| chunk.object_bytes),
        memory_bytes: sum(|chunk| chunk.memory_bytes),
        time_min: chunks.iter().map(|chunk| chunk.time.0).min().map(nanos),
        time_max: chunks.iter().map(|chunk| chunk.time.1).max().map(nanos),
        read_only: info.read_only,
    }
}

fn chunk(state: &ChunkState, template: String) -> v1::ChunkInfo {
    let is_persisted = state.stage == Stage::Persisted;
    v1::ChunkInfo {
        id: state.id.to_string(),
        stage: state.stage.name().to_owned(),
        level: state.level,
        rows: state.rows,
        bytes: if is_persisted { state.object_bytes } else { state.memory_bytes },
        time_min: Some(nanos(state.time.0)),
        time_max: Some(nanos(state.time.1)),
        object: state.object.as_ref().map(ToString::to_string).unwrap_or_default(),
        resident: is_persisted && state.memory_bytes > 0,
        settled: state.settled.map(|boundary| instant(boundary.millis()).into()),
        template,
        sorted_by: state.sorted_by.iter().map(ToString::to_string).collect(),
    }
}
