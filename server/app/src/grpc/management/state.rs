//! The state of the server and the list of its databases, as messages.

use std::time::{Duration, SystemTime};

use ochre_database::attach::{AttachedDatabaseStatus, AttachedStatus};
use ochre_database::budget::ShareStatus;
use ochre_database::{DatabaseInfo, DatabaseStatus, Health, NodeStatus};
use ochre_store::object::Meter;
use ochre_types::token::Action;
use ochre_wire::database::Database;
use ochre_wire::v1;

use crate::auth::Identity;
use crate::http::health::VERSION;
use crate::http::object_report;

/// The state, with the databases that the caller may read.
pub fn answer(status: NodeStatus, objects: Option<&Meter>, asker: &Identity) -> v1::GetStatusResponse {
    let databases = status.databases.iter().filter(|database| asker.may(Action::Read, &database.name));
    let log = status.log;
    let failing = match status.health {
        Health::Ok => String::new(),
        Health::Failing(reason) => reason,
    };
    v1::GetStatusResponse {
        node: status.node_id.to_string(),
        version: VERSION.to_owned(),
        epoch: status.epoch.0,
        incarnation: status.incarnation.to_string(),
        uptime_seconds: status.uptime_seconds,
        healthy: failing.is_empty(),
        failing,
        buffer: Some(v1::BufferStatus {
            bytes: status.buffer_bytes,
            peak_bytes: status.buffer_peak_bytes,
            limit_bytes: status.buffer_limit_bytes,
        }),
        databases: databases.map(database).collect(),
        log: Some(v1::LogStatus {
            id: log.log_id.to_string(),
            segments: log.segments,
            bytes: log.bytes,
            pending_bytes: log.pending_bytes,
            failed: log.failed.unwrap_or_default(),
            full: log.full.unwrap_or_default(),
        }),
        fence: status.fence,
        object_store: objects.map(object_store),
        memory: status.memory.iter().map(share).collect(),
        damage: status.damaged,
        attached: None,
    }
}

/// The state of a server that only reads another's objects.
pub fn attached(status: AttachedStatus, objects: Option<&Meter>, asker: &Identity) -> v1::GetStatusResponse {
    let databases = status.databases.iter().filter(|database| asker.may(Action::Read, &database.name));
    let failing = match status.health {
        Health::Ok => String::new(),
        Health::Failing(reason) => reason,
    };
    let (epoch, incarnation) = status.owner.unzip();
    v1::GetStatusResponse {
        node: status.node_id.to_string(),
        version: VERSION.to_owned(),
        epoch: epoch.unwrap_or_default().0,
        incarnation: incarnation.unwrap_or_default().to_string(),
        healthy: failing.is_empty(),
        failing,
        databases: databases.map(attached_database).collect(),
        object_store: objects.map(object_store),
        attached: Some(v1::AttachedStatus {
            revision: status.revision,
            age_seconds: status.age_seconds,
            failing: status.failing.unwrap_or_default(),
        }),
        ..v1::GetStatusResponse::default()
    }
}

fn attached_database(status: &AttachedDatabaseStatus) -> v1::DatabaseStatus {
    v1::DatabaseStatus {
        name: status.name.to_string(),
        tables: status.tables,
        persisted_rows: status.rows,
        persisted_chunks: status.chunks,
        persisted_bytes: status.bytes,
        catalog_revision: status.revision,
        ..v1::DatabaseStatus::default()
    }
}

fn share(share: &ShareStatus) -> v1::MemoryShare {
    v1::MemoryShare {
        name: share.name.to_owned(),
        used_bytes: share.usage.used,
        peak_bytes: share.usage.peak,
        limit_bytes: share.usage.limit,
    }
}

fn object_store(meter: &Meter) -> v1::ObjectStoreStatus {
    let failing = meter.failing();
    let (requests, failures, retries) = object_report::sums(&meter.counts());
    v1::ObjectStoreStatus {
        failing_since: failing.as_ref().map(object_report::since).unwrap_or_default(),
        error: failing.map(|failing| failing.error).unwrap_or_default(),
        requests,
        failures,
        retries,
    }
}

fn database(status: &DatabaseStatus) -> v1::DatabaseStatus {
    v1::DatabaseStatus {
        name: status.name.to_string(),
        tables: status.tables,
        buffered_rows: status.buffered_rows,
        buffered_chunks: status.buffered_chunks,
        persisted_rows: status.persisted_rows,
        persisted_chunks: status.persisted_chunks,
        persisted_bytes: status.persisted_bytes,
        low_water: status.low_water.0,
        catalog_revision: status.revision,
        rows_written: status.writes.rows,
        rejected_lines: status.writes.rejected_lines,
        refused_writes: status.writes.refused_writes,
        unlogged_rows: status.writes.unlogged_rows,
        rules_generation: status.rules_generation,
        partition_alarm: status.partition_alarm.clone().unwrap_or_default(),
    }
}

/// A database as it is listed.
pub fn listed(database: DatabaseInfo) -> Database {
    Database { name: database.name, created: instant(database.created_millis) }
}

/// An instant from milliseconds since 1970-01-01 UTC.
pub fn instant(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
