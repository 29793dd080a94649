//! A node's state as JSON for `ochre status`, and as metrics.

use std::fmt::Result;

use ochre_database::budget::ShareStatus;
use ochre_database::{DatabaseStatus, Health, NodeStatus};
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde_json::{Value, json};

use super::health::VERSION;

/// The state as JSON.
pub fn json(status: &NodeStatus) -> Value {
    let health = match &status.health {
        Health::Ok => "ok".to_owned(),
        Health::Failing(reason) => reason.clone(),
    };
    let log = &status.log;
    json!({
        "node": status.node_id.as_str(),
        "version": VERSION,
        "epoch": status.epoch.0,
        "incarnation": status.incarnation.to_string(),
        "uptime_seconds": status.uptime_seconds,
        "health": health,
        "buffer": {
            "bytes": status.buffer_bytes,
            "peak_bytes": status.buffer_peak_bytes,
            "limit_bytes": status.buffer_limit_bytes,
        },
        "log": {
            "id": log.log_id.to_string(),
            "segments": log.segments,
            "bytes": log.bytes,
            "pending_bytes": log.pending_bytes,
            "failed": log.failed,
            "full": log.full,
        },
        "fence": status.fence,
        "damage": status.damaged,
        "memory": status.memory.iter().map(share).collect::<Vec<_>>(),
        "databases": status.databases.iter().map(database).collect::<Vec<_>>(),
    })
}

fn share(share: &ShareStatus) -> Value {
    json!({
        "share": share.name,
        "used_bytes": share.usage.used,
        "peak_bytes": share.usage.peak,
        "limit_bytes": share.usage.limit,
    })
}

fn database(status: &DatabaseStatus) -> Value {
    json!({
        "name": status.name.as_str(),
        "tables": status.tables,
        "buffered_rows": status.buffered_rows,
        "buffered_chunks": status.buffered_chunks,
        "persisted_rows": status.persisted_rows,
        "persisted_chunks": status.persisted_chunks,
        "persisted_bytes": status.persisted_bytes,
        "low_water": status.low_water.0,
        "catalog_revision": status.revision,
        "rows_written": status.writes.rows,
        "rejected_lines": status.writes.rejected_lines,
        "refused_writes": status.writes.refused_writes,
        "unlogged_rows": status.writes.unlogged_rows,
        "rules_generation": status.rules_generation,
        "partition_alarm": status.partition_alarm,
    })
}

type Read = fn(&DatabaseStatus) -> u64;

/// Gauges of each database.
const DATABASE_GAUGES: [(&str, &str, Read); 10] = [
    ("database_tables", "Tables", |d| d.tables),
    ("database_catalog_revision", "Revision of the catalog", |d| d.revision),
    ("database_low_water_sequence", "Every frame up to this is in committed Parquet", |d| d.low_water.0),
    ("database_buffered_chunks", "Chunks in memory only", |d| d.buffered_chunks),
    ("database_buffered_rows", "Rows in memory only", |d| d.buffered_rows),
    ("database_persisted_chunks", "Chunks in committed Parquet", |d| d.persisted_chunks),
    ("database_persisted_rows", "Rows in committed Parquet", |d| d.persisted_rows),
    ("database_persisted_bytes", "Bytes of committed Parquet", |d| d.persisted_bytes),
    ("database_rules_generation", "Generation of the rules in force", |d| d.rules_generation),
    ("database_partition_alarms", "1 if rows spread over too many partitions", |d| {
        u64::from(d.partition_alarm.is_some())
    }),
];

/// Counters of each database.
const DATABASE_COUNTERS: [(&str, &str, Read); 5] = [
    ("database_written_rows", "Rows acknowledged", |d| d.writes.rows),
    ("database_written_bytes", "Bytes of requests that were acknowledged", |d| d.writes.bytes),
    ("database_rejected_lines", "Lines refused", |d| d.writes.rejected_lines),
    ("database_refused_writes", "Writes refused as a whole", |d| d.writes.refused_writes),
    ("database_unlogged_rows", "Rows acknowledged as accepted that the log then refused", |d| d.writes.unlogged_rows),
];

/// The state as metrics.
pub fn encode(status: &NodeStatus, encoder: &mut DescriptorEncoder<'_>) -> Result {
    let log = &status.log;
    let healthy = u64::from(matches!(status.health, Health::Ok));
    for (name, help, value) in [
        ("healthy", "1 if the node can do its work", healthy),
        ("epoch", "The claim under which the node holds its prefix", status.epoch.0),
        ("uptime_seconds", "Time since the node was opened", status.uptime_seconds),
        ("buffer_bytes", "Bytes that chunks hold in memory", status.buffer_bytes),
        ("buffer_peak_bytes", "The most bytes that chunks held in memory", status.buffer_peak_bytes),
        ("buffer_limit_bytes", "Bytes that chunks may hold in memory", status.buffer_limit_bytes),
        ("log_segments", "Segments of the log", log.segments),
        ("log_bytes", "Bytes of the log", log.bytes),
        ("log_pending_bytes", "Bytes appended to the log and not yet synced", log.pending_bytes),
        ("log_failed", "1 if the log takes nothing more until a restart", u64::from(log.failed.is_some())),
        ("log_full", "1 if the log takes nothing at the moment", u64::from(log.full.is_some())),
    ] {
        ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    for (name, help, value) in [
        ("log_appended_bytes", "Bytes written to the log", log.appended_bytes_total),
        ("log_appended_frames", "Frames written to the log", log.appended_frames_total),
        ("log_refused_frames", "Frames that the log refused after they had been queued", log.refused_frames_total),
        ("log_synced_groups", "Group commits of the log", log.synced_groups_total),
    ] {
        ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    #[allow(
        clippy::cast_precision_loss,
        reason = "nanoseconds of syncing fit into the 53 bits of a double for 100 days"
    )]
    let sync_seconds = log.sync_nanos_total as f64 / 1e9;
    let descriptor =
        encoder.encode_descriptor("log_sync_seconds", "Time spent syncing the log", None, MetricType::Counter)?;
    ConstCounter::new(sync_seconds).encode(descriptor)?;
    damage(status, encoder)?;
    memory(status, encoder)?;
    databases(status, encoder)
}

/// What was found damaged, and what is.
fn damage(status: &NodeStatus, encoder: &mut DescriptorEncoder<'_>) -> Result {
    let mut family = encoder.encode_descriptor("damage", "Damage found", None, MetricType::Counter)?;
    for (kind, count) in &status.damage_found {
        let label = [("kind", kind.name())];
        ConstCounter::new(*count).encode(family.encode_family(&label)?)?;
    }
    let descriptor =
        encoder.encode_descriptor("damaged", "Things that are damaged or set aside", None, MetricType::Gauge)?;
    ConstGauge::new(status.damaged).encode(descriptor)
}

/// Gauges of each part of the memory.
fn memory(status: &NodeStatus, encoder: &mut DescriptorEncoder<'_>) -> Result {
    type Read = fn(&ShareStatus) -> u64;
    let gauges: [(&str, &str, Read); 3] = [
        ("memory_used_bytes", "Bytes that a part of the memory holds", |share| share.usage.used),
        ("memory_peak_bytes", "The most bytes that it held", |share| share.usage.peak),
        ("memory_limit_bytes", "Bytes that it may hold; 0 without a limit of its own", |share| share.usage.limit),
    ];
    for (name, help, read) in gauges {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for share in &status.memory {
            ConstGauge::new(read(share)).encode(metric.encode_family(&[("share", share.name)])?)?;
        }
    }
    let queries = &status.queries;
    for (name, help, value) in [
        ("queries_running", "Queries that run", queries.running),
        ("queries_spilled_bytes", "Bytes that queries have on disk", queries.spilled),
    ] {
        ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
    }
    let help = "Queries ended because the process took too much memory";
    ConstCounter::new(queries.ended).encode(encoder.encode_descriptor(
        "queries_ended_for_memory",
        help,
        None,
        MetricType::Counter,
    )?)
}

fn databases(status: &NodeStatus, encoder: &mut DescriptorEncoder<'_>) -> Result {
    for (name, help, read) in DATABASE_GAUGES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for database in &status.databases {
            let labels = [("database", database.name.as_str())];
            ConstGauge::new(read(database)).encode(metric.encode_family(&labels)?)?;
        }
    }
    for (name, help, read) in DATABASE_COUNTERS {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for database in &status.databases {
            let labels = [("database", database.name.as_str())];
            ConstCounter::new(read(database)).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
