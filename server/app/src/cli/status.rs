//! `ochre status`.

use clap::Args;
use ochre_wire::v1;
use serde_json::{Value, json};

use super::client::Remote;
use super::table::table;
use super::{Output, Stop};

/// Show the state of a server.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    remote: Remote,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

impl Status {
    /// Runs the command. A server that can't do its work is a failure, after its state has been printed.
    pub async fn run(&self) -> Result<(), Stop> {
        let answer = self.remote.connect()?.management().status().await?;
        let (healthy, failing) = (answer.healthy, answer.failing.clone());
        let status = state(answer);
        match self.output {
            Output::Text => print!("{}", text(&status)),
            Output::Json => println!("{status:#}"),
        }
        if healthy { Ok(()) } else { Err(Stop::Failed(anyhow::anyhow!("the server is failing: {failing}"))) }
    }
}

/// The state in the words of `/ochre/v1/status`.
fn state(status: v1::GetStatusResponse) -> Value {
    let (buffer, log) = (status.buffer.unwrap_or_default(), status.log.unwrap_or_default());
    json!({
        "node": status.node,
        "version": status.version,
        "epoch": status.epoch,
        "incarnation": status.incarnation,
        "uptime_seconds": status.uptime_seconds,
        "health": if status.healthy { "ok" } else { status.failing.as_str() },
        "buffer": { "bytes": buffer.bytes, "peak_bytes": buffer.peak_bytes, "limit_bytes": buffer.limit_bytes },
        "log": {
            "id": log.id,
            "segments": log.segments,
            "bytes": log.bytes,
            "pending_bytes": log.pending_bytes,
            "failed": said(&log.failed),
            "full": said(&log.full),
        },
        "fence": status.fence,
        "attached": status.attached.as_ref().map(|attached| json!({
            "revision": attached.revision,
            "age_seconds": attached.age_seconds,
            "failing": said(&attached.failing),
        })),
        "damage": status.damage,
        "object_store": status.object_store.as_ref().map(object_store),
        "memory": status.memory.iter().map(share).collect::<Vec<_>>(),
        "databases": status.databases.iter().map(database).collect::<Vec<_>>(),
    })
}

fn share(share: &v1::MemoryShare) -> Value {
    json!({
        "share": share.name,
        "used_bytes": share.used_bytes,
        "peak_bytes": share.peak_bytes,
        "limit_bytes": share.limit_bytes,
    })
}

fn object_store(status: &v1::ObjectStoreStatus) -> Value {
    json!({
        "failing_since": said(&status.failing_since),
        "error": said(&status.error),
        "requests": status.requests,
        "failures": status.failures,
        "retries": status.retries,
    })
}

fn database(status: &v1::DatabaseStatus) -> Value {
    json!({
        "name": status.name,
        "tables": status.tables,
        "buffered_rows": status.buffered_rows,
        "buffered_chunks": status.buffered_chunks,
        "persisted_rows": status.persisted_rows,
        "persisted_chunks": status.persisted_chunks,
        "persisted_bytes": status.persisted_bytes,
        "low_water": status.low_water,
        "catalog_revision": status.catalog_revision,
        "rows_written": status.rows_written,
        "rejected_lines": status.rejected_lines,
        "refused_writes": status.refused_writes,
        "unlogged_rows": status.unlogged_rows,
        "rules_generation": status.rules_generation,
        "partition_alarm": said(&status.partition_alarm),
    })
}

fn said(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// Its values one a line, then a table for each list of objects.
fn text(status: &Value) -> String {
    let mut lines = Vec::new();
    let mut tables = String::new();
    flatten("", status, &mut lines, &mut tables);
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    let values: String = lines.iter().map(|(key, value)| format!("{key:width$}  {value}\n")).collect();
    values + &tables
}

fn flatten(key: &str, value: &Value, lines: &mut Vec<(String, String)>, tables: &mut String) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let key = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                flatten(&key, value, lines, tables);
            }
        }
        Value::Array(rows) => {
            let Some(Value::Object(first)) = rows.first() else { return };
            let header: Vec<&str> = first.keys().map(String::as_str).collect();
            let rows: Vec<Vec<String>> =
                rows.iter().map(|row| header.iter().map(|name| plain(&row[*name])).collect()).collect();
            tables.push_str(&format!("\n{key}:\n{}", table(&header, &rows)));
        }
        other => lines.push((key.to_owned(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn values_come_before_tables() {
        let status = json!({ "node": "a", "log": { "bytes": 7 }, "databases": [{ "name": "x", "rows": 1 }] });
        let expected = "log.bytes  7\nnode       a\n\ndatabases:\nname  rows\nx     1\n";
        assert_eq!(super::text(&status), expected);
    }
}
